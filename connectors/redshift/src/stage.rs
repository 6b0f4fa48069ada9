//! The stage: a load's rows as gzip NDJSON in S3, a manifest of them, and a table that COPY fills from it.

use crate::client::{Session, now};
use crate::config::{Options, Stage, reveal};
use crate::error::{self, classify_store};
use crate::types::text_size;
use crate::{Redshift, sql};
use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStore, PutPayload, RetryConfig};
use serde_json::json;
use std::io::Write;
use std::time::Duration;
use tablecast_core::sql::{self as shared, StageColumn};
use tablecast_core::{Commit, Error, ErrorKind, Load, Result, ndjson, time};

/// How much NDJSON goes into one file, before it is packed.
const FILE_BYTES: usize = 32 << 20;
/// Rows that are encoded before the size is looked at again.
const STEP: usize = 256;
/// Files that are on their way, and tables that are filled, at the same time.
const LANES: usize = 4;
/// How long tidying up may hold up an answer.
const TIDY: Duration = Duration::from_secs(20);
/// Leftovers of this age belong to nobody any more, in µs.
const DAY: i64 = 86_400_000_000;

/// A place in S3 for files on their way.
pub(crate) struct Store {
    s3: AmazonS3,
    place: Stage,
    role: String,
    /// For COPY, if it was given: otherwise Redshift takes its own.
    region: Option<String>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.place())
    }
}

impl Store {
    /// Reads what the options name; asks nothing of S3.
    pub(crate) fn new(place: Stage, options: &Options) -> Result<Store> {
        // A token of the environment belongs to the environment's key, not to one that was given.
        let given = options.stage_key.is_some();
        let builder = if given { AmazonS3Builder::new() } else { AmazonS3Builder::from_env() };
        let mut builder = builder.with_bucket_name(&place.bucket).with_retry(RetryConfig {
            max_retries: 5,
            retry_timeout: Duration::from_secs(40),
            ..RetryConfig::default()
        });
        if let Some(region) = options.stage_region.as_ref().or(options.region.as_ref()) {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &options.stage_endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http:"));
        }
        if let (Some(key), Some(secret)) = (&options.stage_key, &options.stage_secret) {
            builder = builder
                .with_access_key_id(reveal("stage_key", key)?)
                .with_secret_access_key(reveal("stage_secret", secret)?);
        }
        if let Some(token) = &options.stage_token {
            builder = builder.with_token(reveal("stage_token", token)?);
        }
        let s3 = builder.build().map_err(|_| {
            Error::new(ErrorKind::Config, "the stage's options do not go together")
                .fix("check stage_endpoint (a URL), stage_region and the AWS_… variables of the environment")
        })?;
        Ok(Store { s3, place, role: options.iam_role.clone(), region: options.stage_region.clone() })
    }

    /// Where it is.
    pub(crate) fn place(&self) -> String {
        self.url(&self.place.prefix)
    }

    /// Where the objects of a name are.
    fn folder(&self, schema: &str, name: &str) -> String {
        let prefix = &self.place.prefix;
        let slash = if prefix.is_empty() { "" } else { "/" };
        format!("{prefix}{slash}{schema}/{name}")
    }

    fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.place.bucket)
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        let put = self.s3.put(&Path::from(key), PutPayload::from(Bytes::from(bytes))).await;
        put.map(drop).map_err(|error| classify_store(&error, "write"))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.s3.delete(&Path::from(key)).await.map_err(|error| classify_store(&error, "delete"))
    }

    async fn manifest(&self, folder: &str, files: &[String]) -> Result<String> {
        let entries: Vec<_> = files.iter().map(|key| json!({"url": self.url(key), "mandatory": true})).collect();
        let key = format!("{folder}/manifest");
        self.put(&key, json!({"entries": entries}).to_string().into_bytes()).await?;
        Ok(key)
    }

    /// Writes a row, lets Redshift read it, and takes it away again: what a load needs of the stage.
    pub(crate) async fn try_write(&self, schema: &str) -> Result<Tried> {
        let folder = self.folder(schema, &stage_name("check", 0));
        let file = format!("{folder}/0.json.gz");
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(b"{\"k\":\"check\"}\n").map_err(packing)?;
        self.put(&file, packed.finish().map_err(packing)?).await?;
        let manifest = self.manifest(&folder, std::slice::from_ref(&file)).await?;
        Ok(Tried { files: vec![file, manifest] })
    }

    /// The statements with which Redshift tries to read it.
    pub(crate) fn try_read(&self, tried: &Tried) -> [String; 2] {
        let manifest = tried.files.last().map(|key| self.url(key)).unwrap_or_default();
        sql::try_copy(&manifest, &self.role, self.region.as_deref())
    }

    /// Takes away what was tried.
    pub(crate) async fn try_delete(&self, tried: Tried) -> Result<()> {
        for file in tried.files {
            self.delete(&file).await?;
        }
        Ok(())
    }
}

/// What a check left in the stage.
pub(crate) struct Tried {
    files: Vec<String>,
}

fn packing(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Internal, "rows could not be packed").because(error)
}

/// `_stage_20260131t235959_<nonce>_0`: one try only, and its age can be told.
fn stage_name(nonce: &str, ordinal: usize) -> String {
    let digits: String = time::format(now()).chars().take(19).filter(char::is_ascii_alphanumeric).collect();
    format!("{}{}_{nonce}_{ordinal}", sql::STAGE_PREFIX, digits.to_ascii_lowercase())
}

/// Whether something of this name was left by somebody who is long gone.
fn is_leftover(name: &str, now: i64) -> bool {
    let limit: String = time::format(now - DAY).chars().take(19).filter(char::is_ascii_alphanumeric).collect();
    let made = name.strip_prefix(sql::STAGE_PREFIX).and_then(|rest| rest.split('_').next());
    made.is_some_and(|made| made.len() == limit.len() && made.to_ascii_uppercase() < limit)
}

/// One staging table, of one group of a load's columns.
struct Table {
    /// Rendered.
    name: String,
    folder: String,
    columns: Vec<StageColumn>,
    load: usize,
}

/// Everything that one try at a commit has staged.
pub(crate) struct Staging<'a> {
    redshift: &'a Redshift,
    tables: Vec<Table>,
}

impl<'a> Staging<'a> {
    /// Chooses names; makes nothing yet.
    pub(crate) fn new(redshift: &'a Redshift, commit: &Commit, nonce: &str) -> Self {
        let mut tables = Vec::new();
        for (at, load) in commit.loads.iter().enumerate().filter(|(_, load)| load.rows() > 0) {
            for group in shared::groups(load, &crate::DIALECT) {
                let name = stage_name(nonce, tables.len());
                tables.push(Table {
                    name: redshift.sql().table(&name),
                    folder: redshift.store.folder(redshift.schema.as_str(), &name),
                    columns: shared::stage_columns(load, &group),
                    load: at,
                });
            }
        }
        Staging { redshift, tables }
    }

    /// The staging tables of each load, rendered.
    pub(crate) fn names(&self, commit: &Commit) -> Vec<Vec<String>> {
        let of = |at| self.tables.iter().filter(|table| table.load == at).map(|table| table.name.clone()).collect();
        (0..commit.loads.len()).map(of).collect()
    }

    /// Writes the files and fills the tables, a few at a time.
    pub(crate) async fn fill(&self, commit: &Commit) -> Result<()> {
        let lanes = self.tables.len().min(LANES);
        let filling = (0..lanes).map(|lane| self.fill_lane(commit, lane, lanes));
        // All to their end: what a dropped lane has sent would be made behind the back of who tidies up.
        futures_util::future::join_all(filling).await.into_iter().collect()
    }

    /// Every so-manieth table, over one connection.
    async fn fill_lane(&self, commit: &Commit, lane: usize, lanes: usize) -> Result<()> {
        let mut session = self.redshift.client.session().await?;
        for table in self.tables.iter().skip(lane).step_by(lanes) {
            let load = &commit.loads[table.load];
            self.fill_table(&mut session, table, load).await.map_err(|error| error.with("table", &load.table))?;
        }
        Ok(())
    }

    async fn fill_table(&self, session: &mut Session, table: &Table, load: &Load) -> Result<()> {
        let store = &self.redshift.store;
        let sources: Vec<usize> = table.columns.iter().map(|column| column.source).collect();
        let batch = load.batch.project(&sources).map_err(|error| {
            Error::new(ErrorKind::Internal, "a load names a column that its batch does not have").because(error)
        })?;
        let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        let files = stream::iter(Files { batch: &batch, names: &names, row: 0 }.enumerate());
        let files = files.map(|(nth, packed)| async move {
            let key = format!("{}/{nth}.json.gz", table.folder);
            store.put(&key, packed?).await.map(|()| key)
        });
        let files: Vec<String> =
            files.buffered(LANES).collect::<Vec<Result<_>>>().await.into_iter().collect::<Result<_>>()?;
        let manifest = store.url(&store.manifest(&table.folder, &files).await?);

        let sized: Vec<(StageColumn, Option<usize>)> =
            table.columns.iter().cloned().zip(batch.columns().iter().map(|array| longest(array))).collect();
        session.exec(&sql::create_stage(&table.name, &sized)).await?;
        let copy = sql::copy(&table.name, &names, &manifest, &store.role, store.region.as_deref());
        match session.exec(&copy).await {
            Err(error) if error.to_string().starts_with(error::COPY) => Err(self.explained(table, error).await),
            other => other,
        }
    }

    /// Adds to an error what Redshift noted about the file, without the value.
    async fn explained(&self, table: &Table, error: Error) -> Error {
        let Ok(mut session) = self.redshift.client.session().await else { return error };
        let prefix = self.redshift.store.url(&format!("{}/", table.folder));
        let Ok(rows) = session.query(&sql::load_errors(&prefix)).await else { return error };
        let Some(row) = rows.into_iter().next() else { return error };
        let mut error = error;
        for (key, cell) in ["file", "line", "column", "code", "reason"].into_iter().zip(row) {
            let cell = cell.unwrap_or_default();
            // "Invalid digit, Value '…', Pos 0": the value comes behind the first comma or in quotes.
            let shown =
                if key == "reason" { cell.split([',', '\'', '"', ':']).next().unwrap_or_default() } else { &cell };
            error = error.with(key, shown.trim());
        }
        error
    }

    /// Takes tables and files away again; who comes a day later takes what is left.
    pub(crate) async fn tidy(&self) {
        if self.tables.is_empty() {
            return;
        }
        let names: Vec<String> = self.tables.iter().map(|table| table.name.clone()).collect();
        let tables = async {
            let mut session = self.redshift.client.session().await?;
            session.exec(&sql::drop_tables(&names)).await
        };
        let store = &self.redshift.store;
        let deleting: Vec<_> = self.tables.iter().map(|table| delete_folder(store, &table.folder)).collect();
        let files = stream::iter(deleting).buffer_unordered(LANES).collect::<Vec<_>>();
        let _ = tokio::time::timeout(TIDY, futures_util::future::join(tables, files)).await;
    }
}

/// The size of a text column that holds all of these; none for other types.
fn longest(array: &dyn Array) -> Option<usize> {
    let text = (*array.data_type() == DataType::Utf8).then(|| array.as_string::<i32>())?;
    Some(text_size(text.iter().flatten().map(str::len).max().unwrap_or(0)))
}

/// A batch as packed files of bounded size, each made when it is asked for.
struct Files<'a> {
    batch: &'a RecordBatch,
    names: &'a [&'a str],
    row: usize,
}

impl Iterator for Files<'_> {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.row < self.batch.num_rows()).then(|| self.file())
    }
}

impl Files<'_> {
    fn file(&mut self) -> Result<Vec<u8>> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while self.row < self.batch.num_rows() && bytes < FILE_BYTES {
            let end = (self.row + STEP).min(self.batch.num_rows());
            lines.clear();
            ndjson::encode(self.batch, self.names, self.row..end, &mut lines)?;
            packed.write_all(&lines).map_err(packing)?;
            bytes += lines.len();
            self.row = end;
        }
        packed.finish().map_err(packing)
    }
}

async fn delete_folder(store: &Store, folder: &str) -> Result<()> {
    let prefix = Path::from(folder);
    let files = store.s3.list(Some(&prefix)).map_ok(|file| file.location).boxed();
    let deleted = store.s3.delete_stream(files).try_collect::<Vec<_>>().await;
    deleted.map(drop).map_err(|error| classify_store(&error, "delete"))
}

/// Takes away what killed processes left: tables of the schema and files of its folder that are older than a day.
pub(crate) async fn sweep(redshift: &Redshift, session: &mut Session) -> Result<()> {
    let now = now();
    let rows = session.query(&sql::tables(&redshift.schema)).await?;
    let names = rows.into_iter().filter_map(|row| row.into_iter().next().flatten());
    for name in names.filter(|name| is_leftover(name, now)) {
        session.exec(&sql::drop_tables(&[redshift.sql().table(&name)])).await?;
    }
    let store = &redshift.store;
    let here = Path::from(store.folder(redshift.schema.as_str(), ""));
    let listed = store.s3.list_with_delimiter(Some(&here)).await.map_err(|error| classify_store(&error, "list"))?;
    for folder in listed.common_prefixes {
        if folder.filename().is_some_and(|name| is_leftover(name, now)) {
            delete_folder(store, folder.as_ref()).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_age() {
        let name = stage_name("0123456789abcdef", 7);
        assert!(name.starts_with("_stage_2") && name.ends_with("_0123456789abcdef_7"), "{name}");
        assert!(!is_leftover(&name, now()));
        assert!(is_leftover(&name, now() + DAY + 2_000_000));
        for other in ["_stage_", "_stage_x_y_0", "users", "_stage_20260131t235959"] {
            assert_eq!(is_leftover(other, now()), other.len() > 12, "{other}");
        }
    }
}
