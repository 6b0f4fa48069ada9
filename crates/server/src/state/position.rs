//! How far each warehouse is in each space, what it lacks of what came before, and what is switched off.

use super::history::{insert, interrupt};
use super::model::{Kind, Status};
use super::{State, offset, sql, stored};
use crate::config::{Item, ItemKind, Off};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeSet;
use tablecast::Result;

/// Where a warehouse is in a space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Everything before is in the warehouse, except what gaps say.
    pub cursor: u64,
    /// The schema, fixed by the first sync.
    pub schema: Option<String>,
    /// The warehouse's address at the last sync, without secrets.
    pub address: Option<String>,
    /// Nothing at or after it was ever sent to the warehouse. A sync that failed may have got beyond the cursor.
    pub tried: u64,
    /// Whether the spool has lost what the warehouse had taken from it, since the last sync.
    pub turned_back: bool,
}

/// A part of the spool that was loaded without something that was off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Its number.
    pub id: i64,
    /// What was off.
    pub item: Item,
    /// The first offset that may lack it.
    pub since: u64,
    /// Where it was on again; none while it is off.
    pub until: Option<u64>,
}

/// A sync that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its row in the history.
    pub id: i64,
    /// Where it begins.
    pub from: u64,
    /// The address of the sync before, if there was one.
    pub address: Option<String>,
}

impl State {
    /// Makes a warehouse known in a space, at a cursor; one that is known stays where it is.
    pub fn enroll(&self, warehouse: &str, space: &str, cursor: u64) -> Result<()> {
        self.change(|state| state.execute(sql::ENROLL, params![warehouse, space, stored(cursor)]).map(drop))
    }

    /// Where a warehouse is in a space, if it is known.
    pub fn position(&self, warehouse: &str, space: &str) -> Result<Option<Position>> {
        self.read(|state| position(state, warehouse, space))
    }

    /// What a warehouse lacks in a space, oldest first.
    pub fn gaps(&self, warehouse: &str, space: &str) -> Result<Vec<Gap>> {
        self.read(|state| gaps(state, warehouse, space))
    }

    /// Begins a sync: with everything in `off` switched off from here on, and on what is not in it.
    ///
    /// `waiting` is the row of one that was asked for; otherwise a new row is made. `first` is the first offset that the spool
    /// has, `to` the last one, `now` in µs since 1970.
    #[expect(clippy::too_many_arguments, reason = "it is one step, with all that it needs")]
    pub fn begin(
        &self,
        waiting: Option<i64>,
        warehouse: &str,
        space: &str,
        schema: &str,
        address: &str,
        off: &Off,
        first: u64,
        to: u64,
        now: i64,
    ) -> Result<Begun> {
        self.change(|state| {
            state.execute(sql::ENROLL, params![warehouse, space, stored(first)])?;
            interrupt(state, warehouse, space, now)?;
            let before = position(state, warehouse, space)?;
            let from = before.as_ref().map_or(first, |position| position.cursor).max(first);
            let tried = before.as_ref().map_or(0, |position| position.tried).max(from);
            let known = gaps(state, warehouse, space)?;
            for gap in &known {
                if gap.until.is_none() && !off.0.contains(&gap.item) {
                    if gap.since < tried {
                        state.execute(sql::CLOSE_GAP, params![gap.id, stored(tried)])?;
                    } else {
                        state.execute(sql::DROP_GAP, params![gap.id])?;
                    }
                }
            }
            open_gaps(state, warehouse, space, off, from)?;
            state.execute(sql::SETTLE, params![warehouse, space, stored(from), schema, address, stored(to)])?;
            let id = match waiting {
                Some(id) => {
                    state.execute(sql::START_SYNC, params![id, now, schema, stored(from), stored(to)])?;
                    id
                }
                None => insert(
                    state,
                    (warehouse, space, schema),
                    (Kind::Sync, Status::Running),
                    now,
                    Some((from, to)),
                    None,
                )?,
            };
            Ok(Begun { id, from, address: before.and_then(|position| position.address) })
        })
    }

    /// Notes that rows from here on are loaded without what is off: by a fill or a backfill, which may begin before the
    /// gaps do.
    pub(crate) fn lacks(&self, warehouse: &str, space: &str, off: &Off, from: u64) -> Result<()> {
        self.change(|state| {
            for gap in gaps(state, warehouse, space)?.iter().filter(|gap| gap.until.is_none()) {
                if off.0.contains(&gap.item) {
                    state.execute(sql::WIDEN_GAP, params![gap.id, stored(from)])?;
                }
            }
            open_gaps(state, warehouse, space, off, from)
        })
    }

    /// How far any warehouse has come in a space.
    pub(crate) fn farthest(&self, space: &str) -> Result<u64> {
        self.read(|state| Ok(state.query_row(sql::FARTHEST, [space], |row| row.get(0)).optional()?.map_or(0, offset)))
    }

    /// Turns everything back to a place in a space whose spool ends there. Returns the warehouses that had come farther.
    pub(crate) fn turn_back(&self, space: &str, end: u64) -> Result<Vec<String>> {
        self.change(|state| {
            let mut query = state.prepare(sql::BEYOND)?;
            let beyond = query.query_map(params![space, stored(end)], |row| row.get(0))?.collect();
            for step in sql::TURN_BACK {
                state.execute(step, params![space, stored(end)])?;
            }
            beyond
        })
    }

    /// Lets the next sync of each space fix the schema anew: for a warehouse in which it was renamed.
    pub fn forget_schemas(&self, warehouse: &str) -> Result<()> {
        self.change(|state| state.execute(sql::FORGET_SCHEMAS, [warehouse]).map(drop))
    }

    /// What is switched off for a warehouse by hand.
    pub fn switches(&self, warehouse: &str) -> Result<Off> {
        self.read(|state| {
            let mut query = state.prepare(sql::SWITCHES)?;
            let rows = query.query_map([warehouse], |row| Ok(item(&row.get::<_, String>(0)?, row.get(1)?)))?;
            Ok(Off(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect()))
        })
    }

    /// Switches things off or on for a warehouse, by hand.
    pub fn switch(&self, warehouse: &str, off: &[Item], on: &[Item], now: i64) -> Result<()> {
        self.change(|state| {
            for item in off {
                state.execute(sql::SWITCH_OFF, params![warehouse, item.kind.as_str(), item.name, now])?;
            }
            for item in on {
                state.execute(sql::SWITCH_ON, params![warehouse, item.kind.as_str(), item.name])?;
            }
            Ok(())
        })
    }
}

fn position(state: &Connection, warehouse: &str, space: &str) -> rusqlite::Result<Option<Position>> {
    state
        .query_row(sql::POSITION, [warehouse, space], |row| {
            let (cursor, tried) = (offset(row.get(0)?), offset(row.get(3)?));
            Ok(Position { cursor, schema: row.get(1)?, address: row.get(2)?, tried, turned_back: row.get(4)? })
        })
        .optional()
}

/// Opens gaps for what is off and has none that is open.
fn open_gaps(state: &Connection, warehouse: &str, space: &str, off: &Off, from: u64) -> rusqlite::Result<()> {
    let known = gaps(state, warehouse, space)?;
    let open: BTreeSet<&Item> = known.iter().filter(|gap| gap.until.is_none()).map(|gap| &gap.item).collect();
    for item in off.0.iter().filter(|item| !open.contains(item)) {
        state.execute(sql::OPEN_GAP, params![warehouse, space, item.kind.as_str(), item.name, stored(from)])?;
    }
    Ok(())
}

fn gaps(state: &Connection, warehouse: &str, space: &str) -> rusqlite::Result<Vec<Gap>> {
    let mut query = state.prepare(sql::GAPS)?;
    let rows = query.query_map([warehouse, space], |row| {
        let item = item(&row.get::<_, String>(1)?, row.get(2)?);
        let until: Option<i64> = row.get(4)?;
        let (id, since) = (row.get(0)?, offset(row.get(3)?));
        Ok(item.map(|item| Gap { id, item, since, until: until.map(offset) }))
    })?;
    Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

fn item(kind: &str, name: String) -> Option<Item> {
    let kinds = [ItemKind::Table, ItemKind::Column, ItemKind::Computation];
    kinds.into_iter().find(|known| known.as_str() == kind).map(|kind| Item { kind, name })
}
