//! Clients that are many, slow, or send too much.

use crate::harness::{Service, answer, request};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const CALL: &str = r#"{"writeKey":"demo","userId":"u","event":"E"}"#;
const MIB: u64 = 1 << 20;

#[test]
fn connections_beyond_the_limit_get_503_and_take_hardly_any_memory() {
    let service = Service::new("max_connections = 20", &[]).started();
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(service.address()).expect("a connection");
        stream.write_all(b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n").expect("written");
        stream.read_exact(&mut [0; 12]).expect("served");
        held.push(stream);
    }
    let before = service.memory();
    let (mut told, mut most) = (0, 0);
    for _ in 0..20 {
        let mut refused: Vec<TcpStream> = (0..100).filter_map(|_| TcpStream::connect(service.address()).ok()).collect();
        for stream in &mut refused {
            let _ = stream.write_all(
                format!("POST /v1/track HTTP/1.1\r\nhost: x\r\ncontent-length: 44\r\n\r\n{CALL}").as_bytes(),
            );
        }
        most = most.max(service.memory());
        for stream in &mut refused {
            stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
            let Some(answer) = answer(stream) else { continue };
            assert_eq!(answer.status, 503);
            assert!(answer.head.contains("retry-after: "), "{answer:?}");
            told += 1;
        }
    }
    assert!(told > 1_000, "{told} of 2000 were told why");
    assert!(most.saturating_sub(before) < 50 * MIB, "memory grew from {before} to {most}");
    // Who was in still is.
    held[0].write_all(b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n").expect("written");
    held[0].read_exact(&mut [0; 12]).expect("served");
}

#[test]
fn bodies_of_10_mb_are_refused_without_being_held() {
    let service = Service::new("", &[]).started();
    assert_eq!(service.post("/v1/track", CALL).status, 200);
    let before = service.memory();
    let body = vec![b' '; 10 << 20];
    let mut most = 0;
    std::thread::scope(|scope| {
        let sends: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| request(service.address(), "POST", "/v1/batch", "", &body).expect("an answer").status)
            })
            .collect();
        while sends.iter().any(|send| !send.is_finished()) {
            most = most.max(service.memory());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(sends.into_iter().all(|send| send.join().expect("no panic") == 400));
    });
    assert!(most.saturating_sub(before) < 50 * MIB, "memory grew from {before} to {most}");
}

#[test]
fn slow_clients_hold_up_nobody() {
    let service = Service::new("", &["main"]).started();
    let mut slow: Vec<TcpStream> = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(service.address()).expect("a connection");
        let head = "POST /v1/track HTTP/1.1\r\nhost: x\r\ncontent-length: 44\r\n\r\n{";
        // Some stop in the head, some in the body.
        stream.write_all(&head.as_bytes()[..if n % 2 == 0 { 30 } else { head.len() }]).expect("written");
        slow.push(stream);
    }
    for n in 0..50 {
        let call = format!(r#"{{"writeKey":"demo","userId":"u","event":"E","messageId":"m{n}"}}"#);
        assert_eq!(service.post("/v1/track", &call).status, 200);
    }
    service.wait_for("main", "tracks", 50);
    // One of them goes on and is served as well.
    slow[1].write_all(&CALL.as_bytes()[1..]).expect("written");
    let mut status = [0; 12];
    slow[1].read_exact(&mut status).expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 200");
}

#[test]
fn the_surplus_of_a_batch_is_in_discards() {
    let service = Service::new("", &["main"]).started();
    let calls: Vec<String> =
        (0..2_503).map(|n| format!(r#"{{"type":"track","event":"E","userId":"u","messageId":"m{n}"}}"#)).collect();
    let answer = service.post("/v1/batch", &format!(r#"{{"writeKey":"demo","batch":[{}]}}"#, calls.join(",")));
    assert_eq!(
        (answer.status, serde_json::from_str::<Value>(&answer.body).expect("JSON")["success"].clone()),
        (200, true.into())
    );
    let discards = service.wait_for("main", "_discards", 3);
    let mut ids: Vec<&str> = discards.iter().map(|row| &*row["event_id"]).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["m2500", "m2501", "m2502"]);
    assert!(discards.iter().all(|row| row["reason"] == "batch_too_long" && row["value"].contains("\"track\"")));
    assert_eq!(service.rows("main", "tracks").len(), 2_500);
}

#[test]
fn the_rest_of_a_batch_of_very_many_calls_is_readable_in_discards() {
    let service = Service::new("", &["main"]).started();
    let rest = r#"{"messageId":"n1"},{ "messageId" : "n2" },7"#;
    let body = format!(r#"{{"writeKey":"demo","batch":[{},{rest}]}}"#, vec!["{}"; 25_000].join(","));
    assert_eq!(service.post("/v1/batch", &body).status, 200);
    let discards = service.wait_for("main", "_discards", 25_001);
    assert_eq!(discards.len(), 25_001);
    let last: Vec<_> = discards.iter().filter(|row| row["value"].contains("n1")).collect();
    assert_eq!((last.len(), &*last[0]["value"], &*last[0]["reason"]), (1, &*format!("[{rest}]"), "batch_too_long"));
}
