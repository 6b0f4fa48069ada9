//! What Redshift refuses and what it accepts, each with where that is said.
//!
//! `dev guide` is the Database Developer Guide, `mgmt guide` the Management Guide; a name behind it is a page.

use crate::support::{Database, attempt, connect, run, schema};

/// Statement, SQLSTATE, a part of the message, source. `§` stands for the schema.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    (
        "INSERT INTO §.t (id) VALUES ('q') ON CONFLICT DO NOTHING",
        "42601",
        "\"on\"",
        "dev guide, INSERT: not in the grammar",
    ),
    ("INSERT INTO §.t (id) VALUES ('q') RETURNING id", "42601", "\"returning\"", "dev guide, INSERT"),
    (
        "INSERT INTO §.t (id) SELECT x.id FROM (SELECT 'q' AS id) AS x",
        "XX000",
        "failed to find conversion function",
        "github.com/tuva-health/tuva issue 1165, github.com/calogica/dbt-expectations issue 98",
    ),
    ("UPDATE §.t SET n = 1 RETURNING id", "42601", "\"returning\"", "dev guide, UPDATE"),
    ("UPDATE §.t AS x SET n = 1", "42601", "\"as\"", "dev guide, UPDATE: the page contradicts itself about an alias"),
    ("UPDATE §.t SET t.n = 1", "42601", "\".\"", "dev guide, UPDATE: the column is not qualified"),
    ("DELETE FROM §.t AS x WHERE x.n = 1", "42601", "\"as\"", "dev guide, DELETE"),
    (
        "ALTER TABLE §.t ADD COLUMN a int, ADD COLUMN b int",
        "42601",
        "\",\"",
        "dev guide, ALTER TABLE: one column per statement",
    ),
    ("ALTER TABLE §.t ADD COLUMN IF NOT EXISTS a int", "42601", "\"not\"", "dev guide, ALTER TABLE"),
    (
        "ALTER TABLE §.t ADD COLUMN n int",
        "42701",
        "already exists",
        "github.com/rudderlabs/rudder-server: ignores 42701",
    ),
    ("ALTER TABLE §.t ADD COLUMN a int NOT NULL", "0A000", "must have a non-null default", "dev guide, ALTER TABLE"),
    (
        "ALTER TABLE §.t ADD COLUMN a int UNIQUE",
        "0A000",
        "UNIQUE or PRIMARY KEY",
        "github.com/jazzband/django-redshift-backend pull 134",
    ),
    ("ALTER TABLE §.t ADD COLUMN xmin int", "42701", "system column", "dev guide, Names and identifiers"),
    ("ALTER TABLE §.t DROP COLUMN IF EXISTS n", "42601", "\"exists\"", "dev guide, ALTER TABLE"),
    (
        "ALTER TABLE §.t ALTER COLUMN id TYPE varchar(64)",
        "0A000",
        "should be different",
        "github.com/dbt-labs/dbt-adapters pull 1635",
    ),
    ("ALTER TABLE §.t ALTER COLUMN n TYPE numeric", "0A000", "VARCHAR only", "dev guide, ALTER TABLE"),
    ("ALTER TABLE §.t ALTER COLUMN id TYPE varchar(128) USING id", "0A000", "USING", "dev guide, ALTER TABLE"),
    (
        "ALTER TABLE §.t ALTER COLUMN id TYPE varchar(2)",
        "0A000",
        "bytes",
        "dev guide, ALTER TABLE: not below the longest value",
    ),
    (
        "ALTER TABLE §.t ALTER COLUMN d TYPE varchar(64)",
        "0A000",
        "default",
        "dev guide, ALTER TABLE: no columns with default values",
    ),
    ("ALTER TABLE §.k ALTER COLUMN id TYPE varchar(64)", "0A000", "PRIMARY KEY", "dev guide, ALTER TABLE"),
    (
        "ALTER TABLE §.t ALTER COLUMN n SET DEFAULT 1",
        "0A000",
        "SET/DROP DEFAULT",
        "github.com/practo/tipoca-stream issue 40",
    ),
    (
        "ALTER TABLE §.t ALTER COLUMN n SET NOT NULL",
        "0A000",
        "SET NOT NULL",
        "github.com/practo/tipoca-stream issue 40",
    ),
    (
        "CREATE TABLE §.x (a jsonb)",
        "0A000",
        "unsupported type \"jsonb\"",
        "dev guide, Unsupported PostgreSQL data types",
    ),
    ("CREATE TABLE §.x (a uuid)", "0A000", "unsupported type", "dev guide, Unsupported PostgreSQL data types"),
    ("CREATE TABLE §.x (a bytea)", "0A000", "unsupported type", "dev guide, Unsupported PostgreSQL data types"),
    ("CREATE TABLE §.x (a int[])", "0A000", "unsupported type", "dev guide, Unsupported PostgreSQL data types"),
    ("CREATE TABLE §.x (a varchar(65536))", "22023", "cannot exceed 65535", "dev guide, Character types"),
    ("CREATE TABLE §.x (a numeric(39,0))", "22023", "between 1 and 38", "dev guide, DECIMAL or NUMERIC type"),
    ("CREATE TABLE §.x (a int CHECK (a > 1))", "0A000", "CHECK", "dev guide, Unsupported PostgreSQL features"),
    ("CREATE TABLE §.x (a int) DISTSTYLE ROUND", "42601", "\"round\"", "dev guide, CREATE TABLE"),
    ("CREATE TABLE §.x (a int) SORTKEY (b)", "42703", "\"b\"", "dev guide, CREATE TABLE"),
    ("CREATE TABLE §.x (tag int)", "42601", "\"tag\"", "dev guide, Reserved words"),
    ("CREATE INDEX i ON §.t (n)", "0A000", "CREATE INDEX", "dev guide, Unsupported PostgreSQL features"),
    (
        "CREATE TABLE IF NOT EXISTS pg_catalog.x (a int)",
        "42501",
        "permission denied",
        "dev guide, System tables and views",
    ),
    ("SELECT n->>'x' FROM §.t", "42883", "operator", "dev guide, Unsupported PostgreSQL features: JSON operators"),
    ("SELECT string_agg(id, ',') FROM §.t", "42883", "string_agg", "dev guide, Unsupported PostgreSQL functions"),
    ("SELECT array_agg(id) FROM §.t", "42883", "array_agg", "dev guide, Unsupported PostgreSQL functions"),
    ("SELECT DISTINCT ON (id) id FROM §.t", "42601", "\"on\"", "dev guide, Unsupported PostgreSQL features"),
    ("SELECT count(*) FILTER (WHERE n > 1) FROM §.t", "42601", "\"(\"", "dev guide, Aggregate functions"),
    ("SELECT * FROM §.t WHERE n IS DISTINCT FROM 1", "0A000", "DISTINCT FROM", "dev guide, Comparison conditions"),
    ("SELECT * FROM §.t, LATERAL (SELECT 1) AS x", "42601", "\"(\"", "dev guide, FROM clause"),
    (
        "SELECT * FROM (VALUES (1)) AS v (a)",
        "0A000",
        "VALUES",
        "dev guide, Unsupported PostgreSQL features: VALUES list used as constant tables",
    ),
    ("SELECT * FROM §.t FOR UPDATE", "42601", "\"for\"", "dev guide, SELECT"),
    ("SELECT ctid FROM §.t", "42703", "ctid", "dev guide, Names and identifiers"),
    ("SELECT now()", "0A000", "leader node", "dev guide, Deprecated leader-node functions"),
    ("SELECT CURRENT_TIMESTAMP", "0A000", "leader node", "dev guide, Deprecated leader-node functions"),
    (
        "INSERT INTO §.t (id) SELECT column_name FROM information_schema.columns",
        "0A000",
        "not supported on Redshift tables",
        "dev guide, SQL functions supported on the leader node",
    ),
    (
        "SELECT current_schema(), id FROM §.t",
        "0A000",
        "not supported on Redshift tables",
        "dev guide, SQL functions supported on the leader node",
    ),
    (
        "SELECT rngtypid FROM pg_range",
        "42P01",
        "pg_range",
        "github.com/sfackler/rust-postgres issue 167: PostgreSQL 8.0 has no pg_range",
    ),
    ("SELECT 'a\\b'", "22025", "CHR(92)", "PostgreSQL 8.0 manual, String constants: a backslash is an escape"),
    ("SELECT 1; SELECT 2", "42601", "one by one", "dev guide, Serializable isolation: an implicit transaction"),
    ("LOCK §.t IN ACCESS SHARE MODE", "42601", "\"in\"", "dev guide, LOCK: only ACCESS EXCLUSIVE"),
    ("SAVEPOINT a", "0A000", "SAVEPOINT", "dev guide, Unsupported PostgreSQL features"),
    ("DISCARD ALL", "42601", "discard", "github.com/npgsql/npgsql issue 1426"),
    ("SET extra_float_digits TO 3", "22023", "valid range", "github.com/launchbadge/sqlx pull 1774"),
    ("SET synchronous_commit TO off", "42704", "unrecognized", "dev guide, Configuration reference"),
    ("CREATE EXTENSION hstore", "0A000", "EXTENSION", "dev guide, Unsupported PostgreSQL features"),
    ("DO $$ BEGIN END $$", "42601", "\"$\"", "dev guide, SQL commands"),
    ("EXPLAIN SELECT 1", "42601", "allow-list", "the emulator's own: no loader needs it"),
    (
        "MERGE INTO §.t USING §.k ON t.id = k.id WHEN MATCHED THEN DELETE",
        "42601",
        "allow-list",
        "the emulator's own: no loader needs it",
    ),
    ("COPY §.t FROM STDIN", "0A000", "STDIN", "dev guide, COPY"),
    (
        "COPY §.t FROM 's3://tablecast-stage/x' FORMAT AS JSON 'auto'",
        "42601",
        "IAM_ROLE",
        "dev guide, COPY: an authorization clause",
    ),
    (
        "COPY §.t FROM 's3://tablecast-stage/x' IAM_ROLE default FORMAT AS JSON 'auto' MAXERROR 100001",
        "22023",
        "100000",
        "dev guide, Data load operations",
    ),
    (
        "COPY §.t FROM 's3://tablecast-stage/x' IAM_ROLE default FORMAT AS JSON 'auto' GZIP GZIP",
        "42601",
        "redundant",
        "PostgreSQL's and Redshift's words",
    ),
    (
        "COPY §.t FROM 's3://tablecast-stage/x' IAM_ROLE default FORMAT AS PARQUET",
        "0A000",
        "PARQUET",
        "the emulator's own: JSON alone is emulated",
    ),
    (
        "COPY §.t FROM 's3://tablecast-stage/x' IAM_ROLE default FORMAT AS JSON 'auto' DELIMITER '|'",
        "0A000",
        "DELIMITER",
        "dev guide, Data format parameters: not with JSON",
    ),
    ("INSERT INTO §.t (id) VALUES ('héé')", "22001", "too long", "dev guide, Character types: bytes, not characters"),
];

/// Statement and source. They run in this order.
const ACCEPTED: &[(&str, &str)] = &[
    (
        "CREATE TABLE IF NOT EXISTS §.a (\"Id\" varchar(64) NOT NULL ENCODE zstd, n bigint, price double precision, \
         amount numeric(38,9), ok boolean, at timestamptz, d date, plan varchar(max), note text, PRIMARY KEY (id), \
         UNIQUE (n), FOREIGN KEY (n) REFERENCES §.t (n)) DISTSTYLE KEY DISTKEY (id) COMPOUND SORTKEY (at)",
        "dev guide, CREATE TABLE; table constraints are informational",
    ),
    (
        "CREATE TABLE §.b (id varchar(64) DISTKEY SORTKEY, n int DEFAULT 1 NOT NULL) DISTSTYLE AUTO",
        "dev guide, CREATE TABLE",
    ),
    ("ALTER TABLE §.a ADD COLUMN city varchar(256) DEFAULT 'x' NOT NULL ENCODE lzo", "dev guide, ALTER TABLE"),
    ("ALTER TABLE §.a ADD COLUMN town varchar(256)", "dev guide, ALTER TABLE"),
    ("ALTER TABLE §.a ALTER COLUMN town TYPE varchar(1024)", "dev guide, ALTER TABLE; dbt-adapters pull 1635"),
    ("ALTER TABLE §.a ALTER COLUMN town TYPE varchar(512)", "dev guide, ALTER TABLE: smaller, if all values fit"),
    ("ALTER TABLE §.a DROP COLUMN city", "dev guide, ALTER TABLE"),
    ("ALTER TABLE §.a RENAME COLUMN town TO place", "dev guide, ALTER TABLE"),
    (
        "INSERT INTO §.a (id, n, ok, at) VALUES ('x', 1, TRUE, '2026-01-02 03:04:05.123456+00'), ('x', 1, NULL, DEFAULT)",
        "dev guide, Defining table constraints: keys are not enforced",
    ),
    ("BEGIN", "dev guide, BEGIN"),
    ("LOCK TABLE §.a, §.b", "dev guide, LOCK"),
    ("CREATE TEMP TABLE stage (k varchar(64), c0 bigint, v0 numeric(29,0))", "dev guide, CREATE TABLE"),
    ("INSERT INTO stage SELECT 'y', 2, 3 UNION ALL SELECT 'z' || CHR(39), -4, NULL", "dev guide, INSERT"),
    (
        "INSERT INTO §.a (id, n, at) SELECT _s.\"k\", _s.\"c0\", '2026-01-02 03:04:05'::timestamptz FROM stage AS _s \
         LEFT JOIN §.a ON a.id = _s.\"k\" AND a.at >= TIMESTAMP '2025-01-01 00:00:00' WHERE a.id IS NULL",
        "dev guide, INSERT",
    ),
    (
        "UPDATE §.a SET n = CASE WHEN _s.w0 IS NULL OR _s.v0 > _s.w0 THEN _s.c0 ELSE a.n END, plan = NULL FROM \
         (SELECT _t.*, b.n AS w0 FROM stage AS _t LEFT JOIN §.b ON b.id = _t.k) AS _s WHERE a.id = _s.k",
        "dev guide, UPDATE",
    ),
    (
        "DELETE FROM §.a USING stage WHERE a.id = stage.k AND NOT EXISTS (SELECT 1 FROM §.b WHERE b.id = a.id)",
        "dev guide, DELETE",
    ),
    ("DELETE FROM stage WHERE k IN (SELECT id FROM §.a) OR c0 NOT BETWEEN 1 AND 2", "dev guide, Conditions"),
    ("DROP TABLE stage", "dev guide, DROP TABLE"),
    ("COMMIT", "dev guide, COMMIT"),
    (
        "SELECT COUNT(*), COUNT(DISTINCT id), MAX(n), NVL(MIN(n), 0), GREATEST(1, 2) FROM §.a",
        "dev guide, SQL functions reference",
    ),
    (
        "SELECT id FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY id ORDER BY at DESC NULLS LAST) AS rn FROM §.a) AS s WHERE rn = 1",
        "dev guide, Window functions",
    ),
    ("WITH x AS (SELECT id FROM §.a) SELECT x.id FROM x ORDER BY 1 LIMIT 10 OFFSET 0", "dev guide, WITH clause"),
    (
        "SELECT GETDATE(), SYSDATE, EXTRACT(epoch FROM SYSDATE), DATE_TRUNC('day', GETDATE())",
        "dev guide, Date and time functions",
    ),
    ("SELECT CAST(n AS varchar(20)), n::double precision, at AT TIME ZONE 'UTC' FROM §.a", "dev guide, CAST"),
    (
        "SELECT column_name, data_type, character_maximum_length, numeric_precision FROM information_schema.columns \
         WHERE table_schema = '§' ORDER BY ordinal_position",
        "github.com/rudderlabs/rudder-server and github.com/dlt-hub/dlt read this view",
    ),
    (
        "SELECT table_name FROM information_schema.tables WHERE table_schema = '§'",
        "dev guide, Querying the catalog tables",
    ),
    ("SELECT schema_name FROM svv_redshift_schemas", "dev guide, SVV_REDSHIFT_SCHEMAS"),
    ("SELECT column_name FROM svv_columns WHERE table_schema = '§'", "dev guide, SVV_COLUMNS"),
    (
        "SELECT has_schema_privilege('§', 'create'), has_database_privilege('dev', 'create')",
        "dev guide, System information functions",
    ),
    (
        "SELECT has_schema_privilege(current_user, '§', 'usage'), current_database(), version(), pg_backend_pid()",
        "dev guide, System information functions",
    ),
    (
        "SELECT query_id, error_code FROM sys_load_error_detail WHERE session_id = pg_backend_pid()",
        "dev guide, SYS_LOAD_ERROR_DETAIL",
    ),
    ("SELECT pg_last_copy_count(), pg_last_copy_id()", "dev guide, PG_LAST_COPY_COUNT"),
    ("SET query_group TO 'load'", "dev guide, query_group"),
    ("SHOW query_group", "dev guide, SHOW"),
    ("SET statement_timeout TO 60000", "dev guide, statement_timeout"),
    ("SET search_path TO §, public", "dev guide, search_path"),
    ("RESET search_path", "dev guide, RESET"),
    ("ANALYZE §.a", "dev guide, ANALYZE"),
    ("BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE", "dev guide, BEGIN: read, without effect"),
    ("ABORT", "dev guide, ABORT"),
    ("TRUNCATE §.a", "dev guide, TRUNCATE"),
    ("DROP TABLE IF EXISTS §.a, §.b CASCADE", "dev guide, DROP TABLE"),
    ("CREATE SCHEMA IF NOT EXISTS §", "dev guide, CREATE SCHEMA"),
    ("SELECT 1;", "a closing semicolon is no second statement"),
];

#[tokio::test]
async fn what_redshift_refuses() {
    let client = connect(Database::Snapshot).await;
    let s = schema(&client).await;
    run(&client, &format!("CREATE TABLE {s}.t (id varchar(4), n bigint, d varchar(4) DEFAULT 'x')")).await;
    run(&client, &format!("CREATE TABLE {s}.k (id varchar(4) PRIMARY KEY)")).await;
    run(&client, &format!("ALTER TABLE {s}.t ADD COLUMN wide varchar(64)")).await;
    run(&client, &format!("INSERT INTO {s}.t (id) VALUES ('four')")).await;
    let mut wrong = Vec::new();
    for (sql, code, part, source) in REFUSED {
        // One statement is about the size that the column has.
        let sql = sql.replace('§', &s).replace("COLUMN id TYPE varchar(64)", "COLUMN wide TYPE varchar(64)");
        let sql = if sql.contains(".k ALTER") { sql.replace("wide", "id") } else { sql };
        match attempt(&client, &sql).await {
            Err((was, message)) if was == *code && message.contains(part) => {}
            other => wrong.push(format!("{sql}\n  wanted {code} …{part}… ({source})\n  got {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(run(&client, &format!("SELECT id FROM {s}.t")).await, ["four"], "nothing was done");
}

#[tokio::test]
async fn what_redshift_accepts() {
    for database in [Database::Snapshot, Database::Serializable] {
        let client = connect(database).await;
        let s = schema(&client).await;
        run(&client, &format!("CREATE TABLE {s}.t (id varchar(4), n bigint)")).await;
        for (sql, source) in ACCEPTED {
            let sql = sql.replace('§', &s);
            if let Err(error) = attempt(&client, &sql).await {
                panic!("{sql}\n  ({source})\n  {error:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_aborts_the_transaction() {
    let client = connect(Database::Snapshot).await;
    let s = schema(&client).await;
    run(&client, &format!("CREATE TABLE {s}.t (id varchar(4))")).await;
    for sql in ["ALTER TABLE §.t ALTER COLUMN id TYPE varchar(8)", "SELECT string_agg(id, '') FROM §.t", "TRUNCATE §.t"]
    {
        run(&client, "BEGIN").await;
        run(&client, &format!("INSERT INTO {s}.t VALUES ('a')")).await;
        let (code, message) = attempt(&client, &sql.replace('§', &s)).await.expect_err(sql);
        if sql.starts_with("ALTER") {
            // dev guide, ALTER TABLE; the text is quoted in github.com/dbt-labs/dbt-core issue 1323 and its likes.
            assert_eq!(
                (code.as_str(), message.as_str()),
                ("25001", "ALTER TABLE ALTER COLUMN cannot run inside a transaction block")
            );
        }
        assert_eq!(attempt(&client, "SELECT 1").await.expect_err("aborted").0, "25P02");
        run(&client, "COMMIT").await;
        assert_eq!(run(&client, &format!("SELECT COUNT(*) FROM {s}.t")).await, ["0"]);
    }
}

#[tokio::test]
async fn defaults_are_redshifts() {
    let client = connect(Database::Snapshot).await;
    let s = schema(&client).await;
    run(
        &client,
        &format!(
            "CREATE TABLE {s}.\"T\" (a varchar, b varchar(max), c text, d numeric, e char, f decimal(10), g float8)"
        ),
    )
    .await;
    let columns = run(
        &client,
        &format!(
            "SELECT column_name, data_type, character_maximum_length, numeric_precision, numeric_scale \
             FROM information_schema.columns WHERE table_schema = '{s}' AND table_name = 't' ORDER BY ordinal_position"
        ),
    )
    .await;
    assert_eq!(
        columns,
        [
            "a|character varying|256|-|-",
            "b|character varying|65535|-|-",
            "c|character varying|256|-|-",
            "d|numeric|-|18|0",
            "e|character|1|-|-",
            "f|numeric|-|10|0",
            "g|double precision|-|53|-",
        ]
    );
    run(&client, &format!("INSERT INTO {s}.t (g, a) VALUES (0.1 + 0.2::float8, 'é')")).await;
    assert_eq!(
        run(&client, &format!("SELECT g, LEN(a), OCTET_LENGTH(a) FROM {s}.t")).await,
        ["0.3|1|2"],
        "fifteen digits"
    );
    run(&client, "SET extra_float_digits TO 2").await;
    assert_eq!(run(&client, &format!("SELECT g FROM {s}.t")).await, ["0.30000000000000004"]);
}

#[tokio::test]
async fn names_have_127_bytes() {
    let client = connect(Database::Snapshot).await;
    let s = schema(&client).await;
    let (table, one, two) = ("ä".repeat(60), format!("{}1", "n".repeat(126)), format!("{}2", "n".repeat(126)));
    run(&client, &format!("CREATE TABLE {s}.\"{table}\" (\"{one}\" int)")).await;
    run(&client, &format!("ALTER TABLE {s}.\"{table}\" ADD COLUMN \"{two}{two}\" int")).await;
    let cut = format!("{two}{two}")[..127].to_owned();
    let columns = run(
        &client,
        &format!(
            "SELECT column_name FROM information_schema.columns WHERE table_name = '{table}' ORDER BY ordinal_position"
        ),
    )
    .await;
    assert_eq!(columns, [one.as_str(), cut.as_str()]);
    let (code, message) = attempt(&client, &format!("ALTER TABLE {s}.\"{table}\" ADD COLUMN \"{one}\" int"))
        .await
        .expect_err("it is there");
    assert_eq!(code, "42701");
    assert!(message.contains(&one), "{message}");
    let statement = client.simple_query(&format!("SELECT * FROM {s}.\"{table}\"")).await.expect("a result");
    let described = statement.iter().any(|message| match message {
        tokio_postgres::SimpleQueryMessage::RowDescription(columns) => columns[0].name() == one,
        _ => false,
    });
    assert!(described, "results have the long names");
    let other = connect(Database::Snapshot).await;
    assert_eq!(run(&other, &format!("SELECT COUNT(\"{one}\") FROM {s}.\"{table}\"")).await, ["0"]);
}
