//! Reading the log, record by record, across segments.

use super::format::{HEAD, HEADER, Head, Header, Kind, next_record};
use super::{Segment, SpoolError};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;

/// Bytes read at once.
const BUFFER: usize = 256 << 10;

/// A record, borrowed from its [`Reader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'r> {
    /// When it was received, in µs since 1970; never earlier than the record before.
    pub received_at: i64,
    /// What it holds.
    pub kind: Kind,
    /// The bytes that were given.
    pub payload: &'r [u8],
    /// Where it begins in the log.
    pub offset: u64,
    /// Where the next one begins.
    pub next: u64,
}

/// Reads records in order. It holds the segment that it is in open, so that it can be forgotten meanwhile.
#[derive(Debug)]
pub struct Reader {
    /// Those still to come, the last one first.
    segments: Vec<(Segment, u64)>,
    dir: PathBuf,
    space: u64,
    open: Option<Open>,
    at: u64,
    to: u64,
    record: Vec<u8>,
}

#[derive(Debug)]
struct Open {
    file: BufReader<File>,
    segment: Segment,
    end: u64,
}

impl Reader {
    /// Reads `[from, to)` of segments that are given in order, each with its end.
    pub(super) fn new(dir: PathBuf, space: u64, mut segments: Vec<(Segment, u64)>, from: u64, to: u64) -> Self {
        segments.retain(|(segment, end)| *end > from && segment.first < to);
        segments.reverse();
        Reader { segments, dir, space, open: None, at: from, to, record: Vec::new() }
    }

    /// Where the next record begins.
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// The next record; none at the end. After an error the reader stays where it is.
    #[expect(clippy::should_implement_trait, reason = "a record borrows from its reader")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, SpoolError> {
        if self.at >= self.to {
            return Ok(None);
        }
        let offset = self.at;
        if self.open.as_ref().is_none_or(|open| offset >= open.end) {
            self.open = Some(self.enter()?);
        }
        let Some(open) = &mut self.open else { return Ok(None) };
        match read(open, offset, &mut self.record) {
            Ok(header) => {
                self.at = offset + header.whole() as u64;
                Ok(Some(Record {
                    received_at: header.received_at,
                    kind: header.kind,
                    payload: &self.record[HEADER..],
                    offset,
                    next: self.at,
                }))
            }
            Err(error) => {
                let segment = super::path(&self.dir, open.segment.first);
                // The next call reads the place again.
                self.segments.push((open.segment, open.end));
                self.open = None;
                Err(match error {
                    Broken::Io(error) => SpoolError::of(error),
                    Broken::Damaged(what) => SpoolError::Damaged { segment, offset, what },
                })
            }
        }
    }

    /// Goes to the next place that can be read; says how many bytes were left out. For the time after damage.
    pub fn skip_damage(&mut self) -> Result<u64, SpoolError> {
        let from = self.at;
        while self.at < self.to {
            match self.next_place()? {
                Some(place) => {
                    self.at = place;
                    break;
                }
                None => {
                    let end = self.segments.pop().map_or(self.to, |(_, end)| end);
                    self.at = end.min(self.to);
                }
            }
            self.open = None;
        }
        Ok(self.at - from)
    }

    fn next_place(&mut self) -> Result<Option<u64>, SpoolError> {
        let Some((segment, end)) = self.segments.last() else { return Ok(None) };
        let (first, end) = (segment.first, *end);
        if self.at < first {
            return Ok(Some(first));
        }
        let bytes = match std::fs::read(super::path(&self.dir, first)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(SpoolError::of(error)),
        };
        if Head::read(&bytes).is_some_and(|head| (head.first, head.space) != (first, self.space)) {
            return Ok(None);
        }
        let whole = HEAD + usize::try_from(end - first).unwrap_or(usize::MAX).min(bytes.len().saturating_sub(HEAD));
        let from = usize::try_from(self.at - first).unwrap_or(usize::MAX);
        let records = bytes.get(HEAD..whole).unwrap_or_default();
        Ok(next_record(first, records, from, |_| true).map(|at| first + at as u64))
    }

    fn enter(&mut self) -> Result<Open, SpoolError> {
        let at = self.at;
        // Left in the list until it could be entered.
        while self.segments.last().is_some_and(|(_, end)| *end <= at) {
            self.segments.pop();
        }
        let Some(&(segment, end)) = self.segments.last() else {
            let what = "its segment is missing";
            return Err(SpoolError::Damaged { segment: super::path(&self.dir, at), offset: at, what });
        };
        let path = super::path(&self.dir, segment.first);
        let damaged = |what| SpoolError::Damaged { segment: path.clone(), offset: at, what };
        if at < segment.first {
            return Err(damaged("what was before this segment is missing"));
        }
        let mut file = File::open(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => damaged("the file is missing"),
            _ => SpoolError::of(error),
        })?;
        // Records have checksums of their own, so a head that cannot be read keeps nobody from them.
        let mut head = [0; HEAD];
        let head = file.read_exact(&mut head).ok().and_then(|()| Head::read(&head));
        if head.is_some_and(|head| (head.first, head.space) != (segment.first, self.space)) {
            return Err(damaged("the file belongs to another place or another space"));
        }
        file.seek(SeekFrom::Start(HEAD as u64 + at - segment.first)).map_err(SpoolError::of)?;
        self.segments.pop();
        Ok(Open { file: BufReader::with_capacity(BUFFER, file), segment, end })
    }
}

enum Broken {
    Io(std::io::Error),
    Damaged(&'static str),
}

fn read(open: &mut Open, offset: u64, record: &mut Vec<u8>) -> Result<Header, Broken> {
    let mut fill = |record: &mut Vec<u8>, from: usize| {
        open.file.read_exact(&mut record[from..]).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => Broken::Damaged("the file ends too early"),
            _ => Broken::Io(error),
        })
    };
    record.clear();
    record.resize(HEADER, 0);
    fill(record, 0)?;
    let header = Header::read(record).ok_or(Broken::Damaged("no record begins here"))?;
    if offset + header.whole() as u64 > open.end {
        return Err(Broken::Damaged("the record ends beyond its segment"));
    }
    record.resize(header.whole(), 0);
    fill(record, HEADER)?;
    if !header.holds(offset, record) {
        return Err(Broken::Damaged("the checksum is another one"));
    }
    Ok(header)
}
