//! The two ways to Redshift behind one face: rows of text out, statements in, and transactions that are one script.

#[cfg(feature = "data-api")]
use crate::data;
use crate::wire;
use std::hash::{BuildHasher, RandomState};
#[cfg(feature = "data-api")]
use std::sync::Arc;
use std::time::SystemTime;
use tablecast_core::Result;

/// Cells as Redshift writes them; `None` is NULL.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

/// How to get there.
#[derive(Debug)]
pub(crate) enum Client {
    Wire(Box<wire::Server>),
    #[cfg(feature = "data-api")]
    Data(Arc<data::Service>),
}

impl Client {
    /// A connection of its own for one call. Whoever drops it gives up what was not committed.
    pub(crate) async fn session(&self) -> Result<Session> {
        Ok(match self {
            Client::Wire(server) => Session::Wire(Box::new(server.connect().await?)),
            #[cfg(feature = "data-api")]
            Client::Data(service) => Session::Data(Arc::clone(service)),
        })
    }
}

/// A connection. Over the wire an error may leave it unusable: open another one.
pub(crate) enum Session {
    Wire(Box<wire::Session>),
    #[cfg(feature = "data-api")]
    Data(Arc<data::Service>),
}

impl Session {
    /// Runs one statement and reads its rows.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<Rows> {
        match self {
            Session::Wire(session) => session.run(sql).await,
            #[cfg(feature = "data-api")]
            Session::Data(service) => service.query(sql).await,
        }
    }

    /// Runs one statement, which is durable when this returns.
    pub(crate) async fn exec(&mut self, sql: &str) -> Result<()> {
        match self {
            Session::Wire(session) => session.run(sql).await.map(drop),
            #[cfg(feature = "data-api")]
            Session::Data(service) => service.exec(sql).await,
        }
    }

    /// Runs statements in order, all of them or none. `token` names this try at it: where the protocol can tell, the
    /// same token is run once only.
    #[cfg_attr(not(feature = "data-api"), expect(unused_variables, reason = "the wire has no tokens"))]
    pub(crate) async fn transaction(&mut self, token: &str, statements: &[String]) -> Result<()> {
        match self {
            Session::Wire(session) => session.transaction(statements).await,
            #[cfg(feature = "data-api")]
            Session::Data(service) => service.transaction(token, statements).await,
        }
    }
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
