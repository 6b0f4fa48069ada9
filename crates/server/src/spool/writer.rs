//! The one thread that writes: it takes what waits, writes it as a group, syncs it, and answers.

use super::format::{self, HEAD, Head};
use super::{Group, NewRecord, Segment, Shared, SpoolError, SpoolOptions, path, sync_dir};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Instant;
use tokio::sync::oneshot;

/// Bytes after which a group takes no more.
const GROUP_BYTES: usize = 4 << 20;
/// Bytes that a trial writes and takes back.
const TRIAL: usize = 64 << 10;
const DAY: i64 = 24 * 3600 * 1_000_000;

/// Records to be written, and who waits for them. Without any it is a trial.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) records: Vec<NewRecord>,
    pub(super) bytes: usize,
    pub(super) answer: oneshot::Sender<Result<u64, SpoolError>>,
}

/// The segment that is written to.
#[derive(Debug)]
struct Active {
    file: File,
    first: u64,
    day: i64,
}

#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    options: SpoolOptions,
    active: Option<Active>,
    end: u64,
    /// When the newest record was received.
    newest: i64,
    broken: bool,
    group: Vec<u8>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, options: SpoolOptions, last: Option<File>, end: u64, newest: i64) -> Self {
        let segment = shared.log().segments.last().copied();
        let active = last.zip(segment).map(|(file, segment)| Active {
            file,
            first: segment.first,
            day: segment.since.div_euclid(DAY),
        });
        Writer { shared, options, active, end, newest, broken: false, group: Vec::new() }
    }

    /// Until nobody can send any more.
    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        let mut jobs = Vec::new();
        while let Ok(job) = queue.recv() {
            let mut bytes = job.bytes;
            jobs.push(job);
            while bytes < GROUP_BYTES
                && let Ok(job) = queue.try_recv()
            {
                bytes += job.bytes;
                jobs.push(job);
            }
            self.commit(&mut jobs, bytes);
        }
    }

    fn commit(&mut self, jobs: &mut Vec<Job>, bytes: usize) {
        if self.broken {
            // Perhaps what failed can be undone now.
            self.broken = self.undo().is_err();
        }
        let outcome = match self.broken {
            true => Err(SpoolError::Broken),
            false if jobs.iter().all(|job| job.records.is_empty()) => self.trial().map(|()| vec![self.end; jobs.len()]),
            false => self.write(jobs, bytes),
        };
        self.shared.failing.store(outcome.is_err(), Ordering::Relaxed);
        self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
        match outcome {
            Ok(ends) => {
                for (job, end) in jobs.drain(..).zip(ends) {
                    let _ = job.answer.send(Ok(end));
                }
            }
            Err(error) => {
                for job in jobs.drain(..) {
                    let _ = job.answer.send(Err(error.clone()));
                }
            }
        }
        if self.group.capacity() > 2 * GROUP_BYTES {
            self.group = Vec::new();
        }
    }

    /// Writes and syncs a group. Returns the place behind each job's records; after an error nothing is there.
    fn write(&mut self, jobs: &[Job], bytes: usize) -> Result<Vec<u64>, SpoolError> {
        let first = jobs.iter().flat_map(|job| &job.records).map(|record| record.received_at).next();
        let fresh = self.roll(first.unwrap_or(self.newest).max(self.newest))?;
        self.group.clear();
        let start = if let Some(head) = fresh {
            self.group.extend_from_slice(&head.bytes());
            HEAD
        } else {
            0
        };
        let mut ends = Vec::with_capacity(jobs.len());
        let mut received_at = self.newest;
        for job in jobs {
            for record in &job.records {
                // Requests may overtake one another between their stamp and here; the log's times do not.
                received_at = received_at.max(record.received_at);
                format::push(&mut self.group, start, self.end, received_at, record.kind, &record.payload);
            }
            ends.push(self.end + (self.group.len() - start) as u64);
        }
        let records = jobs.iter().map(|job| job.records.len()).sum();
        let mut group = Group { records, bytes, ..Group::default() };
        let written = self.flush(fresh.is_some(), &mut group);
        if let Err(error) = written {
            self.tell(&group);
            self.broken = self.undo().is_err();
            return Err(SpoolError::of(error));
        }
        self.end += (self.group.len() - start) as u64;
        self.newest = received_at;
        {
            let mut log = self.shared.log();
            if let Some(head) = fresh {
                log.segments.push(Segment { first: head.first, since: head.since });
            }
            log.end = self.end;
        }
        group.ok = true;
        self.tell(&group);
        Ok(ends)
    }

    /// Writes where the next group goes, syncs, and takes it back. What a crash leaves is a torn tail.
    fn trial(&mut self) -> Result<(), SpoolError> {
        let fresh = self.roll(self.newest)?;
        self.group.clear();
        self.group.extend(fresh.iter().flat_map(|head| head.bytes()));
        self.group.resize(self.group.len() + TRIAL, 0);
        let written = self.flush(fresh.is_some(), &mut Group::default());
        let undone = self.undo();
        self.broken = undone.is_err();
        written.and(undone).map_err(SpoolError::of)
    }

    fn flush(&mut self, fresh: bool, group: &mut Group) -> std::io::Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let begin = Instant::now();
        active.file.write_all(&self.group)?;
        group.wrote = begin.elapsed();
        active.file.sync_data()?;
        if fresh {
            sync_dir(&self.shared.dir)?;
        }
        group.synced = begin.elapsed() - group.wrote;
        Ok(())
    }

    fn tell(&self, group: &Group) {
        if let Some(on_group) = &self.options.on_group {
            on_group(group);
        }
    }

    /// Makes sure that there is a segment to write to; gives the head that a new one needs.
    ///
    /// `since` is when the next record was received.
    fn roll(&mut self, since: i64) -> Result<Option<Head>, SpoolError> {
        let day = since.div_euclid(DAY);
        if let Some(active) = &mut self.active
            && active.day == day
            && self.end - active.first < self.options.segment_bytes
        {
            active.file.seek(SeekFrom::Start(HEAD as u64 + self.end - active.first)).map_err(SpoolError::of)?;
            return Ok(None);
        }
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path(&self.shared.dir, self.end))
            .map_err(SpoolError::of)?;
        self.active = Some(Active { file, first: self.end, day });
        Ok(Some(Head { first: self.end, space: self.shared.space, since }))
    }

    /// Back to the last durable byte.
    fn undo(&mut self) -> std::io::Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let known = self.shared.log().segments.last().is_some_and(|last| last.first == active.first);
        if known {
            active.file.set_len(HEAD as u64 + self.end - active.first)?;
            active.file.sync_all()?;
        } else {
            // A new segment of which nothing is durable. An empty file would do no harm, but takes a name.
            std::fs::remove_file(path(&self.shared.dir, active.first))?;
            self.active = None;
            sync_dir(&self.shared.dir)?;
        }
        Ok(())
    }
}
