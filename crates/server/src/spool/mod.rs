//! The spool: what was received, on disk before it is answered for.
//!
//! One log for each space, cut into segments. A place in it is a `u64`: bytes of records from the log's beginning,
//! whatever segment they are in. One thread writes: it takes what waits, writes it as one group, syncs it, and only then
//! answers. What was answered is readable again after a crash at any byte; what was being written then is cut off.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tablecast_server::spool::SpoolError> {
//! # let dir = tempfile::tempdir().unwrap();
//! use tablecast_server::spool::{Kind, NewRecord, Spool, SpoolOptions};
//!
//! let spool = Spool::open(dir.path(), SpoolOptions::new("default"))?;
//! let received_at = spool.stamp(1_767_225_600_000_000, 1);
//! let end = spool.append(NewRecord { received_at, kind: Kind::Call, payload: "{}".into() }).await?;
//!
//! let (first, durable) = spool.bounds();
//! assert_eq!(durable, end);
//! let mut reader = spool.read(first, durable)?;
//! assert_eq!(reader.next()?.unwrap().payload, b"{}");
//! # Ok(())
//! # }
//! ```

mod error;
mod format;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use error::SpoolError;
#[doc(hidden)]
pub use format::fuzz;
pub use format::{Kind, MAX_PAYLOAD};
pub use reader::{Reader, Record};

use format::{HEAD, Head};
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use writer::{Job, Writer};

/// How far the latest time may be ahead of the clock before it is taken for a mistake, in µs.
const AHEAD: i64 = 5 * 60 * 1_000_000;

/// How a spool is kept.
#[derive(Clone)]
pub struct SpoolOptions {
    /// The space; a folder of another space is not taken for this one's.
    pub space: String,
    /// Bytes after which a segment is sealed. One is also sealed when a day (UTC) ends.
    pub segment_bytes: u64,
    /// Bytes that may wait to be written; beyond that, [`Spool::append`] answers [`SpoolError::Busy`].
    pub queue_bytes: usize,
    /// Told of every group that was written, on the thread that writes.
    pub on_group: Option<OnGroup>,
}

impl SpoolOptions {
    /// Segments of 64 MiB, and as much as that may wait.
    pub fn new(space: impl Into<String>) -> Self {
        SpoolOptions { space: space.into(), segment_bytes: 64 << 20, queue_bytes: 64 << 20, on_group: None }
    }
}

impl fmt::Debug for SpoolOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpoolOptions")
            .field("space", &self.space)
            .field("segment_bytes", &self.segment_bytes)
            .field("queue_bytes", &self.queue_bytes)
            .finish_non_exhaustive()
    }
}

/// Hears of every group.
pub type OnGroup = Arc<dyn Fn(&Group) + Send + Sync>;

/// What was written and synced at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Group {
    /// Records.
    pub records: usize,
    /// Bytes, with headers.
    pub bytes: usize,
    /// How long writing took.
    pub wrote: Duration,
    /// How long the sync took.
    pub synced: Duration,
    /// Whether it is durable; otherwise nothing of it was kept.
    pub ok: bool,
}

/// A record to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// When it was received, in µs since 1970, from [`Spool::stamp`].
    pub received_at: i64,
    /// What it holds.
    pub kind: Kind,
    /// At most [`MAX_PAYLOAD`] bytes.
    pub payload: Vec<u8>,
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of a torn tail that were cut off; nobody was told that they were kept.
    pub cut: u64,
    /// The first place in the last segment that was durable and cannot be read; reading it is an error.
    pub damaged: Option<u64>,
}

/// What [`Spool::forget`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Segments.
    pub segments: u64,
    /// Bytes of files.
    pub bytes: u64,
}

/// A part of the log in a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    first: u64,
    /// Nothing in it was received before.
    since: i64,
}

/// What readers and the writer both see.
#[derive(Debug)]
struct Log {
    segments: Vec<Segment>,
    /// Everything before is synced.
    end: u64,
}

impl Log {
    fn first(&self) -> u64 {
        self.segments.first().map_or(self.end, |segment| segment.first)
    }

    /// Each segment with its end.
    fn spans(&self) -> Vec<(Segment, u64)> {
        let ends = self.segments.iter().skip(1).map(|next| next.first).chain([self.end]);
        self.segments.iter().copied().zip(ends).collect()
    }
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    space: u64,
    log: Mutex<Log>,
    /// The latest time given out.
    clock: AtomicI64,
    waiting: AtomicUsize,
    /// Whether the latest group was not kept.
    failing: AtomicBool,
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    queue_bytes: usize,
    recovery: Recovery,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // What waits is still written, so that whoever opens the folder next sees it.
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One space's log. Cheap to clone; the last clone that is dropped ends the thread.
///
/// One process at a time may have a folder open: its lock is the caller's.
#[derive(Clone, Debug)]
pub struct Spool(Arc<Handle>);

impl Spool {
    /// Opens the log in a folder, or begins one. Cuts a torn tail off the last segment.
    ///
    /// Damage elsewhere is no error here: it is one for who reads that place.
    pub fn open(dir: &Path, options: SpoolOptions) -> Result<Spool, SpoolError> {
        fs::create_dir_all(dir).map_err(SpoolError::of)?;
        let space = xxhash_rust::xxh3::xxh3_64(options.space.as_bytes());
        let mut segments = list(dir)?;
        let mut recovery = Recovery::default();
        let (mut end, mut newest, mut active) = (0, i64::MIN, None);
        if let Some(last) = segments.last().copied() {
            let file = path(dir, last.first);
            let bytes = fs::read(&file).map_err(SpoolError::of)?;
            if Head::read(&bytes).is_some_and(|head| (head.first, head.space) != (last.first, space)) {
                let what = "the folder belongs to another space";
                return Err(SpoolError::Damaged { segment: file, offset: last.first, what });
            }
            let records = bytes.get(HEAD..).unwrap_or_default();
            let found = format::scan(last.first, records);
            end = found.end;
            recovery.cut = records.len() as u64 - (end - last.first);
            recovery.damaged = found.damaged;
            if let Some(time) = found.newest {
                let handle = File::options().write(true).open(&file).map_err(SpoolError::of)?;
                let length = HEAD as u64 + end - last.first;
                handle.set_len(length).and_then(|()| handle.sync_all()).map_err(SpoolError::of)?;
                (newest, active) = (time, Some(handle));
            } else {
                // Its first group was never synced. What came before was, up to the place in its name.
                segments.pop();
                set_aside(&file, records.is_empty()).map_err(SpoolError::of)?;
                if let Some(before) = segments.last() {
                    let bytes = fs::read(path(dir, before.first)).map_err(SpoolError::of)?;
                    let found = format::scan(before.first, bytes.get(HEAD..).unwrap_or_default());
                    newest = found.newest.unwrap_or(before.since).max(before.since);
                    recovery.damaged = found.damaged.or((found.end < end).then_some(found.end));
                }
            }
        }
        sync_dir(dir).map_err(SpoolError::of)?;
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            space,
            log: Mutex::new(Log { segments, end }),
            clock: AtomicI64::new(newest),
            waiting: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
        });
        let (jobs, queue) = mpsc::channel();
        let queue_bytes = options.queue_bytes;
        let writer = Writer::new(shared.clone(), options, active, end, newest);
        let thread = std::thread::Builder::new()
            .name("spool".into())
            .spawn(move || writer.run(&queue))
            .map_err(SpoolError::of)?;
        Ok(Spool(Arc::new(Handle { shared, queue_bytes, recovery, jobs: Some(jobs), thread: Some(thread) })))
    }

    /// What opening found.
    pub fn recovery(&self) -> &Recovery {
        &self.0.recovery
    }

    /// `count` consecutive times for what is received now: the last is returned.
    ///
    /// `now` is the clock, in µs since 1970. Should it step back, times go on from the latest one by 1 µs each, so that none
    /// is given twice. If the latest one is more than five minutes ahead, the clock was wrong then, and times go on from the
    /// clock. The records' own times never step back: those are written with the latest one.
    pub fn stamp(&self, now: i64, count: u32) -> i64 {
        let count = i64::from(count.max(1));
        let is_wrong = |last: i64| last.saturating_sub(now) > AHEAD;
        let next = |last: i64| {
            let first = if is_wrong(last) { now } else { last.saturating_add(1).max(now) };
            first.saturating_add(count - 1)
        };
        let clock = &self.0.shared.clock;
        // The function always gives a value, so this never fails.
        let before = clock.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last))).unwrap_or(now);
        if is_wrong(before) {
            // Once, since the next one goes on from here.
            let (latest, now) = (tablecast::core::time::format(before), tablecast::core::time::format(now));
            tracing::warn!(
                latest,
                now,
                "calls came from the future: the clock was wrong then, or is now; set it right"
            );
        }
        next(before)
    }

    /// Puts a record at the end. Returns the place behind it, once it is synced.
    ///
    /// If the future is dropped, the record may or may not be there.
    pub async fn append(&self, record: NewRecord) -> Result<u64, SpoolError> {
        self.append_all(vec![record]).await
    }

    /// Puts records at the end, all of them or, after an error, none.
    pub async fn append_all(&self, records: Vec<NewRecord>) -> Result<u64, SpoolError> {
        if records.iter().any(|record| record.payload.len() > MAX_PAYLOAD) {
            return Err(SpoolError::TooLong);
        }
        if records.is_empty() {
            return Ok(self.bounds().1);
        }
        let bytes: usize = records.iter().map(|record| format::HEADER + record.payload.len()).sum();
        let waiting = &self.0.shared.waiting;
        let before = waiting.fetch_add(bytes, Ordering::Relaxed);
        // One alone is always taken.
        if before > 0 && before + bytes > self.0.queue_bytes {
            waiting.fetch_sub(bytes, Ordering::Relaxed);
            return Err(SpoolError::Busy);
        }
        self.ask(records, bytes).await
    }

    /// Whether the disk takes bytes. If it refused the latest ones, it is tried anew, with bytes that are taken back.
    pub async fn ready(&self) -> Result<(), SpoolError> {
        if self.0.shared.failing.load(Ordering::Relaxed) {
            self.ask(Vec::new(), 0).await?;
        }
        Ok(())
    }

    /// Gives the thread records that `waiting` has counted, or none for a trial.
    async fn ask(&self, records: Vec<NewRecord>, bytes: usize) -> Result<u64, SpoolError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.jobs.as_ref().is_some_and(|jobs| jobs.send(Job { records, bytes, answer }).is_ok());
        if !sent {
            self.0.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
            return Err(SpoolError::Broken);
        }
        answered.await.unwrap_or(Err(SpoolError::Broken))
    }

    /// The first place that is kept, and the end of what is synced.
    pub fn bounds(&self) -> (u64, u64) {
        let log = self.0.shared.log();
        (log.first(), log.end)
    }

    /// When the newest record was received, in µs since 1970; none if there never was one.
    pub fn newest(&self) -> Option<i64> {
        let newest = self.0.shared.clock.load(Ordering::Relaxed);
        (newest != i64::MIN).then_some(newest)
    }

    /// Bytes that wait to be synced.
    pub fn waiting(&self) -> usize {
        self.0.shared.waiting.load(Ordering::Relaxed)
    }

    /// Segments that are kept.
    pub fn segments(&self) -> usize {
        self.0.shared.log().segments.len()
    }

    /// Reads from one place to another, at most to what is synced. Both must be places between records.
    pub fn read(&self, from: u64, to: u64) -> Result<Reader, SpoolError> {
        let log = self.0.shared.log();
        if from < log.first() {
            return Err(SpoolError::Forgotten { first: log.first() });
        }
        let to = to.min(log.end);
        Ok(Reader::new(self.0.shared.dir.clone(), self.0.shared.space, log.spans(), from, to))
    }

    /// The first place whose record was received at that time or later; the end if there is none.
    ///
    /// Where damage stands in the way it is the place of the damage.
    pub fn offset_at(&self, received_at: i64) -> u64 {
        let (spans, end) = {
            let log = self.0.shared.log();
            (log.spans(), log.end)
        };
        // The records of a segment are no later than what its successor begins with.
        let at = (1..spans.len()).find(|next| spans[*next].0.since >= received_at).unwrap_or(spans.len());
        let Some(&(segment, _)) = spans.get(at.saturating_sub(1)) else { return end };
        let mut reader = Reader::new(self.0.shared.dir.clone(), self.0.shared.space, spans, segment.first, end);
        loop {
            let before = reader.offset();
            match reader.next() {
                Ok(Some(record)) if record.received_at < received_at => {}
                Ok(None) => return end,
                Ok(Some(_)) | Err(_) => return before,
            }
        }
    }

    /// When the record at a place was received; none at the end, and where no record can be read.
    pub fn time_at(&self, offset: u64) -> Option<i64> {
        let mut reader = self.read(offset, u64::MAX).ok()?;
        reader.next().ok()?.map(|record| record.received_at)
    }

    /// Removes whole segments, the oldest first, that end at or before `before` and hold nothing that was received
    /// at `older_than` or later. The segment that is written to always stays.
    pub fn forget(&self, before: u64, older_than: i64) -> Result<Forgotten, SpoolError> {
        let mut forgotten = Forgotten::default();
        loop {
            let mut log = self.0.shared.log();
            let &[segment, next, ..] = &*log.segments else { break };
            // Times may meet at the border, so that the older one counts only if the younger one is older too.
            if next.first > before || next.since >= older_than {
                break;
            }
            let file = path(&self.0.shared.dir, segment.first);
            let bytes = file.metadata().map_or(0, |file| file.len());
            match fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(SpoolError::of(error)),
                _ => {}
            }
            log.segments.remove(0);
            forgotten.segments += 1;
            forgotten.bytes += bytes;
        }
        if forgotten.segments > 0 {
            sync_dir(&self.0.shared.dir).map_err(SpoolError::of)?;
        }
        Ok(forgotten)
    }
}

/// The file of the segment that begins at a place.
fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.seg"))
}

/// The segments in a folder, in order.
fn list(dir: &Path) -> Result<Vec<Segment>, SpoolError> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir).map_err(SpoolError::of)? {
        let name = entry.map_err(SpoolError::of)?.file_name();
        let Some(digits) = name.to_str().and_then(|name| name.strip_suffix(".seg")) else { continue };
        if digits.len() == 20
            && let Ok(first) = digits.parse()
        {
            segments.push(Segment { first, since: since(&path(dir, first)) });
        }
    }
    segments.sort_by_key(|segment| segment.first);
    // Where a head cannot be read, times are taken from the one before, so that they never step back.
    let mut last = i64::MIN;
    for segment in &mut segments {
        segment.since = segment.since.max(last);
        last = segment.since;
    }
    Ok(segments)
}

fn since(file: &Path) -> i64 {
    let mut head = [0; HEAD];
    let read = File::open(file).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut head));
    read.ok().and_then(|()| Head::read(&head)).map_or(i64::MIN, |head| head.since)
}

/// Takes a file out of the log, and keeps what is in it for a person to look at.
fn set_aside(file: &Path, empty: bool) -> std::io::Result<()> {
    if empty { fs::remove_file(file) } else { fs::rename(file, file.with_extension("torn")) }
}

/// Makes the names of new files durable.
fn sync_dir(dir: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}
