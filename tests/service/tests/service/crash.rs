//! What was answered with 200 is there, once, whatever happens to the process and its disk.

use crate::harness::{Client, Service, until};
use crate::sdks::python;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn track(id: &str) -> String {
    format!(
        r#"{{"writeKey":"demo","userId":"u","event":"Loaded","messageId":"{id}","properties":{{"x":"{}"}}}}"#,
        "y".repeat(200)
    )
}

/// The ids in `tracks`, each once.
fn ids(service: &Service) -> BTreeSet<String> {
    let rows = service.rows("main", "tracks");
    let ids: BTreeSet<String> = rows.iter().filter_map(|row| row.get("id").cloned()).collect();
    assert_eq!(ids.len(), rows.len(), "an id twice");
    ids
}

#[test]
fn killed_again_and_again_while_an_sdk_sends() {
    const SENT: usize = 1_500;
    let mut service = Service::new("", &["main"]).started();
    let sdk = python(&["load", &service.url(), "demo", &SENT.to_string()]).stdout(Stdio::piped()).spawn();
    let sdk = sdk.expect("the SDK runs");
    let (stop, address) = (AtomicBool::new(false), service.address());
    let (accepted, told) = std::thread::scope(|scope| {
        let hammer = scope.spawn(|| {
            let (mut client, mut accepted, mut n) = (Client::new(address), Vec::new(), 0);
            while !stop.load(Ordering::Relaxed) {
                let id = format!("h{n}");
                match client.post("/v1/track", track(&id).as_bytes()) {
                    Some(200) => {
                        accepted.push(id);
                        n += 1;
                    }
                    // Nobody knows what became of it: it is sent again, as an SDK does.
                    _ => std::thread::sleep(Duration::from_millis(10)),
                }
            }
            accepted
        });
        for round in 0..8 {
            std::thread::sleep(Duration::from_millis(150 + 90 * round));
            service.kill();
            service.start();
        }
        let told = sdk.wait_with_output().expect("the SDK ends");
        stop.store(true, Ordering::Relaxed);
        (hammer.join().expect("no panic"), told)
    });
    assert!(told.status.success());
    let told: Value = serde_json::from_slice(&told.stdout).expect("what it was told");
    assert_eq!(told["sent"], SENT);
    let failed: BTreeSet<&str> = told["failed"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|one| one["ids"].as_array())
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut should: BTreeSet<String> =
        (0..SENT).map(|n| format!("p{n}")).filter(|id| !failed.contains(&**id)).collect();
    should.extend(accepted);
    assert!(should.len() > SENT / 2, "{} accepted, {} failed", should.len(), failed.len());
    until("all that was accepted", || should.is_subset(&ids(&service)).then_some(()));
    // The end that was asked for leaves nothing behind either.
    service.stop();
    service.start();
    assert!(should.is_subset(&ids(&service)));
}

#[test]
fn a_spool_whose_tail_is_torn_or_rubbish_goes_on() {
    let mut service = Service::new("", &[]).started();
    for n in 0..20 {
        assert_eq!(service.post("/v1/track", &track(&format!("a{n}"))).status, 200);
    }
    service.kill();
    let folder = service.folder("data/spool/default");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the spool").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    let last = files.pop().expect("a segment");
    let mut file = std::fs::File::options().append(true).open(&last).expect("the segment opens");
    // What a crash leaves of a record: its beginning, and blocks that were never written.
    let record = std::fs::read(&last).expect("the segment")[40..140].to_vec();
    file.write_all(&record).and_then(|()| file.write_all(&[0; 5_000])).expect("rubbish is written");
    service.configure("", &["main"]);
    service.start();
    for n in 20..40 {
        assert_eq!(service.post("/v1/track", &track(&format!("a{n}"))).status, 200);
    }
    service.wait_for("main", "tracks", 40);
    assert_eq!(ids(&service), (0..40).map(|n| format!("a{n}")).collect());
}

#[test]
fn a_full_disk_is_answered_with_503_and_loses_nothing() {
    // A limit on the size of files stands for the disk; without the trap it would end the process.
    let limit = ["sh", "-c", "trap '' XFSZ; ulimit -f 400; exec \"$0\" \"$@\""];
    let mut service = Service::new("", &[]).wrapped(&limit).started();
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for n in 0..1_500 {
        let id = format!("a{n}");
        let answer = service.post("/v1/track", &track(&id));
        match answer.status {
            200 => accepted.push(id),
            503 => {
                assert!(answer.head.contains("retry-after: ") && answer.body.contains("disk_full"), "{answer:?}");
                refused.push(id);
            }
            other => panic!("{other}: {answer:?}"),
        }
        if refused.len() == 20 {
            break;
        }
    }
    assert!(accepted.len() > 100 && refused.len() == 20, "{} accepted, {} refused", accepted.len(), refused.len());
    assert!(service.metric("tablecast_refused_total{reason=\"disk_full\"}") >= 20.0);
    let ready = service.get("/readyz");
    assert!(ready.status == 503 && ready.body.contains("default: the disk of the spool is full"), "{ready:?}");
    service.kill();

    let mut service = service.wrapped(&[]);
    service.configure("", &["main"]);
    service.start();
    service.wait_for("main", "tracks", accepted.len());
    assert_eq!(ids(&service), accepted.iter().cloned().collect(), "what was refused is not there");
    // The senders come again, with what was accepted too.
    for id in accepted.iter().rev().take(5).chain(&refused) {
        assert_eq!(service.post("/v1/track", &track(id)).status, 200);
    }
    service.wait_for("main", "tracks", accepted.len() + refused.len());
    assert_eq!(ids(&service), accepted.into_iter().chain(refused).collect());
    assert_eq!(service.metric("tablecast_duplicates_total{space=\"default\"}"), 5.0);
}

#[test]
fn a_warehouse_that_leaves_the_configuration_and_comes_back_goes_on() {
    let mut service = Service::new("", &["main", "other"]).started();
    let send = |service: &Service, range: std::ops::Range<u32>| {
        for n in range {
            assert_eq!(service.post("/v1/track", &track(&format!("a{n}"))).status, 200);
        }
    };
    send(&service, 0..10);
    service.wait_for("main", "tracks", 10);
    service.stop();
    service.configure("", &["other"]);
    service.start();
    send(&service, 10..20);
    service.wait_for("other", "tracks", 20);
    service.stop();
    service.configure("", &["main", "other"]);
    service.start();
    send(&service, 20..30);
    for warehouse in ["main", "other"] {
        service.wait_for(warehouse, "tracks", 30);
    }
    assert_eq!(ids(&service), (0..30).map(|n| format!("a{n}")).collect());
}
