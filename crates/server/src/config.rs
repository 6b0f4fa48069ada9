//! The service's configuration: a TOML file, read whole, with everything that is wrong with it said at once.

mod computations;
mod problem;
mod raw;
mod schedule;
mod selection;

pub use problem::{Problem, Problems};
pub use schedule::Schedule;
pub use selection::{Item, ItemKind, Off};

use crate::emit::Computations;
use jiff::SignedDuration;
use raw::Secrets;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tablecast::core::Secret;
use tablecast::{Dialect, Ident, Rules, Type};

/// What an operator says about the service. Made by [`Config::load`] or [`Config::parse`], which check it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where calls, page and API are served.
    pub listen: SocketAddr,
    /// The folder of the spool and of the service's own state.
    pub data: PathBuf,
    /// The token of page and API, resolved; none if the service is to make one of its own.
    pub token: Option<Secret>,
    /// Whether wrong calls and keys are answered with 400, 401 and 403 instead of Segment's 200.
    pub strict: bool,
    /// How long segments of the spool are kept as the archive for backfill.
    pub retention: SignedDuration,
    /// Connections that are served at once.
    pub max_connections: usize,
    /// Who may send calls, and into which space.
    pub sources: Vec<Source>,
    /// Where tables are.
    pub warehouses: Vec<WarehouseConfig>,
    /// What audiences and traits send.
    pub computations: Computations,
}

/// A space and the write keys that lead to it.
#[derive(Clone)]
pub struct Source {
    /// The Personas space.
    pub space: String,
    /// The write keys, resolved.
    pub write_keys: Vec<Secret>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("space", &self.space).field("write_keys", &self.write_keys.len()).finish()
    }
}

/// A warehouse: where it is, when it is brought up to date, and with what.
#[derive(Clone, Debug)]
pub struct WarehouseConfig {
    /// Its name, which `integrations.Warehouses` and the command line use too.
    pub name: String,
    /// Its URI, which may hold secrets.
    pub uri: Secret,
    /// Its URI as it may be shown.
    pub shown_uri: String,
    /// How it names things.
    pub dialect: &'static Dialect,
    /// When its syncs begin.
    pub schedule: Schedule,
    /// What stands in front of a space in the schema's name.
    pub schema_prefix: String,
    /// The spaces that it gets.
    pub spaces: Vec<String>,
    /// Whether it begins with all that the spool still has.
    pub history: bool,
    /// What is off by the configuration.
    pub off: Off,
    /// All other rules.
    rules: Rules,
    /// The types that columns have by their computations, by space.
    types: BTreeMap<String, BTreeMap<String, Type>>,
}

impl WarehouseConfig {
    /// The rules for one space, with everything in `off` switched off.
    ///
    /// A type that the rules say themselves goes before that of a computation.
    pub fn rules(&self, space: &str, off: &Off) -> Rules {
        let mut types = self.types.get(space).cloned().unwrap_or_default();
        types.extend(self.rules.types.clone());
        Rules {
            types,
            space: space.to_owned(),
            schema_prefix: self.schema_prefix.clone(),
            warehouse: Some(self.name.clone()),
            off: off.selection(),
            ..self.rules.clone()
        }
    }

    /// The schema of a space.
    pub fn schema(&self, space: &str) -> Ident {
        tablecast::core::ident::schema_name(&self.schema_prefix, space)
    }
}

impl Config {
    /// Reads and checks a file. Relative paths in it start at the working directory.
    pub fn load(path: &Path) -> Result<Config, Problems> {
        Config::parse(&read(path)?)
    }

    /// Like [`Config::load`], but token and write keys stay as they are written: what they refer to may be there for the
    /// service alone. For whatever asks nothing of a service that runs.
    pub fn load_without_secrets(path: &Path) -> Result<Config, Problems> {
        raw::parse(&read(path)?, Secrets::AsWritten)
    }

    /// Checks the text of a configuration. References to secrets are resolved here.
    pub fn parse(text: &str) -> Result<Config, Problems> {
        raw::parse(text, Secrets::Resolved)
    }

    /// A warehouse by its name.
    pub fn warehouse(&self, name: &str) -> Option<&WarehouseConfig> {
        self.warehouses.iter().find(|warehouse| warehouse.name == name)
    }

    /// All spaces, each once.
    pub fn spaces(&self) -> BTreeSet<&str> {
        self.sources.iter().map(|source| source.space.as_str()).collect()
    }

    /// Who may send calls, as ingest asks for it.
    pub fn keys(&self) -> crate::ingest::Keys {
        let of = |source: &Source| {
            let space = source.space.clone();
            let pairs = source.write_keys.iter().map(move |key| (key.expose().to_owned(), space.clone()));
            pairs.collect::<Vec<_>>()
        };
        crate::ingest::Keys::new(self.sources.iter().flat_map(of))
    }

    /// The space of a write key.
    pub fn space_of(&self, write_key: &str) -> Option<&str> {
        let has = |source: &&Source| source.write_keys.iter().any(|key| key.expose() == write_key);
        self.sources.iter().find(has).map(|source| source.space.as_str())
    }
}

fn read(path: &Path) -> Result<String, Problems> {
    std::fs::read_to_string(path).map_err(|error| {
        Problems::one(Problem::new(
            path.display(),
            format!("cannot be read: {error}"),
            "name the configuration with --config; examples/tablecast.toml is one to begin with",
        ))
    })
}

#[cfg(test)]
mod tests;
