//! How a load is staged: which columns go through which staging table, and how much SQL they take.

use crate::dialect::Dialect;
use crate::ident::{Ident, versions_table};
use crate::plan::{Fold, Load};
use crate::schema::TableKind;
use crate::types::Type;

/// What a statement takes beside its columns: schema, stage, conditions.
const FRAME_BYTES: usize = 4_096;
/// The words around a column's names in a merge, and in an insert.
const MERGE_BYTES: usize = 160;
const INSERT_BYTES: usize = 20;
/// What a warehouse may need around a staged document to read it.
const JSON_BYTES: usize = 120;
/// The words around a column's names where empty cells are filled.
const FILL_BYTES: usize = 40;

/// A column of a staging table: named by ordinal, since a long name plus a suffix would be cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageColumn {
    /// `k` for the key, `c0, c1, …` for values, `v0, v1, …` for versions; bare.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// The column of the batch that goes in.
    pub source: usize,
}

/// The columns of a load, key excluded, in groups that go through one staging table each; indices into
/// `load.columns`.
///
/// A group of a merge has at most `merge_group` columns, and no statement of a group is longer than
/// `max_sql_bytes`. What is written once only comes first, because the first group also inserts the missing
/// keys. There is always one group, if only an empty one.
pub fn groups(load: &Load, dialect: &Dialect) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (1..load.columns.len()).collect();
    order.sort_by_key(|&at| load.columns[at].fold != Fold::Once);
    let merge = load.kind == TableKind::Merge;
    let width = if merge { dialect.merge_group.max(1) } else { usize::MAX };
    let room = dialect.max_sql_bytes.saturating_sub(FRAME_BYTES);
    let (mut groups, mut group, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
    for at in order {
        let more = longest_bytes(load, at, dialect);
        if !group.is_empty() && (group.len() == width || bytes + more > room) {
            groups.push(std::mem::take(&mut group));
            bytes = 0;
        }
        group.push(at);
        bytes += more;
    }
    groups.push(group);
    groups
}

/// The most bytes that one statement spends on a column: in a merge, the update of its versions.
fn longest_bytes(load: &Load, at: usize, dialect: &Dialect) -> usize {
    let name = &load.columns[at].name;
    let read = read_bytes(load, at);
    if load.kind != TableKind::Merge {
        let quote = |name: &Ident| (dialect.quote)(name.as_str()).len();
        let fill = 2 * quote(name) + quote(&load.table) + FILL_BYTES;
        return read + if load.fill { fill } else { quote(name) + INSERT_BYTES };
    }
    read + 5 * (dialect.quote)(name.as_str()).len()
        + 4 * (dialect.quote)(versions_table(&load.table).as_str()).len()
        + MERGE_BYTES
}

fn read_bytes(load: &Load, at: usize) -> usize {
    if load.columns[at].ty == Type::Json { JSON_BYTES } else { 0 }
}

/// What the statements of an append spend on a column.
pub(crate) fn append_bytes(column: &Ident, table: &Ident, fill: bool, dialect: &Dialect) -> usize {
    let quote = |name: &Ident| (dialect.quote)(name.as_str()).len();
    let insert = quote(column) + INSERT_BYTES;
    if fill { insert + 2 * quote(column) + quote(table) + FILL_BYTES } else { insert }
}

/// What the columns of one appended row may take of a commit's SQL.
pub(crate) fn insert_room(dialect: &Dialect) -> usize {
    if dialect.max_script_bytes == usize::MAX {
        return usize::MAX;
    }
    let statements = dialect.max_script_bytes / dialect.max_sql_bytes.max(1) + 2;
    dialect.max_script_bytes.saturating_sub(statements.saturating_mul(FRAME_BYTES))
}

/// The columns of the staging table for one group: the key, then values and versions.
pub fn stage_columns(load: &Load, group: &[usize]) -> Vec<StageColumn> {
    let key = load.columns.first().and_then(|column| Some((column.ty, column.values?)));
    let key = key.map(|(ty, source)| StageColumn { name: "k".into(), ty, source });
    let others = group.iter().flat_map(|&at| {
        let column = &load.columns[at];
        let values = column.values.map(|source| StageColumn { name: value(at), ty: column.ty, source });
        let versions = column.versions.map(|source| StageColumn { name: version(at), ty: Type::Version, source });
        values.into_iter().chain(versions)
    });
    key.into_iter().chain(others).collect()
}

/// How many statements [`append`](super::Sql::append) or [`merge`](super::Sql::merge) takes at most.
pub fn statements(load: &Load, dialect: &Dialect) -> usize {
    if load.rows() == 0 {
        return 0;
    }
    let groups = groups(load, dialect).len();
    match load.kind {
        TableKind::Merge => 2 * groups + 2,
        _ if load.fill => 2 * groups,
        _ => groups,
    }
}

/// How long these statements are together, at most.
pub fn script_bytes(load: &Load, dialect: &Dialect) -> usize {
    if load.rows() == 0 {
        return 0;
    }
    let of_column = |at: usize| match load.kind {
        // In two updates and two inserts, which together are not three times the longest.
        TableKind::Merge => 3 * longest_bytes(load, at, dialect),
        _ => append_bytes(&load.columns[at].name, &load.table, load.fill, dialect) + 2 * read_bytes(load, at),
    };
    let columns: usize = (1..load.columns.len()).map(of_column).sum();
    columns + statements(load, dialect) * FRAME_BYTES
}

pub(super) fn value(at: usize) -> String {
    format!("c{}", at.saturating_sub(1))
}

pub(super) fn version(at: usize) -> String {
    format!("v{}", at.saturating_sub(1))
}

pub(super) fn live_version(at: usize) -> String {
    format!("w{}", at.saturating_sub(1))
}
