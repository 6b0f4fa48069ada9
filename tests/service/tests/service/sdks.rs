//! Segment's own SDKs for Python and Node, unchanged, pointed at the service.

use crate::harness::Service;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use tablecast_core::testing::Row;

/// What a variable says that `cargo xtask test` sets.
///
/// # Panics
/// If it is not set.
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test --engine service`"))
}

fn scripts() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sdks")
}

/// Runs the Python SDK.
pub(crate) fn python(words: &[&str]) -> Command {
    let mut command = Command::new(variable("TABLECAST_SDK_PYTHON"));
    command.arg(scripts().join("python/send.py")).args(words);
    command
}

fn said(command: &mut Command) -> Value {
    let output = command.output().expect("the SDK runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("what it was told")
}

fn node(service: &Service, key: &str) -> Value {
    let program = std::env::var("TABLECAST_NODE").unwrap_or_else(|_| "node".into());
    let mut command = Command::new(program);
    said(command.arg(scripts().join("node/send.mjs")).args([&variable("TABLECAST_SDK_NODE"), &service.url(), key]))
}

fn column<'r>(rows: &'r [Row], column: &str) -> Vec<&'r str> {
    let mut values: Vec<&str> = rows.iter().filter_map(|row| row.get(column).map(String::as_str)).collect();
    values.sort_unstable();
    values
}

/// One row of each kind of call, with the SDK's name in its context.
fn each_kind(service: &Service, runs: usize, library: &str, user: &str) {
    let identifies = service.wait_for("main", "identifies", runs);
    let orders = service.wait_for("main", "order_completed", 2 * runs);
    assert_eq!((identifies.len(), orders.len()), (runs, 2 * runs));
    assert_eq!(column(&identifies, "context_library_name"), vec![library; runs]);
    assert!(identifies.iter().all(|row| row.contains_key("received_at") && row.contains_key("sent_at")));
    assert_eq!(column(&orders, "event_text"), vec!["Order Completed"; 2 * runs]);
    for (table, name, value) in [
        ("tracks", "event", "order_completed"),
        ("pages", "name", "Docs"),
        ("screens", "name", "Settings"),
        ("groups", "_name", "Acme"),
        ("users", "plan", "pro"),
        ("aliases", "user_id", user),
    ] {
        let rows = service.wait_for("main", table, 1);
        let name = if table == "groups" && !rows[0].contains_key(name) { "name" } else { name };
        assert!(column(&rows, name).contains(&value), "{table}.{name}: {rows:?}");
    }
    assert!(column(&orders, "revenue").contains(&"450.75"), "{orders:?}");
    assert_eq!(service.rows("main", "_discards"), Vec::<Row>::new());
}

#[test]
fn python_with_and_without_gzip() {
    let service = Service::new("", &["main"]).started();
    for option in ["plain", "gzip"] {
        let told = said(&mut python(&["calls", &service.url(), "demo", option]));
        assert_eq!(told, json!({"failed": []}));
    }
    each_kind(&service, 2, "analytics-python", "u-gzip");
    // A base address with the version in it works as well.
    let told = said(&mut python(&["calls", &format!("{}/v1", service.url()), "demo", "version"]));
    assert_eq!(told, json!({"failed": []}));
    assert!(column(&service.wait_for("main", "identifies", 3), "user_id").contains(&"u-version"));
}

#[test]
fn node_with_all_its_calls() {
    let service = Service::new("", &["main"]).started();
    assert_eq!(node(&service, "demo"), json!({"failed": []}));
    each_kind(&service, 1, "@segment/analytics-node", "u-node");
    let identifies = service.rows("main", "identifies");
    assert_eq!(column(&identifies, "tags"), [r#"["a","b"]"#]);
}

#[test]
fn a_key_that_nobody_knows_is_silent_for_sdks_unless_the_service_is_strict() {
    let service = Service::new("", &[]).started();
    assert_eq!(said(&mut python(&["calls", &service.url(), "other", "plain"])), json!({"failed": []}));
    assert_eq!(node(&service, "other"), json!({"failed": []}));
    assert!(service.metric("tablecast_refused_total{reason=\"unknown_source\"}") >= 2.0);
    assert_eq!(service.metric("tablecast_spool_bytes{space=\"default\"}"), 0.0);

    let strict = Service::new("strict = true", &[]).started();
    let told = said(&mut python(&["calls", &strict.url(), "other", "plain"]));
    let error = told["failed"][0]["error"].as_str().expect("it failed");
    assert!(error.contains("unknown_source") && error.contains("403"), "{error}");
    assert_ne!(node(&strict, "other"), json!({"failed": []}));
    assert_eq!(said(&mut python(&["calls", &strict.url(), "demo", "plain"])), json!({"failed": []}));
    assert_eq!(node(&strict, "demo"), json!({"failed": []}), "what SDKs send is right by the strict rules too");
}

#[test]
fn computations_become_the_tables_of_the_documentation() {
    let setup = "token = \"hush\"\n[[audience]]\nkey = \"first_time_shopper\"\n[[trait]]\nkey = \"total_revenue_180_days\"\ntype = \"float\"\n";
    let service = Service::new(setup, &["main"]).started();
    let changes = r#"[{"computation":"first_time_shopper","userId":"u123","value":true,"id":"1"},
        {"computation":"total_revenue_180_days","userId":"u123","value":450.00,"id":"2"},
        {"computation":"first_time_shopper","userId":"u123","value":false,"id":"3"}]"#;
    for duplicates in [0, 6] {
        let headers = "authorization: Bearer hush\r\n";
        let told = crate::harness::request(service.address(), "POST", "/v1/computations", headers, changes.as_bytes());
        let told: Value = serde_json::from_str(&told.expect("an answer").body).expect("JSON");
        assert_eq!(told, json!({"success": true, "changes": 3, "calls": 6, "duplicates": duplicates}));
    }
    let identifies = service.wait_for("main", "identifies", 3);
    assert_eq!(column(&identifies, "first_time_shopper"), ["false", "true"]);
    assert_eq!(column(&identifies, "total_revenue_180_days"), ["450.0"]);
    assert_eq!(column(&identifies, "context_personas_computation_class"), ["audience", "audience", "trait"]);
    let users = service.wait_for("main", "users", 1);
    assert_eq!(
        (column(&users, "first_time_shopper"), column(&users, "total_revenue_180_days")),
        (vec!["false"], vec!["450.0"])
    );
    for (table, key, value) in [
        ("audience_entered", "audience_key", "first_time_shopper"),
        ("audience_exited", "audience_key", "first_time_shopper"),
        ("trait_computed", "trait_key", "total_revenue_180_days"),
    ] {
        assert_eq!(column(&service.wait_for("main", table, 1), key), [value], "{table}");
    }
    assert_eq!(service.rows("main", "tracks").len(), 3);
}
