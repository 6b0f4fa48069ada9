//! The router and the accept loop over real connections.

use super::*;
use crate::spool::SpoolOptions;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

struct Server {
    address: SocketAddr,
    ingest: Arc<Ingest>,
    spool: Spool,
    metrics: Arc<Metrics>,
    end: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

async fn start(dir: &Path, strict: bool, limits: Limits) -> Server {
    let spool = Spool::open(dir, SpoolOptions::new("default")).unwrap();
    let metrics = Arc::new(Metrics::new());
    let settings = Settings { keys: Keys::new([("demo".into(), "default".into())]), strict };
    let spools = BTreeMap::from([("default".to_owned(), spool.clone())]);
    let ingest = Arc::new(Ingest::new(settings, spools, metrics.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = oneshot::channel();
    let form = axum::routing::post(|_: axum::body::Bytes| async {});
    let (app, counted) = (router(ingest.clone()).route("/form", form), metrics.clone());
    let task = tokio::spawn(async move {
        let ended = async { drop(ended.await) };
        serve(listener, app, limits, counted, ended).await.unwrap();
    });
    Server { address, ingest, spool, metrics, end: Some(end), task }
}

impl Server {
    async fn send(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        read(&mut stream).await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(&format!("POST {path} HTTP/1.1"), body.as_bytes()).await
    }

    /// What is in the spool, as JSON.
    fn spooled(&self) -> Vec<(Kind, Value)> {
        let (from, to) = self.spool.bounds();
        let mut reader = self.spool.read(from, to).unwrap();
        let mut all = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            all.push((record.kind, serde_json::from_slice(record.payload).unwrap()));
        }
        all
    }

    fn counted(&self, line: &str) -> bool {
        self.metrics.text().lines().any(|own| own == line)
    }
}

async fn read(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn every_way_in_that_sdks_use() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), false, Limits::default()).await;
    let basic = "authorization: Basic ZGVtbzo=";
    let mut sent = 0;
    for prefix in ["", "/v1", "/v1/v1"] {
        for (name, _) in Route::ALL {
            let call = format!(r#"{{"userId":"u","messageId":"{prefix}/{name}"}}"#);
            let head = format!("POST {prefix}/{name} HTTP/1.1\r\n{basic}\r\ncontent-type: text/plain");
            let answer = server.send(&head, call.as_bytes()).await;
            assert_eq!((answer.status, &*answer.body), (200, r#"{"success":true}"#), "{prefix}/{name}");
            assert!(answer.head.contains("access-control-allow-origin: *"));
            sent += 1;
        }
    }
    let call = r#"{"type":"track","event":"E","userId":"u","messageId":"zipped","writeKey":"demo"}"#;
    let body = gzip(&format!(r#"{{"batch":[{call}]}}"#));
    let answer = server.send("POST /v1/batch HTTP/1.1\r\ncontent-encoding: gzip", &body).await;
    assert_eq!(answer.status, 200);
    let answer = server.send("OPTIONS /v1/t HTTP/1.1\r\norigin: http://a.example", b"").await;
    assert_eq!(answer.status, 204);
    assert!(answer.head.contains("access-control-allow-headers: authorization, content-type"));
    let settings = server.send("GET /v1/projects/demo/settings HTTP/1.1", b"").await;
    let settings: Value = serde_json::from_str(&settings.body).unwrap();
    assert_eq!(settings["integrations"]["Segment.io"], json!({"apiKey": "demo", "apiHost": "x/v1"}));
    assert_eq!(server.send("GET /v1/projects/other/settings HTTP/1.1", b"").await.status, 404);
    assert_eq!(server.send("GET /v1/track HTTP/1.1", b"").await.status, 405);

    let spooled = server.spooled();
    assert_eq!(spooled.len(), sent + 1);
    assert_eq!(spooled[1].1["type"], "track", "the route says the type");
    assert_eq!(spooled[9].1["type"], "track", "the short route too");
    assert!(spooled.iter().all(|(_, call)| call.get("writeKey").is_none()));
    assert_eq!(spooled[sent].1["batch"][0]["messageId"], "zipped");
    assert!(server.counted(&format!("tablecast_events_total{{space=\"default\"}} {}", sent + 1)));
}

#[tokio::test]
async fn segments_status_codes_and_the_strict_ones() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let compatible = start(dirs[0].path(), false, Limits::default()).await;
    let strict = start(dirs[1].path(), true, Limits::default()).await;
    let large = format!(r#"{{"writeKey":"demo","x":"{}"}}"#, "y".repeat(40_000));
    let many = format!(r#"{{"writeKey":"demo","batch":[{}]}}"#, ["{}"; 2_501].join(","));
    for (path, body, status, in_strict, code) in [
        ("/v1/identify", r#"{"writeKey":"demo","userId":"u"}"#, 200, 200, ""),
        ("/v1/identify", r#"{"writeKey":"demo"}"#, 200, 400, "no_user_anon_id"),
        ("/v1/track", r#"{"writeKey":"demo","userId":"u"}"#, 200, 400, "event_not_defined"),
        ("/v1/batch", r#"{"writeKey":"demo","batch":[]}"#, 200, 400, "empty_batch"),
        ("/v1/batch", &many, 200, 400, "batch_too_long"),
        ("/v1/identify", r#"{"userId":"u"}"#, 200, 401, "no_write_key"),
        ("/v1/identify", r#"{"writeKey":"other","userId":"u"}"#, 200, 403, "unknown_source"),
        ("/v1/identify", "nonsense", 400, 400, "invalid_json"),
        ("/v1/identify", &large, 400, 400, "too_large"),
        ("/v1/batch", &format!(r#"{{"writeKey":"demo","batch":[{large}]}}"#), 400, 400, "too_large"),
    ] {
        assert_eq!(compatible.post(path, body).await.status, status, "{path} {body:.80}");
        let answer = strict.post(path, body).await;
        assert_eq!(answer.status, in_strict, "{path} {body:.80}");
        if in_strict != 200 {
            let told: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(told["code"], code);
            assert!(told["message"].as_str().is_some_and(|message| !message.is_empty()));
        }
    }
    // Nothing of what was refused is kept; of the batch that was too long the surplus is kept apart.
    assert_eq!(strict.spooled().len(), 1);
    let spooled = compatible.spooled();
    assert_eq!(spooled.len(), 6);
    assert_eq!(spooled[4].1["batch"].as_array().unwrap().len(), 2_500);
    assert_eq!((spooled[5].0, spooled[5].1["batch"].as_array().unwrap().len()), (Kind::Surplus, 1));
    assert!(compatible.counted(r#"tablecast_surplus_total{space="default"} 1"#));

    // A key that nobody knows is never silent, and never shown.
    compatible.post("/v1/identify", r#"{"writeKey":"other","userId":"u"}"#).await;
    let unknown = compatible.ingest.unknown_keys();
    assert_eq!(unknown.len(), 1);
    assert_eq!((unknown[0].requests, &*unknown[0].fingerprint), (2, &*fingerprint("other")));
    assert!(compatible.counted(r#"tablecast_refused_total{reason="unknown_source"} 2"#));
    assert!(compatible.counted(r#"tablecast_refused_total{reason="no_write_key"} 1"#));
}

#[tokio::test]
async fn a_call_that_is_sent_again_is_taken_once_even_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let call = r#"{"writeKey":"demo","type":"identify","userId":"u","messageId":"m1"}"#;
    let other = r#"{"writeKey":"demo","batch":[{"messageId":"m1"},{"messageId":"m2"}]}"#;
    let mut server = start(dir.path(), false, Limits::default()).await;
    for _ in 0..3 {
        assert_eq!(server.post("/v1/identify", call).await.status, 200);
    }
    assert_eq!(server.post("/v1/batch", other).await.status, 200);
    assert_eq!(server.spooled().len(), 2);
    assert!(server.counted(r#"tablecast_duplicates_total{space="default"} 3"#));
    server.end.take().unwrap().send(()).unwrap();
    server.task.await.unwrap();
    drop((server.ingest, server.spool));

    let server = start(dir.path(), false, Limits::default()).await;
    assert_eq!(server.ingest.remembered(), 2);
    assert_eq!(server.post("/v1/batch", other).await.status, 200);
    assert_eq!(server.spooled().len(), 2, "what was taken before the start is known");
}

#[tokio::test]
async fn the_surplus_of_a_batch_is_taken_when_it_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let calls: Vec<String> = (0..2_503).map(|n| format!(r#"{{"messageId":"m{n}"}}"#)).collect();
    let batch = |calls: &[String]| format!(r#"{{"writeKey":"demo","batch":[{}]}}"#, calls.join(","));
    let mut server = start(dir.path(), false, Limits::default()).await;
    assert_eq!(server.post("/v1/batch", &batch(&calls)).await.status, 200);
    assert_eq!(server.post("/v1/batch", &batch(&calls[2_500..2_501])).await.status, 200);
    let kinds: Vec<Kind> = server.spooled().iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::Call, Kind::Surplus, Kind::Call]);
    server.end.take().unwrap().send(()).unwrap();
    server.task.await.unwrap();
    drop((server.ingest, server.spool));

    let server = start(dir.path(), false, Limits::default()).await;
    assert_eq!(server.ingest.remembered(), 2_501);
    assert_eq!(server.post("/v1/batch", &batch(&calls[2_500..])).await.status, 200);
    let spooled = server.spooled();
    let last = spooled[3].1["batch"].as_array().unwrap();
    assert_eq!(last.iter().map(|call| &call["messageId"]).collect::<Vec<_>>(), ["m2501", "m2502"]);
}

#[tokio::test]
async fn bodies_that_are_only_announced_keep_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), false, Limits::default()).await;
    let head = "POST /v1/batch HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 512000\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..2 * MOST_BODIES / 512_000 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server says so when it waits for the body.
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).await.unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"{").await.unwrap();
        held.push(stream);
    }
    assert_eq!(server.post("/v1/track", r#"{"writeKey":"demo","userId":"u"}"#).await.status, 200);
    assert!(server.ingest.bodies.load(Ordering::Relaxed) < 1 << 20);
}

#[tokio::test]
async fn a_slow_body_is_told_to_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), false, Limits { body: Duration::from_millis(200), ..Limits::default() }).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"POST /v1/track HTTP/1.1\r\nhost: x\r\ncontent-length: 44\r\n\r\n{").await.unwrap();
    let answer = read(&mut slow).await;
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after: 5") && answer.body.contains("timeout"), "{}", answer.body);
    assert_eq!(server.ingest.bodies.load(Ordering::Relaxed), 0);
    // So it is where another reads the body, such as a form.
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"POST /form HTTP/1.1\r\nhost: x\r\ncontent-length: 44\r\n\r\n{").await.unwrap();
    assert_eq!(read(&mut slow).await.status, 400);
}

#[tokio::test]
async fn a_large_body_is_refused_and_not_held() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), false, Limits::default()).await;
    let body = vec![b' '; 10 << 20];
    let answer = server.send("POST /v1/batch HTTP/1.1", &body).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("512000"), "{}", answer.body);
    // Without a length it is only known on the way.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"POST /v1/batch HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    let chunk = [format!("{:x}\r\n", 1 << 20).into_bytes(), vec![b' '; 1 << 20], b"\r\n".to_vec()].concat();
    for _ in 0..10 {
        stream.write_all(&chunk).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut stream).await.status, 400);
    assert_eq!(server.ingest.bodies.load(Ordering::Relaxed), 0);
    assert!(server.spooled().is_empty());
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_to_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), false, Limits { connections: 2, ..Limits::default() }).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // One request, so that the connection is known to be served.
        stream.write_all(b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        stream.read_exact(&mut [0; 12]).await.unwrap();
        held.push(stream);
    }
    for _ in 0..20 {
        let answer = server.post("/v1/track", r#"{"writeKey":"demo","userId":"u"}"#).await;
        assert_eq!(answer.status, 503);
        assert!(answer.head.contains("retry-after: 5"));
    }
    drop(held);
    // The rooms are free once the server has seen that the clients are gone.
    loop {
        let answer = server.post("/v1/track", r#"{"writeKey":"demo","userId":"u"}"#).await;
        if answer.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_slow_head_is_cut_off_and_the_others_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), false, Limits { head: Duration::from_millis(200), ..Limits::default() }).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"POST /v1/track HTTP/1.1\r\nhost").await.unwrap();
    assert_eq!(server.post("/v1/track", r#"{"writeKey":"demo","userId":"u"}"#).await.status, 200);
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
}

#[tokio::test]
async fn who_does_not_read_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), false, Limits { write: Duration::from_millis(200), ..Limits::default() }).await;
    let mut deaf = TcpStream::connect(server.address).await.unwrap();
    // Until the answers fill all buffers, the server writes no more and therefore reads no more, and closes.
    let request = b"OPTIONS /v1/track HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1_000);
    let closed = async { while deaf.write_all(&request).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(60), closed).await.expect("the connection is closed");
    assert_eq!(server.post("/v1/track", r#"{"writeKey":"demo","userId":"u"}"#).await.status, 200);
}

#[tokio::test]
async fn the_end_lets_running_requests_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path(), false, Limits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let body = r#"{"writeKey":"demo","userId":"u","messageId":"late"}"#;
    let head = format!("POST /v1/identify HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server has the connection once it counts it.
    while !server.counted("tablecast_connections 1") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.end.take().unwrap().send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    stream.write_all(body.as_bytes()).await.unwrap();
    assert_eq!(read(&mut stream).await.status, 200);
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
    drop(server.ingest);
    let (from, to) = server.spool.bounds();
    assert!(server.spool.read(from, to).unwrap().next().unwrap().is_some());
}
