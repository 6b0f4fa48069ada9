//! Redshift through the Data API: statements are submitted, waited for, and read back over HTTPS.

use crate::client::{Rows, nonce};
use crate::config::{Address, Options, Target, reveal};
use crate::error::{self, classify};
use aws_config::{BehaviorVersion, Region};
use aws_sdk_redshiftdata::Client;
use aws_sdk_redshiftdata::config::retry::RetryConfig;
use aws_sdk_redshiftdata::config::{Credentials, timeout::TimeoutConfig};
use aws_sdk_redshiftdata::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_redshiftdata::types::{Field, StatusString};
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};
use tablecast_core::{Error, ErrorKind, Result};

/// How long one answer may be waited for on the service's side, in seconds; it takes at most 30.
const POLL_S: i32 = 15;
/// How long a busy service is asked again within a call.
const PATIENCE: Duration = Duration::from_secs(60);

/// A database behind the Data API.
pub(crate) struct Service {
    client: Client,
    workgroup: Option<String>,
    cluster: Option<String>,
    database: String,
    db_user: Option<String>,
    secret_arn: Option<String>,
    statement_timeout: Duration,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({:?}, {})", self.workgroup.as_ref().or(self.cluster.as_ref()), self.database)
    }
}

impl Service {
    /// Reads what the options name; asks nothing of the service.
    pub(crate) async fn new(address: &Address, options: &Options) -> Result<Service> {
        let Address::Data { target, database } = address else {
            return Err(Error::new(ErrorKind::Internal, "the Data API was given an address of the wire"));
        };
        let region = options.region.clone().or_else(|| std::env::var("AWS_REGION").ok());
        let region = region.ok_or_else(|| {
            Error::new(ErrorKind::Config, "the region of the Data API is not known")
                .fix("give region=REGION, or set AWS_REGION")
        })?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(options.connect_timeout_s.into()))
            .operation_attempt_timeout(Duration::from_secs(60))
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region))
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(timeouts);
        if let Some(endpoint) = &options.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let (Some(key), Some(secret)) = (&options.access_key, &options.secret_key) {
            let (key, secret) = (reveal("access_key", key)?, reveal("secret_key", secret)?);
            loader = loader.credentials_provider(Credentials::new(key, secret, None, None, "tablecast"));
        }
        let (workgroup, cluster) = match target {
            Target::Workgroup(name) => (Some(name.clone()), None),
            Target::Cluster(name) => (None, Some(name.clone())),
        };
        Ok(Service {
            client: Client::new(&loader.load().await),
            workgroup,
            cluster,
            database: database.clone(),
            db_user: options.db_user.clone(),
            secret_arn: options.secret_arn.clone(),
            statement_timeout: Duration::from_secs(options.statement_timeout_s.into()),
        })
    }

    /// Runs one statement and reads its rows.
    pub(crate) async fn query(&self, sql: &str) -> Result<Rows> {
        let id = self.execute(sql).await?;
        if !self.finished(&id).await? {
            return Ok(Rows::new());
        }
        let mut rows = Rows::new();
        let mut next: Option<String> = None;
        loop {
            let page = patiently(|| self.client.get_statement_result().id(&id).set_next_token(next.clone()).send());
            let page = page.await?;
            rows.extend(page.records().iter().map(|record| record.iter().map(cell).collect::<Vec<_>>()));
            next = page.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            if next.is_none() {
                return Ok(rows);
            }
        }
    }

    /// Runs one statement to its end.
    pub(crate) async fn exec(&self, sql: &str) -> Result<()> {
        let id = self.execute(sql).await?;
        self.finished(&id).await.map(drop)
    }

    /// Runs a batch, which the service makes one transaction of. The same token is the same batch for eight hours.
    pub(crate) async fn transaction(&self, token: &str, statements: &[String]) -> Result<()> {
        let submitted = patiently(|| {
            self.client
                .batch_execute_statement()
                .set_workgroup_name(self.workgroup.clone())
                .set_cluster_identifier(self.cluster.clone())
                .database(&self.database)
                .set_db_user(self.db_user.clone())
                .set_secret_arn(self.secret_arn.clone())
                .statement_name("tablecast")
                .client_token(token)
                .set_sqls(Some(statements.to_vec()))
                .send()
        });
        let id = submitted.await?.id().map(str::to_owned).ok_or_else(no_id)?;
        self.finished(&id).await.map(drop)
    }

    async fn execute(&self, sql: &str) -> Result<String> {
        let token = format!("{}{}", nonce(), nonce());
        let submitted = patiently(|| {
            self.client
                .execute_statement()
                .set_workgroup_name(self.workgroup.clone())
                .set_cluster_identifier(self.cluster.clone())
                .database(&self.database)
                .set_db_user(self.db_user.clone())
                .set_secret_arn(self.secret_arn.clone())
                .statement_name("tablecast")
                .client_token(&token)
                .sql(sql)
                .send()
        });
        submitted.await?.id().map(str::to_owned).ok_or_else(no_id)
    }

    /// Waits for a statement's end; whether it has rows.
    async fn finished(&self, id: &str) -> Result<bool> {
        let started = Instant::now();
        loop {
            let described =
                patiently(|| self.client.describe_statement().id(id).wait_time_seconds(POLL_S).send()).await?;
            match described.status() {
                Some(StatusString::Finished) => return Ok(described.has_result_set().unwrap_or(false)),
                Some(StatusString::Failed) => {
                    let own = described.error().filter(|text| !text.is_empty());
                    let sub = described.sub_statements().iter().find_map(|sub| sub.error());
                    return Err(classify(None, &[own, sub].map(Option::unwrap_or_default).join(" ")));
                }
                Some(StatusString::Aborted) => {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        "the Data API ended a statement before it was done",
                    )
                    .temporary()
                    .with("statement", id)
                    .fix("run again; nothing is loaded twice"));
                }
                _ if started.elapsed() > self.statement_timeout => {
                    // Whether it is still stopped in time is found out by the next try.
                    let _ = self.client.cancel_statement().id(id).send().await;
                    return Err(error::lost("the statement did not end in time").with("statement", id));
                }
                _ => {}
            }
        }
    }
}

fn no_id() -> Error {
    Error::new(ErrorKind::Unavailable, "the Data API took a statement without a name for it").temporary()
}

fn cell(field: &Field) -> Option<String> {
    match field {
        Field::StringValue(text) => Some(text.clone()),
        Field::LongValue(number) => Some(number.to_string()),
        Field::DoubleValue(number) => Some(tablecast_core::float_text(*number)),
        Field::BooleanValue(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Asks again while the service is busy, with longer and longer pauses, each a random part of what it may be.
async fn patiently<T, E, F>(ask: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = std::result::Result<T, SdkError<E>>>,
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let started = Instant::now();
    let mut pause = Duration::from_millis(200);
    let mut tries = 0;
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code).map(str::to_owned);
        // What it says is what the whole chain says: a connection that failed is told at its end only.
        let text = DisplayErrorContext(&error).to_string();
        let classified = error::classify_service(code.as_deref(), &text);
        // Every request can be repeated: those that submit bear a token. The SDK has tried a few times by now.
        let again = error::is_busy(code.as_deref()) || (code.is_none() && classified.is_temporary() && tries < 3);
        if !again || started.elapsed() + pause > PATIENCE {
            return Err(classified);
        }
        tries += 1;
        let spread = RandomState::new().hash_one(pause) % 1_000;
        tokio::time::sleep(pause.mul_f64(0.5) + pause.mul_f64(0.5) * u32::try_from(spread).unwrap_or(0) / 1_000).await;
        pause = (pause * 2).min(Duration::from_secs(8));
    }
}
