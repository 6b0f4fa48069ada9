//! Tables of bodies, and what they become.

use super::*;
use serde_json::{Value, json};

const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
/// 2026-01-01T00:00:00Z
const NOW: i64 = 1_767_225_600_000_000;

fn stamp_with(route: Route, body: &str, known: &[&str]) -> Stamped {
    let mut made = 0;
    let mut new_id = || {
        made += 1;
        format!("new{made}")
    };
    let body = Body::read(route, body.as_bytes()).unwrap();
    let known = |id| known.iter().any(|known| ids::hash(known) == id);
    let last = NOW + i64::try_from(body.count()).unwrap() - 1;
    body.stamp(&mut Given { new_id: &mut new_id, last, ip: Some(IP), known: &known })
}

fn stamp(route: Route, body: &str) -> String {
    String::from_utf8(stamp_with(route, body, &[]).calls.unwrap()).unwrap()
}

#[test]
fn a_single_call_gets_what_it_lacks_and_nothing_else_changes() {
    let received = r#""receivedAt":"2026-01-01T00:00:00.000000Z""#;
    let (track, batch) = (Route::Call("track"), Route::Batch);
    for (route, body, becomes) in [
        // the type of the route, an id, a time
        (track, r#"{"userId":"u"}"#, format!(r#"{{"type":"track","userId":"u","messageId":"new1",{received}}}"#)),
        // what is there stays: another type, an id, numbers and spaces as written, unknown members
        (
            track,
            r#"{ "type":"page", "messageId" : "m1","traits":{ "n": 1.50, "big":12345678901234567890.0 },"odd":[1, 2]}"#,
            format!(
                r#"{{"type":"page","messageId":"m1","traits":{{ "n": 1.50, "big":12345678901234567890.0 }},"odd":[1, 2],{received}}}"#
            ),
        ),
        // the server's time, not the client's; the key goes
        (
            batch,
            r#"{"type":"track","messageId":"m1","receivedAt":"2020-01-01T00:00:00Z","writeKey":"hush"}"#,
            format!(r#"{{"type":"track","messageId":"m1",{received}}}"#),
        ),
        // ids that are none
        (
            batch,
            r#"{"type":"x","messageId":" "}"#,
            format!(r#"{{"type":"x","messageId":" ","messageId":"new1",{received}}}"#),
        ),
        (
            batch,
            r#"{"type":"x","messageId":null}"#,
            format!(r#"{{"type":"x","messageId":null,"messageId":"new1",{received}}}"#),
        ),
        (batch, r#"{"type":"x","messageId":17}"#, format!(r#"{{"type":"x","messageId":17,{received}}}"#)),
        // where it came from, if the sender asks for it and does not say it
        (
            batch,
            r#"{"type":"x","messageId":"m","context":{"direct":true,"a":1}}"#,
            format!(r#"{{"type":"x","messageId":"m","context":{{"direct":true,"a":1,"ip":"192.0.2.7"}},{received}}}"#),
        ),
        (
            batch,
            r#"{"type":"x","messageId":"m","context":{"direct":true,"ip":"1.1.1.1"}}"#,
            format!(r#"{{"type":"x","messageId":"m","context":{{"direct":true,"ip":"1.1.1.1"}},{received}}}"#),
        ),
        (
            batch,
            r#"{"type":"x","messageId":"m","context":{"direct":false}}"#,
            format!(r#"{{"type":"x","messageId":"m","context":{{"direct":false}},{received}}}"#),
        ),
        (batch, "{}", format!(r#"{{"messageId":"new1",{received}}}"#)),
        (
            track,
            "\u{feff} {\"type\":null} ",
            format!(r#"{{"type":"track","type":null,"messageId":"new1",{received}}}"#),
        ),
    ] {
        assert_eq!(stamp(route, body), becomes, "{body}");
    }
}

#[test]
fn a_batch_keeps_its_envelope_and_stamps_each_call() {
    let body = r#"{"writeKey":"hush","sentAt":"2026-01-01T00:00:00Z","messageId":"b1","context":{"a": 1},
        "batch":[ {"type":"track","messageId":"m1"}, {"type":"track","writeKey":"hush"} ,7, {}]}"#;
    let expected = concat!(
        r#"{"batch":[{"type":"track","messageId":"m1","receivedAt":"2026-01-01T00:00:00.000000Z"},"#,
        r#"{"type":"track","messageId":"new1","receivedAt":"2026-01-01T00:00:00.000001Z"},7,"#,
        r#"{"messageId":"new2","receivedAt":"2026-01-01T00:00:00.000003Z"}],"#,
        r#""sentAt":"2026-01-01T00:00:00Z","messageId":"b1","context":{"a": 1}}"#
    );
    assert_eq!(stamp(Route::Batch, body), expected);

    // The context that all share may ask for the address, for all of them.
    let body = r#"{"batch":[{"type":"x","messageId":"m1"},{"type":"x","messageId":"m2","context":{"direct":true}}],"context":{"direct":true}}"#;
    let value: Value = serde_json::from_str(&stamp(Route::Batch, body)).unwrap();
    assert_eq!(value["context"], json!({"direct": true, "ip": "192.0.2.7"}));
    assert_eq!(value["batch"][1]["context"]["ip"], "192.0.2.7");
    let body = r#"{"batch":[{"type":"x","context":{"direct":true}}],"context":{"ip":"1.1.1.1"}}"#;
    let value: Value = serde_json::from_str(&stamp(Route::Batch, body)).unwrap();
    assert_eq!(value["batch"][0]["context"], json!({"direct": true}));

    // A browser posts a batch to the route of one call too, and a key may stand twice.
    let body = r#"{"batch":[1],"batch":[{"type":"x","messageId":"m"}]}"#;
    let becomes = r#"{"batch":[1],"batch":[{"type":"x","messageId":"m","receivedAt":"2026-01-01T00:00:00.000000Z"}]}"#;
    assert_eq!(stamp(Route::Call("track"), body), becomes);
    assert_eq!(stamp(Route::Batch, r#"{"batch":[]}"#), r#"{"batch":[]}"#);
}

#[test]
fn calls_that_were_taken_before_are_left_out() {
    let body = r#"{"batch":[{"messageId":"m1"},{"messageId":" m2 "},{"messageId":3}],"sentAt":"x"}"#;
    let stamped = stamp_with(Route::Batch, body, &["m2", "3"]);
    assert_eq!((stamped.taken, stamped.duplicates), (1, 2));
    let calls = String::from_utf8(stamped.calls.unwrap()).unwrap();
    assert_eq!(calls, r#"{"batch":[{"messageId":"m1","receivedAt":"2026-01-01T00:00:00.000000Z"}],"sentAt":"x"}"#);
    assert_eq!(stamped.ids, [ids::hash("m1")]);
    let all = stamp_with(Route::Batch, body, &["m1", "m2", "3"]);
    assert_eq!((all.calls, all.duplicates, all.ids.len()), (None, 3, 0));
    let one = stamp_with(Route::Call("track"), r#"{"messageId":"m1"}"#, &["m1"]);
    assert_eq!((one.calls, one.duplicates), (None, 1));
    // What is read back from the spool is what was remembered.
    let spooled = stamp(Route::Batch, body);
    assert_eq!(ids_of(spooled.as_bytes()), ["m1", "m2", "3"].map(ids::hash));
    assert_eq!(ids_of(b"{\"type\":\"track\",\"messageId\":\"m9\"}"), [ids::hash("m9")]);
    assert!(ids_of(b"rubbish").is_empty());
}

#[test]
fn the_surplus_of_a_batch_goes_its_own_way() {
    let calls: Vec<String> = (0..2_501).map(|n| format!(r#"{{"type":"track","messageId":"m{n}"}}"#)).collect();
    let body = format!(r#"{{"batch":[{}],"sentAt":"2026-01-01T00:00:00Z"}}"#, calls.join(","));
    let stamped = stamp_with(Route::Batch, &body, &[]);
    assert_eq!((stamped.taken, stamped.too_many), (2_500, 1));
    let kept: Value = serde_json::from_slice(&stamped.calls.unwrap()).unwrap();
    assert_eq!(kept["batch"].as_array().unwrap().len(), 2_500);
    let surplus: Value = serde_json::from_slice(&stamped.surplus.unwrap()).unwrap();
    assert_eq!(surplus["batch"][0]["messageId"], "m2500");
    assert_eq!(surplus["batch"][0]["receivedAt"], "2026-01-01T00:00:00.002500Z");
    assert_eq!(stamped.ids.len(), 2_500, "what was too many may come again");
}

#[test]
fn a_batch_of_very_many_calls_becomes_few_discards() {
    let (frame, empty) = (r#"{"batch":[],"sentAt":"x"}"#, "{}");
    let count = (MAX_BATCH - frame.len()) / 3;
    let body = frame.replace("[]", &format!("[{}]", vec![empty; count].join(",")));
    let stamped = stamp_with(Route::Batch, &body, &[]);
    assert_eq!((stamped.taken, stamped.too_many), (2_500, count as u64 - 2_500));
    let surplus: Value = serde_json::from_slice(&stamped.surplus.unwrap()).unwrap();
    assert_eq!(surplus["sentAt"], "x");
    let surplus = surplus["batch"].as_array().unwrap();
    let (apart, together): (Vec<_>, Vec<_>) = surplus.iter().partition(|call| call.is_object());
    assert_eq!(apart.len(), MAX_APART - MAX_CALLS);
    let calls: usize = together.iter().map(|calls| calls.as_array().unwrap().len()).sum();
    assert_eq!(calls, count - MAX_APART, "nothing is lost");
    assert!(together.len() < 10 && together.iter().all(|calls| calls.to_string().len() <= KEPT_BYTES));

    // They are kept as they were written, also where all others were taken before.
    let known = r#"{"messageId":"m"}"#;
    let odd = r#"{ "messageId" : "n", "x":1.50}"#;
    let body = format!(r#"{{"batch":[{},{odd},7]}}"#, vec![known; MAX_APART].join(","));
    let stamped = stamp_with(Route::Batch, &body, &["m"]);
    assert_eq!((stamped.taken, stamped.too_many, stamped.duplicates), (0, 2, MAX_APART as u64));
    assert_eq!(String::from_utf8(stamped.surplus.unwrap()).unwrap(), format!(r#"{{"batch":[[{odd},7]]}}"#));
}

#[test]
fn sizes_and_json_are_refused_as_documented() {
    let call = |bytes: usize| {
        let frame = r#"{"type":"track","messageId":"m","x":""}"#;
        frame.replace(r#""x":"""#, &format!(r#""x":"{}""#, "y".repeat(bytes - frame.len())))
    };
    let batch = |calls: &[String]| format!(r#"{{"batch":[{}]}}"#, calls.join(","));
    let (track, all) = (Route::Call("track"), Route::Batch);
    for (route, body, code) in [
        (track, call(MAX_CALL), None),
        (track, call(MAX_CALL + 1), Some("too_large")),
        (all, batch(&[call(MAX_CALL)]), None),
        (all, batch(&[call(100), call(33 << 10)]), Some("too_large")),
        (all, batch(&vec![call(32_000); 15]), None),
        (all, call(MAX_CALL), None),
        (all, call(MAX_CALL + 1), Some("too_large")),
        (all, format!(r#"{{"batch":7,"x":"{}"}}"#, "y".repeat(MAX_CALL)), Some("too_large")),
        (all, batch(&vec![call(32_000); 17]), Some("too_large")),
        (all, "[]".into(), Some("invalid_json")),
        (all, String::new(), Some("invalid_json")),
        (all, r#"{"batch":[{}"#.into(), Some("invalid_json")),
        (all, r#"{"batch":[]} {}"#.into(), Some("invalid_json")),
    ] {
        let read = Body::read(route, body.as_bytes());
        assert_eq!(read.as_ref().err().map(|refusal| (refusal.status, refusal.code)), code.map(|code| (400, code)));
    }
    assert!(Body::read(all, b"{\"a\":\"\xff\"}").is_err(), "no text");
}

#[test]
fn keys_are_found_wherever_sdks_put_them() {
    for (body, key) in [
        (r#"{"writeKey":"k","batch":[]}"#, Some("k")),
        (r#"{"batch":[{"type":"x"},{"writeKey":"k2"}]}"#, Some("k2")),
        (r#"{"writeKey":"","batch":[{"writeKey":"k3"}]}"#, Some("k3")),
        (r#"{"writeKey":7}"#, None),
        (r#"{"type":"track"}"#, None),
    ] {
        assert_eq!(Body::read(Route::Batch, body.as_bytes()).unwrap().write_key().as_deref(), key, "{body}");
    }
}

#[test]
fn strict_mode_names_the_documented_code() {
    for (route, body, code) in [
        (Route::Call("identify"), r#"{"userId":"u"}"#, None),
        (Route::Call("identify"), r#"{"anonymousId":"a","traits":{}}"#, None),
        (Route::Call("identify"), r#"{"userId":17}"#, None),
        (Route::Call("identify"), r#"{"userId":""}"#, Some("no_user_anon_id")),
        (Route::Call("identify"), r#"{"userId":true}"#, Some("id_not_string")),
        (Route::Call("identify"), r#"{"userId":"u","messageId":[]}"#, Some("id_not_string")),
        (Route::Call("identify"), r#"{"userId":"u","traits":[]}"#, Some("traits_not_object")),
        (Route::Call("identify"), r#"{"userId":"u","context":1}"#, Some("context_not_object")),
        (Route::Call("identify"), r#"{"userId":"u","integrations":"x"}"#, Some("integrations_not_object")),
        (Route::Call("identify"), r#"{"userId":"u","type":"delete"}"#, Some("unknown_type")),
        (Route::Call("track"), r#"{"userId":"u"}"#, Some("event_not_defined")),
        (Route::Call("track"), r#"{"userId":"u","event":7}"#, Some("event_not_string")),
        (Route::Call("track"), r#"{"userId":"u","event":"E","properties":7}"#, Some("properties_not_object")),
        (Route::Call("track"), r#"{"userId":"u","event":"E"}"#, None),
        (Route::Call("page"), r#"{"userId":"u","name":7}"#, Some("name_not_string")),
        (Route::Call("screen"), r#"{"userId":"u","category":7}"#, Some("category_not_string")),
        (Route::Call("group"), r#"{"userId":"u"}"#, Some("id_required")),
        (Route::Call("group"), r#"{"groupId":"g"}"#, None),
        (Route::Call("alias"), r#"{"userId":"u"}"#, Some("id_required")),
        (Route::Call("alias"), r#"{"userId":"u","previousId":"p"}"#, None),
        (Route::Batch, r#"{"batch":[]}"#, Some("empty_batch")),
        (Route::Batch, r#"{"batch":[{"type":"identify","userId":"u"},3]}"#, Some("not_an_object")),
        (Route::Batch, r#"{"batch":[{"type":"identify","userId":"u"},{"userId":"u"}]}"#, Some("unknown_type")),
        (Route::Batch, r#"{"userId":"u"}"#, Some("unknown_type")),
    ] {
        let checked = Body::read(route, body.as_bytes()).unwrap().check();
        assert_eq!(checked.as_ref().err().map(|refusal| refusal.code), code, "{body}");
        if let Err(refusal) = checked {
            assert!(!refusal.message.contains("look at"), "{code:?} says what to do");
        }
    }
}
