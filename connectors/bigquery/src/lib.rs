#![doc = include_str!("../README.md")]

mod attempts;
mod change;
mod check;
mod client;
mod commit;
mod config;
mod error;
mod estimate;
#[cfg(feature = "testing")]
mod probe;
mod schema;
mod spans;
mod sql;
mod stage;
mod types;
mod views;

pub use config::{Options, Partition};
pub use types::DIALECT;

use async_trait::async_trait;
use client::Client;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;
use tablecast_core::{
    BoxFuture, Catalog, Change, Commit, Connector, Dialect, Error, ErrorKind, Finding, Ident, Receipt, Result, Uri,
    Warehouse,
};

/// Opens `bigquery://PROJECT`.
pub const CONNECTOR: Connector = Connector {
    name: "bigquery",
    schemes: &["bigquery"],
    example: "bigquery://my-project?location=EU",
    dialect: &DIALECT,
    open: |uri, schema| -> BoxFuture<'_, Result<Arc<dyn Warehouse>>> {
        Box::pin(async move { Ok(Arc::new(from_uri(uri, schema).await?) as Arc<dyn Warehouse>) })
    },
    check: |uri, schema| -> BoxFuture<'_, Vec<Finding>> {
        Box::pin(async move { check::check(from_uri(uri, schema).await).await })
    },
};

async fn from_uri(uri: &Uri, schema: &Ident) -> Result<BigQuery> {
    BigQuery::open(&config::project(uri)?, schema, uri.options()?).await
}

/// Where a dataset is made if nobody says.
const DEFAULT_LOCATION: &str = "US";

/// One schema: a dataset of a project.
///
/// It needs a tokio runtime with time and I/O. Between calls nothing is held but idle connections.
#[derive(Clone, Debug)]
pub struct BigQuery {
    client: Client,
    dataset: String,
    options: Options,
    /// Where the dataset is, once that is known; it never moves.
    location: Arc<OnceLock<String>>,
}

impl BigQuery {
    /// Names the dataset `<project>.<schema>` and reads the credentials. Nobody is asked and nothing is made before it
    /// is needed: the first [`apply`](Warehouse::apply) makes the dataset.
    pub async fn open(project: &str, schema: &Ident, options: Options) -> Result<Self> {
        options.check()?;
        let dataset = config::dataset(schema)?;
        let client = Client::new(project, &options).await?;
        Ok(BigQuery { client, dataset, options, location: Arc::default() })
    }

    /// Where the dataset is; it is there.
    async fn location(&self) -> Result<String> {
        if let Some(known) = self.location.get() {
            return Ok(known.clone());
        }
        match self.client.dataset(&self.dataset).await? {
            Some(found) => self.agree(Some(found)),
            None => Err(Error::new(ErrorKind::SchemaMismatch, "the dataset is gone since the plan was made")),
        }
    }

    /// Makes the dataset unless it is there; where it is. It is looked for first: who may use it need not have the right
    /// to make one.
    async fn make_dataset(&self) -> Result<String> {
        let found = match self.client.dataset(&self.dataset).await? {
            Some(found) => found,
            None => {
                let wanted = self.location.get().or(self.options.location.as_ref());
                let wanted = wanted.map_or(DEFAULT_LOCATION, String::as_str);
                self.client.create_dataset(&self.dataset, wanted).await?;
                // Somebody else may have made it, elsewhere.
                self.client.dataset(&self.dataset).await?.unwrap_or_else(|| wanted.to_owned())
            }
        };
        self.agree(Some(found))
    }

    /// Where the dataset is or will be, if that is where the options say.
    fn agree(&self, found: Option<String>) -> Result<String> {
        let wanted = self.options.location.as_deref();
        let Some(found) = found else { return Ok(wanted.unwrap_or(DEFAULT_LOCATION).to_owned()) };
        if let Some(wanted) = wanted.filter(|wanted| !wanted.eq_ignore_ascii_case(&found)) {
            return Err(Error::new(ErrorKind::Config, "the dataset is in another location")
                .with("location", wanted)
                .with("found", &found)
                .fix(format!("set location={found} in the URI, or choose another space")));
        }
        Ok(self.location.get_or_init(|| found).clone())
    }

    /// Puts the guard's row back under a version that nobody planned for.
    async fn restore_lock(&self, location: &str) -> Result<()> {
        self.client.run(location, &sql::Writer::new(&self.dataset).restore_lock(now())).await?;
        Ok(())
    }

    /// The tables that are there, staging and views excluded.
    async fn tables(&self) -> Result<Vec<String>> {
        let all = self.client.tables(&self.dataset).await?.into_iter();
        Ok(all.filter(|(name, kind)| kind == "TABLE" && !name.starts_with("_stage_")).map(|(name, _)| name).collect())
    }

    /// Says which dataset an error is about.
    fn placed<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| error.with("dataset", format!("{}.{}", self.client.project(), self.dataset)))
    }
}

#[async_trait]
impl Warehouse for BigQuery {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    async fn describe(&self, tables: &[Ident]) -> Result<Catalog> {
        self.placed(schema::describe(self, tables).await)
    }

    async fn apply(&self, changes: &[Change]) -> Result<()> {
        self.placed(schema::apply(self, changes).await)
    }

    async fn commit(&self, commit: &Commit) -> Result<Receipt> {
        self.placed(commit::commit(self, commit).await)
    }

    async fn estimate(&self, commit: &Commit) -> Result<Option<u64>> {
        self.placed(estimate::estimate(self, commit).await.map(Some))
    }
}

/// µs since 1970, by the clock.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
