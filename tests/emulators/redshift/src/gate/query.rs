//! SELECT.

use super::cursor::Cursor;
use super::expr::expr;
use super::words::{catalog, is_reserved, is_system_schema};
use super::{Refusal, quote, token::Token};

type Result<T = ()> = std::result::Result<T, Refusal>;

/// Whether a query begins here.
pub(super) fn is_query(at: &Cursor<'_>) -> bool {
    at.sees(&["select"]) || at.sees(&["with"])
}

/// `[WITH …] SELECT … [UNION …] [ORDER BY …] [LIMIT …] [OFFSET …]`
pub(super) fn query(at: &mut Cursor<'_>) -> Result {
    if at.word(&["with"]) {
        at.list(with)?;
    }
    operand(at)?;
    loop {
        if at.word(&["union"]) {
            at.word(&["all"]);
        } else if at.skip(&["minus"]) {
            at.put("EXCEPT");
        } else if !(at.word(&["except"]) || at.word(&["intersect"])) {
            break;
        }
        operand(at)?;
    }
    if at.word(&["order", "by"]) {
        at.list(order_item)?;
    }
    if at.word(&["limit"]) && !at.word(&["all"]) {
        expr(at)?;
    }
    if at.word(&["offset"]) {
        expr(at)?;
    }
    Ok(())
}

/// `expr [ASC | DESC] [NULLS FIRST | NULLS LAST]`
pub(super) fn order_item(at: &mut Cursor<'_>) -> Result {
    expr(at)?;
    if !at.word(&["asc"]) {
        at.word(&["desc"]);
    }
    let _ = at.word(&["nulls", "first"]) || at.word(&["nulls", "last"]);
    Ok(())
}

fn with(at: &mut Cursor<'_>) -> Result {
    if at.sees(&["recursive"]) {
        return Err(Refusal::syntax("rsemu: WITH RECURSIVE is not emulated"));
    }
    let name = at.put_name()?;
    if at.sees_sign("(") {
        at.column_list()?;
    }
    at.expect("as")?;
    at.expect_sign("(")?;
    query(at)?;
    at.expect_sign(")")?;
    at.with.push(name);
    Ok(())
}

fn operand(at: &mut Cursor<'_>) -> Result {
    if at.sign("(") {
        query(at)?;
        return at.expect_sign(")");
    }
    at.expect("select")?;
    if at.sees(&["top"]) {
        return Err(Refusal::syntax("rsemu: SELECT TOP is not emulated: use LIMIT"));
    }
    if !at.word(&["distinct"]) {
        at.word(&["all"]);
    }
    at.list(item)?;
    if at.word(&["from"]) {
        from(at)?;
    }
    if at.word(&["where"]) {
        expr(at)?;
    }
    if at.word(&["group", "by"]) {
        at.list(expr)?;
    }
    if at.word(&["having"]) {
        expr(at)?;
    }
    if at.sees(&["qualify"]) {
        return Err(Refusal::syntax("rsemu: QUALIFY is not emulated: use a subquery"));
    }
    Ok(())
}

/// A string without a type, as a column of a subquery: PostgreSQL makes it text since version 10, Redshift does not.
fn is_untyped(at: &Cursor<'_>) -> bool {
    let alone = match at.peek_at(1) {
        Some(Token::Word(word)) => word == "as" || word == "from",
        Some(Token::Sign(sign)) => *sign == "," || *sign == ")",
        other => other.is_none(),
    };
    alone && matches!(at.peek(), Some(Token::Text(_)))
}

fn item(at: &mut Cursor<'_>) -> Result {
    if at.derived > 0 && is_untyped(at) {
        let message = "failed to find conversion function from \"unknown\" to character varying";
        return Err(Refusal::new("XX000", message));
    }
    if at.sign("*") {
        return Ok(());
    }
    expr(at)?;
    alias(at).map(drop)
}

/// `[AS] name`
fn alias(at: &mut Cursor<'_>) -> Result<bool> {
    let bare = match at.peek() {
        Some(Token::Quoted(_)) => true,
        Some(Token::Word(word)) => !is_reserved(word),
        _ => false,
    };
    let named = at.skip(&["as"]) || bare;
    if named {
        at.put("AS");
        at.put_name()?;
    }
    Ok(named)
}

/// What stands behind FROM or USING.
pub(super) fn from(at: &mut Cursor<'_>) -> Result {
    at.list(|at| {
        source(at)?;
        while join(at)? {}
        Ok(())
    })
}

fn join(at: &mut Cursor<'_>) -> Result<bool> {
    if at.word(&["cross", "join"]) {
        source(at)?;
        return Ok(true);
    }
    let found = at.word(&["join"])
        || at.word(&["inner", "join"])
        || ["left", "right", "full"].iter().any(|side| at.word(&[side, "join"]) || at.word(&[side, "outer", "join"]));
    if !found {
        return Ok(false);
    }
    source(at)?;
    if at.word(&["on"]) {
        expr(at)?;
    } else if at.word(&["using"]) {
        at.column_list()?;
    } else {
        return Err(at.unexpected());
    }
    Ok(true)
}

fn source(at: &mut Cursor<'_>) -> Result {
    if at.sign("(") {
        if at.sees(&["values"]) {
            return Err(Refusal::new("0A000", "rsemu: Redshift has no VALUES list as a table: use UNION ALL"));
        }
        at.derived += 1;
        query(at)?;
        at.derived -= 1;
        at.expect_sign(")")?;
        // Redshift's and PostgreSQL 15's words for it.
        if !alias(at)? {
            return Err(Refusal::syntax("subquery in FROM must have an alias"));
        }
        return if at.sees_sign("(") { at.column_list() } else { Ok(()) };
    }
    let mut path = vec![at.name()?];
    while path.len() < 3 && at.skip_sign(".") {
        path.push(at.name()?);
    }
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let mut name = None;
    if let Some((relation, leader)) = catalog(&parts) {
        if leader {
            at.leader = Some(parts.join("."));
        }
        at.put(relation);
        name = parts.last().copied();
    } else if let [schema, table] = parts.as_slice()
        && is_system_schema(schema)
    {
        return Err(Refusal::new("42P01", format!("rsemu: {schema}.{table} is not emulated")));
    } else if parts.len() == 1 && parts[0].starts_with("pg_") {
        return Err(Refusal::new("42P01", format!("rsemu: {} is not emulated", parts[0])));
    } else if parts.len() == 3 {
        return Err(Refusal::new("0A000", "rsemu: queries across databases are not emulated"));
    } else {
        at.user_table |= !(parts.len() == 1 && at.with.contains(&path[0]));
        let sql = at.path_sql(&path);
        at.put(&sql);
    }
    if !alias(at)?
        && let Some(name) = name
    {
        at.put(&format!("AS {}", quote(name)));
    }
    Ok(())
}
