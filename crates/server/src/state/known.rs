//! What syncs have met: the tables and columns of a warehouse, to be switched off and on, and why values were discarded.

use super::history::{Step, is_event};
use super::{ReasonCount, State, offset, sql, stored};
use crate::config::{Item, ItemKind};
use rusqlite::{Connection, params};
use tablecast::Result;

impl State {
    /// The tables and columns that the syncs of a warehouse have met so far, without Tablecast's own.
    pub fn known(&self, warehouse: &str) -> Result<Vec<Item>> {
        self.read(|state| {
            let mut query = state.prepare(sql::KNOWN)?;
            let rows = query.query_map([warehouse], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            let item = |(kind, name): (String, String)| match kind.as_str() {
                "column" => Item::column(name),
                _ => Item::table(name),
            };
            rows.map(|row| row.map(item)).collect()
        })
    }
}

/// Notes what a cut has met.
pub(super) fn note(state: &Connection, step: &Step<'_>) -> rusqlite::Result<()> {
    for ((table, reason), count) in &step.report.reasons {
        state.execute(sql::COUNT_REASON, params![step.id, table, reason, stored(*count)])?;
    }
    let know = |kind: ItemKind, name: &str| state.execute(sql::KNOW, params![step.id, kind.as_str(), name]);
    for table in step.report.tables.keys().filter(|table| is_event(table.as_str())) {
        know(ItemKind::Table, table.as_str())?;
    }
    for (table, columns) in step.report.columns.iter().filter(|(table, _)| is_event(table.as_str())) {
        for column in columns {
            know(ItemKind::Column, &format!("{table}.{column}"))?;
        }
    }
    Ok(())
}

/// The discards of a sync by reason and table.
pub(super) fn reasons(state: &Connection, id: i64) -> rusqlite::Result<Vec<ReasonCount>> {
    let mut query = state.prepare(sql::REASONS)?;
    let rows = query.query_map([id], |row| {
        Ok(ReasonCount { table: row.get(0)?, reason: row.get(1)?, discards: offset(row.get(2)?) })
    })?;
    rows.collect()
}
