//! Node packages from a lock file with hashes, kept in the user's cache and found again by the lock's own hash.

use crate::{Result, venv};
use std::fs::File;
use std::path::PathBuf;
use xshell::{Shell, cmd};

/// A folder with the `node_modules` of a folder's `package.json` and `package-lock.json`, made now or before.
pub(crate) fn modules(sh: &Shell, folder: &str) -> Result<PathBuf> {
    let files = ["package.json", "package-lock.json"].map(|name| format!("{folder}/{name}"));
    let [manifest, lock] = [sh.read_file(&files[0])?, sh.read_file(&files[1])?];
    let cache = venv::cache()?;
    sh.create_dir(&cache)?;
    let dir = cache.join(format!("node-{:016x}", venv::fnv(&[manifest.as_bytes(), lock.as_bytes()])));
    let complete = dir.join("complete");
    // Two runs at once must not build the same one.
    let guard = File::create(dir.with_extension("lock"))?;
    guard.lock()?;
    if complete.is_file() {
        return Ok(dir);
    }
    if cmd!(sh, "npm --version").quiet().ignore_stdout().ignore_stderr().run().is_err() {
        return Err("install Node.js 18 or later with npm: the tests run Segment's SDK for Node".into());
    }
    eprintln!("installing the Node packages of {folder}");
    sh.remove_path(&dir)?;
    sh.create_dir(&dir)?;
    for file in &files {
        sh.copy_file(file, &dir)?;
    }
    {
        let _dir = sh.push_dir(&dir);
        cmd!(sh, "npm ci --silent --no-audit --no-fund --ignore-scripts").quiet().run()?;
    }
    sh.write_file(&complete, "")?;
    Ok(dir)
}
