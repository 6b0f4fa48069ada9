//! When a warehouse is due in a space: by its schedule, and after failures.

use crate::config::Schedule;
use crate::sync::clock::moment;
use tablecast::Error;

const SECOND: i64 = 1_000_000;
/// The first wait after a failure that may pass by itself; it doubles from there.
const SOON: i64 = 60 * SECOND;
/// The first wait after another failure.
const LATER: i64 = 300 * SECOND;
/// The longest wait.
const LONGEST: i64 = 3_600 * SECOND;

/// A warehouse in a space, as its task sees it. Times in µs since 1970.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) schedule: Schedule,
    /// The next beginning by the schedule.
    pub(super) slot: i64,
    /// Before that, after a failure.
    pub(super) retry: Option<i64>,
    pub(super) failures: u32,
    pub(super) fill: Aside,
    pub(super) backfill: Aside,
}

/// Fills, or backfills: what is done aside from the schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Aside {
    /// Nothing before.
    pub(super) at: i64,
    pub(super) failures: u32,
}

impl Aside {
    pub(super) fn failed(&mut self, now: i64, error: &Error) {
        self.failures += 1;
        self.at = now.saturating_add(back_off(self.failures, error));
    }
}

impl Unit {
    pub(super) fn due(&self) -> i64 {
        self.retry.map_or(self.slot, |retry| retry.min(self.slot))
    }

    /// What was planned by a clock that was set back since would come too late. Whether it was so.
    pub(super) fn bound(&mut self, now: i64) -> bool {
        let before = (self.slot, self.retry, self.fill, self.backfill);
        let longest = now.saturating_add(LONGEST);
        self.slot = self.slot.min(self.schedule.after(moment(now)).as_microsecond());
        self.retry = self.retry.map(|retry| retry.min(longest));
        self.fill.at = self.fill.at.min(longest);
        self.backfill.at = self.backfill.at.min(longest);
        before != (self.slot, self.retry, self.fill, self.backfill)
    }

    /// When to look again.
    pub(super) fn next(&self, now: i64) -> i64 {
        [self.fill.at, self.backfill.at].into_iter().filter(|at| *at > now).fold(self.due(), i64::min)
    }

    /// How often in a row what failed last has failed.
    pub(super) fn all_failures(&self) -> u32 {
        self.failures.max(self.fill.failures).max(self.backfill.failures)
    }
}

/// The wait after so many failures.
pub(super) fn back_off(failures: u32, error: &Error) -> i64 {
    let first = if error.is_temporary() { SOON } else { LATER };
    let doubled = 1_i64.checked_shl(failures - 1).map_or(LONGEST, |factor| first.saturating_mul(factor));
    doubled.clamp(first, LONGEST)
}
