//! Messages of PostgreSQL's protocol 3, which Redshift speaks.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// What it is: `Q`, `E`, `Z` …
    pub(crate) kind: u8,
    /// What stands behind its length.
    pub(crate) body: Vec<u8>,
}

/// More than any message of a test; what claims to be longer is not this protocol.
const LONGEST: usize = 256 << 20;

impl Frame {
    pub(crate) fn new(kind: u8, body: impl Into<Vec<u8>>) -> Self {
        Self { kind, body: body.into() }
    }

    /// A message whose body is texts, each closed by a NUL.
    pub(crate) fn texts(kind: u8, texts: &[&str]) -> Self {
        let mut body = Vec::new();
        for text in texts {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        Self { kind, body }
    }

    pub(crate) fn query(sql: &str) -> Self {
        Self::texts(b'Q', &[sql])
    }

    /// An error or a notice.
    pub(crate) fn report(kind: u8, severity: &str, code: &str, message: &str, detail: Option<&str>) -> Self {
        let mut fields = vec![(b'S', severity), (b'V', severity), (b'C', code), (b'M', message)];
        fields.extend(detail.map(|detail| (b'D', detail)));
        Self::from_fields(kind, &fields.iter().map(|(key, value)| (*key, (*value).to_owned())).collect::<Vec<_>>())
    }

    pub(crate) fn from_fields(kind: u8, fields: &[(u8, String)]) -> Self {
        let mut body = Vec::new();
        for (key, value) in fields {
            body.push(*key);
            body.extend_from_slice(value.as_bytes());
            body.push(0);
        }
        body.push(0);
        Self { kind, body }
    }

    /// The fields of an error or a notice.
    pub(crate) fn fields(&self) -> Vec<(u8, String)> {
        let parts = self.body.split(|byte| *byte == 0);
        parts
            .filter_map(|part| {
                part.split_first().map(|(key, value)| (*key, String::from_utf8_lossy(value).into_owned()))
            })
            .collect()
    }

    /// The NUL-closed text at the beginning of the body, and what stands behind it.
    pub(crate) fn text_at(&self, from: usize) -> Option<(String, usize)> {
        let rest = self.body.get(from..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        Some((String::from_utf8_lossy(&rest[..end]).into_owned(), from + end + 1))
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.kind);
        put_len(out, self.body.len());
        out.extend_from_slice(&self.body);
    }
}

/// Writes the length of a message that has this many bytes of body.
pub(crate) fn put_len(out: &mut Vec<u8>, body: usize) {
    let len = u32::try_from(body + 4).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
}

/// Reads the next message; none if the other side has closed.
pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let kind = match from.read_u8().await {
        Ok(kind) => kind,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(Frame { kind, body: read_body(from).await? }))
}

/// Reads a length and what it counts.
pub(crate) async fn read_body(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let len = usize::try_from(from.read_u32().await?).unwrap_or(usize::MAX);
    if !(4..LONGEST).contains(&len) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message of impossible length"));
    }
    let mut body = vec![0; len - 4];
    from.read_exact(&mut body).await?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_come_back() {
        let report = Frame::report(b'E', "ERROR", "XX000", "1023", Some("why"));
        let mut bytes = Vec::new();
        report.write(&mut bytes);
        Frame::query("SELECT 1").write(&mut bytes);
        let mut from = bytes.as_slice();
        assert_eq!(read(&mut from).await.expect("a frame"), Some(report.clone()));
        let query = read(&mut from).await.expect("a frame").expect("a frame");
        assert_eq!(query.text_at(0), Some(("SELECT 1".into(), 9)));
        assert_eq!(read(&mut from).await.expect("the end"), None);
        assert_eq!(report.fields().last(), Some(&(b'D', "why".into())));
    }
}
