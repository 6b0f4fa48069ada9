//! A warehouse beside SQLite: the two files of `tests/data`, and what the service does with calls, give the same cells.

mod service;

pub(crate) use service::same_cells_by_the_service;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tablecast::input::{Input, Loader};
use tablecast_core::{Dialect, Rules, Type, Warehouse};
use tablecast_sqlite::{Options, Sqlite, Synchronous};
use tablecast_testkit::dump::{Dump, TableDump, audit};
use tablecast_testkit::{Checked, Failed, Harness, Opened};

/// Loads both files, each into a schema of its own, and compares what they became.
pub(crate) async fn same_cells_as_sqlite(harness: &dyn Harness) -> Checked {
    for file in ["events-20k.ndjson.gz", "dirty-5k.ndjson.gz"] {
        let nanos =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let rules = Rules { space: format!("data{nanos:x}p{:x}", std::process::id()), ..Rules::default() };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = Options { synchronous: Synchronous::Off, ..Options::default() };
        let sqlite = Arc::new(Sqlite::open(folder.path(), &rules.schema(), options)?);
        let reference = Opened { warehouse: sqlite.clone(), probe: sqlite };
        let opened = harness.open(&rules.schema()).await?;
        load(&*reference.warehouse, &rules, file).await?;
        load(&*opened.warehouse, &rules, file).await?;
        // Again: nothing changes.
        load(&*opened.warehouse, &rules, file).await?;
        audit(&opened).await?;
        let dialects = [opened.warehouse.dialect(), reference.warehouse.dialect()];
        let (is, should) = (Dump::of(&opened).await?, Dump::of(&reference).await?);
        if should.tables.values().map(|table| table.rows.len()).sum::<usize>() < 5_000 {
            return Err(Failed::new(format!("{file} has become too little to compare")));
        }
        bare(is, dialects).must_equal(&bare(should, dialects), file)?;
    }
    Ok(())
}

async fn load(warehouse: &dyn Warehouse, rules: &Rules, file: &str) -> Checked {
    let mut loader = Loader::new(warehouse, rules);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(file);
    loader.read(&mut Input::file(&path, Some(file))?).await?;
    loader.finish().await?;
    Ok(())
}

/// Without the `_` in front of names that one of the dialects reserves, and with one type for whole numbers if one of them has one.
fn bare(dump: Dump, dialects: [&Dialect; 2]) -> Dump {
    let name = |name: String| match name.strip_prefix('_') {
        Some(rest) if dialects.iter().any(|dialect| dialect.is_reserved(rest)) => rest.to_owned(),
        _ => name,
    };
    let named = |map: BTreeMap<String, String>| -> BTreeMap<String, String> {
        map.into_iter().map(|(column, value)| (name(column), value)).collect()
    };
    let told = |ty: String| match dialects.iter().map(|dialect| dialect.told(Type::Int)).max() {
        Some(Type::Decimal) if ty == Type::Int.to_string() => Type::Decimal.to_string(),
        _ => ty,
    };
    let table = |table: TableDump| {
        let mut rows: Vec<_> = table.rows.into_iter().map(named).collect();
        rows.sort_unstable();
        let columns = named(table.columns).into_iter().map(|(column, ty)| (column, told(ty))).collect();
        TableDump { columns, rows }
    };
    Dump { tables: dump.tables.into_iter().map(|(key, dump)| (name(key), table(dump))).collect() }
}
