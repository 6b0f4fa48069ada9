//! `[[audience]]` and `[[trait]]`: what a computation sends, and where to.

use serde::Deserialize;
use tablecast::Type;

/// An `[[audience]]` as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audience {
    /// Its key: the column, and the `audience_key` of its events.
    pub key: Option<String>,
    /// Its space; by default that of the first source.
    pub space: Option<String>,
    /// The `computation_id` of its calls; by default `aud_` and the key.
    pub id: Option<String>,
    /// Whether an identify call is sent.
    pub identify: bool,
    /// Whether a track call is sent.
    pub track: bool,
    /// Whether one more call is sent for each mobile id.
    pub mobile_ids: bool,
    /// The event of who enters.
    pub entered: String,
    /// The event of who leaves.
    pub exited: String,
    /// The warehouses that get the calls; by default all.
    pub warehouses: Option<Vec<String>>,
}

impl Default for Audience {
    fn default() -> Self {
        Audience {
            key: None,
            space: None,
            id: None,
            identify: true,
            track: true,
            mobile_ids: false,
            entered: "Audience Entered".to_owned(),
            exited: "Audience Exited".to_owned(),
            warehouses: None,
        }
    }
}

/// A `[[trait]]` as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trait {
    /// Its key: the column, and the `trait_key` of its events.
    pub key: Option<String>,
    /// Its space; by default that of the first source.
    pub space: Option<String>,
    /// The `computation_id` of its calls; by default `tra_` and the key.
    pub id: Option<String>,
    /// Whether an identify call is sent.
    pub identify: bool,
    /// Whether a track call is sent.
    pub track: bool,
    /// Whether one more call is sent for each mobile id.
    pub mobile_ids: bool,
    /// The event of a value.
    pub event: String,
    /// The type of its column; by default what its values ask for.
    #[serde(rename = "type")]
    pub ty: Option<Type>,
    /// The warehouses that get the calls; by default all.
    pub warehouses: Option<Vec<String>>,
}

impl Default for Trait {
    fn default() -> Self {
        Trait {
            key: None,
            space: None,
            id: None,
            identify: true,
            track: true,
            mobile_ids: false,
            event: "Trait Computed".to_owned(),
            ty: None,
            warehouses: None,
        }
    }
}

/// What a computation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who is in it; the events of who enters and who leaves.
    Audience {
        /// The event of who enters.
        entered: String,
        /// The event of who leaves.
        exited: String,
    },
    /// A value; its event.
    Trait {
        /// The event of a value.
        event: String,
    },
}

/// An audience or a trait, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Computation {
    /// Its space.
    pub space: String,
    /// Its key.
    pub key: String,
    /// The `computation_id` of its calls.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// Whether an identify call is sent.
    pub identify: bool,
    /// Whether a track call is sent.
    pub track: bool,
    /// Whether one more call is sent for each mobile id.
    pub mobile_ids: bool,
    /// The type of its column.
    pub ty: Option<Type>,
    /// The warehouses that get the calls; all if none are named.
    pub warehouses: Option<Vec<String>>,
}

impl Audience {
    /// Checks it; `space` is where it belongs if it names none.
    pub fn of(self, space: &str) -> Result<Computation, Refused> {
        let key = check_key(self.key)?;
        for (name, event) in [("entered", &self.entered), ("exited", &self.exited)] {
            check_event(name, event)?;
        }
        let computation = Computation {
            space: self.space.unwrap_or_else(|| space.to_owned()),
            id: self.id.unwrap_or_else(|| format!("aud_{key}")),
            key,
            kind: Kind::Audience { entered: self.entered, exited: self.exited },
            identify: self.identify,
            track: self.track,
            mobile_ids: self.mobile_ids,
            ty: Some(Type::Boolean),
            warehouses: self.warehouses,
        };
        computation.checked()
    }
}

impl Trait {
    /// Checks it; `space` is where it belongs if it names none.
    pub fn of(self, space: &str) -> Result<Computation, Refused> {
        let key = check_key(self.key)?;
        check_event("event", &self.event)?;
        if self.ty == Some(Type::Version) {
            return Err(Refused::new(
                "type is none that a column has",
                "write boolean, int, decimal, float, timestamp, text or json",
            ));
        }
        let computation = Computation {
            space: self.space.unwrap_or_else(|| space.to_owned()),
            id: self.id.unwrap_or_else(|| format!("tra_{key}")),
            key,
            kind: Kind::Trait { event: self.event },
            identify: self.identify,
            track: self.track,
            mobile_ids: self.mobile_ids,
            ty: self.ty,
            warehouses: self.warehouses,
        };
        computation.checked()
    }
}

impl Computation {
    fn checked(self) -> Result<Self, Refused> {
        if !self.identify && !self.track {
            return Err(Refused::new("it sends nothing", "write identify = true or track = true, or take it out"));
        }
        if self.warehouses.as_ref().is_some_and(Vec::is_empty) {
            let to_do = "name at least one, or take `warehouses` out: then all get its calls";
            return Err(Refused::new("warehouses names none", to_do));
        }
        Ok(self)
    }

    /// The class as `context.personas` has it.
    pub fn class(&self) -> &'static str {
        match self.kind {
            Kind::Audience { .. } => "audience",
            Kind::Trait { .. } => "trait",
        }
    }
}

/// Why a computation cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub to_do: String,
}

impl Refused {
    fn new(what: impl Into<String>, to_do: impl Into<String>) -> Self {
        Refused { what: what.into(), to_do: to_do.into() }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.to_do)
    }
}

impl std::error::Error for Refused {}

fn check_key(key: Option<String>) -> Result<String, Refused> {
    let wrong =
        |what: &str| Refused::new(what, "give it a key of small letters, digits and _, such as first_time_shopper");
    let key = key.ok_or_else(|| wrong("it has no key"))?;
    if key.is_empty() || key.len() > 200 || tablecast::core::ident::snake_case(&key) != key {
        return Err(wrong("its key would not be the name of its column"));
    }
    if ["audience_key", "trait_key"].contains(&key.as_str()) {
        return Err(wrong("its key is a property that its events have already"));
    }
    Ok(key)
}

fn check_event(name: &str, event: &str) -> Result<(), Refused> {
    if event.trim().is_empty() {
        return Err(Refused::new(format!("{name} is empty"), "name the event, or take it out for the default"));
    }
    Ok(())
}
