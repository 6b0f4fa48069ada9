//! A proxy in front of the emulator that goes wrong on cue: answers that get lost, faults that are no JSON, uploads that
//! break off, and a client that is cut off for good.

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
    /// 503 with a page for people; the call does nothing.
    Unavailable,
    /// 429 with an error that has no `errors`; the call does nothing.
    TooMany,
    /// The connection breaks in the middle of what is sent.
    Cut,
    /// An answer of this status with this body; the call does nothing.
    Answer(u16, &'static str),
    /// The job that is asked for is taken, and then fails for this reason; it does nothing.
    FailJob(&'static str),
    /// The call is passed on after a while.
    Hold,
}

/// An error of the API in the form that most of its answers have.
pub(crate) fn refused(status: u16, reason: &str, message: &str) -> How {
    let errors = serde_json::json!([{"reason": reason, "message": message}]);
    let error = serde_json::json!({"error": {"code": status, "message": message, "errors": errors}});
    How::Answer(status, error.to_string().leak())
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
    /// Calls that change something, of which the last loses its answer and after which nothing gets through any more.
    left: Option<usize>,
}

impl State {
    /// Whether a call gets through, and if so, whether it is the last.
    fn passes(&mut self, first: &str) -> (bool, bool) {
        let Some(left) = &mut self.left else { return (true, false) };
        if *left == 0 {
            return (false, false);
        }
        if !first.starts_with("GET") {
            *left -= 1;
        }
        (true, *left == 0)
    }

    /// What goes wrong with a call that has this text.
    fn take(&mut self, text: &str) -> Option<How> {
        let fault = self.faults.iter_mut().find(|fault| fault.times > 0 && text.contains(fault.part))?;
        fault.times -= 1;
        Some(fault.how)
    }

    /// The answer to who looks at a job that failed here.
    fn failure(&self, first: &str) -> Option<How> {
        let (_, reason) = self.failed.iter().find(|(id, _)| first.contains(&format!("/jobs/{id}?")))?;
        let error = serde_json::json!({"reason": reason, "message": "m"});
        let job = serde_json::json!({"status": {"state": "DONE", "errorResult": error}});
        Some(How::Answer(200, job.to_string().leak()))
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

    /// Lets so many calls that change something through, and then nothing. The last does its work and its answer is lost:
    /// to who has died that is the same as if it came.
    pub(crate) fn die_after(&self, calls: usize) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).left = Some(calls);
    }

    /// Waits until nothing gets through any more.
    pub(crate) async fn died(&self) {
        loop {
            let dead = self.state.lock().unwrap_or_else(PoisonError::into_inner).left == Some(0);
            if dead {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The first lines of the calls so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).calls.clone()
    }

    /// The faults that have not happened as often as they should.
    pub(crate) fn unused(&self) -> Vec<Fault> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.faults.iter().filter(|fault| fault.times > 0).cloned().collect()
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
    let text = String::from_utf8_lossy(&request[..head]).into_owned();
    let first = text.lines().next().unwrap_or_default().to_owned();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let end = head + length.unwrap_or(0);
    let mut how = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.calls.push(first.clone());
        match state.passes(&first) {
            (false, _) => return Ok(()),
            (true, true) => Some(How::LoseAnswer),
            (true, false) => state.failure(&first).or_else(|| state.take(&text)),
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
    };
    let answer = match how {
        Some(How::Cut) => return Ok(()),
        Some(How::Unavailable) => {
            page("503 Service Unavailable", "text/html", "<html>backend error</html>").into_bytes()
        }
        Some(How::TooMany) => {
            let body = r#"{"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}"#;
            page("429 Too Many Requests", "application/json", body).into_bytes()
        }
        Some(How::Answer(status, body)) => page(&format!("{status} As Told"), "application/json", body).into_bytes(),
        Some(How::FailJob(reason)) => {
            let body = String::from_utf8_lossy(&request[head..end]).into_owned();
            let id = body.split_once(r#""jobId":""#).and_then(|(_, rest)| Some(rest.split_once('"')?.0.to_owned()));
            state.lock().unwrap_or_else(PoisonError::into_inner).failed.extend(id.map(|id| (id, reason)));
            page("200 OK", "application/json", r#"{"status": {"state": "RUNNING"}}"#).into_bytes()
        }
        Some(How::Hold) => {
            tokio::time::sleep(HELD).await;
            forward(&text, &request[head..end], behind).await?
        }
        Some(How::LoseAnswer) | None => forward(&text, &request[head..end], behind).await?,
    };
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
