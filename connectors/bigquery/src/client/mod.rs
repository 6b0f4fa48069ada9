//! BigQuery's API, as far as a load needs it. What is below this module knows how the API is spoken; what is above it
//! sees datasets, tables, jobs and rows.
//!
//! `gcp-bigquery-client` does what it can. It has no uploads, loses the status of an answer that is not the JSON it
//! expects, and refuses tables with types that it does not know; those calls are made by hand on the same HTTP client.

mod auth;
mod jobs;
mod upload;

use crate::config::Options;
use crate::error::Fault;
use auth::Auth;
use gcp_bigquery_client::auth::Authenticator;
use gcp_bigquery_client::client_builder::ClientBuilder;
use gcp_bigquery_client::error::BQError;
use gcp_bigquery_client::model::dataset::Dataset;
use gcp_bigquery_client::model::get_query_results_parameters::GetQueryResultsParameters;
use gcp_bigquery_client::model::job::Job;
use gcp_bigquery_client::model::job_configuration::JobConfiguration;
use gcp_bigquery_client::model::job_configuration_query::JobConfigurationQuery;
use gcp_bigquery_client::model::job_reference::JobReference;
use gcp_bigquery_client::model::table_row::TableRow;
use gcp_bigquery_client::table::ListOptions;
use gcp_bigquery_client::tabledata::ListQueryParameters;
pub(crate) use jobs::{State, Waits};
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tablecast_core::{Error, ErrorKind, Result};
pub(crate) use upload::LoadJob;

/// How often a call is tried, and the first wait between two tries; each one is twice as long.
const TRIES: u32 = 6;
/// How often what another writer was in the way of is tried: for some five minutes.
const PATIENT_TRIES: u32 = 40;
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The least wait after a limit of calls in some seconds.
const RATE_WAIT: Duration = Duration::from_secs(2);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence of the server while it answers.
const READ_TIMEOUT: Duration = Duration::from_secs(120);

/// A row of an answer; `None` is NULL.
pub(crate) type Cells = Vec<Option<String>>;

/// The shape of a table as the API tells it.
pub(crate) struct Shape {
    /// `TABLE`, `VIEW`, `EXTERNAL` …
    pub(crate) kind: String,
    /// Names and types, as `NUMERIC(29)` or `REPEATED STRING`.
    pub(crate) columns: Vec<(String, String)>,
}

/// A call as it goes over the wire. It must be safe to make twice.
struct Call {
    method: Method,
    /// What follows the project.
    path: String,
    body: Option<Value>,
}

impl Call {
    fn get(path: String) -> Call {
        Call { method: Method::GET, path, body: None }
    }

    fn post(path: String, body: &impl Serialize) -> Result<Call, Fault> {
        Ok(Call { method: Method::POST, path, body: Some(serde_json::to_value(body).map_err(BQError::from)?) })
    }
}

/// One project. Clones share their connections.
#[derive(Clone)]
pub(crate) struct Client {
    google: gcp_bigquery_client::Client,
    http: reqwest::Client,
    auth: Arc<Auth>,
    /// The API's address, up to `/bigquery/v2`.
    base: String,
    project: String,
    chunk: usize,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({} at {})", self.project, self.base)
    }
}

impl Client {
    /// Reads the credentials; connects to nothing yet.
    pub(crate) async fn new(project: &str, options: &Options) -> Result<Client> {
        let unusable = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Internal, "the HTTP client cannot be made").because(error)
        };
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .user_agent(concat!("tablecast/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| unusable(error.into()))?;
        let auth = auth::sign_in(options).await?;
        let google = ClientBuilder::new()
            .with_v2_base_url(format!("{}/bigquery/v2", options.base()))
            .with_client(http.clone())
            .build_from_authenticator(auth.clone())
            .await
            .map_err(|error| unusable(error.into()))?;
        let (base, project) = (options.base().to_owned(), project.to_owned());
        Ok(Client { google, http, auth, base, project, chunk: options.chunk() })
    }

    pub(crate) fn project(&self) -> &str {
        &self.project
    }

    /// Where a dataset is; none if it is not there.
    pub(crate) async fn dataset(&self, dataset: &str) -> Result<Option<String>, Fault> {
        let path = format!("datasets/{dataset}");
        let found =
            self.tried(|| async { self.google.dataset().get(&self.project, dataset).await }, &Call::get(path)).await;
        Ok(present(found)?.map(|found| found.location.unwrap_or_default()))
    }

    /// Whether a dataset drops its tables after some time, unless they say otherwise.
    pub(crate) async fn expires(&self, dataset: &str) -> Result<bool, Fault> {
        let path = format!("datasets/{dataset}?fields=defaultTableExpirationMs,defaultPartitionExpirationMs");
        let found = self.retry(|| self.get(&path)).await?;
        Ok(["defaultTableExpirationMs", "defaultPartitionExpirationMs"].iter().any(|key| !found[key].is_null()))
    }

    /// Makes a dataset unless it is there.
    pub(crate) async fn create_dataset(&self, dataset: &str, location: &str) -> Result<(), Fault> {
        let wanted = Dataset::new(&self.project, dataset).location(location);
        let by_hand = Call::post("datasets".to_owned(), &wanted)?;
        let made = self.tried(|| async { self.google.dataset().create(wanted.clone()).await }, &by_hand).await;
        already(made.map(drop))
    }

    /// The shape of a table; none if it is not there.
    pub(crate) async fn table(&self, dataset: &str, table: &str) -> Result<Option<Shape>, Fault> {
        let path = format!("datasets/{dataset}/tables/{table}?fields=type,schema");
        let Some(found) = present(self.retry(|| self.get(&path)).await)? else { return Ok(None) };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let fields = found["schema"]["fields"].as_array();
        let columns = fields.into_iter().flatten().map(|field| (text(&field["name"]), declared(field)));
        Ok(Some(Shape { kind: text(&found["type"]), columns: columns.collect() }))
    }

    /// All tables of a dataset with their kinds; none if it is not there.
    pub(crate) async fn tables(&self, dataset: &str) -> Result<Vec<(String, String)>, Fault> {
        let (mut all, mut page) = (Vec::new(), None::<String>);
        let by_hand = Call::get(format!("datasets/{dataset}/tables"));
        loop {
            let options = || {
                let options = ListOptions::default().max_results(1_000);
                match &page {
                    Some(token) => options.page_token(token.clone()),
                    None => options,
                }
            };
            let listed = self
                .tried(|| async { self.google.table().list(&self.project, dataset, options()).await }, &by_hand)
                .await;
            let Some(listed) = present(listed)? else { return Ok(all) };
            let tables = listed.tables.unwrap_or_default().into_iter();
            all.extend(tables.map(|table| (table.table_reference.table_id, table.r#type.unwrap_or_default())));
            page = listed.next_page_token;
            if page.is_none() {
                return Ok(all);
            }
        }
    }

    /// Makes a table that goes away by itself, unless it is there. `schema` is the API's list of fields.
    pub(crate) async fn create_passing(
        &self,
        dataset: &str,
        table: &str,
        schema: &Value,
        lives: Duration,
    ) -> Result<(), Fault> {
        let expires = std::time::SystemTime::now() + lives;
        let expires = expires.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis().to_string();
        let wanted = json!({
            "tableReference": {"projectId": self.project, "datasetId": dataset, "tableId": table},
            "schema": {"fields": schema},
            "expirationTime": expires,
        });
        let by_hand = Call::post(format!("datasets/{dataset}/tables"), &wanted)?;
        let wanted: gcp_bigquery_client::model::table::Table = serde_json::from_value(wanted).map_err(BQError::from)?;
        let made = self.tried(|| async { self.google.table().create(wanted.clone()).await }, &by_hand).await;
        already(made.map(drop))
    }

    /// Drops a table; it may be gone already.
    pub(crate) async fn drop_table(&self, dataset: &str, table: &str) -> Result<(), Fault> {
        let by_hand = Call { method: Method::DELETE, path: format!("datasets/{dataset}/tables/{table}"), body: None };
        let dropped =
            self.tried(|| async { self.google.table().delete(&self.project, dataset, table).await }, &by_hand).await;
        present(dropped).map(drop)
    }

    /// The first rows of a table, read without a query; none if it is not there.
    pub(crate) async fn first_rows(&self, dataset: &str, table: &str) -> Result<Option<Vec<Cells>>, Fault> {
        let by_hand = Call::get(format!("datasets/{dataset}/tables/{table}/data?maxResults=10"));
        let wanted = || ListQueryParameters {
            start_index: None,
            max_results: Some(10),
            page_token: None,
            selected_fields: None,
            format_options: None,
        };
        let read = self
            .tried(|| async { self.google.tabledata().list(&self.project, dataset, table, wanted()).await }, &by_hand)
            .await;
        Ok(present(read)?.map(|read| cells(read.rows)))
    }

    /// Asks for a query job. A job with this id that is there already is as good.
    async fn insert_query(&self, id: &str, location: &str, sql: &str) -> Result<(), Fault> {
        let inserted = self.insert(self.query_job(Some(id), location, sql)).await;
        already(inserted.map(drop))
    }

    async fn insert(&self, job: Job) -> Result<Job, Fault> {
        let by_hand = Call::post("jobs".to_owned(), &job)?;
        self.tried(|| async { self.google.job().insert(&self.project, job.clone()).await }, &by_hand).await
    }

    fn query_job(&self, id: Option<&str>, location: &str, sql: &str) -> Job {
        Job {
            job_reference: Some(JobReference {
                project_id: Some(self.project.clone()),
                job_id: id.map(str::to_owned),
                location: Some(location.to_owned()),
            }),
            configuration: Some(JobConfiguration {
                query: Some(JobConfigurationQuery {
                    query: sql.to_owned(),
                    use_legacy_sql: Some(false),
                    ..JobConfigurationQuery::default()
                }),
                ..JobConfiguration::default()
            }),
            ..Job::default()
        }
    }

    /// The rows that a query job ended with.
    pub(crate) async fn results(&self, id: &str, location: &str) -> Result<Vec<Cells>, Fault> {
        let (mut all, mut page) = (Vec::new(), None::<String>);
        let by_hand = Call::get(format!("queries/{id}?maxResults=0&location={location}"));
        loop {
            let wanted = || GetQueryResultsParameters {
                location: Some(location.to_owned()),
                page_token: page.clone(),
                ..GetQueryResultsParameters::default()
            };
            let read = self
                .tried(|| async { self.google.job().get_query_results(&self.project, id, wanted()).await }, &by_hand)
                .await?;
            all.extend(cells(read.rows));
            page = read.page_token;
            if page.is_none() {
                return Ok(all);
            }
        }
    }

    /// Reads something by hand.
    async fn get(&self, path: &str) -> Result<Value, Fault> {
        let answer = self.by_hand(&Call::get(path.to_owned())).await?;
        serde_json::from_slice(&answer.bytes().await?).map_err(|_| Fault::new(0, "unreadable", ""))
    }

    async fn by_hand(&self, call: &Call) -> Result<reqwest::Response, Fault> {
        let address = format!("{}/bigquery/v2/projects/{}/{}", self.base, self.project, call.path);
        let request = self.http.request(call.method.clone(), address).bearer_auth(self.token().await?);
        let request = call.body.iter().fold(request, reqwest::RequestBuilder::json);
        answered(request.send().await?).await
    }

    async fn token(&self) -> Result<String, Fault> {
        Ok(self.auth.access_token().await?)
    }

    /// A call of the library until it succeeds or fails for good. Where it lost the status of an answer, the same is
    /// asked for by hand.
    async fn tried<T, F>(&self, call: impl Fn() -> F, by_hand: &Call) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, BQError>>,
    {
        self.retry(|| async {
            match call().await.map_err(Fault::from) {
                Err(fault) if fault.is_unreadable() => Err(self.by_hand(by_hand).await.err().unwrap_or(fault)),
                done => done,
            }
        })
        .await
    }

    /// A call until it succeeds or fails for good. It must be safe to make twice.
    async fn retry<T, F>(&self, call: impl Fn() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut waits = Waits::default();
        loop {
            // The library's futures are large.
            match Box::pin(call()).await {
                Err(fault) if fault.is_passing() && waits.again() => waits.wait(&fault).await,
                done => return done,
            }
        }
    }
}

/// What is there; what is not is none.
fn present<T>(found: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(fault) if fault.is_missing() => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// What is there already is made.
fn already(made: Result<(), Fault>) -> Result<(), Fault> {
    match made {
        Err(fault) if fault.is_duplicate() => Ok(()),
        made => made,
    }
}

/// The answer if it is a success.
async fn answered(answer: reqwest::Response) -> Result<reqwest::Response, Fault> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let body = answer.bytes().await.unwrap_or_default();
    Err(Fault::from_answer(status.as_u16(), &body))
}

fn cells(rows: Option<Vec<TableRow>>) -> Vec<Cells> {
    let cell = |value: Option<Value>| match value {
        Some(Value::String(text)) => Some(text),
        Some(Value::Null) | None => None,
        Some(other) => Some(other.to_string()),
    };
    let row = |row: TableRow| row.columns.unwrap_or_default().into_iter().map(|column| cell(column.value)).collect();
    rows.unwrap_or_default().into_iter().map(row).collect()
}

/// A field's type with what limits it: `NUMERIC(29)`, `STRING(10)`, `REPEATED STRING`.
fn declared(field: &Value) -> String {
    let text = |key: &str| field[key].as_str().unwrap_or_default();
    let mut out = String::new();
    if text("mode") == "REPEATED" {
        out.push_str("REPEATED ");
    }
    out.push_str(text("type"));
    match (text("precision"), text("scale"), text("maxLength")) {
        ("", _, "") => {}
        ("", _, length) => out.push_str(&format!("({length})")),
        (precision, "" | "0", _) => out.push_str(&format!("({precision})")),
        (precision, scale, _) => out.push_str(&format!("({precision}, {scale})")),
    }
    out
}

/// A number that nobody else has.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_with_what_limits_them() {
        for (field, is) in [
            (json!({"type": "STRING", "mode": "NULLABLE"}), "STRING"),
            (json!({"type": "STRING", "maxLength": "10"}), "STRING(10)"),
            (json!({"type": "NUMERIC", "precision": "29"}), "NUMERIC(29)"),
            (json!({"type": "NUMERIC", "precision": "10", "scale": "2"}), "NUMERIC(10, 2)"),
            (json!({"type": "STRING", "mode": "REPEATED"}), "REPEATED STRING"),
            (json!({"type": "RANGE", "rangeElementType": {"type": "DATE"}}), "RANGE"),
        ] {
            assert_eq!(declared(&field), is);
        }
        assert_ne!(random(), random());
    }
}
