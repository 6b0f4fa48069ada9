//! What the service takes to keep events: against writing and syncing the same bytes, in the same groups, on the same disk.

use crate::say;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tablecast_server::ingest::{Ingest, Keys, Limits, Settings, router, serve};
use tablecast_server::metrics::Metrics;
use tablecast_server::spool::{Kind, NewRecord, Spool, SpoolError, SpoolOptions};
use tokio::net::TcpListener;

/// The word that makes this program the server.
pub(crate) const PROCESS: &str = "service-process";
/// Calls in a batch, as Segment's SDKs send them.
const CALLS: usize = 100;
const CLIENTS: usize = 16;
const BATCHES: usize = 250;

/// The server: ingest and spool, in a process of its own so that its time and memory are its own.
pub(crate) fn process(dir: &Path) -> Result<(), Box<dyn Error>> {
    let groups = Arc::new(Mutex::new(Vec::new()));
    let seen = groups.clone();
    let on_group = move |group: &tablecast_server::spool::Group| {
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(group.bytes);
    };
    let options = SpoolOptions { on_group: Some(Arc::new(on_group)), ..SpoolOptions::new("default") };
    let spool = Spool::open(dir, options)?;
    let metrics = Arc::new(Metrics::new());
    let settings = Settings { keys: Keys::new([("demo".into(), "default".into())]), strict: false };
    let spools = BTreeMap::from([("default".to_owned(), spool)]);
    let ingest = Arc::new(Ingest::new(settings, spools, metrics.clone()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        say(&format!("listening {}", listener.local_addr()?));
        let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        serve(listener, router(ingest), Limits::default(), metrics, async move { drop(end.await) }).await
    })?;
    for bytes in groups.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        say(&format!("group {bytes}"));
    }
    Ok(())
}

/// CPU for an event without HTTP: read, stamped and kept; and kept alone, of the same bytes.
fn apart(dir: &Path) -> Result<(Duration, Duration), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let bodies: Vec<Vec<u8>> = (0..CLIENTS * BATCHES / 4).map(|n| batch(&format!("a{n:07}"))).collect();
    let events = u32::try_from(bodies.len() * CALLS)?;
    let own = || cpu_of(std::process::id());

    let spool = Spool::open(&dir.join("both"), SpoolOptions::new("default"))?;
    let spools = BTreeMap::from([("default".to_owned(), spool.clone())]);
    let ingest = Arc::new(Ingest::new(Settings::default(), spools, Arc::new(Metrics::new())));
    let before = own()?;
    runtime.block_on(in_clients(&bodies, |body| {
        let ingest = ingest.clone();
        async move { ingest.take("default", &body).await.map(drop) }
    }))?;
    let both = own()? - before;

    let (mut payloads, mut reader) = (Vec::new(), spool.read(0, u64::MAX)?);
    while let Some(record) = reader.next()? {
        payloads.push(record.payload.to_vec());
    }
    let spool = Spool::open(&dir.join("alone"), SpoolOptions::new("default"))?;
    let before = own()?;
    runtime.block_on(in_clients(&payloads, |payload| {
        let spool = spool.clone();
        async move { spool.append(NewRecord { received_at: 0, kind: Kind::Call, payload }).await.map(drop) }
    }))?;
    Ok((both / events, (own()? - before) / events))
}

/// Gives each of the clients its part, one after another; all clients at once.
async fn in_clients<F: Future<Output = Result<(), SpoolError>> + Send + 'static>(
    bodies: &[Vec<u8>],
    give: impl Fn(Vec<u8>) -> F,
) -> Result<(), Box<dyn Error>> {
    let parts = bodies.chunks(bodies.len().div_ceil(CLIENTS)).map(|part| {
        let calls: Vec<F> = part.iter().map(|body| give(body.clone())).collect();
        tokio::spawn(async move {
            for call in calls {
                call.await?;
            }
            Ok::<(), SpoolError>(())
        })
    });
    for client in parts.collect::<Vec<_>>() {
        client.await??;
    }
    Ok(())
}

/// Sends batches by several clients at once, then writes the same groups without a service.
pub(crate) fn against_the_disk() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let mut child = Command::new(std::env::current_exe()?)
        .args([PROCESS.as_ref(), dir.path().join("spool").as_os_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    let first = lines.next().ok_or("the server ended")??;
    let address: SocketAddr = first.strip_prefix("listening ").ok_or("the server does not listen")?.parse()?;

    // Warm: threads, buffers, the first segment.
    send(address, CLIENTS, 10, "warm")?;
    let (cpu, memory) = (cpu_of(child.id())?, memory_of(&child)?);
    let begun = Instant::now();
    let mut latencies = send(address, CLIENTS, BATCHES, "load")?;
    let took = begun.elapsed();
    let (cpu, grown) = (cpu_of(child.id())? - cpu, memory_of(&child)?.saturating_sub(memory));
    drop(child.stdin.take());
    let groups: Vec<usize> =
        lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("group ")?.parse().ok()).collect();
    child.wait()?;

    // The groups of the load alone are the last ones; their bytes tell where they begin.
    let loaded = groups.len() - warm_groups(&groups);
    let groups = &groups[groups.len() - loaded..];
    let bare = bare(&dir.path().join("bare"), groups)?;
    let batches = CLIENTS * BATCHES;
    let events = batches * CALLS;
    let bytes: usize = groups.iter().sum();
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
    let narrow = |n: usize| u32::try_from(n).map_or(f64::MAX, f64::from);
    let line = |what: &str, value: String| say(&format!("{what:<64} {value}"));
    line("events accepted in a second", format!("{:>9.0}", narrow(events) / took.as_secs_f64()));
    line(
        "  bytes to the disk in a second",
        format!("{:>9.1} MB", narrow(bytes / 1_000) / 1_000.0 / took.as_secs_f64()),
    );
    line(
        "CPU for an event, from the socket to the disk",
        format!("{:>9.2} µs", cpu.as_secs_f64() * 1e6 / narrow(events)),
    );
    let (both, alone) = apart(dir.path())?;
    let micros = |time: Duration| format!("{:>9.2} µs", time.as_secs_f64() * 1e6);
    line("  of which to read and stamp it", micros(both.saturating_sub(alone)));
    line("  of which to append it, with the kernel's part of the syncs", micros(alone));
    line("syncs for a batch of 100 events", format!("{:>9.2}", narrow(groups.len()) / narrow(batches)));
    line("latency of a batch, p50 and p99", format!("{:>9.1?} {:.1?}", at(50), at(99)));
    line("memory grown during the load", format!("{:>6} MB", grown >> 20));
    let ratio = took.as_secs_f64() / bare.as_secs_f64();
    line("against writing and syncing the same groups", format!("{ratio:>8.2}x  ({took:.1?} / {bare:.1?})  aim <= 3x"));
    Ok(())
}

/// How many groups the first batches came in: those that hold as many bytes as they did.
fn warm_groups(groups: &[usize]) -> usize {
    let total: usize = groups.iter().sum();
    let warm = total * 10 / (10 + BATCHES);
    let mut sum = 0;
    groups
        .iter()
        .take_while(|bytes| {
            sum += **bytes;
            sum <= warm
        })
        .count()
}

fn batch(id: &str) -> Vec<u8> {
    let calls: Vec<String> = (0..CALLS)
        .map(|n| {
            format!(
                r#"{{"type":"track","event":"Order Completed","messageId":"{id}-{n}","userId":"u{}","timestamp":"2026-01-01T00:00:00.000Z","properties":{{"order_id":"o-{id}","revenue":{}.5,"currency":"EUR","coupon":null,"products":["a","b","c"],"shipping":{{"city":"Berlin","zip":"10115"}}}},"context":{{"library":{{"name":"analytics-python","version":"2.4.0"}},"ip":"192.0.2.1","userAgent":"Mozilla/5.0 (X11; Linux x86_64)"}},"integrations":{{}}}}"#,
                n % 40,
                n * 3
            )
        })
        .collect();
    format!(r#"{{"writeKey":"demo","batch":[{}],"sentAt":"2026-01-01T00:00:00Z"}}"#, calls.join(",")).into_bytes()
}

/// Each client sends its batches one after another. Returns how long each took.
fn send(address: SocketAddr, clients: usize, batches: usize, name: &str) -> Result<Vec<Duration>, Box<dyn Error>> {
    let one = |client: usize| -> std::io::Result<Vec<Duration>> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        // Made beforehand, so that a client costs little while the server is timed.
        let template = batch("NNNNNNNN");
        let (mut latencies, mut answer) = (Vec::with_capacity(batches), [0; 1_024]);
        for n in 0..batches {
            let id = format!("{name:.1}{client:03}{n:04}");
            let body = String::from_utf8_lossy(&template).replace("NNNNNNNN", &id);
            let mut request =
                format!("POST /v1/batch HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
            request.extend_from_slice(body.as_bytes());
            let begun = Instant::now();
            stream.write_all(&request)?;
            let read = stream.read(&mut answer)?;
            latencies.push(begun.elapsed());
            if !answer[..read].starts_with(b"HTTP/1.1 200") {
                return Err(std::io::Error::other(String::from_utf8_lossy(&answer[..read]).into_owned()));
            }
        }
        Ok(latencies)
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..clients).map(|client| scope.spawn(move || one(client))).collect();
        let mut latencies = Vec::new();
        for client in all {
            latencies.extend(client.join().map_err(|_| "a client panicked")??);
        }
        Ok(latencies)
    })
}

fn bare(path: &Path, groups: &[usize]) -> std::io::Result<Duration> {
    let longest = groups.iter().copied().max().unwrap_or(0);
    // JSON again, should the disk compress.
    let bytes: Vec<u8> = batch("filler00").into_iter().cycle().take(longest).collect();
    let mut file = File::create(path)?;
    let begun = Instant::now();
    for group in groups {
        file.write_all(&bytes[..*group])?;
        file.sync_data()?;
    }
    Ok(begun.elapsed())
}

/// Time on processors that a process took so far.
fn cpu_of(process: u32) -> Result<Duration, Box<dyn Error>> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("no stat")?;
    let ticks: u64 = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap_or(0)).sum();
    // The kernel counts in hundredths of a second, whatever its own clock.
    Ok(Duration::from_millis(ticks * 10))
}

/// Resident memory, in bytes.
fn memory_of(child: &Child) -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}
