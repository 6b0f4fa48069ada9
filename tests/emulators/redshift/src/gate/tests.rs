//! What statements become. What is refused and what is accepted is listed in the tests against the running emulator.

use super::*;

fn sql(statement: &str) -> String {
    match translate(statement, false, &Names::default()) {
        Ok(Action::Run(statement)) => statement.sql,
        other => panic!("{statement}: {other:?}"),
    }
}

#[test]
fn statements_become_postgresqls() {
    for (given, becomes) in [
        ("begin work isolation level serializable", "BEGIN"),
        ("END TRANSACTION;", "COMMIT"),
        ("lock S.T, u", r#"LOCK TABLE "s"."t" , "u""#),
        ("SELECT NVL(\"A\", 1)::text FROM T x", r#"SELECT coalesce ( "a" , 1 )::varchar(256) FROM "t" AS "x""#),
        (
            "SELECT column_name FROM information_schema.columns",
            r#"SELECT "column_name" FROM rs_emu.columns AS "columns""#,
        ),
        (
            "CREATE TABLE t (a varchar ENCODE raw, b numeric, PRIMARY KEY (a)) DISTSTYLE EVEN SORTKEY AUTO",
            r#"CREATE TABLE "t" ( "a" varchar(256), "b" numeric(18,0) )"#,
        ),
        ("set query_group to 'x'", "SET rs_emu.query_group TO 'x'"),
        ("SELECT a - -1 FROM t", r#"SELECT "a" - - 1 FROM "t""#),
    ] {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(&sql(given)), words(becomes), "{given}");
    }
}

#[test]
fn keys_are_noted_behind_the_table() {
    let Ok(Action::Run(statement)) = translate("CREATE TABLE s.t (a int UNIQUE, b int)", false, &Names::default())
    else {
        panic!("a table")
    };
    assert!(statement.then.is_some_and(|then| then.contains("mark_keys('\"s\".\"t\"', ARRAY['a'])")));
}

#[test]
fn long_names_are_stored_short() {
    let names = Names::default();
    let long = "n".repeat(100);
    let Ok(Action::Run(statement)) = translate(&format!("SELECT {long} FROM t"), false, &names) else {
        panic!("a query")
    };
    assert!(!statement.sql.contains(&long));
    assert_eq!(names.take_fresh(), [(names.short(&long), long)]);
}

#[test]
fn a_copy_is_read() {
    let given = "COPY s.t (a, \"B\") FROM 's3://b/k' IAM_ROLE default FORMAT AS JSON 'auto' GZIP TIMEFORMAT 'auto' MANIFEST REGION 'r' MAXERROR 3";
    let Ok(Action::Copy(copy)) = translate(given, true, &Names::default()) else { panic!("a load") };
    let wanted = Copy {
        table: vec!["s".into(), "t".into()],
        columns: Some(vec!["a".into(), "b".into()]),
        from: "s3://b/k".into(),
        auth: Auth::Default,
        region: Some("r".into()),
        manifest: true,
        gzip: true,
        any_time: true,
        max_errors: 3,
    };
    assert_eq!(copy, wanted);
}

#[test]
fn a_statement_has_16_megabytes() {
    let long = format!("SELECT '{}'", "x".repeat(MAX_STATEMENT));
    assert_eq!(translate(&long, false, &Names::default()).map(drop).expect_err("too long").code, "54000");
}

#[test]
fn a_refusal_can_be_raised() {
    let refusal = Refusal { detail: Some("it's".into()), ..Refusal::new("0A000", "no") };
    assert_eq!(
        refusal.as_sql(),
        "DO $rsemu$ BEGIN RAISE EXCEPTION USING ERRCODE = '0A000', MESSAGE = 'no', DETAIL = 'it''s'; END $rsemu$"
    );
}
