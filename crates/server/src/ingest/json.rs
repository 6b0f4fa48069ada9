//! JSON as it was written: the members of an object, with their values byte for byte.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A value as it was written.
pub(crate) type Raw<'j> = &'j RawValue;

/// The members of an object, in order; a key may stand twice.
#[derive(Debug)]
pub(crate) struct Members<'j>(pub(crate) Vec<(Cow<'j, str>, Raw<'j>)>);

/// A key, borrowed if nothing in it was escaped.
#[derive(serde::Deserialize)]
struct Key<'j>(#[serde(borrow)] Cow<'j, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                // A body may have very many calls with hardly a member.
                let mut members = Vec::new();
                while let Some(Key(key)) = map.next_key()? {
                    members.push((key, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'j> Members<'j> {
    /// The members of a value, if it is an object.
    pub(crate) fn of(raw: Raw<'j>) -> Option<Self> {
        if raw.get().starts_with('{') { serde_json::from_str(raw.get()).ok() } else { None }
    }

    /// The value that counts: the last one that is not null, as the planner has it.
    pub(crate) fn get(&self, key: &str) -> Option<Raw<'j>> {
        self.0.iter().rev().find(|(own, raw)| own == key && raw.get() != "null").map(|(_, raw)| *raw)
    }

    /// A member's text, if it is a string.
    pub(crate) fn text(&self, key: &str) -> Option<Cow<'j, str>> {
        self.get(key).and_then(text)
    }

    /// Whether there is such a member, null or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(own, _)| own == key)
    }
}

/// The text of a string.
pub(crate) fn text(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Key>(raw.get()).ok().map(|Key(text)| text)
}

/// An array's values.
pub(crate) fn array(raw: Raw<'_>) -> Option<Vec<Raw<'_>>> {
    if raw.get().starts_with('[') { serde_json::from_str(raw.get()).ok() } else { None }
}

/// Writes an object, member by member.
#[derive(Debug)]
pub(crate) struct Object<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> Object<'o> {
    pub(crate) fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Object { out, empty: true }
    }

    /// Goes on with an object that has members and is not closed.
    pub(crate) fn goes_on(out: &'o mut Vec<u8>) -> Self {
        Object { out, empty: false }
    }

    /// Writes a key; its value comes next.
    pub(crate) fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        push_text(self.out, key);
        self.out.push(b':');
        self.out
    }

    pub(crate) fn raw(&mut self, key: &str, value: &str) {
        self.key(key).extend_from_slice(value.as_bytes());
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        let out = self.key(key);
        push_text(out, value);
    }

    pub(crate) fn end(self) {
        self.out.push(b'}');
    }
}

/// Writes a string with its quotes.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    let plain = text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing into memory does not fail.
        let _ = serde_json::to_writer(out, text);
    }
}
