//! Ctrl-C: the first lets the running commit finish, the second ends at once.

use crate::failure::Failure;
use std::sync::atomic::{AtomicBool, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);

/// The flag that Ctrl-C sets, from now on.
pub(crate) fn on_interrupt() -> Result<&'static AtomicBool, Failure> {
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        say("stopping after the running commit; Ctrl-C again stops at once");
    })
    .map_err(|error| {
        Failure::new(format!("cannot watch for Ctrl-C: {error}"), "report this with the command and the message")
    })?;
    Ok(&STOP)
}

#[expect(clippy::print_stderr, reason = "the program is in the middle of its work")]
fn say(line: &str) {
    eprintln!("{line}");
}
