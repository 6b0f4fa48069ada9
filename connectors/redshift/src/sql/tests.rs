//! What the texts look like, and that none is longer than the Data API takes.

use super::*;
use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use std::sync::Arc;
use tablecast_core::sql as shared;
use tablecast_core::{Commit, CommitId, Counts, Fold, Load, LoadColumn};

/// What the Data API takes: statements in a batch, bytes in a statement.
const DATA_API: (usize, usize) = (40, 100_000);

fn column(name: &str, ty: Type, fold: Fold, values: Option<usize>, versions: Option<usize>) -> LoadColumn {
    LoadColumn { name: name.into(), ty, fold, values, versions }
}

fn batch(rows: usize) -> RecordBatch {
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("m{row}"))));
    let times = TimestampMicrosecondArray::from_iter_values((0..rows).map(|_| 1_769_860_800_000_000));
    let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
    RecordBatch::try_from_iter([("id", ids), ("received_at", times)]).unwrap()
}

fn load(table: &str, kind: TableKind, columns: Vec<LoadColumn>, rows: usize) -> Load {
    let received = u64::try_from(rows).unwrap() + 3;
    Load {
        table: table.into(),
        kind,
        columns,
        batch: batch(rows),
        counts: Counts { received, duplicates: 1, filtered: 2, ..Counts::default() },
        fill: false,
        window: Some(86_400_000_000),
    }
}

fn small() -> Commit {
    let append = vec![
        column("id", Type::Text, Fold::Once, Some(0), None),
        column("received_at", Type::Timestamp, Fold::Once, Some(1), None),
    ];
    let merge = vec![
        column("id", Type::Text, Fold::Once, Some(0), None),
        column("plan", Type::Text, Fold::Latest, Some(1), Some(1)),
    ];
    Commit {
        id: CommitId(1),
        schema_version: 7,
        source: "it's a file".into(),
        loads: vec![
            load("identifies", TableKind::Append, append, 2),
            load("users", TableKind::Merge, merge, 1),
            load("tracks", TableKind::Append, Vec::new(), 0),
        ],
    }
}

fn scripted(commit: &Commit, schema: &str) -> Vec<String> {
    let schema = Ident::from(schema);
    let sql = sql(&schema);
    let mut nth = 0;
    let stages: Vec<Vec<String>> = commit
        .loads
        .iter()
        .map(|load| {
            let groups = if load.rows() == 0 { Vec::new() } else { shared::groups(load, &DIALECT) };
            let name = |_| {
                nth += 1;
                sql.table(&format!("_stage_20260131t235959_0123456789abcdef_{}", nth - 1))
            };
            groups.iter().map(name).collect()
        })
        .collect();
    script(&sql, &Attempt { commit, nonce: "n", stamp: 1_769_860_800_000_000, duration_ms: 5, stages: &stages })
}

#[test]
fn a_small_commit_is_this_script() {
    let text = scripted(&small(), "p").join(";\n\n").replace(" WHERE ", "\n WHERE ").replace(" AND ", "\n AND ");
    let text = text.replace(" FROM ", "\n FROM ").replace(" UNION ", "\n UNION ") + ";\n";
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sql/small.sql");
    if std::env::var_os("TABLECAST_BLESS").is_some() {
        std::fs::write(golden, &text).unwrap();
    }
    assert!(
        text == std::fs::read_to_string(golden).unwrap(),
        "the script is now\n{text}\nread it, then set TABLECAST_BLESS"
    );
}

#[test]
fn a_script_fits_the_data_api_at_the_edge() {
    let long = |n: usize| format!("{n:0>127}");
    let schema = long(0);
    // As many columns as a table can have, the planner's and no more groups than it lets through.
    let names: Vec<String> = (0..DIALECT.max_columns).map(long).collect();
    let mut append = vec![column("id", Type::Text, Fold::Once, Some(0), None)];
    append.push(column("received_at", Type::Timestamp, Fold::Once, Some(1), None));
    append.extend(names[2..].iter().map(|name| column(name, Type::Text, Fold::Once, Some(0), None)));
    let wide = |commit: &mut Commit, table: &str, kind, columns| {
        commit.loads = vec![load(table, kind, columns, 1)];
        scripted(commit, &schema)
    };
    let mut commit = small();
    commit.source = "'".repeat(100_000);
    let statements = wide(&mut commit, &long(1), TableKind::Append, append);
    assert!(statements.len() > OWN_STATEMENTS + 1, "a wide table goes in groups");
    fits(&statements);

    // A merge with as many columns as make the most statements that the planner allows.
    let most = (1..)
        .take_while(|&columns| {
            let load = load(&long(1), TableKind::Merge, merge_columns(&names[..columns]), 1);
            columns < names.len() && shared::statements(&load, &DIALECT) <= DIALECT.max_statements
        })
        .last()
        .unwrap();
    let statements = wide(&mut commit, &long(1), TableKind::Merge, merge_columns(&names[..most]));
    assert!(statements.len() > 30, "{} statements for {most} columns", statements.len());
    fits(&statements);

    // As many small tables as go into one commit.
    commit.loads = (0..DIALECT.tables_per_commit)
        .map(|nth| {
            let columns = vec![
                column("id", Type::Text, Fold::Once, Some(0), None),
                column("received_at", Type::Timestamp, Fold::Once, Some(1), None),
            ];
            load(&long(nth), TableKind::Append, columns, 1)
        })
        .collect();
    let statements = scripted(&commit, &schema);
    assert_eq!(statements.len(), DIALECT.tables_per_commit + OWN_STATEMENTS);
    fits(&statements);
}

fn merge_columns(names: &[String]) -> Vec<LoadColumn> {
    let mut columns = vec![column("id", Type::Text, Fold::Once, Some(0), None)];
    columns.extend(names.iter().map(|name| column(name, Type::Text, Fold::Latest, Some(0), Some(0))));
    columns
}

fn fits(statements: &[String]) {
    assert!(statements.len() <= DATA_API.0, "{} statements", statements.len());
    for (nth, statement) in statements.iter().enumerate() {
        let head: String = statement.chars().take(60).collect();
        assert!(statement.len() <= DATA_API.1, "statement {nth} has {} bytes: {head}", statement.len());
    }
}

#[test]
fn changes_fit_the_data_api_too() {
    let long = |n: usize| format!("{n:0>127}");
    let schema = Ident::new(long(0));
    let sql = sql(&schema);
    let columns: Vec<(Ident, Type)> = (0..DIALECT.max_columns).map(|n| (Ident::new(long(n)), Type::Version)).collect();
    let create = create_table(&sql, &Ident::new(long(1)), TableKind::Append, &columns, &BTreeMap::new(), Keys::Auto);
    let named =
        |column: &(Ident, Type)| create.iter().filter(|text| text.contains(&*sql.quote(column.0.as_str()))).count();
    assert!(columns.iter().skip(2).all(|column| named(column) == 1), "every column once");
    create.chunks(30).for_each(fits);
    let tables: Vec<Ident> = (0..200).map(|n| Ident::new(long(n))).collect();
    fits(&[super::columns(&schema, &tables.iter().collect::<Vec<_>>())]);
    let bent = Discard::new(&"e".repeat(512), &long(1), &long(2), &[b'9'; 38], discard::Reason::Precision, 0);
    fits(&[insert_discards(&sql, &vec![bent; 60])]);
    // A quote takes eighteen bytes in a literal.
    let quoted = Discard::new(&"'".repeat(512), &long(1), &long(2), &[b'9'; 38], discard::Reason::Precision, 0);
    let inserts = crate::schema::inserts(&sql, &vec![quoted; 61]);
    inserts.iter().for_each(|insert| fits(std::slice::from_ref(insert)));
    let rows = inserts.iter().map(|insert| insert.matches(" UNION ALL ").count() + 1);
    assert_eq!(rows.sum::<usize>(), 61);
    let (table, column) = (Ident::new(long(1)), Ident::new(long(2)));
    let widening = Widening { table: &table, column: &column, from: Type::Float, to: Type::Text, bytes: Some(2_048) };
    fits(&widen(&sql, &widening, i64::MAX, Some(usize::MAX), true));
}

#[test]
fn tables_and_columns_are_sized_and_laid_out() {
    let schema = Ident::from("p");
    let sql = sql(&schema);
    let columns = [("id", Type::Text), ("received_at", Type::Timestamp), ("plan", Type::Text), ("n", Type::Int)]
        .map(|(name, ty)| (Ident::from(name), ty));
    let sizes = BTreeMap::from([(("t".into(), "plan".into()), 2_048)]);
    let create = |table: &str, kind, keys| create_table(&sql, &table.into(), kind, &columns, &sizes, keys).join("; ");
    assert_eq!(
        create("t", TableKind::Append, Keys::Segment),
        r#"CREATE TABLE IF NOT EXISTS "p"."t" ("id" VARCHAR(512), "received_at" TIMESTAMPTZ, "plan" VARCHAR(2048), "n" BIGINT) DISTKEY("id") SORTKEY("received_at")"#
    );
    assert_eq!(
        create("_discards", TableKind::Append, Keys::Auto),
        r#"CREATE TABLE IF NOT EXISTS "p"."_discards" ("id" VARCHAR(65535), "received_at" TIMESTAMPTZ, "plan" VARCHAR(65535), "n" BIGINT)"#
    );
    assert_eq!(
        add_column(&sql, &"t".into(), "v", Type::Version, Some(2_048)),
        r#"ALTER TABLE "p"."t" ADD COLUMN "v" NUMERIC(29,0)"#
    );
    assert_eq!(
        grow(&sql, &"t".into(), &"plan".into(), 8_192),
        r#"ALTER TABLE "p"."t" ALTER COLUMN "plan" TYPE VARCHAR(8192)"#
    );
}

#[test]
fn widening_checks_copies_and_swaps() {
    let schema = Ident::from("p");
    let (table, column) = (Ident::from("t"), Ident::from("n"));
    let widening = Widening { table: &table, column: &column, from: Type::Decimal, to: Type::Float, bytes: None };
    let statements = widen(&sql(&schema), &widening, 3, Some(2), true);
    assert_eq!(
        statements,
        [
            r#"LOCK "p"."_lock""#,
            r#"SELECT 1 / CASE WHEN (SELECT COUNT(*) FROM "p"."_lock") = 1 AND (SELECT COUNT(*) FROM "p"."_lock" WHERE "schema_version" = 3) = 1 AND (SELECT COUNT(*) FROM "p"."t" WHERE ("n" > 9007199254740992 OR "n" < -9007199254740992)) = 2 THEN 1 ELSE 0 END"#,
            r#"ALTER TABLE "p"."t" DROP COLUMN "_widened""#,
            r#"ALTER TABLE "p"."t" ADD COLUMN "_widened" DOUBLE PRECISION"#,
            r#"UPDATE "p"."t" SET "_widened" = CAST("n" AS DOUBLE PRECISION) WHERE "n" IS NOT NULL"#,
            r#"ALTER TABLE "p"."t" DROP COLUMN "n""#,
            r#"ALTER TABLE "p"."t" RENAME COLUMN "_widened" TO "n""#,
            r#"UPDATE "p"."_lock" SET "schema_version" = "schema_version" + 1 WHERE "id" IS NOT NULL"#,
        ]
    );
}

#[test]
fn what_a_float_cannot_hold_is_told_by_its_remainder() {
    let bent = is_large("n", Type::Int);
    assert!(bent.starts_with("MOD(n, CASE WHEN (n > 4611686018427387904 OR n < -4611686018427387904) THEN 1024 WHEN"));
    assert!(bent.ends_with("WHEN (n > 9007199254740992 OR n < -9007199254740992) THEN 2 ELSE 1 END) <> 0"));
    let step =
        |n: i64| (53..=62).rev().find(|&power| n.unsigned_abs() > 1 << power).map_or(1, |power| 1_i64 << (power - 52));
    for n in [
        i64::MIN,
        i64::MIN + 1,
        i64::MAX,
        1 << 62,
        (1 << 62) + 512,
        (1 << 62) + 1_024,
        (1 << 53) + 1,
        1 << 54,
        -(1 << 53) - 2,
        3,
    ] {
        assert_eq!(n % step(n) == 0, tablecast_core::nearest_float(n.into()).1, "{n}");
    }
}

#[test]
fn staging_names_everything() {
    let columns = [
        (StageColumn { name: "k".into(), ty: Type::Text, source: 0 }, Some(512)),
        (StageColumn { name: "v0".into(), ty: Type::Version, source: 1 }, None),
    ];
    assert_eq!(create_stage("\"p\".\"s\"", &columns), r#"CREATE TABLE "p"."s" ("k" VARCHAR(512), "v0" NUMERIC(29,0))"#);
    assert_eq!(
        copy("\"p\".\"s\"", &["k", "v0"], "s3://b/p/manifest", "default", None),
        r#"COPY "p"."s" ("k", "v0") FROM 's3://b/p/manifest' IAM_ROLE default FORMAT AS JSON 'auto' GZIP TIMEFORMAT 'auto' MANIFEST COMPUPDATE OFF STATUPDATE OFF"#
    );
    let far = copy("s", &["k"], "s3://b/m", "arn:aws:iam::1:role/r", Some("eu-west-1"));
    assert!(far.contains("IAM_ROLE 'arn:aws:iam::1:role/r'") && far.contains("REGION 'eu-west-1'"), "{far}");
}

#[test]
fn literals_keep_to_utc_and_inside_their_quotes() {
    assert_eq!(timestamp(0), "'1970-01-01 00:00:00.000000+00'::timestamptz");
    assert_eq!(plain("it's \\ a\nb"), "'it''s  ab'");
    assert_eq!(set_query_group("segment"), "SET query_group TO 'segment'");
    assert_eq!(set_timeout(2), "SET statement_timeout TO 2000");
}
