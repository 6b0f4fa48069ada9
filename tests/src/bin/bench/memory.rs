//! The most memory that the command line takes for a large file.

use crate::{made, say};
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Loads a file of 200 MB and one of 1 GB with the release build of the command line.
pub(crate) fn of_large_files() -> Result<(), Box<dyn Error>> {
    let binary = match std::env::var_os("TABLECAST_BIN") {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe()?.with_file_name("tablecast"),
    };
    if !binary.exists() {
        return Err(
            format!("{} is not there: build it with cargo build --release -p tablecast-cli", binary.display()).into()
        );
    }
    for megabytes in [200, 1_000] {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("calls.ndjson");
        let bytes = write(&file, megabytes * 1_000_000)?;
        let peak = peak_of(&binary, &file, &dir.path().join("warehouse"))?;
        let what = format!("peak memory of `tablecast load` for a file of {} MB", bytes / 1_000_000);
        say(&format!("{what:<64} {:>6} MB  must <= 300 MB", peak / 1_000));
    }
    Ok(())
}

fn write(file: &Path, bytes: usize) -> std::io::Result<usize> {
    let mut out = BufWriter::new(File::create(file)?);
    let (mut written, mut calls) = (0, 0);
    let mut text = String::new();
    while written < bytes {
        text.clear();
        made::calls(&mut text, calls, calls + 10_000, 200, 50_000);
        out.write_all(text.as_bytes())?;
        written += text.len();
        calls += 10_000;
    }
    out.flush()?;
    Ok(written)
}

/// The high-water mark of a process's resident memory, in kB, read while it runs.
fn peak_of(binary: &Path, file: &Path, warehouse: &Path) -> Result<u64, Box<dyn Error>> {
    let to = format!("sqlite:{}", warehouse.display());
    let mut child = Command::new(binary).arg("load").arg(file).args(["--to", &to]).stdout(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        if let Ok(text) = fs::read_to_string(&status)
            && let Some(line) = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))
        {
            peak = peak.max(line.trim().trim_end_matches(" kB").parse()?);
        }
        if let Some(done) = child.try_wait()? {
            if !done.success() || peak == 0 {
                return Err(format!("the load ended with {done}").into());
            }
            return Ok(peak);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
