//! Views that Segment's datasets have beside their tables: one row per id, and `loaded_at`.

use crate::BigQuery;
use crate::schema::run_all;
use crate::sql::Writer;
use std::collections::BTreeSet;
use tablecast_core::ident::versions_table;
use tablecast_core::schema::TableKind;
use tablecast_core::{Ident, Result};

/// Makes the views that are missing, beside whatever tables there are: a load that was broken off may have left tables
/// without theirs.
pub(crate) async fn make(warehouse: &BigQuery, location: &str) -> Result<()> {
    let all = warehouse.client.tables(&warehouse.dataset).await?;
    run_all(warehouse, location, missing(Writer::new(&warehouse.dataset), &all)).await
}

/// The statements for tables (names and kinds) whose view is not there.
fn missing(writer: Writer<'_>, all: &[(String, String)]) -> Vec<Vec<String>> {
    let names: BTreeSet<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    let tables = all.iter().filter(|(name, kind)| kind == "TABLE" && !name.starts_with('_'));
    let without = tables.filter(|(name, _)| !names.contains(format!("{name}_view").as_str()));
    without
        .map(|(name, _)| {
            let table = Ident::from(name.as_str());
            let is_merged = names.contains(versions_table(&table).as_str());
            vec![writer.create_view(&table, if is_merged { TableKind::Merge } else { TableKind::Append })]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_users_gets_a_view() {
        let there = |names: &[&str]| {
            let kind = |name: &str| if name.ends_with("_view") { "VIEW" } else { "TABLE" }.to_owned();
            let all: Vec<_> = names.iter().map(|name| ((*name).to_owned(), kind(name))).collect();
            missing(Writer::new("d"), &all).concat()
        };
        // An event called `3d_view` gets the table `_3d_view`: nothing else may be called so.
        let others = ["_users_versions", "_lock", "_stage_1_a_0_0", "_3d", "pages", "pages_view"];
        let made = there(&[&["identifies", "users"], &others[..]].concat());
        assert_eq!(made.len(), 2, "{made:?}");
        assert!(made[0].contains("`identifies_view`") && made[0].contains("QUALIFY"), "{}", made[0]);
        assert!(made[1].contains("`users_view`") && !made[1].contains("QUALIFY"), "{}", made[1]);
        assert!(there(&made_views()).is_empty());
    }

    fn made_views() -> [&'static str; 2] {
        ["identifies", "identifies_view"]
    }
}
