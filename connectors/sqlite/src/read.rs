//! Reading a table back as text, for people to look at.

use crate::client::{Faults, Session};
use crate::config::{Mode, Options, file};
use crate::sql;
use crate::types::DIALECT;
use rusqlite::types::ValueRef;
use std::path::Path;
use tablecast_core::{Error, ErrorKind, Ident, LiveType, Result, Type};

/// Rows of cells as text; `None` is NULL.
pub type Rows = Vec<Vec<Option<String>>>;

/// A table's column names and at most `limit` of its rows, both in the table's own order; opens the file read only.
///
/// Cells are text in the canonical rendering: booleans `true` or `false`, numbers as JSON writes them, timestamps
/// `2026-01-31T23:59:59.000000Z`; `None` is NULL. Fails with `Config` if there is no such file or table.
pub fn read_table(directory: &Path, schema: &Ident, table: &str, limit: usize) -> Result<(Vec<String>, Rows)> {
    let path = file(directory, schema)?;
    let at = |error: Error| error.with("path", path.display());
    let options = Options { mode: Mode::Ro, ..Options::default() };
    let Some(session) = Session::open(&path, &options, &Faults::default())? else {
        return Err(at(Error::new(ErrorKind::Config, "there is no warehouse file for this space")
            .fix("check the directory and the space, or load something into it first")));
    };
    session.snapshot()?;
    let live = session.all(sql::COLUMNS, [table], |row| {
        let declared: String = row.get(1)?;
        let ty = (DIALECT.parse_type)(&declared).map_or(LiveType::Other(declared), LiveType::Known);
        Ok((row.get::<_, String>(0)?, ty))
    });
    let (names, types): (Vec<String>, Vec<LiveType>) = live.map_err(at)?.into_iter().unzip();
    if names.is_empty() {
        let there = session.all(sql::TABLES, [], |row| row.get::<_, String>(0)).map_err(at)?;
        return Err(at(Error::new(ErrorKind::Config, "there is no such table").with("table", table))
            .fix(format!("take one of those that are there: {}", there.join(", "))));
    }
    let rows = session.all(&sql::select_first(table, &names), [i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        types.iter().enumerate().map(|(at, ty)| Ok(render(row.get_ref(at)?, ty))).collect()
    });
    Ok((names, rows.map_err(at)?))
}

/// A value in the canonical rendering; none for NULL.
pub(crate) fn render(value: ValueRef<'_>, ty: &LiveType) -> Option<String> {
    Some(match value {
        ValueRef::Null => return None,
        ValueRef::Integer(value) if *ty == LiveType::Known(Type::Boolean) => (value != 0).to_string(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => zmij::Buffer::new().format(value).to_owned(),
        // The zeros in front only make text order number order.
        ValueRef::Text(text) if *ty == LiveType::Known(Type::Version) => {
            let digits = String::from_utf8_lossy(text);
            let digits = digits.trim_start_matches('0');
            if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }
        }
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => format!("{} bytes", bytes.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    #[test]
    fn a_table_reads_back_in_its_own_order() {
        let directory = tempfile::tempdir().unwrap();
        let schema = Ident::from("personas_default");
        let missing = read_table(directory.path(), &schema, "users", 9).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Config);

        let made = Connection::open(directory.path().join("personas_default.db")).unwrap();
        made.execute_batch(
            "CREATE TABLE users (id TEXT, vip BOOLEAN, a_number DOUBLE, \"odd \"\" name\" DECIMAL_TEXT);
             INSERT INTO users VALUES ('u1', 1, 450.0, '18446744073709551616'), ('u2', 0, NULL, NULL), ('u3', NULL, 1e30, NULL)",
        )
        .unwrap();
        let (columns, rows) = read_table(directory.path(), &schema, "users", 2).unwrap();
        assert_eq!(columns, ["id", "vip", "a_number", "odd \" name"]);
        let text = |cells: [Option<&str>; 4]| cells.map(|cell| cell.map(str::to_owned)).to_vec();
        assert_eq!(
            rows,
            [
                text([Some("u1"), Some("true"), Some("450.0"), Some("18446744073709551616")]),
                text([Some("u2"), Some("false"), None, None])
            ]
        );
        let unknown = read_table(directory.path(), &schema, "persons", 2).unwrap_err();
        assert!(
            unknown.kind() == ErrorKind::Config && unknown.remedy().ends_with("that are there: users"),
            "{unknown:?}"
        );
    }
}
