//! The rows that a call asks for: in the append table of its kind, in its event's own, and in the merge tables.

use super::targets::{Target, Targets};
use super::values::column_is_off;
use super::{Draft, MAX_BYTES, MAX_VALUES};
use crate::cell::Cell;
use crate::column::VALUE_BYTES;
use crate::discard::{Discard, Reason};
use crate::envelope::{self, Envelope, Kind, Rejected};
use crate::event::{Call, Container, Field, Span};
use crate::ident::{Ident, Section, column_name, event_table_name};
use crate::identities;
use crate::origin::Origin;
use crate::plan::Fold;
use crate::route;
use crate::schema::TableKind;
use crate::table::{CoreColumn, TableDraft, Touch, key_hash};
use crate::time;
use crate::types::Type;

const APPEND: [CoreColumn; 7] = [
    ("id", Type::Text, Fold::Once),
    ("received_at", Type::Timestamp, Fold::Once),
    ("anonymous_id", Type::Text, Fold::Once),
    ("user_id", Type::Text, Fold::Once),
    ("sent_at", Type::Timestamp, Fold::Once),
    ("original_timestamp", Type::Timestamp, Fold::Once),
    ("timestamp", Type::Timestamp, Fold::Once),
];
const USERS: [CoreColumn; 3] =
    [("id", Type::Text, Fold::Once), ("received_at", Type::Timestamp, Fold::Max), ("user_id", Type::Text, Fold::Once)];
const ACCOUNTS: [CoreColumn; 2] = [("id", Type::Text, Fold::Once), ("received_at", Type::Timestamp, Fold::Max)];
const TRACK_COLUMNS: [CoreColumn; 2] = [("event", Type::Text, Fold::Once), ("event_text", Type::Text, Fold::Once)];
const GROUP_COLUMNS: [CoreColumn; 1] = [("group_id", Type::Text, Fold::Once)];
const VIEW_COLUMNS: [CoreColumn; 2] = [("name", Type::Text, Fold::Once), ("category", Type::Text, Fold::Once)];
const ALIAS_COLUMNS: [CoreColumn; 1] = [("previous_id", Type::Text, Fold::Once)];

impl Draft {
    /// One call, as read; `outer` is the envelope of the batch body that it came in.
    pub(super) fn accept(&mut self, origin: &mut Origin, bytes: &[u8], call: &Call, outer: Option<&Call>) {
        self.events += 1;
        let stamped = origin.next_call();
        let (kind, envelope) = match envelope::read(call, outer, origin, bytes, stamped) {
            Ok(read) => read,
            Err(rejected) => return self.reject(bytes, rejected),
        };
        let too_large = if call.tape.nodes.len() > MAX_VALUES {
            Some(Reason::TooManyColumns)
        } else {
            (self.held + 3 * call.tape.text.len() > MAX_BYTES).then_some(Reason::LineTooLong)
        };
        if let Some(reason) = too_large {
            let (event_id, received_at) = (envelope.id.into_owned(), envelope.received_at);
            return self.reject(bytes, Rejected { event_id, table: kind.table(), reason, received_at });
        }

        self.stamped |= call.field(Field::ReceivedAt).is_none()
            || envelope.unusable.iter().any(|(field, _)| *field == Field::ReceivedAt);
        let wanted = route::is_for(call, outer, self.rules.warehouse.as_deref()) && self.computation_is_on(call, outer);
        let id_hash = key_hash(&envelope.id);
        self.digest.call(id_hash, envelope.received_at, wanted);
        let mut targets: [Option<Target>; 2] = [None; 2];
        let fresh;
        match kind {
            Kind::Identify => {
                let table = self.kind_table(kind);
                targets[0] = self.append(table, &envelope, id_hash, wanted, true);
                fresh = targets[0].is_some() || self.tables[table].off;
                if let Some(user_id) = &envelope.user_id {
                    let table = self.merge_table("users", &USERS);
                    targets[1] = self.merge(table, user_id, &envelope, wanted, fresh);
                    if let Some(Target { table, at, .. }) = targets[1]
                        && self.tables[table].columns[2].len() < self.tables[table].rows as usize
                    {
                        self.tables[table].columns[2].push_text(at, user_id);
                    }
                }
            }
            Kind::Track => {
                let event = call.text(Field::Event).unwrap_or_default();
                let tracks = self.kind_table(kind);
                let own = self.event_table(event);
                targets[0] = self.append(tracks, &envelope, id_hash, wanted, false);
                targets[1] = self.append(own, &envelope, id_hash, wanted, true);
                fresh =
                    targets[0].is_some() || targets[1].is_some() || (self.tables[tracks].off && self.tables[own].off);
                if targets[0].is_some() || targets[1].is_some() {
                    let slug = self.tables[own].name.clone();
                    for target in targets {
                        self.put_text(target, 0, Some(slug.as_str()));
                        self.put_text(target, 1, Some(event));
                    }
                }
            }
            Kind::Group => {
                let table = self.kind_table(kind);
                targets[0] = self.append(table, &envelope, id_hash, wanted, true);
                self.put_text(targets[0], 0, envelope.group_id.as_deref());
                fresh = targets[0].is_some() || self.tables[table].off;
                if let Some(group_id) = &envelope.group_id {
                    let table = self.merge_table("accounts", &ACCOUNTS);
                    targets[1] = self.merge(table, group_id, &envelope, wanted, fresh);
                }
            }
            Kind::Page | Kind::Screen => {
                let table = self.kind_table(kind);
                targets[0] = self.append(table, &envelope, id_hash, wanted, true);
                fresh = targets[0].is_some();
                self.put_text(targets[0], 0, call.text(Field::Name));
                self.put_text(targets[0], 1, call.text(Field::Category));
            }
            Kind::Alias => {
                let table = self.kind_table(kind);
                targets[0] = self.append(table, &envelope, id_hash, wanted, true);
                fresh = targets[0].is_some();
                self.put_text(targets[0], 0, envelope.previous_id.as_deref());
            }
        }

        if wanted && fresh && self.rules.identities {
            self.identify(call, outer, &envelope);
        }
        let targets = Targets::of(targets, |_| true);
        if let Some(first) = targets.list().first() {
            self.strays(call, &envelope, first.table);
            self.values(call, kind, &envelope, targets, false);
            if let Some(outer) = outer {
                self.values(outer, kind, &envelope, targets, true);
            }
            for target in targets.list() {
                let table = &mut self.tables[target.table];
                table.widest = table.widest.max(call.tape.text.len() + outer.map_or(0, |outer| outer.tape.text.len()));
            }
        }
    }

    /// Keeps a call that becomes no row, counted in the table of its kind.
    pub(super) fn reject(&mut self, bytes: &[u8], rejected: Rejected) {
        let Rejected { event_id, table, reason, received_at } = rejected;
        if !table.is_empty() {
            let table = self.append_table(table);
            self.tables[table].counts.received += 1;
            self.tables[table].counts.discarded += 1;
        }
        self.keep(Discard::new(&event_id, table, "", bytes, reason, received_at));
    }

    fn computation_is_on(&self, call: &Call, outer: Option<&Call>) -> bool {
        if self.rules.off.computations.is_empty() {
            return true;
        }
        let named = [
            (Container::Context, &["personas", "computation_key"][..]),
            (Container::Properties, &["audience_key"]),
            (Container::Properties, &["trait_key"]),
            (Container::Traits, &["audience_key"]),
            (Container::Traits, &["trait_key"]),
        ];
        // It may be off by its column's name, which is not always its key.
        let is_off = |key: &str| {
            self.rules.off.computations.contains(key)
                || self.computation_columns.contains(&column_name(Section::Body, &[key], self.dialect))
        };
        !named.into_iter().any(|(container, path)| route::text(call, outer, container, path).is_some_and(is_off))
    }

    /// A row of an append table; `None` if it is there already or is not wanted.
    fn append(&mut self, table: usize, envelope: &Envelope, id_hash: u64, wanted: bool, body: bool) -> Option<Target> {
        let draft = &mut self.tables[table];
        draft.counts.received += 1;
        if !wanted || draft.off {
            draft.counts.filtered += 1;
            return None;
        }
        if draft.find(&envelope.id, id_hash).is_some() {
            draft.counts.duplicates += 1;
            return None;
        }
        let at = draft.add(&envelope.id, id_hash);
        let times = [
            (1, Some(envelope.received_at)),
            (4, envelope.sent_at),
            (5, envelope.original),
            (6, Some(envelope.timestamp)),
        ];
        for (column, micros) in times {
            if let Some(micros) = micros {
                draft.columns[column].push(at, Cell::Time(micros));
            }
        }
        for (column, id) in [(2, &envelope.anonymous_id), (3, &envelope.user_id)] {
            if let Some(id) = id {
                draft.columns[column].push_text(at, id);
            }
        }
        self.held += 7 * VALUE_BYTES + 3 * envelope.id.len();
        Some(Target { table, at, body, context: true })
    }

    /// A touch of the row with that key; `None` if it is not wanted, or not `fresh`: delivered before.
    fn merge(&mut self, table: usize, key: &str, envelope: &Envelope, wanted: bool, fresh: bool) -> Option<Target> {
        let draft = &mut self.tables[table];
        if !wanted || draft.off {
            draft.counts.received += 1;
            draft.counts.filtered += 1;
            return None;
        }
        if !fresh {
            return None;
        }
        let hash = key_hash(key);
        let row = match draft.find(key, hash) {
            Some(row) => row,
            None => {
                draft.counts.received += 1;
                draft.add(key, hash)
            }
        };
        let start = draft.touch_ids.len();
        draft.touch_ids.push_str(&envelope.id);
        let event_id = Span::since(start, &draft.touch_ids);
        let at = u32::try_from(draft.touches.len()).unwrap_or(u32::MAX);
        let version = version(envelope.timestamp.min(envelope.received_at), key_hash(&envelope.id));
        draft.touches.push(Touch { row, version, event_id, received_at: envelope.received_at });
        draft.columns[1].push(at, Cell::Time(envelope.received_at));
        self.held += 4 * VALUE_BYTES + size_of::<Touch>() + 2 * envelope.id.len();
        Some(Target { table, at, body: true, context: self.rules.users_context })
    }

    fn put_text(&mut self, target: Option<Target>, column: usize, value: Option<&str>) {
        if let (Some(target), Some(value)) = (target, value) {
            self.tables[target.table].columns[APPEND.len() + column].push_text(target.at, value);
            self.held += VALUE_BYTES + value.len();
        }
    }

    /// The rows of `identities` that a call with two or more external ids touches.
    fn identify(&mut self, call: &Call, outer: Option<&Call>, envelope: &Envelope) {
        let known = [("user_id", &envelope.user_id), ("anonymous_id", &envelope.anonymous_id)];
        let ids = identities::of(call, outer, known.map(|(kind, id)| (kind, id.as_deref())));
        if ids.len() < 2 {
            return;
        }
        let table = self.merge_table("identities", &identities::COLUMNS);
        for (kind, value) in ids {
            let key = format!("{kind}:{value}");
            let Some(Target { at, .. }) = self.merge(table, &key, envelope, true, true) else { continue };
            let draft = &mut self.tables[table];
            if draft.columns[2].len() < draft.rows as usize {
                for (column, part) in [(2, &*kind), (3, &*value)] {
                    draft.columns[column].push_text(at, part);
                }
            }
            if let Some(user_id) = &envelope.user_id {
                draft.columns[4].push_text(at, user_id);
            }
            draft.columns[5].push(at, Cell::Time(envelope.timestamp));
            draft.columns[6].push(at, Cell::Time(envelope.timestamp));
            self.held += 6 * VALUE_BYTES + key.len();
        }
    }

    /// The append table of a kind of calls.
    fn kind_table(&mut self, kind: Kind) -> usize {
        if let Some(table) = self.kind_tables[kind as usize] {
            return table;
        }
        let table = self.append_table(kind.table());
        self.kind_tables[kind as usize] = Some(table);
        table
    }

    fn append_table(&mut self, name: &str) -> usize {
        if let Some(&table) = self.table_of.get(name) {
            return table;
        }
        let extra: &[CoreColumn] = match name {
            "identifies" => &[],
            "pages" | "screens" => &VIEW_COLUMNS,
            "groups" => &GROUP_COLUMNS,
            "aliases" => &ALIAS_COLUMNS,
            _ => &TRACK_COLUMNS,
        };
        let core: Vec<CoreColumn> = APPEND.iter().chain(extra).copied().collect();
        self.new_table(Ident::from(name), TableKind::Append, &core)
    }

    fn event_table(&mut self, event: &str) -> usize {
        if let Some(&table) = self.event_table_of.get(event) {
            return table;
        }
        let name = event_table_name(event, self.dialect);
        let table = self.append_table(name.as_str());
        if self.event_table_of.len() < 10_000 {
            self.event_table_of.insert(event.to_owned(), table);
        }
        table
    }

    fn merge_table(&mut self, name: &str, core: &[CoreColumn]) -> usize {
        match self.table_of.get(name) {
            Some(&table) => table,
            None => self.new_table(Ident::from(name), TableKind::Merge, core),
        }
    }

    fn new_table(&mut self, name: Ident, kind: TableKind, core: &[CoreColumn]) -> usize {
        let left_out = self.only.as_ref().is_some_and(|only| !only.has_table(name.as_str()));
        let off = left_out || self.rules.off.tables.contains(name.as_str());
        self.tables.push(TableDraft::new(name.clone(), kind, core, off));
        let table = self.tables.len() - 1;
        for (at, (_, _, fold)) in core.iter().enumerate().skip(2) {
            let column = self.tables[table].columns[at].about.name.clone();
            // Written with a new row and never again: what makes up the key.
            let key = kind == TableKind::Merge && *fold == Fold::Once;
            self.tables[table].columns[at].off = !key && column_is_off(&column, &name, &self.rules);
        }
        self.table_of.insert(name, table);
        table
    }
}

/// The version of a value: its time in µs since year 1, then the event's id to break ties.
fn version(micros: i64, id_hash: u64) -> i128 {
    const SHIFT: i128 = 100_000_000_000;
    let since_year_one = i128::from(micros.clamp(time::MIN, time::MAX)) - i128::from(time::MIN);
    since_year_one * SHIFT + i128::from(id_hash) % SHIFT
}
