//! From Snowflake's answers to what the caller does about them, in one table.

use serde_json::Value;
use snowflake_api::connection::ConnectionError;
use std::fmt;
use tablecast_core::{Error, ErrorKind};

mod table;

use table::{Row, TABLE};

/// An answer that is no success, or none at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fault {
    /// The HTTP status; 0 where it was a success, or there was none.
    pub(crate) status: u16,
    /// Snowflake's code (`002003`), or one of ours: see [`own`].
    pub(crate) code: String,
    /// The SQLSTATE.
    pub(crate) state: String,
    /// What Snowflake says. It may quote values.
    message: String,
    /// The statement, to look it up in the query history.
    query_id: String,
}

/// Codes for what is no answer of Snowflake's.
pub(crate) mod own {
    /// No connection came about.
    pub(crate) const CONNECT: &str = "connect";
    /// No answer in time.
    pub(crate) const TIMEOUT: &str = "timeout";
    /// The connection broke.
    pub(crate) const BROKEN: &str = "broken";
    /// An answer that makes no sense: cut off, or not from Snowflake.
    pub(crate) const UNREADABLE: &str = "unreadable";
    /// A statement was given up because it took too long.
    pub(crate) const DEADLINE: &str = "deadline";
    /// An answer points somewhere else.
    pub(crate) const ELSEWHERE: &str = "elsewhere";
    /// The login.
    pub(crate) const KEY: &str = "key";
    /// An answer to a PUT that nothing can be uploaded by.
    pub(crate) const UPLOAD: &str = "upload";
}

/// What came instead of an answer of Snowflake's, as the transport hands it up: it has room for errors only.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP status {}", self.status)
    }
}

impl std::error::Error for Refused {}

impl Fault {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Fault {
        Fault { code: code.to_owned(), message: message.into(), ..Fault::default() }
    }

    /// From an answer that says what failed, whatever it looks like.
    pub(crate) fn from_answer(status: u16, answer: &Value) -> Fault {
        let data = &answer["data"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let code = [&answer["code"], &data["errorCode"]].map(code).into_iter().find(|code| !code.is_empty());
        let state = [&data["sqlState"], &answer["sqlState"]].map(text).into_iter().find(|state| !state.is_empty());
        Fault {
            status,
            code: code.unwrap_or_default(),
            state: state.unwrap_or_default(),
            message: text(&answer["message"]),
            query_id: text(&data["queryId"]),
        }
    }

    /// Whether the same request may succeed a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        let lost = [own::CONNECT, own::TIMEOUT, own::BROKEN, own::UNREADABLE];
        lost.contains(&self.code.as_str()) || matches!(self.status, 408 | 429 | 500..=599)
    }

    /// Whether nobody knows if the statement was run, or still runs.
    pub(crate) fn is_unknown(&self) -> bool {
        self.is_passing() || self.code == own::DEADLINE
    }

    /// Whether the session's token has run out, which a new one cures.
    pub(crate) fn is_stale_token(&self) -> bool {
        self.code == "390112"
    }

    /// Whether a table, a schema or another object is not there.
    pub(crate) fn is_missing(&self) -> bool {
        self.code == "002003" || self.state == "42S02"
    }

    /// Whether an object is there already.
    pub(crate) fn is_there(&self) -> bool {
        self.code == "002002" || self.code == "001430" || self.message.contains("already exists")
    }

    /// Whether somebody else's transaction was in the way.
    pub(crate) fn is_conflict(&self) -> bool {
        self.row().is_some_and(|row| row.kind == ErrorKind::Conflict)
    }

    fn row(&self) -> Option<&'static Row> {
        let fits = |row: &&Row| {
            (row.code.is_empty() || row.code == self.code)
                && (row.state.is_empty() || row.state == self.state)
                && (row.status == 0 || row.status == self.status)
                && self.message.contains(row.part)
        };
        TABLE.iter().find(fits)
    }

    /// What Snowflake says, as far as it may be shown: what stands in quotes may be a value, where the message is not
    /// one about names.
    fn shown(&self, names: bool) -> String {
        let mut shown = String::new();
        let mut quote = None;
        for c in self.message.chars().take(400) {
            match quote {
                Some(open) if c == open => quote = None,
                Some(_) => {}
                None if !names && matches!(c, '"' | '\'' | '`') => {
                    quote = Some(c);
                    shown.push('…');
                }
                None if !names && c == ':' && self.code.starts_with("100") => {
                    shown.push('…');
                    break;
                }
                None => shown.push(if c.is_control() { ' ' } else { c }),
            }
        }
        shown.trim().to_owned()
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        let Some(row) = fault.row() else {
            let error = Error::new(ErrorKind::Internal, "Snowflake refused a statement")
                .with("answer", fault.shown(false))
                .fix("look the query up in Snowflake's query history; report it with the code, nothing was loaded");
            return placed(error, &fault);
        };
        let error = Error::new(row.kind, row.message).fix(row.remedy);
        let error = if row.temporary { error.temporary() } else { error };
        let shown = fault.shown(row.names);
        let error = if shown.is_empty() { error } else { error.with("answer", shown) };
        placed(error, &fault)
    }
}

/// With what tells where it happened.
fn placed(mut error: Error, fault: &Fault) -> Error {
    let texts = [("code", &fault.code), ("sqlstate", &fault.state), ("query", &fault.query_id)];
    for (key, value) in texts {
        if !value.is_empty() {
            error = error.with(key, value);
        }
    }
    if fault.status > 0 { error.with("status", fault.status) } else { error }
}

/// A code as Snowflake writes it, with six digits.
fn code(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => format!("{:0>6}", number.to_string()),
        _ => String::new(),
    }
}

impl From<reqwest::Error> for Fault {
    fn from(error: reqwest::Error) -> Fault {
        let code = match () {
            () if error.is_decode() => own::UNREADABLE,
            () if error.is_timeout() => own::TIMEOUT,
            () if error.is_connect() => own::CONNECT,
            () => own::BROKEN,
        };
        // The outer layers show the address, which may hold a signature.
        let mut cause: &dyn std::error::Error = &error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        let message = if code == own::CONNECT { cause.to_string() } else { String::new() };
        Fault::new(code, message)
    }
}

impl From<reqwest_middleware::Error> for Fault {
    fn from(error: reqwest_middleware::Error) -> Fault {
        match error {
            reqwest_middleware::Error::Reqwest(error) => error.into(),
            reqwest_middleware::Error::Middleware(error) => match error.downcast::<Refused>() {
                Ok(refused) => {
                    Fault::from_answer(refused.status, &serde_json::from_slice(&refused.body).unwrap_or_default())
                }
                Err(_) => Fault::new(own::BROKEN, ""),
            },
        }
    }
}

impl From<ConnectionError> for Fault {
    fn from(error: ConnectionError) -> Fault {
        match error {
            ConnectionError::RequestError(error) => error.into(),
            ConnectionError::RequestMiddlewareError(error) => error.into(),
            ConnectionError::Deserialization(_) => Fault::new(own::UNREADABLE, ""),
            ConnectionError::UrlParsing(_) | ConnectionError::InvalidHeader(_) => Fault::new(own::UNREADABLE, ""),
        }
    }
}

#[cfg(test)]
mod tests;
