//! Python environments from lock files with hashes, kept in the user's cache and found again by the lock's own hash.

use crate::Result;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use xshell::{Shell, cmd};

/// The `python` of an environment with what the lock file names, made now or before.
///
/// `versions` are tried in this order.
pub(crate) fn python(sh: &Shell, lock: &str, versions: &[&str]) -> Result<PathBuf> {
    let locked = sh.read_file(lock)?;
    let cache = cache()?;
    sh.create_dir(&cache)?;
    let dir = cache.join(format!("venv-{:016x}", fnv(&[locked.as_bytes(), versions.join(" ").as_bytes()])));
    let python = dir.join("bin/python");
    let complete = dir.join("complete");
    // Two runs at once must not build the same one.
    let guard = File::create(dir.with_extension("lock"))?;
    guard.lock()?;
    if complete.is_file() && runs(&python, None) {
        return Ok(python);
    }
    eprintln!("making the Python environment of {lock}");
    sh.remove_path(&dir)?;
    if let Some(base) = find(versions) {
        cmd!(sh, "{base} -m venv {dir}").quiet().run()?;
        cmd!(sh, "{python} -m pip install --quiet --disable-pip-version-check --require-hashes -r {lock}")
            .quiet()
            .run()?;
    } else if runs(Path::new("uv"), None) {
        let version = versions.first().copied().unwrap_or("3");
        cmd!(sh, "uv venv --quiet --python {version} {dir}").quiet().run()?;
        cmd!(sh, "uv pip install --quiet --python {python} --require-hashes -r {lock}").quiet().run()?;
    } else {
        return Err(format!(
            "no Python {} was found that runs: install one (or `uv`), or name it in TABLECAST_PYTHON",
            versions.join(" or ")
        )
        .into());
    }
    sh.write_file(&complete, "")?;
    Ok(python)
}

pub(crate) fn cache() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache")));
    Ok(cache.ok_or("set HOME or XDG_CACHE_HOME: what tests install is kept there")?.join("tablecast"))
}

/// A Python of one of these versions. A name on the PATH may be a shim that does not run, so each is tried.
fn find(versions: &[&str]) -> Option<PathBuf> {
    let named: Vec<PathBuf> = std::env::var_os("TABLECAST_PYTHON").map(PathBuf::from).into_iter().collect();
    for version in versions {
        let on_path = [format!("python{version}"), "python3".into(), "python".into()].map(PathBuf::from);
        let found = named.iter().cloned().chain(on_path).chain(pyenv(version)).find(|path| runs(path, Some(version)));
        if found.is_some() {
            return found;
        }
    }
    None
}

/// What pyenv has of a version, whether it is switched on or not.
fn pyenv(version: &str) -> Vec<PathBuf> {
    let root = Command::new("pyenv").arg("root").stderr(Stdio::null()).output();
    let Some(root) = root.ok().and_then(|output| String::from_utf8(output.stdout).ok()) else { return Vec::new() };
    let mut found: Vec<PathBuf> = std::fs::read_dir(Path::new(root.trim()).join("versions"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.strip_prefix(version).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
        .map(|path| path.join("bin/python"))
        .collect();
    found.sort();
    found
}

/// Whether a program runs and, if it is a Python, has this version and can make environments.
fn runs(program: &Path, version: Option<&str>) -> bool {
    let mut command = Command::new(program);
    match version {
        Some(version) => {
            let test = "import sys, venv, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != sys.argv[1])";
            command.args(["-c", test, version]);
        }
        None => {
            command.arg("--version");
        }
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// FNV-1a: the same on every machine and in every release.
pub(crate) fn fnv(parts: &[&[u8]]) -> u64 {
    parts
        .concat()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_is_found() {
        assert!(!runs(Path::new("there-is-no-such-program"), None));
        assert!(runs(Path::new("cargo"), None));
        assert_eq!(find(&["2.0"]), None);
    }

    #[test]
    fn the_hash_is_pinned() {
        assert_eq!(fnv(&[b"foo", b"bar"]), 0x8594_4171_f739_67e8);
    }
}
