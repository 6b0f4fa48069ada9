//! One login: statements one after another, each under one request id however often it is sent.

use super::answer::{Answer, cells};
use super::{Client, Orphan, Waits, now, uuid};
use crate::error::{Fault, own};
use flate2::read::GzDecoder;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderName, HeaderValue};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tablecast_core::Result;

/// Cells as Snowflake writes them; `None` is NULL.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

/// An answer to a poll that comes sooner did not wait for the statement.
const SOON: Duration = Duration::from_secs(1);
/// The longest wait between two polls that come at once.
const POLL: Duration = Duration::from_secs(2);
/// Renewals of a token that one statement may need: one for each hour.
const RENEWALS: u32 = 200;

/// A session. Dropped before it is closed, it is ended by the next call of its client.
pub(crate) struct Session {
    client: Arc<Client>,
    token: String,
    master: String,
    sequence: u64,
    /// The request that is under way.
    busy: Option<String>,
    closed: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({:?})", self.client)
    }
}

/// The header of a session.
pub(super) fn authorization(token: &str) -> String {
    format!("Snowflake Token=\"{token}\"")
}

impl Session {
    /// Signs in, after what earlier calls have left was ended.
    pub(crate) async fn open(client: &Arc<Client>) -> Result<Session> {
        client.tidy().await;
        let (token, master) = client.login().await?;
        Ok(Session { client: Arc::clone(client), token, master, sequence: 0, busy: None, closed: false })
    }

    /// Runs one statement and reads its rows. `binds` are texts for its question marks.
    pub(crate) async fn query(&mut self, sql: &str, binds: &[&str]) -> Result<Rows, Fault> {
        let mut answer = self.run(sql, binds).await?;
        self.rows(&mut answer).await
    }

    /// Runs one statement; how many rows it changed, and whether it was sent more than once.
    pub(crate) async fn change(&mut self, sql: &str, binds: &[&str]) -> Result<(u64, bool), Fault> {
        let mut answer = self.run(sql, binds).await?;
        let resent = answer.resent;
        let rows = self.rows(&mut answer).await?;
        let count = rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok());
        Ok((count.unwrap_or(0), resent))
    }

    /// Runs one statement.
    pub(crate) async fn exec(&mut self, sql: &str) -> Result<(), Fault> {
        self.run(sql, &[]).await.map(drop)
    }

    /// Runs one statement to its end, or cancels it when the deadline has passed.
    pub(crate) async fn run(&mut self, sql: &str, binds: &[&str]) -> Result<Answer, Fault> {
        let id = uuid();
        self.busy = Some(id.clone());
        self.sequence += 1;
        let mut body = json!({
            "sqlText": sql,
            "asyncExec": false,
            "sequenceId": self.sequence,
            "querySubmissionTime": now() / 1_000,
        });
        if !binds.is_empty() {
            let bind = |(nth, text): (usize, &&str)| ((nth + 1).to_string(), json!({"type": "TEXT", "value": text}));
            body["bindings"] = binds.iter().enumerate().map(bind).collect::<serde_json::Map<_, _>>().into();
        }
        let deadline = Duration::from_secs(u64::from(self.client.options.query_deadline_s));
        let ended = match tokio::time::timeout(deadline, self.drive(&id, &body)).await {
            Ok(ended) => ended,
            Err(_) => Err(Fault::new(own::DEADLINE, "")),
        };
        if ended.as_ref().is_err_and(Fault::is_unknown) {
            self.client.abort(&self.token, &id).await;
        }
        self.busy = None;
        ended
    }

    /// Sends a statement until there is an answer, and asks until it has ended.
    async fn drive(&mut self, id: &str, body: &Value) -> Result<Answer, Fault> {
        let (mut waits, mut polls) = (Waits::default(), Waits::endless(POLL));
        let (mut renewals, mut resent) = (0, false);
        let mut place: Option<reqwest::Url> = None;
        loop {
            let asked = Instant::now();
            let answered = match &place {
                None => self.send(id, body, waits.tried()).await,
                Some(url) => self.poll(url).await,
            };
            let answered = match answered {
                Ok(answer) => match answer.pending().map(str::to_owned) {
                    // One that still runs may be called a success or not.
                    Some(url) => {
                        place = Some(self.same_place(&url)?);
                        waits = Waits::default();
                        if asked.elapsed() < SOON {
                            polls.again();
                            polls.wait().await;
                        }
                        continue;
                    }
                    None => answer.succeeded(),
                },
                Err(fault) => Err(fault),
            };
            match answered {
                Ok(mut answer) => {
                    answer.resent = resent;
                    return Ok(answer);
                }
                Err(fault) if fault.is_stale_token() && renewals < RENEWALS => {
                    renewals += 1;
                    self.renew().await?;
                }
                Err(fault) if fault.is_passing() && waits.again() => {
                    // A poll changes nothing; what was sent may have been taken.
                    resent |= place.is_none();
                    waits.wait().await;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    async fn send(&self, id: &str, body: &Value, tried: u32) -> Result<Answer, Fault> {
        let mut url = self.place("queries/v1/query-request")?;
        url.query_pairs_mut()
            .append_pair("requestId", id)
            .append_pair("request_guid", &uuid())
            .append_pair("clientStartTime", &(now() / 1_000).to_string());
        if tried > 0 {
            url.query_pairs_mut().append_pair("retryCount", &tried.to_string());
        }
        self.answer(self.client.http.post(url).json(body), &self.token).await
    }

    async fn poll(&self, url: &reqwest::Url) -> Result<Answer, Fault> {
        self.answer(self.client.http.get(url.clone()), &self.token).await
    }

    async fn answer(&self, request: reqwest_middleware::RequestBuilder, token: &str) -> Result<Answer, Fault> {
        let mut auth = HeaderValue::from_str(&authorization(token)).map_err(|_| Fault::new(own::UNREADABLE, ""))?;
        auth.set_sensitive(true);
        // Rows as JSON, which every field of an answer is too.
        let request = request.header(AUTHORIZATION, auth).header(ACCEPT, "application/json");
        Answer::parse(&request.send().await?.bytes().await?)
    }

    fn place(&self, path: &str) -> Result<reqwest::Url, Fault> {
        self.client.base.join(path).map_err(|_| Fault::new(own::UNREADABLE, ""))
    }

    /// Where an answer says to ask, if that is where it came from: the request bears the session's token.
    fn same_place(&self, path: &str) -> Result<reqwest::Url, Fault> {
        let url = self.place(path)?;
        if path.is_empty() {
            return Err(Fault::new(own::UNREADABLE, ""));
        }
        if url.origin() == self.client.base.origin() { Ok(url) } else { Err(Fault::new(own::ELSEWHERE, "")) }
    }

    /// Exchanges a token that has run out. The session stays the same, and so does its transaction.
    async fn renew(&mut self) -> Result<(), Fault> {
        let body = json!({"oldSessionToken": self.token, "requestType": "RENEW"});
        let mut waits = Waits::default();
        let answer = loop {
            let mut url = self.place("session/token-request")?;
            url.query_pairs_mut().append_pair("requestId", &uuid()).append_pair("request_guid", &uuid());
            let asked = self.answer(self.client.http.post(url).json(&body), &self.master).await;
            match asked.and_then(Answer::succeeded) {
                Ok(answer) => break answer,
                Err(fault) if fault.is_passing() && waits.again() => waits.wait().await,
                Err(fault) => return Err(fault),
            }
        };
        let token = answer.text("sessionToken").ok_or_else(|| Fault::new(own::UNREADABLE, ""))?;
        self.token = token.to_owned();
        if let Some(master) = answer.text("masterToken") {
            self.master = master.to_owned();
        }
        Ok(())
    }

    /// All rows of an answer: those that came with it, and those that it says where to get.
    async fn rows(&self, answer: &mut Answer) -> Result<Rows, Fault> {
        let mut rows = answer.take_rows();
        let data = answer.data();
        let chunks = data["chunks"].as_array().map(Vec::as_slice).unwrap_or_default();
        if chunks.is_empty() {
            return Ok(rows);
        }
        let headers = chunk_headers(data);
        for chunk in chunks {
            let url = chunk["url"].as_str().unwrap_or_default();
            if !url.starts_with("https://") && !self.client.is_local() {
                return Err(Fault::new(own::ELSEWHERE, ""));
            }
            let mut waits = Waits::default();
            let part = loop {
                match self.client.chunk(url, &headers).await.and_then(|bytes| unpack(&bytes)) {
                    Ok(part) => break part,
                    Err(fault) if fault.is_passing() && waits.again() => waits.wait().await,
                    Err(fault) => return Err(fault),
                }
            };
            rows.extend(part);
        }
        Ok(rows)
    }

    /// Ends the session, and with it what was not committed.
    pub(crate) async fn close(mut self) {
        self.client.close(&self.token).await;
        // Only now: who is dropped while closing is closed by the next call.
        self.closed = true;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.closed {
            self.client.leave(Orphan { token: std::mem::take(&mut self.token), request: self.busy.take() });
        }
    }
}

/// What the parts of a result are asked for with.
fn chunk_headers(data: &Value) -> HashMap<String, String> {
    let mut headers = HashMap::new();
    if let Some(given) = data["chunkHeaders"].as_object() {
        for (name, value) in given {
            let Some(value) = value.as_str() else { continue };
            // The transport takes them for granted.
            if HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok() {
                headers.insert(name.clone(), value.to_owned());
            }
        }
    } else if let Some(key) = data["qrmk"].as_str().filter(|key| HeaderValue::from_str(key).is_ok()) {
        headers.insert("x-amz-server-side-encryption-customer-algorithm".into(), "AES256".into());
        headers.insert("x-amz-server-side-encryption-customer-key".into(), key.to_owned());
    }
    headers
}

/// The rows of a part: rows of JSON with commas between them, often packed.
fn unpack(bytes: &[u8]) -> Result<Rows, Fault> {
    let mut text = vec![b'['];
    if bytes.starts_with(&[0x1f, 0x8b]) {
        GzDecoder::new(bytes).read_to_end(&mut text).map_err(|_| Fault::new(own::UNREADABLE, ""))?;
    } else {
        text.extend_from_slice(bytes);
    }
    text.push(b']');
    let rows: Vec<Value> = serde_json::from_slice(&text).map_err(|_| Fault::new(own::UNREADABLE, ""))?;
    Ok(rows.into_iter().map(cells).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    #[test]
    fn parts_of_a_result_are_read() {
        let rows = vec![vec![Some("a".to_owned()), None], vec![Some("b".to_owned()), Some("1".to_owned())]];
        let text = br#"["a",null],["b",1]"#;
        assert_eq!(unpack(text).unwrap(), rows);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text).unwrap();
        assert_eq!(unpack(&gzip.finish().unwrap()).unwrap(), rows);
        assert!(unpack(br#"["a",nu"#).unwrap_err().is_passing());
        let given = json!({"chunkHeaders": {"x-a": "1", "bad name": "x", "x-b": "a\nb", "x-c": 7}});
        assert_eq!(chunk_headers(&given), HashMap::from([("x-a".into(), "1".into())]));
        assert_eq!(chunk_headers(&json!({"qrmk": "k"})).len(), 2);
    }
}
