//! What is kept: segments that a warehouse lacks, the place of a warehouse that was away, the schema of the first sync.

use crate::support::{DAY, World, config};
use tablecast_server::Config;
use tablecast_server::state::BackfillRequest;
use tablecast_testkit::generate::Call;

async fn fill_spool(world: &World, days: i64) {
    let filler = "x".repeat(500);
    for number in 0..days {
        let call =
            Call::identify(&format!("m{number}"), "u1").traits(&format!(r#"{{"n": {number}, "filler": "{filler}"}}"#));
        world.post(&[call.line()]).await;
        world.clock.advance(DAY);
    }
}

#[tokio::test]
async fn old_segments_go_when_every_warehouse_has_them() {
    let world = World::new(&config(&[("main", ""), ("down", "")]));
    world.gate.down.lock().unwrap().insert("down".into());
    fill_spool(&world, 60).await;
    world.sync().await;
    let all = world.segments().len();
    world.engine.sweep();
    assert_eq!(world.segments().len(), all, "one warehouse lacks them");
    world.gate.down.lock().unwrap().clear();
    world.sync().await;
    world.engine.sweep();
    let left = world.segments().len();
    assert!(left < all && left > all / 3, "the last 30 days stay: {left} of {all}");
    assert_eq!(world.show("down", "identifies", &["id"]).await.len(), 60, "nothing was lost");
}

#[tokio::test]
async fn a_warehouse_that_was_away_goes_on_where_it_was() {
    let both = config(&[("main", ""), ("away", "")]);
    let mut world = World::new(&both);
    world.post(&[Call::identify("m1", "u1").line()]).await;
    world.sync().await;
    world.restart(Some(&config(&[("main", "")])));
    world.post(&[Call::identify("m2", "u1").line()]).await;
    world.sync().await;
    assert_eq!(world.show("away", "identifies", &["id"]).await, ["m1"]);
    world.restart(Some(&both));
    world.sync().await;
    assert_eq!(world.show("away", "identifies", &["id"]).await, ["m1", "m2"]);
    assert_eq!(world.history("away"), ["sync success 2", "sync success 2"]);
    let counts = world.last("away").tables;
    let identifies = counts.iter().find(|table| table.name == "identifies").unwrap();
    assert_eq!((identifies.received, identifies.loaded), (1, 1), "m1 was not read again");
}

#[tokio::test]
async fn the_schema_of_the_first_sync_stays() {
    let mut world = World::new(&config(&[("main", "")]));
    let other = config(&[("main", "schema_prefix = \"engage_\"")]);
    world.restart(Some(&other));
    world.restart(Some(&config(&[("main", "")])));
    world.post(&[Call::identify("m1", "u1").line()]).await;
    world.sync().await;
    for problems in
        [world.engine.reload(Config::parse(&other).unwrap()).unwrap_err(), world.try_restart(&other).unwrap_err()]
    {
        let problem = &problems.0[0];
        assert!(problem.what.contains("personas_default") && problem.what.contains("engage_default"), "{problem}");
        assert!(problem.to_do.contains("tablecast sync renamed --to main"), "{}", problem.to_do);
    }
    world.post(&[Call::identify("m2", "u1").line()]).await;
    world.sync().await;
    assert_eq!(world.show("main", "identifies", &["id"]).await, ["m1", "m2"], "the old configuration stayed");
    world.state.forget_schemas("main").unwrap();
    assert!(world.try_restart(&other).is_ok());
}

#[tokio::test]
async fn a_spool_that_lost_its_end_takes_no_new_call_with_it() {
    let world = World::new(&config(&[("main", "")]));
    world.post(&[Call::identify("m1", "u1").line()]).await;
    world.post(&[Call::identify("m2", "u1").line()]).await;
    world.sync().await;
    // As after a power cut on a disk that had lied: what came last is gone, though it was synced.
    let world = world.reopen(|segments| {
        let last = std::fs::File::options().write(true).open(segments.last().unwrap()).unwrap();
        last.set_len(last.metadata().unwrap().len() - 10).unwrap();
    });
    world.post(&[Call::identify("m3", "u1").line()]).await;
    world.sync().await;
    assert_eq!(world.show("main", "identifies", &["id"]).await, ["m1", "m2", "m3"]);
    let notices = world.last("main").notices;
    assert!(notices.iter().any(|notice| notice.message.contains("its end was lost")), "{notices:?}");
    world.sync().await;
    assert!(world.last("main").notices.is_empty(), "it is said once");
}

#[tokio::test]
async fn a_warehouse_that_was_taken_out_keeps_nothing_by_its_backfill() {
    let late = config(&[("main", ""), ("late", "history = false")]);
    let mut world = World::new(&config(&[("main", "")]));
    fill_spool(&world, 60).await;
    world.sync().await;
    world.restart(Some(&late));
    let request = BackfillRequest { warehouse: "late".into(), ..BackfillRequest::default() };
    world.control().backfill(&request).unwrap();
    let before = world.segments().len();
    world.engine.sweep();
    assert_eq!(world.segments().len(), before, "the backfill needs them");
    world.restart(Some(&config(&[("main", "")])));
    world.engine.sweep();
    assert!(world.segments().len() < before);
}
