//! Faults on the wire: what the server has done when the client knows nothing.

use crate::support::{Database, attempt, connect, emulator, run, schema};

#[tokio::test]
async fn a_connection_is_lost_before_and_after_commit() {
    for (does, kept) in [("drop_before", "0"), ("drop_after", "1")] {
        let client = connect(Database::Snapshot).await;
        let s = schema(&client).await;
        run(&client, &format!("CREATE TABLE {s}.t (n int)")).await;
        let fault = format!("{{\"marker\":\"{s}\",\"at\":\"wire\",\"does\":\"{does}\",\"statement\":\"COMMIT\"}}");
        assert!(emulator().control("POST", "/faults", &fault).contains("201 Created"));

        let other = connect(Database::Snapshot).await;
        run(&other, "BEGIN").await;
        run(&other, "COMMIT").await;
        run(&client, "BEGIN").await;
        run(&client, &format!("INSERT INTO {s}.t VALUES (1)")).await;
        assert_eq!(attempt(&client, "COMMIT").await.expect_err(does).0, "lost");
        // PostgreSQL notices a lost connection a moment later.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert_eq!(run(&other, &format!("SELECT COUNT(*) FROM {s}.t")).await, [kept], "{does}");
        let listed = emulator().control("GET", &format!("/faults?marker={s}"), "");
        assert!(listed.contains("\"met\":1"), "{listed}");
        emulator().control("DELETE", &format!("/faults?marker={s}"), "");
    }
}

#[tokio::test]
async fn the_nth_statement_of_a_session_is_met() {
    let client = connect(Database::Snapshot).await;
    let s = schema(&client).await;
    let fault = format!("{{\"marker\":\"{s}\",\"at\":\"wire\",\"does\":\"drop_before\",\"nth\":3}}");
    emulator().control("POST", "/faults", &fault);
    run(&client, &format!("CREATE TABLE {s}.t (n int)")).await;
    run(&client, "SELECT 2").await;
    assert_eq!(attempt(&client, "SELECT 3").await.expect_err("the third").0, "lost");
}

#[tokio::test]
async fn a_statement_fails_as_asked_for() {
    let client = connect(Database::Snapshot).await;
    let s = schema(&client).await;
    run(&client, &format!("CREATE TABLE {s}.t (n int)")).await;
    let fault = format!(
        "{{\"marker\":\"{s}\",\"at\":\"wire\",\"does\":\"refuse\",\"statement\":\"insert\",\"code\":\"XX000\",\"message\":\"1023\",\"detail\":\"Serializable isolation violation\"}}"
    );
    emulator().control("POST", "/faults", &fault);
    let insert = format!("INSERT INTO {s}.t VALUES (1)");
    assert_eq!(attempt(&client, &insert).await.expect_err("as asked for"), ("XX000".to_owned(), "1023".to_owned()));
    run(&client, &insert).await;
    assert!(emulator().control("POST", "/faults", "{\"marker\":\"\"}").contains("400 Bad Request"));
}
