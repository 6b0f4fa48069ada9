//! The service with this warehouse beside SQLite: syncs, a trait that is off for a while, and a backfill into a schema that
//! came later. All of them end with the same cells.

use super::bare;
use std::sync::Arc;
use tablecast_core::Ident;
use tablecast_server::config::Item;
use tablecast_server::ingest::Ingest;
use tablecast_server::service::Opened as Data;
use tablecast_server::state::{BackfillRequest, HistoryFilter, Status};
use tablecast_server::sync::{SelectRequest, Settings};
use tablecast_server::{Config, Engine};
use tablecast_sqlite::{Options, Sqlite};
use tablecast_testkit::dump::{Dump, audit};
use tablecast_testkit::{Checked, Failed, Harness, Opened};

/// `uri` leads to the warehouse of the harness.
pub(crate) async fn same_cells_by_the_service(harness: &dyn Harness, uri: &str) -> Checked {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    let space = format!("s{nanos:x}p{:x}", std::process::id());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let local = folder.path().join("local");
    let config = format!(
        "data = '{}'\n[[source]]\nspace = \"{space}\"\nwrite_keys = [\"k\"]\n[[trait]]\nkey = \"plan\"\n\
         [[warehouse]]\nname = \"local\"\nuri = 'sqlite:{}?synchronous=off'\n[[warehouse]]\nname = \"here\"\nuri = '{uri}'\n",
        folder.path().join("data").display(),
        local.display()
    );
    let parsed = Config::parse(&config).expect("a configuration");
    let data = Data::open(&parsed).expect("the data folder");
    let spools = parsed.spaces().into_iter().filter_map(|space| Some((space.to_owned(), data.spools.get(space)?)));
    let ingest = Ingest::new(Default::default(), spools.collect(), data.metrics.clone());
    let engine = data.engine(parsed, Settings::default()).expect("an engine");

    let plan = Item { kind: tablecast_server::config::ItemKind::Computation, name: "plan".into() };
    let here = Some("here".to_owned());
    take(&ingest, &space, 0).await;
    sync(&engine).await;
    let off = SelectRequest { warehouse: here.clone(), off: vec![plan.clone()], on: vec![] };
    engine.control().select(&off).expect("the trait goes off");
    take(&ingest, &space, 1).await;
    sync(&engine).await;
    let on = SelectRequest { warehouse: here, off: vec![], on: vec![plan] };
    engine.control().select(&on).expect("the trait comes on");
    engine.drain().await;

    let later = format!(
        "{config}[[warehouse]]\nname = \"later\"\nuri = '{uri}'\nschema_prefix = \"later_\"\nhistory = false\n"
    );
    engine.reload(Config::parse(&later).expect("a configuration")).expect("another warehouse");
    take(&ingest, &space, 2).await;
    sync(&engine).await;
    let backfill = BackfillRequest { warehouse: "later".into(), ..BackfillRequest::default() };
    engine.control().backfill(&backfill).expect("a backfill");
    engine.drain().await;

    let syncs = engine.control().syncs(&HistoryFilter::default()).expect("the history");
    let failed = syncs.iter().find(|sync| sync.status != Status::Success);
    if let Some(sync) = failed {
        return Err(Failed::new(format!("a sync did not succeed: {sync:?}")));
    }
    // Three times two, the one that the switch asks for with its fill, the third warehouse's and its backfill.
    if syncs.len() != 10 {
        return Err(Failed::new(format!("{} rows in the history: {syncs:?}", syncs.len())));
    }

    let schema = Ident::new(format!("personas_{space}"));
    let sqlite = Arc::new(Sqlite::open(&local, &schema, Options::default())?);
    let reference = Opened { warehouse: sqlite.clone(), probe: sqlite };
    let should = Dump::of(&reference).await?;
    for schema in [schema, Ident::new(format!("later_{space}"))] {
        let opened = harness.open(&schema).await?;
        audit(&opened).await?;
        let dialects = [opened.warehouse.dialect(), reference.warehouse.dialect()];
        bare(Dump::of(&opened).await?, dialects).must_equal(&bare(should.clone(), dialects), schema.as_str())?;
    }
    Ok(())
}

/// A batch of calls, each time of other values; one of the traits is new each time.
async fn take(ingest: &Ingest, space: &str, time: u32) {
    let calls: Vec<String> = (0..20)
        .flat_map(|user| {
            let id = |kind| format!("\"messageId\": \"{kind}{time}-{user}\", \"userId\": \"u{user}\"");
            let sent = format!("\"timestamp\": \"2026-01-0{}T00:00:{user:02}Z\"", time + 1);
            [
                format!(
                    r#"{{"type": "identify", {}, {sent}, "traits": {{"plan": "p{time}", "n{time}": {user}, "vip": {}}}}}"#,
                    id("i"),
                    user % 2 == 0
                ),
                format!(
                    r#"{{"type": "track", "event": "Order Completed", {}, {sent}, "properties": {{"total": {user}.5, "plan": "p{time}"}}}}"#,
                    id("t")
                ),
            ]
        })
        .collect();
    let body = format!(r#"{{"batch": [{}]}}"#, calls.join(","));
    let taken = ingest.take(space, body.as_bytes()).await.expect("the calls are taken");
    assert_eq!(taken.taken, 40);
}

async fn sync(engine: &Engine) {
    engine.control().sync_now(None, None).expect("syncs");
    engine.drain().await;
}
