//! Log-in, TLS, transactions side by side, the extended protocol, and `psql`.

use crate::support::{Database, attempt, connect, emulator, log_in, run, schema};
use std::process::Command;
use tokio_postgres::error::SqlState;

/// A client that the project did not write, with the strictest TLS there is.
#[test]
fn psql_connects_with_verify_full() {
    let emulator = emulator();
    let psql = |host: &str, mode: &str, password: &str, sql: &str| {
        let (port, ca) = (emulator.port(), emulator.option("WIRE", "ca"));
        let address = format!("host={host} port={port} user=tablecast dbname=dev sslmode={mode} sslrootcert={ca}");
        let output =
            Command::new("psql").args([&address, "-X", "-A", "-t", "-c", sql]).env("PGPASSWORD", password).output();
        let output = output.expect("psql runs: install PostgreSQL's client");
        (
            String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let password = emulator.option("WIRE", "password");
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(psql(host, "verify-full", password, "SELECT 'é' || CHR(33)").0, "é!");
    }
    let (_, error) = psql("localhost", "verify-full", "wrong", "SELECT 1");
    assert!(error.contains("password authentication failed for user \"tablecast\""), "{error}");
    let (_, error) = psql("localhost", "disable", password, "SELECT 1");
    assert!(error.contains("SSL off"), "{error}");
    let (_, error) = psql("localhost", "verify-full", password, "SELECT now()");
    assert!(error.contains("rsemu:"), "{error}");
    assert_eq!(psql("localhost", "verify-full", password, "SHOW server_version").0, "8.0.2");
}

#[tokio::test]
async fn who_may_not_log_in() {
    for (user, password, database, code) in [
        ("nobody", "x", "dev", "28000"),
        ("tablecast", "x", "dev", "28000"),
        ("tablecast", "Tablecast-1", "nowhere", "3D000"),
    ] {
        let error = log_in(user, password, database).await.expect_err(user);
        assert_eq!(error.code().map(SqlState::code), Some(code), "{user} {database}");
    }
}

#[tokio::test]
async fn who_may_read_only() {
    let owner = connect(Database::Snapshot).await;
    let s = schema(&owner).await;
    let reader = log_in("reader", "Reader-1", "dev").await.expect("a session");
    assert_eq!(
        run(&reader, &format!("SELECT has_schema_privilege('{s}', 'create'), has_database_privilege('dev', 'create')"))
            .await,
        ["f|f"]
    );
    for sql in [format!("CREATE SCHEMA {s}_x"), format!("CREATE TABLE {s}.t (a int)")] {
        assert_eq!(attempt(&reader, &sql).await.expect_err("no right").0, "42501");
    }
}

/// Two transactions that update one row: the second is told what Redshift tells it, unless it locked first.
#[tokio::test]
async fn conflicts_are_1023() {
    for database in [Database::Snapshot, Database::Serializable] {
        let (one, two) = (connect(database).await, connect(database).await);
        let s = schema(&one).await;
        run(&one, &format!("CREATE TABLE {s}.t (id varchar(8), n int)")).await;
        run(&one, &format!("INSERT INTO {s}.t VALUES ('a', 0)")).await;
        let add = format!("UPDATE {s}.t SET n = n + 1");
        for lock in [false, true] {
            for client in [&one, &two] {
                run(client, "BEGIN").await;
                if !lock {
                    run(client, &format!("SELECT COUNT(*) FROM {s}.t")).await;
                }
            }
            let first = async {
                if lock {
                    run(&one, &format!("LOCK {s}.t")).await;
                }
                run(&one, &add).await;
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                run(&one, "COMMIT").await;
            };
            let second = async {
                tokio::time::sleep(std::time::Duration::from_millis(150)).await;
                if lock {
                    run(&two, &format!("LOCK {s}.t")).await;
                }
                attempt(&two, &add).await
            };
            let (outcome, ()) = tokio::join!(second, first);
            match (lock, outcome) {
                (true, Ok(_)) => drop(run(&two, "COMMIT").await),
                (false, Err((code, message))) => {
                    assert_eq!((code.as_str(), message.as_str()), ("XX000", "1023"));
                    run(&two, "ROLLBACK").await;
                }
                (lock, outcome) => panic!("{database:?}, locked: {lock}: {outcome:?}"),
            }
        }
        assert_eq!(run(&one, &format!("SELECT n FROM {s}.t")).await, ["3"]);
    }
}

/// What only SERIALIZABLE refuses: each of two transactions reads what the other writes.
#[tokio::test]
async fn only_serializable_refuses_a_cycle() {
    for (database, refused) in [(Database::Snapshot, false), (Database::Serializable, true)] {
        let (one, two) = (connect(database).await, connect(database).await);
        let s = schema(&one).await;
        for table in ["a", "b"] {
            run(&one, &format!("CREATE TABLE {s}.{table} (n int)")).await;
        }
        for (client, read) in [(&one, "a"), (&two, "b")] {
            run(client, "BEGIN").await;
            run(client, &format!("SELECT COUNT(*) FROM {s}.{read}")).await;
        }
        run(&one, &format!("INSERT INTO {s}.b VALUES (1)")).await;
        let second = attempt(&two, &format!("INSERT INTO {s}.a VALUES (1)")).await;
        let (first, second) = (
            attempt(&one, "COMMIT").await,
            match second {
                Ok(_) => attempt(&two, "COMMIT").await,
                failed => failed,
            },
        );
        let failed: Vec<String> = [first, second].into_iter().filter_map(|end| Some(end.err()?.1)).collect();
        assert_eq!(failed, vec!["1023".to_owned(); usize::from(refused)], "{database:?}");
    }
}

#[tokio::test]
async fn the_extended_protocol_meets_the_same_gate() {
    let client = connect(Database::Snapshot).await;
    let rows = client.query("SELECT $1::varchar(8) AS a, 2::bigint AS b", &[&"x"]).await.expect("rows");
    assert_eq!((rows[0].get::<_, String>(0), rows[0].get::<_, i64>(1)), ("x".to_owned(), 2));
    let error = client.query("SELECT string_agg('a', 'b')", &[]).await.expect_err("refused");
    assert_eq!(error.code().map(SqlState::code), Some("42883"));
    assert_eq!(run(&client, "SELECT 1").await, ["1"], "the session goes on");
}

/// A statement that nests deeply, and one that is long.
#[tokio::test]
async fn long_statements_pass() {
    let client = connect(Database::Snapshot).await;
    let chain = format!("SELECT LEN('a' {})", "|| CHR(10) || 'b' ".repeat(400));
    assert_eq!(run(&client, &chain).await, ["801"]);
    let cases: Vec<String> =
        (0..1600).map(|n| format!("CASE WHEN {n} > 5 OR NULL IS NULL THEN 'x{n}' ELSE NULL END")).collect();
    let row = run(&client, &format!("SELECT {}", cases.join(", "))).await;
    assert!(row[0].ends_with("x1599"));
}
