//! The accept loop: a bound on connections, on how long a client may take, and an end that lets answers go out.

use super::timed::Timed;
use crate::metrics::Metrics;
use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;

/// Who a request came from, in its extensions. Behind a proxy it is the proxy.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What clients may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections that are served at once. Further ones are told to come again.
    pub connections: usize,
    /// How long the head of a request may take, and a connection may be idle.
    pub head: Duration,
    /// How long the body of a request may take. Who waits for it longer gets an error instead.
    pub body: Duration,
    /// How long a client may leave an answer unread.
    pub write: Duration,
    /// How long connections that are being answered may go on after the end was asked for.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 1_000,
            head: Duration::from_secs(30),
            body: Duration::from_secs(30),
            write: Duration::from_secs(30),
            grace: Duration::from_secs(10),
        }
    }
}

/// Bytes that a connection may hold of what was not looked at yet.
const BUFFER: usize = 16 << 10;
/// Connections that are told to come again at once; beyond these they are only closed.
const LOBBY: usize = 256;
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\n\
content-type: application/json\r\naccess-control-allow-origin: *\r\ncontent-length: 83\r\n\r\n\
{\"success\":false,\"code\":\"overloaded\",\"message\":\"too many connections; come again\"}\n";

/// Serves until `end` is ready, then lets running requests end.
///
/// Every connection and every refused one is a task of the runtime that this runs on.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    metrics: Arc<Metrics>,
    end: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut end = pin!(end);
    let room = Arc::new(Semaphore::new(limits.connections));
    let lobby = Arc::new(AtomicUsize::new(0));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = &mut end => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Files of the process are used up, or the client is gone already: neither ends the service.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let Ok(permit) = room.clone().try_acquire_owned() else {
            metrics.ingest.refuse("too_many_connections");
            if lobby.fetch_add(1, Ordering::Relaxed) < LOBBY {
                let lobby = lobby.clone();
                tokio::spawn(async move {
                    // A client that does not listen is not waited for.
                    let _ = tokio::time::timeout(Duration::from_secs(2), turn_away(stream)).await;
                    lobby.fetch_sub(1, Ordering::Relaxed);
                });
            } else {
                lobby.fetch_sub(1, Ordering::Relaxed);
            }
            continue;
        };
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(limits.write));
        let app = TowerToHyperService::new(app.clone());
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            app.call(request.map(|body| Timed::new(body, limits.body)))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        let connection = graceful.watch(connection);
        metrics.ingest.connections.inc();
        let metrics = metrics.clone();
        tokio::spawn(async move {
            // What a client does wrong with its connection is its own affair.
            let _ = connection.await;
            metrics.ingest.connections.dec();
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections that took too long were closed");
    }
    Ok(())
}

/// Says that there is no room. What the client sends is read and thrown away: closing with unread bytes
/// would take the answer back.
async fn turn_away(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(FULL).await?;
    stream.shutdown().await?;
    let mut rest = [0; 1_024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_without_room_is_as_long_as_it_says() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
