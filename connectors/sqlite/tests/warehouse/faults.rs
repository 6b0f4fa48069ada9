//! A crash at every step, a lost answer, two writers: again is safe.

use crate::support::*;
use tablecast_core::testing::Row;
use tablecast_core::{Change, Commit, ErrorKind, Type, Warehouse};
use tablecast_sqlite::Sqlite;

fn changes() -> Vec<Change> {
    let mut all = vec![events("e", &[("n", Type::Int)])];
    all.extend(users_with(&["a", "b"]));
    all
}

fn first() -> Commit {
    commit(
        1,
        vec![
            append("e", &["a"], &[("n", Type::Int, ints(&[Some(i64::MAX)]))]),
            users(&["u"], &[("a", &[Some((5, Some(1)))])]),
        ],
    )
}

fn second() -> Commit {
    let values = floats(&[Some(1.5), Some(2.5), Some(3.5)]);
    let traits: [(&str, &[Mark]); 2] =
        [("a", &[Some((4, Some(9))), Some((4, None))]), ("b", &[None, Some((4, Some(2)))])];
    let mut second =
        commit(2, vec![append("e", &["a", "b", "c"], &[("n", Type::Float, values)]), users(&["u", "v"], &traits)]);
    second.schema_version = 1;
    second
}

fn state(sqlite: &Sqlite) -> Vec<Vec<Row>> {
    let mut ledger = rows(sqlite, "_commits");
    for row in &mut ledger {
        ["nonce", "committed_at", "duration_ms"].iter().for_each(|name| drop(row.remove(*name)));
    }
    let mut all: Vec<Vec<Row>> =
        ["e", "users", "_users_versions", "_discards", "_lock"].iter().map(|table| rows(sqlite, table)).collect();
    ledger.sort();
    all.push(ledger);
    all
}

/// Calls until it works, failing one step later each time; how often it failed.
fn crash_everywhere(
    sqlite: &Sqlite,
    mut call: impl FnMut() -> tablecast_core::Result<()>,
    mut unchanged: impl FnMut(&Sqlite),
) -> u64 {
    for step in 1.. {
        sqlite.fail_at_step(step);
        match call() {
            Ok(()) => return step - 1,
            Err(error) => {
                assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error:?}");
                unchanged(sqlite);
            }
        }
    }
    unreachable!("steps end")
}

#[test]
fn a_crash_at_every_step_then_again_gives_the_same_tables() {
    let widening = [widen("e", "n", Type::Int, Type::Float)];
    let (calm, _directory) = ready(changes());
    now(calm.commit(&first())).unwrap();
    let after_first = state(&calm);
    now(calm.apply(&widening)).unwrap();
    let after_apply = state(&calm);
    now(calm.commit(&second())).unwrap();
    let after_second = state(&calm);

    let directory = tempfile::tempdir().unwrap();
    let sqlite = open(&directory);
    let mut all = system();
    all.extend(changes());
    let steps = crash_everywhere(&sqlite, || now(sqlite.apply(&all)), |_| ());
    assert!(steps > 10, "{steps}");
    let empty = state(&sqlite);
    let steps =
        crash_everywhere(&sqlite, || now(sqlite.commit(&first())).map(drop), |sqlite| assert_eq!(state(sqlite), empty));
    assert!(steps > 15, "{steps}");
    assert_eq!(state(&sqlite), after_first);
    let steps =
        crash_everywhere(&sqlite, || now(sqlite.apply(&widening)), |sqlite| assert_eq!(state(sqlite), after_first));
    assert!(steps > 8, "{steps}");
    assert_eq!(state(&sqlite), after_apply);
    let steps = crash_everywhere(
        &sqlite,
        || now(sqlite.commit(&second())).map(drop),
        |sqlite| assert_eq!(state(sqlite), after_apply),
    );
    assert!(steps > 20, "{steps}");
    assert_eq!(state(&sqlite), after_second);
}

#[test]
fn a_lost_answer_is_a_replay() {
    let (sqlite, _directory) = ready(changes());
    sqlite.lose_answer();
    let error = now(sqlite.commit(&first())).unwrap_err();
    assert!(error.is_temporary());
    let before = state(&sqlite);
    assert_eq!(before[0].len(), 1, "it is there");
    let receipt = now(sqlite.commit(&first())).unwrap();
    assert!(receipt.replayed);
    assert_eq!(receipt.tables[0].1.loaded, 1);
    assert_eq!(state(&sqlite), before);

    sqlite.lose_answer();
    let widening = [widen("e", "n", Type::Int, Type::Float)];
    assert!(now(sqlite.apply(&widening)).is_err());
    now(sqlite.apply(&widening)).unwrap();
    assert_eq!(now(sqlite.describe(&[])).unwrap().version, 1);
    assert_eq!(rows(&sqlite, "_discards").len(), 1);
}

#[test]
fn writers_at_once_load_every_event_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut all = system();
    all.extend(changes());
    std::thread::scope(|scope| {
        for writer in 0..4_u128 {
            let (all, directory) = (&all, &directory);
            scope.spawn(move || {
                let sqlite = open(directory);
                now(sqlite.apply(all)).unwrap();
                for round in 0..10_u128 {
                    // Two writers each load the same events, as the same commit or as another one.
                    let ids: Vec<String> = (0..20).map(|at| format!("{}-{round}-{at}", writer / 2)).collect();
                    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                    let id = if round % 2 == 0 { 1_000 * writer + round } else { 1_000 * (writer / 2) + round };
                    let version = i128::try_from(writer * 100 + round).unwrap();
                    let loads = vec![
                        append("e", &ids, &[]),
                        users(&["u"], &[("a", &[Some((version, i64::try_from(version).ok()))])]),
                    ];
                    now(sqlite.commit(&commit(id, loads))).unwrap();
                }
            });
        }
    });
    let sqlite = open(&directory);
    assert_eq!(rows(&sqlite, "e").len(), 2 * 10 * 20);
    // Every ledger row adds up, and what they say was loaded is what is there.
    let loaded: usize = rows(&sqlite, "_commits")
        .iter()
        .filter(|row| row["table_name"] == "e")
        .map(|row| row["loaded"].parse::<usize>().unwrap())
        .sum();
    assert_eq!(loaded, 2 * 10 * 20);
    assert_eq!(cell(&sqlite, "_users_versions", "u", "a"), cell(&sqlite, "users", "u", "a"));
}

#[test]
fn a_lock_that_is_held_is_a_temporary_conflict() {
    let (patient, directory) = ready(changes());
    let hasty = open_with(&directory, tablecast_sqlite::Options { busy_timeout_ms: 20, ..Default::default() });
    let holder = by_hand(&patient);
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    for error in [now(hasty.commit(&first())).unwrap_err(), now(hasty.apply(&[add("e", "x", Type::Int)])).unwrap_err()]
    {
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Conflict, true), "{error:?}");
    }
    now(hasty.describe(&["e".into()])).unwrap();
    holder.execute_batch("COMMIT").unwrap();
    now(hasty.commit(&first())).unwrap();
}

#[test]
fn readers_see_all_of_a_commit_or_nothing() {
    let (sqlite, _directory) = ready(changes());
    let reader = by_hand(&sqlite);
    reader.execute_batch("BEGIN").unwrap();
    let count = |table: &str| {
        reader.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(count("e"), 0);
    now(sqlite.commit(&first())).unwrap();
    assert_eq!((count("e"), count("users")), (0, 0), "an open reader is not disturbed and sees one state");
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!((count("e"), count("users")), (1, 1));
}
