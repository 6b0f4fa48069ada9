//! What the warehouses' tasks are doing right now, for others to see.

use super::views::UnitState;
use crate::state::Trouble;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// One warehouse in one space.
#[derive(Clone, Debug, Default)]
pub(super) struct Unit {
    pub(super) state: UnitState,
    pub(super) next: Option<Timestamp>,
    pub(super) failures: u32,
    pub(super) error: Option<Trouble>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Live(Mutex<BTreeMap<(String, String), Unit>>);

impl Live {
    pub(super) fn get(&self, warehouse: &str, space: &str) -> Unit {
        let units = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        units.get(&(warehouse.to_owned(), space.to_owned())).cloned().unwrap_or_default()
    }

    pub(super) fn change(&self, warehouse: &str, space: &str, change: impl FnOnce(&mut Unit)) {
        let mut units = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(units.entry((warehouse.to_owned(), space.to_owned())).or_default());
    }

    /// Forgets a warehouse whose task has ended.
    pub(super) fn forget(&self, warehouse: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(name, _), _| name != warehouse);
    }
}
