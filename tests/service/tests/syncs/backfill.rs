//! Loading again from the spool: for a warehouse that came later, for a table, for a column.

use crate::support::{DAY, START, World, at, config, polled};
use tablecast_server::config::Item;
use tablecast_server::state::{BackfillRequest, Kind, Status};
use tablecast_server::sync::{RefusalKind, SelectRequest};
use tablecast_testkit::generate::Call;

fn day(number: i64) -> Vec<String> {
    vec![
        Call::identify(&format!("i{number}"), "u1")
            .at(number * 86_400)
            .traits(&format!(r#"{{"n": {number}, "p": "{number}"}}"#))
            .line(),
        Call::track(&format!("t{number}"), "u1", "Bought")
            .at(number * 86_400)
            .properties(&format!(r#"{{"total": {number}}}"#))
            .line(),
    ]
}

async fn days(world: &World, days: std::ops::Range<i64>) {
    for number in days {
        world.post(&day(number)).await;
        world.clock.advance(DAY);
    }
}

fn request() -> BackfillRequest {
    BackfillRequest { warehouse: "late".into(), ..BackfillRequest::default() }
}

/// Five days in the first warehouse, and a second one that begins after them.
async fn late() -> World {
    let mut world = World::new(&config(&[("main", "")]));
    days(&world, 0..5).await;
    world.sync().await;
    world.restart(Some(&config(&[("main", ""), ("late", "history = false\nrules = { cut = { events = 2 } }")])));
    days(&world, 5..6).await;
    world.sync().await;
    assert_eq!(world.show("late", "identifies", &["id"]).await, ["i5"], "from now on");
    world
}

#[tokio::test]
async fn a_new_warehouse_begins_with_all_that_the_spool_has() {
    let mut world = World::new(&config(&[("main", "")]));
    days(&world, 0..3).await;
    world.sync().await;
    world.restart(Some(&config(&[("main", ""), ("late", "")])));
    world.sync().await;
    world.dump("late").await.must_equal(&world.dump("main").await, "the second warehouse").unwrap();
}

#[tokio::test]
async fn a_backfill_brings_what_came_before_and_can_be_repeated() {
    let world = late().await;
    let ids = world.control().backfill(&request()).unwrap();
    world.engine.drain().await;
    let detail = world.state.sync(ids[0]).unwrap().unwrap();
    assert_eq!((detail.sync.kind, detail.sync.status, detail.sync.rows > 10), (Kind::Backfill, Status::Success, true));
    assert_eq!(
        detail.sync.progress.map(|progress| (progress.done > 0, progress.done == progress.total)),
        Some((true, true))
    );
    assert_eq!(detail.sync.request, Some(request()));
    world.dump("late").await.must_equal(&world.dump("main").await, "after the backfill").unwrap();
    assert_eq!(world.show("late", "users", &["id", "n"]).await, ["u1 | 5"], "older values do not win");
    world.control().backfill(&request()).unwrap();
    world.engine.drain().await;
    world.dump("late").await.must_equal(&world.dump("main").await, "after another").unwrap();
}

#[tokio::test]
async fn a_backfill_keeps_to_its_time_span() {
    let world = late().await;
    let span = BackfillRequest { from: Some(at(START + DAY)), until: Some(at(START + 3 * DAY)), ..request() };
    world.control().backfill(&span).unwrap();
    world.engine.drain().await;
    assert_eq!(world.show("late", "identifies", &["id"]).await, ["i1", "i2", "i5"]);
    let wrong = BackfillRequest { from: span.until, until: span.from, ..request() };
    assert_eq!(world.control().backfill(&wrong).unwrap_err().kind, RefusalKind::Invalid);
}

#[tokio::test]
async fn a_backfill_keeps_to_its_tables_and_columns() {
    let world = late().await;
    let tables = BackfillRequest { tables: vec!["bought".into()], columns: vec!["users.p".into()], ..request() };
    world.control().backfill(&tables).unwrap();
    world.engine.drain().await;
    assert_eq!(world.show("late", "bought", &["id", "total"]).await.len(), 6);
    assert_eq!(world.show("late", "tracks", &["id"]).await, ["t5"]);
    assert_eq!(world.show("late", "identifies", &["id"]).await, ["i5"]);
    assert_eq!(world.show("late", "users", &["id", "n", "p"]).await, ["u1 | 5 | 5"]);
    let column = BackfillRequest { columns: vec!["identifies.n".into()], ..request() };
    world.control().backfill(&column).unwrap();
    world.engine.drain().await;
    assert_eq!(world.show("late", "identifies", &["id", "n", "p"]).await[..2], ["i0 | 0 | ", "i1 | 1 | "]);
    world.control().backfill(&request()).unwrap();
    world.engine.drain().await;
    world.dump("late").await.must_equal(&world.dump("main").await, "in the end").unwrap();
    for request in [
        BackfillRequest { tables: vec!["_commits".into()], ..request() },
        BackfillRequest { columns: vec!["n".into()], ..request() },
        BackfillRequest { warehouse: "x".into(), ..request() },
        BackfillRequest { space: Some("x".into()), ..request() },
    ] {
        assert!(world.control().backfill(&request).is_err(), "{request:?}");
    }
}

#[tokio::test]
async fn a_backfill_goes_on_after_a_crash_where_it_was() {
    let mut world = late().await;
    let id = world.control().backfill(&request()).unwrap()[0];
    let mut seen = Vec::new();
    for times in 0.. {
        if polled(Box::pin(world.engine.drain()), times).await {
            break;
        }
        world.restart(None);
        let sync = world.state.sync(id).unwrap().unwrap().sync;
        assert!(!sync.status.is_final() || sync.status == Status::Success, "{sync:?}");
        seen.push(sync.progress.unwrap().done);
    }
    assert!(seen.is_sorted() && seen.iter().any(|done| *done > 0), "progress is kept: {seen:?}");
    assert_eq!(world.state.sync(id).unwrap().unwrap().sync.status, Status::Success);
    world.dump("late").await.must_equal(&world.dump("main").await, "in the end").unwrap();
}

#[tokio::test]
async fn a_fill_that_fails_holds_up_no_backfill() {
    let world = late().await;
    let select = |off: &[Item], on: &[Item]| SelectRequest { warehouse: None, off: off.to_vec(), on: on.to_vec() };
    let column = [Item::column("identifies.p")];
    world.control().select(&select(&column, &[])).unwrap();
    world.post(&day(7)).await;
    world.sync().await;
    // A sync of nothing does not ask the warehouse, the fill does.
    world.gate.down.lock().unwrap().insert("late".into());
    world.control().select(&select(&[], &column)).unwrap();
    let ids = world.control().backfill(&request()).unwrap();
    world.engine.drain().await;
    assert!(world.history("late").contains(&"fill failure 0".into()), "{:?}", world.history("late"));
    assert_eq!(world.state.sync(ids[0]).unwrap().unwrap().sync.status, Status::Failure, "nobody waits for ever");
}
