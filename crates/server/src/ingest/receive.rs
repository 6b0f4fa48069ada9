//! Bodies in: read up to a bound, counted against what all bodies may take, inflated.

use super::answer::Refusal;
use super::gzip::inflate;
use super::timed::Slow;
use super::{Ingest, MOST_BODIES};
use axum::body::{Body, HttpBody};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::Ordering;

/// Bytes of a body that is too large, read so that its sender hears the answer.
const DRAIN: usize = 64 << 20;

/// Bytes of a body, counted against what all bodies may take until this is dropped.
#[derive(Debug)]
pub(crate) struct Held<'i> {
    ingest: &'i Ingest,
    bytes: usize,
}

impl<'i> Held<'i> {
    pub(crate) fn new(ingest: &'i Ingest) -> Self {
        Held { ingest, bytes: 0 }
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        let before = self.ingest.bodies.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before + bytes > MOST_BODIES {
            return Err(Refusal::later("overloaded", "too much comes in at once; try again"));
        }
        Ok(())
    }

    fn release(&mut self) {
        self.ingest.bodies.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

/// Reads a body of at most `limit` bytes, before and after it is inflated.
pub(crate) async fn receive(
    held: &mut Held<'_>,
    limit: usize,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<Vec<u8>, Refusal> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    // What is announced is not counted before it comes: announcing costs nothing.
    let mut outcome =
        if announced.is_some_and(|length| length > limit) { Err(Refusal::too_large(limit)) } else { Ok(Vec::new()) };
    let mut drained = 0;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        // Who is refused is read to the end of what he sends, since an answer is only heard then.
        drained += data.len();
        if drained > DRAIN {
            break;
        }
        outcome = outcome.and_then(|mut bytes| {
            if bytes.len() + data.len() > limit {
                return Err(Refusal::too_large(limit));
            }
            let before = bytes.capacity();
            bytes.extend_from_slice(&data);
            held.take(bytes.capacity() - before)?;
            Ok(bytes)
        });
        if outcome.is_err() {
            held.release();
        }
    }
    let bytes = outcome?;
    let coding = headers.get(CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
    match coding.as_deref() {
        None | Some(b"identity" | b"") => Ok(bytes),
        Some(b"gzip" | b"x-gzip") => {
            let bytes = inflate(&bytes, limit)?;
            held.take(bytes.capacity())?;
            Ok(bytes)
        }
        Some(_) => Err(Refusal::bad("bad_request", "the body is compressed in a way that is not known; use gzip")),
    }
}

fn broken(error: axum::Error) -> Refusal {
    if error.into_inner().is::<Slow>() {
        // Not 408, on which some SDKs give up.
        Refusal::later("timeout", "the body took too long; try again")
    } else {
        Refusal::bad("bad_request", "the body ended too early")
    }
}
