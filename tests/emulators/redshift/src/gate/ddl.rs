//! CREATE, DROP, ALTER.

use super::cursor::Cursor;
use super::expr::expr;
use super::{Refusal, text, types};

type Result<T = ()> = std::result::Result<T, Refusal>;

/// "Quotas and limits": columns per table.
const MAX_COLUMNS: usize = 1600;
/// "CREATE TABLE": columns in a sort key.
const MAX_SORT_COLUMNS: usize = 400;

/// `CREATE SCHEMA` and `CREATE TABLE`. Gives what is to run behind it.
pub(super) fn create(at: &mut Cursor<'_>) -> Result<Option<String>> {
    if at.skip(&["schema"]) {
        at.restart("CREATE SCHEMA");
        at.word(&["if", "not", "exists"]);
        at.put_name()?;
        if at.word(&["authorization"]) {
            at.put_name()?;
        }
        return Ok(None);
    }
    at.skip(&["local"]);
    let temporary = at.skip(&["temp"]) || at.skip(&["temporary"]);
    if at.skip(&["table"]) {
        at.restart(if temporary { "CREATE TEMP TABLE" } else { "CREATE TABLE" });
        return create_table(at);
    }
    if at.sees(&["index"]) || at.sees(&["unique", "index"]) {
        return Err(Refusal::new("0A000", "SQL command \"CREATE INDEX\" not supported on Redshift tables."));
    }
    match at.peek() {
        Some(super::token::Token::Word(what)) => {
            Err(Refusal::new("0A000", format!("rsemu: CREATE {} is not on the allow-list", what.to_uppercase())))
        }
        _ => Err(at.unexpected()),
    }
}

/// What CREATE TABLE says of its columns.
#[derive(Default)]
struct Shape {
    columns: Vec<String>,
    keys: Vec<String>,
    dist_keys: usize,
    sort_keys: usize,
}

fn create_table(at: &mut Cursor<'_>) -> Result<Option<String>> {
    at.word(&["if", "not", "exists"]);
    let path = at.put_table()?;
    let table = at.path_sql(&path);
    if at.sees(&["as"]) {
        return Err(Refusal::syntax("rsemu: CREATE TABLE AS is not on the allow-list: name the columns"));
    }
    let mut shape = Shape::default();
    at.expect_sign("(")?;
    if at.word(&["like"]) {
        at.put_table()?;
        let _ = at.word(&["including", "defaults"]) || at.word(&["excluding", "defaults"]);
    } else {
        loop {
            if !constraint(at, &mut shape)? {
                if !shape.columns.is_empty() {
                    at.join(",");
                }
                column(at, &mut shape)?;
            }
            if !at.skip_sign(",") {
                break;
            }
        }
    }
    at.expect_sign(")")?;
    if shape.columns.len() > MAX_COLUMNS {
        return Err(Refusal::new("54011", format!("tables can have at most {MAX_COLUMNS} columns")));
    }
    attributes(at, &mut shape)?;
    known(&shape.keys, &shape.columns)?;
    // Keys are not enforced ("Defining table constraints"), but ALTER COLUMN asks for them.
    let keys: Vec<String> = shape.keys.iter().map(|key| text(&at.names.short(key))).collect();
    Ok((!keys.is_empty()).then(|| {
        let list = keys.join(", ");
        format!("DO $rsemu$ BEGIN PERFORM rs_emu.mark_keys({}, ARRAY[{list}]); END $rsemu$", text(&table))
    }))
}

fn known(names: &[String], columns: &[String]) -> Result {
    match names.iter().find(|name| !columns.is_empty() && !columns.contains(name)) {
        Some(name) => Err(Refusal::new("42703", format!("column \"{name}\" named in key does not exist"))),
        None => Ok(()),
    }
}

/// A table constraint, taken without a trace: none is enforced.
fn constraint(at: &mut Cursor<'_>, shape: &mut Shape) -> Result<bool> {
    if at.skip(&["constraint"]) {
        at.name()?;
        if !(at.sees(&["primary"]) || at.sees(&["unique"]) || at.sees(&["foreign"]) || at.sees(&["check"])) {
            return Err(at.unexpected());
        }
    }
    if at.skip(&["primary", "key"]) || at.skip(&["unique"]) {
        shape.keys.extend(names(at)?);
    } else if at.skip(&["foreign", "key"]) {
        shape.keys.extend(names(at)?);
        if !at.skip(&["references"]) {
            return Err(at.unexpected());
        }
        references(at)?;
    } else if at.sees(&["check"]) {
        return Err(check());
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn check() -> Refusal {
    // "Unsupported PostgreSQL features": Amazon Redshift doesn't enforce or accept CHECK constraints.
    Refusal::new("0A000", "rsemu: CHECK constraints are not supported")
}

fn references(at: &mut Cursor<'_>) -> Result {
    at.name()?;
    if at.skip_sign(".") {
        at.name()?;
    }
    if at.sees_sign("(") {
        names(at)?;
    }
    Ok(())
}

/// `(a, b)`, not written.
fn names(at: &mut Cursor<'_>) -> Result<Vec<String>> {
    if !at.skip_sign("(") {
        return Err(at.unexpected());
    }
    let mut names = vec![at.name()?];
    while at.skip_sign(",") {
        names.push(at.name()?);
    }
    if at.skip_sign(")") { Ok(names) } else { Err(at.unexpected()) }
}

fn column(at: &mut Cursor<'_>, shape: &mut Shape) -> Result {
    let name = at.put_new_column()?;
    let ty = types::read(at)?;
    at.put(&ty);
    loop {
        if at.word(&["default"]) {
            expr(at)?;
        } else if at.word(&["not", "null"]) || at.word(&["null"]) {
        } else if at.skip(&["primary", "key"]) {
            at.put("NOT NULL");
            shape.keys.push(name.clone());
        } else if at.skip(&["unique"]) {
            shape.keys.push(name.clone());
        } else if at.skip(&["references"]) {
            references(at)?;
            shape.keys.push(name.clone());
        } else if at.skip(&["encode"]) {
            encoding(at)?;
        } else if at.skip(&["distkey"]) {
            shape.dist_keys += 1;
        } else if at.skip(&["sortkey"]) {
            shape.sort_keys += 1;
        } else if at.sees(&["check"]) {
            return Err(check());
        } else if at.sees(&["identity"]) || at.sees(&["generated"]) || at.sees(&["collate"]) {
            return Err(Refusal::new("0A000", "rsemu: IDENTITY, GENERATED and COLLATE are not emulated"));
        } else {
            break;
        }
    }
    shape.columns.push(name);
    Ok(())
}

/// "Compression encodings".
const ENCODINGS: [&str; 14] = [
    "auto",
    "az64",
    "bytedict",
    "delta",
    "delta32k",
    "lzo",
    "mostly8",
    "mostly16",
    "mostly32",
    "raw",
    "runlength",
    "text255",
    "text32k",
    "zstd",
];

fn encoding(at: &mut Cursor<'_>) -> Result {
    let encoding = at.next_word()?;
    if ENCODINGS.contains(&encoding.as_str()) {
        return Ok(());
    }
    Err(Refusal::new("42704", format!("unknown column encoding \"{encoding}\"")))
}

/// What stands behind the columns: where rows live, which PostgreSQL need not know.
fn attributes(at: &mut Cursor<'_>, shape: &mut Shape) -> Result {
    let mut style = None;
    loop {
        if at.skip(&["diststyle"]) {
            let word = at.next_word()?;
            if !["auto", "even", "key", "all"].contains(&word.as_str()) {
                return Err(Refusal::syntax(format!("syntax error at or near \"{word}\"")));
            }
            style = Some(word);
        } else if at.skip(&["distkey"]) {
            let keys = names(at)?;
            known(&keys, &shape.columns)?;
            shape.dist_keys += keys.len();
        } else if at.skip(&["sortkey", "auto"]) || at.skip(&["encode", "auto"]) {
        } else if at.skip(&["backup"]) {
            if !at.skip(&["yes"]) && !at.skip(&["no"]) {
                return Err(at.unexpected());
            }
        } else if at.skip(&["compound", "sortkey"]) || at.skip(&["interleaved", "sortkey"]) || at.skip(&["sortkey"]) {
            let keys = names(at)?;
            known(&keys, &shape.columns)?;
            shape.sort_keys += keys.len();
        } else {
            break;
        }
    }
    if shape.dist_keys > 1 {
        return Err(Refusal::new("42601", "rsemu: a table has one DISTKEY column"));
    }
    if style.as_deref() == Some("key") && shape.dist_keys == 0 {
        return Err(Refusal::new("42601", "rsemu: DISTSTYLE KEY needs a DISTKEY column"));
    }
    if shape.dist_keys > 0 && matches!(style.as_deref(), Some("even" | "all")) {
        return Err(Refusal::new("42601", "rsemu: DISTKEY goes with DISTSTYLE KEY or AUTO only"));
    }
    if shape.sort_keys > MAX_SORT_COLUMNS {
        return Err(Refusal::new("54011", format!("rsemu: a sort key has at most {MAX_SORT_COLUMNS} columns")));
    }
    Ok(())
}

/// `DROP TABLE` and `DROP SCHEMA`.
pub(super) fn drop(at: &mut Cursor<'_>) -> Result {
    let table = at.skip(&["table"]);
    if !table && !at.skip(&["schema"]) {
        return Err(Refusal::new("0A000", "rsemu: only tables and schemas can be dropped here"));
    }
    at.restart(if table { "DROP TABLE" } else { "DROP SCHEMA" });
    at.word(&["if", "exists"]);
    at.list(|at| if table { at.put_table().map(std::mem::drop) } else { at.put_name().map(std::mem::drop) })?;
    if !at.word(&["cascade"]) {
        at.word(&["restrict"]);
    }
    Ok(())
}

/// `ALTER TABLE`, one change each. Gives the tag for the client, where PostgreSQL runs something else.
pub(super) fn alter(at: &mut Cursor<'_>, in_block: bool) -> Result<Option<&'static str>> {
    if !at.skip(&["table"]) {
        return Err(Refusal::new("0A000", "rsemu: only ALTER TABLE is on the allow-list"));
    }
    at.restart("ALTER TABLE");
    if at.sees(&["if", "exists"]) {
        return Err(Refusal::syntax("syntax error at or near \"exists\""));
    }
    let table = at.put_table()?;
    if at.word(&["add"]) {
        at.word(&["column"]);
        add_column(at)?;
    } else if at.word(&["drop"]) {
        at.word(&["column"]);
        if at.sees(&["if", "exists"]) {
            return Err(Refusal::syntax("syntax error at or near \"exists\""));
        }
        at.put_name()?;
        if !at.word(&["cascade"]) {
            at.word(&["restrict"]);
        }
    } else if at.word(&["rename", "column"]) {
        at.put_name()?;
        at.expect("to")?;
        at.put_new_column()?;
    } else if at.word(&["rename"]) {
        at.expect("to")?;
        at.put_name()?;
    } else if at.skip(&["alter", "column"]) {
        alter_column(at, &table, in_block)?;
        return Ok(Some("ALTER TABLE"));
    } else if at.sees(&["append"]) && in_block {
        return Err(Refusal::new("25001", "ALTER TABLE APPEND cannot run inside a transaction block"));
    } else {
        return Err(Refusal::new("0A000", "rsemu: this form of ALTER TABLE is not on the allow-list"));
    }
    Ok(None)
}

fn add_column(at: &mut Cursor<'_>) -> Result {
    // There is no IF NOT EXISTS, so IF is read as the name, and then a type is due.
    if at.sees(&["if", "not"]) {
        return Err(Refusal::syntax("syntax error at or near \"not\""));
    }
    if at.sees(&["constraint"]) || at.sees(&["primary"]) || at.sees(&["unique"]) || at.sees(&["foreign"]) {
        return Err(Refusal::new("0A000", "rsemu: ALTER TABLE ADD constraint is not on the allow-list"));
    }
    at.put_new_column()?;
    let ty = types::read(at)?;
    at.put(&ty);
    let (mut not_null, mut default) = (false, false);
    loop {
        if at.word(&["default"]) {
            expr(at)?;
            default = true;
        } else if at.word(&["not", "null"]) {
            not_null = true;
        } else if at.word(&["null"]) {
        } else if at.skip(&["encode"]) {
            encoding(at)?;
        } else if at.sees(&["unique"]) || at.sees(&["primary", "key"]) {
            return Err(Refusal::new(
                "0A000",
                "ALTER TABLE ADD COLUMN does not support columns defined with UNIQUE or PRIMARY KEY constraints",
            ));
        } else {
            break;
        }
    }
    if not_null && !default {
        return Err(Refusal::new(
            "0A000",
            "ALTER TABLE ADD COLUMN defined as NOT NULL must have a non-null default expression",
        ));
    }
    Ok(())
}

/// `ALTER COLUMN c TYPE varchar(n)`; the rest of its rules need the table and are in the database.
fn alter_column(at: &mut Cursor<'_>, table: &[String], in_block: bool) -> Result {
    let column = at.name()?;
    if at.sees(&["set", "default"]) || at.sees(&["drop", "default"]) {
        return Err(Refusal::new("0A000", "ALTER COLUMN SET/DROP DEFAULT is not supported"));
    }
    if at.sees(&["set", "not"]) || at.sees(&["drop", "not"]) {
        return Err(Refusal::new("0A000", "ALTER COLUMN SET NOT NULL is not supported"));
    }
    if !at.skip(&["type"]) {
        return Err(at.unexpected());
    }
    let ty = types::read(at)?;
    if at.sees(&["using"]) {
        return Err(Refusal::new("0A000", "rsemu: ALTER COLUMN TYPE has no USING"));
    }
    if in_block {
        return Err(Refusal::new("25001", "ALTER TABLE ALTER COLUMN cannot run inside a transaction block"));
    }
    let bytes = ty.strip_prefix("varchar(").and_then(|rest| rest.strip_suffix(')'));
    let bytes =
        bytes.ok_or_else(|| Refusal::new("0A000", "rsemu: ALTER COLUMN TYPE changes the size of a VARCHAR only"))?;
    let (table, column) = (at.path_sql(table), at.names.short(&column));
    at.restart(&format!(
        "DO $rsemu$ BEGIN PERFORM rs_emu.alter_varchar({}, {}, {bytes}); END $rsemu$",
        text(&table),
        text(&column)
    ));
    Ok(())
}
