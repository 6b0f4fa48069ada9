//! Load jobs with their data: in one piece where it is small, else in chunks that can be taken up where they broke off.

use super::{Client, State, Waits, answered};
use crate::error::Fault;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use serde_json::{Value, json};

/// How often an upload is begun anew when its session is gone.
const SESSIONS: u32 = 3;
/// "Resume incomplete": the server has some of the bytes.
const INCOMPLETE: u16 = 308;

/// Where some rows go.
pub(crate) struct LoadJob<'a> {
    /// The job's id. A job that has it already is taken to be this one.
    pub(crate) id: &'a str,
    /// Where the dataset is.
    pub(crate) location: &'a str,
    pub(crate) dataset: &'a str,
    /// The table, which is empty.
    pub(crate) table: &'a str,
    /// Its fields, as the API has them.
    pub(crate) schema: &'a Value,
}

impl Client {
    /// Loads gzip NDJSON into an empty table, all of it or nothing.
    pub(crate) async fn load(&self, job: &LoadJob<'_>, data: &[u8]) -> Result<State, Fault> {
        let description = json!({
            "jobReference": {"projectId": self.project, "jobId": job.id, "location": job.location},
            "configuration": {"load": {
                "destinationTable": {"projectId": self.project, "datasetId": job.dataset, "tableId": job.table},
                "sourceFormat": "NEWLINE_DELIMITED_JSON",
                "schema": {"fields": job.schema},
                "createDisposition": "CREATE_NEVER",
                // Whatever was lost on the way, the rows cannot be there twice.
                "writeDisposition": "WRITE_EMPTY",
            }},
        });
        let sent = if data.len() <= self.chunk {
            self.retry(|| self.send_whole(&description, data)).await
        } else {
            self.send_chunks(&description, data, job).await
        };
        match sent {
            Err(fault) if !fault.is_duplicate() => return Err(fault),
            _ => {}
        }
        self.ended(job.id, job.location).await
    }

    fn upload_address(&self, kind: &str) -> String {
        format!("{}/upload/bigquery/v2/projects/{}/jobs?uploadType={kind}", self.base, self.project)
    }

    async fn send_whole(&self, description: &Value, data: &[u8]) -> Result<(), Fault> {
        let boundary = format!("tablecast{:016x}", super::random());
        let mut body = format!(
            "--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{description}\r\n\
             --{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(data);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let request = self
            .http
            .post(self.upload_address("multipart"))
            .bearer_auth(self.token().await?)
            .header(CONTENT_TYPE, format!("multipart/related; boundary={boundary}"))
            .body(body);
        answered(request.send().await?).await.map(drop)
    }

    async fn send_chunks(&self, description: &Value, data: &[u8], job: &LoadJob<'_>) -> Result<(), Fault> {
        let mut sessions = 1;
        loop {
            let session = self.retry(|| self.begin(description, data.len())).await?;
            match self.send_to(&session, data).await {
                // A session that is gone may have ended well, with its answer lost.
                Err(fault) if fault.status == 404 || fault.status == 410 => {
                    if self.job(job.id, job.location).await?.is_some() {
                        return Ok(());
                    }
                    if sessions == SESSIONS {
                        return Err(Fault::new(0, "broken", ""));
                    }
                    sessions += 1;
                }
                done => return done,
            }
        }
    }

    /// Begins an upload; where its bytes go.
    async fn begin(&self, description: &Value, bytes: usize) -> Result<String, Fault> {
        let request = self
            .http
            .post(self.upload_address("resumable"))
            .bearer_auth(self.token().await?)
            .header(CONTENT_TYPE, "application/json; charset=UTF-8")
            .header("X-Upload-Content-Type", "application/octet-stream")
            .header("X-Upload-Content-Length", bytes)
            .body(description.to_string());
        let answer = answered(request.send().await?).await?;
        let session = answer.headers().get(LOCATION).and_then(|address| address.to_str().ok());
        session.map(str::to_owned).ok_or_else(|| Fault::new(0, "unreadable", ""))
    }

    /// Sends chunk after chunk. After a fault the server says how far it came.
    async fn send_to(&self, session: &str, data: &[u8]) -> Result<(), Fault> {
        let (mut at, mut waits) = (0, Waits::default());
        loop {
            let end = data.len().min(at + self.chunk);
            let from = (at < data.len()).then_some(at);
            let mut sent = self.put(session, data.get(at..end).unwrap_or_default(), from, data.len()).await;
            while let Err(fault) = sent {
                if !fault.is_passing() || !waits.again() {
                    return Err(fault);
                }
                waits.wait(&fault).await;
                sent = self.put(session, &[], None, data.len()).await;
            }
            match sent? {
                None => return Ok(()),
                Some(there) if there > at => {
                    (at, waits) = (there, Waits::default());
                }
                // Nothing was taken, or all of it and no answer came yet.
                Some(there) => {
                    let stuck = Fault::new(0, "broken", "");
                    if !waits.again() {
                        return Err(stuck);
                    }
                    waits.wait(&stuck).await;
                    at = there;
                }
            }
        }
    }

    /// Sends some bytes, or none to ask how many are there; none once all are.
    async fn put(&self, session: &str, bytes: &[u8], at: Option<usize>, total: usize) -> Result<Option<usize>, Fault> {
        let range = match at {
            Some(at) => format!("bytes {at}-{}/{total}", at + bytes.len() - 1),
            None => format!("bytes */{total}"),
        };
        let request =
            self.http.put(session).bearer_auth(self.token().await?).header(CONTENT_RANGE, range).body(bytes.to_vec());
        let answer = request.send().await?;
        if answer.status().as_u16() != INCOMPLETE {
            return answered(answer).await.map(|_| None);
        }
        let there = answer.headers().get(RANGE).and_then(|range| range.to_str().ok()).map_or(Some(0), held);
        there.filter(|there| *there <= total).map(Some).ok_or_else(|| Fault::new(0, "unreadable", ""))
    }
}

/// How many bytes a `Range` header says are there.
fn held(range: &str) -> Option<usize> {
    let last: usize = range.rsplit_once("0-")?.1.parse().ok()?;
    last.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(held("bytes=0-262143"), Some(262_144));
        assert_eq!(held("0-9"), Some(10));
        assert_eq!(held("bytes=5-9"), None);
        assert_eq!(held("bytes=0-"), None);
    }
}
