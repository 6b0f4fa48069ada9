//! A load into each warehouse whose emulator runs, against the same load into SQLite.

use crate::{compare, say, timed};
use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};
use tablecast::Rules;
use tablecast::input::{Input, Loader};

/// Warehouses, and the variables with their URIs.
const WAREHOUSES: [(&str, &str); 4] = [
    ("Redshift, over the wire", "TABLECAST_REDSHIFT_WIRE"),
    ("Redshift, through the Data API", "TABLECAST_REDSHIFT_DATA"),
    ("BigQuery", "TABLECAST_BIGQUERY"),
    ("Snowflake", "TABLECAST_SNOWFLAKE"),
];

pub(crate) fn against_sqlite(bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (name, variable) in WAREHOUSES {
        let Ok(uri) = std::env::var(variable) else {
            say(&format!("{name}: {variable} is not set"));
            continue;
        };
        runtime.block_on(load(bytes, &uri))?;
        let what = format!("load 20,000 calls into {name} (emulated) / SQLite");
        compare(&what, "", 3, || {
            let dir = tempfile::tempdir().expect("a directory");
            let (theirs, done) = timed(|| runtime.block_on(load(bytes, &format!("sqlite:{}", dir.path().display()))));
            done.expect("it loads");
            let (ours, done) = timed(|| runtime.block_on(load(bytes, &uri)));
            done.expect("it loaded before");
            (ours, theirs)
        });
    }
    Ok(())
}

/// Into a schema that is not there yet.
async fn load(bytes: &[u8], uri: &str) -> tablecast::Result<()> {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    let rules = Rules { space: format!("bench{nanos:x}"), ..Rules::default() };
    let warehouse = tablecast::open(uri, &rules).await?;
    let mut loader = Loader::new(&*warehouse, &rules);
    let bytes: Box<dyn std::io::Read + Send> = Box::new(std::io::Cursor::new(bytes.to_vec()));
    loader.read(&mut Input::stream("bench", bytes)?).await?;
    loader.finish().await.map(drop)
}
