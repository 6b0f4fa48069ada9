//! Computations out: what a platform says of its audiences and traits becomes the calls that they are configured to send.
//!
//! ```
//! use tablecast_server::emit::{Audience, Change, Computations};
//!
//! let audience = Audience { key: Some("first_time_shopper".into()), track: false, ..Audience::default() };
//! let computations = Computations::new([audience.of("default")?]);
//! let change: Change = serde_json::from_str(r#"{"computation": "first_time_shopper", "userId": "u123", "value": true}"#)?;
//! let calls = computations.calls("default", &change, "2026-01-01T00:00:00.000000Z")?;
//! assert!(calls[0].contains(r#""traits":{"first_time_shopper":true}"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod calls;
mod http;
mod settings;
#[cfg(test)]
mod tests;

pub use calls::{Change, Device, MAX_CHANGES, MAX_DEVICES, Wrong, changes};
pub use http::{Door, router};
pub use settings::{Audience, Computation, Kind, Refused, Trait};

use std::collections::BTreeMap;
use tablecast::Type;

/// Every audience and trait, by space and key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Computations(BTreeMap<(String, String), Computation>);

impl Computations {
    /// Of two with the same space and key the later one counts.
    pub fn new(all: impl IntoIterator<Item = Computation>) -> Self {
        Computations(all.into_iter().map(|one| ((one.space.clone(), one.key.clone()), one)).collect())
    }

    /// One of them.
    pub fn get(&self, space: &str, key: &str) -> Option<&Computation> {
        self.0.get(&(space.to_owned(), key.to_owned()))
    }

    /// All of them, by space and key.
    pub fn all(&self) -> impl Iterator<Item = &Computation> {
        self.0.values()
    }

    /// The types that columns of a space have by their computations: for `Rules.types` of every warehouse.
    pub fn types(&self, space: &str) -> BTreeMap<String, Type> {
        let own = self.all().filter(|computation| computation.space == space);
        own.filter_map(|computation| {
            let name = tablecast::core::ident::snake_case(&computation.key);
            Some((name, computation.ty?)).filter(|(name, _)| !name.is_empty())
        })
        .collect()
    }
}
