//! A folder with a warehouse in it, and the program run in that folder.
#![allow(dead_code, reason = "each test binary uses a part")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// One row: column to value.
pub(crate) type Row = BTreeMap<String, Value>;

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The seed's calls.
pub(crate) fn personas() -> String {
    repository("examples/personas.ndjson").display().to_string()
}

pub(crate) struct Folder(TempDir);

/// How a run ended, as text.
#[derive(Debug)]
pub(crate) struct Run {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Run {
    pub(crate) fn of(output: Output) -> Run {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Run { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails unless it ended with this code.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Run {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Fails unless standard error has one line `error: …` with `what`, then one `to do: …` with `to_do`.
    #[track_caller]
    pub(crate) fn says(self, what: &str, to_do: &str) -> Run {
        let lines: Vec<&str> = self.err.lines().collect();
        let found = lines.windows(2).any(|pair| {
            pair[0].strip_prefix("error: ").is_some_and(|line| line.contains(what))
                && pair[1].strip_prefix("to do: ").is_some_and(|line| line.contains(to_do))
        });
        assert!(found, "{what:?}, {to_do:?}: {self:#?}");
        self
    }
}

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        name.to_owned()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tablecast"));
        command.args(args).current_dir(self.0.path()).env("COLUMNS", "100").stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        Run::of(self.command(args).output().unwrap())
    }

    pub(crate) fn run_with_input(&self, args: &[&str], input: &[u8]) -> Run {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let bytes = input.to_owned();
        let feeder = std::thread::spawn(move || stdin.write_all(&bytes));
        let run = Run::of(child.wait_with_output().unwrap());
        feeder.join().unwrap().unwrap();
        run
    }

    /// All rows of a table, without the time of their commit, in a fixed order.
    #[track_caller]
    pub(crate) fn rows(&self, table: &str) -> Vec<Row> {
        self.rows_of(&["show", table])
    }

    #[track_caller]
    pub(crate) fn rows_of(&self, show: &[&str]) -> Vec<Row> {
        let args = [show, &["--json", "--limit", "1000000"]].concat();
        let shown = self.run(&args).ends(0).json();
        let mut rows: Vec<Row> = serde_json::from_value(shown["rows"].clone()).unwrap();
        for row in &mut rows {
            row.retain(|column, value| column != "uuid_ts" && column != "commit_id" && !value.is_null());
        }
        rows.sort_by_cached_key(|row| serde_json::to_string(row).unwrap());
        rows
    }

    /// Every table but the ledger, by name, as text: without what an attempt leaves its mark on, in a fixed order.
    #[track_caller]
    pub(crate) fn tables(&self) -> BTreeMap<String, Vec<String>> {
        let unknown = self.run(&["show", "no_such_table"]).ends(2);
        let names = unknown.err.trim().rsplit_once("there: ").unwrap_or_else(|| panic!("{unknown:?}")).1.to_owned();
        let read = |table: &str| {
            let (columns, rows) =
                tablecast::sqlite::read_table(&self.path("warehouse"), &"personas_default".into(), table, usize::MAX)
                    .unwrap();
            let kept = |column: &str| column != "uuid_ts" && column != "commit_id";
            // By name: the order of the columns depends on the order of the events.
            let row = |cells: Vec<Option<String>>| {
                let cells: BTreeMap<_, _> = columns.iter().zip(cells).filter(|(column, _)| kept(column)).collect();
                format!("{cells:?}")
            };
            let mut rows: Vec<String> = rows.into_iter().map(row).collect();
            rows.sort_unstable();
            rows
        };
        names.split(", ").filter(|name| *name != "_commits").map(|name| (name.to_owned(), read(name))).collect()
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
