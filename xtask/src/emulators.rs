//! `cargo xtask emulators up`: the stand-ins for warehouses, started for a person or for a test run.
//!
//! An emulator prints one `NAME=VALUE` line per variable that tests need, then `ready`, and ends when its
//! standard input closes.

use crate::{Result, postgres, section, target_dir, venv};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use xshell::{Shell, cmd};

/// How long an emulator may take to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// One emulator: a row of the table below.
struct Emulator {
    /// The warehouse it stands in for, and its folder in `tests/emulators`.
    name: &'static str,
    start: Start,
    /// What must be there first.
    needs: Option<fn(&Shell) -> Result>,
    /// How many a test run starts: one that is written in Python keeps one processor busy. The variables of the second end
    /// in `_2`.
    copies: usize,
    /// A Python environment for its tests: the variable with its `python`, and the lock file.
    python: Option<(&'static str, &'static str)>,
}

/// How an emulator is started.
enum Start {
    /// A binary of the workspace, named like its package.
    Package(&'static str),
    /// A script, in an environment made from a lock file, with one of these Pythons.
    Python { script: &'static str, lock: &'static str, versions: &'static [&'static str] },
}

const EMULATORS: &[Emulator] = &[
    Emulator {
        name: "bigquery",
        start: Start::Python {
            script: "tests/emulators/bigquery/serve.py",
            lock: "tests/emulators/bigquery/requirements.txt",
            versions: &["3.13"],
        },
        needs: None,
        copies: 2,
        // It says itself which Python has Google's client.
        python: None,
    },
    Emulator {
        name: "redshift",
        start: Start::Package("tablecast-redshift-emulator"),
        needs: Some(postgres::install),
        copies: 1,
        python: Some(("TABLECAST_REDSHIFT_PYTHON", "tests/emulators/redshift/requirements.txt")),
    },
    Emulator {
        name: "snowflake",
        start: Start::Python {
            script: "tests/emulators/snowflake/serve.py",
            lock: "tests/emulators/snowflake/requirements.txt",
            versions: &["3.13", "3.12", "3.11"],
        },
        needs: None,
        copies: 2,
        // It says itself which Python has Snowflake's connector.
        python: None,
    },
];

/// Any Python that the tests' tools run on.
const TOOL_PYTHONS: &[&str] = &["3.13", "3.12", "3.11", "3.10"];

/// An emulator that runs as long as this value lives.
pub(crate) struct Running {
    child: Child,
    /// The variables that tests need.
    pub(crate) variables: Vec<(String, String)>,
}

impl Drop for Running {
    /// Lets it tidy up, which takes a while after many tests, but not for ever.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("an emulator did not end within {PATIENCE:?}: it is killed");
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether there is an emulator of this name.
pub(crate) fn is_known(name: &str) -> bool {
    EMULATORS.iter().any(|emulator| emulator.name == name)
}

/// Starts those that are named, or all, with what their own tests need.
pub(crate) fn start(sh: &Shell, names: &[String]) -> Result<Vec<Running>> {
    let mut running = Vec::new();
    for emulator in chosen(names)? {
        section(&format!("the {} emulator", emulator.name));
        let mut started = emulator.start(sh)?;
        if let Some((variable, lock)) = emulator.python {
            let python = venv::python(sh, lock, TOOL_PYTHONS)?;
            started.variables.push((variable.to_owned(), python.to_string_lossy().into_owned()));
        }
        running.push(started);
        for copy in 2..=emulator.copies {
            let mut started = emulator.start(sh)?;
            started.variables.iter_mut().for_each(|(name, _)| name.push_str(&format!("_{copy}")));
            running.push(started);
        }
    }
    Ok(running)
}

/// Starts those that are named, or all, prints their variables for a shell, and keeps them until standard input ends.
pub(crate) fn up(sh: &Shell, names: &[String]) -> Result {
    let mut running = Vec::new();
    for emulator in chosen(names)? {
        let started = emulator.start(sh)?;
        for (name, value) in &started.variables {
            println!("export {name}='{value}'");
        }
        running.push(started);
    }
    eprintln!("\nthe emulators run until Ctrl-C, or until standard input ends");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Emulator>> {
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        let known: Vec<&str> = EMULATORS.iter().map(|emulator| emulator.name).collect();
        return Err(format!("there is no emulator `{unknown}`; there are: {}", known.join(", ")).into());
    }
    Ok(EMULATORS.iter().filter(|emulator| names.is_empty() || names.iter().any(|name| name == emulator.name)).collect())
}

impl Emulator {
    fn start(&self, sh: &Shell) -> Result<Running> {
        if let Some(needs) = self.needs {
            needs(sh)?;
        }
        let mut command = match self.start {
            Start::Package(package) => {
                cmd!(sh, "cargo build --quiet --package {package}").run()?;
                Command::new(target_dir(sh).join("debug").join(package))
            }
            Start::Python { script, lock, versions } => {
                let mut command = Command::new(venv::python(sh, lock, versions)?);
                command.arg(sh.current_dir().join(script));
                command
            }
        };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("an emulator without output")?;
        let mut running = Running { child, variables: Vec::new() };
        let mut lines = BufReader::new(output).lines();
        for line in &mut lines {
            let line = line?;
            if line == "ready" {
                // Nobody must wait for a reader.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(running);
            }
            running.variables.extend(variable(&line));
        }
        Err(format!("the {} emulator ended before it was ready; what it said is above", self.name).into())
    }
}

/// `NAME=VALUE`
fn variable(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read() {
        let read = variable("TABLECAST_X=redshift://h/d?a=b");
        assert_eq!(read, Some(("TABLECAST_X".into(), "redshift://h/d?a=b".into())));
        assert_eq!(variable("warming up: x=1"), None);
        assert_eq!(variable("ready"), None);
    }

    #[test]
    fn every_emulator_has_a_folder_and_unknown_ones_are_named() {
        for emulator in EMULATORS {
            let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/emulators");
            assert!(root.join(emulator.name).join("README.md").is_file(), "write a README for {}", emulator.name);
        }
        assert!(chosen(&["nobody".into()]).is_err_and(|error| error.to_string().contains("redshift")));
        assert_eq!(chosen(&[]).map_or(0, |all| all.len()), EMULATORS.len());
    }
}
