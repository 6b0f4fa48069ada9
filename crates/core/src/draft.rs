//! What a set of events wants: each call becomes rows of its tables, values as they came. No decision
//! needs a warehouse yet; [`Draft::plan`] makes them against a catalog.

mod rows;
mod targets;
mod values;

use crate::column::DISCARD_BYTES;
use crate::dialect::Dialect;
use crate::discard::{Discard, Reason, hex};
use crate::envelope::{self, Rejected};
use crate::event::Call;
use crate::hash::hash;
use crate::ident::{Ident, SYSTEM_TABLES, computation_columns, versions_table};
use crate::names::{Name, Names};
use crate::origin::Origin;
use crate::rules::{Cut, Only, Rules};
use crate::schema::TableKind;
use crate::table::TableDraft;
use crate::types::Type;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;
use std::fmt;
use xxhash_rust::xxh3::Xxh3Default;

/// Paths after which the memory for names starts anew.
const MAX_PLACES: usize = 200_000;
/// Values that a call can have: far beyond what any table holds, and few enough that one line cannot take all memory.
const MAX_VALUES: usize = 50_000;
/// Memory after which a draft takes no more calls: its spans are 32 bits wide. `is_full` comes long before.
const MAX_BYTES: usize = 1 << 30;
/// Bytes that the context of a batch body may come to, copied to all its calls.
const MAX_BATCH: usize = 64 << 20;
/// Text of names after which the memory for them starts anew.
const MAX_NAME_BYTES: usize = 16 << 20;

/// A running hash of the calls and of the rules that they are read by.
pub(crate) struct Digest(Xxh3Default);

impl Digest {
    fn new(rules: &Rules, only: Option<&Only>) -> Self {
        // Where a stream is cut changes nothing in what a cut loads.
        let rules = Rules { cut: Cut { events: 0, bytes: 0 }, ..rules.clone() };
        let mut digest = Xxh3Default::new();
        digest.update(format!("{rules:?}").as_bytes());
        if let Some(only) = only {
            digest.update(format!("{only:?}").as_bytes());
        }
        Digest(digest)
    }

    /// A line, which is all that its calls say of themselves.
    fn line(&mut self, line: &[u8]) {
        self.0.update(&hash(line).to_le_bytes());
    }

    /// What a call was given besides: an id, a time, a route.
    fn call(&mut self, id: u64, received_at: i64, wanted: bool) {
        let mut all = [u8::from(wanted); 17];
        all[..8].copy_from_slice(&id.to_le_bytes());
        all[8..16].copy_from_slice(&received_at.to_le_bytes());
        self.0.update(&all);
    }

    pub(crate) fn digest128(&self) -> u128 {
        self.0.digest128()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.digest128())
    }
}

/// What a set of events wants: tables, columns, types, rows.
///
/// Pushing never fails: what cannot be a row is a discard. A draft belongs to one set of [`Rules`] and one
/// [`Dialect`], and holds one cut of events; when [`Draft::is_full`] says so, load it and [`Draft::clear`] it.
///
/// ```
/// use tablecast_core::{Catalog, Draft, Rules, memory};
///
/// let mut draft = Draft::new(&Rules::default(), &memory::DIALECT);
/// draft.push_line(br#"{"type":"identify","userId":"u1","messageId":"m1","traits":{"plan":"pro"}}"#);
/// let plan = draft.plan(&Catalog::default());
/// assert!(plan.changes.iter().any(|change| change.to_string().starts_with("create table users")));
/// assert_eq!(plan.commits[0].loads[0].rows(), 1);
/// ```
#[derive(Debug)]
pub struct Draft {
    pub(crate) rules: Rules,
    /// The types that the rules give to columns.
    pub(crate) types: BTreeMap<String, Type>,
    /// What alone is loaded, if not everything.
    pub(crate) only: Option<Only>,
    pub(crate) dialect: &'static Dialect,
    pub(crate) tables: Vec<TableDraft>,
    pub(crate) discards: Vec<Discard>,
    pub(crate) sources: Vec<String>,
    /// Whether some call had no time of its own.
    pub(crate) stamped: bool,
    /// The hash of the calls, with what they were stamped with.
    pub(crate) digest: Digest,
    names: Names,
    table_of: FxHashMap<Ident, usize>,
    kind_tables: [Option<usize>; 6],
    event_table_of: FxHashMap<String, usize>,
    /// The columns of audiences and traits that are switched off.
    computation_columns: FxHashSet<Ident>,
    /// Columns that got a value of a batch's envelope, for the call at hand.
    shared: Vec<(usize, Name)>,
    own: Option<Origin>,
    call: Call,
    inner: Call,
    events: usize,
    /// Calls taken before the last line.
    before: usize,
    /// Bytes of entries, text and discards.
    held: usize,
}

impl Draft {
    /// An empty draft.
    pub fn new(rules: &Rules, dialect: &'static Dialect) -> Self {
        let off = rules.off.computations.iter();
        Draft {
            rules: rules.clone(),
            types: rules.types_of_columns(dialect),
            only: None,
            dialect,
            tables: Vec::new(),
            discards: Vec::new(),
            sources: Vec::new(),
            stamped: false,
            digest: Digest::new(rules, None),
            names: Names::new(dialect),
            table_of: FxHashMap::default(),
            kind_tables: [None; 6],
            event_table_of: FxHashMap::default(),
            computation_columns: off.flat_map(|key| computation_columns(key, dialect)).collect(),
            shared: Vec::new(),
            own: None,
            call: Call::default(),
            inner: Call::default(),
            events: 0,
            before: 0,
            held: 0,
        }
    }

    /// Narrows an empty draft to some tables and columns; all others are filtered. Calls that were loaded before are loaded
    /// again like this, to bring what is missing of a table or a column.
    #[must_use]
    pub fn only(mut self, only: Only) -> Self {
        self.digest = Digest::new(&self.rules, Some(&only));
        self.only = Some(only);
        self
    }

    /// Takes one line: a call or a batch body. A call without an id or a time gets them from its bytes and
    /// from 1970 on; to give it better ones use [`Draft::push_line_from`].
    pub fn push_line(&mut self, line: &[u8]) {
        let mut own = self.own.take().unwrap_or_else(|| Origin::file("", 0));
        self.push_line_from(&mut own, line);
        self.own = Some(own);
    }

    /// Takes one line that came from `origin`. A blank line is nothing.
    pub fn push_line_from(&mut self, origin: &mut Origin, line: &[u8]) {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
        if line.is_empty() {
            return;
        }
        self.note_source(origin);
        self.before = self.events;
        self.digest.line(line);
        let mut call = std::mem::take(&mut self.call);
        match call.read(line) {
            Ok(()) => match call.take_batch() {
                None => self.accept(origin, line, &call, None),
                Some(calls) if calls.is_empty() => self.discard_line(origin, line, Reason::EmptyBatch),
                Some(calls) if calls.len().saturating_mul(call.context_bytes()) > MAX_BATCH => {
                    self.discard_line(origin, line, Reason::LineTooLong);
                }
                Some(calls) => {
                    self.envelope_strays(origin, line, &call);
                    let mut inner = std::mem::take(&mut self.inner);
                    for (start, end) in calls {
                        let bytes = &line[start..end];
                        match inner.read(bytes) {
                            // A batch in a batch is a call without a type.
                            Ok(()) if inner.take_batch().is_some() => {
                                self.discard_line(origin, bytes, Reason::UnknownType);
                            }
                            Ok(()) => self.accept(origin, bytes, &inner, Some(&call)),
                            Err(reason) => self.discard_line(origin, bytes, reason),
                        }
                    }
                    self.inner = inner;
                }
            },
            Err(reason) => self.discard_line(origin, line, reason),
        }
        self.call = call;
    }

    /// Takes a batch body whose calls are more than its receiver takes: each becomes a discard, `batch_too_long`.
    pub fn push_surplus(&mut self, origin: &mut Origin, line: &[u8]) {
        self.note_source(origin);
        self.before = self.events;
        // The same line is something else here than it is in `push_line_from`.
        self.digest.line(b"surplus");
        self.digest.line(line);
        let (mut call, mut inner) = (std::mem::take(&mut self.call), std::mem::take(&mut self.inner));
        let calls = call.read(line).ok().and_then(|()| call.take_batch());
        for (start, end) in calls.unwrap_or_else(|| vec![(0, line.len())]) {
            let bytes = &line[start..end];
            if inner.read(bytes).is_err() {
                self.discard_line(origin, bytes, Reason::BatchTooLong);
                continue;
            }
            self.events += 1;
            let stamped = origin.next_call();
            let rejected = match envelope::read(&inner, Some(&call), origin, bytes, stamped) {
                Ok((kind, envelope)) => {
                    let (event_id, received_at) = (envelope.id.into_owned(), envelope.received_at);
                    Rejected { event_id, table: kind.table(), reason: Reason::BatchTooLong, received_at }
                }
                Err(rejected) => Rejected { reason: Reason::BatchTooLong, ..rejected },
            };
            self.reject(bytes, rejected);
        }
        (self.call, self.inner) = (call, inner);
    }

    /// Keeps what is known of a line that is too long to be held: its first bytes, its length in bytes, its SHA-256.
    pub fn push_oversized(&mut self, origin: &mut Origin, head: &[u8], bytes: u64, sha256: [u8; 32]) {
        self.note_source(origin);
        let received_at = origin.next_call();
        let event_id = format!("{:032x}", origin.id_for(&sha256));
        self.events += 1;
        self.keep(Discard::of_head(&event_id, "", "", head, bytes, hex(&sha256), Reason::LineTooLong, received_at));
    }

    /// Calls taken, with lines that are none.
    pub fn events(&self) -> usize {
        self.events
    }

    /// Whether nothing was taken.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Memory that the draft and its batches will take, in bytes, estimated.
    pub fn bytes(&self) -> usize {
        self.held
            + self.names.len() * 64
            + self.names.key_bytes()
            + self.tables.iter().map(TableDraft::dense_bytes).sum::<usize>()
    }

    /// Whether the draft is large enough for a commit.
    pub fn is_full(&self) -> bool {
        // The whole figure walks over all columns, so it is taken now and then.
        self.events >= self.rules.cut.events
            || self.held >= self.rules.cut.bytes
            || (self.events / 64 != self.before / 64 && self.bytes() >= self.rules.cut.bytes)
    }

    /// Forgets the events; what it learnt about names stays.
    pub fn clear(&mut self) {
        if self.names.len() > MAX_PLACES || self.names.key_bytes() > MAX_NAME_BYTES || self.tables.len() > 2_000 {
            self.start_anew();
            return;
        }
        self.tables.iter_mut().for_each(TableDraft::clear);
        self.discards.clear();
        self.sources.clear();
        self.stamped = false;
        self.digest = Digest::new(&self.rules, self.only.as_ref());
        (self.events, self.before, self.held) = (0, 0, 0);
        if self.bytes() > self.rules.cut.bytes / 4 {
            self.start_anew();
        }
    }

    fn start_anew(&mut self) {
        let (own, only) = (self.own.take(), self.only.take());
        *self = Draft::new(&self.rules, self.dialect);
        self.own = own;
        if let Some(only) = only {
            self.digest = Digest::new(&self.rules, Some(&only));
            self.only = Some(only);
        }
    }

    /// The tables that [`Draft::plan`] must know of: those of the events and Tablecast's own.
    pub fn tables(&self) -> Vec<Ident> {
        let mut tables: Vec<Ident> = SYSTEM_TABLES.iter().map(|&name| Ident::from(name)).collect();
        for table in self.tables.iter().filter(|table| table.counts.received > 0) {
            tables.push(table.name.clone());
            if table.kind == TableKind::Merge {
                tables.push(versions_table(&table.name));
            }
        }
        tables
    }

    fn note_source(&mut self, origin: &Origin) {
        if self.sources.last().is_none_or(|last| last != origin.name()) {
            self.sources.push(origin.name().to_owned());
        }
    }

    fn keep(&mut self, discard: Discard) {
        self.held += 2 * discard.value.len() + DISCARD_BYTES;
        self.discards.push(discard);
    }

    /// A line, or a part of a batch, that is no call at all.
    fn discard_line(&mut self, origin: &mut Origin, bytes: &[u8], reason: Reason) {
        let received_at = origin.next_call();
        let event_id = format!("{:032x}", origin.id_for(bytes));
        self.events += 1;
        self.keep(Discard::new(&event_id, "", "", bytes, reason, received_at));
    }
}
