//! Where events come from, which decides what an event gets that brought no id or no time of its own.

use crate::hash::{hash, hash_parts, high64};
use rustc_hash::FxHashMap;

/// A source of events: a file, which can be read again, or a stream, which cannot.
#[derive(Debug)]
pub struct Origin {
    name: String,
    kind: Kind,
    calls: u64,
    seen: FxHashMap<u64, u32>,
}

#[derive(Debug)]
enum Kind {
    File { modified: i64 },
    Stream { seed: u128, last: i64 },
}

impl Origin {
    /// A file: the same bytes under the same name get the same ids and times on every reading.
    ///
    /// `modified` is the file's modification time in µs since 1970.
    pub fn file(name: impl Into<String>, modified: i64) -> Self {
        Origin { name: name.into(), kind: Kind::File { modified }, calls: 0, seen: FxHashMap::default() }
    }

    /// A stream: ids are made from `seed`, which must be random, and times from [`Origin::tick`].
    pub fn stream(name: impl Into<String>, seed: u128) -> Self {
        Origin { name: name.into(), kind: Kind::Stream { seed, last: 0 }, calls: 0, seen: FxHashMap::default() }
    }

    /// The name, as the ledger has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells a stream what time it is, in µs since 1970. Its stamps strictly increase even if the clock does not.
    pub fn tick(&mut self, now: i64) {
        if let Kind::Stream { last, .. } = &mut self.kind {
            *last = now.max(*last);
        }
    }

    /// Counts a call and gives the time it gets if it has none.
    pub(crate) fn next_call(&mut self) -> i64 {
        self.calls += 1;
        match &mut self.kind {
            Kind::File { modified } => modified.saturating_add(i64::try_from(self.calls).unwrap_or(i64::MAX)),
            Kind::Stream { last, .. } => {
                *last += 1;
                *last
            }
        }
    }

    /// The id of a call that has none: for a file, of its bytes and its ordinal among equal ones.
    pub(crate) fn id_for(&mut self, bytes: &[u8]) -> u128 {
        match self.kind {
            Kind::Stream { seed, .. } => hash_parts(&[&seed.to_le_bytes(), &self.calls.to_le_bytes()]),
            Kind::File { .. } => {
                let content = hash(bytes);
                let ordinal = self.seen.entry(high64(content)).or_insert(0);
                *ordinal += 1;
                hash_parts(&[self.name.as_bytes(), &content.to_le_bytes(), &ordinal.to_le_bytes()])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_the_same_again_and_tells_equal_lines_apart() {
        let ids = |order: &[&[u8]]| {
            let mut origin = Origin::file("a.ndjson", 5);
            let mut ids: Vec<u128> = order.iter().map(|line| origin.id_for(line)).collect();
            ids.sort_unstable();
            ids
        };
        let first = ids(&[b"x", b"y", b"x"]);
        assert_eq!(first, ids(&[b"x", b"x", b"y"]), "only equal lines are numbered, so order does not matter");
        assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
        let mut other = Origin::file("b.ndjson", 5);
        assert!(!first.contains(&other.id_for(b"x")));
        assert_eq!((other.next_call(), other.next_call()), (6, 7));
    }

    #[test]
    fn a_stream_strictly_increases_even_when_the_clock_goes_back() {
        let mut origin = Origin::stream("stdin", 7);
        let mut last = 0;
        for now in [100, 100, 50, 101, 101, 300] {
            origin.tick(now);
            let at = origin.next_call();
            assert!(at > last);
            last = at;
        }
        let a = origin.id_for(b"x");
        origin.next_call();
        assert_ne!(a, origin.id_for(b"x"), "equal lines of a stream are different events");
    }
}
