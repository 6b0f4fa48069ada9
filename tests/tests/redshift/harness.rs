//! How tests reach the emulator: its URIs, its control port, a runtime for all of them.

use async_trait::async_trait;
use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use tablecast_core::{Ident, Result, Uri};
use tablecast_redshift::Redshift;
use tablecast_testkit::{Gap, Harness, Opened};
use tokio::runtime::Runtime;

pub(crate) const WIRE: &str = "TABLECAST_REDSHIFT_WIRE";
pub(crate) const SERIALIZABLE: &str = "TABLECAST_REDSHIFT_SERIALIZABLE";
pub(crate) const DATA: &str = "TABLECAST_REDSHIFT_DATA";
const CONTROL: &str = "TABLECAST_REDSHIFT_CONTROL";

/// Connections of the Data API's client live on the runtime that made them.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime"));

/// What the emulator cannot do, with the reason; the last of them through the Data API only.
const GAPS: &[Gap] = &[
    Gap {
        case: "more_columns_than_a_table_can_have",
        reason: "PostgreSQL, below the emulator, holds rows of 8 kB only; Redshift stores columns",
    },
    Gap {
        case: "text_beyond_the_limit_is_discarded",
        reason: "the Data API answers with rows of up to 64 KB: a longer one is loaded, but cannot be read back",
    },
];

/// What a variable of the emulator says.
///
/// # Panics
/// If there is no emulator.
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `cargo xtask emulators up redshift`, or `cargo xtask test --engine redshift`")
    })
}

/// One of the emulator's ways in.
pub(crate) struct Emulator {
    uri: String,
}

impl Emulator {
    pub(crate) fn at(name: &str) -> Self {
        Emulator { uri: variable(name) }
    }

    /// The URI with parts of it replaced.
    pub(crate) fn uri_with(&self, replace: &[(&str, &str)]) -> String {
        replace.iter().fold(self.uri.clone(), |uri, (from, to)| {
            assert!(uri.contains(from), "the URI has no {from}");
            uri.replace(from, to)
        })
    }

    pub(crate) async fn redshift(&self, schema: &Ident) -> Result<Arc<Redshift>> {
        Ok(Arc::new(Redshift::open(&Uri::parse(&self.uri)?, schema).await?))
    }
}

#[async_trait]
impl Harness for Emulator {
    async fn open(&self, schema: &Ident) -> Result<Opened> {
        let redshift = self.redshift(schema).await?;
        Ok(Opened { warehouse: redshift.clone(), probe: redshift })
    }

    fn gaps(&self) -> &[Gap] {
        if self.uri.starts_with("redshift-data:") { GAPS } else { &GAPS[..1] }
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + Send + '_>>) {
        RUNTIME.block_on(future);
    }
}

/// Runs a future on the runtime of all tests.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

/// A space that no other test, run or process uses.
pub(crate) fn fresh_space() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    format!("f{nanos:x}p{:x}n{:x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Asks the emulator for a fault, as its control port takes it.
pub(crate) fn arm(fault: &serde_json::Value) {
    let (status, body) = control("POST", "/faults", &fault.to_string());
    assert_eq!(status, "201", "{body}");
}

/// How often the faults with a marker were met, one number for each.
pub(crate) fn met(marker: &str) -> Vec<u64> {
    let (_, body) = control("GET", &format!("/faults?marker={marker}"), "");
    let found: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let faults = found["faults"].as_array().cloned().unwrap_or_default();
    faults.iter().map(|fault| fault["met"].as_u64().expect("a number")).collect()
}

/// Takes faults back.
pub(crate) fn disarm(marker: &str) {
    control("DELETE", &format!("/faults?marker={marker}"), "");
}

fn control(method: &str, path: &str, body: &str) -> (String, String) {
    let address = variable(CONTROL);
    let address = address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("the emulator's control port");
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .expect("an open connection");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, body)
}
