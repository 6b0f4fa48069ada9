//! How a command ends: exit codes, and failures that say what to do.

use std::process::ExitCode;
use tablecast::{Error, ErrorKind};

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0
    Done,
    /// 1
    Failed,
    /// 2
    Usage,
    /// 3
    Discards,
    /// 130
    Stopped,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Discards => 3,
            Exit::Stopped => 130,
        })
    }
}

/// Why a command failed, and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    usage: bool,
    pub(crate) what: String,
    pub(crate) to_do: String,
}

impl Failure {
    /// The command line is wrong; nothing was done.
    pub(crate) fn usage(what: impl Into<String>, to_do: impl Into<String>) -> Self {
        Failure { usage: true, what: what.into(), to_do: to_do.into() }
    }

    /// Something outside went wrong.
    pub(crate) fn new(what: impl Into<String>, to_do: impl Into<String>) -> Self {
        Failure { usage: false, what: what.into(), to_do: to_do.into() }
    }

    /// The process itself cannot work.
    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    pub(crate) fn from_io(error: std::io::Error) -> Self {
        Failure::new(format!("the operating system refused: {error}"), "see to it, then run again")
    }

    /// One line what, one line what to do, on standard error.
    #[expect(clippy::print_stderr, reason = "this is where failures are told")]
    pub(crate) fn tell(&self) {
        eprintln!("error: {}\nto do: {}", self.what, self.to_do);
    }

    pub(crate) fn exit(&self) -> Exit {
        if self.usage { Exit::Usage } else { Exit::Failed }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure { usage: error.kind() == ErrorKind::Config, what: error.to_string(), to_do: error.remedy().to_owned() }
    }
}
