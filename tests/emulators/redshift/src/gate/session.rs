//! Statements about the session and the transaction.

use super::cursor::Cursor;
use super::{Refusal, token::Token};

type Result<T = ()> = std::result::Result<T, Refusal>;

/// `BEGIN`; an isolation level is read and has no effect: it is a property of the database ("BEGIN").
pub(super) fn begin(at: &mut Cursor<'_>, first: &str) -> Result {
    if first == "start" {
        if !at.skip(&["transaction"]) {
            return Err(at.unexpected());
        }
    } else if !at.skip(&["work"]) {
        at.skip(&["transaction"]);
    }
    if at.skip(&["isolation", "level"]) {
        let known = at.skip(&["serializable"])
            || at.skip(&["read", "committed"])
            || at.skip(&["read", "uncommitted"])
            || at.skip(&["repeatable", "read"]);
        if !known {
            return Err(at.unexpected());
        }
    }
    let _ = at.skip(&["read", "write"]) || at.skip(&["read", "only"]);
    at.restart("BEGIN");
    Ok(())
}

/// `COMMIT`, `END`, `ROLLBACK`, `ABORT`.
pub(super) fn finish(at: &mut Cursor<'_>, first: &str) -> Result {
    let _ = at.skip(&["work"]) || at.skip(&["transaction"]);
    if at.sees(&["to"]) {
        return Err(Refusal::new("0A000", "SQL command \"ROLLBACK TO SAVEPOINT\" not supported."));
    }
    if at.sees(&["and"]) || at.sees(&["prepared"]) {
        return Err(at.unexpected());
    }
    at.restart(match first {
        "commit" | "end" => "COMMIT",
        _ => "ROLLBACK",
    });
    Ok(())
}

/// Settings that PostgreSQL knows by the same name.
const SETTINGS: [&str; 6] =
    ["application_name", "datestyle", "extra_float_digits", "search_path", "statement_timeout", "timezone"];
/// Settings that only Redshift knows, without effect here.
const OWN_SETTINGS: [&str; 3] = ["query_group", "enable_result_cache_for_session", "wlm_query_slot_count"];

/// `SET name TO value`, `SET name = value`, `RESET name`.
pub(super) fn set(at: &mut Cursor<'_>, first: &str) -> Result {
    at.restart(&first.to_uppercase());
    if first == "set" {
        at.skip(&["session"]);
        if at.sees(&["local"]) {
            return Err(Refusal::syntax("rsemu: SET LOCAL is not on the allow-list"));
        }
    }
    let name = at.next_word()?;
    put_setting(at, &name)?;
    if first == "reset" {
        return Ok(());
    }
    if !at.skip(&["to"]) && !at.skip_sign("=") {
        return Err(at.unexpected());
    }
    at.put("TO");
    let mut values = Vec::new();
    loop {
        let minus = if at.skip_sign("-") { "-" } else { "" };
        values.push(match at.next() {
            Some(Token::Word(word) | Token::Quoted(word)) => word.clone(),
            Some(Token::Text(text)) => text.clone(),
            Some(Token::Number(number)) => format!("{minus}{number}"),
            _ => {
                at.back();
                return Err(at.unexpected());
            }
        });
        if !at.skip_sign(",") {
            break;
        }
    }
    // "extra_float_digits": −15 to 2.
    if name == "extra_float_digits" && values[0].parse::<i32>().is_ok_and(|digits| digits > 2) {
        return Err(Refusal::new(
            "22023",
            format!("{} is outside the valid range for parameter \"extra_float_digits\" (-15 .. 2)", values[0]),
        ));
    }
    let is_default = values == ["default"];
    let values: Vec<String> = values.iter().map(|value| super::text(value)).collect();
    at.put(if is_default { "DEFAULT" } else { "" });
    if !is_default {
        at.join(&values.join(", "));
    }
    Ok(())
}

fn put_setting(at: &mut Cursor<'_>, name: &str) -> Result {
    if SETTINGS.contains(&name) {
        at.put(name);
    } else if OWN_SETTINGS.contains(&name) {
        at.put(&format!("rs_emu.{name}"));
    } else {
        return Err(Refusal::new("42704", format!("unrecognized configuration parameter \"{name}\"")));
    }
    Ok(())
}

/// `SHOW name`.
pub(super) fn show(at: &mut Cursor<'_>) -> Result {
    let name = at.next_word()?;
    match name.as_str() {
        "server_version" => at.restart("SELECT '8.0.2'::varchar AS server_version"),
        "enable_case_sensitive_identifier" => at.restart("SELECT 'off'::varchar AS enable_case_sensitive_identifier"),
        "query_group" => {
            at.restart("SELECT coalesce(nullif(current_setting('rs_emu.query_group', true), ''), 'unset')::varchar AS query_group");
        }
        name => {
            at.restart("SHOW");
            put_setting(at, name)?;
        }
    }
    Ok(())
}

/// `LOCK [TABLE] a, b`: always ACCESS EXCLUSIVE, there is no IN … MODE ("LOCK").
pub(super) fn lock(at: &mut Cursor<'_>) -> Result {
    at.restart("LOCK TABLE");
    at.skip(&["table"]);
    at.list(|at| at.put_table().map(drop))
}

/// `ANALYZE [table [(columns)]]`.
pub(super) fn analyze(at: &mut Cursor<'_>) -> Result {
    at.restart("ANALYZE");
    at.put_table()?;
    if at.sees_sign("(") {
        at.column_list()?;
    }
    Ok(())
}

/// `TRUNCATE` commits the transaction that it stands in ("TRUNCATE"), which no loader can mean.
pub(super) fn truncate(at: &mut Cursor<'_>, in_block: bool) -> Result {
    if in_block {
        return Err(Refusal::new("25001", "rsemu: TRUNCATE commits the transaction on Redshift: DELETE instead"));
    }
    at.restart("TRUNCATE");
    at.skip(&["table"]);
    at.put_table().map(drop)
}
