//! A running service, a small HTTP client, and a look into its warehouses.

use crate::serving::CONFIG;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tablecast_core::testing::{Probe, Row};
use tablecast_core::{Ident, Rules};
use tablecast_sqlite::{Options, Sqlite};
use tempfile::TempDir;

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// A folder with a configuration, and the service that runs by it.
pub(crate) struct Service {
    dir: TempDir,
    port: u16,
    child: Option<Child>,
    variables: Vec<(String, String)>,
    /// Before the program, such as `sh -c …`.
    wrapper: Vec<String>,
}

impl Service {
    /// A service of one space, `default`, with the write key `demo`; `more` is put in front of its sections.
    pub(crate) fn new(more: &str, warehouses: &[&str]) -> Service {
        let port = free_port();
        let service = Service {
            dir: tempfile::tempdir().expect("a folder"),
            port,
            child: None,
            variables: vec![],
            wrapper: vec![],
        };
        service.configure(more, warehouses);
        service
    }

    /// Writes the configuration anew.
    pub(crate) fn configure(&self, more: &str, warehouses: &[&str]) {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let (top, sections) =
            more.split_once("[[").map_or((more, String::new()), |(top, rest)| (top, format!("[[{rest}")));
        let mut text = format!(
            "listen = \"127.0.0.1:{}\"\ndata = \"{}\"\n{top}\n[[source]]\nspace = \"default\"\nwrite_keys = [\"demo\"]\n",
            self.port,
            path("data")
        );
        for name in warehouses {
            text.push_str(&format!(
                "[[warehouse]]\nname = \"{name}\"\nuri = \"sqlite:{}?synchronous=off\"\nevery = \"1 second\"\n",
                path(name)
            ));
        }
        text.push_str(&sections);
        std::fs::write(self.dir.path().join("tablecast.toml"), text).expect("the configuration is written");
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn wrapped(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(&mut self) {
        let program = std::env::current_exe().expect("this program").display().to_string();
        let words: Vec<String> = self.wrapper.iter().cloned().chain([program]).collect();
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .args(["--ignored", "--exact", "serving::process", "--nocapture"])
            .env(CONFIG, self.dir.path().join("tablecast.toml"))
            .envs(self.variables.iter().cloned())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the service starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let listening = lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("listening "));
        assert!(listening, "the service ended; what it said is above");
        // Nobody must wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        self.child = Some(child);
    }

    pub(crate) fn started(mut self) -> Self {
        self.start();
        self
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// As a power cut would do it.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it is killed");
        child.wait().expect("it ends");
    }

    /// Asks it to end, and waits for it.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let killed = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().expect("kill runs");
        assert!(killed.success());
        let ended = child.wait().expect("it ends");
        assert!(ended.success(), "{ended}");
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        request(self.address(), "POST", path, "", body.as_bytes()).expect("an answer")
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        request(self.address(), "GET", path, "", b"").expect("an answer")
    }

    /// A counter or gauge of `/metrics`; 0 if it is not there.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Memory that the service takes, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the status of a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// All rows of a table of a warehouse; none if it is not there yet.
    pub(crate) fn rows(&self, warehouse: &str, table: &str) -> Vec<Row> {
        rows(&self.folder(warehouse), table)
    }

    /// Waits until a table has so many rows, then gives them.
    pub(crate) fn wait_for(&self, warehouse: &str, table: &str, rows: usize) -> Vec<Row> {
        until(&format!("{rows} rows in {table} of {warehouse}"), || {
            let found = self.rows(warehouse, table);
            (found.len() >= rows).then_some(found)
        })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port that stays the service's own over its deaths: below those that the system gives to clients, one of which could
/// otherwise get it meanwhile.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut candidates = std::iter::repeat_with(|| {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        u16::try_from(12_000 + (std::process::id() * 31 + nth) % 20_000).expect("a port")
    });
    candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("there is no end of them")
}

/// Tries until there is something; panics when it takes for ever.
pub(crate) fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn rows(folder: &Path, table: &str) -> Vec<Row> {
    if !folder.exists() {
        return Vec::new();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let schema: Ident = Rules::default().schema();
        let sqlite = Sqlite::open(folder, &schema, Options::default()).expect("the warehouse opens");
        sqlite.rows(table).await.expect("its rows")
    })
}

/// What the service answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// One request on a connection of its own; none if there is no whole answer.
pub(crate) fn request(address: SocketAddr, method: &str, path: &str, headers: &str, body: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    // A server that refuses may not read to the end.
    let _ = stream.write_all(body);
    answer(&mut stream)
}

/// Reads an answer to the end of the connection.
pub(crate) fn answer(stream: &mut TcpStream) -> Option<Answer> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    // A connection that broke in the middle answered nothing.
    if length.is_some_and(|length| length != body.len()) {
        return None;
    }
    Some(Answer { status, head, body: body.to_owned() })
}

/// A client that keeps its connection, and makes another when that breaks.
pub(crate) struct Client {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Client { address, stream: None }
    }

    /// The status of the answer; none if there was none, which says nothing of what became of the request.
    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> Option<u16> {
        let status = self.attempt(path, body);
        if status.is_none() {
            self.stream = None;
        }
        status
    }

    fn attempt(&mut self, path: &str, body: &[u8]) -> Option<u16> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).ok()?;
            stream.set_nodelay(true).ok()?;
            stream.set_read_timeout(Some(PATIENCE)).ok()?;
            self.stream = Some(BufReader::new(stream));
        }
        let stream = self.stream.as_mut()?;
        let mut bytes =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        stream.get_mut().write_all(&bytes).ok()?;
        let (mut status, mut length, mut closes) = (None, 0, false);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if status.is_none() {
                status = Some(line.split(' ').nth(1)?.parse().ok()?);
            } else if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().ok()?;
            } else if line == "connection: close" {
                closes = true;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        if closes {
            self.stream = None;
        }
        status
    }
}
