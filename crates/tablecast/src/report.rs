//! What a write did, for people and for machines.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use tablecast_core::schema::TableKind;
use tablecast_core::{Change, CommitId, Counts, Ident, Receipt};

/// What a write did. As JSON: `{"changes": […], "tables": {NAME: counts}, "commits": […], "notices": […]}`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Schema steps that were made, in order.
    #[serde(serialize_with = "changes")]
    pub changes: Vec<Change>,
    /// How the rows of each table came out, summed over the commits. `_discards` is one of the tables.
    #[serde(serialize_with = "tables")]
    pub tables: BTreeMap<Ident, Counts>,
    /// The commits, in order.
    pub commits: Vec<CommitReport>,
    /// What an operator should know; each once.
    pub notices: Vec<String>,
    /// Discards by the table that they were meant for and the reason; not part of the JSON. One that was there
    /// already counts too.
    #[serde(skip)]
    pub reasons: BTreeMap<(String, String), u64>,
    /// The columns that the calls had values for, by table; not part of the JSON.
    #[serde(skip)]
    pub columns: BTreeMap<Ident, BTreeSet<Ident>>,
}

/// One durable commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CommitReport {
    /// Its id, 32 hex digits in JSON.
    #[serde(serialize_with = "commit_id")]
    pub id: CommitId,
    /// Whether an earlier attempt had done it already.
    pub replayed: bool,
}

impl Report {
    /// How many discards the write asked for: values and lines that are in `_discards` now.
    pub fn discards(&self) -> u64 {
        self.tables.get("_discards").map_or(0, |counts| counts.received - counts.filtered)
    }

    /// Adds a later write's report to this one.
    pub fn extend(&mut self, later: Report) {
        self.changes.extend(later.changes);
        for (table, counts) in later.tables {
            *self.tables.entry(table).or_default() += counts;
        }
        self.commits.extend(later.commits);
        self.notice(later.notices);
        for (reason, count) in later.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        for (table, columns) in later.columns {
            self.columns.entry(table).or_default().extend(columns);
        }
    }

    pub(crate) fn receipt(&mut self, receipt: &Receipt) {
        for (table, counts) in &receipt.tables {
            *self.tables.entry(table.clone()).or_default() += *counts;
        }
        self.commits.push(CommitReport { id: receipt.id, replayed: receipt.replayed });
    }

    pub(crate) fn notice(&mut self, notices: Vec<String>) {
        for notice in notices {
            if !self.notices.contains(&notice) {
                self.notices.push(notice);
            }
        }
    }
}

fn commit_id<S: Serializer>(id: &CommitId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

fn tables<S: Serializer>(tables: &BTreeMap<Ident, Counts>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct View {
        received: u64,
        loaded: u64,
        duplicates: u64,
        filtered: u64,
        discarded: u64,
    }
    let mut map = serializer.serialize_map(Some(tables.len()))?;
    for (table, counts) in tables {
        let Counts { received, loaded, duplicates, filtered, discarded } = *counts;
        map.serialize_entry(table.as_str(), &View { received, loaded, duplicates, filtered, discarded })?;
    }
    map.end()
}

fn changes<S: Serializer>(changes: &[Change], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Column<'a> {
        name: &'a str,
        #[serde(rename = "type")]
        ty: tablecast_core::Type,
    }
    #[derive(Serialize)]
    #[serde(tag = "change", rename_all = "snake_case")]
    enum View<'a> {
        CreateTable {
            table: &'a str,
            kind: &'static str,
            columns: Vec<Column<'a>>,
        },
        AddColumn {
            table: &'a str,
            column: &'a str,
            #[serde(rename = "type")]
            ty: tablecast_core::Type,
        },
        WidenColumn {
            table: &'a str,
            column: &'a str,
            from: tablecast_core::Type,
            to: tablecast_core::Type,
        },
        GrowColumn {
            table: &'a str,
            column: &'a str,
            bytes: usize,
        },
    }
    let mut list = serializer.serialize_seq(Some(changes.len()))?;
    for change in changes {
        list.serialize_element(&match change {
            Change::CreateTable { table, kind, columns } => View::CreateTable {
                table: table.as_str(),
                kind: match kind {
                    TableKind::Append => "append",
                    TableKind::Merge => "merge",
                    TableKind::Versions => "versions",
                    TableKind::System => "system",
                },
                columns: columns.iter().map(|(name, ty)| Column { name: name.as_str(), ty: *ty }).collect(),
            },
            Change::AddColumn { table, column, ty } => {
                View::AddColumn { table: table.as_str(), column: column.as_str(), ty: *ty }
            }
            Change::Widen { table, column, from, to } => {
                View::WidenColumn { table: table.as_str(), column: column.as_str(), from: *from, to: *to }
            }
            Change::Grow { table, column, bytes } => {
                View::GrowColumn { table: table.as_str(), column: column.as_str(), bytes: *bytes }
            }
        })?;
    }
    list.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tablecast_core::Type;

    #[test]
    fn the_json_shape_is_stable() {
        let mut report = Report {
            changes: vec![
                Change::CreateTable {
                    table: "users".into(),
                    kind: TableKind::Merge,
                    columns: vec![("id".into(), Type::Text)],
                },
                Change::AddColumn { table: "users".into(), column: "a".into(), ty: Type::Int },
                Change::Widen { table: "users".into(), column: "a".into(), from: Type::Int, to: Type::Float },
            ],
            ..Report::default()
        };
        let counts = Counts { received: 3, loaded: 1, duplicates: 1, filtered: 0, discarded: 1 };
        let receipt = Receipt {
            id: CommitId(7),
            replayed: true,
            tables: vec![("users".into(), counts), ("_discards".into(), counts)],
        };
        report.receipt(&receipt);
        report.notice(vec!["wide".into(), "wide".into()]);
        let mut twice = report.clone();
        twice.extend(report.clone());
        assert_eq!(
            (twice.tables["users"].received, twice.discards(), twice.commits.len(), twice.notices.len()),
            (6, 6, 2, 1)
        );
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            concat!(
                r#"{"changes":[{"change":"create_table","table":"users","kind":"merge","columns":[{"name":"id","type":"text"}]},"#,
                r#"{"change":"add_column","table":"users","column":"a","type":"int"},"#,
                r#"{"change":"widen_column","table":"users","column":"a","from":"int","to":"float"}],"#,
                r#""tables":{"_discards":{"received":3,"loaded":1,"duplicates":1,"filtered":0,"discarded":1},"#,
                r#""users":{"received":3,"loaded":1,"duplicates":1,"filtered":0,"discarded":1}},"#,
                r#""commits":[{"id":"00000000000000000000000000000007","replayed":true}],"notices":["wide"]}"#
            )
        );
    }
}
