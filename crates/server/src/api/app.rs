//! What the routes of API and page see of the service.

use super::token::Gate;
use super::{Failure, UnknownKeyFacts};
use crate::ingest::Ingest;
use crate::metrics::{Metrics, space};
use crate::sync::{Control, Spools};
use jiff::Timestamp;
use std::sync::Arc;
use tablecast::core::Secret;

/// The service as API and page see it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    control: Control,
    metrics: Arc<Metrics>,
    spools: Spools,
    ingest: Arc<Ingest>,
    gate: Gate,
}

impl App {
    /// With the token that opens it.
    pub fn new(control: Control, metrics: Arc<Metrics>, spools: Spools, ingest: Arc<Ingest>, token: &Secret) -> App {
        App(Arc::new(Inner { control, metrics, spools, ingest, gate: Gate::new(token) }))
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    pub(crate) fn control(&self) -> &Control {
        &self.0.control
    }

    /// Calls that a space took since the service started.
    pub(super) fn events(&self, of: &str) -> u64 {
        self.0.metrics.ingest.events.get_or_create(&space(of)).get()
    }

    /// Write keys that came and that no source has, the latest first.
    pub(super) fn unknown_keys(&self) -> Vec<UnknownKeyFacts> {
        let mut keys = self.0.ingest.unknown_keys();
        keys.reverse();
        let facts = |key: crate::ingest::UnknownKey| UnknownKeyFacts {
            fingerprint: key.fingerprint,
            requests: key.requests,
            last: Timestamp::from_microsecond(key.last).unwrap_or_default(),
        };
        keys.into_iter().map(facts).collect()
    }

    /// When a space received its last call.
    pub(super) fn newest(&self, space: &str) -> Option<Timestamp> {
        let newest = self.0.spools.get(space)?.newest()?;
        Timestamp::from_microsecond(newest).ok()
    }

    /// Looks at the state where waiting for the disk holds nobody up.
    pub(crate) async fn look<T, F>(&self, look: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&App) -> Result<T, Failure> + Send + 'static,
    {
        let app = self.clone();
        tokio::task::spawn_blocking(move || look(&app)).await.unwrap_or_else(|_| Err(Failure::broken()))
    }
}
