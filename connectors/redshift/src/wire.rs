//! Redshift over the network: PostgreSQL's protocol, its simple queries only, inside TLS that is always verified.

use crate::client::Rows;
use crate::config::{Address, Options, reveal};
use crate::error::{self, classify};
use crate::sql;
use futures_util::future::{self, Either};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tablecast_core::{Error, ErrorKind, Result};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How to connect. Its parts never print: one of them is the password.
#[derive(Clone)]
pub(crate) struct Server {
    config: Config,
    tls: MakeRustlsConnect,
    statement_timeout_s: u32,
    connect_timeout: Duration,
    query_group: Option<String>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({:?})", self.config.get_hosts())
    }
}

impl Server {
    /// Reads what the options name; connects nowhere.
    pub(crate) fn new(address: &Address, options: &Options) -> Result<Server> {
        let Address::Wire { user, host, port, database } = address else {
            return Err(Error::new(ErrorKind::Internal, "the wire was given an address of the Data API"));
        };
        let connect_timeout = Duration::from_secs(options.connect_timeout_s.into());
        let mut config = Config::new();
        config
            .host(host)
            .port(*port)
            .user(user)
            .dbname(database)
            .application_name("tablecast")
            .ssl_mode(SslMode::Require)
            .connect_timeout(connect_timeout)
            // A COPY can be silent for longer than routers remember a connection.
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(60))
            .keepalives_interval(Duration::from_secs(15))
            .tcp_user_timeout(Duration::from_secs(120));
        if let Some(password) = &options.password {
            config.password(reveal("password", password)?);
        }
        Ok(Server {
            config,
            tls: MakeRustlsConnect::new(tls(options.ca.as_deref())?),
            statement_timeout_s: options.statement_timeout_s,
            connect_timeout,
            query_group: options.query_group.clone(),
        })
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> Result<Session> {
        let connecting = self.config.connect(self.tls.clone());
        // The client's own timeout covers TCP, not TLS and the login.
        let limit = self.connect_timeout + Duration::from_secs(5);
        let connected = tokio::time::timeout(limit, connecting).await.map_err(|_| error::no_connection("timed out"))?;
        let (client, connection) = connected.map_err(|error| error::classify_connect(&error))?;
        if !is_redshift(|name| connection.parameter(name)) {
            return Err(Error::new(ErrorKind::Config, "the server is a PostgreSQL and no Redshift")
                .fix("give the host and port of a Redshift endpoint, as the AWS console shows it"));
        }
        let patience = Duration::from_secs(u64::from(self.statement_timeout_s) + 30);
        let mut session = Session { client, connection: Box::pin(connection), patience };
        session.run(&sql::set_timeout(self.statement_timeout_s)).await?;
        if let Some(group) = &self.query_group {
            session.run(&sql::set_query_group(group)).await?;
        }
        Ok(session)
    }
}

/// Whether what a server says of itself at the login is what Redshift says.
fn is_redshift<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> bool {
    parameter("padb_version").is_some()
        || parameter("max_varchar_size").is_some()
        || parameter("server_version").is_some_and(|version| version.starts_with("8.0."))
}

fn tls(ca: Option<&Path>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let unreadable = || {
                Error::new(ErrorKind::Config, "the file of authorities cannot be read")
                    .with("ca", path.display())
                    .fix("give the path of a PEM file with at least one certificate, or leave `ca` out")
            };
            let certificates = CertificateDer::pem_file_iter(path).map_err(|_| unreadable())?;
            for certificate in certificates {
                roots.add(certificate.map_err(|_| unreadable())?).map_err(|_| unreadable())?;
            }
            if roots.is_empty() {
                return Err(unreadable());
            }
        }
    }
    // Two providers may be in one program, so none is the default.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| Error::new(ErrorKind::Internal, "TLS cannot be set up").because(error))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// One connection. It moves only while a statement waits for it, and ends with this value: nothing is spawned.
pub(crate) struct Session {
    client: Client,
    connection: Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>,
    patience: Duration,
}

impl Session {
    /// Runs one statement.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<Rows> {
        let messages = {
            let asked = pin!(self.client.simple_query(sql));
            let answered = future::select(asked, &mut self.connection);
            match tokio::time::timeout(self.patience, answered).await {
                Ok(Either::Left((answer, _))) => answer.map_err(|error| classify_answer(&error))?,
                // What was sent is unanswered for ever.
                Ok(Either::Right((Ok(()), _))) => return Err(error::lost("the connection was closed")),
                Ok(Either::Right((Err(error), _))) => return Err(classify_answer(&error)),
                Err(_) => return Err(error::lost("no answer in time")),
            }
        };
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// Runs statements in one transaction. After an error the connection is to be dropped, which rolls back.
    pub(crate) async fn transaction(&mut self, statements: &[String]) -> Result<()> {
        self.run(sql::BEGIN).await?;
        for statement in statements {
            self.run(statement).await?;
        }
        self.run(sql::COMMIT).await.map(drop)
    }
}

fn classify_answer(error: &tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(answer) => {
            let detail = answer.detail().unwrap_or_default();
            classify(Some(answer.code().code()), &format!("{} {detail}", answer.message()))
        }
        None => error::lost("the connection broke"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_postgresql_is_told_from_a_redshift() {
        let says = |known: &'static [(&str, &str)]| {
            is_redshift(|name| known.iter().find(|(key, _)| *key == name).map(|(_, value)| *value))
        };
        assert!(says(&[("server_version", "8.0.2"), ("padb_version", "1.0.50000")]));
        assert!(says(&[("server_version", "8.0.2")]));
        assert!(!says(&[("server_version", "15.18 (Debian)"), ("TimeZone", "UTC")]));
        assert!(!says(&[]));
    }

    #[test]
    fn a_server_never_shows_its_password() {
        let address = Address::Wire { user: "me".into(), host: "h".into(), port: 5439, database: "dev".into() };
        let password = Some(tablecast_core::Secret::new("hush"));
        let server = Server::new(&address, &Options { password, ..Options::default() }).unwrap();
        assert!(!format!("{server:?}").contains("hush"));
        let broken = Options { ca: Some("/no/such/file".into()), ..Options::default() };
        assert_eq!(Server::new(&address, &broken).unwrap_err().kind(), ErrorKind::Config);
    }
}
