//! Node, with the modules of a lock file, and the browser: what tests drive the service with.
//!
//! Modules are kept in the user's cache, like Python environments, and found again by the lock's own hash.

use crate::{Result, packages, venv};
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use xshell::{Shell, cmd};

/// The folder with the manifest and the lock.
const FOLDER: &str = "tests/node";
/// The oldest Node that the modules run on.
const OLDEST: u32 = 20;
/// What Chromium is called on the PATH.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// The variables by which tests find Node, its modules and the browser, all of which are installed if need be.
pub(crate) fn variables(sh: &Shell) -> Result<Vec<(String, String)>> {
    let node = node(sh)?;
    let modules = modules(sh)?;
    let browser = browser(sh)?;
    Ok([("TABLECAST_NODE", node), ("TABLECAST_NODE_MODULES", modules), ("TABLECAST_CHROMIUM", browser)]
        .map(|(name, path)| (name.to_owned(), path.to_string_lossy().into_owned()))
        .into())
}

/// Node itself, of a version that will do.
fn node(sh: &Shell) -> Result<PathBuf> {
    let advice = format!("install Node {OLDEST} or later with npm, or name it in TABLECAST_NODE");
    let there = || named("TABLECAST_NODE").or_else(|| packages::on_path("node"));
    packages::install(sh, "Node", &["nodejs", "npm"], || there().is_some(), &advice)?;
    let node = there().ok_or(advice.as_str())?;
    let version = Command::new(&node).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let version = String::from_utf8_lossy(&version).trim().to_owned();
    match major(&version) {
        Some(major) if major >= OLDEST => Ok(node),
        _ => Err(format!("{} says `{version}`: {advice}", node.display()).into()),
    }
}

/// `v20.1.0`
fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// The folder `node_modules` with what the lock names, installed now or before.
fn modules(sh: &Shell) -> Result<PathBuf> {
    let (manifest, lock) = (format!("{FOLDER}/package.json"), format!("{FOLDER}/package-lock.json"));
    let locked = sh.read_file(&lock)?;
    let cache = venv::cache()?;
    sh.create_dir(&cache)?;
    let dir = cache.join(format!("node-{:016x}", venv::fnv(&[locked.as_bytes()])));
    let (modules, complete) = (dir.join("node_modules"), dir.join("complete"));
    // Two runs at once must not install the same one.
    let guard = File::create(dir.with_extension("lock"))?;
    guard.lock()?;
    if complete.is_file() {
        return Ok(modules);
    }
    if packages::on_path("npm").is_none() {
        return Err("npm is missing: install it (`apt-get install npm`), it comes with Node elsewhere".into());
    }
    eprintln!("installing the modules of {lock}");
    sh.remove_path(&dir)?;
    sh.create_dir(&dir)?;
    sh.copy_file(manifest, &dir)?;
    sh.copy_file(lock, &dir)?;
    cmd!(sh, "npm ci --prefix {dir} --ignore-scripts --no-audit --no-fund --loglevel error").quiet().run()?;
    sh.write_file(&complete, "")?;
    Ok(modules)
}

/// Chromium, or a browser that is made of it.
fn browser(sh: &Shell) -> Result<PathBuf> {
    let there = || named("TABLECAST_CHROMIUM").or_else(|| BROWSERS.into_iter().find_map(packages::on_path));
    let advice =
        "`apt-get install chromium`, `dnf install chromium`, or name a browser made of it in TABLECAST_CHROMIUM";
    packages::install(sh, "Chromium", &["chromium"], || there().is_some(), advice)?;
    Ok(there().ok_or(advice)?)
}

/// A program that a variable names.
fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(major("v20.20.2"), Some(20));
        assert_eq!(major("Python 3.13"), None);
    }

    #[test]
    fn the_lock_names_no_registry() {
        let lock = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FOLDER).join("package-lock.json");
        let locked = std::fs::read_to_string(lock).unwrap();
        assert!(locked.contains("\"integrity\": \"sha512-"), "what is installed is what was locked");
        assert!(!locked.contains("\"resolved\""), "lock with `npm install --omit-lockfile-registry-resolved`");
    }
}
