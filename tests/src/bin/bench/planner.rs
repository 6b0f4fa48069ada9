//! The planner: NDJSON bytes to Arrow batches, one thread, no warehouse.

use crate::{RUNS, compare, made, timed};
use std::hint::black_box;
use tablecast_core::memory::DIALECT;
use tablecast_core::{Catalog, Draft, Rules};

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(line)
    })
}

/// `identifies`, `tracks`, event tables and folded `users`; not `identities`, which is another job.
fn rules() -> Rules {
    Rules { identities: false, ..Rules::default() }
}

/// Plans all lines against an empty catalog advanced by its own changes, cut as a load cuts. The draft is
/// used again, as a load uses it.
fn plan(draft: &mut Draft, bytes: &[u8]) -> usize {
    let mut live = Catalog::default();
    let mut rows = 0;
    let mut cut = |draft: &mut Draft| {
        let plan = draft.plan(&live);
        live.advance(&plan.changes);
        rows += plan.commits.iter().flat_map(|commit| &commit.loads).map(|load| black_box(load).rows()).sum::<usize>();
        draft.clear();
    };
    for line in lines(bytes) {
        draft.push_line(line);
        if draft.is_full() {
            cut(draft);
        }
    }
    cut(draft);
    rows
}

fn parse(bytes: &[u8]) {
    for line in lines(bytes) {
        // A broken line is an error on both sides.
        let _ = black_box(sonic_rs::from_slice::<sonic_rs::Value>(line));
    }
}

/// Against parsing the same bytes to a DOM. Small inputs are taken several times, so that a timing is not too short.
pub(crate) fn against_a_parser(what: &str, bytes: &[u8]) {
    let times = (10_000_000 / bytes.len()).max(1);
    let mut draft = Draft::new(&rules(), &DIALECT);
    compare(&format!("plan {what} / sonic-rs parses them to its DOM"), "must <= 6x, aim <= 3x", RUNS, || {
        let (theirs, ()) = timed(|| (0..times).for_each(|_| parse(bytes)));
        let (ours, rows) = timed(|| (0..times).map(|_| plan(&mut draft, bytes)).sum::<usize>());
        assert!(rows > 0, "nothing was planned");
        (ours, theirs)
    });
}

/// The same number of events over ten times as many traits.
pub(crate) fn with_more_traits() {
    let (few, many) = (made::made(20_000, 100, 2_000), made::made(20_000, 1_000, 2_000));
    let (mut a, mut b) = (Draft::new(&rules(), &DIALECT), Draft::new(&rules(), &DIALECT));
    compare("plan 20,000 calls over 1,000 traits / over 100", "must <= 1.5x", RUNS, || {
        (timed(|| plan(&mut a, &many)).0, timed(|| plan(&mut b, &few)).0)
    });
}

/// Ten times the events.
pub(crate) fn with_more_events() {
    let (few, many) = (made::made(20_000, 100, 2_000), made::made(200_000, 100, 2_000));
    let (mut a, mut b) = (Draft::new(&rules(), &DIALECT), Draft::new(&rules(), &DIALECT));
    compare("plan 200,000 calls / 20,000 calls", "must <= 12x", 5, || {
        (timed(|| plan(&mut a, &many)).0, timed(|| plan(&mut b, &few)).0)
    });
}
