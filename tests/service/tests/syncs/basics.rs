//! What one sync does, and what its row in the history says.

use crate::support::{HOUR, START, World, config, polled};
use tablecast_server::state::{Level, Status};
use tablecast_testkit::generate::Call;

fn call(id: &str, user: &str, traits: &str) -> String {
    Call::identify(id, user).traits(traits).line()
}

#[tokio::test]
async fn a_sync_loads_what_is_new_and_says_so() {
    let world = World::new(&config(&[("main", "")]));
    let calls = [
        call("m1", "u123", r#"{"first_time_shopper": true}"#),
        call("m2", "u123", r#"{"total_revenue_180_days": 450.00}"#),
    ];
    world.post(&calls).await;
    world.sync().await;
    let users = world.show("main", "users", &["id", "first_time_shopper", "total_revenue_180_days"]).await;
    assert_eq!(users, ["u123 | true | 450.0"]);
    let detail = world.last("main");
    assert_eq!((detail.sync.status, detail.sync.rows, detail.sync.notices), (Status::Success, 3, 0));
    assert_eq!((detail.sync.schema.as_str(), detail.sync.start.as_microsecond()), ("personas_default", START));
    assert!(detail.changes.iter().any(|change| change.contains("create table users")), "{:?}", detail.changes);
    assert!(detail.tables.iter().any(|table| table.name == "identifies" && table.loaded == 2));
    assert_eq!(detail.sync.progress.map(|progress| progress.done == progress.total), Some(true));

    world.sync().await;
    assert_eq!(world.history("main"), ["sync success 3", "sync success 0"], "nothing new is a success");
    let view = &world.control().warehouses().unwrap()[0].spaces[0];
    assert_eq!((view.behind_bytes, view.behind_since), (0, None));
}

#[tokio::test]
async fn what_is_discarded_makes_a_sync_partial() {
    let world = World::new(&config(&[("main", "")]));
    world.post(&[call("m1", "u1", r#"{"n": 1}"#)]).await;
    world.sync().await;
    world.post(&[call("m2", "u1", r#"{"n": "many"}"#), "{broken".to_owned()]).await;
    world.sync().await;
    let detail = world.last("main");
    assert_eq!((detail.sync.status, detail.sync.discards, detail.sync.notices), (Status::Partial, 3, 1));
    assert_eq!(detail.notices[0].table.as_deref(), Some("_discards"));
    assert_eq!(detail.notices[0].level, Level::Warning);
}

#[tokio::test]
async fn a_failed_sync_says_why_and_the_next_repairs_it() {
    let world = World::new(&config(&[("main", "rules = { cut = { events = 2 } }")]));
    let calls: Vec<String> = (0..6).map(|n| call(&format!("m{n}"), "u1", &format!(r#"{{"n": {n}}}"#))).collect();
    world.post(&calls).await;
    world.gate.down.lock().unwrap().insert("main".into());
    world.sync().await;
    let failed = world.last("main").sync;
    assert_eq!((failed.status, failed.rows), (Status::Failure, 0));
    let error = failed.error.unwrap();
    assert!(error.what.contains("is down") && error.to_do.contains("nothing is loaded twice"), "{error:?}");
    let view = world.control().warehouses().unwrap().remove(0).spaces.remove(0);
    assert!(view.behind_bytes > 0 && view.failures == 1 && view.error.is_some(), "{view:?}");

    world.gate.down.lock().unwrap().clear();
    // Every second answer is lost: two attempts are enough for a cut, and nothing is loaded twice.
    *world.gate.lose.lock().unwrap() = 2;
    world.sync().await;
    assert_eq!(world.show("main", "identifies", &["id"]).await.len(), 6);
    *world.gate.lose.lock().unwrap() = 1;
    world.post(&[call("m9", "u1", r#"{"n": 9}"#)]).await;
    world.sync().await;
    assert_eq!(world.last("main").sync.status, Status::Failure, "no answer came at all");
    *world.gate.lose.lock().unwrap() = 0;
    world.sync().await;
    assert_eq!(world.show("main", "identifies", &["id"]).await.len(), 7);
    assert_eq!(world.last("main").sync.status, Status::Success);
    assert_eq!(world.control().warehouses().unwrap()[0].spaces[0].error, None);
}

#[tokio::test]
async fn a_sync_can_be_dropped_anywhere() {
    let mut world = World::new(&config(&[("main", "rules = { cut = { events = 2 } }")]));
    let numbered = |n: i64| Call::identify(&format!("m{n}"), "u1").at(n).traits(&format!(r#"{{"n": {n}}}"#)).line();
    world.post(&(0..7).map(numbered).collect::<Vec<_>>()).await;
    let mut times = 0;
    loop {
        world.control().sync_now(None, None).unwrap();
        if polled(Box::pin(world.engine.drain()), times).await {
            break;
        }
        world.restart(None);
        times += 1;
    }
    assert!(times > 5, "there were {times} places");
    assert_eq!(world.show("main", "identifies", &["id"]).await.len(), 7);
    assert_eq!(world.show("main", "users", &["id", "n"]).await, ["u1 | 6"]);
    let rows: u64 = world.syncs("main").iter().map(|sync| sync.rows).sum();
    assert!(rows >= 8, "a cut that was loaded and not written down counts when it comes again: {rows}");
    assert!(world.syncs("main").iter().all(|sync| sync.status.is_final()));
}

#[tokio::test]
async fn damage_in_the_spool_is_left_out_and_said() {
    let world = World::new(&config(&[("main", "")]));
    let filler = "x".repeat(300);
    let calls: Vec<String> =
        (0..40).map(|n| call(&format!("m{n}"), "u1", &format!(r#"{{"n": {n}, "filler": "{filler}"}}"#))).collect();
    world.post(&calls).await;
    let segments = world.segments();
    assert!(segments.len() > 2);
    let mut bytes = std::fs::read(&segments[1]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&segments[1], bytes).unwrap();
    world.sync().await;
    let detail = world.last("main");
    assert_eq!(detail.sync.status, Status::Partial);
    assert!(detail.notices.iter().any(|notice| notice.message.contains("damaged")), "{:?}", detail.notices);
    let loaded = world.show("main", "identifies", &["id"]).await.len();
    assert!((35..40).contains(&loaded), "{loaded} of 40");
}

#[tokio::test]
async fn identities_come_from_every_id_and_can_be_switched_off() {
    let world = World::new(&config(&[("main", ""), ("without", "rules = { identities = false }")]));
    let context = r#"{"device": {"type": "ios", "id": "d1", "advertisingId": "idfa1", "adTrackingEnabled": true},
        "externalIds": [{"id": "c1", "type": "crm", "collection": "users", "encoding": "none"}]}"#;
    let first = Call::identify("m1", "u1").set("anonymousId", "\"a1\"").set("context", context);
    let later = Call::track("m2", "u2", "Seen").set("anonymousId", "\"a1\"").at(60);
    let alone = Call::identify("m3", "u3").traits(r#"{"n": 1}"#);
    world.post(&[first.traits(r#"{"email": "a@example.com"}"#).line(), later.line(), alone.line()]).await;
    world.sync().await;
    assert_eq!(
        world.show("main", "identities", &["id", "user_id", "first_seen", "last_seen"]).await,
        [
            "anonymous_id:a1 | u2 | 2026-01-01T00:00:00.000000Z | 2026-01-01T00:01:00.000000Z",
            "crm:c1 | u1 | 2026-01-01T00:00:00.000000Z | 2026-01-01T00:00:00.000000Z",
            "email:a@example.com | u1 | 2026-01-01T00:00:00.000000Z | 2026-01-01T00:00:00.000000Z",
            "ios.id:d1 | u1 | 2026-01-01T00:00:00.000000Z | 2026-01-01T00:00:00.000000Z",
            "ios.idfa:idfa1 | u1 | 2026-01-01T00:00:00.000000Z | 2026-01-01T00:00:00.000000Z",
            "user_id:u1 | u1 | 2026-01-01T00:00:00.000000Z | 2026-01-01T00:00:00.000000Z",
            "user_id:u2 | u2 | 2026-01-01T00:01:00.000000Z | 2026-01-01T00:01:00.000000Z",
        ]
    );
    assert!(!world.dump("without").await.tables.contains_key("identities"));
    // Taken out of the configuration, what was missed is filled.
    let mut world = world;
    world.restart(Some(&config(&[("main", ""), ("without", "")])));
    world.sync().await;
    world.dump("without").await.must_equal(&world.dump("main").await, "after the fill").unwrap();
    assert_eq!(world.last("without").sync.kind.as_str(), "fill");
}

#[tokio::test]
async fn events_go_to_the_warehouses_that_they_name() {
    let world = World::new(&config(&[("main", ""), ("other", "")]));
    let routed = |id: &str, to: &str| {
        Call::identify(id, "u1").set("integrations", format!(r#"{{"Warehouses": {{"warehouseIds": [{to}]}}}}"#)).line()
    };
    world.post(&[routed("m1", "\"main\""), routed("m2", "\"other\""), routed("m3", "\"main\", \"other\"")]).await;
    world.sync().await;
    assert_eq!(world.show("main", "identifies", &["id"]).await, ["m1", "m3"]);
    assert_eq!(world.show("other", "identifies", &["id"]).await, ["m2", "m3"]);
    world.clock.advance(HOUR);
    assert_eq!(world.control().sync_now(Some("nowhere"), None).unwrap_err().to_do, "name one of: main, other");
    assert!(world.control().sync_now(None, Some("nowhere")).is_err());
}

#[tokio::test]
async fn a_table_near_its_limit_is_noticed_by_its_name() {
    let world = World::new(&config(&[("main", "")]));
    let traits: Vec<String> = (0..1_700).map(|n| format!(r#""t{n}": {n}"#)).collect();
    world.post(&[Call::identify("m1", "u1").traits(&format!("{{{}}}", traits.join(","))).line()]).await;
    world.sync().await;
    let last = world.last("main");
    let tables: Vec<&str> = last.notices.iter().filter_map(|notice| notice.table.as_deref()).collect();
    assert!(tables.contains(&"identifies") && tables.contains(&"users"), "{:?}", last.notices);
    assert_eq!(last.sync.status, Status::Partial);
}
