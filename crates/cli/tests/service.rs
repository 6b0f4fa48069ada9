//! The service as a user meets it: started, sent to, asked, reloaded and ended.
#![cfg(feature = "sqlite")]

mod common;

use common::{Folder, Run};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

const CONFIG: &str = r#"
listen = "127.0.0.1:0"
token = "hush"
[[source]]
space = "default"
write_keys = ["demo"]
[[warehouse]]
name = "main"
uri = "sqlite:./warehouse"
[[trait]]
key = "plan"
"#;

/// A service that ends with the test.
struct Service<'f> {
    folder: &'f Folder,
    child: Child,
    address: String,
}

impl<'f> Service<'f> {
    fn start(folder: &'f Folder) -> Self {
        let address = folder.path("tablecast-data/address");
        let _ = std::fs::remove_file(&address);
        let mut service = Service::spawn(folder);
        service.until("an address", || address.exists() && std::fs::read_to_string(&address).unwrap().ends_with('\n'));
        service.address = std::fs::read_to_string(&address).unwrap().trim().to_owned();
        service.until("readiness", || service.get("/readyz").starts_with("HTTP/1.1 200"));
        service
    }

    /// The process, whatever it is doing yet.
    fn spawn(folder: &'f Folder) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_tablecast"))
            .args(["serve", "--log", "json"])
            .current_dir(folder.path(""))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path("serve.log")).unwrap())
            .spawn()
            .unwrap();
        Service { folder, child, address: String::new() }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path("serve.log")).unwrap()
    }

    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        for _ in 0..3_000 {
            if is_so() {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("never happened: {what}\n{}", self.log());
    }

    fn exchange(&self, request: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return String::new() };
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        self.exchange(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
    }

    /// Sends a batch as an SDK does.
    fn send(&self, calls: &str) {
        let body = format!(r#"{{"writeKey": "demo", "batch": [{calls}]}}"#);
        let length = body.len();
        let answer = self.exchange(&format!(
            "POST /v1/batch HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        ));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    fn end(mut self) {
        self.signal("TERM");
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(folder: &Folder, config: &str) -> PathBuf {
    let path = folder.path("tablecast.toml");
    std::fs::write(&path, config).unwrap();
    path
}

fn identify(user: &str, traits: &str) -> String {
    format!(r#"{{"type": "identify", "userId": "{user}", "traits": {traits}}}"#)
}

/// The rows of `users` as JSON.
fn users(folder: &Folder, more: &[&str]) -> Vec<Value> {
    let json = folder.run(&[&["show", "users", "--json"], more].concat()).ends(0).json();
    json["rows"].as_array().unwrap().clone()
}

fn column(rows: &[Value], name: &str) -> Vec<String> {
    let mut cells: Vec<String> = rows.iter().map(|row| row[name].as_str().unwrap_or_default().to_owned()).collect();
    cells.sort();
    cells
}

fn first(run: &Run) -> Value {
    run.json()["syncs"][0].clone()
}

#[test]
fn a_person_follows_the_readme() {
    let folder = Folder::new();
    write(&folder, CONFIG);
    let service = Service::start(&folder);
    // A new warehouse is due when the service begins: that sync would take the calls before the one that is asked for.
    service.until("the sync of the beginning", || {
        let syncs = folder.run(&["syncs", "--json"]).ends(0).json();
        syncs["syncs"].as_array().unwrap().iter().any(|sync| sync["status"] == "success")
    });
    service.send(&[identify("u1", r#"{"plan": "free", "n": 1}"#), identify("u2", r#"{"plan": "pro"}"#)].join(","));

    let synced = folder.run(&["sync", "now", "--json"]).ends(0);
    assert_eq!((first(&synced)["status"].as_str(), first(&synced)["rows"].as_i64()), (Some("success"), Some(4)));
    assert_eq!(column(&users(&folder, &[]), "plan"), ["free", "pro"]);
    let shown = folder.run(&["syncs"]).ends(0);
    assert!(
        shown.out.contains("upcoming") && shown.out.contains("up to date") && shown.out.contains("success"),
        "{}",
        shown.out
    );
    let id = first(&synced)["id"].to_string();
    let detail = folder.run(&["syncs", &id]).ends(0);
    assert!(detail.out.contains("create table users") && detail.out.contains("identifies"), "{}", detail.out);

    let off = folder.run(&["select", "off", "--trait", "plan"]).ends(0);
    assert!(off.out.contains("computation") && off.out.contains("plan"), "{}", off.out);
    service.send(&identify("u3", r#"{"plan": "late", "n": 3}"#));
    folder.run(&["sync", "now"]).ends(0);
    assert_eq!(column(&users(&folder, &[]), "plan"), ["", "free", "pro"]);
    folder.run(&["select", "on", "--trait", "plan"]).ends(0);
    service.until("the fill", || {
        let syncs = folder.run(&["syncs", "--json"]).ends(0).json();
        syncs["syncs"].as_array().unwrap().iter().any(|sync| sync["kind"] == "fill" && sync["status"] == "success")
    });
    assert_eq!(column(&users(&folder, &[]), "plan"), ["free", "late", "pro"]);

    let emitted = folder.run(&["emit", "plan", "gold", "--user", "u1", "--id", "e1", "--json"]).ends(0).json();
    assert_eq!((emitted["changes"].as_i64(), emitted["calls"].as_i64()), (Some(1), Some(2)));
    folder.run(&["sync", "now", "--to", "main"]).ends(0);
    assert_eq!(column(&users(&folder, &[]), "plan"), ["gold", "late", "pro"]);

    // A second warehouse, by a configuration that is read again; a wrong one changes nothing.
    write(&folder, &format!("strickt = true\n{CONFIG}"));
    service.signal("HUP");
    service.until("a complaint", || service.log().contains("strickt: unknown field"));
    let second = "[[warehouse]]\nname = \"second\"\nuri = \"sqlite:./second\"\nhistory = false\n";
    write(&folder, &format!("{CONFIG}{second}"));
    service.signal("HUP");
    service.until("the new configuration", || service.log().contains("was read again"));
    let backfill = folder.run(&["backfill", "--to", "second", "--json"]).ends(0);
    assert_eq!(
        (first(&backfill)["kind"].as_str(), first(&backfill)["status"].as_str()),
        (Some("backfill"), Some("success"))
    );
    assert_eq!(column(&users(&folder, &["--to", "sqlite:./second"]), "plan"), ["gold", "late", "pro"]);
    service.end();

    // Without the service the same is done in this process.
    let here = folder.run(&["sync", "now", "--json"]).ends(0).json();
    assert_eq!(here["syncs"].as_array().unwrap().len(), 2);
    let shown = folder.run(&["syncs"]).ends(0);
    assert!(shown.out.contains("the service does not run"), "{}", shown.out);
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let folder = Folder::new();
    let missing = folder.run(&["serve"]).ends(2);
    assert!(missing.err.contains("examples/tablecast.toml"), "{}", missing.err);
    write(&folder, "listen = \"here\"\n[[source]]\nspace = \"default\"\n");
    let wrong = folder.run(&["serve"]).ends(2);
    assert_eq!(wrong.err.matches("error: ").count(), 2, "all at once: {}", wrong.err);
    write(&folder, CONFIG);
    let nobody = folder.run(&["emit", "plan", "x", "--user", "u1"]).ends(1);
    assert!(nobody.err.contains("tablecast serve"), "{}", nobody.err);
    let service = Service::start(&folder);
    let taken = folder.run(&["serve"]).ends(2);
    assert!(taken.err.contains("another process"), "{}", taken.err);
    let renamed = folder.run(&["sync", "renamed", "--to", "main"]).ends(2);
    assert!(renamed.err.contains("another process"), "{}", renamed.err);
    for (args, code) in [
        (&["sync", "now", "--to", "nowhere"][..], 2),
        (&["syncs", "4711"], 2),
        (&["select", "off", "--column", "users.id"], 2),
        (&["select", "off"], 2),
        (&["backfill", "--to", "main", "--from", "tomorrow"], 2),
        (&["emit", "unheard_of", "1", "--user", "u1"], 2),
    ] {
        let run = folder.run(args).ends(code);
        assert!(run.err.contains("to do: "), "{args:?}: {}", run.err);
    }
    write(&folder, &CONFIG.replace("hush", "other"));
    let token = folder.run(&["syncs"]).ends(1);
    assert!(token.err.contains("token"), "{}", token.err);
    service.end();
    folder.run(&["select", "off", "--column", "users.id"]).ends(2);
    folder.run(&["backfill", "--to", "nowhere"]).ends(2);
}

const COMMANDS: [&[&str]; 7] = [
    &["syncs"],
    &["sync", "now"],
    &["sync", "renamed", "--to", "main"],
    &["select", "show"],
    &["select", "off", "--table", "tracks"],
    &["select", "on", "--table", "tracks"],
    &["backfill", "--to", "main"],
];

#[test]
fn only_the_service_makes_a_data_folder() {
    let folder = Folder::new();
    write(&folder, CONFIG);
    for args in COMMANDS {
        folder.run(args).ends(2).says("there is no data folder at ./tablecast-data", "make `data` absolute");
        assert!(!folder.path("tablecast-data").exists(), "{args:?}");
    }
    Service::start(&folder).end();
    for args in COMMANDS {
        folder.run(args).ends(0);
    }
}

#[test]
fn secrets_that_only_the_service_has_are_not_needed_where_it_does_not_run() {
    let folder = Folder::new();
    let secrets = folder.write("token", "hush\n");
    let key = folder.write("key", "demo\n");
    let config = CONFIG.replace("\"hush\"", "\"file:token\"").replace("\"demo\"", "\"file:key\"");
    write(&folder, &config);
    let service = Service::start(&folder);
    service.send(&identify("u1", r#"{"plan": "free"}"#));
    folder.run(&["syncs"]).ends(0);
    service.end();
    [secrets, key].iter().for_each(|name| std::fs::remove_file(folder.path(name)).unwrap());
    for args in COMMANDS {
        folder.run(args).ends(0);
    }
    assert_eq!(column(&users(&folder, &[]), "plan"), ["free"]);
    assert!(!folder.path("tablecast-data/token").exists(), "none is made in the place of the configuration's");
    folder.run(&["serve"]).ends(2).says("token: its file cannot be read", "token");
}

#[test]
fn a_name_that_nobody_has_met_is_taken_and_told() {
    let folder = Folder::new();
    write(&folder, CONFIG);
    let service = Service::start(&folder);
    let typo = folder.run(&["select", "off", "--trait", "plam", "--table", "users"]).ends(0);
    let note = "note: computation plam is not in the warehouse yet: what was said of it holds once it comes; close to it: plan";
    assert!(typo.out.contains(note) && typo.out.matches("note: ").count() == 1, "{}", typo.out);
    let json = folder.run(&["select", "on", "--table", "trakcs", "--json"]).ends(0).json();
    assert_eq!((&json["unknown"][0]["kind"], &json["unknown"][0]["name"]), (&"table".into(), &"trakcs".into()));
    let fine = folder.run(&["select", "on", "--trait", "plam", "--table", "users"]).ends(0);
    assert!(!fine.out.contains("note: "), "{}", fine.out);
    service.end();
}

#[test]
fn a_reload_while_the_service_starts_is_done_after_it() {
    let folder = Folder::new();
    write(&folder, &CONFIG.replace("token = \"hush\"\n", ""));
    std::fs::create_dir(folder.path("tablecast-data")).unwrap();
    let token = folder.path("tablecast-data/token");
    // The service reads its token in the middle of its start, and waits there until somebody writes it.
    assert!(Command::new("mkfifo").arg(&token).status().unwrap().success());
    let service = Service::spawn(&folder);
    let mut pipe = std::fs::OpenOptions::new().write(true).open(&token).unwrap();
    service.signal("HUP");
    pipe.write_all(b"hush\n").unwrap();
    drop(pipe);
    service.until("the configuration that was read again", || service.log().contains("was read again"));
    service.end();
}
