//! What the templates show, as text.

use super::STYLE;
use super::text::{self, When};
use crate::api::{Cause, SourceFacts, UnknownKeyFacts, Upcoming};
use crate::config::{Item, ItemKind};
use crate::state::{Kind, Level, Notice, ReasonCount, Status, Sync, TableCounts, Trouble};
use crate::sync::{UnitState, WarehouseView};
use jiff::Timestamp;

/// What stands around every page.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    pub(super) title: String,
    /// Which entry of the navigation the page is.
    pub(super) place: &'static str,
    /// The session's mark for forms; empty if nobody is signed in.
    pub(super) csrf: String,
    /// What has just been done.
    pub(super) flash: Option<Flash>,
    /// Its own address, if it can follow what happens.
    pub(super) here: String,
    /// Whether it loads itself again.
    pub(super) follows: bool,
    /// After how many seconds.
    pub(super) pause: u8,
    pub(super) now: String,
}

impl Frame {
    pub(super) fn signed_in(&self) -> bool {
        !self.csrf.is_empty()
    }

    #[expect(clippy::unused_self, reason = "templates call methods")]
    pub(super) fn style(&self) -> &'static str {
        STYLE
    }
}

/// What has just been done, said once.
#[derive(Clone, Debug)]
pub(super) struct Flash {
    pub(super) class: &'static str,
    pub(super) text: &'static str,
}

/// A word in a colour of its own.
#[derive(Clone, Debug)]
pub(super) struct Badge {
    pub(super) class: &'static str,
    pub(super) word: &'static str,
}

impl From<Status> for Badge {
    fn from(status: Status) -> Badge {
        let word = match status {
            Status::Waiting => "Waiting",
            Status::Running => "Running",
            Status::Success => "Success",
            Status::Partial => "Partial",
            Status::Failure => "Failure",
            Status::Skipped => "Skipped",
        };
        Badge { class: status.as_str(), word }
    }
}

impl From<UnitState> for Badge {
    fn from(state: UnitState) -> Badge {
        let (class, word) = match state {
            UnitState::Idle => ("idle", "Ready"),
            UnitState::Running => ("running", "Running"),
            UnitState::Retrying => ("failure", "Backing off"),
        };
        Badge { class, word }
    }
}

/// A number in large type.
#[derive(Clone, Debug)]
pub(super) struct Tile {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) more: String,
}

impl Tile {
    pub(super) fn new(name: &'static str, value: impl Into<String>, more: impl Into<String>) -> Tile {
        Tile { name, value: value.into(), more: more.into() }
    }
}

/// A row of the history.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) status: Badge,
    pub(super) start: When,
    pub(super) warehouse: String,
    pub(super) warehouse_link: String,
    pub(super) source: String,
    pub(super) duration: String,
    pub(super) rows: String,
    pub(super) notices: String,
}

impl Row {
    pub(super) fn new(sync: &Sync, now: Timestamp) -> Row {
        let kind = match sync.kind {
            Kind::Sync => "Sync",
            Kind::Fill => "Fill",
            Kind::Backfill => "Backfill",
        };
        let duration = match sync.status {
            Status::Waiting | Status::Skipped => "–".to_owned(),
            _ => text::duration(took(sync, now)),
        };
        Row {
            id: sync.id,
            name: format!("{kind} {}", sync.id),
            status: sync.status.into(),
            start: When::new(sync.start, now),
            warehouse: sync.warehouse.clone(),
            warehouse_link: warehouse_link(&sync.warehouse),
            source: sync.schema.clone(),
            duration,
            rows: text::number(sync.rows),
            notices: text::number(notices(sync)),
        }
    }
}

/// Notices, and what ended the sync, which is one too.
fn notices(sync: &Sync) -> u64 {
    sync.notices + u64::from(sync.error.is_some())
}

/// How long a sync took, or takes so far, in ms.
fn took(sync: &Sync, now: Timestamp) -> i64 {
    match (sync.preparation_ms, sync.loading_ms) {
        (None, None) => sync.end.unwrap_or(now).as_millisecond() - sync.start.as_millisecond(),
        (preparation, loading) => preparation.unwrap_or(0).saturating_add(loading.unwrap_or(0)),
    }
}

/// The address of a warehouse's page; a name may hold anything.
pub(super) fn warehouse_link(name: &str) -> String {
    let mut link = "/warehouses/".to_owned();
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => link.push(char::from(byte)),
            // A name of dots alone would be a step up.
            other => link.push_str(&format!("%{other:02X}")),
        }
    }
    link
}

/// A warehouse in the overview and on its page.
#[derive(Clone, Debug)]
pub(super) struct Warehouse {
    pub(super) name: String,
    pub(super) link: String,
    pub(super) uri: String,
    pub(super) schedule: String,
    pub(super) state: Badge,
    /// More about the state, if there is more.
    pub(super) why: String,
    pub(super) last: Option<Row>,
    pub(super) next: Option<When>,
    /// How long its oldest call waits.
    pub(super) lag: String,
    pub(super) behind: String,
    pub(super) sources: Vec<String>,
    pub(super) troubles: Vec<WarehouseTrouble>,
}

impl Warehouse {
    pub(super) fn new(view: &WarehouseView, now: Timestamp) -> Warehouse {
        let link = warehouse_link(&view.name);
        let units = &view.spaces;
        let is = |state: UnitState| units.iter().any(|unit| unit.state == state);
        let state = [UnitState::Running, UnitState::Retrying].into_iter().find(|state| is(*state)).unwrap_or_default();
        let last = units.iter().filter_map(|unit| unit.last.as_ref()).max_by_key(|sync| sync.start);
        let next = units.iter().filter_map(|unit| unit.next).min();
        let behind: u64 = units.iter().map(|unit| unit.behind_bytes).sum();
        let oldest = units.iter().filter_map(|unit| unit.behind_since).min();
        let failures = units.iter().map(|unit| unit.failures).max().unwrap_or(0);
        let why = match (state, next) {
            (UnitState::Retrying, Some(next)) => {
                format!("{} in a row, again {}", text::counted(failures.into(), "failure"), When::new(next, now).ago)
            }
            _ => String::new(),
        };
        let trouble = |unit: &crate::sync::UnitView| {
            let Trouble { what, to_do } = unit.error.clone()?;
            let source = unit.schema.clone();
            Some(WarehouseTrouble { warehouse: view.name.clone(), link: link.clone(), source, what, to_do })
        };
        let source = |unit: &crate::sync::UnitView| match unit.to_fill.len() {
            0 => unit.schema.clone(),
            gaps => format!("{}, where the next sync fills {}", unit.schema, text::counted(gaps as u64, "gap")),
        };
        Warehouse {
            name: view.name.clone(),
            uri: view.uri.clone(),
            schedule: view.schedule.clone(),
            state: state.into(),
            why,
            last: last.map(|sync| Row::new(sync, now)),
            next: next.map(|next| When::new(next, now)),
            lag: match oldest {
                Some(oldest) => text::about((now.as_second() - oldest.as_second()).max(0).unsigned_abs()),
                None => "up to date".to_owned(),
            },
            behind: if behind == 0 { String::new() } else { format!("{} to load", text::bytes(behind)) },
            sources: units.iter().map(source).collect(),
            troubles: units.iter().filter_map(trouble).collect(),
            link,
        }
    }
}

/// What keeps a warehouse from its data.
#[derive(Clone, Debug)]
pub(super) struct WarehouseTrouble {
    pub(super) warehouse: String,
    pub(super) link: String,
    pub(super) source: String,
    pub(super) what: String,
    pub(super) to_do: String,
}

/// A sync that is to come.
#[derive(Clone, Debug)]
pub(super) struct Next {
    pub(super) at: When,
    pub(super) warehouse: String,
    pub(super) warehouse_link: String,
    pub(super) source: String,
    /// Its row in the history, if it has one already.
    pub(super) sync: Option<(i64, String)>,
    pub(super) reason: String,
}

impl Next {
    pub(super) fn new(upcoming: &Upcoming, now: Timestamp) -> Next {
        Next {
            at: When::new(upcoming.at, now),
            warehouse: upcoming.warehouse.clone(),
            warehouse_link: warehouse_link(&upcoming.warehouse),
            source: upcoming.schema.clone(),
            sync: None,
            reason: match upcoming.reason {
                Cause::Schedule => "schedule".to_owned(),
                Cause::Retry => "again after a failure".to_owned(),
            },
        }
    }

    /// One that was asked for and waits for the warehouse.
    pub(super) fn waiting(sync: &Sync, now: Timestamp) -> Next {
        let row = Row::new(sync, now);
        Next {
            at: When { ago: "as soon as the warehouse is free".to_owned(), ..row.start },
            warehouse: row.warehouse,
            warehouse_link: row.warehouse_link,
            source: row.source,
            sync: Some((sync.id, row.name)),
            reason: "asked for".to_owned(),
        }
    }
}

/// A source.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) space: String,
    pub(super) calls: String,
    pub(super) spool: String,
    /// When the oldest call in the spool was received.
    pub(super) since: String,
    pub(super) last: Option<When>,
    pub(super) keys: String,
}

impl Source {
    pub(super) fn new(facts: &SourceFacts, now: Timestamp) -> Source {
        Source {
            name: facts.source.schemas.join(", "),
            space: facts.source.space.clone(),
            calls: text::number(facts.events),
            spool: text::bytes(facts.source.spool_bytes),
            since: facts.source.oldest.map(|oldest| When::new(oldest, now).ago).unwrap_or_default(),
            last: facts.newest.map(|last| When::new(last, now)),
            keys: text::number(facts.source.write_keys as u64),
        }
    }
}

/// A write key that no source has.
#[derive(Clone, Debug)]
pub(super) struct Stranger {
    pub(super) fingerprint: String,
    pub(super) requests: String,
    pub(super) last: String,
}

impl Stranger {
    pub(super) fn new(key: &UnknownKeyFacts, now: Timestamp) -> Stranger {
        Stranger {
            fingerprint: key.fingerprint.clone(),
            requests: text::counted(key.requests, "request"),
            last: When::new(key.last, now).ago,
        }
    }
}

/// How the rows of a table came out.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    pub(super) name: String,
    pub(super) received: String,
    pub(super) loaded: String,
    pub(super) duplicates: String,
    pub(super) filtered: String,
    pub(super) discarded: String,
}

impl From<&TableCounts> for Counts {
    fn from(counts: &TableCounts) -> Counts {
        let [received, loaded, duplicates, filtered, discarded] =
            [counts.received, counts.loaded, counts.duplicates, counts.filtered, counts.discarded].map(text::number);
        Counts { name: counts.name.clone(), received, loaded, duplicates, filtered, discarded }
    }
}

/// Discards of one reason.
#[derive(Clone, Debug)]
pub(super) struct ReasonRow {
    pub(super) reason: String,
    pub(super) table: String,
    pub(super) count: String,
}

impl From<&ReasonCount> for ReasonRow {
    fn from(of: &ReasonCount) -> ReasonRow {
        ReasonRow { reason: of.reason.clone(), table: of.table.clone(), count: text::number(of.discards) }
    }
}

/// What an operator should know.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) class: &'static str,
    pub(super) word: &'static str,
    pub(super) table: String,
    pub(super) message: String,
}

impl From<&Notice> for Said {
    fn from(notice: &Notice) -> Said {
        let (class, word) = match notice.level {
            Level::Info => ("info", "Note"),
            Level::Warning => ("warning", "Warning"),
            Level::Error => ("error", "Error"),
        };
        Said { class, word, table: notice.table.clone().unwrap_or_default(), message: notice.message.clone() }
    }
}

/// Part of what a backfill was asked for.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
}

/// Switches of one kind.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) none: &'static str,
    pub(super) switches: Vec<Switch>,
}

/// Something that can be switched off and on.
#[derive(Clone, Debug)]
pub(super) struct Switch {
    /// As the form sends it: `table:tracks`.
    pub(super) value: String,
    pub(super) name: String,
    pub(super) on: bool,
    /// Whether the page cannot switch it.
    pub(super) fixed: bool,
    pub(super) note: String,
}

/// A thing as a form sends it.
pub(super) fn written(item: &Item) -> String {
    format!("{}:{}", item.kind, item.name)
}

/// A thing as a form sent it.
pub(super) fn read(value: &str) -> Option<Item> {
    let (kind, name) = value.split_once(':')?;
    let kind = [ItemKind::Table, ItemKind::Column, ItemKind::Computation].into_iter().find(|of| of.as_str() == kind)?;
    Some(Item { kind, name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_make_links_that_lead_back() {
        assert_eq!(warehouse_link("main"), "/warehouses/main");
        assert_eq!(warehouse_link("a/b ü"), "/warehouses/a%2Fb%20%C3%BC");
        assert_eq!(warehouse_link(".."), "/warehouses/%2E%2E");
    }

    #[test]
    fn things_come_back_from_forms() {
        for item in [Item::table("tracks"), Item::column("users.plan"), Item::computation("a:b")] {
            assert_eq!(read(&written(&item)), Some(item));
        }
        assert_eq!(read("tracks"), None);
        assert_eq!(read("sink:tracks"), None);
    }
}
