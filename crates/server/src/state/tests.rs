//! The state through its own file: what a crash may leave, and what the history says.

use super::history::{End, Step};
use super::*;
use crate::config::{Item, Off};
use tablecast::{Counts, Report};

fn off(items: &[Item]) -> Off {
    Off(items.iter().cloned().collect())
}

fn begin(state: &State, off: &Off, to: u64) -> Begun {
    state.begin(None, "main", "default", "personas_default", "sqlite:w", off, 0, to, 1_000_000).unwrap()
}

fn step(state: &State, id: i64, reached: u64, loaded: u64) {
    let mut report = Report::default();
    for table in ["users", "_users_versions", "_101_account_update", "_discards"] {
        report.tables.insert(table.into(), Counts { received: loaded, loaded, ..Counts::default() });
    }
    let cursor = Some(("main", "default"));
    state.count(&Step { id, report: &report, notices: &[], changes: &[], reached, cursor, gaps: &[] }).unwrap();
}

fn end(state: &State, id: i64, status: Status) {
    let notices = [Notice::info("fine"), Notice::warning("less fine")];
    let trouble = Trouble { what: "no".into(), to_do: "yes".into() };
    let end = End {
        id,
        status,
        now: 3_000_000,
        preparation_ms: 5,
        loading_ms: 7,
        next: None,
        notices: &notices,
        trouble: Some(&trouble),
        filled: &[],
    };
    state.end(&end).unwrap();
}

#[test]
fn a_sync_begins_counts_and_ends_and_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    let begun = begin(&state, &Off::default(), 100);
    assert_eq!((begun.from, begun.address), (0, None));
    step(&state, begun.id, 40, 3);
    step(&state, begun.id, 100, 2);
    end(&state, begun.id, Status::Partial);
    drop(state);

    let state = State::open(dir.path()).unwrap();
    let position = state.position("main", "default").unwrap().unwrap();
    assert_eq!((position.cursor, position.schema.as_deref()), (100, Some("personas_default")));
    let detail = state.sync(begun.id).unwrap().unwrap();
    let sync = &detail.sync;
    assert_eq!((sync.rows, sync.discards, sync.notices), (10, 5, 1), "own tables do not count, an event's own does");
    assert_eq!((sync.preparation_ms, sync.loading_ms, sync.status), (Some(5), Some(7), Status::Partial));
    assert_eq!(sync.progress, Some(Progress { done: 100, total: 100 }));
    assert_eq!(detail.tables.len(), 4);
    assert_eq!(detail.tables[3].loaded, 5);
    let json = serde_json::to_value(&detail).unwrap();
    assert_eq!(json["status"], "partial");
    assert_eq!(json["start"], "1970-01-01T00:00:01Z");
    assert_eq!(serde_json::from_value::<SyncDetail>(json).unwrap(), detail);
    assert_eq!(begin(&state, &Off::default(), 100).address.as_deref(), Some("sqlite:w"));
}

#[test]
fn gaps_open_when_something_goes_off_and_close_when_it_comes_on() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    let (vip, tracks) = (Item::computation("vip"), Item::table("tracks"));
    let shown = || -> Vec<(String, u64, Option<u64>)> {
        let gaps = state.gaps("main", "default").unwrap();
        gaps.into_iter().map(|gap| (gap.item.name, gap.since, gap.until)).collect()
    };
    let to = |off: &Off, to| {
        let begun = begin(&state, off, to);
        step(&state, begun.id, to, 0);
    };
    to(&off(std::slice::from_ref(&vip)), 50);
    assert_eq!(shown(), [("vip".into(), 0, None)], "off from the beginning");
    to(&off(&[vip.clone(), tracks.clone()]), 80);
    to(&off(std::slice::from_ref(&tracks)), 90);
    assert_eq!(shown(), [("vip".into(), 0, Some(80)), ("tracks".into(), 50, None)]);
    to(&off(&[vip, tracks]), 95);
    assert_eq!(shown().len(), 3, "off again: a second gap");
    to(&Off::default(), 95);
    to(&off(&[Item::table("pages")]), 95);
    to(&Off::default(), 95);
    assert_eq!(shown().len(), 3, "nothing passed by while pages were off");
}

#[test]
fn what_a_crash_leaves_is_over_and_a_backfill_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    let sync = begin(&state, &Off::default(), 10);
    let place = ("main", "default", "personas_default");
    let request = BackfillRequest { warehouse: "main".into(), ..BackfillRequest::default() };
    let backfill =
        state.request(place, (Kind::Backfill, Status::Waiting), 5_000_000, Some((0, 10)), Some(&request)).unwrap();
    state.start(backfill, place.2, (0, 10), 6_000_000).unwrap();
    assert_eq!(state.waiting("main").unwrap(), []);
    state.recover(9_000_000).unwrap();
    let over = state.sync(sync.id).unwrap().unwrap().sync;
    assert_eq!((over.status, over.end.unwrap().as_microsecond()), (Status::Failure, 9_000_000));
    assert!(over.error.unwrap().what.contains("interrupted"));
    let waiting = state.waiting("main").unwrap();
    assert_eq!((waiting.len(), waiting[0].id, waiting[0].request.as_ref()), (1, backfill, Some(&request)));
    let all = state.syncs(&HistoryFilter::default()).unwrap();
    assert_eq!(all.iter().map(|sync| sync.id).collect::<Vec<_>>(), [backfill, sync.id], "the newest first");
    let of = |warehouse: &str| HistoryFilter { warehouse: Some(warehouse.into()), ..HistoryFilter::default() };
    assert_eq!(state.syncs(&of("other")).unwrap(), []);
    assert_eq!(state.last_run("main", "default").unwrap().unwrap().id, sync.id);
    state.prune(2_000_000).unwrap();
    assert_eq!(state.sync(sync.id).unwrap(), None, "old rows go");
}

#[test]
fn switches_are_kept_for_each_warehouse() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    let (vip, plan) = (Item::computation("vip"), Item::column("users.plan"));
    state.switch("main", &[vip.clone(), plan.clone()], &[], 1).unwrap();
    state.switch("main", std::slice::from_ref(&vip), &[plan], 2).unwrap();
    assert_eq!(state.switches("main").unwrap(), off(&[vip]));
    assert_eq!(state.switches("other").unwrap(), Off::default());
}

#[test]
fn a_later_version_and_a_damaged_file_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    state.change(|state| state.pragma_update(None, "user_version", 99)).unwrap();
    drop(state);
    let error = State::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("later version"), "{error}");
    std::fs::write(dir.path().join(FILE), b"not a database, but long enough to be taken for one").unwrap();
    let error = State::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.remedy().contains("backup"));
}
