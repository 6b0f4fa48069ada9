//! Tables, columns, audiences and traits off and on: what passed by meanwhile is filled.

use crate::support::{DAY, World, config};
use tablecast_server::config::Item;
use tablecast_server::state::{BackfillRequest, Kind, Status};
use tablecast_server::sync::{OffWhy, RefusalKind, SelectRequest};
use tablecast_testkit::generate::Call;

fn select(off: &[Item], on: &[Item]) -> SelectRequest {
    SelectRequest { warehouse: Some("main".into()), off: off.to_vec(), on: on.to_vec() }
}

/// What happens on a day: a user's trait changes, an audience is entered, an order is made.
fn day(number: i64) -> Vec<String> {
    let context = r#"{"personas": {"computation_class": "audience", "computation_key": "vip"}}"#;
    let second = number * 86_400;
    let call = |call: Call| call.at(second).line();
    vec![
        call(
            Call::identify(&format!("plan{number}"), "u1")
                .traits(&format!(r#"{{"plan": "p{number}", "n": {number}}}"#)),
        ),
        call(Call::identify(&format!("vip{number}"), "u2").set("context", context).traits(r#"{"vip": true}"#)),
        call(
            Call::track(&format!("in{number}"), "u2", "Audience Entered")
                .set("context", context)
                .properties(r#"{"audience_key": "vip", "vip": true}"#),
        ),
        call(Call::track(&format!("order{number}"), "u1", "Bought").properties(&format!(r#"{{"total": {number}}}"#))),
    ]
}

/// A warehouse that had everything on all the time, beside one that is switched.
async fn off_and_on(items: &[Item]) -> World {
    let world = World::new(&config(&[("main", ""), ("always", "")]));
    world.post(&day(0)).await;
    world.sync().await;
    let selected = world.control().select(&select(items, &[])).unwrap();
    assert_eq!(selected.selection[0].off.len(), items.len());
    assert!(selected.syncs.is_empty(), "what goes off needs no sync");
    world.clock.advance(DAY);
    world.post(&day(1)).await;
    world.sync().await;
    world.clock.advance(DAY);
    world.post(&day(2)).await;
    world.sync().await;
    assert!(world.dump("main").await.must_equal(&world.dump("always").await, "off").is_err(), "something is missing");
    world.clock.advance(DAY);
    world.post(&day(3)).await;
    let selected = world.control().select(&select(&[], items)).unwrap();
    assert_eq!((selected.selection[0].off.len(), selected.syncs.len()), (0, 1));
    world.engine.drain().await;
    world.sync().await;
    world.dump("main").await.must_equal(&world.dump("always").await, "after the fill").unwrap();
    world
}

fn fills(world: &World) -> Vec<(Status, Vec<String>)> {
    let fills = world.syncs("main").into_iter().filter(|sync| sync.kind == Kind::Fill);
    let detail = |id| world.state.sync(id).unwrap().unwrap();
    fills
        .map(|sync| (sync.status, detail(sync.id).notices.into_iter().map(|notice| notice.message).collect()))
        .collect()
}

#[tokio::test]
async fn a_column_is_filled() {
    let items = [Item::column("*.plan"), Item::column("users.n"), Item::column("bought.total")];
    let world = off_and_on(&items).await;
    let fills = fills(&world);
    assert_eq!(fills.len(), 1, "one fill for all of them");
    assert_eq!(fills[0].0, Status::Success);
    assert!(
        fills[0].1.contains(
            &"column users.n was off: filled for calls received from 2026-01-02T00:00:00Z until 2026-01-04T00:00:00Z"
                .to_owned()
        ),
        "{:?}",
        fills[0].1
    );
    assert_eq!(world.state.gaps("main", "default").unwrap(), []);
    assert!(world.control().warehouses().unwrap()[0].spaces[0].to_fill.is_empty());
}

#[tokio::test]
async fn a_table_is_filled() {
    off_and_on(&[Item::table("users"), Item::table("tracks"), Item::table("bought")]).await;
}

#[tokio::test]
async fn the_tables_of_everything_are_filled() {
    off_and_on(&[Item::table("identifies"), Item::table("users"), Item::table("audience_entered")]).await;
}

#[tokio::test]
async fn an_audience_is_filled() {
    let world = off_and_on(&[Item::computation("vip")]).await;
    assert_eq!(world.show("main", "audience_entered", &["id"]).await.len(), 4);
}

#[tokio::test]
async fn off_means_off_and_deletes_nothing() {
    let world = World::new(&config(&[("main", "")]));
    world.post(&day(0)).await;
    world.sync().await;
    let items = [Item::column("users.plan"), Item::table("tracks"), Item::computation("vip")];
    world.control().select(&select(&items, &[])).unwrap();
    world.post(&day(1)).await;
    world.sync().await;
    assert_eq!(world.show("main", "users", &["id", "plan", "n", "vip"]).await, ["u1 | p0 | 1 | ", "u2 |  |  | true"]);
    assert_eq!(world.show("main", "tracks", &["id"]).await, ["in0", "order0"]);
    assert_eq!(world.show("main", "audience_entered", &["id"]).await, ["in0"]);
    assert_eq!(world.show("main", "bought", &["id"]).await, ["order0", "order1"], "an event's table is not tracks");
    let filtered: u64 = world.last("main").tables.iter().map(|table| table.filtered).sum();
    assert!(filtered >= 3, "what is kept out is counted");
}

#[tokio::test]
async fn names_that_the_warehouse_changes_are_switched_and_typed() {
    let order = "[[trait]]\nkey = \"order\"\ntype = \"float\"\n";
    let world = World::new(&format!("{}{order}", config(&[("main", ""), ("always", "")])));
    let day = |number: i64| {
        let traits = format!(r#"{{"order": {number}, "3_visits": {number}, "address": {{"city": "c{number}"}}}}"#);
        [Call::identify(&format!("m{number}"), &format!("u{number}")).at(number * 86_400).traits(&traits).line()]
    };
    world.post(&day(0)).await;
    world.sync().await;
    let columns = ["id", "_order", "_3_visits", "address_city"];
    assert_eq!(world.show("main", "users", &columns).await, ["u0 | 0.0 | 0 | c0"], "as its trait says");
    let (keys, names) = (["order", "3_visits", "address"], ["_order", "_3_visits", "address_city"]);
    // What went off by one name comes on by the other.
    let back = [names[0], names[1], "address"];
    for (number, names, back) in [(1, keys, back), (2, names, ["order", "3 visits", "address_city"])] {
        let items = names.map(Item::computation);
        let selected = world.control().select(&select(&items, &[])).unwrap();
        let unknown: Vec<_> = selected.unknown.iter().map(|one| (one.item.name.as_str(), one.close.concat())).collect();
        // An object has no column of its own.
        let object = [("address", "address_city".to_owned())];
        assert_eq!(unknown, if number == 1 { &object[..] } else { &[] });
        world.post(&day(number)).await;
        world.sync().await;
        let rows = world.show("main", "users", &columns).await;
        assert!(rows.contains(&format!("u{number} |  |  | ")), "{rows:?}");
        let selected = world.control().select(&select(&[], &back.map(Item::computation))).unwrap();
        assert_eq!((&*selected.selection[0].off, &*selected.unknown), (&[][..], &[][..]));
        world.engine.drain().await;
        world.sync().await;
        world.dump("main").await.must_equal(&world.dump("always").await, "after the fill").unwrap();
    }
}

#[tokio::test]
async fn off_again_while_the_fill_is_not_done_keeps_the_gap() {
    let world = World::new(&config(&[("main", "rules = { cut = { events = 1 } }"), ("always", "")]));
    let plan = [Item::column("users.plan")];
    world.control().select(&select(&plan, &[])).unwrap();
    world.post(&day(0)).await;
    world.sync().await;
    world.control().select(&select(&[], &plan)).unwrap();
    // The warehouse goes down after the sync: the fill fails.
    world.engine.drain().await;
    world.control().select(&select(&plan, &[])).unwrap();
    world.post(&day(1)).await;
    world.gate.down.lock().unwrap().insert("main".into());
    world.sync().await;
    world.control().select(&select(&[], &plan)).unwrap();
    world.engine.drain().await;
    world.control().select(&select(&plan, &[])).unwrap();
    world.gate.down.lock().unwrap().clear();
    world.post(&day(2)).await;
    world.sync().await;
    world.control().select(&select(&[], &plan)).unwrap();
    world.engine.drain().await;
    world.sync().await;
    world.dump("main").await.must_equal(&world.dump("always").await, "in the end").unwrap();
}

#[tokio::test]
async fn what_the_spool_has_no_more_is_said() {
    let world = World::new(&config(&[("main", "")]));
    let plan = [Item::column("users.plan")];
    world.sync().await;
    world.control().select(&select(&plan, &[])).unwrap();
    for number in 0..40 {
        world.post(&day(number)).await;
        world.clock.advance(DAY);
        world.sync().await;
    }
    let before = world.segments().len();
    world.engine.sweep();
    assert!(world.segments().len() < before, "what is older than 30 days goes");
    world.control().select(&select(&[], &plan)).unwrap();
    world.engine.drain().await;
    let fill = world.last("main");
    assert_eq!((fill.sync.kind, fill.sync.status), (Kind::Fill, Status::Partial));
    assert!(fill.notices.iter().any(|notice| notice.message.contains("no longer in the spool")), "{:?}", fill.notices);
    assert_eq!(world.show("main", "users", &["id", "plan"]).await, ["u1 | p39", "u2 | "]);
}

#[tokio::test]
async fn what_cannot_be_switched_is_refused_with_what_to_do() {
    let world = World::new(&config(&[("main", "off = { columns = [\"*.ssn\"] }")]));
    let control = world.control();
    for name in ["users.id", "*.received_at", "users.user_id", "plan"] {
        let refusal = control.select(&select(&[Item::column(name)], &[])).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::Invalid, "{name}");
    }
    let refusal = control.select(&select(&[], &[Item::column("*.ssn")])).unwrap_err();
    assert!(refusal.what.contains("by the configuration") && refusal.to_do.contains("SIGHUP"), "{refusal:?}");
    let both = control.select(&select(&[Item::table("tracks")], &[Item::table("tracks")]));
    assert!(both.is_err() && control.select(&select(&[], &[])).is_err());
    let unknown = SelectRequest { warehouse: Some("x".into()), ..select(&[Item::table("tracks")], &[]) };
    assert_eq!(control.select(&unknown).unwrap_err().kind, RefusalKind::NotFound);
    let off = &control.selection(None).unwrap()[0].off;
    assert_eq!((off.len(), off[0].by), (1, OffWhy::Configuration), "nothing was switched by any of it");
}

#[tokio::test]
async fn what_a_failed_sync_had_loaded_already_is_filled_too() {
    let world = World::new(&config(&[("main", ""), ("always", "")]));
    let plan = [Item::column("identifies.plan")];
    world.control().select(&select(&plan, &[])).unwrap();
    world.post(&day(0)).await;
    // The commits do their work, and their answers are lost: the cursor stays.
    *world.gate.lose.lock().unwrap() = 1;
    world.sync().await;
    assert_eq!(world.last("main").sync.status, Status::Failure);
    *world.gate.lose.lock().unwrap() = 0;
    world.control().select(&select(&[], &plan)).unwrap();
    world.engine.drain().await;
    world.sync().await;
    world.dump("main").await.must_equal(&world.dump("always").await, "after the fill").unwrap();
}

#[tokio::test]
async fn what_a_backfill_loaded_without_something_is_filled_too() {
    let mut world = World::new(&config(&[("always", "")]));
    world.post(&day(0)).await;
    world.sync().await;
    world.restart(Some(&config(&[("always", ""), ("main", "history = false")])));
    let plan = [Item::column("identifies.plan"), Item::computation("vip")];
    world.control().select(&select(&plan, &[])).unwrap();
    let backfill = BackfillRequest { warehouse: "main".into(), ..BackfillRequest::default() };
    for number in 1..3 {
        world.sync().await;
        world.control().backfill(&backfill).unwrap();
        world.engine.drain().await;
        world.post(&day(number)).await;
    }
    world.control().select(&select(&[], &plan)).unwrap();
    world.engine.drain().await;
    world.sync().await;
    world.dump("main").await.must_equal(&world.dump("always").await, "after the fill").unwrap();
}

#[tokio::test]
async fn what_a_fill_loaded_without_something_is_filled_too() {
    let world = World::new(&config(&[("main", ""), ("always", "")]));
    let (table, column) = ([Item::table("identifies")], [Item::column("identifies.plan")]);
    world.control().select(&select(&table, &[])).unwrap();
    world.post(&day(0)).await;
    world.sync().await;
    world.control().select(&select(&column, &[])).unwrap();
    world.post(&day(1)).await;
    world.sync().await;
    for item in [&table, &column] {
        world.control().select(&select(&[], item)).unwrap();
        world.engine.drain().await;
    }
    world.sync().await;
    world.dump("main").await.must_equal(&world.dump("always").await, "after both").unwrap();
}

#[tokio::test]
async fn what_a_failed_sync_made_can_be_switched() {
    let world = World::new(&config(&[("main", "")]));
    world.post(&day(0)).await;
    *world.gate.lose.lock().unwrap() = 1;
    world.sync().await;
    let failed = world.last("main");
    assert_eq!(failed.sync.status, Status::Failure);
    assert!(failed.changes.iter().any(|change| change.starts_with("create table users")), "{:?}", failed.changes);
    *world.gate.lose.lock().unwrap() = 0;
    world.sync().await;
    assert!(world.last("main").changes.is_empty(), "the tables were there");
    let known = world.control().known("main").unwrap();
    assert!(known.contains(&Item::column("users.plan")) && known.contains(&Item::table("bought")), "{known:?}");
}
