//! `cargo xtask tidy`: the house rules as code. Every finding says what to do, and all are listed at once.

mod licences;
mod manifests;
mod markdown;
mod source;
mod sql;

pub(crate) use manifests::features;

use crate::Result;
use std::fmt;
use xshell::{Shell, cmd};

/// A file of the repository, as far as it is text.
pub(crate) struct File {
    path: String,
    text: String,
}

impl File {
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// One thing to mend, or to keep an eye on.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    warning: bool,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Finding { path: path.to_owned(), line, warning: false, message: message.into() }
    }

    fn warning(path: &str, line: usize, message: impl Into<String>) -> Self {
        Finding { warning: true, ..Finding::new(path, line, message) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.warning { "warning: " } else { "" };
        write!(f, "{}:{}: {kind}{}", self.path, self.line, self.message)
    }
}

/// Longest line of prose or code that is looked at; longer ones are data.
const DATA_LINE: usize = 20_000;

/// Looks at every file that git knows or would add.
pub(crate) fn run(sh: &Shell) -> Result {
    let list = cmd!(sh, "git ls-files --cached --others --exclude-standard").quiet().read()?;
    let files: Vec<File> = list
        .lines()
        .filter_map(|path| {
            let text = std::fs::read_to_string(sh.current_dir().join(path)).ok()?;
            Some(File { path: path.to_owned(), text })
        })
        .filter(|file| file.text.lines().all(|line| line.len() < DATA_LINE))
        .collect();
    let mut findings = check(&files);
    findings.extend(licences::check(sh, &files)?);
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.iter().filter(|finding| !finding.warning).count() {
        0 => {
            println!("tidy: {} files, nothing to mend", files.len());
            Ok(())
        }
        wrong => Err(format!("tidy found {wrong} things to mend; they are listed above").into()),
    }
}

fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        if file.path.ends_with(".rs") {
            source::check(file, &mut findings);
            sql::check(file, &mut findings);
        }
        if file.path.ends_with(".md") {
            markdown::check(file, files, &mut findings);
        }
        if is_prose_or_code(&file.path) {
            no_trailing_space(file, &mut findings);
            no_machine_paths(file, &mut findings);
        }
    }
    manifests::check(files, &mut findings);
    findings
}

fn is_prose_or_code(path: &str) -> bool {
    let data = path.starts_with("fuzz/corpus/") || path.starts_with("tests/golden/") || path.ends_with(".lock");
    !data
}

fn no_trailing_space(file: &File, findings: &mut Vec<Finding>) {
    for (number, line) in file.text.lines().enumerate() {
        if line.ends_with([' ', '\t']) {
            findings.push(Finding::new(&file.path, number + 1, "remove the space at the end of the line"));
        }
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        findings.push(Finding::new(&file.path, file.text.lines().count(), "end the file with a newline"));
    }
}

/// Folders that exist on one machine only.
const HOMES: [&str; 4] = ["home", "root", "work", "Users"];

fn no_machine_paths(file: &File, findings: &mut Vec<Finding>) {
    for (number, line) in file.text.lines().enumerate() {
        for home in HOMES {
            let path = format!("/{home}/");
            let found = line.match_indices(&path).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                before.is_none_or(|c| !c.is_alphanumeric() && !"_-.}/*".contains(c))
            });
            if found {
                let message = format!("{path}… exists on one machine only: write the path relative to the repository");
                findings.push(Finding::new(&file.path, number + 1, message));
            }
        }
    }
}

#[cfg(test)]
fn found(path: &str, text: &str) -> Vec<String> {
    let file = File { path: path.to_owned(), text: text.to_owned() };
    check(std::slice::from_ref(&file)).iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_machine_paths() {
        assert_eq!(found("a.txt", "fine\n"), [""; 0]);
        assert_eq!(found("a.txt", "bad \nfine\n").len(), 1);
        assert_eq!(found("a.txt", "no newline").len(), 1);
        for home in HOMES {
            assert_eq!(found("a.txt", &format!("see /{home}/me/x\n")).len(), 1, "{home}");
            assert_eq!(found("a.txt", &format!("https://example.org/{home}/me\n")).len(), 0, "{home}");
        }
    }

    #[test]
    fn a_finding_is_a_place_and_what_to_do() {
        let finding = Finding::warning("a.rs", 7, "split it");
        assert_eq!(finding.to_string(), "a.rs:7: warning: split it");
    }
}
