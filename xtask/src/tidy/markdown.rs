//! Rules for documents: links lead somewhere, and the commands they name exist.

use super::{File, Finding};
use crate::{commands as xtask_commands, readme};

pub(super) fn check(file: &File, files: &[File], findings: &mut Vec<Finding>) {
    links(file, files, findings);
    commands(file, files, findings);
}

fn links(file: &File, files: &[File], findings: &mut Vec<Finding>) {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    for (number, line) in file.text.lines().enumerate() {
        for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            // Links to Rust items are for rustdoc to check.
            if target.is_empty() || target.contains("://") || target.contains("::") || target.starts_with("mailto:") {
                continue;
            }
            let path = resolve(folder, target);
            let there = files.iter().any(|other| other.path == path || other.path.starts_with(&format!("{path}/")));
            if !there {
                findings.push(Finding::new(
                    &file.path,
                    number + 1,
                    format!("the link leads nowhere: there is no {path}"),
                ));
            }
        }
    }
}

/// `../x` seen from `folder`, as a path from the root.
fn resolve(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn commands(file: &File, files: &[File], findings: &mut Vec<Finding>) {
    for command in readme::commands(&file.text) {
        let words: Vec<&str> = command.split_whitespace().collect();
        let line = file.text.lines().position(|line| line.trim().starts_with(command)).unwrap_or(0) + 1;
        let mut wrong = |message: String| findings.push(Finding::new(&file.path, line, message));
        if let ["cargo", "xtask", name, ..] = words[..]
            && !xtask_commands().any(|known| known == name)
        {
            wrong(format!("there is no `cargo xtask {name}`: `cargo xtask help` lists what there is"));
        }
        for pair in words.windows(2) {
            let manifest_has = |what: &str| {
                files
                    .iter()
                    .any(|file| file.name() == "Cargo.toml" && file.text.lines().any(|line| line.starts_with(what)))
            };
            match pair {
                ["-p" | "--package", package] if !manifest_has(&format!("name = \"{package}\"")) => {
                    wrong(format!("there is no package {package}"));
                }
                ["--features", features] => {
                    for feature in features.split(',').filter(|feature| !manifest_has(&format!("{feature} = "))) {
                        wrong(format!("there is no feature {feature}"));
                    }
                }
                ["--example", name]
                    if !files.iter().any(|file| file.path.ends_with(&format!("/examples/{name}.rs"))) =>
                {
                    wrong(format!("there is no example {name}"));
                }
                _ => {}
            }
        }
        for path in words.iter().filter(|word| word.starts_with("examples/") || word.starts_with("crates/")) {
            let there = files.iter().any(|file| file.path == *path || file.path.starts_with(&format!("{path}/")));
            if !there {
                wrong(format!("there is no {path}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::found;

    #[test]
    fn links_and_commands_exist() {
        assert_eq!(found("docs/a.md", "[a](a.md) [web](https://example.org/x) [here](#there)\n"), [""; 0]);
        assert_eq!(found("docs/a.md", "[b](../b.md)\n"), ["docs/a.md:1: the link leads nowhere: there is no b.md"]);
        assert_eq!(found("a.md", "```sh\ncargo xtask tidy\n```\n"), [""; 0]);
        for command in [
            "cargo xtask tydy",
            "cargo run -p nobody",
            "cargo run -- load examples/none.ndjson",
            "cargo run --example none",
        ] {
            assert_eq!(found("a.md", &format!("```sh\n{command}\n```\n")).len(), 1, "{command}");
        }
    }
}
