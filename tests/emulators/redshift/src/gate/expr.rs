//! Expressions. They are recognised, not understood: PostgreSQL binds operators as Redshift does.

use super::cursor::Cursor;
use super::query::{self, is_query};
use super::words::{Function, SYSTEM_COLUMNS, function, is_reserved};
use super::{Refusal, quote, token::Token, types};

type Result<T = ()> = std::result::Result<T, Refusal>;

const BINARY: [&str; 14] = ["||", "<=", ">=", "<>", "!=", "+", "-", "*", "/", "%", "<", ">", "=", "|"];

/// Operands with operators between and behind them.
pub(super) fn expr(at: &mut Cursor<'_>) -> Result {
    operand(at)?;
    loop {
        if let Some(sign) = BINARY.iter().find(|sign| at.sees_sign(sign)) {
            at.sign(sign);
            operand(at)?;
        } else if at.word(&["and"]) || at.word(&["or"]) {
            operand(at)?;
        } else if at.skip_sign("::") {
            let ty = types::read(at)?;
            at.join("::");
            at.join(&ty);
        } else if at.word(&["is"]) {
            is(at)?;
        } else if at.word(&["isnull"]) || at.word(&["notnull"]) {
        } else if at.word(&["at", "time", "zone"]) {
            operand(at)?;
        } else if !range(at)? {
            return Ok(());
        }
    }
}

fn is(at: &mut Cursor<'_>) -> Result {
    at.word(&["not"]);
    if at.sees(&["distinct", "from"]) {
        return Err(Refusal::new("0A000", "rsemu: IS [NOT] DISTINCT FROM is not Redshift's: compare, and ask IS NULL"));
    }
    if at.word(&["null"]) || at.word(&["true"]) || at.word(&["false"]) || at.word(&["unknown"]) {
        return Ok(());
    }
    Err(at.unexpected())
}

/// `[NOT] IN`, `[NOT] LIKE`, `[NOT] BETWEEN`.
fn range(at: &mut Cursor<'_>) -> Result<bool> {
    let not = at.sees(&["not"]);
    let ahead = usize::from(not);
    let Some(Token::Word(word)) = at.peek_at(ahead) else { return Ok(false) };
    if !["in", "like", "ilike", "between"].contains(&word.as_str()) {
        return Ok(false);
    }
    if not {
        at.expect("not")?;
    }
    at.expect(word)?;
    match word.as_str() {
        "in" => {
            at.expect_sign("(")?;
            if is_query(at) {
                query::query(at)?;
            } else {
                at.list(expr)?;
            }
            at.expect_sign(")")?;
        }
        // BETWEEN's AND reads like any other.
        "between" => operand(at)?,
        _ => {
            operand(at)?;
            if at.word(&["escape"]) {
                operand(at)?;
            }
        }
    }
    Ok(true)
}

fn operand(at: &mut Cursor<'_>) -> Result {
    while at.word(&["not"]) || at.sign("-") || at.sign("+") {}
    match at.peek() {
        Some(Token::Text(text)) => {
            at.next();
            at.put_text(text);
            Ok(())
        }
        Some(Token::Number(number) | Token::Parameter(number)) => {
            at.next();
            at.put(number);
            Ok(())
        }
        Some(Token::Sign("(")) => parenthesis(at),
        Some(Token::Word(word)) => match at.peek_at(1) {
            Some(Token::Sign("(")) if word != "exists" && word != "cast" => call(at),
            Some(Token::Text(_)) if ["date", "timestamp", "timestamptz", "interval"].contains(&word.as_str()) => {
                at.expect(word)?;
                let text = at.next_text()?;
                at.put_text(&text);
                Ok(())
            }
            _ => bare(at, word),
        },
        Some(Token::Quoted(_)) => path(at),
        _ => Err(at.unexpected()),
    }
}

fn parenthesis(at: &mut Cursor<'_>) -> Result {
    at.expect_sign("(")?;
    if is_query(at) {
        query::query(at)?;
    } else {
        at.list(expr)?;
    }
    at.expect_sign(")")
}

fn bare(at: &mut Cursor<'_>, word: &str) -> Result {
    match word {
        "null" | "true" | "false" | "default" | "current_date" | "current_user" | "session_user" | "user" => {
            at.expect(word)
        }
        "exists" => {
            at.expect(word)?;
            at.expect_sign("(")?;
            query::query(at)?;
            at.expect_sign(")")
        }
        "case" => case(at),
        "cast" => {
            at.expect("cast")?;
            at.expect_sign("(")?;
            expr(at)?;
            at.expect("as")?;
            let ty = types::read(at)?;
            at.put(&ty);
            at.expect_sign(")")
        }
        // "SYSDATE": the start of the transaction, without a zone.
        "sysdate" => {
            at.next();
            at.put("(transaction_timestamp()::timestamp)");
            Ok(())
        }
        "current_timestamp" | "current_time" | "localtimestamp" | "localtime" => Err(leader_only(word)),
        word if is_reserved(word) => Err(at.unexpected()),
        _ => path(at),
    }
}

fn leader_only(what: &str) -> Refusal {
    // "Deprecated leader-node functions": use GETDATE or SYSDATE instead.
    Refusal::new(
        "0A000",
        format!("rsemu: {} runs on the leader node only: use GETDATE() or SYSDATE", what.to_uppercase()),
    )
}

fn case(at: &mut Cursor<'_>) -> Result {
    at.expect("case")?;
    if !at.sees(&["when"]) {
        expr(at)?;
    }
    while at.word(&["when"]) {
        expr(at)?;
        at.expect("then")?;
        expr(at)?;
    }
    if at.word(&["else"]) {
        expr(at)?;
    }
    at.expect("end")
}

/// `column`, `table.column`, `schema.table.column`, `table.*`.
fn path(at: &mut Cursor<'_>) -> Result {
    let mut parts = vec![at.name()?];
    while at.skip_sign(".") {
        if at.skip_sign("*") {
            let sql = at.path_sql(&parts);
            at.put(&sql);
            at.join(".*");
            return Ok(());
        }
        parts.push(at.name()?);
    }
    if let Some(last) = parts.last()
        && SYSTEM_COLUMNS.contains(&last.as_str())
    {
        return Err(Refusal::new("42703", format!("column \"{last}\" does not exist")));
    }
    if at.sees_sign("(") {
        return Err(Refusal::new("42883", format!("function {}() does not exist", parts.join("."))));
    }
    let sql = parts.iter().map(|part| quote(&at.names.short(part))).collect::<Vec<_>>().join(".");
    at.put(&sql);
    Ok(())
}

fn call(at: &mut Cursor<'_>) -> Result {
    let name = at.next_word()?;
    if is_reserved(&name) && function(&name).is_none() {
        at.back();
        return Err(at.unexpected());
    }
    match function(&name) {
        _ if name == "now" => return Err(leader_only("now()")),
        _ if name == "extract" => return extract(at),
        None => {
            return Err(Refusal::new(
                "42883",
                format!("rsemu: {name}() is no function of Redshift's compute nodes, or not on the allow-list"),
            ));
        }
        Some(Function::Leader) => at.leader = Some(name.clone()),
        Some(Function::Anywhere) => {}
    }
    if name == "getdate" {
        // "GETDATE": the start of the statement, whole seconds, without a zone.
        at.put("(date_trunc('second', statement_timestamp())::timestamp)");
        return if at.skip_sign("(") && at.skip_sign(")") { Ok(()) } else { Err(at.unexpected()) };
    }
    at.put(&own_name(&name));
    at.expect_sign("(")?;
    if is_privilege(&name) {
        privilege_arguments(at)?;
    } else if !at.sees_sign(")") && !at.sign("*") {
        if !at.word(&["distinct"]) {
            at.word(&["all"]);
        }
        at.list(expr)?;
    }
    at.expect_sign(")")?;
    over(at)
}

/// What PostgreSQL calls it.
fn own_name(name: &str) -> String {
    match name {
        "nvl" => "coalesce".into(),
        "len" | "length" => "rs_emu.len".into(),
        "pg_last_copy_count" | "pg_last_copy_id" => format!("rs_emu.{name}"),
        _ => name.to_owned(),
    }
}

fn is_privilege(name: &str) -> bool {
    name.starts_with("has_")
}

/// Names stand in strings here, and are stored short.
fn privilege_arguments(at: &mut Cursor<'_>) -> Result {
    at.list(|at| match at.peek() {
        Some(Token::Text(text)) => {
            at.next();
            let short = at.names.short(text);
            at.put_text(&short);
            Ok(())
        }
        _ => expr(at),
    })
}

fn extract(at: &mut Cursor<'_>) -> Result {
    at.put("extract");
    at.expect_sign("(")?;
    let field = match at.next() {
        Some(Token::Word(field) | Token::Text(field)) => field.clone(),
        _ => {
            at.back();
            return Err(at.unexpected());
        }
    };
    at.put_text(&field);
    at.expect("from")?;
    expr(at)?;
    at.expect_sign(")")
}

fn over(at: &mut Cursor<'_>) -> Result {
    if !at.word(&["over"]) {
        return Ok(());
    }
    at.expect_sign("(")?;
    if at.word(&["partition", "by"]) {
        at.list(expr)?;
    }
    if at.word(&["order", "by"]) {
        at.list(query::order_item)?;
    }
    if at.word(&["rows", "between"]) {
        frame_bound(at)?;
        at.expect("and")?;
        frame_bound(at)?;
    } else if at.word(&["rows"]) {
        frame_bound(at)?;
    }
    at.expect_sign(")")
}

fn frame_bound(at: &mut Cursor<'_>) -> Result {
    if at.word(&["unbounded", "preceding"]) || at.word(&["unbounded", "following"]) || at.word(&["current", "row"]) {
        return Ok(());
    }
    Err(at.unexpected())
}
