//! The ids of calls that were taken in the last day, so that a call that is sent again is not taken again.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use xxhash_rust::xxh3::xxh3_128;

const HOUR: i64 = 3600 * 1_000_000;
/// Hours that are remembered besides the one that runs.
const HOURS: i64 = 24;

/// The hash of an id as all tables have it.
pub(crate) fn hash(id: &str) -> u128 {
    xxh3_128(id.as_bytes())
}

/// The ids are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks_exact(8) {
            self.0 ^= chunk.try_into().map_or(0, u64::from_ne_bytes);
        }
    }
}

type Set = HashSet<u128, BuildHasherDefault<Same>>;

/// Ids by the hour in which they came.
///
/// An id takes about 17 to 34 bytes. Beyond `most` of them the oldest are forgotten early.
#[derive(Debug)]
pub(crate) struct Remembered {
    hours: VecDeque<(i64, Set)>,
    held: usize,
    most: usize,
}

impl Remembered {
    pub(crate) fn new(most: usize) -> Self {
        Remembered { hours: VecDeque::new(), held: 0, most }
    }

    pub(crate) fn has(&self, id: u128) -> bool {
        // What is sent again was mostly sent just now.
        self.hours.iter().rev().any(|(_, ids)| ids.contains(&id))
    }

    /// Remembers ids of calls that are durable, received at a time in µs.
    pub(crate) fn add(&mut self, received_at: i64, ids: impl IntoIterator<Item = u128>) {
        let hour = received_at.div_euclid(HOUR);
        while self.hours.front().is_some_and(|(oldest, _)| *oldest < hour - HOURS) {
            self.drop_oldest();
        }
        // An hour with very many is several sets, so that what goes is an eighth at most.
        if self.hours.back().is_none_or(|(newest, set)| *newest < hour || set.len() >= self.most / 8) {
            self.hours.push_back((hour, Set::default()));
        }
        if let Some((_, set)) = self.hours.back_mut() {
            let before = set.len();
            set.extend(ids);
            self.held += set.len() - before;
        }
        while self.held > self.most && !self.hours.is_empty() {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        self.held -= self.hours.pop_front().map_or(0, |(_, set)| set.len());
    }

    /// Ids that are remembered.
    pub(crate) fn len(&self) -> usize {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_for_a_day_at_least() {
        let mut ids = Remembered::new(1_000);
        ids.add(HOUR * 100 + HOUR - 1, [hash("a")]);
        for hour in 101..=124 {
            ids.add(HOUR * hour, [hash(&hour.to_string())]);
            assert!(ids.has(hash("a")), "{hour}");
        }
        ids.add(HOUR * 125, []);
        assert!(!ids.has(hash("a")));
        assert!(ids.has(hash("101")) && !ids.has(hash("b")));
        assert_eq!(ids.len(), 24);
        // The clock went back: it is the hour that runs all the same.
        ids.add(HOUR, [hash("b")]);
        assert!(ids.has(hash("b")));
    }

    #[test]
    fn memory_is_bounded() {
        let mut ids = Remembered::new(100);
        for n in 0..1_000 {
            ids.add(HOUR * (n / 50), [hash(&n.to_string())]);
            assert!(ids.len() <= 100);
        }
        assert!(ids.has(hash("999")) && !ids.has(hash("0")));
        for n in 0..1_000 {
            ids.add(HOUR * 30, [hash(&format!("busy {n}"))]);
        }
        assert!((80..=100).contains(&ids.len()), "of a busy hour the newest are known: {}", ids.len());
        assert!(ids.has(hash("busy 999")) && !ids.has(hash("busy 0")));
    }
}
