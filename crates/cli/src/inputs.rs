//! Which files a load reads: those that were named, those of a directory, or standard input.

use crate::args::Source;
use crate::failure::Failure;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use tablecast::input::Input;

/// One input, not open yet: a long list of files is not a long list of open files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Stdin,
    File(PathBuf),
}

/// What was asked for, in order.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) entries: Vec<Entry>,
    name: Option<String>,
    /// Bytes in all, if all are files.
    pub(crate) size: Option<u64>,
    /// What the operator should know.
    pub(crate) notices: Vec<String>,
}

impl Inputs {
    /// Finds the inputs and sees that each can be opened, before anything is loaded.
    pub(crate) fn find(source: &Source) -> Result<Inputs, Failure> {
        let mut entries = Vec::new();
        let mut size = Some(0);
        if source.files.is_empty() {
            if std::io::stdin().is_terminal() {
                return Err(Failure::usage(
                    "no input was named",
                    "name files, a directory, or - for standard input: tablecast load calls.ndjson",
                ));
            }
            entries.push(Entry::Stdin);
        }
        for path in &source.files {
            if path.as_os_str() == "-" {
                entries.push(Entry::Stdin);
            } else if path.is_dir() {
                entries.extend(directory(path)?.into_iter().map(Entry::File));
            } else {
                entries.push(Entry::File(path.clone()));
            }
        }
        if entries.iter().filter(|entry| **entry == Entry::Stdin).count() > 1 {
            return Err(Failure::usage("standard input was named twice", "name - once"));
        }
        if source.source.is_some() && entries.len() != 1 {
            let what = format!("--source names one input, but there are {}", entries.len());
            return Err(Failure::usage(what, "leave --source out, or load the inputs one by one"));
        }
        let (mut names, mut notices) = (BTreeSet::new(), Vec::new());
        for entry in &entries {
            match entry {
                Entry::Stdin => size = None,
                Entry::File(path) => {
                    let meta =
                        File::open(path).and_then(|file| file.metadata()).map_err(|error| cannot_open(path, &error))?;
                    size = size.map(|size| size + meta.len());
                    if let Some(name) = path.file_name().filter(|name| !names.insert(name.to_owned())) {
                        notices.push(format!(
                            "two inputs are called {}: equal lines without a messageId count as the same call; load them apart with --source if they are not",
                            name.to_string_lossy()
                        ));
                    }
                }
            }
        }
        Ok(Inputs { entries, name: source.source.clone(), size, notices })
    }

    /// Opens one of the entries.
    pub(crate) fn open(&self, entry: &Entry) -> Result<Input, Failure> {
        Ok(match entry {
            Entry::Stdin => Input::stream(self.name.as_deref().unwrap_or("stdin"), Box::new(std::io::stdin()))?,
            Entry::File(path) => Input::file(path, self.name.as_deref())?,
        })
    }
}

fn cannot_open(path: &Path, error: &std::io::Error) -> Failure {
    let what = format!("cannot open the input (path: {}): {error}", path.display());
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        Failure::new(what, "let this user read the file, then run again")
    } else {
        Failure::usage(what, "check the path")
    }
}

/// The files of calls in a directory, by name; not those of directories in it.
fn directory(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: &std::io::Error| {
        Failure::new(
            format!("cannot read the directory (path: {}): {error}", path.display()),
            "let this user read it, then run again",
        )
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|error| unreadable(&error))? {
        let file = entry.map_err(|error| unreadable(&error))?.path();
        if is_calls(&file) && file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        let what = format!("the directory has no files of calls (path: {})", path.display());
        return Err(Failure::usage(
            what,
            "name a directory with .ndjson, .jsonl or .json files, also .gz or .zst, or name the files",
        ));
    }
    files.sort();
    Ok(files)
}

/// Whether a file's name says that it holds calls.
fn is_calls(path: &Path) -> bool {
    let plain = match path.extension().and_then(OsStr::to_str) {
        Some("gz" | "zst") => path.with_extension(""),
        _ => path.to_owned(),
    };
    matches!(plain.extension().and_then(OsStr::to_str), Some("ndjson" | "jsonl" | "json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_calls_are_told_by_their_names() {
        for yes in ["a.ndjson", "a.jsonl", "a.json", "a.ndjson.gz", "a.b.json.zst"] {
            assert!(is_calls(Path::new(yes)), "{yes}");
        }
        for no in ["a", "a.gz", "a.csv.gz", "a.json.bak", "json", ".gz"] {
            assert!(!is_calls(Path::new(no)), "{no}");
        }
    }
}
