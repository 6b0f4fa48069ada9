//! Programs of the system that tests need: found on the PATH, or installed where that can be done unasked.

use crate::Result;
use std::path::{Path, PathBuf};
use std::process::Command;
use xshell::{Shell, cmd};

/// Makes sure of something by Debian's packages, if this is Debian and the user may.
///
/// `advice` says how a person installs it.
pub(crate) fn install(sh: &Shell, what: &str, packages: &[&str], is_there: impl Fn() -> bool, advice: &str) -> Result {
    if is_there() {
        return Ok(());
    }
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if root && on_path("apt-get").is_some() {
        eprintln!("{what} is missing: installing it by apt-get");
        let _quiet = sh.push_env("DEBIAN_FRONTEND", "noninteractive");
        // A package list that is too old is no reason to give up, if the package is in it.
        let _ = cmd!(sh, "apt-get update -qq").quiet().run();
        cmd!(sh, "apt-get install -y -qq --no-install-recommends {packages...}").quiet().run()?;
        if is_there() {
            return Ok(());
        }
    }
    Err(format!("{what} is missing: {advice}").into())
}

/// Where a program is.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| Path::is_file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found_and_what_is_not_is_named() {
        assert!(on_path("cargo").is_some());
        assert!(on_path("there-is-no-such-program").is_none());
        let sh = Shell::new().unwrap();
        install(&sh, "nothing", &[], || true, "").unwrap();
    }
}
