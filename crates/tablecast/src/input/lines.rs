//! Lines from anything that can be read, in bounded memory.

use sha2::{Digest, Sha256};
use std::io::{self, Read};

/// What is kept of a line that is too long.
const HEAD: usize = 60_000;
/// The buffer to begin with, and the least that is read at once.
const CHUNK: usize = 256 << 10;

/// One line without its line end.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// A line longer than the limit: read through, but not kept.
    Oversized {
        /// Its first 60,000 bytes, or as many as a line may have, if that is less.
        head: &'a [u8],
        /// Its length in bytes.
        bytes: u64,
        /// The SHA-256 of all of it.
        sha256: [u8; 32],
    },
}

/// Reads lines that end with `\n` or `\r\n` or with the input. Blank lines and a byte order mark are left out.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    longest: usize,
    buffer: Vec<u8>,
    /// The bytes that are read and not given out: `buffer[start..end]`, free of `\n` up to `scanned`.
    start: usize,
    scanned: usize,
    end: usize,
    number: u64,
    ended: bool,
    broken: Option<io::Error>,
}

impl<R: Read> Lines<R> {
    /// Longest line that is kept whole, unless said otherwise: 16 MiB.
    pub const LONGEST: usize = 16 << 20;

    /// Lines of at most `longest` bytes; longer ones come as [`Line::Oversized`].
    pub fn new(reader: R, longest: usize) -> Self {
        let longest = longest.max(1);
        Lines {
            reader,
            longest,
            buffer: vec![0; CHUNK],
            start: 0,
            scanned: 0,
            end: 0,
            number: 0,
            ended: false,
            broken: None,
        }
    }

    /// The number of the last line that was given out, blank ones counted; the first is 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next line that is not blank.
    ///
    /// When reading fails, the whole lines before come first and then the error; the piece of a line
    /// in front of the failure is not a line. After an error or the end there is nothing more.
    #[expect(clippy::should_implement_trait, reason = "a lending iterator")]
    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            let Some(found) = self.find()? else { return Ok(None) };
            self.number += 1;
            match found {
                Found::Oversized { head, bytes, sha256 } => {
                    return Ok(Some(Line::Oversized { head: &self.buffer[..head], bytes, sha256 }));
                }
                Found::Whole(from, to) => {
                    let (from, to) = trim(&self.buffer, from, to, self.number == 1);
                    if from < to {
                        return Ok(Some(Line::Whole(&self.buffer[from..to])));
                    }
                }
            }
        }
    }

    /// Where the next line is, its end found.
    fn find(&mut self) -> io::Result<Option<Found>> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.scanned..self.end]) {
                let (from, to) = (self.start, self.scanned + at);
                self.start = to + 1;
                self.scanned = self.start;
                if to - from > self.longest {
                    return Ok(Some(self.oversized_whole(from, to)));
                }
                return Ok(Some(Found::Whole(from, to)));
            }
            self.scanned = self.end;
            if self.ended {
                if let Some(error) = self.broken.take() {
                    self.start = self.end;
                    return Err(error);
                }
                let (from, to) = (self.start, self.end);
                self.start = to;
                return Ok((from < to).then_some(if to - from > self.longest {
                    self.oversized_whole(from, to)
                } else {
                    Found::Whole(from, to)
                }));
            }
            if self.end - self.start > self.longest {
                return self.skim().map(Some);
            }
            self.fill();
        }
    }

    /// Reads more behind `end`, making room first.
    fn fill(&mut self) {
        if self.start > 0 && (self.start == self.end || self.buffer.len() - self.end < CHUNK / 4) {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            self.scanned = self.end;
        }
        if self.end == self.buffer.len() {
            let most = self.longest.saturating_add(CHUNK);
            let larger = (self.buffer.len() * 2).clamp(CHUNK, most.max(CHUNK)).max(self.buffer.len() + 1);
            self.buffer.resize(larger, 0);
        }
        match self.read() {
            Ok(0) => self.ended = true,
            Ok(count) => self.end += count,
            Err(error) => {
                self.ended = true;
                self.broken = Some(error);
            }
        }
    }

    fn read(&mut self) -> io::Result<usize> {
        loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                answer => return answer,
            }
        }
    }

    /// A line in the buffer that is too long.
    fn oversized_whole(&mut self, from: usize, to: usize) -> Found {
        let sha256 = Sha256::digest(&self.buffer[from..to]).into();
        let head = HEAD.min(self.longest);
        self.keep_head(from, head);
        Found::Oversized { head, bytes: (to - from) as u64, sha256 }
    }

    /// Reads the rest of a line that is too long, keeping only its head.
    fn skim(&mut self) -> io::Result<Found> {
        let mut hasher = Sha256::new();
        let mut bytes = (self.end - self.start) as u64;
        hasher.update(&self.buffer[self.start..self.end]);
        let head = HEAD.min(self.longest);
        self.buffer.copy_within(self.start..self.start + head, 0);
        loop {
            // The head stays in front; the rest of the buffer is read over and over.
            self.end = head;
            let count = match self.read() {
                Ok(count) => count,
                Err(error) => {
                    (self.ended, self.start, self.scanned) = (true, self.end, self.end);
                    return Err(error);
                }
            };
            let piece = &self.buffer[head..head + count];
            let stop = memchr::memchr(b'\n', piece);
            let taken = stop.unwrap_or(count);
            hasher.update(&piece[..taken]);
            bytes += taken as u64;
            if count == 0 || stop.is_some() {
                self.ended = count == 0;
                self.end = head + count;
                self.start = head + stop.map_or(count, |at| at + 1);
                self.scanned = self.start;
                return Ok(Found::Oversized { head, bytes, sha256: hasher.finalize().into() });
            }
        }
    }

    /// Moves a head to the front, where nothing that is still needed lies.
    fn keep_head(&mut self, from: usize, head: usize) {
        self.buffer.copy_within(from..from + head, 0);
    }
}

enum Found {
    Whole(usize, usize),
    Oversized { head: usize, bytes: u64, sha256: [u8; 32] },
}

/// The line at `from..to` without its byte order mark and without blanks around it.
fn trim(buffer: &[u8], mut from: usize, mut to: usize, first: bool) -> (usize, usize) {
    if first && buffer[from..to].starts_with(b"\xEF\xBB\xBF") {
        from += 3;
    }
    while from < to && buffer[from].is_ascii_whitespace() {
        from += 1;
    }
    while from < to && buffer[to - 1].is_ascii_whitespace() {
        to -= 1;
    }
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes out in pieces of a size, and then an error, if there is one.
    struct Pieces<'a>(&'a [u8], usize, Option<io::ErrorKind>);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            let (now, later) = self.0.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.0 = later;
            match self.2.take_if(|_| count == 0) {
                Some(kind) => Err(kind.into()),
                None => Ok(count),
            }
        }
    }

    fn all(bytes: &[u8], piece: usize, longest: usize) -> Vec<(u64, String)> {
        let mut lines = Lines::new(Pieces(bytes, piece, None), longest);
        let mut out = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            let text = match line {
                Line::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                Line::Oversized { head, bytes, sha256 } => {
                    format!("{}…{bytes} {:02x}{:02x}", String::from_utf8_lossy(head), sha256[0], sha256[1])
                }
            };
            out.push((lines.number(), text));
        }
        assert!(lines.next().unwrap().is_none(), "the end stays the end");
        out
    }

    fn numbered(lines: &[(u64, &str)]) -> Vec<(u64, String)> {
        lines.iter().map(|(number, text)| (*number, (*text).to_owned())).collect()
    }

    #[test]
    fn line_ends_blank_lines_and_a_byte_order_mark() {
        for piece in [1, 2, 3, 100] {
            assert_eq!(
                all(b"\xEF\xBB\xBFa\r\n\n  \r\nbc\n d ", piece, 100),
                numbered(&[(1, "a"), (4, "bc"), (5, "d")]),
                "{piece}"
            );
            assert_eq!(all(b"", piece, 100), vec![]);
            assert_eq!(all(b"\n", piece, 100), vec![]);
            assert_eq!(all(b"a\n", piece, 100), numbered(&[(1, "a")]));
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_skimmed() {
        // sha256("abcdefgh") = 9c56cc51…
        let input = b"xy\nabcdefgh\nz\nabcdefgh";
        for piece in [1, 4, 5, 100] {
            let lines = all(input, piece, 4);
            assert_eq!(lines, numbered(&[(1, "xy"), (2, "abcd…8 9c56"), (3, "z"), (4, "abcd…8 9c56")]), "{piece}");
        }
        let long = [vec![b'a'; 3 << 20], b"\nnext\n".to_vec()].concat();
        let mut lines = Lines::new(Pieces(&long, 1 << 20, None), 1 << 20);
        match lines.next().unwrap() {
            Some(Line::Oversized { head, bytes, sha256 }) => {
                assert_eq!((head.len(), bytes), (HEAD, 3 << 20));
                assert!(head.iter().all(|byte| *byte == b'a'));
                assert_eq!(sha256, <[u8; 32]>::from(Sha256::digest(&long[..3 << 20])));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"next")));
        assert!(lines.buffer.len() <= (1 << 20) + CHUNK, "the buffer stays bounded");
    }

    #[test]
    fn lines_larger_than_the_buffer_come_whole() {
        let line = vec![b'a'; CHUNK * 3 + 7];
        let input = [b"first\n".to_vec(), line.clone(), b"\nlast".to_vec()].concat();
        for piece in [1000, CHUNK, 10 * CHUNK] {
            let mut lines = Lines::new(Pieces(&input, piece, None), 1 << 20);
            assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"first")));
            assert_eq!(lines.next().unwrap(), Some(Line::Whole(&line)));
            assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"last")));
        }
    }

    #[test]
    fn what_was_read_before_a_failure_comes_first_and_a_piece_of_a_line_never() {
        for longest in [2, 100] {
            let mut lines = Lines::new(Pieces(b"a\nb\nccccc", 3, Some(io::ErrorKind::UnexpectedEof)), longest);
            assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"a")));
            assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"b")));
            assert_eq!(lines.next().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert!(lines.next().unwrap().is_none());
        }
    }
}
