//! Reaching an account: one HTTP client for everything, logins, and what is left of calls that were given up.
//!
//! `snowflake-api`'s connection carries the logins, the closing of sessions and the parts of large results. It makes a
//! new request id for every call and drops the status of the answer, so statements, polls, renewals and cancels go over the
//! same client beside it.

mod answer;
mod auth;
mod route;
mod session;

pub(crate) use answer::Answer;
pub(crate) use session::{Rows, Session};

use crate::config::{Address, Auth, Options};
use crate::error::{Fault, own};
use reqwest::Url;
use reqwest::redirect::Policy;
use reqwest_middleware::ClientWithMiddleware;
use route::Route;
use serde_json::{Value, json};
use snowflake_api::connection::{Connection, QueryType};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tablecast_core::{Error, ErrorKind, Result};

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(15);
/// How long to wait for one answer: Snowflake says that a statement still runs after 45 seconds.
const ANSWER: Duration = Duration::from_secs(120);
/// How long tidying up after a call that was given up may hold up the next one.
const TIDY: Duration = Duration::from_secs(10);

/// An account, and who we are there.
pub(crate) struct Client {
    pub(crate) http: ClientWithMiddleware,
    connection: Connection,
    pub(crate) base: Url,
    address: Address,
    auth: Auth,
    pub(crate) options: Options,
    /// Sessions whose call was dropped: nobody could close them then.
    orphans: Mutex<Vec<Orphan>>,
}

/// What is left of a session.
pub(crate) struct Orphan {
    /// Its token.
    token: String,
    /// The request that was under way.
    request: Option<String>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({} at {})", self.address.database, self.base)
    }
}

impl Client {
    /// Reads what the options name. Nobody is asked.
    pub(crate) fn new(address: Address, options: Options) -> Result<Client> {
        let auth = options.check()?;
        let base = options.base(&address.account)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("tablecast/", env!("CARGO_PKG_VERSION")))
            .gzip(true)
            .referer(false)
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .timeout(ANSWER);
        if base.scheme() == "http" {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| {
            Error::new(ErrorKind::Internal, "the HTTP client cannot be set up").because(error.without_url())
        })?;
        let http = reqwest_middleware::ClientBuilder::new(http).with(Route::new(base.clone())).build();
        let connection = Connection::new_with_middware(http.clone());
        Ok(Client { http, connection, base, address, auth, options, orphans: Mutex::default() })
    }

    /// The database, as the catalog has it.
    pub(crate) fn database(&self) -> &str {
        &self.address.database
    }

    /// Whom it reaches, for people.
    pub(crate) fn describe(&self) -> String {
        let Address { user, account, database } = &self.address;
        format!("{user} in {account}, database {database}, at {}", self.base.host_str().unwrap_or_default())
    }

    /// What an administrator runs once.
    pub(crate) fn set_up(&self) -> String {
        crate::sql::set_up(&self.address.user, &self.address.database, &self.options)
    }

    /// Whether the other side is an emulator on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// Signs in.
    async fn login(&self) -> Result<(String, String)> {
        let body = self.login_body()?;
        let mut query = vec![("databaseName", quoted_if_needed(&self.address.database))];
        query.extend(self.options.warehouse.clone().map(|name| ("warehouse", name)));
        query.extend(self.options.role.clone().map(|name| ("roleName", name)));
        let query: Vec<(&str, &str)> = query.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let mut waits = Waits::default();
        let answer = loop {
            let asked = self.connection.request::<Value>(QueryType::LoginRequest, route::ACCOUNT, &query, None, &body);
            let fault = match asked.await.map_err(Fault::from).and_then(|value| Answer::read(value).succeeded()) {
                Ok(answer) => break answer,
                Err(fault) => fault,
            };
            if !fault.is_passing() || !waits.again() {
                return Err(self.placed(fault.into()));
            }
            waits.wait().await;
        };
        match (answer.text("token"), answer.text("masterToken")) {
            (Some(token), master) => Ok((token.to_owned(), master.unwrap_or_default().to_owned())),
            (None, _) => Err(self.placed(Fault::new(own::UNREADABLE, "").into())),
        }
    }

    fn login_body(&self) -> Result<Value> {
        let account = self.address.account.split('.').next().unwrap_or_default();
        let mut data = json!({
            "ACCOUNT_NAME": account,
            "LOGIN_NAME": self.address.user,
            "CLIENT_APP_ID": "Tablecast",
            "CLIENT_APP_VERSION": env!("CARGO_PKG_VERSION"),
            "CLIENT_ENVIRONMENT": {"APPLICATION": "Tablecast", "OS": std::env::consts::OS},
            "SESSION_PARAMETERS": {
                "QUERY_TAG": self.options.query_tag,
                "LOCK_TIMEOUT": self.options.lock_timeout_s,
                "STATEMENT_TIMEOUT_IN_SECONDS": self.options.statement_timeout_s,
                "TIMEZONE": "UTC",
                "AUTOCOMMIT": true,
                "ABORT_DETACHED_QUERY": true,
                "TRANSACTION_ABORT_ON_ERROR": true,
                "ERROR_ON_NONDETERMINISTIC_UPDATE": true,
                "QUOTED_IDENTIFIERS_IGNORE_CASE": false,
                "TIMESTAMP_INPUT_FORMAT": "AUTO",
                "CLIENT_SESSION_KEEP_ALIVE": false,
                "CLIENT_VALIDATE_DEFAULT_PARAMETERS": true,
            },
        });
        for (key, value) in auth::proof(&self.auth, account, &self.address.user)? {
            data[key] = value.into();
        }
        Ok(json!({"data": data}))
    }

    /// Says which account an error is about.
    fn placed(&self, error: Error) -> Error {
        error.with("account", &self.address.account).with("user", &self.address.user)
    }

    /// Closes a session, best effort.
    async fn close(&self, token: &str) {
        let auth = session::authorization(token);
        let params = [("delete", "true")];
        let asked =
            self.connection.request::<Value>(QueryType::CloseSession, route::ACCOUNT, &params, Some(&auth), json!({}));
        // What cannot be closed ends by itself.
        let _ = tokio::time::timeout(TIDY, asked).await;
    }

    /// Asks Snowflake to give up a statement, best effort.
    async fn abort(&self, token: &str, request: &str) {
        let Ok(mut url) = self.base.join("queries/v1/abort-request") else { return };
        url.query_pairs_mut().append_pair("requestId", &uuid());
        let asked = self
            .http
            .post(url)
            .header(reqwest::header::AUTHORIZATION, session::authorization(token))
            .header(reqwest::header::ACCEPT, "application/json")
            .json(&json!({"requestId": request}))
            .send();
        let _ = tokio::time::timeout(TIDY, asked).await;
    }

    /// Remembers a session that nobody can close now.
    fn leave(&self, orphan: Orphan) {
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner).push(orphan);
    }

    /// Ends what calls that were dropped have left: they may hold locks.
    async fn tidy(&self) {
        let orphans = std::mem::take(&mut *self.orphans.lock().unwrap_or_else(PoisonError::into_inner));
        for orphan in orphans {
            if let Some(request) = &orphan.request {
                self.abort(&orphan.token, request).await;
            }
            self.close(&orphan.token).await;
        }
    }

    /// A part of a large result.
    async fn chunk(&self, url: &str, headers: &HashMap<String, String>) -> Result<Vec<u8>, Fault> {
        Ok(self.connection.get_chunk(url, headers).await?.to_vec())
    }
}

/// A name as the login takes it: what is no plain upper-case name is quoted.
fn quoted_if_needed(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'$';
    let starts = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit() && byte != b'$');
    if starts && name.bytes().all(plain) { name.to_owned() } else { format!("\"{name}\"") }
}

/// How often something was tried, and how long to wait until the next time.
pub(crate) struct Waits {
    tried: u32,
    limit: u32,
    first: Duration,
    most: Duration,
}

impl Default for Waits {
    /// Six more tries within some ten seconds.
    fn default() -> Self {
        Waits { tried: 0, limit: 6, first: Duration::from_millis(150), most: Duration::from_secs(5) }
    }
}

impl Waits {
    /// Without an end of its own, at most this long at a time.
    pub(crate) fn endless(most: Duration) -> Waits {
        Waits { tried: 0, limit: u32::MAX, first: Duration::from_millis(20), most }
    }

    /// Whether there is another try; counts it.
    pub(crate) fn again(&mut self) -> bool {
        self.tried = self.tried.saturating_add(1);
        self.tried <= self.limit
    }

    /// Waits between half and all of what doubles with every try.
    pub(crate) async fn wait(&self) {
        let factor = 2_u32.saturating_pow(self.tried.saturating_sub(1).min(20));
        let half = self.first.saturating_mul(factor).min(self.most) / 2;
        let spread = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
        tokio::time::sleep(half + Duration::from_nanos(RandomState::new().hash_one(self.tried) % spread)).await;
    }

    pub(crate) fn tried(&self) -> u32 {
        self.tried
    }
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|_| Error::new(ErrorKind::Internal, "the operating system gives no random numbers"))?;
    Ok(bytes)
}

/// A number that no other request has, as Snowflake wants it written.
pub(crate) fn uuid() -> String {
    let (high, low) = (RandomState::new().hash_one(now()), RandomState::new().hash_one(std::process::id()));
    let hex = format!("{high:016x}{low:016x}");
    let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..]);
    format!("{a}-{b}-4{c}-a{d}-{e}")
}

/// 64 bits that no other try has, in hex: the keys of a `RandomState` come from the operating system.
pub(crate) fn nonce() -> String {
    format!("{:016x}", RandomState::new().hash_one((now(), std::process::id())))
}

/// µs since 1970, by the clock.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
