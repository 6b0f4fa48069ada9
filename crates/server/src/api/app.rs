//! What the routes of API and page see of the service.

use super::Failure;
use super::token::Gate;
use crate::config::{Config, Item};
use crate::state::State;
use std::sync::Arc;
use tablecast::core::Secret;

/// The service as API and page see it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Arc<Config>,
    state: State,
    gate: Gate,
}

impl App {
    /// With the token that opens it.
    pub fn new(config: Arc<Config>, state: State, token: &Secret) -> App {
        App(Arc::new(Inner { config, state, gate: Gate::new(token) }))
    }

    /// Takes another token, after the configuration was read anew. If it differs, everyone has to sign in again.
    pub fn change_token(&self, token: &Secret) {
        self.0.gate.change(token);
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        self.0.config.clone()
    }

    pub(crate) fn state(&self) -> &State {
        &self.0.state
    }

    pub(crate) fn sync_now(&self, _warehouse: Option<&str>, _space: Option<&str>) -> Result<Vec<i64>, Failure> {
        Ok(vec![])
    }

    pub(crate) fn switch(&self, warehouse: &str, off: &[Item], on: &[Item]) -> Result<(), Failure> {
        Ok(self.0.state.switch(warehouse, off, on, 1)?)
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
