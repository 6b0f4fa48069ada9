//! The dialect gate: an allow-list of what Redshift understands and a loader needs, rewritten for PostgreSQL.
//!
//! What is not recognised is refused, so that SQL which Redshift would refuse cannot pass in silence.
//! Texts that begin with `rsemu:` are this emulator's own; the others are Redshift's, as far as they are known.

mod copy;
mod cursor;
mod ddl;
mod dml;
mod expr;
mod names;
mod query;
mod session;
mod token;
mod types;
mod words;

pub(crate) use copy::{Auth, Copy};
pub(crate) use names::Names;

use cursor::Cursor;
use std::borrow::Cow;

/// A statement that is not let through: what Redshift answers instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// SQLSTATE
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
}

impl Refusal {
    pub(crate) fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), detail: None }
    }

    fn syntax(message: impl Into<String>) -> Self {
        Self::new("42601", message)
    }

    /// SQL that makes PostgreSQL itself raise the error, so that the transaction aborts as it should.
    pub(crate) fn as_sql(&self) -> String {
        let detail = self.detail.as_ref().map(|detail| format!(", DETAIL = {}", text(detail)));
        format!(
            "DO $rsemu$ BEGIN RAISE EXCEPTION USING ERRCODE = {}, MESSAGE = {}{}; END $rsemu$",
            text(&self.code),
            text(&self.message),
            detail.unwrap_or_default()
        )
    }
}

/// What becomes of a statement.
#[derive(Debug)]
pub(crate) enum Action {
    /// Nothing stood there.
    Empty,
    /// PostgreSQL runs this.
    Run(Statement),
    /// The emulator loads from S3, within the session.
    Copy(Copy),
}

/// A statement in PostgreSQL's words.
#[derive(Debug, Default)]
pub(crate) struct Statement {
    pub(crate) sql: String,
    /// Runs right behind it and answers nothing to the client.
    pub(crate) then: Option<String>,
    /// What the client is told was done, where PostgreSQL was told something else.
    pub(crate) tag: Option<&'static str>,
}

/// "Quotas and limits": bytes in a statement.
const MAX_STATEMENT: usize = 16 << 20;

/// Looks at one statement. `in_block` says whether the session is within BEGIN … COMMIT.
///
/// # Errors
/// What Redshift would answer, or that the emulator does not know the form.
pub(crate) fn translate(sql: &str, in_block: bool, names: &Names) -> Result<Action, Refusal> {
    if sql.len() > MAX_STATEMENT {
        let message = format!(
            "Statement is too large. Statement Size: {} bytes. Maximum Allowed: {MAX_STATEMENT} bytes",
            sql.len()
        );
        return Err(Refusal::new("54000", message));
    }
    let mut tokens = token::tokens(sql)?;
    while tokens.last() == Some(&token::Token::Sign(";")) {
        tokens.pop();
    }
    if tokens.is_empty() {
        return Ok(Action::Empty);
    }
    let mut at = Cursor::new(&tokens, names);
    let mut tag = None;
    let mut then = None;
    let first = at.next_word()?;
    match first.as_str() {
        "begin" | "start" => session::begin(&mut at, &first)?,
        "commit" | "end" | "rollback" | "abort" => session::finish(&mut at, &first)?,
        "set" | "reset" => session::set(&mut at, &first)?,
        "show" => session::show(&mut at)?,
        "lock" => session::lock(&mut at)?,
        "analyze" => session::analyze(&mut at)?,
        "truncate" => session::truncate(&mut at, in_block)?,
        "copy" => {
            let copy = copy::read(&mut at)?;
            at.end()?;
            return Ok(Action::Copy(copy));
        }
        "create" => then = ddl::create(&mut at)?,
        "drop" => ddl::drop(&mut at)?,
        "alter" => tag = ddl::alter(&mut at, in_block)?,
        "insert" => dml::insert(&mut at)?,
        "update" => dml::update(&mut at)?,
        "delete" => dml::delete(&mut at)?,
        "select" | "with" => {
            at.back();
            query::query(&mut at)?;
        }
        "savepoint" | "release" => {
            return Err(Refusal::new("0A000", "SQL command \"SAVEPOINT\" not supported."));
        }
        other => {
            return Err(Refusal::syntax(format!(
                "rsemu: a statement that begins with {other} is not on the allow-list"
            )));
        }
    }
    at.end()?;
    let sql = at.finish()?;
    Ok(Action::Run(Statement { sql, then, tag }))
}

/// A string literal for PostgreSQL, whatever the text holds.
pub(crate) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A quoted name for PostgreSQL.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests;
