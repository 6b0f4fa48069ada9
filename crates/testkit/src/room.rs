//! Where a case plays: one empty schema of one warehouse, with the words to fill it and to say what must be in it.

use crate::dump::{Dump, audit};
use crate::harness::{Checked, Failed, Harness, Opened};
use crate::load::load;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tablecast_core::ident::CORE_COLUMNS;
use tablecast_core::testing::Row;
use tablecast_core::{Dialect, Draft, Ident, LiveType, Receipt, Rules, Type};

/// An empty schema to play in, and the schemas that were opened beside it.
pub struct Room<'a> {
    harness: &'a dyn Harness,
    opened: Opened,
    rules: Rules,
    beside: Mutex<Vec<Opened>>,
}

impl fmt::Debug for Room<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Room({}, {:?})", self.rules.space, self.opened)
    }
}

impl<'a> Room<'a> {
    /// Opens a schema that nobody used before.
    pub async fn open(harness: &'a dyn Harness) -> Checked<Room<'a>> {
        let rules = Rules { space: fresh_space(), ..Rules::default() };
        let opened = harness.open(&rules.schema()).await?;
        Ok(Room { harness, opened, rules, beside: Mutex::default() })
    }

    /// The rules, with the space that this room is.
    pub fn rules(&self) -> Rules {
        self.rules.clone()
    }

    /// The warehouse and its probe.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// The warehouse's facts.
    pub fn dialect(&self) -> &'static Dialect {
        self.opened.warehouse.dialect()
    }

    /// A second handle onto the same schema, as another process would have it.
    pub async fn second(&self) -> Checked<Opened> {
        Ok(self.harness.open(&self.rules.schema()).await?)
    }

    /// Another empty schema of the same warehouse. It is part of what is compared with the model.
    pub async fn beside(&self) -> Checked<Room<'a>> {
        let room = Room::open(self.harness).await?;
        self.beside.lock().unwrap_or_else(PoisonError::into_inner).push(room.opened.clone());
        Ok(room)
    }

    /// A draft of some lines, by the usual rules.
    pub fn draft<L: AsRef<[u8]>>(&self, lines: &[L]) -> Draft {
        self.draft_by(&self.rules, lines)
    }

    /// A draft of some lines, by rules of the case's own.
    pub fn draft_by<L: AsRef<[u8]>>(&self, rules: &Rules, lines: &[L]) -> Draft {
        let mut draft = Draft::new(rules, self.dialect());
        lines.iter().for_each(|line| draft.push_line(line.as_ref()));
        draft
    }

    /// Loads some lines in one cut.
    pub async fn load<L: AsRef<[u8]>>(&self, lines: &[L]) -> Checked<Vec<Receipt>> {
        self.load_by(&self.rules, lines).await
    }

    /// Loads some lines in one cut, by rules of the case's own.
    pub async fn load_by<L: AsRef<[u8]>>(&self, rules: &Rules, lines: &[L]) -> Checked<Vec<Receipt>> {
        let draft = self.draft_by(rules, lines);
        Ok(load(&*self.opened.warehouse, &draft).await?)
    }

    /// All rows of a table.
    pub async fn rows(&self, table: &str) -> Checked<Vec<Row>> {
        Ok(self.opened.probe.rows(table).await?)
    }

    /// The names of the tables that events made: all but those that start with `_`.
    pub async fn user_tables(&self) -> Checked<BTreeSet<String>> {
        let own = ["_lock", "_commits", "_discards"];
        let tables = self.opened.probe.tables().await?.into_iter();
        Ok(tables.filter(|name| !own.contains(&&**name) && !name.ends_with("_versions")).collect())
    }

    /// The columns of a table with their types; none if it is missing.
    pub async fn columns(&self, table: &str) -> Checked<Vec<(String, LiveType)>> {
        let catalog = self.opened.warehouse.describe(&[Ident::from(table)]).await?;
        let columns = catalog.table(table).into_iter().flat_map(|table| table.columns.iter());
        Ok(columns.map(|(name, ty)| (name.to_string(), ty.clone())).collect())
    }

    /// The rows must be these and no others, in any order, as far as the named columns go.
    ///
    /// The first line names columns, each other line is a row: cells between `|`, an empty one is NULL.
    pub async fn expect(&self, table: &str, text: &str) -> Checked {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let cells = |line: &str| -> Vec<String> { line.split('|').map(|cell| cell.trim().to_owned()).collect() };
        let header = lines.next().map(cells).unwrap_or_default();
        let there: BTreeSet<String> = self.columns(table).await?.into_iter().map(|(name, _)| name).collect();
        if let Some(missing) = header.iter().find(|column| !there.contains(*column)) {
            return Err(Failed(format!("{table} has no column {missing}; it has {there:?}")));
        }
        let mut should: Vec<Vec<String>> = lines.map(cells).collect();
        let cell = |row: &Row, column: &String| row.get(column).cloned().unwrap_or_default();
        let rows = self.rows(table).await?;
        let mut is: Vec<Vec<String>> =
            rows.iter().map(|row| header.iter().map(|column| cell(row, column)).collect()).collect();
        should.sort_unstable();
        is.sort_unstable();
        same(&is, &should, &format!("rows of {table}, as {}", header.join(" | ")))
    }

    /// The columns that the events brought, beyond the fixed ones and those of the context, must be these.
    pub async fn expect_columns(&self, table: &str, names: &[&str]) -> Checked {
        let fixed = |name: &str| CORE_COLUMNS.contains(&name) || name.starts_with("context_");
        let columns = self.columns(table).await?.into_iter().map(|(name, _)| name).filter(|name| !fixed(name));
        let should: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        same(&columns.collect::<BTreeSet<_>>(), &should, &format!("columns of {table}"))
    }

    /// A column must have this type.
    pub async fn expect_type(&self, table: &str, column: &str, ty: Type) -> Checked {
        let columns = self.columns(table).await?;
        let is = columns.into_iter().find(|(name, _)| name == column).map(|(_, ty)| ty);
        let told = |ty| self.dialect().told(ty);
        let is = is.map(|is| is.known().map_or(is, |ty| LiveType::Known(told(ty))));
        same(&is, &Some(LiveType::Known(told(ty))), &format!("type of {table}.{column}"))
    }

    /// The tables that events made must be these.
    pub async fn expect_tables(&self, names: &[&str]) -> Checked {
        let should: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        same(&self.user_tables().await?, &should, "tables")
    }

    /// These discards must be there, and no others: `table | column | value | reason`, one a line.
    pub async fn expect_discards(&self, text: &str) -> Checked {
        self.expect("_discards", &format!("table_name | column_name | value | reason\n{text}")).await
    }

    /// Everything that does not depend on how it was loaded, of this schema and those beside it.
    pub async fn dumps(&self) -> Checked<Vec<Dump>> {
        let beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut dumps = Vec::new();
        for opened in std::iter::once(&self.opened).chain(&beside) {
            audit(opened).await?;
            dumps.push(Dump::of(opened).await?);
        }
        Ok(dumps)
    }

    /// Everything of this schema that does not depend on how it was loaded.
    pub async fn dump(&self) -> Checked<Dump> {
        Dump::of(&self.opened).await
    }
}

/// Fails unless both are the same.
pub fn same<T: fmt::Debug + PartialEq>(is: &T, should: &T, what: &str) -> Checked {
    if is == should { Ok(()) } else { Err(Failed(format!("{what}:\n  is     {is:?}\n  should {should:?}"))) }
}

/// A space that no other test, run or process uses.
fn fresh_space() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    format!("t{nanos:x}p{:x}n{:x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
