//! The README's commands, run as a newcomer runs them.

use crate::{Result, target_dir};
use std::fs::{File, read_to_string};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;
use xshell::{Shell, cmd};

/// What a reader of a document does, in its order.
#[derive(Debug, PartialEq, Eq)]
enum Step<'t> {
    /// A command of a `sh` block, without its comment.
    Run(&'t str),
    /// A `toml` block that adds sections to the service's configuration.
    Configure(&'t str),
}

fn steps(text: &str) -> Vec<Step<'_>> {
    let (mut steps, mut at, mut block) = (Vec::new(), 0, None);
    for line in text.split_inclusive('\n') {
        let begin = at;
        at += line.len();
        let Some(fence) = line.strip_prefix("```") else { continue };
        let Some((kind, start)) = block.take() else {
            block = Some((fence.trim(), at));
            continue;
        };
        let inner = &text[start..begin];
        if kind == "sh" {
            let commands = inner.lines().map(|line| line.split(" # ").next().unwrap_or_default().trim());
            steps.extend(commands.filter(|line| !line.is_empty() && !line.starts_with('#')).map(Step::Run));
        } else if kind == "toml" && inner.starts_with("[[") {
            steps.push(Step::Configure(inner));
        }
    }
    steps
}

/// The commands alone.
pub(crate) fn commands(text: &str) -> impl Iterator<Item = &str> {
    steps(text).into_iter().filter_map(|step| match step {
        Step::Run(command) => Some(command),
        Step::Configure(_) => None,
    })
}

/// What the command line is asked to do: the words behind `cargo run --` or `tablecast`.
fn words(command: &str) -> Option<Vec<&str>> {
    let rest = command.strip_prefix("cargo run -- ").or_else(|| command.strip_prefix("tablecast "))?;
    Some(rest.split_whitespace().collect())
}

/// How the README lets the service read its configuration again.
const RELOAD: &str = "pkill -HUP -x tablecast";

/// The service that the README starts, ended with the run.
struct Service {
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts it, and waits until it says where it listens.
    fn start(binary: &Path, folder: &Path, words: &[&str]) -> Result<Service> {
        let log = folder.join("serve.log");
        let child = Command::new(binary).args(words).current_dir(folder).stderr(File::create(&log)?).spawn()?;
        let service = Service { child, log };
        service.until("start", || folder.join("tablecast-data/address").exists())?;
        Ok(service)
    }

    /// Sends it SIGHUP, and waits until it says that it has read the configuration.
    fn reload(&self) -> Result {
        let told = || read_to_string(&self.log).unwrap_or_default().matches("was read again").count();
        let before = told();
        Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status()?;
        self.until("read its configuration again", || told() > before)
    }

    fn until(&self, what: &str, is_so: impl Fn() -> bool) -> Result {
        for _ in 0..600 {
            if is_so() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = read_to_string(&self.log).unwrap_or_default();
        Err(format!("the README's service does not {what}: run its commands by hand to see why\n{log}").into())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself; what it had taken is on disk.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs what begins with `cargo run` as written, in an empty folder that sees the examples, with the service on a free port
/// beside the commands that follow it and read again where the README adds to its configuration; asks all others for their help.
pub(crate) fn run(sh: &Shell) -> Result {
    let root = sh.current_dir();
    let readme = sh.read_file("README.md")?;
    cmd!(sh, "cargo build --quiet --package tablecast-cli").run()?;
    let binary = target_dir(sh).join("debug").join("tablecast");
    let dir = sh.create_temp_dir()?;
    let _dir = sh.push_dir(dir.path());
    sh.create_dir("examples")?;
    for example in sh.read_dir(root.join("examples"))? {
        sh.copy_file(&example, "examples")?;
    }
    let (mut ran, mut service) = (0, None::<Service>);
    for step in steps(&readme) {
        let command = match step {
            Step::Run(command) => command,
            Step::Configure(sections) => {
                let config = format!("{}\n{sections}", sh.read_file("tablecast.toml")?);
                sh.write_file("tablecast.toml", config)?;
                continue;
            }
        };
        if let (RELOAD, Some(service)) = (command, &service) {
            service.reload()?;
            continue;
        }
        if let ["cp", from, to] = command.split_whitespace().collect::<Vec<_>>()[..] {
            sh.write_file(to, sh.read_file(from)?.replace("127.0.0.1:8437", "127.0.0.1:0"))?;
            continue;
        }
        let Some(words) = words(command) else { continue };
        let local = !words.iter().any(|word| word.contains("://") || *word == "-");
        if command.starts_with("cargo run") && words.first() == Some(&"serve") {
            service = Some(Service::start(&binary, dir.path(), &words)?);
        } else if command.starts_with("cargo run") && local {
            cmd!(sh, "{binary} {words...}").run()?;
            ran += 1;
        } else if let Some(subcommand) = words.first() {
            cmd!(sh, "{binary} help {subcommand}").quiet().ignore_stdout().run().map_err(|_| {
                format!(
                    "the README names `tablecast {subcommand}`, which the command line does not know: mend one of them"
                )
            })?;
        }
    }
    if ran < 2 || service.is_none() {
        return Err(
            "the README no longer has the commands that a newcomer runs: `cargo run -- load …`, `show`, and `serve`"
                .into(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_sections_are_found_in_their_order() {
        let text = "```sh\ncargo run -- load a.ndjson   # builds\n\n# a remark\ntablecast show users\n```\n```rust\nlet x;\n```\n\
            ```toml\n[dependencies]\n```\n```toml\n[[warehouse]]\nname = \"b\"\n```\n```sh\nls\n```\n";
        let found = [
            Step::Run("cargo run -- load a.ndjson"),
            Step::Run("tablecast show users"),
            Step::Configure("[[warehouse]]\nname = \"b\"\n"),
            Step::Run("ls"),
        ];
        assert_eq!(steps(text), found);
        assert_eq!(words("cargo run -- load a.ndjson"), Some(vec!["load", "a.ndjson"]));
        assert_eq!(words("cargo xtask test"), None);
    }
}
