//! The README's commands, run as a newcomer runs them.

use crate::{Result, target_dir};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use xshell::{Shell, cmd};

/// The commands of the `sh` blocks of a document, without comments.
pub(crate) fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if let Some(fence) = line.strip_prefix("```") {
            inside = !inside && fence == "sh";
        } else if inside {
            let command = line.split(" # ").next().unwrap_or_default().trim();
            if !command.is_empty() && !command.starts_with('#') {
                commands.push(command.to_owned());
            }
        }
    }
    commands
}

/// What the command line is asked to do: the words behind `cargo run --` or `tablecast`.
fn words(command: &str) -> Option<Vec<&str>> {
    let rest = command.strip_prefix("cargo run -- ").or_else(|| command.strip_prefix("tablecast "))?;
    Some(rest.split_whitespace().collect())
}

/// The service that the README starts, ended with the run.
struct Service(Child);

impl Service {
    /// Starts it, and waits until it says where it listens.
    fn start(binary: &Path, folder: &Path, words: &[&str]) -> Result<Service> {
        let child = Command::new(binary).args(words).current_dir(folder).stderr(Stdio::null()).spawn()?;
        let service = Service(child);
        for _ in 0..600 {
            if folder.join("tablecast-data/address").exists() {
                return Ok(service);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("the README's service does not start: run its commands by hand to see why".into())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself; what it had taken is on disk.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs what begins with `cargo run` as written, in an empty folder that sees the examples, with the service on a free port
/// beside the commands that follow it; asks all others for their help.
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
    let (mut ran, mut service) = (0, None);
    for command in commands(&readme) {
        if let ["cp", from, to] = command.split_whitespace().collect::<Vec<_>>()[..] {
            sh.write_file(to, sh.read_file(from)?.replace("127.0.0.1:8437", "127.0.0.1:0"))?;
            continue;
        }
        let Some(words) = words(&command) else { continue };
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
    fn only_shell_blocks_count() {
        let text = "```sh\ncargo run -- load a.ndjson   # builds\n\n# a remark\ntablecast show users\n```\n```rust\nlet x;\n```\n";
        assert_eq!(commands(text), ["cargo run -- load a.ndjson", "tablecast show users"]);
        assert_eq!(words("cargo run -- load a.ndjson"), Some(vec!["load", "a.ndjson"]));
        assert_eq!(words("cargo xtask test"), None);
    }
}
