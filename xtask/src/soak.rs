//! `cargo xtask soak`: the service under load with a warehouse that fails, for as long as is asked for.

use crate::Result;
use xshell::{Shell, cmd};

/// Runs the one test that ordinary runs leave out for its length.
pub(crate) fn run(sh: &Shell, minutes: &str) -> Result {
    let minutes: u64 = minutes.parse().map_err(|_| "--minutes needs a whole number")?;
    let _seconds = sh.push_env("TABLECAST_SOAK_SECS", (minutes * 60).to_string());
    let test = ["--test", "service", "--", "--exact", "soak::every_event_is_in_every_warehouse_once", "--nocapture"];
    cmd!(sh, "cargo test --package tablecast-service-tests {test...}").run()?;
    Ok(())
}
