//! A server that speaks the drivers' protocol from a script: what it is asked is written down, what it answers is told to it
//! beforehand. It runs no SQL.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tablecast_core::{Ident, Uri};
use tablecast_snowflake::{Options, Snowflake};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// An answer to a statement.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// These bytes, with a status and a content type.
    Raw(&'static str, &'static str, String),
    /// The half of an answer.
    Half,
    /// Nothing: the connection ends.
    Silence,
    /// Success with this data. `{HERE}` is the server's own address.
    Data(Value),
    /// A failure with this code, SQLSTATE and message.
    Refuse(String, &'static str, String),
    /// The statement still runs for so many polls; then this. Every other poll says so with 333333.
    Slow(usize, Box<Act>),
}

/// What a statement that holds `part` is answered, so many times. `login` is the login, `upload` a file that comes.
#[derive(Clone, Debug)]
struct Rule {
    part: &'static str,
    act: Act,
    times: usize,
}

/// What is answered; everything else succeeds without rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    rules: Vec<Rule>,
}

impl Script {
    /// So many times.
    pub(crate) fn on(mut self, part: &'static str, times: usize, act: Act) -> Script {
        self.rules.push(Rule { part, act, times });
        self
    }

    /// Takes uploads, to an address that is signed.
    pub(crate) fn takes_uploads(self) -> Script {
        let stage =
            json!({"locationType": "GCS", "location": "b/", "creds": {}, "presignedUrl": "http://{HERE}/signed/f"});
        self.on("PUT 'file", usize::MAX, Act::Data(json!({"command": "UPLOAD", "stageInfo": stage})))
    }

    /// Always refused.
    pub(crate) fn refuse(self, part: &'static str, code: &str, message: &str) -> Script {
        let state = if code == "003001" { "42501" } else { "08001" };
        self.on(part, usize::MAX, Act::Refuse(code.to_owned(), state, message.to_owned()))
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn sql(&self) -> String {
        self.json()["sqlText"].as_str().unwrap_or_default().to_owned()
    }

    fn is_statement(&self) -> bool {
        self.path == "/queries/v1/query-request"
    }
}

#[derive(Default)]
struct State {
    script: Script,
    asked: Vec<Asked>,
    /// Statements that still run: polls to come, and what then.
    running: BTreeMap<String, (usize, Act)>,
    tokens: usize,
}

/// It stops when it is dropped.
pub(crate) struct Stub {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stub {
    pub(crate) async fn new(script: Script) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State { script, ..State::default() }));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = shared.clone();
                tokio::spawn(async move { drop(serve(client, address, &state).await) });
            }
        });
        Stub { address, state, task }
    }

    /// Its address, with more options.
    pub(crate) fn uri(&self, more: &str) -> String {
        let secret =
            if more.contains("private_key=") || more.contains("token=") { "" } else { "&password=Tablecast-1" };
        format!(
            "snowflake://me@my_org-acct.eu-central-1/db?host=127.0.0.1&port={}&protocol=http&warehouse=wh{secret}{more}",
            self.address.port()
        )
    }

    pub(crate) async fn open(&self, more: &str) -> Snowflake {
        let uri = Uri::parse(&self.uri(more)).expect("a URI");
        let options: Options = uri.options().expect("options");
        Snowflake::open(uri.body(), &Ident::from("personas_stub"), options).await.expect("options as they should be")
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).asked.clone()
    }

    /// Requests for statements that hold `part`.
    pub(crate) fn statements(&self, part: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.is_statement() && asked.sql().contains(part)).collect()
    }

    /// Requests whose path holds `part`.
    pub(crate) fn to(&self, part: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.path.contains(part)).collect()
    }

    /// Waits until there was a request whose path holds `part`.
    pub(crate) async fn comes(&self, part: &str) {
        while self.to(part).is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
}

async fn serve(mut client: TcpStream, here: SocketAddr, state: &Mutex<State>) -> std::io::Result<()> {
    let Some(asked) = read(&mut client).await? else { return Ok(()) };
    let answer = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked.push(asked.clone());
        state.answer(&asked, here)
    };
    if let Some(answer) = answer {
        client.write_all(&answer).await?;
    }
    client.shutdown().await
}

async fn read(client: &mut TcpStream) -> std::io::Result<Option<Asked>> {
    let mut request = Vec::new();
    let head = loop {
        if client.read_buf(&mut request).await? == 0 {
            return Ok(None);
        }
        if let Some(at) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).into_owned();
    let mut lines = text.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let method = first.next().unwrap_or_default().to_owned();
    let (path, query) = first.next().map(|target| target.split_once('?').unwrap_or((target, ""))).unwrap_or_default();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while request.len() < head + length {
        if client.read_buf(&mut request).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(Asked {
        method,
        path: path.replace("//", "/"),
        query: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        headers,
        body: request.split_off(head),
    }))
}

fn page(status: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\netag: \"1\"\r\nx-goog-generation: 1\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn success(data: &Value) -> Vec<u8> {
    let answer = json!({"data": data, "code": null, "message": null, "success": true});
    page("200 OK", "application/json", answer.to_string().as_bytes())
}

impl State {
    /// What a request is answered; nothing, if the connection is to end.
    fn answer(&mut self, asked: &Asked, here: SocketAddr) -> Option<Vec<u8>> {
        let token = |tokens: usize| (format!("token-{tokens}"), format!("master-{tokens}"));
        match asked.path.as_str() {
            "/session/v1/login-request" => {
                if let Some(act) = self.take("login") {
                    return self.act(act, here);
                }
                self.tokens += 1;
                let (token, master) = token(self.tokens);
                Some(success(&json!({"token": token, "masterToken": master, "sessionInfo": {}})))
            }
            "/session/token-request" => {
                if let Some(act) = self.take("renewal") {
                    return self.act(act, here);
                }
                self.tokens += 1;
                let (token, master) = token(self.tokens);
                Some(success(&json!({"sessionToken": token, "masterToken": master})))
            }
            "/queries/v1/query-request" => {
                let act = self.take(&asked.sql()).unwrap_or_else(|| Act::Data(usual(&asked.sql())));
                self.act(act, here)
            }
            "/queries/v1/abort-request" | "/session" => Some(success(&Value::Null)),
            path if path.starts_with("/queries/") => {
                let (left, then) = self.running.get_mut(path)?;
                if let Some(act) = self.script.rules.iter_mut().find(|rule| rule.times > 0 && rule.part == "poll") {
                    act.times -= 1;
                    let act = act.act.clone();
                    return self.act(act, here);
                }
                if *left > 0 {
                    *left -= 1;
                    let code = if left.is_multiple_of(2) { "333333" } else { "333334" };
                    return Some(still(code, path));
                }
                let then = then.clone();
                self.act(then, here)
            }
            _ if asked.method == "PUT" || asked.method == "POST" => match self.take("upload") {
                Some(act) => self.act(act, here),
                None => Some(page("200 OK", "application/xml", b"")),
            },
            _ => Some(page("404 Not Found", "text/html", b"<html>nothing here</html>")),
        }
    }

    fn take(&mut self, text: &str) -> Option<Act> {
        let rule = self.script.rules.iter_mut().find(|rule| rule.times > 0 && text.contains(rule.part))?;
        rule.times -= 1;
        Some(rule.act.clone())
    }

    fn act(&mut self, act: Act, here: SocketAddr) -> Option<Vec<u8>> {
        match act {
            Act::Raw(status, kind, body) => Some(page(status, kind, body.as_bytes())),
            Act::Silence => None,
            Act::Half => {
                let mut whole = success(&json!({"rowset": [["1"], ["2"]]}));
                whole.truncate(whole.len() - 30);
                Some(whole)
            }
            Act::Data(data) => {
                let data: Value = serde_json::from_str(&data.to_string().replace("{HERE}", &here.to_string())).ok()?;
                Some(success(&data))
            }
            Act::Refuse(code, state, message) => {
                let data = json!({"errorCode": code, "sqlState": state, "queryId": "01b2-0001", "line": 1, "pos": 0});
                let answer = json!({"data": data, "code": code, "message": message, "success": false});
                Some(page("200 OK", "application/json", answer.to_string().as_bytes()))
            }
            Act::Slow(polls, then) => {
                let path = format!("/queries/{}/result", self.running.len());
                self.running.insert(path.clone(), (polls, *then));
                Some(still("333334", &path))
            }
        }
    }
}

/// A statement that has not ended.
fn still(code: &str, path: &str) -> Vec<u8> {
    let data = json!({"queryId": "01b2-0001", "getResultUrl": path, "queryAbortsAfterSecs": 300});
    let answer = json!({"data": data, "code": code, "message": "Query execution in progress", "success": true});
    page("200 OK", "application/json", answer.to_string().as_bytes())
}

/// What is answered where the script says nothing.
fn usual(sql: &str) -> Value {
    let rows = if sql.contains("CURRENT_WAREHOUSE") {
        json!([["WH"]])
    } else if sql.contains("CURRENT_USER") {
        json!([["ME", "LOADER"]])
    } else {
        json!([])
    };
    json!({"queryId": "01b2-0000", "rowtype": [], "rowset": rows, "queryResultFormat": "json"})
}
