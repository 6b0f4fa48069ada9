//! What must hold for any bytes at all: the bodies of the fuzz targets, replayed on their corpus as ordinary tests.
//!
//! Each function panics when a rule is broken.

use arrow_array::cast::AsArray;
use serde::Deserialize;
use std::collections::BTreeSet;
use tablecast_core::ident::{self, CORE_COLUMNS, STANDARD_TABLES, Section};
use tablecast_core::memory::DIALECT;
use tablecast_core::{
    Catalog, Change, Dialect, Draft, Ident, LiveType, Origin, Plan, Rules, Secret, TableKind, Type, Uri,
};

/// Lines of events: planned without a panic, into a plan that adds up and is the same when made again.
pub fn event(bytes: &[u8]) {
    let rules = Rules::default();
    let drafted = || {
        let mut draft = Draft::new(&rules, &DIALECT);
        let mut origin = Origin::file("fuzz", 1_700_000_000_000_000);
        for line in bytes.split(|byte| *byte == b'\n') {
            draft.push_line_from(&mut origin, line);
        }
        draft
    };
    let draft = drafted();
    let empty = Catalog::default();
    let plan = draft.plan(&empty);
    adds_up(&plan, &empty, &DIALECT);
    assert!(draft.is_empty() || !plan.commits.is_empty(), "{} calls left no trace", draft.events());

    let again = drafted().plan(&empty);
    let ids = |plan: &Plan| plan.commits.iter().map(|commit| commit.id).collect::<Vec<_>>();
    assert_eq!(ids(&plan), ids(&again), "the same lines make the same commits");
    assert_eq!(plan.changes, again.changes);

    let mut after = empty;
    after.advance(&plan.changes);
    let settled = draft.plan(&after);
    assert!(settled.changes.is_empty(), "nothing is left to change once the changes are made: {:?}", settled.changes);
    adds_up(&settled, &after, &DIALECT);
}

/// What every plan must satisfy: it changes what is not there yet, loads only what then is, and loses no row.
pub fn adds_up(plan: &Plan, live: &Catalog, dialect: &Dialect) {
    let mut catalog = live.clone();
    for change in &plan.changes {
        match change {
            Change::CreateTable { table, columns, .. } => {
                assert!(catalog.table(table.as_str()).is_none(), "{table} is there already");
                let names: BTreeSet<&Ident> = columns.iter().map(|(column, _)| column).collect();
                assert_eq!(names.len(), columns.len(), "{table} has a column twice");
            }
            Change::AddColumn { table, column, .. } => {
                assert!(catalog.table(table.as_str()).is_some(), "{table} is not there");
                assert!(catalog.column(table.as_str(), column.as_str()).is_none(), "{table}.{column} is there already");
            }
            Change::Widen { table, column, from, to } => {
                let live = catalog.column(table.as_str(), column.as_str()).and_then(LiveType::known);
                assert_eq!(live, Some(*from), "{table}.{column}");
                assert_ne!(from, to, "{table}.{column}");
            }
            Change::Grow { table, column, bytes } => {
                let live = catalog.column(table.as_str(), column.as_str()).and_then(LiveType::known);
                assert!(matches!(live, Some(Type::Text | Type::Json)), "{table}.{column}");
                assert!(catalog.tables[table].text_bytes.get(column).is_none_or(|room| room < bytes));
            }
        }
        catalog.advance(std::slice::from_ref(change));
    }
    for commit in &plan.commits {
        let tables: BTreeSet<&Ident> = commit.loads.iter().map(|load| &load.table).collect();
        assert_eq!(tables.len(), commit.loads.len(), "a table is loaded twice in one commit");
        for load in &commit.loads {
            let table = load.table.as_str();
            let counts = load.counts;
            let rows = u64::try_from(load.rows()).expect("a usize fits into 64 bits");
            assert_eq!(
                counts.received,
                rows + counts.duplicates + counts.filtered + counts.discarded,
                "{table}: {counts:?}"
            );
            assert_eq!(counts.loaded, 0, "{table}: nothing is loaded yet");
            if rows == 0 {
                continue;
            }
            let keys = load.batch.column(0).as_string::<i32>();
            let unique: BTreeSet<Option<&str>> = keys.iter().collect();
            assert_eq!(unique.len(), load.rows(), "{table}: a key twice in one load");
            assert!(!unique.contains(&None), "{table}: a row without a key");
            for column in &load.columns {
                let name = column.name.as_str();
                assert!(name.len() <= dialect.max_identifier, "{table}.{name}");
                let live = catalog.column(table, name).and_then(LiveType::known);
                match column.values {
                    Some(at) => {
                        assert_eq!(live, Some(column.ty), "{table}.{name}");
                        assert!(at < load.batch.num_columns(), "{table}.{name}");
                    }
                    None => assert!(column.versions.is_some(), "{table}.{name} carries nothing"),
                }
                if column.versions.is_some() {
                    assert_eq!(load.kind, TableKind::Merge, "{table}.{name}");
                    let versions = ident::versions_table(&load.table);
                    assert!(catalog.column(versions.as_str(), name).is_some(), "{versions}.{name} is missing");
                }
            }
        }
    }
}

/// Names: whatever a source calls a thing, its column and table are legal, and shadow nothing.
pub fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let snake = ident::snake_case(&text);
    assert!(snake.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{snake:?}");
    assert!(!snake.starts_with('_') && !snake.ends_with('_') && !snake.contains("__"), "{snake:?}");
    assert_eq!(ident::snake_case(&snake), snake, "what is snake case stays as it is");

    let path: Vec<&str> = text.split('\n').collect();
    for section in [Section::Body, Section::ViewBody, Section::Context] {
        let column = ident::column_name(section, &path, &DIALECT);
        let name = column.as_str();
        legal(name);
        assert_eq!(name.starts_with("context_"), section == Section::Context, "{name:?}");
        assert!(!CORE_COLUMNS.contains(&name), "{name:?} shadows a core column");
        assert!(section != Section::ViewBody || (name != "name" && name != "category"), "{name:?}");
        assert_eq!(column, ident::column_name(section, &path, &DIALECT));
    }

    let table = ident::event_table_name(&text, &DIALECT);
    let name = table.as_str();
    legal(name);
    assert!(!STANDARD_TABLES.contains(&name), "{name:?} shadows a standard table");
    assert!(!name.ends_with("_view") || name.starts_with('_'), "{name:?} could meet a view");
    for own in ["_lock", "_commits", "_discards", "_users_versions", "_accounts_versions", "_identities_versions"] {
        assert_ne!(name, own);
    }
    let schema = ident::schema_name("personas_", &text);
    assert!(schema.as_str().strip_prefix("personas_").is_some_and(|space| !space.is_empty()), "{schema}");
}

fn legal(name: &str) {
    assert!(!name.is_empty() && name.len() <= DIALECT.max_identifier, "{name:?}");
    assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name:?}");
    assert!(!name.starts_with(|first: char| first.is_ascii_digit()), "{name:?}");
    assert!(!DIALECT.is_reserved(name), "{name:?}");
}

/// Options as a connector has them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// A number.
    pub size: Option<u32>,
    /// A text.
    pub region: Option<String>,
    /// A secret.
    pub password: Option<Secret>,
}

/// URIs: read or refused with a remedy, and never shown with what may be a secret.
pub fn uri(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let uri = match Uri::parse(text) {
        Ok(uri) => uri,
        Err(error) => {
            assert!(!error.remedy().is_empty());
            return;
        }
    };
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    assert_eq!(format!("{}:{}", uri.scheme(), uri.body()), address);
    let shown = uri.to_string();
    assert!(!shown.contains('?'), "options are not shown: {shown:?}");
    if uri.body().starts_with("//") {
        assert!(!shown.contains('@'), "user and password are not shown: {shown:?}");
    } else {
        assert_eq!(shown, address);
    }
    match uri.options::<Options>() {
        Ok(options) => {
            if let Some(secret) = &options.password
                && secret.expose().len() > 8
            {
                assert!(!format!("{secret:?}").contains(secret.expose()), "a secret was printed");
            }
        }
        Err(error) => assert!(!query.is_empty(), "no options are right options: {error}"),
    }
}
