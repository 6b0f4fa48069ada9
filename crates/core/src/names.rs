//! Which column a path leads to, remembered: each name is worked out once, however many events carry it.

use crate::dialect::Dialect;
use crate::event::Span;
use crate::ident::{Ident, Section, column_name};
use hashbrown::HashTable;
use rustc_hash::{FxHashMap, FxHasher};
use std::hash::Hasher;

/// A place in a section: the section itself, or the value behind a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

/// A column's name, as a small number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name(pub(crate) u32);

const NONE: u32 = u32::MAX;

/// The places seen so far, as a tree. Events repeat their shape, so each place remembers which key came
/// next the last time; only a surprise is looked up.
#[derive(Debug)]
pub(crate) struct Names {
    dialect: &'static Dialect,
    places: Vec<Node>,
    index: HashTable<u32>,
    keys: String,
    idents: Vec<Ident>,
    by_ident: FxHashMap<Ident, u32>,
}

#[derive(Debug)]
struct Node {
    parent: u32,
    key: Span,
    name: u32,
    first: u32,
    next: u32,
}

impl Names {
    pub(crate) fn new(dialect: &'static Dialect) -> Self {
        let mut names = Names {
            dialect,
            places: Vec::new(),
            index: HashTable::new(),
            keys: String::new(),
            idents: Vec::new(),
            by_ident: FxHashMap::default(),
        };
        for _ in 0..3 {
            names.push(NONE, Span::default());
        }
        names
    }

    /// Places that are remembered; the caller starts anew when there are too many.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Text that is remembered.
    pub(crate) fn key_bytes(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn root(section: Section) -> Place {
        Place(match section {
            Section::Context => 0,
            Section::Body => 1,
            Section::ViewBody => 2,
        })
    }

    /// The place behind `key` under `parent`; `before` is the place of the key in front of it.
    #[inline]
    pub(crate) fn child(&mut self, parent: Place, before: Option<Place>, key: &str) -> Place {
        let guess = match before {
            Some(before) => self.places[before.0 as usize].next,
            None => self.places[parent.0 as usize].first,
        };
        if let Some(node) = self.places.get(guess as usize)
            && node.parent == parent.0
            && node.key.of(&self.keys) == key
        {
            return Place(guess);
        }
        let found = self.look_up(parent, key);
        match before {
            Some(before) => self.places[before.0 as usize].next = found.0,
            None => self.places[parent.0 as usize].first = found.0,
        }
        found
    }

    fn look_up(&mut self, parent: Place, key: &str) -> Place {
        let hash = hash_of(parent.0, key);
        let Names { places, index, keys, .. } = self;
        let same = |&at: &u32| {
            let node = &places[at as usize];
            node.parent == parent.0 && node.key.of(keys) == key
        };
        if let Some(&at) = index.find(hash, same) {
            return Place(at);
        }
        let start = self.keys.len();
        self.keys.push_str(key);
        let key = Span::since(start, &self.keys);
        let place = self.push(parent.0, key);
        let Names { places, index, keys, .. } = self;
        index.insert_unique(hash, place.0, |&at| {
            let node = &places[at as usize];
            hash_of(node.parent, node.key.of(keys))
        });
        place
    }

    fn push(&mut self, parent: u32, key: Span) -> Place {
        let place = u32::try_from(self.places.len()).unwrap_or(NONE);
        self.places.push(Node { parent, key, name: NONE, first: NONE, next: NONE });
        Place(place)
    }

    /// The column that a value at `place` goes to.
    #[inline]
    pub(crate) fn name(&mut self, place: Place) -> Name {
        let known = self.places[place.0 as usize].name;
        if known != NONE { Name(known) } else { self.work_out(place) }
    }

    fn work_out(&mut self, place: Place) -> Name {
        let (section, path) = self.path(place);
        let ident = column_name(section, &path, self.dialect);
        let fresh = u32::try_from(self.idents.len()).unwrap_or(NONE);
        let name = *self.by_ident.entry(ident.clone()).or_insert(fresh);
        if name == fresh {
            self.idents.push(ident);
        }
        self.places[place.0 as usize].name = name;
        Name(name)
    }

    /// The section and the keys that lead to a place.
    fn path(&self, place: Place) -> (Section, Vec<&str>) {
        let mut path = Vec::new();
        let mut at = place.0;
        while self.places[at as usize].parent != NONE {
            let node = &self.places[at as usize];
            path.push(node.key.of(&self.keys));
            at = node.parent;
        }
        path.reverse();
        let section = [Section::Context, Section::Body, Section::ViewBody][at as usize];
        (section, path)
    }

    /// The keys that lead to a place, for `_discards`.
    pub(crate) fn path_text(&self, place: Place) -> String {
        self.path(place).1.join(".")
    }

    pub(crate) fn ident(&self, name: Name) -> &Ident {
        &self.idents[name.0 as usize]
    }
}

fn hash_of(parent: u32, key: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write_u32(parent);
    hasher.write(key.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::DIALECT;

    #[test]
    fn the_same_path_is_the_same_place_in_any_order() {
        let mut names = Names::new(&DIALECT);
        let body = Names::root(Section::Body);
        let a = names.child(body, None, "a");
        let b = names.child(body, Some(a), "b");
        let first_name = names.child(body, Some(b), "firstName");
        let nested = names.child(a, None, "x y");
        assert_eq!(names.child(body, None, "b"), b);
        assert_eq!(names.child(body, Some(b), "a"), a);
        assert_eq!(names.child(a, Some(b), "x y"), nested);
        let name = names.name(nested);
        assert_eq!(*names.ident(name), "a_x_y");
        let other = names.child(body, None, "first_name");
        assert_ne!(other, first_name);
        assert_eq!(names.name(other), names.name(first_name), "two spellings, one column");
        let context = names.child(Names::root(Section::Context), None, "a");
        assert_ne!(names.name(context), names.name(a));
        assert_eq!(names.path_text(nested), "a.x y");
    }
}
