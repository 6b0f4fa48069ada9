//! The history of syncs: rows that begin, count and end.

use super::model::{BackfillRequest, Kind, Level, Notice, Progress, Status, Sync, SyncDetail, TableCounts, Trouble};
use super::{State, offset, sql, stored};
use jiff::Timestamp;
use rusqlite::{Connection, Row, ToSql, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tablecast::core::ident::SYSTEM_TABLES;
use tablecast::{Report, Result};

/// Which rows of the history are wanted; the newest come first.
#[derive(Clone, Debug, Default)]
pub struct HistoryFilter {
    /// Of one warehouse.
    pub warehouse: Option<String>,
    /// Of one space.
    pub space: Option<String>,
    /// Older than the one of this number, to turn pages.
    pub before: Option<i64>,
    /// At most so many; 50 if 0.
    pub limit: u32,
}

/// What a cut of a sync did, to be written with the place that it reached.
#[derive(Debug)]
pub(crate) struct Step<'s> {
    pub(crate) id: i64,
    pub(crate) report: &'s Report,
    /// All notices and changes of the sync so far.
    pub(crate) notices: &'s [Notice],
    pub(crate) changes: &'s [String],
    /// Everything before is done.
    pub(crate) reached: u64,
    /// The cursor that moves along, for a sync.
    pub(crate) cursor: Option<(&'s str, &'s str)>,
    /// The gaps that shrink along, for a fill.
    pub(crate) gaps: &'s [i64],
}

/// How a sync ended.
#[derive(Debug)]
pub(crate) struct End<'s> {
    pub(crate) id: i64,
    pub(crate) status: Status,
    pub(crate) now: i64,
    pub(crate) preparation_ms: i64,
    pub(crate) loading_ms: i64,
    pub(crate) next: Option<Timestamp>,
    pub(crate) notices: &'s [Notice],
    pub(crate) trouble: Option<&'s Trouble>,
    /// Gaps that are no more.
    pub(crate) filled: &'s [i64],
}

impl State {
    /// Rows of the history, the newest first.
    pub fn syncs(&self, filter: &HistoryFilter) -> Result<Vec<Sync>> {
        let limit = if filter.limit == 0 { 50 } else { filter.limit };
        self.read(|state| select(state, sql::BY_PLACE, &[&limit, &filter.warehouse, &filter.space, &filter.before]))
    }

    /// One row with everything that is known of it.
    pub fn sync(&self, id: i64) -> Result<Option<SyncDetail>> {
        self.read(|state| {
            let Some(sync) = select(state, sql::BY_ID, &[&1, &id])?.pop() else { return Ok(None) };
            let texts = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
            let (notices, changes) = state.query_row(sql::DETAIL, [id], texts)?;
            let mut query = state.prepare(sql::TABLES)?;
            let tables = query.query_map([id], |row| {
                Ok(TableCounts {
                    name: row.get(0)?,
                    received: offset(row.get(1)?),
                    loaded: offset(row.get(2)?),
                    duplicates: offset(row.get(3)?),
                    filtered: offset(row.get(4)?),
                    discarded: offset(row.get(5)?),
                })
            })?;
            let tables = tables.collect::<rusqlite::Result<_>>()?;
            let reasons = super::known::reasons(state, id)?;
            let (changes, notices) = (from_json(&changes), from_json(&notices));
            Ok(Some(SyncDetail { sync, tables, reasons, changes, notices }))
        })
    }

    /// The newest sync of a warehouse and a space that ran; fills and backfills do not count.
    pub fn last_run(&self, warehouse: &str, space: &str) -> Result<Option<Sync>> {
        self.read(|state| Ok(select(state, sql::LAST_RUN, &[&1, &warehouse, &space])?.pop()))
    }

    /// What waits for a warehouse, the oldest first.
    pub fn waiting(&self, warehouse: &str) -> Result<Vec<Sync>> {
        let mut waiting = self.read(|state| select(state, sql::WAITING, &[&1_000, &warehouse]))?;
        waiting.reverse();
        Ok(waiting)
    }

    /// Puts a row into the history of something that is to be done, or begins at once.
    pub(crate) fn request(
        &self,
        place: (&str, &str, &str),
        what: (Kind, Status),
        now: i64,
        span: Option<(u64, u64)>,
        request: Option<&BackfillRequest>,
    ) -> Result<i64> {
        self.change(|state| insert(state, place, what, now, span, request))
    }

    /// Begins something that waited.
    pub(crate) fn start(&self, id: i64, schema: &str, span: (u64, u64), now: i64) -> Result<()> {
        let (from, to) = (stored(span.0), stored(span.1));
        self.change(|state| state.execute(sql::START_SYNC, params![id, now, schema, from, to]).map(drop))
    }

    /// The part of the spool that a row is about.
    pub(crate) fn span(&self, id: i64) -> Result<(u64, u64)> {
        self.read(|state| state.query_row(sql::SPAN, [id], |row| Ok((offset(row.get(0)?), offset(row.get(1)?)))))
    }

    /// Notes that a sync did not begin because the one before still ran.
    pub(crate) fn skip(
        &self,
        place: (&str, &str, &str),
        slot: i64,
        next: Option<Timestamp>,
        why: &Notice,
    ) -> Result<()> {
        let (warehouse, space, schema) = place;
        let (next, notices) = (next.map(Timestamp::as_microsecond), to_json(&[why]));
        self.change(|state| {
            state.execute(sql::SKIP_SYNC, params![warehouse, space, schema, slot, next, notices]).map(drop)
        })
    }

    /// Writes down what a cut did, in one step with the place that it reached.
    pub(crate) fn count(&self, step: &Step<'_>) -> Result<()> {
        self.change(|state| {
            let (rows, discards) = rows_of(step.report);
            let (notices, changes) = (to_json(step.notices), to_json(step.changes));
            let count = count_of(step.notices);
            state.execute(
                sql::COUNT_SYNC,
                params![step.id, stored(rows), stored(discards), stored(step.reached), notices, count, changes],
            )?;
            for (name, counts) in &step.report.tables {
                let [received, loaded, duplicates, filtered, discarded] =
                    [counts.received, counts.loaded, counts.duplicates, counts.filtered, counts.discarded].map(stored);
                state.execute(
                    sql::COUNT_TABLE,
                    params![step.id, name.as_str(), received, loaded, duplicates, filtered, discarded],
                )?;
            }
            super::known::note(state, step)?;
            if let Some((warehouse, space)) = step.cursor {
                state.execute(sql::MOVE, params![warehouse, space, stored(step.reached)])?;
            }
            for gap in step.gaps {
                state.execute(sql::SHRINK_GAP, params![gap, stored(step.reached)])?;
            }
            Ok(())
        })
    }

    /// Ends a sync.
    pub(crate) fn end(&self, end: &End<'_>) -> Result<()> {
        self.change(|state| {
            let next = end.next.map(Timestamp::as_microsecond);
            let trouble = end.trouble.map(to_json);
            let (notices, count) = (to_json(end.notices), count_of(end.notices));
            state.execute(
                sql::END_SYNC,
                params![
                    end.id,
                    end.status.as_str(),
                    end.now,
                    end.preparation_ms,
                    end.loading_ms,
                    next,
                    notices,
                    count,
                    trouble
                ],
            )?;
            for gap in end.filled {
                state.execute(sql::DROP_GAP, [gap])?;
            }
            Ok(())
        })
    }

    /// Lays a backfill aside; it goes on later from where it is.
    pub(crate) fn rest(&self, id: i64, preparation_ms: i64, loading_ms: i64, trouble: Option<&Trouble>) -> Result<()> {
        let trouble = trouble.map(to_json);
        self.change(|state| state.execute(sql::REST_SYNC, params![id, preparation_ms, loading_ms, trouble]).map(drop))
    }

    /// Ends something that will never begin.
    pub(crate) fn abandon(&self, id: i64, now: i64, trouble: &Trouble) -> Result<()> {
        self.change(|state| state.execute(sql::ABANDON, params![id, now, to_json(trouble)]).map(drop))
    }

    /// How far the unfinished ones of a kind are in a warehouse's space.
    pub(crate) fn unfinished(&self, kind: Kind, warehouse: &str, space: &str) -> Result<Vec<u64>> {
        self.read(|state| {
            let mut query = state.prepare(sql::UNFINISHED)?;
            let rows = query.query_map([kind.as_str(), warehouse, space], |row| Ok(offset(row.get(0)?)))?;
            rows.collect()
        })
    }

    /// Takes away rows that began before a time, in µs since 1970.
    pub(crate) fn prune(&self, oldest: i64) -> Result<()> {
        self.change(|state| state.execute(sql::PRUNE, [oldest]).map(drop))
    }

    /// After a crash: what was running is over, except backfills, which go on where they were.
    pub(crate) fn recover(&self, now: i64) -> Result<()> {
        self.change(|state| {
            state.execute(sql::INTERRUPT, params![now, to_json(&interrupted())])?;
            state.execute(sql::RESUME, []).map(drop)
        })
    }
}

/// Why a sync that a crash cut off did not end.
fn interrupted() -> Trouble {
    Trouble {
        what: "interrupted: the service ended in the middle of it".to_owned(),
        to_do: "nothing: the next sync takes up what is left, and nothing is loaded twice".to_owned(),
    }
}

/// Ends what a warehouse's task left running in a space.
pub(super) fn interrupt(state: &Connection, warehouse: &str, space: &str, now: i64) -> rusqlite::Result<()> {
    state.execute(sql::INTERRUPT_UNIT, params![warehouse, space, now, to_json(&interrupted())]).map(drop)
}

/// Rows loaded into tables of calls, and rows of `_discards`.
pub(crate) fn rows_of(report: &Report) -> (u64, u64) {
    let tables = report.tables.iter();
    let rows = tables.filter(|(name, _)| is_event(name.as_str())).map(|(_, counts)| counts.loaded).sum();
    (rows, report.tables.get("_discards").map_or(0, |counts| counts.loaded))
}

/// Whether a table holds rows of calls; one of an event may begin with a dash too, such as `_101_account_update`.
pub(super) fn is_event(name: &str) -> bool {
    let versions = name.starts_with('_') && name.ends_with("_versions");
    !versions && !SYSTEM_TABLES.contains(&name)
}

pub(super) fn insert(
    state: &Connection,
    (warehouse, space, schema): (&str, &str, &str),
    (kind, status): (Kind, Status),
    now: i64,
    span: Option<(u64, u64)>,
    request: Option<&BackfillRequest>,
) -> rusqlite::Result<i64> {
    let (from, to) = (span.map(|span| stored(span.0)), span.map(|span| stored(span.1)));
    let request = request.map(to_json);
    state.execute(
        sql::INSERT_SYNC,
        params![warehouse, space, schema, kind.as_str(), status.as_str(), now, from, to, request],
    )?;
    Ok(state.last_insert_rowid())
}

fn select(state: &Connection, wanted: &str, values: &[&dyn ToSql]) -> rusqlite::Result<Vec<Sync>> {
    let mut query = state.prepare(&sql::syncs(wanted))?;
    let rows = query.query_map(values, sync)?;
    rows.collect()
}

fn sync(row: &Row<'_>) -> rusqlite::Result<Sync> {
    let time = |at: i64| Timestamp::from_microsecond(at).unwrap_or_default();
    let text = |column| row.get::<_, String>(column);
    let (kind, status): (String, String) = (text(4)?, text(5)?);
    let place = |column| row.get::<_, Option<i64>>(column);
    let progress = match (place(12)?, place(13)?, place(14)?) {
        (Some(begins), Some(reached), Some(ends)) => {
            Some(Progress { done: offset(reached.saturating_sub(begins)), total: offset(ends.saturating_sub(begins)) })
        }
        _ => None,
    };
    let json = |column| row.get::<_, Option<String>>(column);
    Ok(Sync {
        id: row.get(0)?,
        warehouse: text(1)?,
        space: text(2)?,
        schema: text(3)?,
        kind: Kind::parse(&kind).unwrap_or(Kind::Sync),
        status: Status::parse(&status).unwrap_or(Status::Failure),
        start: time(row.get(6)?),
        end: place(7)?.map(time),
        preparation_ms: row.get(8)?,
        loading_ms: row.get(9)?,
        rows: offset(row.get(10)?),
        discards: offset(row.get(11)?),
        progress,
        next: place(15)?.map(time),
        notices: offset(row.get(16)?),
        error: json(17)?.and_then(|text| serde_json::from_str(&text).ok()),
        request: json(18)?.and_then(|text| serde_json::from_str(&text).ok()),
    })
}

fn count_of(notices: &[Notice]) -> i64 {
    i64::try_from(notices.iter().filter(|notice| notice.level != Level::Info).count()).unwrap_or(i64::MAX)
}

fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn from_json<T: DeserializeOwned + Default>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_default()
}
