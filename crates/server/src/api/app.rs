//! What the routes of API and page see of the service.

use super::Failure;
use super::token::Gate;
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
    gate: Gate,
}

impl App {
    /// With the token that opens it.
    pub fn new(control: Control, metrics: Arc<Metrics>, spools: Spools, token: &Secret) -> App {
        App(Arc::new(Inner { control, metrics, spools, gate: Gate::new(token) }))
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
