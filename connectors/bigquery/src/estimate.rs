//! What the statements of a commit would read: BigQuery says so in dry runs, which cost nothing and change nothing.

use crate::BigQuery;
use crate::schema::{self, AT_ONCE};
use crate::spans;
use crate::sql::Writer;
use crate::types::DIALECT;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;
use tablecast_core::ident::versions_table;
use tablecast_core::schema::{Table, TableKind};
use tablecast_core::sql as shared;
use tablecast_core::{Commit, Ident, LiveType, Load, Result, Type};

/// The bytes of the tables that are there. The staged rows come on top; nobody can say how many bytes they are before
/// they are staged.
pub(crate) async fn estimate(warehouse: &BigQuery, commit: &Commit) -> Result<u64> {
    let loads = || commit.loads.iter().filter(|load| load.rows() > 0);
    let names: Vec<Ident> = loads().flat_map(|load| [load.table.clone(), versions_table(&load.table)]).collect();
    let live = schema::live(warehouse, &names).await?;
    let writer = Writer::new(&warehouse.dataset);
    let texts = loads().filter_map(|load| what_is_there(load, &live)).flat_map(|load| {
        let within = spans::within(&load).filter(|_| load.kind == TableKind::Append);
        writer.reads(&load, &shared::groups(&load, &DIALECT), within)
    });
    let texts: Vec<String> = texts.collect();
    if texts.is_empty() {
        return Ok(0);
    }
    let location = warehouse.location().await?;
    let (client, location) = (&warehouse.client, location.as_str());
    let one = |text: String| async move { client.dry_run(location, &text).await };
    let bytes: Vec<u64> = stream::iter(texts).map(one).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(bytes.into_iter().fold(0, u64::saturating_add))
}

/// A load without the columns that are not there yet; none without its table.
fn what_is_there(load: &Load, live: &BTreeMap<Ident, Table>) -> Option<Load> {
    let table = live.get(&load.table)?;
    let has = |table: &Table, name: &Ident, ty: Type| table.columns.get(name) == Some(&LiveType::Known(ty));
    let versions = live.get(&versions_table(&load.table));
    let mut load = load.clone();
    load.columns.retain(|column| {
        column.values.is_none_or(|_| has(table, &column.name, column.ty))
            && column
                .versions
                .is_none_or(|_| versions.is_some_and(|versions| has(versions, &column.name, Type::Version)))
    });
    let is_whole = load.columns.first()?.name.as_str() == shared::KEY
        && (load.kind != TableKind::Merge || versions.is_some())
        && (!shared::is_stamped(&load) || has(table, &shared::STAMP.into(), Type::Timestamp));
    is_whole.then_some(load)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tablecast_core::{Catalog, Draft, Rules};

    #[test]
    fn only_what_is_there_is_read() {
        let line = r#"{"type":"identify","messageId":"m","userId":"u","receivedAt":"2026-01-01T00:00:00Z","traits":{"a":1,"b":2}}"#;
        let mut draft = Draft::new(&Rules::default(), &DIALECT);
        draft.push_line(line.as_bytes());
        let plan = draft.plan(&Catalog::default());
        let mut catalog = Catalog::default();
        catalog.advance(&plan.changes);
        for table in catalog.tables.values_mut() {
            table.columns.remove(&Ident::from("b"));
        }
        let names = |load: &Load| load.columns.iter().map(|column| column.name.to_string()).collect::<Vec<_>>();
        for load in plan.commits[0].loads.iter().filter(|load| load.rows() > 0) {
            let seen = what_is_there(load, &catalog.tables).unwrap();
            let mut left = names(load);
            left.retain(|name| name != "b");
            assert!(names(&seen) == left && left.contains(&"a".to_owned()), "{left:?}");
            assert!(what_is_there(load, &BTreeMap::new()).is_none());
            let mut bare = catalog.tables.clone();
            bare.remove(&versions_table(&load.table));
            assert_eq!(what_is_there(load, &bare).is_none(), load.kind == TableKind::Merge);
        }
    }
}
