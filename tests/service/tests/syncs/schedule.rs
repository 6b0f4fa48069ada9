//! When syncs begin: by the schedule, after failures, beside a warehouse that is down.

use crate::support::{HOUR, SECOND, START, TestClock, World, at, config, ended, until};
use std::sync::Arc;
use tablecast_server::config::Item;
use tablecast_server::state::{Kind, Status};
use tablecast_server::sync::{Clock, SelectRequest, UnitState, UnitView};
use tablecast_testkit::generate::Call;
use tokio::sync::watch;
use tokio::task::JoinHandle;

struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(world: &World) -> Running {
        let (stop, stopped) = watch::channel(false);
        let engine = world.engine.clone();
        Running { stop, task: tokio::spawn(async move { engine.run(stopped).await }) }
    }

    async fn end(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
    }
}

fn count(world: &World, warehouse: &str, status: Status) -> usize {
    world.syncs(warehouse).iter().filter(|sync| ended(sync, status)).count()
}

fn unit(world: &World, warehouse: &str) -> UnitView {
    let warehouses = world.control().warehouses().unwrap();
    warehouses.into_iter().find(|view| view.name == warehouse).unwrap().spaces.remove(0)
}

async fn succeeded(world: &World, warehouse: &str, times: usize) {
    until("syncs", || count(world, warehouse, Status::Success) == times).await;
}

/// The clock moves when the task waits for it, never before.
async fn waits(world: &World, warehouse: &str, clock: &Arc<TestClock>) {
    let now = clock.now();
    until("a task that waits", || unit(world, warehouse).next.is_some_and(|next| next > at(now))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn syncs_begin_by_the_schedule_and_a_new_schedule_holds_at_once() {
    let world = World::new(&config(&[("main", "every = \"1 hour\"")]));
    let running = Running::start(&world);
    succeeded(&world, "main", 1).await;
    waits(&world, "main", &world.clock).await;
    assert_eq!(unit(&world, "main").next, Some(at(START + HOUR)));
    world.post(&[Call::identify("m1", "u1").line()]).await;
    world.clock.advance(HOUR);
    succeeded(&world, "main", 2).await;
    assert_eq!(world.show("main", "users", &["id"]).await, ["u1"]);

    let other = config(&[("main", "at = [0, 12]\nzone = \"Europe/Berlin\"")]);
    world.engine.reload(tablecast_server::Config::parse(&other).unwrap()).unwrap();
    until("the new schedule", || unit(&world, "main").next == Some(at(START + 11 * HOUR))).await;
    world.clock.advance(10 * HOUR);
    succeeded(&world, "main", 3).await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_stops_no_sync() {
    let world = World::new(&config(&[("main", "every = \"1 hour\"")]));
    let years = 10 * 365 * 24 * HOUR;
    world.clock.advance(years);
    let running = Running::start(&world);
    succeeded(&world, "main", 1).await;
    waits(&world, "main", &world.clock).await;
    world.clock.advance(-years);
    until("a near sync", || unit(&world, "main").next == Some(at(START + HOUR))).await;
    running.end().await;
    // The last sync began in what is the future now.
    let running = Running::start(&world);
    until("a near sync after a start", || unit(&world, "main").next == Some(at(START + HOUR))).await;
    world.clock.advance(HOUR);
    succeeded(&world, "main", 2).await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fill_that_failed_comes_again_by_itself() {
    let world = World::new(&config(&[("main", "every = \"1 day\"")]));
    let plan = vec![Item::column("users.plan")];
    let select = |off: &[Item], on: &[Item]| SelectRequest { warehouse: None, off: off.to_vec(), on: on.to_vec() };
    world.control().select(&select(&plan, &[])).unwrap();
    world.post(&[Call::identify("m1", "u1").traits(r#"{"plan": "pro"}"#).line()]).await;
    let running = Running::start(&world);
    succeeded(&world, "main", 1).await;
    // A sync of nothing does not ask the warehouse, the fill does.
    world.gate.down.lock().unwrap().insert("main".into());
    world.control().select(&select(&[], &plan)).unwrap();
    until("a failed fill", || world.history("main").contains(&"fill failure 0".into())).await;
    until("a clear state", || unit(&world, "main").state == UnitState::Retrying).await;
    world.gate.down.lock().unwrap().clear();
    world.clock.advance(60 * SECOND);
    until("a fill", || {
        world.syncs("main").iter().any(|sync| sync.kind == Kind::Fill && sync.status == Status::Success)
    })
    .await;
    until("another state", || unit(&world, "main").failures == 0).await;
    assert_eq!(world.show("main", "users", &["id", "plan"]).await, ["u1 | pro"]);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warehouse_goes_and_comes_back_while_the_service_runs() {
    let parsed = |warehouses: &[(&str, &str)]| tablecast_server::Config::parse(&config(warehouses)).unwrap();
    let world = World::new(&config(&[("main", ""), ("away", "")]));
    let running = Running::start(&world);
    succeeded(&world, "main", 1).await;
    succeeded(&world, "away", 1).await;
    world.engine.reload(parsed(&[("main", "")])).unwrap();
    world.post(&[Call::identify("m1", "u1").line()]).await;
    world.control().sync_now(None, None).unwrap();
    succeeded(&world, "main", 2).await;
    assert_eq!(count(&world, "away", Status::Success), 1);
    world.engine.reload(parsed(&[("main", ""), ("away", "")])).unwrap();
    world.control().sync_now(None, None).unwrap();
    succeeded(&world, "away", 2).await;
    assert_eq!(world.show("away", "identifies", &["id"]).await, ["m1"]);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_would_overlap_is_skipped_and_recorded() {
    let world = World::new(&config(&[("main", "every = \"1 hour\"")]));
    world.post(&[Call::identify("m1", "u1").line()]).await;
    world.gate.stuck.lock().unwrap().insert("main".into());
    let running = Running::start(&world);
    until("a running sync", || unit(&world, "main").state == UnitState::Running).await;
    world.clock.advance(HOUR);
    until("a skipped sync", || count(&world, "main", Status::Skipped) == 1).await;
    world.clock.advance(HOUR);
    until("another", || count(&world, "main", Status::Skipped) == 2).await;
    world.gate.stuck.lock().unwrap().clear();
    succeeded(&world, "main", 1).await;
    let skipped = world.syncs("main").into_iter().find(|sync| sync.status == Status::Skipped).unwrap();
    assert_eq!((skipped.start, skipped.next), (at(START + HOUR), Some(at(START + 2 * HOUR))));
    waits(&world, "main", &world.clock).await;
    assert_eq!(unit(&world, "main").next, Some(at(START + 3 * HOUR)));
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_tried_again_soon_then_later_but_never_after_the_schedule() {
    let world = World::new(&config(&[("main", "every = \"1 hour\"")]));
    world.post(&[Call::identify("m1", "u1").line()]).await;
    world.gate.down.lock().unwrap().insert("main".into());
    let running = Running::start(&world);
    let mut elapsed = 0;
    for (nth, wait) in [(1, 60), (2, 120), (3, 240), (4, 480), (5, 960)] {
        until("a failure", || count(&world, "main", Status::Failure) == nth).await;
        waits(&world, "main", &world.clock).await;
        let view = unit(&world, "main");
        assert_eq!(view.next, Some(at(START + (elapsed + wait) * SECOND)), "after failure {nth}");
        assert_eq!((view.state, view.failures as usize), (UnitState::Retrying, nth));
        elapsed += wait;
        world.clock.advance(wait * SECOND);
    }
    until("a failure", || count(&world, "main", Status::Failure) == 6).await;
    waits(&world, "main", &world.clock).await;
    // The sixth began at 0:31; by the schedule the next is an hour later, by doubling it would be 32 minutes.
    assert_eq!(unit(&world, "main").next, Some(at(START + (1_860 + 1_920) * SECOND)));
    world.gate.down.lock().unwrap().clear();
    world.control().sync_now(Some("main"), None).unwrap();
    succeeded(&world, "main", 1).await;
    waits(&world, "main", &world.clock).await;
    let view = unit(&world, "main");
    assert_eq!((view.state, view.failures, view.error), (UnitState::Idle, 0, None));
    assert_eq!(view.next, Some(at(START + 1_860 * SECOND + HOUR)));
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warehouse_that_does_not_answer_holds_up_no_other() {
    let world = World::new(&config(&[("main", ""), ("stuck", ""), ("down", "")]));
    world.post(&[Call::identify("m1", "u1").line()]).await;
    world.gate.stuck.lock().unwrap().insert("stuck".into());
    world.gate.down.lock().unwrap().insert("down".into());
    let running = Running::start(&world);
    succeeded(&world, "main", 1).await;
    until("a failure", || count(&world, "down", Status::Failure) == 1).await;
    assert_eq!(world.show("main", "users", &["id"]).await, ["u1"]);
    world.post(&[Call::identify("m2", "u2").line()]).await;
    world.control().sync_now(Some("main"), None).unwrap();
    succeeded(&world, "main", 2).await;
    assert_eq!(count(&world, "stuck", Status::Success), 0);
    world.gate.stuck.lock().unwrap().clear();
    succeeded(&world, "stuck", 1).await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_ends_after_the_cut_that_runs_and_goes_on_at_the_next_start() {
    let mut world = World::new(&config(&[("main", "rules = { cut = { events = 1 } }")]));
    let calls: Vec<String> = (0..5).map(|n| Call::identify(&format!("m{n}"), "u1").line()).collect();
    world.post(&calls).await;
    world.gate.stuck.lock().unwrap().insert("main".into());
    let running = Running::start(&world);
    until("a running sync", || unit(&world, "main").state == UnitState::Running).await;
    running.stop.send(true).unwrap();
    world.gate.stuck.lock().unwrap().clear();
    running.task.await.unwrap();
    assert_eq!(world.show("main", "identifies", &["id"]).await, ["m0"]);
    assert_eq!(world.last("main").sync.status, Status::Partial);
    assert!(world.last("main").notices[0].message.contains("the service ended"));
    world.restart(None);
    let running = Running::start(&world);
    succeeded(&world, "main", 1).await;
    assert_eq!(world.show("main", "identifies", &["id"]).await.len(), 5, "at once, not after an hour");
    running.end().await;
}
