//! The shared SQL, word for word, and literals that nothing can leave.

use super::*;
use crate::memory::DIALECT;
use crate::plan::{Counts, LoadColumn};
use crate::schema::TableKind;
use arrow_array::RecordBatch;
use arrow_schema::Schema;
use std::sync::Arc;

const SQL: Sql<'static> = Sql { dialect: &DIALECT, schema: Some("p") };

fn column(name: &str, fold: Fold, values: Option<usize>, versions: Option<usize>) -> LoadColumn {
    LoadColumn { name: name.into(), ty: Type::Text, fold, values, versions }
}

fn load(table: &str, kind: TableKind, columns: Vec<LoadColumn>) -> Load {
    let batch = RecordBatch::new_empty(Arc::new(Schema::empty()));
    Load { table: table.into(), kind, columns, batch, counts: Counts::default(), fill: false, window: None }
}

fn users() -> Load {
    load(
        "users",
        TableKind::Merge,
        vec![
            column("id", Fold::Once, Some(0), None),
            column("a", Fold::Latest, Some(1), Some(2)),
            column("gone", Fold::Latest, None, Some(3)),
            column("seen", Fold::Max, Some(4), None),
            column("user_id", Fold::Once, Some(5), None),
        ],
    )
}

#[test]
fn merge_is_four_statements_that_name_only_what_is_loaded() {
    let load = users();
    let groups = groups(&load, &DIALECT);
    assert_eq!(groups, [vec![4, 1, 2, 3]], "what is written once comes first");
    let columns: Vec<(String, usize)> =
        stage_columns(&load, &groups[0]).into_iter().map(|column| (column.name, column.source)).collect();
    let expected = [("k", 0), ("c3", 5), ("c0", 1), ("v0", 2), ("v1", 3), ("c2", 4)];
    assert_eq!(columns, expected.map(|(name, source)| (name.to_owned(), source)));
    let statements = SQL.merge(&load, &groups, &["stage".into()], Some("?1"));
    assert_eq!(
        statements,
        [
            r#"UPDATE "p"."users" SET "a" = CASE WHEN _s."v0" IS NULL THEN "users"."a" WHEN _s."w0" IS NULL OR _s."v0" > _s."w0" THEN _s."c0" ELSE "users"."a" END, "seen" = CASE WHEN _s."c2" > "users"."seen" OR "users"."seen" IS NULL THEN _s."c2" ELSE "users"."seen" END, "uuid_ts" = ?1 FROM (SELECT _t.*, "_users_versions"."a" AS "w0" FROM stage AS _t LEFT JOIN "p"."_users_versions" ON "_users_versions"."id" = _t."k") AS _s WHERE "users"."id" = _s."k""#,
            r#"INSERT INTO "p"."users" ("id", "user_id", "a", "seen", "uuid_ts") SELECT _s."k", _s."c3", _s."c0", _s."c2", ?1 FROM stage AS _s LEFT JOIN "p"."users" ON "users"."id" = _s."k" WHERE "users"."id" IS NULL"#,
            r#"UPDATE "p"."_users_versions" SET "a" = CASE WHEN _s."v0" IS NULL THEN "_users_versions"."a" WHEN "_users_versions"."a" IS NULL OR _s."v0" > "_users_versions"."a" THEN _s."v0" ELSE "_users_versions"."a" END, "gone" = CASE WHEN _s."v1" IS NULL THEN "_users_versions"."gone" WHEN "_users_versions"."gone" IS NULL OR _s."v1" > "_users_versions"."gone" THEN _s."v1" ELSE "_users_versions"."gone" END FROM stage AS _s WHERE "_users_versions"."id" = _s."k""#,
            r#"INSERT INTO "p"."_users_versions" ("id", "a", "gone") SELECT _s."k", _s."v0", _s."v1" FROM stage AS _s LEFT JOIN "p"."_users_versions" ON "_users_versions"."id" = _s."k" WHERE "_users_versions"."id" IS NULL"#,
        ]
    );
}

#[test]
fn groups_insert_missing_keys_once_and_write_versions_last() {
    let load = users();
    static TWO: Dialect = Dialect { merge_group: 2, ..DIALECT };
    let groups = groups(&load, &TWO);
    assert_eq!(groups, [vec![4, 1], vec![2, 3]]);
    let statements = SQL.merge(&load, &groups, &["s0".into(), "s1".into()], Some("?1"));
    let heads: Vec<String> =
        statements.iter().map(|text| text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        heads,
        [
            r#"UPDATE "p"."users" SET"#,
            r#"INSERT INTO "p"."users""#,
            r#"UPDATE "p"."users" SET"#,
            r#"UPDATE "p"."_users_versions" SET"#,
            r#"INSERT INTO "p"."_users_versions""#,
            r#"UPDATE "p"."_users_versions" SET"#,
        ]
    );
    assert!(!statements[2].contains("uuid_ts") && statements[2].contains("FROM s1 AS _s WHERE"));
    let only_key = load_of_key();
    assert_eq!(super::groups(&only_key, &TWO), [Vec::<usize>::new()]);
    assert_eq!(SQL.merge(&only_key, &[vec![]], &["s0".into()], None).len(), 2, "two inserts");
}

fn load_of_key() -> Load {
    load("users", TableKind::Merge, vec![column("id", Fold::Once, Some(0), None)])
}

#[test]
fn append_counts_and_inserts_by_the_same_rule() {
    let load = load(
        "e",
        TableKind::Append,
        vec![column("id", Fold::Once, Some(0), None), column("n", Fold::Once, Some(1), None)],
    );
    let within = Some(("$1", "$2"));
    let on = r#""p"."e" ON "e"."id" = _s."k" AND "e"."received_at" >= $1 AND "e"."received_at" <= $2"#;
    assert_eq!(
        SQL.count_present(&load, "stage", within),
        format!(r#"SELECT COUNT(DISTINCT _s."k") FROM stage AS _s INNER JOIN {on}"#)
    );
    assert_eq!(
        SQL.append(&load, &[vec![1]], &["stage".into()], Some("$3"), within),
        [format!(
            r#"INSERT INTO "p"."e" ("id", "n", "uuid_ts") SELECT _s."k", _s."c0", $3 FROM stage AS _s LEFT JOIN {on} WHERE "e"."id" IS NULL"#
        )]
    );
    assert!(is_stamped(&load) && !is_stamped(&super::tests::load("_discards", TableKind::Append, Vec::new())));
}

#[test]
fn no_statement_is_longer_than_a_warehouse_takes() {
    static NARROW: Dialect = Dialect { max_sql_bytes: 30_000, merge_group: 400, ..DIALECT };
    for (kind, fill) in [(TableKind::Append, false), (TableKind::Append, true), (TableKind::Merge, false)] {
        let merge = kind == TableKind::Merge;
        let versions = |at| merge.then_some(at + 1_000);
        let fold = if merge { Fold::Latest } else { Fold::Once };
        let names = (0..1_000).map(|at| format!("{at:0127}"));
        let mut columns = vec![column("id", Fold::Once, Some(0), None)];
        columns.extend((1..).zip(names).map(|(at, name)| column(&name, fold, Some(at), versions(at))));
        let ids = Arc::new(arrow_array::StringArray::from(vec!["m1"]));
        let mut load = load(&"t".repeat(127), kind, columns);
        load.fill = fill;
        load.batch = crate::columns::batch_of(vec![ids]);
        let groups = groups(&load, &NARROW);
        assert_eq!(groups.iter().flatten().count(), 1_000);
        let stages: Vec<String> = (0..groups.len()).map(|nth| format!("stage{nth}")).collect();
        let sql = Sql { dialect: &NARROW, ..SQL };
        let written = if merge {
            sql.merge(&load, &groups, &stages, Some("?1"))
        } else {
            sql.append(&load, &groups, &stages, Some("?1"), None)
        };
        assert!(groups.len() > 3 && written.len() == statements(&load, &NARROW), "{kind:?} {}", written.len());
        let longest = written.iter().map(String::len).max().unwrap();
        assert!((15_000..30_000).contains(&longest), "{kind:?} {longest}");
        assert!(written.iter().map(String::len).sum::<usize>() <= script_bytes(&load, &NARROW), "{kind:?}");
        load.batch = load.batch.slice(0, 0);
        assert_eq!((statements(&load, &NARROW), script_bytes(&load, &NARROW)), (0, 0));
    }
}

#[test]
fn later_columns_of_an_append_go_to_the_rows_of_this_commit() {
    let columns = ["id", "a", "b", "c"].iter().enumerate();
    let columns = columns.map(|(at, name)| column(name, Fold::Once, Some(at), None)).collect();
    let load = load("e", TableKind::Append, columns);
    let statements = SQL.append(&load, &[vec![1], vec![2, 3]], &["s0".into(), "s1".into()], Some("$1"), None);
    assert_eq!(
        statements[1..],
        [
            r#"UPDATE "p"."e" SET "b" = _s."c1", "c" = _s."c2" FROM s1 AS _s WHERE "e"."id" = _s."k" AND "e"."uuid_ts" = $1"#
        ]
    );
}

#[test]
fn a_load_that_fills_updates_empty_cells_first() {
    let columns = ["id", "a", "b"].iter().enumerate();
    let columns = columns.map(|(at, name)| column(name, Fold::Once, Some(at), None)).collect();
    let load = Load { fill: true, ..load("e", TableKind::Append, columns) };
    let statements = SQL.append(&load, &[vec![1], vec![2]], &["s0".into(), "s1".into()], Some("$1"), None);
    let heads: Vec<&str> = statements.iter().map(|text| &text[..text.find(" SET ").unwrap_or(11)]).collect();
    assert_eq!(heads, [r#"UPDATE "p"."e""#, r#"UPDATE "p"."e""#, "INSERT INTO", r#"UPDATE "p"."e""#]);
    assert_eq!(
        statements[0],
        r#"UPDATE "p"."e" SET "a" = COALESCE("e"."a", _s."c0") FROM s0 AS _s WHERE "e"."id" = _s."k""#
    );
}

#[test]
fn tables_and_columns_are_quoted() {
    let columns = [("id".into(), Type::Text), ("a\"b".into(), Type::Int)];
    assert_eq!(
        SQL.create_table("t", &columns, Some("PRIMARY KEY (\"id\")")),
        r#"CREATE TABLE IF NOT EXISTS "p"."t" ("id" text, "a""b" int, PRIMARY KEY ("id"))"#
    );
    assert_eq!(SQL.add_column("t", "c", Type::Float), r#"ALTER TABLE "p"."t" ADD COLUMN "c" float"#);
    assert_eq!(
        SQL.guard("?1"),
        r#"UPDATE "p"."_lock" SET "schema_version" = "schema_version" WHERE "schema_version" = ?1"#
    );
    assert_eq!(SQL.ledger_insert(&std::array::from_fn(|nth| format!("${nth}"))).matches('$').count(), 12);
}

#[test]
fn literals_hold_no_quote_and_no_escape() {
    for (value, text) in [
        (Value::Null, "NULL"),
        (Value::Boolean(true), "TRUE"),
        (Value::Number(i128::from(i64::MIN)), "(-9223372036854775808)"),
        (Value::Float(450.75), "450.75"),
        (Value::Float(f64::NAN), "NULL"),
        (Value::Timestamp(0), "TIMESTAMP '1970-01-01 00:00:00.000000'"),
        (Value::Text(""), "''"),
        (Value::Text("plain é"), "'plain é'"),
        (Value::Text("\0"), "''"),
        (Value::Text("'"), "CHR(39)"),
        (Value::Text("a\\'b"), "('a' || CHR(92) || CHR(39) || 'b')"),
        (Value::Text("a\n"), "('a' || CHR(10))"),
    ] {
        assert_eq!(literal(value), text);
    }
}

proptest::proptest! {
    #[test]
    fn text_cannot_leave_its_literal(text in ".*") {
        let rendered = literal(Value::Text(&text));
        // Between the quotes there is nothing that any warehouse reads as the end or as an escape.
        for (nth, part) in rendered.split('\'').enumerate() {
            if nth % 2 == 0 {
                proptest::prop_assert!(part.chars().all(|c| "() |CHR0123456789".contains(c)), "{rendered}");
            } else {
                proptest::prop_assert!(!part.contains(|c: char| c == '\\' || c.is_ascii_control()), "{rendered}");
            }
        }
        proptest::prop_assert_eq!(rendered.matches('\'').count() % 2, 0);
    }
}
