//! The service's page in a real browser: headless Chromium goes through it, over a real service with real syncs.

use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tablecast::core::Secret;
use tablecast_server::ingest::{self, Ingest, Keys, Limits};
use tablecast_server::metrics::Metrics;
use tablecast_server::spool::SpoolOptions;
use tablecast_server::state::Status;
use tablecast_server::sync::{Settings, Spools};
use tablecast_server::{Config, Control, Engine, State, api, web};
use tokio::net::TcpListener;
use tokio::sync::watch;

const TOKEN: &str = "a token of 4711 letters";
/// A warehouse that is down, under a name that no page must stumble over.
const ODD: &str = "<b>the \"other\" one</b> of the analytics & marketing department, with_a_rather_long_name/x";
/// The steps of `tests/browser/page.cjs`, so that none goes missing.
const STEPS: usize = 10;

/// What a variable of `cargo xtask test` says.
///
/// # Panics
/// If it is not set.
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `cargo xtask test`, which brings Node and Chromium and says what to install")
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

struct Service {
    dir: tempfile::TempDir,
    address: String,
    control: Control,
    end: watch::Sender<bool>,
}

impl Service {
    async fn start() -> Service {
        let dir = tempfile::tempdir().expect("a temporary folder");
        // A file is no folder for a warehouse, whoever runs the test.
        std::fs::write(dir.path().join("file"), "").expect("a file");
        let text = format!(
            "token = \"{TOKEN}\"\n[[source]]\nspace = \"default\"\nwrite_keys = [\"demo\"]\n\
             [[warehouse]]\nname = \"main\"\nuri = \"sqlite:{dir}/main\"\nevery = \"30 days\"\n\
             [[warehouse]]\nname = {odd}\nuri = \"sqlite:{dir}/file/x\"\nat = [0, 12]\nzone = \"Europe/Berlin\"\n",
            dir = dir.path().display(),
            odd = serde_json::Value::from(ODD),
        );
        let config = Config::parse(&text).expect("a configuration");
        let (spools, metrics) = (Spools::default(), Arc::new(Metrics::new()));
        let spool = spools.open(dir.path(), SpoolOptions::new("default")).expect("a spool");
        let keys = Keys::new([("demo".to_owned(), "default".to_owned())]);
        let settings = ingest::Settings { keys, strict: true };
        let ingest = Ingest::new(settings, BTreeMap::from([("default".to_owned(), spool)]), metrics.clone());
        let state = State::open(dir.path()).expect("a state");
        let engine = Engine::new(config, state, spools.clone(), Settings::default()).expect("an engine");
        let control = engine.control();
        let app = api::App::new(control.clone(), metrics.clone(), spools, &Secret::new(TOKEN));
        let router = ingest::router(Arc::new(ingest)).merge(api::router(app.clone())).merge(web::router(app));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let (end, mut ended) = watch::channel(false);
        let stop = ended.clone();
        tokio::spawn(async move { engine.run(stop).await });
        tokio::spawn(ingest::serve(listener, router, Limits::default(), metrics, async move {
            let _ = ended.wait_for(|ended| *ended).await;
        }));
        Service { dir, address, control, end }
    }

    /// Sends calls, as an SDK does.
    async fn post(&self, calls: &str) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let host = self.address.trim_start_matches("http://");
        let body = format!("{{\"writeKey\": \"demo\", \"batch\": [{calls}]}}");
        let head =
            format!("POST /v1/batch HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}", body.len());
        let mut stream = tokio::net::TcpStream::connect(host).await.expect("a connection");
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Asks for a sync of a warehouse, and waits for how it ends.
    async fn sync(&self, warehouse: &str) -> (i64, Status) {
        let ids = self.control.sync_now(Some(warehouse), None).expect("a sync");
        for _ in 0..6_000 {
            let status = self.control.sync(ids[0]).expect("a row").sync.status;
            if status.is_final() {
                return (ids[0], status);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the sync of {warehouse} does not end");
    }

    /// Two traits of a user, as the warehouse has them.
    fn traits(&self, user: &str) -> (Option<String>, Option<String>) {
        let path = self.dir.path().join("main/personas_default.db");
        let warehouse = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a warehouse");
        let query = "SELECT plan, city FROM users WHERE id = ?1";
        warehouse.query_row(query, [user], |row| Ok((row.get(0)?, row.get(1)?))).expect("a user")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_goes_through_the_page() {
    let (node, chromium) = (variable("TABLECAST_NODE"), variable("TABLECAST_CHROMIUM"));
    let modules = variable("TABLECAST_BROWSER_MODULES");
    for path in [&node, &chromium, &format!("{modules}/playwright-core/package.json")] {
        assert!(Path::new(path).exists(), "{path} is not there: run `cargo xtask test`");
    }
    let service = Service::start().await;
    let call = |id: &str, traits: &str| {
        format!("{{\"type\": \"identify\", \"userId\": \"u{id}\", \"messageId\": \"m{id}\", \"traits\": {traits}}}")
    };
    service.post(&call("1", "{\"first_time_shopper\": true}")).await;
    let (success, status) = service.sync("main").await;
    assert_eq!(status, Status::Success);
    let clash = [call("2", "{\"first_time_shopper\": \"N/A\"}"), call("3", "{\"plan\": \"free\"}")];
    service.post(&clash.join(",")).await;
    let (partial, status) = service.sync("main").await;
    assert_eq!(status, Status::Partial);
    let (failure, status) = service.sync(ODD).await;
    assert_eq!(status, Status::Failure);

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/browser/page.cjs");
    let child = Command::new(node)
        .arg(script)
        .args([service.address.as_str(), TOKEN, ODD])
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
    // The script is waited for on a thread of its own, so that the service goes on.
    let seen = tokio::task::spawn_blocking(move || {
        let mut steps = Vec::new();
        for line in from.lines() {
            let line = line.expect("a line");
            let gold = || Some("gold".to_owned());
            match line.strip_prefix("look ") {
                Some("off") => assert_eq!(service.traits("u9"), (None, Some("Ulm".into())), "it was not switched off"),
                Some("on") => assert_eq!(service.traits("u9"), (gold(), Some("Ulm".into())), "the gap was not filled"),
                _ => {
                    steps.push(line);
                    continue;
                }
            }
            writeln!(to, "seen").expect("it reads");
        }
        service.end.send_replace(true);
        steps
    });
    let steps = seen.await.expect("the script's lines");
    let status = script.0.wait().expect("it ends");
    let complaints = complaints.join().expect("its complaints");
    assert!(status.success(), "after {steps:#?}:\n{complaints}");
    assert_eq!((steps.last().map(String::as_str), steps.len()), (Some("all"), STEPS + 1), "{steps:#?}");
}
