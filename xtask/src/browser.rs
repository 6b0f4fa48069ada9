//! What the tests of the page need: Chromium, Node, and the package that drives the one from the other.

use crate::{Result, node, packages, section};
use std::path::PathBuf;
use std::process::Command;
use xshell::{PushEnv, Shell};

/// The oldest Node that the package runs on.
const OLDEST: u32 = 20;
/// What Chromium is called on the PATH.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// Installs what is missing, where that can be done unasked, and gives the tests the variables that say where it is.
pub(crate) fn variables(sh: &Shell) -> Result<Vec<PushEnv<'_>>> {
    section("Node and a browser");
    let program = program(sh)?;
    let modules = node::modules(sh, "tests/service/browser")?.join("node_modules");
    let browser = browser(sh)?;
    Ok(vec![
        sh.push_env("TABLECAST_NODE", program),
        sh.push_env("TABLECAST_BROWSER_MODULES", modules),
        sh.push_env("TABLECAST_CHROMIUM", browser),
    ])
}

/// Node, of a version that will do.
fn program(sh: &Shell) -> Result<PathBuf> {
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
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let locked = std::fs::read_to_string(root.join("tests/service/browser/package-lock.json")).unwrap();
        assert!(locked.contains("\"integrity\": \"sha512-"), "what is installed is what was locked");
        assert!(!locked.contains("\"resolved\""), "lock with `npm install --omit-lockfile-registry-resolved`");
    }
}
