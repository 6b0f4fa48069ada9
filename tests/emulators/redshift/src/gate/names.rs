//! Names of up to 127 bytes, in a PostgreSQL that cuts them at 63.
//!
//! A longer name is stored as its beginning, `~`, and 16 digits of its hash. The session writes each pair
//! into `rs_emu.names`, which the catalog views join, and turns short names back in what it answers.

use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Mutex;

/// "Names and identifiers": identifiers have at most 127 bytes, and longer ones are cut.
const REDSHIFT: usize = 127;
/// What PostgreSQL holds.
const POSTGRES: usize = 63;
/// What a stored name keeps of a long one.
const KEPT: usize = 40;
const MARK: char = '~';
const DIGITS: usize = 16;

/// The long names of one database.
#[derive(Debug, Default)]
pub(crate) struct Names {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Long by short.
    known: HashMap<String, String>,
    /// Short names that the database does not know yet.
    fresh: Vec<String>,
}

impl Names {
    /// What PostgreSQL calls it.
    pub(crate) fn short(&self, name: &str) -> String {
        if name.len() <= POSTGRES {
            return name.to_owned();
        }
        let mut short = format!("{}{MARK}", at_most(name, KEPT));
        for byte in Sha256::digest(name.as_bytes()).iter().take(DIGITS / 2) {
            let _ = write!(short, "{byte:02x}");
        }
        let mut inner = self.lock();
        if inner.known.insert(short.clone(), name.to_owned()).is_none() {
            inner.fresh.push(short.clone());
        }
        short
    }

    /// What the client calls it.
    pub(crate) fn long(&self, short: &str) -> String {
        if short.contains(MARK) { self.lock().known.get(short).cloned() } else { None }
            .unwrap_or_else(|| short.to_owned())
    }

    /// A text with all short names made long.
    pub(crate) fn restore(&self, text: &str) -> String {
        if !text.contains(MARK) {
            return text.to_owned();
        }
        let inner = self.lock();
        inner.known.iter().fold(text.to_owned(), |text, (short, long)| text.replace(short, long))
    }

    /// The pairs (short, long) that the database does not know yet.
    pub(crate) fn take_fresh(&self) -> Vec<(String, String)> {
        let mut inner = self.lock();
        let fresh = std::mem::take(&mut inner.fresh);
        fresh.into_iter().filter_map(|short| inner.known.get(&short).cloned().map(|long| (short, long))).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What Redshift makes of a name: at most 127 bytes, whole characters.
pub(super) fn cut(name: &str) -> String {
    at_most(name, REDSHIFT).to_owned()
}

fn at_most(name: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(name.len())).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_fit_and_come_back() {
        let names = Names::default();
        assert_eq!(names.short(&"a".repeat(63)), "a".repeat(63));
        let (one, two) = (format!("{}1", "ä".repeat(60)), format!("{}2", "ä".repeat(60)));
        let (short, other) = (names.short(&one), names.short(&two));
        assert!(short.len() <= 63 && short != other);
        assert_eq!(names.long(&short), one);
        assert_eq!(names.restore(&format!("column \"{short}\" is there")), format!("column \"{one}\" is there"));
        assert_eq!(names.take_fresh().len(), 2);
        assert_eq!(names.short(&one), short);
        assert_eq!(names.take_fresh(), []);
        assert_eq!(cut(&"x".repeat(130)), "x".repeat(127));
    }
}
