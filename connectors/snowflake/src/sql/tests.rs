//! The SQL text of what is subtle.

use super::*;
use crate::config::Options;

fn writer(names: Names) -> Writer<'static> {
    Writer::new("personas_x", names, false)
}

fn column(name: &str, ty: Type, source: usize) -> StageColumn {
    StageColumn { name: name.into(), ty, source }
}

#[test]
fn names_are_folded_and_back() {
    let (upper, preserved) = (writer(Names::Upper), writer(Names::Preserve));
    assert_eq!((upper.folded("users"), preserved.folded("users")), ("USERS".into(), "users".into()));
    assert_eq!(upper.unfolded("USERS"), Some("users".into()));
    assert_eq!(upper.unfolded("Users"), None);
    assert_eq!(preserved.unfolded("users"), Some("users".into()));
    assert_eq!(preserved.unfolded("USERS"), None);
}

#[test]
fn files_are_copied_by_name_with_casts() {
    let columns = [
        column("k", Type::Text, 0),
        column("c0", Type::Timestamp, 1),
        column("v0", Type::Version, 2),
        column("c1", Type::Json, 3),
    ];
    let (writer, preserved) = (writer(Names::Upper), writer(Names::Preserve));
    assert_eq!(
        writer.copy("T", &columns, "_stage_1/0"),
        "COPY INTO T (\"K\", \"C0\", \"V0\", \"C1\") FROM (SELECT $1:K::VARCHAR, $1:C0::TIMESTAMP_TZ, $1:V0::NUMBER(29,0), \
         $1:C1::VARCHAR FROM @\"PERSONAS_X\".\"_TABLECAST\"/_stage_1/0/) \
         FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE NULL_IF = ()) ON_ERROR = ABORT_STATEMENT"
    );
    assert!(preserved.copy("T", &columns, "f").contains("(\"k\", \"c0\", \"v0\", \"c1\") FROM (SELECT $1:K::VARCHAR"));
    assert!(writer.create_staging("T", &columns).starts_with("CREATE TRANSIENT TABLE T (\"K\" VARCHAR, "));
    assert!(!writer.create_staging("T", &columns).contains("VARIANT"));
    assert_eq!(writer.source("T", &columns[..3]), "T");
    assert!(
        writer.source("T", &columns).contains("COALESCE(TRY_PARSE_JSON(\"C1\"), TO_VARIANT(\"C1\")) AS \"C1\" FROM T)")
    );
}

#[test]
fn stages_are_made_as_asked_for() {
    let writer = writer(Names::Upper);
    assert!(writer.create_stage(Encryption::Full).ends_with("ENCRYPTION = (TYPE = 'SNOWFLAKE_FULL')"));
    assert!(writer.create_stage(Encryption::Sse).ends_with("ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE')"));
    let options =
        Options { stage: Some("s3://bucket/p".into()), storage_integration: Some("INT".into()), ..Options::default() };
    let external = Writer::new("s", Names::Upper, true);
    assert_eq!(
        external.create_external_stage(&options.place().unwrap().unwrap()),
        "CREATE OR REPLACE STAGE \"S\".\"_TABLECAST_EXTERNAL\" URL = 's3://bucket/p/' STORAGE_INTEGRATION = INT"
    );
    assert!(external.copy("T", &[column("k", Type::Text, 0)], "f").contains("FROM @\"S\".\"_TABLECAST_EXTERNAL\"/f/)"));
    assert_eq!(
        writer.put("_stage_1/0", "0.parquet"),
        "PUT 'file:///0.parquet' @\"PERSONAS_X\".\"_TABLECAST\"/_stage_1/0 AUTO_COMPRESS = FALSE OVERWRITE = TRUE"
    );
}

#[test]
fn the_ledger_binds_what_comes_from_outside() {
    let attempt = Attempt { id: "c", source: "it's", nonce: "n", stamp: 0 };
    let counts = Counts { received: 3, loaded: 1, duplicates: 2, ..Counts::default() };
    let entry = |table: &str| Entry { table: table.into(), counts, duration_ms: 5 };
    let entries = [entry("a"), entry("b")];
    let text = writer(Names::Upper).ledger_rows(&attempt, &entries);
    let binds = Writer::ledger_binds(&attempt, &entries);
    assert_eq!(text.matches('?').count(), binds.len());
    assert_eq!(binds, ["c", "a", "it's", "n", "c", "b", "it's", "n"]);
    assert!(text.contains("'1970-01-01T00:00:00.000000Z'::TIMESTAMP_TZ, ?, 3, 1, 2, 0, 0, 5, ?"), "{text}");
}

#[test]
fn the_guard_is_made_with_its_row_and_taken_by_a_change() {
    let columns = [("id".into(), Type::Text), ("schema_version".into(), Type::Int), ("changing".into(), Type::Text)];
    let writer = writer(Names::Upper);
    let create = writer.create_lock(&columns);
    assert!(
        create.contains("AS SELECT CAST('schema' AS VARCHAR) AS \"ID\", CAST(0 AS NUMBER(38,0)) AS \"SCHEMA_VERSION\""),
        "{create}"
    );
    assert!(create.ends_with("CAST(NULL AS NUMBER(38,0)) AS \"STAMPED\""), "{create}");
    assert_eq!(
        writer.guard(7, 99),
        "UPDATE \"PERSONAS_X\".\"_LOCK\" SET \"TAKEN_BY\" = ?, \"STAMPED\" = CASE WHEN \"STAMPED\" >= 99 THEN \"STAMPED\" + 1 ELSE 99 END \
         WHERE \"SCHEMA_VERSION\" = 7 AND \"CHANGING\" IS NULL"
    );
}

#[test]
fn columns_are_copied_into_their_new_type() {
    let writer = writer(Names::Upper);
    let copied = |from, to| writer.copy_column(&"t".into(), &"c".into(), from, to);
    assert_eq!(
        copied(Type::Decimal, Type::Float),
        "UPDATE \"PERSONAS_X\".\"T\" SET \"_WIDENED\" = CAST(\"C\" AS FLOAT) WHERE \"C\" IS NOT NULL"
    );
    assert!(copied(Type::Boolean, Type::Text).contains("THEN 'true'"));
    assert!(copied(Type::Timestamp, Type::Text).contains("CONVERT_TIMEZONE('UTC', \"C\")"));
    assert!(
        writer
            .large_numbers(&"t".into(), &"c".into(), false)
            .contains("> 9007199254740992 OR \"C\" < -9007199254740992")
    );
}

#[test]
fn the_set_up_names_what_the_uri_names() {
    let options = Options { role: Some("loader".into()), warehouse: Some("\"Wh\"".into()), ..Options::default() };
    let text = set_up("me", "DB", &options);
    assert!(text.contains("GRANT USAGE ON WAREHOUSE \"Wh\" TO ROLE \"LOADER\";"), "{text}");
    assert!(text.contains("GRANT USAGE, CREATE SCHEMA ON DATABASE \"DB\" TO ROLE \"LOADER\";"), "{text}");
    assert!(text.contains("GRANT ROLE \"LOADER\" TO USER \"ME\";"), "{text}");
}
