//! COPY from S3. Objects are put into the bucket's folder; that S3 itself works is seen with boto3.

use crate::support::{Database, attempt, connect, emulator, run, schema};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::path::PathBuf;

fn put(bucket: &str, key: &str, bytes: &[u8]) {
    let root = PathBuf::from(emulator().option("WIRE", "ca"));
    let path = root.parent().expect("a folder").join("s3").join(bucket).join(key);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path, bytes).expect("an object");
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text.as_bytes()).expect("text");
    packed.finish().expect("an end")
}

const BUCKET: &str = "tablecast-stage";
const OPTIONS: &str = "IAM_ROLE default FORMAT AS JSON 'auto' GZIP TIMEFORMAT 'auto' COMPUPDATE OFF STATUPDATE OFF";

#[tokio::test]
async fn a_manifest_is_loaded_within_the_transaction() {
    let client = connect(Database::Snapshot).await;
    let s = schema(&client).await;
    let rows = "{\"id\":\"a\",\"n\":1,\"price\":1e-3,\"big\":12345678901234567890123456789,\"ok\":true,\"at\":\"2026-01-02T03:04:05.123456Z\",\"other\":{}}\n\
                {\"id\":\"tab\\tback\\\\slash\\nline\",\"n\":null,\"ok\":\"false\",\"note\":{\"k\": [1]}}\n";
    put(BUCKET, &format!("{s}/0.json.gz"), &gzip(rows));
    let manifest = format!(
        "{{\"entries\":[{{\"url\":\"s3://{BUCKET}/{s}/0.json.gz\",\"mandatory\":true}},{{\"url\":\"s3://{BUCKET}/{s}/none\"}}]}}"
    );
    put(BUCKET, &format!("{s}/manifest"), manifest.as_bytes());
    run(&client, "BEGIN").await;
    run(&client, "CREATE TEMP TABLE stage (id varchar(64), n bigint, price double precision, big numeric(29,0), ok boolean, at timestamptz, note varchar(max), x int DEFAULT 7)").await;
    run(
        &client,
        &format!("COPY stage (id, n, price, big, ok, at, note) FROM 's3://{BUCKET}/{s}/manifest' {OPTIONS} MANIFEST"),
    )
    .await;
    let loaded = run(&client, "SELECT id, n, price, big, ok, at, note, x FROM stage ORDER BY 1").await;
    assert_eq!(
        loaded,
        [
            "a|1|0.001|12345678901234567890123456789|t|2026-01-02 03:04:05.123456+00|-|7",
            "tab\tback\\slash\nline|-|-|-|f|-|{\"k\": [1]}|7",
        ]
    );
    assert_eq!(run(&client, "SELECT pg_last_copy_count()").await, ["2"]);
    run(&client, "ROLLBACK").await;
    assert_eq!(attempt(&client, "SELECT 1 FROM stage").await.expect_err("gone").0, "42P01");
}

#[tokio::test]
async fn without_a_manifest_a_prefix_is_loaded() {
    let client = connect(Database::Snapshot).await;
    let s = schema(&client).await;
    run(&client, &format!("CREATE TABLE {s}.t (id varchar(8))")).await;
    for key in ["b1", "b10", "c"] {
        put(BUCKET, &format!("{s}/{key}"), &gzip(&format!("{{\"id\":\"{key}\",\"ID\":\"x\"}}")));
    }
    run(&client, &format!("COPY {s}.t FROM 's3://{BUCKET}/{s}/b1' {OPTIONS}")).await;
    assert_eq!(run(&client, &format!("SELECT id FROM {s}.t ORDER BY 1")).await, ["b1", "b10"], "not b1 alone");
}

#[tokio::test]
async fn a_row_that_does_not_fit_is_told_after_the_rollback() {
    let client = connect(Database::Snapshot).await;
    let s = schema(&client).await;
    let long = "n".repeat(100);
    run(&client, &format!("CREATE TABLE {s}.t (id varchar(4) NOT NULL, \"{long}\" bigint)")).await;
    let rows = format!(
        "{{\"id\":\"a\",\"{long}\":1}}\n{{\"id\":\"b\",\"{long}\":\"12x\"}}\n{{\"id\":\"héé\"}}\n{{}}\nnonsense\n"
    );
    put(BUCKET, &format!("{s}/rows"), &gzip(&rows));
    run(&client, "BEGIN").await;
    let copy = format!("COPY {s}.t FROM 's3://{BUCKET}/{s}/rows' {OPTIONS}");
    let (code, message) = attempt(&client, &copy).await.expect_err("a bad row");
    assert_eq!(code, "XX000");
    assert_eq!(message, "Load into table 't' failed.  Check 'sys_load_error_detail' system table for details.");
    assert_eq!(attempt(&client, "SELECT 1").await.expect_err("aborted").0, "25P02");
    run(&client, "ROLLBACK").await;
    let detail = "SELECT TRIM(file_name), line_number, TRIM(column_name), TRIM(column_type), TRIM(column_length), error_code, \
                  TRIM(error_message) FROM sys_load_error_detail WHERE query_id = pg_last_copy_id() ORDER BY line_number";
    let url = format!("s3://{BUCKET}/{s}/rows");
    assert_eq!(
        run(&client, detail).await,
        [format!("{url}|2|{long}|int8|0|1207|Invalid digit, Value 'x', Pos 2, Type: Long")]
    );
    assert_eq!(run(&client, &format!("SELECT COUNT(*) FROM {s}.t")).await, ["0"]);

    run(&client, &format!("{copy} MAXERROR 10")).await;
    assert_eq!(run(&client, &format!("SELECT id FROM {s}.t")).await, ["a"]);
    let codes = run(
        &client,
        "SELECT line_number, error_code FROM sys_load_error_detail WHERE query_id = pg_last_copy_id() ORDER BY 1",
    )
    .await;
    assert_eq!(codes, ["2|1207", "3|1204", "4|1213", "5|1216"]);
    let reader = crate::support::log_in("reader", "Reader-1", "dev").await.expect("a session");
    assert_eq!(
        run(&reader, &format!("SELECT COUNT(*) FROM sys_load_error_detail WHERE file_name = '{url}'")).await,
        ["0"],
        "of others"
    );
}

#[tokio::test]
async fn what_stands_in_the_way_is_worded_as_redshift_words_it() {
    let client = connect(Database::Snapshot).await;
    let s = schema(&client).await;
    run(&client, &format!("CREATE TABLE {s}.t (id varchar(8))")).await;
    for bucket in [BUCKET, "tablecast-far", "tablecast-closed"] {
        put(bucket, &format!("{s}/x"), b"{\"id\":\"a\"}");
    }
    put(
        BUCKET,
        &format!("{s}/broken"),
        format!("{{\"entries\":[{{\"url\":\"s3://{BUCKET}/{s}/gone\",\"mandatory\":true}}]}}").as_bytes(),
    );
    let json = "FORMAT AS JSON 'auto'";
    for (from, options, part) in [
        (
            format!("s3://{BUCKET}/{s}/x"),
            "IAM_ROLE 'arn:aws:iam::123456789012:role/other'",
            "is not authorized to assume IAM Role",
        ),
        (
            format!("s3://nowhere/{s}/x"),
            "IAM_ROLE default",
            "The specified bucket does not exist,Status 404,Error NoSuchBucket",
        ),
        (format!("s3://{BUCKET}/{s}/y"), "IAM_ROLE default", "The specified S3 prefix"),
        (
            format!("s3://{BUCKET}/{s}/y"),
            "IAM_ROLE default MANIFEST",
            "Problem reading manifest file - S3ServiceException:The specified key does not exist.,Status 404,Error NoSuchKey",
        ),
        (
            format!("s3://{BUCKET}/{s}/broken"),
            "IAM_ROLE default MANIFEST",
            "S3ServiceException:The specified key does not exist.,Status 404,Error NoSuchKey",
        ),
        (format!("s3://tablecast-far/{s}/x"), "IAM_ROLE default", "must be addressed using the specified endpoint"),
        (format!("s3://tablecast-closed/{s}/x"), "IAM_ROLE default", "Access Denied,Status 403,Error AccessDenied"),
        (
            format!("s3://tablecast-closed/{s}/x"),
            "IAM_ROLE default MANIFEST",
            "COPY with MANIFEST parameter requires full path of an S3 object",
        ),
    ] {
        let (code, message) =
            attempt(&client, &format!("COPY {s}.t FROM '{from}' {options} {json}")).await.expect_err(&from);
        assert_eq!(code, "XX000");
        assert!(message.contains(part), "{from} {options}: {message}");
    }
    run(&client, &format!("COPY {s}.t FROM 's3://tablecast-far/{s}/x' IAM_ROLE 'arn:aws:iam::123456789012:role/tablecast' {json} REGION 'eu-west-1'")).await;
    let wrong =
        attempt(&client, &format!("COPY {s}.t (nope) FROM 's3://{BUCKET}/{s}/x' IAM_ROLE default {json}")).await;
    assert_eq!(wrong.expect_err("no such column").0, "42703");
    let wrong = attempt(&client, &format!("COPY {s}.nope FROM 's3://{BUCKET}/{s}/x' IAM_ROLE default {json}")).await;
    assert_eq!(wrong.expect_err("no such table").0, "42P01");
    assert_eq!(run(&client, &format!("SELECT COUNT(*) FROM {s}.t")).await, ["1"]);
}

#[tokio::test]
async fn fifty_thousand_rows_take_seconds() {
    let client = connect(Database::Snapshot).await;
    let s = schema(&client).await;
    run(&client, &format!("CREATE TABLE {s}.t (id varchar(64), n bigint, at timestamptz, note varchar(256))")).await;
    let rows: String = (0..50_000)
        .map(|n| {
            format!(
                "{{\"id\":\"k{n}\",\"n\":{n},\"at\":\"2026-01-02T03:04:05.123456Z\",\"note\":\"row number {n}\"}}\n"
            )
        })
        .collect();
    put(BUCKET, &format!("{s}/rows"), &gzip(&rows));
    let begun = std::time::Instant::now();
    run(&client, &format!("COPY {s}.t FROM 's3://{BUCKET}/{s}/rows' {OPTIONS}")).await;
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    assert_eq!(run(&client, &format!("SELECT COUNT(*), SUM(n) FROM {s}.t")).await, ["50000|1249975000"]);
}
