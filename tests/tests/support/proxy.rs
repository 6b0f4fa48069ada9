//! A proxy in front of an emulator that goes wrong on cue: answers that get lost, answers of its own, requests that break
//! off, and a client that is cut off for good.

// Each warehouse uses its part of it.
#![allow(dead_code)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How long a call is held up: as long as another writer needs for what it does meanwhile.
const HELD: Duration = Duration::from_millis(700);

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The call does its work, and its answer is lost.
    LoseAnswer,
    /// The call does its work, and half of its answer comes.
    CutAnswer,
    /// The connection breaks in the middle of what is sent.
    Cut,
    /// The call does nothing: this is the answer.
    Answer { status: &'static str, kind: &'static str, body: &'static str },
    /// A job of BigQuery's that is asked for is taken, and then fails for this reason; it does nothing.
    FailJob(&'static str),
    /// The call is passed on after a while.
    Hold,
}

/// An answer of this status with this body.
pub(crate) fn answer(status: u16, body: &'static str) -> How {
    How::Answer { status: format!("{status} As Told").leak(), kind: "application/json", body }
}

/// A call that goes wrong: the first so many times that its first line, its headers or its body hold `part`.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) part: &'static str,
    pub(crate) how: How,
    pub(crate) times: usize,
}

#[derive(Default)]
struct State {
    faults: Vec<Fault>,
    /// Ids and reasons of jobs that failed here.
    failed: Vec<(String, &'static str)>,
    /// First lines of all calls.
    calls: Vec<String>,
    /// What goes wrong with every call whose first line holds a word, but for those that came before.
    every: Option<(&'static str, How)>,
    seen: BTreeSet<String>,
    /// Calls that change something after which nothing gets through any more, and whether the last of them loses its
    /// answer.
    left: Option<(usize, bool)>,
    /// Whether a call did not get through.
    refused: bool,
    /// Whether every request is passed on as if it were the first of its id.
    forgetful: bool,
}

impl State {
    /// Whether a call gets through, and if so, whether its answer is lost because it is the last.
    fn passes(&mut self, first: &str) -> (bool, bool) {
        let Some((left, lost)) = &mut self.left else { return (true, false) };
        if *left == 0 {
            self.refused = true;
            return (false, false);
        }
        if !first.starts_with("GET") {
            *left -= 1;
        }
        (true, *lost && *left == 0)
    }

    /// The answer to who looks at a job that failed here.
    fn failure(&self, first: &str) -> Option<How> {
        let (_, reason) = self.failed.iter().find(|(id, _)| first.contains(&format!("/jobs/{id}?")))?;
        let error = serde_json::json!({"reason": reason, "message": "m"});
        let job = serde_json::json!({"status": {"state": "DONE", "errorResult": error}});
        Some(answer(200, job.to_string().leak()))
    }

    /// What goes wrong with a call that has this text.
    fn take(&mut self, text: &str) -> Option<How> {
        let fault = self.faults.iter_mut().find(|fault| fault.times > 0 && text.contains(fault.part))?;
        fault.times -= 1;
        Some(fault.how)
    }

    /// What goes wrong with every call that was not there before.
    fn first_time(&mut self, first: &str) -> Option<How> {
        let (part, how) = self.every.filter(|(part, _)| first.contains(part))?;
        let id = first.split(['?', '&', ' ']).find(|part| part.starts_with("requestId="));
        let path = first.split(['?']).next().unwrap_or(part);
        let id = id.filter(|_| first.contains("query-request")).unwrap_or(path);
        self.seen.insert(id.to_owned()).then_some(how)
    }
}

/// It stops when it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Listens on a free port of this machine and passes calls on to `behind` (`http://127.0.0.1:PORT`).
    pub(crate) async fn new(behind: &str, faults: &[Fault]) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State { faults: faults.to_vec(), ..State::default() }));
        let (behind, shared) = (behind.trim_start_matches("http://").to_owned(), state.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (behind, state) = (behind.clone(), shared.clone());
                // A connection that breaks is what this is for.
                tokio::spawn(async move { drop(serve(client, &behind, &state).await) });
            }
        });
        Proxy { address, state, task }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Every call whose first line holds `part` goes wrong the first time: a request with an id is the same call again
    /// if it has the same one, any other if it has the same path.
    pub(crate) fn every(&self, part: &'static str, how: How) {
        self.locked().every = Some((part, how));
    }

    /// Passes requests on under new ids, so that who sends one again has it run again.
    pub(crate) fn forget_ids(&self) {
        self.locked().forgetful = true;
    }

    /// Lets so many calls that change something through, and then nothing; with `lost`, the last one does its work and its
    /// answer is lost.
    pub(crate) fn die_after(&self, calls: usize, lost: bool) {
        self.locked().left = Some((calls, lost));
    }

    /// Waits until nothing gets through any more.
    pub(crate) async fn died(&self) {
        self.until(|state| state.refused || state.left == Some((0, true))).await;
    }

    /// Waits until so many calls have come.
    pub(crate) async fn came(&self, calls: usize) {
        self.until(|state| state.calls.len() >= calls).await;
    }

    async fn until(&self, reached: impl Fn(&State) -> bool) {
        while !reached(&self.locked()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first lines of the calls so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.locked().calls.clone()
    }

    /// The faults that have not happened as often as they should.
    pub(crate) fn unused(&self) -> Vec<Fault> {
        self.locked().faults.iter().filter(|fault| fault.times > 0).cloned().collect()
    }
}

async fn serve(mut client: TcpStream, behind: &str, state: &Mutex<State>) -> std::io::Result<()> {
    let mut request = Vec::new();
    let head = loop {
        if client.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        if let Some(at) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let mut text = String::from_utf8_lossy(&request[..head]).into_owned();
    let first = text.lines().next().unwrap_or_default().to_owned();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let end = head + length.unwrap_or(0);
    let mut how = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.calls.push(first.clone());
        if state.forgetful {
            text = text.replacen("requestId=", &format!("requestId={}-", state.calls.len()), 1);
        }
        match state.passes(&first) {
            (false, _) => return Ok(()),
            (true, true) => Some(How::LoseAnswer),
            (true, false) => state.failure(&first).or_else(|| state.take(&text)).or_else(|| state.first_time(&first)),
        }
    };
    let wanted = if how == Some(How::Cut) { head + length.unwrap_or(0) / 2 } else { end };
    while request.len() < wanted {
        if client.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    if how.is_none() {
        how = state.lock().unwrap_or_else(PoisonError::into_inner).take(&String::from_utf8_lossy(&request[head..]));
    }
    let page = |status: &str, kind: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    let mut answer = match how {
        Some(How::Cut) => return Ok(()),
        Some(How::Answer { status, kind, body }) => page(status, kind, body),
        Some(How::FailJob(reason)) => {
            let body = String::from_utf8_lossy(&request[head..end]).into_owned();
            let id = body.split_once(r#""jobId":""#).and_then(|(_, rest)| Some(rest.split_once('"')?.0.to_owned()));
            state.lock().unwrap_or_else(PoisonError::into_inner).failed.extend(id.map(|id| (id, reason)));
            page("200 OK", "application/json", r#"{"status": {"state": "RUNNING"}}"#)
        }
        Some(How::Hold) => {
            tokio::time::sleep(HELD).await;
            forward(&text, &request[head..end], behind).await?
        }
        Some(How::LoseAnswer | How::CutAnswer) | None => forward(&text, &request[head..end], behind).await?,
    };
    if how == Some(How::CutAnswer) {
        let body = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(0, |at| at + 4);
        answer.truncate(body + (answer.len() - body) / 2);
    }
    if how != Some(How::LoseAnswer) {
        client.write_all(&answer).await?;
    }
    client.shutdown().await
}

/// Passes a call on over a connection of its own; the whole answer.
async fn forward(head: &str, body: &[u8], behind: &str) -> std::io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(behind).await?;
    let kept = head.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head: Vec<&str> = kept.collect();
    server.write_all(format!("{}\r\nconnection: close\r\n\r\n", head.join("\r\n")).as_bytes()).await?;
    server.write_all(body).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// A call of our own, past every client: its answer's body.
pub(crate) async fn call(endpoint: &str, what: &str, body: &str) -> String {
    let host = endpoint.trim_start_matches("http://");
    let head = format!(
        "{what} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let answer = forward(&head, body.as_bytes(), host).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}
