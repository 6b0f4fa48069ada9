//! PostgreSQL's server and `psql`, which the Redshift emulator and its tests run.

use crate::Result;
use std::path::{Path, PathBuf};
use std::process::Command;
use xshell::{Shell, cmd};

/// Installs PostgreSQL where it is missing and that can be done unasked.
pub(crate) fn install(sh: &Shell) -> Result {
    if is_installed() {
        return Ok(());
    }
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if root && on_path("apt-get") {
        eprintln!("PostgreSQL is missing: installing it by apt-get");
        let _quiet = sh.push_env("DEBIAN_FRONTEND", "noninteractive");
        // A package list that is too old is no reason to give up, if the package is in it.
        let _ = cmd!(sh, "apt-get update -qq").quiet().run();
        cmd!(sh, "apt-get install -y -qq --no-install-recommends postgresql").quiet().run()?;
        if is_installed() {
            return Ok(());
        }
    }
    Err("PostgreSQL's server is missing: `apt-get install postgresql`, `dnf install postgresql-server postgresql` or \
         `brew install postgresql@15`; if it is installed, put the folder of `initdb` on the PATH"
        .into())
}

fn is_installed() -> bool {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    on_path("initdb") || debian.map(|entry| entry.path().join("bin/initdb")).any(|path| path.is_file())
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir: PathBuf| dir.join(program)).any(|path: PathBuf| Path::is_file(&path))
}
