//! The page in a real browser: headless Chromium goes through it, as `browser/page.cjs` says, with syncs that really ran.

use crate::harness::{Service, request, until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const TOKEN: &str = "a token of 4711 letters";
/// A warehouse that is down, under a name that no page must stumble over.
const ODD: &str = "<b>the \"other\" one</b> of the analytics & marketing department, with_a_rather_long_name/x";
/// The steps of the script, so that none goes missing.
const STEPS: usize = 10;

/// What a variable of `cargo xtask test` says.
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!(
            "{name} is not set: `cargo xtask test --engine service` brings Node and Chromium, or says what to install"
        )
    })
}

/// The browser's script; it ends with the test, however that ends.
struct Script(Child);

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start() -> Service {
    let service = Service::new("", &[]);
    let path = |name: &str| service.folder(name).display().to_string();
    // A file is no folder for a warehouse, whoever runs the test.
    std::fs::write(service.folder("file"), "").expect("a file");
    let text = format!(
        "token = \"{TOKEN}\"\n\
         [[warehouse]]\nname = \"main\"\nuri = \"sqlite:{}\"\nevery = \"30 days\"\n\
         [[warehouse]]\nname = {}\nuri = \"sqlite:{}\"\nat = [0, 12]\nzone = \"Europe/Berlin\"\n",
        path("main"),
        Value::from(ODD),
        path("file/x"),
    );
    service.configure(&text, &[]);
    service.started()
}

fn api(service: &Service, method: &str, path: &str, body: &Value) -> Value {
    let headers = format!("authorization: Bearer {TOKEN}\r\n");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = request(service.address(), method, path, &headers, body.as_bytes()).expect("an answer");
    assert!(answer.status < 300, "{method} {path}: {answer:?}");
    serde_json::from_str(&answer.body).expect("JSON")
}

/// Asks for a sync of a warehouse and waits for its end: its number, and how it ended.
fn sync(service: &Service, warehouse: &str) -> (i64, String) {
    let asked = api(service, "POST", "/api/syncs", &json!({ "warehouse": warehouse }));
    let id = asked["syncs"][0].as_i64().expect("a number");
    let status = until("the end of a sync", || {
        let status = api(service, "GET", &format!("/api/syncs/{id}"), &Value::Null)["status"].clone();
        let status = status.as_str().expect("a status").to_owned();
        (!matches!(status.as_str(), "waiting" | "running")).then_some(status)
    });
    (id, status)
}

fn post(service: &Service, calls: &[(&str, Value)]) {
    let call = |(id, traits): &(&str, Value)| json!({"type": "identify", "userId": format!("u{id}"), "messageId": format!("m{id}"), "traits": traits});
    let batch: Vec<Value> = calls.iter().map(call).collect();
    let body = json!({"writeKey": "demo", "batch": batch}).to_string();
    assert_eq!(service.post("/v1/batch", &body).status, 200);
}

/// What the warehouse has of a user that came while the trait `plan` was off.
fn traits(service: &Service) -> (Option<String>, Option<String>) {
    let users = service.rows("main", "users");
    let user = users.iter().find(|row| row["id"] == "u9").expect("the user");
    (user.get("plan").cloned(), user.get("city").cloned())
}

#[test]
fn a_browser_goes_through_the_page() {
    let (node, chromium) = (variable("TABLECAST_NODE"), variable("TABLECAST_CHROMIUM"));
    let modules = variable("TABLECAST_BROWSER_MODULES");
    for path in [&node, &chromium, &format!("{modules}/playwright-core/package.json")] {
        assert!(Path::new(path).exists(), "{path} is not there: run `cargo xtask test --engine service`");
    }
    let service = start();
    post(&service, &[("1", json!({"first_time_shopper": true}))]);
    let (success, status) = sync(&service, "main");
    assert_eq!(status, "success");
    post(&service, &[("2", json!({"first_time_shopper": "N/A"})), ("3", json!({"plan": "free"}))]);
    let (partial, status) = sync(&service, "main");
    assert_eq!(status, "partial");
    let (failure, status) = sync(&service, ODD);
    assert_eq!(status, "failure");

    let child = Command::new(node)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/page.cjs"))
        .args([service.url().as_str(), TOKEN, ODD])
        .args([success, partial, failure].map(|id| id.to_string()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Node runs");
    let mut script = Script(child);
    let mut to = script.0.stdin.take().expect("its input");
    let from = BufReader::new(script.0.stdout.take().expect("its output"));
    let mut complaint = script.0.stderr.take().expect("its complaints");
    let complaints = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = complaint.read_to_string(&mut text);
        text
    });
    let mut steps = Vec::new();
    for line in from.lines() {
        let line = line.expect("a line");
        let text = |of: &str| Some(of.to_owned());
        match line.strip_prefix("look ") {
            Some("off") => assert_eq!(traits(&service), (None, text("Ulm")), "the trait was not switched off"),
            Some("on") => assert_eq!(traits(&service), (text("gold"), text("Ulm")), "the gap was not filled"),
            _ => {
                steps.push(line);
                continue;
            }
        }
        writeln!(to, "seen").expect("it reads");
    }
    let status = script.0.wait().expect("it ends");
    let complaints = complaints.join().expect("its complaints");
    assert!(status.success(), "after {steps:#?}:\n{complaints}");
    assert_eq!((steps.last().map(String::as_str), steps.len()), (Some("all"), STEPS + 1), "{steps:#?}");
}
