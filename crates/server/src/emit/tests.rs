//! Changes, and the calls that they become.

use super::*;
use crate::ingest::{Held, Ingest, Keys, Limits, Settings, serve};
use crate::metrics::Metrics;
use crate::spool::{Spool, SpoolOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const NOW: &str = "2026-01-01T00:00:00.000000Z";

fn audience(toml: &str) -> Computation {
    toml::from_str::<Audience>(toml).unwrap().of("default").unwrap()
}

fn calls_of(computation: Computation, change: &str) -> Result<Vec<Value>, Wrong> {
    let change: Change = serde_json::from_str(change).unwrap();
    let calls = Computations::new([computation]).calls("default", &change, NOW)?;
    Ok(calls.iter().map(|call| serde_json::from_str(call).unwrap()).collect())
}

fn without_id(mut call: Value) -> Value {
    let id = call.as_object_mut().unwrap().remove("messageId").unwrap();
    assert!(id.as_str().unwrap().starts_with("personas_"), "{id}");
    call
}

#[test]
fn an_audience_sends_what_the_setup_says() {
    let change = r#"{"computation":"first_time_shopper","userId":"u123","email":"a@example.org","value":true}"#;
    let calls = calls_of(audience("key = 'first_time_shopper'"), change).unwrap();
    let personas = json!({
        "computation_class": "audience", "computation_id": "aud_first_time_shopper",
        "computation_key": "first_time_shopper", "namespace": "default", "space_id": "default"
    });
    assert_eq!(calls.len(), 2);
    assert_eq!(
        without_id(calls[0].clone()),
        json!({
            "type": "identify", "userId": "u123",
            "traits": {"first_time_shopper": true, "email": "a@example.org"},
            "context": {"personas": personas}, "integrations": {"All": false}, "timestamp": NOW
        })
    );
    assert_eq!(
        without_id(calls[1].clone()),
        json!({
            "type": "track", "userId": "u123", "event": "Audience Entered",
            "properties": {"audience_key": "first_time_shopper", "first_time_shopper": true},
            "context": {"personas": personas, "traits": {"email": "a@example.org"}},
            "integrations": {"All": false}, "timestamp": NOW
        })
    );
    let leaves = change.replace("true", "false");
    assert_eq!(calls_of(audience("key = 'first_time_shopper'"), &leaves).unwrap()[1]["event"], "Audience Exited");

    let setup =
        "key = 'first_time_shopper'\nidentify = false\nexited = 'Gone'\nid = 'aud_1'\nwarehouses = ['main', 'bi']";
    let calls = calls_of(audience(setup), &leaves).unwrap();
    assert_eq!(calls.len(), 1);
    assert_eq!((&calls[0]["type"], &calls[0]["event"]), (&json!("track"), &json!("Gone")));
    assert_eq!(calls[0]["context"]["personas"]["computation_id"], "aud_1");
    assert_eq!(calls[0]["integrations"]["Warehouses"], json!({"all": false, "warehouseIds": ["main", "bi"]}));
}

#[test]
fn a_trait_sends_its_value_as_it_was_written() {
    let setup = toml::from_str::<Trait>("key = 'total_revenue_180_days'\ntype = 'float'\nevent = 'Revenue Computed'");
    let computation = setup.unwrap().of("default").unwrap();
    assert_eq!(
        Computations::new([computation.clone()]).types("default"),
        BTreeMap::from([("total_revenue_180_days".into(), Type::Float)])
    );
    let change: Change = serde_json::from_str(
        r#"{"computation":"total_revenue_180_days","anonymousId":"a","value":450.00,"timestamp":"2026-01-02T00:00:00Z"}"#,
    )
    .unwrap();
    let calls = Computations::new([computation.clone()]).calls("default", &change, NOW).unwrap();
    assert!(calls[0].contains(r#""traits":{"total_revenue_180_days":450.00}"#), "{}", calls[0]);
    assert!(
        calls[1].contains(r#""properties":{"trait_key":"total_revenue_180_days","total_revenue_180_days":450.00}"#)
    );
    assert!(calls[1].contains(r#""event":"Revenue Computed""#) && calls[1].contains(r#""anonymousId":"a""#));
    assert!(calls[1].contains(r#""timestamp":"2026-01-02T00:00:00Z""#));
    assert!(calls[1].contains(r#""computation_class":"trait""#));
    for value in ["null", "\"gold\"", "[1, 2]", "{\"a\":1}"] {
        let change = format!(r#"{{"computation":"total_revenue_180_days","userId":"u","value":{value}}}"#);
        assert_eq!(calls_of(computation.clone(), &change).unwrap().len(), 2, "{value}");
    }
}

#[test]
fn each_mobile_id_is_one_more_call_if_the_setup_says_so() {
    let change = r#"{"computation":"vip","userId":"u","value":true,"mobileIds":[
        {"type":"ios","advertisingId":"AAAA","id":"d1"},{"type":"android.idfa","idfa":"BBBB"}]}"#;
    let none = calls_of(audience("key = 'vip'"), change).unwrap();
    assert!(none.len() == 2 && none.iter().all(|call| call["context"].get("device").is_none()));
    let calls = calls_of(audience("key = 'vip'\nmobile_ids = true"), change).unwrap();
    assert_eq!(calls.len(), 6);
    let ios = json!({"type": "ios", "advertisingId": "AAAA", "adTrackingEnabled": true, "id": "d1"});
    let android = json!({"type": "android", "advertisingId": "BBBB", "adTrackingEnabled": true});
    let devices: Vec<&Value> = calls.iter().map(|call| &call["context"]["device"]).collect();
    assert_eq!(devices, [&Value::Null, &Value::Null, &ios, &ios, &android, &android]);
    let mut ids: Vec<&str> = calls.iter().map(|call| call["messageId"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6, "each call is an event of its own");
    let wrong = change.replace("\"ios\"", "\"fridge\"");
    assert_eq!(calls_of(audience("key = 'vip'\nmobile_ids = true"), &wrong).unwrap_err().code, "bad_request");
}

#[test]
fn the_same_change_is_the_same_calls() {
    let ids = |change: &str, now: &str| {
        let change: Change = serde_json::from_str(change).unwrap();
        let calls = Computations::new([audience("key = 'vip'")]).calls("default", &change, now).unwrap();
        calls.iter().map(|call| serde_json::from_str::<Value>(call).unwrap()["messageId"].clone()).collect::<Vec<_>>()
    };
    let (early, late) = (NOW, "2026-06-01T00:00:00.000000Z");
    let with = |more: &str| format!(r#"{{"computation":"vip","userId":"u","value":true{more}}}"#);
    let (id, time) = (with(r#","id":"c1""#), with(r#","timestamp":"2026-01-01T00:00:00Z""#));
    assert_eq!(ids(&id, early), ids(&id, late));
    assert_eq!(ids(&time, early), ids(&time, late));
    assert_ne!(ids(&with(""), early), ids(&with(""), late), "without either, each time is a change of its own");
    let all = [
        ids(&id, early),
        ids(&time, early),
        ids(&id.replace("true", "false"), early),
        ids(&id.replace("\"u\"", "\"v\""), early),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(all[..at].iter().all(|other| other != one));
    }
}

#[test]
fn wrong_setups_and_changes_say_what_to_do() {
    for (toml, what) in [
        ("", "no key"),
        ("key = 'First Time'", "name of its column"),
        ("key = 'audience_key'", "have already"),
        ("key = 'a'\nidentify = false\ntrack = false", "sends nothing"),
        ("key = 'a'\nwarehouses = []", "names none"),
        ("key = 'a'\nentered = ' '", "entered is empty"),
    ] {
        let refused = toml::from_str::<Audience>(toml).unwrap().of("default").unwrap_err();
        assert!(refused.what.contains(what) && !refused.to_do.is_empty(), "{toml}: {refused}");
    }
    assert!(toml::from_str::<Audience>("key = 'a'\nmobile_id = true").is_err(), "unknown keys are mistakes");
    assert!(toml::from_str::<Trait>("key = 'a'\ntype = 'version'").unwrap().of("default").is_err());

    for (change, code) in [
        (r#"{"computation":"other","userId":"u","value":true}"#, "unknown_computation"),
        (r#"{"computation":"vip","value":true}"#, "no_user_anon_id"),
        (r#"{"computation":"vip","userId":" ","value":true}"#, "no_user_anon_id"),
        (r#"{"computation":"vip","userId":"u","value":"true"}"#, "bad_request"),
        (r#"{"computation":"vip","userId":"u","value":true,"timestamp":"soon"}"#, "timestamp_not_iso8601"),
    ] {
        assert_eq!(calls_of(audience("key = 'vip'"), change).unwrap_err().code, code, "{change}");
    }
    for (json, code, says) in [
        (&b"nonsense"[..], "invalid_json", "no JSON"),
        (
            br#"[{"computation":"vip","value":true},{"value":1}]"#,
            "bad_request",
            "change 1: missing field `computation`",
        ),
        (br#"{"computation":"vip","value":true,"user":"u"}"#, "bad_request", "unknown field `user`"),
        (br#"{"computation":"secret of somebody","value":true,"userId":5}"#, "bad_request", "wrong kind"),
    ] {
        let wrong = changes(json).unwrap_err();
        assert_eq!(wrong.code, code);
        assert!(wrong.message.contains(says) && !wrong.message.contains("secret"), "{wrong}");
    }
    assert_eq!(changes(br#"{"changes":[{"computation":"vip","value":true}]}"#).unwrap().len(), 1);
    assert_eq!(changes(b"[]").unwrap().len(), 0);
}

#[test]
fn many_calls_are_cut_into_batches_that_are_taken() {
    let calls: Vec<String> = (0..6_000).map(|n| format!(r#"{{"n":{n},"x":"{}"}}"#, "y".repeat(n % 300))).collect();
    let (mut batch, mut bodies) = (http::Batch::default(), Vec::new());
    for call in &calls {
        if !batch.has_room(call) {
            bodies.push(batch.take());
        }
        batch.push(call);
    }
    bodies.push(batch.take());
    let mut back = Vec::new();
    for body in &bodies {
        assert!(body.len() <= crate::ingest::MAX_BATCH);
        let body: Value = serde_json::from_str(body).unwrap();
        let some = body["batch"].as_array().unwrap();
        assert!(some.len() <= crate::ingest::MAX_CALLS);
        back.extend(some.iter().map(Value::to_string));
    }
    assert_eq!(back, calls);
    assert!(http::Batch::default().has_room(&"x".repeat(crate::ingest::MAX_CALL)));
}

const PATH: &str = "/v1/computations";
const BASIC: &str = "authorization: Basic ZGVtbzo=\r\n";

/// The route behind a real connection, with one audience.
struct Server {
    address: SocketAddr,
    ingest: Arc<Ingest>,
    spool: Spool,
    _dir: tempfile::TempDir,
}

impl Server {
    async fn start(toml: &str, limits: Limits) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), SpoolOptions::new("default")).unwrap();
        let metrics = Arc::new(Metrics::new());
        let settings = Settings { keys: Keys::new([("demo".into(), "default".into())]), strict: false };
        let spools = BTreeMap::from([("default".to_owned(), spool.clone())]);
        let ingest = Arc::new(Ingest::new(settings, spools, metrics.clone()));
        let door = Arc::new(Door::new(ingest.clone(), Computations::new([audience(toml)]), |token| token == "hush"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, router(door), limits, metrics, std::future::pending()));
        Server { address, ingest, spool, _dir: dir }
    }

    async fn post(&self, path: &str, header: &str, body: &[u8]) -> (u16, Value) {
        let (head, body) = self.send(path, &format!("{header}content-length: {}\r\n", body.len()), body).await;
        (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(&body).unwrap_or_default())
    }

    async fn send(&self, path: &str, header: &str, body: &[u8]) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{header}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

#[tokio::test]
async fn changes_come_in_by_token_or_write_key() {
    let server = Server::start("key = 'vip'", Limits::default()).await;
    let post = async |path: &str, header: &str, body: &str| server.post(path, header, body.as_bytes()).await;
    let spool = &server.spool;
    let (basic, bearer) = (BASIC, "authorization: Bearer hush\r\n");
    let change = r#"{"computation":"vip","userId":"u","value":true,"id":"c1"}"#;
    let path = PATH;
    assert_eq!(post(path, "", change).await.0, 401);
    assert_eq!(post(path, "authorization: Bearer guess\r\n", change).await.0, 403);
    assert_eq!(post("/v1/computations?space=other", basic, change).await.0, 403);
    assert_eq!(spool.bounds().1, 0, "nothing of these was kept");
    let told = post(path, basic, change).await;
    assert_eq!(told, (200, json!({"success": true, "changes": 1, "calls": 2, "duplicates": 0})));
    let told = post(path, bearer, change).await;
    assert_eq!(told, (200, json!({"success": true, "changes": 1, "calls": 2, "duplicates": 2})), "the same again");
    assert_eq!(post("/v1/computations?space=other", bearer, change).await.1["code"], "unknown_computation");
    assert_eq!(post(path, bearer, "[{}]").await.0, 400);

    let (from, to) = spool.bounds();
    let mut reader = spool.read(from, to).unwrap();
    let record = reader.next().unwrap().unwrap();
    let batch: Value = serde_json::from_slice(record.payload).unwrap();
    assert_eq!(batch["batch"].as_array().unwrap().len(), 2);
    assert!(batch["batch"][0].get("receivedAt").is_some());
    assert!(reader.next().unwrap().is_none());
}

#[tokio::test]
async fn a_wrong_change_anywhere_refuses_all_of_them() {
    let server = Server::start("key = 'vip'\nmobile_ids = true", Limits::default()).await;
    let change = |n: usize, more: &str| format!(r#"{{"computation":"vip","userId":"u{n}","value":true{more}}}"#);
    let all = |count: usize| (0..count).map(|n| change(n, "")).collect::<Vec<_>>();
    let device = r#"{"type":"ios","advertisingId":"a"}"#;
    for (last, code, says) in [
        // More than one batch comes before it.
        (change(0, &format!(r#","email":"{}""#, "x".repeat(32 << 10))), "too_large", "change 1300: a call"),
        (change(0, r#","timestamp":"soon""#), "timestamp_not_iso8601", "change 1300"),
        (change(0, &format!(r#","mobileIds":[{}]"#, [device; 101].join(","))), "too_many", "at most 100 mobile ids"),
    ] {
        let body = format!("[{},{last}]", all(1_300).join(","));
        let (status, told) = server.post(PATH, BASIC, body.as_bytes()).await;
        assert_eq!((status, &told["code"]), (400, &json!(code)), "{told}");
        assert!(told["message"].as_str().unwrap().contains(says), "{told}");
    }
    let (status, told) = server.post(PATH, BASIC, format!("[{}]", all(10_001).join(",")).as_bytes()).await;
    assert_eq!((status, &told["code"]), (400, &json!("too_many")), "{told}");
    assert_eq!(server.spool.bounds().1, 0, "nothing of these was kept");

    let (status, told) = server.post(PATH, BASIC, format!("[{}]", all(1_300).join(",")).as_bytes()).await;
    assert_eq!((status, told), (200, json!({"success": true, "changes": 1_300, "calls": 2_600, "duplicates": 0})));
    assert_eq!(server.post(PATH, BASIC, b"[]").await.1["calls"], 0);
}

#[tokio::test]
async fn bodies_of_changes_are_bounded_as_those_of_calls_are() {
    let server = Server::start("key = 'vip'", Limits { body: Duration::from_millis(200), ..Limits::default() }).await;
    let (head, body) = server.send(PATH, &format!("{BASIC}content-length: 44\r\n"), b"{").await;
    assert!(head.starts_with("HTTP/1.1 503") && head.contains("retry-after: 5"), "{head}");
    assert!(body.contains("timeout"), "{body}");
    assert_eq!(server.post(PATH, BASIC, &vec![b' '; (4 << 20) + 1]).await.1["code"], "too_large");

    // They count among all the bodies that are held.
    let mut held = Held::new(&server.ingest);
    held.take(64 << 20).unwrap();
    let (status, told) = server.post(PATH, BASIC, b"[]").await;
    assert_eq!((status, &told["code"]), (503, &json!("overloaded")));
    drop(held);
    assert_eq!(server.post(PATH, BASIC, b"[]").await.0, 200);
}
