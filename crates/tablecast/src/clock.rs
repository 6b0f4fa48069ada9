//! The outside world that the planner does not know: the clock, and chance.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment in µs since 1970; before it, negative.
pub(crate) fn micros(at: SystemTime) -> i64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |before| -before),
    }
}

/// Now, in µs since 1970.
pub(crate) fn now() -> i64 {
    micros(SystemTime::now())
}

/// 128 bits that no other stream has: the keys of a `RandomState` come from the operating system.
pub(crate) fn seed() -> u128 {
    let state = RandomState::new();
    let half = |salt: u8| u128::from(state.hash_one((salt, now(), std::process::id())));
    half(0) << 64 | half(1)
}
