//! Loads into commits: which fit together, and the id that says what a commit is.

use crate::cell::Value;
use crate::columns::{Builder, batch_of};
use crate::dialect::Dialect;
use crate::discard::{self, Discard};
use crate::draft::Draft;
use crate::ident::Ident;
use crate::plan::{Commit, CommitId, Counts, Fold, Load, LoadColumn};
use crate::schema::TableKind;
use crate::{split, sql};
use arrow_array::cast::AsArray;
use rustc_hash::FxHashSet;
use xxhash_rust::xxh3::Xxh3Default;

/// How long the ledger's account of where calls came from becomes; names of files have no end.
const SOURCE_BYTES: usize = 2_000;

/// The loads in their order, each with its own discards, in as few commits as hold them. There is always one, if
/// there is anything to say.
pub(crate) fn commits(draft: &Draft, loads: Vec<(Load, Vec<Discard>)>, schema_version: i64) -> Vec<Commit> {
    // Discards that the draft made itself go with the table that they name, the others with the last.
    let mut strays: Vec<Discard> = draft.discards.clone();
    let mut commits = Vec::new();
    let split = |(load, discards): (Load, _)| {
        let (fits, mut discards) = (split::fits(&load, draft.dialect), Some(discards));
        split::split(load, draft.dialect).into_iter().map(move |load| (load, fits, discards.take().unwrap_or_default()))
    };
    let mut loads = loads.into_iter().flat_map(split).peekable();
    loop {
        let (mut part, mut discards) = (Vec::new(), Vec::new());
        let (mut used, mut whole) = (Used::default(), true);
        while let Some((load, fits, own)) = loads.next_if(|(load, ..)| used.has_room_for(load, draft.dialect)) {
            whole &= fits;
            part.push(load);
            discards.extend(own);
        }
        let last = loads.peek().is_none();
        let (now, later): (Vec<_>, Vec<_>) =
            strays.into_iter().partition(|stray| last || part.iter().any(|load| load.table == *stray.table.as_str()));
        strays = later;
        discards.extend(now);
        commits.extend(commit(draft, part, whole, discards, schema_version));
        if last {
            return commits;
        }
    }
}

fn commit(
    draft: &Draft,
    mut loads: Vec<Load>,
    whole: bool,
    discards: Vec<Discard>,
    schema_version: i64,
) -> Option<Commit> {
    let mut hasher = Xxh3Default::new();
    hasher.update(draft.rules.schema().as_str().as_bytes());
    hasher.update(&draft.digest.digest128().to_le_bytes());
    for load in &loads {
        hash_shape(&mut hasher, load);
        if !whole {
            hash_keys(&mut hasher, load);
        }
    }
    for discard in &discards {
        hasher.update(discard.id().as_bytes());
    }
    let id = CommitId(hasher.digest128());
    if !discards.is_empty() {
        loads.push(discards_load(id, discards));
    }
    (!loads.is_empty()).then(|| Commit { id, schema_version, source: named(&draft.sources), loads })
}

/// The names of where calls came from, as many as the ledger has use for.
fn named(sources: &[String]) -> String {
    let mut text = String::new();
    for (at, source) in sources.iter().enumerate() {
        if at > 0 && text.len() + source.len() > SOURCE_BYTES {
            return format!("{text} and {} more", sources.len() - at);
        }
        text.push_str(if at > 0 { ", " } else { "" });
        text.push_str(source);
    }
    text
}

/// What the loads of a commit take of what a commit can hold. `_discards` has its place beside them.
#[derive(Default)]
struct Used {
    tables: Vec<Ident>,
    statements: usize,
    bytes: usize,
}

impl Used {
    /// Takes the room that a load needs, if it is there. The first one always goes in, a table only once.
    fn has_room_for(&mut self, load: &Load, dialect: &Dialect) -> bool {
        let statements = self.statements + sql::statements(load, dialect);
        let bytes = self.bytes + sql::script_bytes(load, dialect);
        let fits = self.tables.len() < dialect.tables_per_commit.saturating_sub(1).max(2)
            && statements < dialect.max_statements
            && bytes < dialect.max_script_bytes
            && !self.tables.contains(&load.table);
        if !self.tables.is_empty() && !fits {
            return false;
        }
        self.tables.push(load.table.clone());
        (self.statements, self.bytes) = (statements, bytes);
        true
    }
}

/// The rows of a load follow from the events, which are in the draft's digest, and from its columns.
fn hash_shape(hasher: &mut Xxh3Default, load: &Load) {
    hasher.update(&[0]);
    hasher.update(load.table.as_str().as_bytes());
    hasher.update(&(load.rows() as u64).to_le_bytes());
    for column in &load.columns {
        hasher.update(column.name.as_str().as_bytes());
        hasher.update(&[0, column.ty as u8, u8::from(column.values.is_some())]);
    }
}

/// Which rows a part of a load has, its shape does not say.
fn hash_keys(hasher: &mut Xxh3Default, load: &Load) {
    if let Some(keys) = load.batch.columns().first().and_then(|keys| keys.as_string_opt::<i32>()) {
        keys.iter().flatten().for_each(|key| hasher.update(key.as_bytes()));
    }
}

fn discards_load(id: CommitId, discards: Vec<Discard>) -> Load {
    let mut counts = Counts { received: discards.len() as u64, ..Counts::default() };
    let mut builders: Vec<Builder> = discard::COLUMNS.iter().map(|&(_, ty)| Builder::new(ty, discards.len())).collect();
    let mut seen = FxHashSet::default();
    let commit = id.to_string();
    for discard in discards {
        let key = discard.id();
        if !seen.insert(key.clone()) {
            counts.duplicates += 1;
            continue;
        }
        let bytes = i64::try_from(discard.bytes).unwrap_or(i64::MAX);
        let row = [
            Value::Text(key.into()),
            Value::Text(commit.as_str().into()),
            Value::Text(discard.table.into()),
            Value::Text(discard.event_id.into()),
            Value::Text(discard.column.into()),
            Value::Text(discard.value.into()),
            Value::Int(bytes),
            Value::Text(discard.sha256.into()),
            Value::Text(discard.reason.code().into()),
            Value::Time(discard.received_at),
        ];
        for (builder, value) in builders.iter_mut().zip(row) {
            builder.push(value);
        }
    }
    let columns = discard::COLUMNS
        .iter()
        .enumerate()
        .map(|(at, &(name, ty))| LoadColumn {
            name: name.into(),
            ty,
            fold: Fold::Once,
            values: Some(at),
            versions: None,
        })
        .collect();
    let arrays = builders.into_iter().map(Builder::finish).collect();
    Load {
        table: discard::TABLE.into(),
        kind: TableKind::Append,
        columns,
        batch: batch_of(arrays),
        counts,
        fill: false,
        window: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_names_as_many_sources_as_it_has_use_for() {
        let names =
            |count: usize| (0..count).map(|nth| format!("calls/2026-01-01/{nth:05}.ndjson")).collect::<Vec<_>>();
        assert_eq!(named(&names(2)), "calls/2026-01-01/00000.ndjson, calls/2026-01-01/00001.ndjson");
        let many = named(&names(600));
        assert!(many.len() < SOURCE_BYTES + 100 && many.ends_with("more"), "{many}");
        let shown = many.matches("ndjson").count();
        assert!(many.ends_with(&format!(" and {} more", 600 - shown)), "{many}");
        assert_eq!(named(&[]), "");
    }
}
