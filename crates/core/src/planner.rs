//! The difference between a draft and a catalog: which changes, which rows, which discards.

use crate::cell::{Cell, Fit, Value};
use crate::column::{ColumnDraft, Places};
use crate::columns::{self, Builder, batch_of};
use crate::discard::{self, Discard, Reason};
use crate::draft::Draft;
use crate::grow;
use crate::ident::{Ident, append_twin, versions_table};
use crate::pack;
use crate::plan::{Fold, Load, LoadColumn, Plan};
use crate::rules::OnTypeConflict;
use crate::schema::{Catalog, Change, LiveType, TableKind};
use crate::sql;
use crate::table::TableDraft;
use crate::types::Type;
use arrow_array::ArrayRef;
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;

const LOCK: [(&str, Type); 3] = [("id", Type::Text), ("schema_version", Type::Int), ("changing", Type::Text)];
const COMMITS: [(&str, Type); 12] = [
    ("commit_id", Type::Text),
    ("table_name", Type::Text),
    ("committed_at", Type::Timestamp),
    ("source", Type::Text),
    ("received", Type::Int),
    ("loaded", Type::Int),
    ("duplicates", Type::Int),
    ("filtered", Type::Int),
    ("discarded", Type::Int),
    ("duration_ms", Type::Int),
    ("nonce", Type::Text),
    ("version", Type::Text),
];

const UUID_TS: &str = "uuid_ts";
const DAY_MICROS: i64 = 86_400_000_000;

impl Draft {
    /// The difference between what the events want and what is there.
    pub fn plan(&self, live: &Catalog) -> Plan {
        plan(self, live)
    }
}

fn plan(draft: &Draft, live: &Catalog) -> Plan {
    let mut planner = Planner { draft, live, plan: Plan::default(), discards: Vec::new(), best: Best::default() };
    if !draft.is_empty() {
        planner.run();
    }
    planner.plan
}

struct Planner<'d> {
    draft: &'d Draft,
    live: &'d Catalog,
    plan: Plan,
    /// Discards of the table at hand.
    discards: Vec<Discard>,
    best: Best,
}

/// The winning entry of each row of a column, used again from column to column.
#[derive(Default)]
struct Best {
    entries: Vec<u32>,
    rows: Vec<u32>,
}

impl Best {
    fn start(&mut self, rows: usize) {
        for row in self.rows.drain(..) {
            self.entries[row as usize] = u32::MAX;
        }
        if self.entries.len() < rows {
            self.entries.resize(rows, u32::MAX);
        }
    }

    fn of(&self, row: u32) -> Option<u32> {
        Some(self.entries[row as usize]).filter(|&entry| entry != u32::MAX)
    }

    fn set(&mut self, row: u32, entry: u32) {
        let slot = &mut self.entries[row as usize];
        if *slot == u32::MAX {
            self.rows.push(row);
        }
        *slot = entry;
    }
}

/// What a column becomes.
struct Resolved {
    ty: Type,
    change: Option<Change>,
}

impl Planner<'_> {
    fn run(&mut self) {
        for (name, kind, columns) in [
            ("_lock", TableKind::System, &LOCK[..]),
            ("_commits", TableKind::System, &COMMITS),
            (discard::TABLE, TableKind::Append, &discard::COLUMNS),
        ] {
            if self.live.table(name).is_none() {
                let columns = columns.iter().map(|&(column, ty)| (Ident::from(column), ty)).collect();
                self.plan.changes.push(Change::CreateTable { table: name.into(), kind, columns });
            }
        }

        let mut tables: Vec<&TableDraft> = self.draft.tables.iter().filter(|table| table.counts.received > 0).collect();
        let rank = |table: &TableDraft| {
            ["identifies", "users", "tracks"].iter().position(|&name| table.name == *name).unwrap_or(3)
        };
        tables.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name)));
        let mut loads: Vec<(Load, Vec<Discard>)> = Vec::new();
        for table in tables {
            let load = self.table(table);
            loads.push((load, std::mem::take(&mut self.discards)));
        }

        self.plan.commits = pack::commits(self.draft, loads, self.live.version + self.raised());
        let grown = grow::changes(self.draft.dialect, self.live, &self.plan.commits);
        self.plan.changes.extend(grown);
    }

    /// How often the plan's changes raise the schema's version.
    fn raised(&self) -> i64 {
        let raised = self.plan.changes.iter().filter(|change| self.live.is_raised_by(change)).count();
        i64::try_from(raised).unwrap_or(i64::MAX)
    }

    fn table(&mut self, table: &TableDraft) -> Load {
        let merge = table.kind == TableKind::Merge;
        let rows = table.rows as usize;
        let too_long = self.too_long(table);
        let live = self.live.table(table.name.as_str());
        let live_versions = self.live.table(versions_table(&table.name).as_str());
        let mut used = live.map_or(1, |live| live.columns.len());
        // Room for Tablecast's own columns that no call has needed yet.
        let is_live = |column: &ColumnDraft| live.is_some_and(|live| live.columns.contains_key(&column.about.name));
        let core = table.columns[..table.core_columns].iter().filter(|column| !column.off);
        let absent_core = core.filter(|column| !is_live(column) && !column.has_values()).count();
        let mut versions_used = live_versions.map_or(1, |live| live.columns.len());
        let (mut columns, mut arrays): (Vec<LoadColumn>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
        let (mut create, mut add, mut add_versions) = (Vec::new(), Vec::new(), Vec::new());

        for (index, column) in ordered(table) {
            let empty = index != 0 && (rows == 0 || column.len() == 0);
            if column.off || empty {
                continue;
            }
            let versioned = merge && column.about.fold == Fold::Latest && column.len() > 0;
            let there = live.and_then(|live| live.columns.get(&column.about.name));
            if let Some(LiveType::Other(other)) = there {
                self.plan.notices.push(format!(
                    "{}.{} is a {other}, which is not loaded: its values go to _discards",
                    table.name, column.about.name
                ));
                self.discard_all(table, column, Reason::TypeConflict);
                continue;
            }
            let there = there.and_then(LiveType::known);
            let key = columns.is_empty();
            if !column.has_values() && there.is_none() && !versioned && !key {
                continue;
            }
            if versioned && live_versions.is_none_or(|live| !live.columns.contains_key(&column.about.name)) {
                if versions_used >= self.draft.dialect.max_columns {
                    self.discard_all(table, column, Reason::TooManyColumns);
                    continue;
                }
                versions_used += 1;
            }
            let wanted = column.has_values() || there.is_some() || key;
            if wanted && there.is_none() && rows > 0 {
                let reserved = if column.about.core.is_some() { 0 } else { absent_core };
                if used + reserved >= self.draft.dialect.max_columns && !key {
                    self.discard_all(table, column, Reason::TooManyColumns);
                    continue;
                }
                used += 1;
            }

            let mut resolved = self.resolve(table, column, there);
            let before = self.discards.len();
            let mut values = self.fill(table, index, resolved.ty, &too_long);
            if let Some(there) = there.filter(|_| resolved.change.is_some() && !values.found) {
                // What asked for the wider type did not get in: the column stays as it is.
                self.discards.truncate(before);
                resolved = Resolved { ty: there, change: None };
                values = self.fill(table, index, there, &too_long);
            }
            let found = values.found;
            if there.is_none() && found && rows > 0 {
                create.push((column.about.name.clone(), resolved.ty));
                if live.is_some() {
                    add.push(Change::AddColumn {
                        table: table.name.clone(),
                        column: column.about.name.clone(),
                        ty: resolved.ty,
                    });
                }
            } else if there.is_none() && wanted && !found && rows > 0 {
                used -= 1;
            }
            self.plan.changes.extend(resolved.change);
            let exists = there.is_some() || found || key;
            let versions = values.versions.filter(|_| versioned);
            if versions.is_some() && live_versions.is_none_or(|live| !live.columns.contains_key(&column.about.name)) {
                add_versions.push((column.about.name.clone(), Type::Version));
            }
            if !exists && versions.is_none() {
                continue;
            }
            let mut place = |array: ArrayRef| {
                arrays.push(array);
                arrays.len() - 1
            };
            columns.push(LoadColumn {
                name: column.about.name.clone(),
                ty: resolved.ty,
                fold: column.about.fold,
                values: exists.then(|| place(values.array)),
                versions: versions.map(place),
            });
        }

        if rows > 0 {
            self.changes(table, live.is_some(), live_versions.is_some(), create, add, add_versions);
            let most = self.draft.dialect.max_columns;
            if used * 10 >= most * 8 {
                self.plan.notices.push(format!("{} has {used} of at most {most} columns", table.name));
            }
        }
        let window = self
            .draft
            .rules
            .dedupe_window_days
            .filter(|_| !self.draft.stamped)
            .map(|days| i64::from(days) * DAY_MICROS);
        let batch = batch_of(arrays);
        let fill = self.draft.rules.fill && !merge;
        Load { table: table.name.clone(), kind: table.kind, columns, batch, counts: table.counts, fill, window }
    }

    fn changes(
        &mut self,
        table: &TableDraft,
        there: bool,
        versions_there: bool,
        mut create: Vec<(Ident, Type)>,
        add: Vec<Change>,
        mut add_versions: Vec<(Ident, Type)>,
    ) {
        let changes = &mut self.plan.changes;
        let name = &table.name;
        if there {
            changes.extend(add);
            if self.live.column(name.as_str(), UUID_TS).is_none() {
                changes.push(Change::AddColumn { table: name.clone(), column: UUID_TS.into(), ty: Type::Timestamp });
            }
        } else {
            create.insert(create.len().min(2), (UUID_TS.into(), Type::Timestamp));
            changes.push(Change::CreateTable { table: name.clone(), kind: table.kind, columns: create });
        }
        if table.kind != TableKind::Merge {
            return;
        }
        let versions = versions_table(name);
        if versions_there {
            let add = |(column, ty)| Change::AddColumn { table: versions.clone(), column, ty };
            changes.extend(add_versions.into_iter().map(add));
        } else {
            add_versions.insert(0, ("id".into(), Type::Text));
            changes.push(Change::CreateTable { table: versions, kind: TableKind::Versions, columns: add_versions });
        }
    }

    /// Which type a column has after this load. One that is there keeps its kind; numbers widen.
    fn resolve(&self, table: &TableDraft, column: &ColumnDraft, there: Option<Type>) -> Resolved {
        let rules = &self.draft.rules;
        let declared = || {
            let full = format!("{}.{}", table.name, column.about.name);
            let types = &self.draft.types;
            let found = types.get(&full).or_else(|| types.get(column.about.name.as_str())).copied();
            found.filter(|ty| *ty != Type::Version).map(|ty| self.draft.dialect.told(ty))
        };
        let decided = there.or(column.about.core).or_else(declared);
        let Some(decided) = decided else {
            let ty = column.offered().reduce(Type::join).unwrap_or(Type::Text);
            return Resolved { ty: self.draft.dialect.told(ty), change: None };
        };
        let to_text = rules.on_type_conflict == OnTypeConflict::Text && column.about.core.is_none();
        let ty = column.offered().fold(decided, |ty, offered| {
            if offered.kind() == ty.kind() && ty != Type::Json {
                ty.join(offered)
            } else if to_text {
                Type::Text
            } else {
                ty
            }
        });
        // Text holds JSON and everything else; a JSON column stays what it is.
        let ty = if decided == Type::Text { Type::Text } else { ty };
        let change = there.filter(|there| *there != ty).map(|from| Change::Widen {
            table: table.name.clone(),
            column: column.about.name.clone(),
            from,
            to: ty,
        });
        Resolved { ty, change }
    }

    /// A column's values in its type, one per row; what does not fit is discarded before anything is folded.
    fn fill(&mut self, table: &TableDraft, index: usize, ty: Type, too_long: &FxHashSet<(u32, usize)>) -> Filled {
        let (draft, column, rows) = (self.draft, &table.columns[index], table.rows as usize);
        let merge = table.kind == TableKind::Merge;
        let key = index == 0;
        let precise = !merge || !self.twin_keeps(table, column);
        if (!merge || key)
            && too_long.is_empty()
            && let Some(array) =
                columns::scatter(&column.places, &column.values, ty, rows, draft.dialect.max_text_bytes)
        {
            return Filled { array, versions: None, found: column.len() > 0 };
        }
        let text = column.values.text();
        let mut builder = Builder::new(ty, rows);
        let mut best = std::mem::take(&mut self.best);
        best.start(if merge && !key { rows } else { 0 });
        let mut found = false;
        for (nth, (at, cell)) in (0..).zip(column.entries()) {
            let fit = match cell {
                Cell::Null => None,
                _ if !too_long.is_empty() && too_long.contains(&(at, index)) => Some(Err(Reason::RowTooLong)),
                _ => match cell.fit(ty, text) {
                    Fit::Conflict => Some(Err(Reason::TypeConflict)),
                    Fit::Exact(Value::Text(text)) if text.len() > draft.dialect.max_text_bytes => {
                        Some(Err(Reason::ValueTooLong))
                    }
                    Fit::Exact(value) => Some(Ok(value)),
                    Fit::Nearest(value) => {
                        if precise {
                            self.discard(table, column, at, cell, Reason::Precision);
                        }
                        Some(Ok(value))
                    }
                },
            };
            match fit {
                Some(Err(reason)) => self.discard(table, column, at, cell, reason),
                Some(Ok(value)) if !merge || key => {
                    found = true;
                    builder.skip_to_row(at as usize);
                    builder.push(value);
                }
                None if !merge || key => {}
                _ => {
                    found |= cell != Cell::Null;
                    let touch = &table.touches[at as usize];
                    let wins = best.of(touch.row).is_none_or(|rival| {
                        let (place, rival) = (column.places.get(rival as usize), column.values.get(rival as usize));
                        match column.about.fold {
                            Fold::Latest => touch.version > table.touches[place as usize].version,
                            Fold::Max => micros(cell) > micros(rival),
                            Fold::Min => micros(cell) < micros(rival),
                            Fold::Once => false,
                        }
                    });
                    if wins {
                        best.set(touch.row, nth);
                    }
                }
            }
        }
        best.rows.sort_unstable();
        let winners = || best.rows.iter().map(|&row| (row, best.entries[row as usize] as usize));
        let mut versions = None;
        if merge && column.about.fold == Fold::Latest && !best.rows.is_empty() {
            let of = |(_, nth)| table.touches[column.places.get(nth) as usize].version;
            let places = Places::Sparse(best.rows.clone());
            versions = Some(columns::versions(&places, &winners().map(of).collect::<Vec<_>>(), rows));
        }
        for (row, nth) in winners() {
            if let Fit::Exact(value) | Fit::Nearest(value) = column.values.get(nth).fit(ty, text) {
                builder.skip_to_row(row as usize);
                builder.push(value);
            }
        }
        self.best = best;
        builder.skip_to_row(rows);
        Filled { array: builder.finish(), versions, found }
    }

    /// Whether the append table that gets the same values has them, exactly or as rows of `_discards`. What a merge
    /// table rounds is noted there only, because it forgets which event a value came with.
    fn twin_keeps(&self, table: &TableDraft, column: &ColumnDraft) -> bool {
        let Some(twin) = append_twin(&table.name) else { return false };
        let twin = self.draft.tables.iter().find(|other| other.name == *twin && !other.off);
        twin.is_some_and(|twin| twin.columns.iter().any(|same| same.about.name == column.about.name && !same.off))
    }

    /// The largest values of rows that are too long, as (row or touch, column): whose values take too many bytes, or
    /// whose columns' names alone take more SQL than a commit can have.
    fn too_long(&self, table: &TableDraft) -> FxHashSet<(u32, usize)> {
        let mut dropped = FxHashSet::default();
        let dialect = self.draft.dialect;
        let (most, room) = (dialect.max_row_bytes, sql::insert_room(dialect));
        let fill = self.draft.rules.fill;
        let named = |column: usize| sql::append_bytes(&table.columns[column].about.name, &table.name, fill, dialect);
        // A merge can be cut between columns, an appended row cannot.
        let crowded = table.kind == TableKind::Append && (0..table.columns.len()).map(named).sum::<usize>() > room;
        if table.widest <= most / 2 && !crowded {
            return dropped;
        }
        let mut rows: BTreeMap<u32, Vec<(usize, usize)>> = BTreeMap::new();
        for (index, column) in table.columns.iter().enumerate().skip(1) {
            for (at, cell) in column.entries() {
                rows.entry(at).or_default().push((cell.bytes(), index));
            }
        }
        for (at, mut values) in rows {
            let mut total: usize = values.iter().map(|(size, _)| size).sum();
            let mut names: usize = if crowded { values.iter().map(|&(_, column)| named(column)).sum() } else { 0 };
            values.retain(|&(_, column)| column >= table.core_columns);
            values.sort_unstable_by_key(|&(size, column)| (std::cmp::Reverse(size), column));
            for (size, column) in values {
                if total <= most && names <= room {
                    break;
                }
                total -= size;
                names = names.saturating_sub(named(column));
                dropped.insert((at, column));
            }
        }
        dropped
    }

    fn discard_all(&mut self, table: &TableDraft, column: &ColumnDraft, reason: Reason) {
        for (at, cell) in column.entries().filter(|(_, cell)| *cell != Cell::Null) {
            self.discard(table, column, at, cell, reason);
        }
    }

    fn discard(&mut self, table: &TableDraft, column: &ColumnDraft, at: u32, cell: Cell, reason: Reason) {
        let (event_id, received_at) = match table.touches.get(at as usize) {
            Some(touch) => (touch.event_id.of(&table.touch_ids), touch.received_at),
            // Every row of an append table has a time, so the nth is the row's.
            None => (table.key(at), micros(table.columns[1].values.get(at as usize))),
        };
        let value = cell.canonical(column.values.text());
        self.discards.push(Discard::new(
            event_id,
            table.name.as_str(),
            column.about.name.as_str(),
            value.as_bytes(),
            reason,
            received_at,
        ));
    }
}

struct Filled {
    array: ArrayRef,
    versions: Option<ArrayRef>,
    /// Whether there is a value.
    found: bool,
}

fn micros(cell: Cell) -> i64 {
    match cell {
        Cell::Time(micros) => micros,
        _ => 0,
    }
}

/// Core columns in their order, then the others by name.
fn ordered(table: &TableDraft) -> Vec<(usize, &ColumnDraft)> {
    let mut columns: Vec<_> = table.columns.iter().enumerate().collect();
    columns[table.core_columns..].sort_by(|a, b| a.1.about.name.cmp(&b.1.about.name));
    columns
}
