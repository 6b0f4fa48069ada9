//! INSERT, UPDATE, DELETE.

use super::Refusal;
use super::cursor::Cursor;
use super::expr::expr;
use super::query::{from, is_query, query};

type Result = std::result::Result<(), Refusal>;

/// `INSERT INTO table [(columns)] { VALUES … | query | DEFAULT VALUES }`: no ON CONFLICT, no RETURNING ("INSERT").
pub(super) fn insert(at: &mut Cursor<'_>) -> Result {
    at.restart("INSERT");
    at.expect("into")?;
    at.put_table()?;
    if at.sees_sign("(") {
        at.column_list()?;
    }
    if is_query(at) {
        return query(at);
    }
    if at.word(&["default", "values"]) {
        return Ok(());
    }
    at.expect("values")?;
    at.list(|at| {
        at.expect_sign("(")?;
        at.list(expr)?;
        at.expect_sign(")")
    })
}

/// `UPDATE table SET column = expr, … [FROM …] [WHERE …]`.
///
/// The page "UPDATE" contradicts itself about an alias of the target, so there is none here.
pub(super) fn update(at: &mut Cursor<'_>) -> Result {
    at.restart("UPDATE");
    at.put_table()?;
    at.expect("set")?;
    at.list(|at| {
        at.put_name()?;
        at.expect_sign("=")?;
        expr(at)
    })?;
    if at.word(&["from"]) {
        from(at)?;
    }
    condition(at)
}

/// `DELETE [FROM] table [USING …] [WHERE …]`: the target has no alias ("DELETE").
pub(super) fn delete(at: &mut Cursor<'_>) -> Result {
    at.restart("DELETE FROM");
    at.skip(&["from"]);
    at.put_table()?;
    if at.word(&["using"]) {
        from(at)?;
    }
    condition(at)
}

fn condition(at: &mut Cursor<'_>) -> Result {
    if at.word(&["where"]) { expr(at) } else { Ok(()) }
}
