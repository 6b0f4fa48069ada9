//! Looks at the service for API and page.

use super::{App, Cause, Failure, SelectionFacts, SourceFacts, Sources, Upcoming};
use crate::sync::{UnitState, WarehouseView};

pub(crate) fn sources(app: &App) -> Result<Sources, Failure> {
    let facts = |source: crate::sync::SourceView| SourceFacts {
        events: app.events(&source.space),
        newest: app.newest(&source.space),
        source,
    };
    let sources = app.control().sources()?.into_iter().map(facts).collect();
    Ok(Sources { sources, unknown_keys: app.unknown_keys() })
}

/// What is to come for warehouses, the next one first.
pub(crate) fn upcoming(warehouses: &[WarehouseView]) -> Vec<Upcoming> {
    let units = warehouses.iter().flat_map(|warehouse| &warehouse.spaces);
    let mut upcoming: Vec<Upcoming> = units
        .filter_map(|unit| {
            Some(Upcoming {
                warehouse: unit.warehouse.clone(),
                space: unit.space.clone(),
                schema: unit.schema.clone(),
                at: unit.next?,
                reason: if unit.state == UnitState::Retrying { Cause::Retry } else { Cause::Schedule },
            })
        })
        .collect();
    upcoming
        .sort_by(|one, other| (one.at, &one.warehouse, &one.space).cmp(&(other.at, &other.warehouse, &other.space)));
    upcoming
}

/// What is off and what is known, for one warehouse or all.
pub(crate) fn selection(app: &App, warehouse: Option<&str>) -> Result<Vec<SelectionFacts>, Failure> {
    let control = app.control();
    let facts = |selection: crate::sync::SelectionView| {
        let known = control.known(&selection.warehouse)?;
        Ok(SelectionFacts { selection, known })
    };
    control.selection(warehouse)?.into_iter().map(facts).collect()
}
