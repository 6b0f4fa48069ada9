//! Load, with warehouses of which one call in five fails: at the end every accepted event is in every warehouse once.

use crate::harness::{Client, Service, until};
use crate::serving::FAIL_EVERY;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CALLS: u64 = 25;
const CLIENTS: u64 = 4;

fn batch(client: u64, n: u64) -> String {
    let calls: Vec<String> = (0..CALLS)
        .map(|nth| {
            let (id, user) = (format!("{client}.{n}.{nth}"), (n * CALLS + nth) % 500);
            match nth % 5 {
                0 => format!(r#"{{"type":"identify","messageId":"{id}","userId":"u{user}","traits":{{"plan":"p{}","n":{n}}}}}"#, n % 3),
                _ => format!(
                    r#"{{"type":"track","event":"Event {}","messageId":"{id}","userId":"u{user}","properties":{{"n":{n},"text":"some words to carry"}}}}"#,
                    nth % 5
                ),
            }
        })
        .collect();
    format!(r#"{{"writeKey":"demo","batch":[{}],"sentAt":"2026-01-01T00:00:00Z"}}"#, calls.join(","))
}

#[expect(clippy::print_stderr, reason = "`cargo xtask soak` shows what was counted")]
fn say(line: &str) {
    eprintln!("{line}");
}

#[test]
fn every_event_is_in_every_warehouse_once() {
    let seconds = std::env::var("TABLECAST_SOAK_SECS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let service = Service::new("", &["one", "two"]).variable(FAIL_EVERY, "5").started();
    let (stop, batches) = (AtomicBool::new(false), AtomicU64::new(0));
    let begun = Instant::now();
    let (mut early, mut late) = (0, 0);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (stop, batches, address) = (&stop, &batches, service.address());
            scope.spawn(move || {
                let (mut connection, mut n) = (Client::new(address), 0);
                while !stop.load(Ordering::Relaxed) {
                    let body = batch(client, n);
                    while connection.post("/v1/batch", body.as_bytes()) != Some(200) {
                        std::thread::sleep(Duration::from_millis(50));
                    }
                    // Now and then a sender has not heard the answer, and sends the same again.
                    if n % 50 == 0 {
                        assert_eq!(connection.post("/v1/batch", body.as_bytes()), Some(200));
                    }
                    n += 1;
                    batches.fetch_add(1, Ordering::Relaxed);
                    // What an embedded warehouse on a shared machine can follow.
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
        while begun.elapsed() < Duration::from_secs(seconds) {
            std::thread::sleep(Duration::from_millis(200));
            let memory = service.memory();
            if begun.elapsed() < Duration::from_secs(seconds / 2) {
                early = memory.max(early);
            } else {
                late = memory.max(late);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let accepted = usize::try_from(batches.load(Ordering::Relaxed) * CALLS).expect("a number");
    for warehouse in ["one", "two"] {
        let behind = format!("tablecast_behind_bytes{{warehouse=\"{warehouse}\",space=\"default\"}}");
        until(&format!("{accepted} events in {warehouse}"), || (service.metric(&behind) < 0.5).then_some(()));
        let mut ids = BTreeSet::new();
        for table in ["identifies", "tracks"] {
            let rows = service.rows(warehouse, table);
            let before = ids.len();
            ids.extend(rows.iter().map(|row| row["id"].clone()));
            assert_eq!(ids.len() - before, rows.len(), "an id twice in {table} of {warehouse}");
        }
        assert_eq!(ids.len(), accepted, "{warehouse}");
        let events: usize = (1..5).map(|n| service.rows(warehouse, &format!("event_{n}")).len()).sum();
        assert_eq!(events, service.rows(warehouse, "tracks").len(), "each event is in its own table too");
        assert!(service.rows(warehouse, "_discards").is_empty());
        // The ledger counts the same.
        let loaded: usize = service
            .rows(warehouse, "_commits")
            .iter()
            .filter(|row| ["identifies", "tracks"].contains(&&*row["table_name"]))
            .filter_map(|row| row.get("loaded")?.parse::<usize>().ok())
            .sum();
        assert_eq!(loaded, accepted, "the ledger of {warehouse}");
    }
    let taken = service.metric("tablecast_events_total{space=\"default\"}");
    let again = service.metric("tablecast_duplicates_total{space=\"default\"}");
    say(&format!(
        "{accepted} events in {seconds} s, each in both warehouses once; {again} sent again; memory {} MB, then {} MB",
        early >> 20,
        late >> 20
    ));
    let accepted = f64::from(u32::try_from(accepted).expect("not that many"));
    assert!((taken - accepted).abs() < 0.5, "{taken} counted, {accepted} accepted");
    assert!(again > 0.0);
    assert!(late < early + (100 << 20), "memory grew from {early} to {late}");
}
