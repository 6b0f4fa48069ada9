//! A connection to the PostgreSQL behind.

use crate::frame::{self, Frame, put_len};
use std::io;
use std::path::Path;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// An open connection, ready for a query.
#[derive(Debug)]
pub(crate) struct Backend {
    stream: BufReader<UnixStream>,
}

/// What PostgreSQL answered to a query that is the emulator's own.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

impl Backend {
    /// Connects. Gives all that PostgreSQL said until it was ready, or only its error.
    pub(crate) async fn connect(
        socket: &Path,
        user: &str,
        database: &str,
        application: Option<&str>,
    ) -> io::Result<(Self, Vec<Frame>)> {
        let mut stream = BufReader::new(UnixStream::connect(socket).await?);
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        let mut parameters = vec![("user", user), ("database", database)];
        parameters.extend(application.map(|name| ("application_name", name)));
        for (name, value) in parameters {
            body.extend_from_slice(name.as_bytes());
            body.push(0);
            body.extend_from_slice(value.as_bytes());
            body.push(0);
        }
        body.push(0);
        let mut out = Vec::new();
        put_len(&mut out, body.len());
        out.extend_from_slice(&body);
        stream.write_all(&out).await?;
        let mut backend = Self { stream };
        let mut frames = Vec::new();
        loop {
            let frame = backend.read().await?;
            let last = matches!(frame.kind, b'Z' | b'E');
            frames.push(frame);
            if last {
                return Ok((backend, frames));
            }
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    pub(crate) async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        let mut out = Vec::with_capacity(frame.body.len() + 5);
        frame.write(&mut out);
        self.write(&out).await
    }

    pub(crate) async fn read(&mut self) -> io::Result<Frame> {
        frame::read(&mut self.stream)
            .await?
            .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "PostgreSQL closed the connection"))
    }

    /// Runs the emulator's own SQL. The inner error is PostgreSQL's, with the frame that ends it.
    pub(crate) async fn rows(&mut self, sql: &str) -> io::Result<Result<Rows, Vec<Frame>>> {
        self.send(&Frame::query(sql)).await?;
        let (mut rows, mut trouble) = (Vec::new(), Vec::new());
        loop {
            let frame = self.read().await?;
            match frame.kind {
                b'D' => rows.push(cells(&frame)),
                b'E' => trouble.push(frame),
                b'Z' if trouble.is_empty() => return Ok(Ok(rows)),
                b'Z' => {
                    trouble.push(frame);
                    return Ok(Err(trouble));
                }
                _ => {}
            }
        }
    }

    /// Runs the emulator's own SQL, which must not fail.
    pub(crate) async fn must(&mut self, sql: &str) -> io::Result<Rows> {
        self.rows(sql).await?.map_err(|trouble| {
            let message = trouble.first().map(Frame::fields).unwrap_or_default();
            let message: Vec<String> =
                message.into_iter().filter(|(key, _)| b"CM".contains(key)).map(|(_, v)| v).collect();
            io::Error::other(format!("PostgreSQL refused the emulator's own statement: {}", message.join(" ")))
        })
    }
}

/// The cells of a data row, as text.
pub(crate) fn cells(row: &Frame) -> Vec<Option<String>> {
    let mut cells = Vec::new();
    let mut rest = row.body.get(2..).unwrap_or_default();
    while let Some((len, behind)) = rest.split_first_chunk::<4>() {
        let len = i32::from_be_bytes(*len);
        let Ok(len) = usize::try_from(len) else {
            cells.push(None);
            rest = behind;
            continue;
        };
        let Some((cell, behind)) = behind.split_at_checked(len) else { break };
        cells.push(Some(String::from_utf8_lossy(cell).into_owned()));
        rest = behind;
    }
    cells
}
