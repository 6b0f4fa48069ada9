//! The README's commands, run as a newcomer runs them.

use crate::{Result, target_dir};
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

/// Runs `load` and `show` as written, in an empty folder that sees the examples; asks all others for their help.
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
    let mut ran = 0;
    for command in commands(&readme) {
        let Some(words) = words(&command) else { continue };
        let local = !words.iter().any(|word| word.contains("://") || *word == "-");
        if command.starts_with("cargo run") && local {
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
    if ran < 2 {
        return Err(
            "the README no longer has the two commands that a newcomer runs: `cargo run -- load …` and `show`".into()
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
