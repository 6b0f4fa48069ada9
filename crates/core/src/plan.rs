//! The plan: what a load will do, as a value that can be read before it is run.

use crate::ident::Ident;
use crate::schema::{Change, TableKind};
use crate::types::Type;
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use std::collections::BTreeMap;
use std::fmt;

/// The 128-bit hash of exactly what a commit loads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommitId(pub u128);

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommitId({self})")
    }
}

/// The difference between what a draft wants and what is there.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Steps that make room, in order.
    pub changes: Vec<Change>,
    /// What is then loaded, each part at once.
    pub commits: Vec<Commit>,
    /// What an operator should know: tables close to a limit, tables changed by hand.
    pub notices: Vec<String>,
}

/// All loads of one cut of events: atomic, and once only.
#[derive(Clone, Debug)]
pub struct Commit {
    /// What makes it this commit.
    pub id: CommitId,
    /// The version of the schema it was planned for; another one answers `SchemaMismatch`.
    pub schema_version: i64,
    /// Where the events came from, for the ledger.
    pub source: String,
    /// The tables' rows. `_discards`, if any, is one of them and the last.
    pub loads: Vec<Load>,
}

impl Commit {
    /// How many discards it has of each reason, by the table that they were meant for; that is empty for lines that are
    /// no calls.
    pub fn reasons(&self) -> BTreeMap<(String, String), u64> {
        let mut reasons = BTreeMap::new();
        for load in self.loads.iter().filter(|load| load.table.as_str() == crate::discard::TABLE) {
            let texts = |name: &str| {
                let at = load.columns.iter().position(|column| column.name.as_str() == name)?;
                load.batch.columns().get(at)?.as_string_opt::<i32>()
            };
            let (Some(tables), Some(why)) = (texts("table_name"), texts("reason")) else { continue };
            for (table, reason) in tables.iter().zip(why) {
                let key = (table.unwrap_or_default().to_owned(), reason.unwrap_or_default().to_owned());
                *reasons.entry(key).or_default() += 1;
            }
        }
        reasons
    }
}

/// How a merge column takes a new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fold {
    /// The value with the highest version; an explicit null has a version and no value.
    Latest,
    /// The greatest value.
    Max,
    /// The least value.
    Min,
    /// Written with a new row, the same ever after.
    Once,
}

/// One column of a load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadColumn {
    /// Its name in the table.
    pub name: Ident,
    /// Its type in the table.
    pub ty: Type,
    /// How it merges; for append tables [`Fold::Once`].
    pub fold: Fold,
    /// Which column of the batch has the values; none if only versions are known (a null for a column that is not there).
    pub values: Option<usize>,
    /// Which column of the batch has the versions, for [`Fold::Latest`].
    pub versions: Option<usize>,
}

/// How the rows of one table came out; `received = loaded + duplicates + filtered + discarded`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that the events asked for; for a merge table one per key.
    pub received: u64,
    /// Rows that are in the table now because of this commit.
    pub loaded: u64,
    /// Rows that were there already, or twice in the events.
    pub duplicates: u64,
    /// Rows that selection or routing keeps out.
    pub filtered: u64,
    /// Rows that could not be held, kept in `_discards`.
    pub discarded: u64,
}

impl Counts {
    /// Whether every row is accounted for.
    pub fn add_up(&self) -> bool {
        self.received == self.loaded + self.duplicates + self.filtered + self.discarded
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.loaded += other.loaded;
        self.duplicates += other.duplicates;
        self.filtered += other.filtered;
        self.discarded += other.discarded;
    }
}

/// One table's rows in a commit.
#[derive(Clone, Debug)]
pub struct Load {
    /// The table.
    pub table: Ident,
    /// How rows get in.
    pub kind: TableKind,
    /// The columns; the first is the key (`id`), which is the batch's first column.
    pub columns: Vec<LoadColumn>,
    /// The rows, unique by key. Types by [`Type`]: Boolean, Int64, Decimal128(38, 0), Float64,
    /// Timestamp(µs, UTC), Utf8; versions are Decimal128(29, 0).
    pub batch: RecordBatch,
    /// What is known before the load: `loaded` is still 0, `duplicates` are those within the events.
    pub counts: Counts,
    /// Whether rows of an append table that are there already get these values in cells that are NULL.
    pub fill: bool,
    /// How far around the staged `received_at` a row with the same id is looked for, in µs; `None` looks everywhere.
    pub window: Option<i64>,
}

impl Load {
    /// Rows to stage.
    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }
}

/// Proof that a commit is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The commit.
    pub id: CommitId,
    /// Whether an earlier attempt had done it already.
    pub replayed: bool,
    /// How each table came out, in the order of the loads.
    pub tables: Vec<(Ident, Counts)>,
}
