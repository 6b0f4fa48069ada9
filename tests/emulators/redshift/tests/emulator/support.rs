//! A running emulator, and a wire client for it.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use tokio_postgres::{Client, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The variables that an emulator prints.
pub(crate) struct Emulator {
    variables: HashMap<String, String>,
    /// Ends with this process, which closes its standard input.
    _child: Option<Child>,
}

const VARIABLES: [&str; 4] = [
    "TABLECAST_REDSHIFT_WIRE",
    "TABLECAST_REDSHIFT_SERIALIZABLE",
    "TABLECAST_REDSHIFT_DATA",
    "TABLECAST_REDSHIFT_CONTROL",
];

/// The one that the variables name, or one of our own.
pub(crate) fn emulator() -> &'static Emulator {
    static EMULATOR: OnceLock<Emulator> = OnceLock::new();
    EMULATOR.get_or_init(|| {
        let given = VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        let variables: HashMap<String, String> = given.collect();
        if variables.len() == VARIABLES.len() { Emulator { variables, _child: None } } else { start() }
    })
}

fn start() -> Emulator {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tablecast-redshift-emulator"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the emulator starts");
    let mut variables = HashMap::new();
    for line in BufReader::new(child.stdout.take().expect("its output")).lines() {
        let line = line.unwrap_or_default();
        if line == "ready" {
            return Emulator { variables, _child: Some(child) };
        }
        let (name, value) = line.split_once('=').expect("NAME=VALUE");
        variables.insert(name.to_owned(), value.to_owned());
    }
    panic!("the emulator ended before it was ready: {:?}", child.wait());
}

/// What a session is opened on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Database {
    Snapshot,
    Serializable,
}

impl Emulator {
    pub(crate) fn variable(&self, name: &str) -> &str {
        &self.variables[&format!("TABLECAST_REDSHIFT_{name}")]
    }

    /// A part of a URI's query.
    pub(crate) fn option(&self, variable: &str, name: &str) -> &str {
        let (_, query) = self.variable(variable).split_once('?').expect("a query");
        query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).expect("the option")
    }

    pub(crate) fn port(&self) -> u16 {
        let (_, rest) = self.variable("WIRE").split_once("@127.0.0.1:").expect("an address");
        rest.split('/').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    /// Asks the control port.
    pub(crate) fn control(&self, method: &str, path: &str, body: &str) -> String {
        let address = self.variable("CONTROL").strip_prefix("http://").expect("an address");
        let mut stream = std::net::TcpStream::connect(address).expect("the control port");
        let len = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n{body}"
        )
        .expect("a request");
        std::io::read_to_string(stream).expect("an answer")
    }
}

/// The configuration of a client that trusts the emulator alone.
pub(crate) fn tls() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let ca = emulator().option("WIRE", "ca");
    for certificate in CertificateDer::pem_file_iter(ca).expect("the file") {
        roots.add(certificate.expect("a certificate")).expect("an authority");
    }
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Opens a session.
pub(crate) async fn connect(database: Database) -> Client {
    let variable = match database {
        Database::Snapshot => "WIRE",
        Database::Serializable => "SERIALIZABLE",
    };
    let name = emulator().variable(variable).split(['/', '?']).nth(3).expect("a database").to_owned();
    log_in("tablecast", emulator().option(variable, "password"), &name).await.expect("a session")
}

pub(crate) async fn log_in(user: &str, password: &str, database: &str) -> Result<Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(emulator().port()).user(user).password(password).dbname(database);
    config.ssl_mode(tokio_postgres::config::SslMode::Require);
    let (client, connection) = config.connect(MakeRustlsConnect::new(tls())).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// A schema of this test's own.
pub(crate) async fn schema(client: &Client) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("t{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    run(client, &format!("CREATE SCHEMA {name}")).await;
    name
}

/// Runs what must not fail; the rows as texts, cells parted by `|`, NULL as `-`.
pub(crate) async fn run(client: &Client, sql: &str) -> Vec<String> {
    match attempt(client, sql).await {
        Ok(rows) => rows,
        Err((code, message)) => panic!("{sql}: {code} {message}"),
    }
}

/// Runs; an error as SQLSTATE and message.
pub(crate) async fn attempt(client: &Client, sql: &str) -> Result<Vec<String>, (String, String)> {
    let messages = client.simple_query(sql).await.map_err(|error| match error.as_db_error() {
        Some(error) => (error.code().code().to_owned(), error.message().to_owned()),
        None => ("lost".to_owned(), error.to_string()),
    })?;
    Ok(messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).unwrap_or("-")).collect::<Vec<_>>().join("|"))
            }
            _ => None,
        })
        .collect())
}
