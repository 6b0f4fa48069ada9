//! Opening a file or a stream of NDJSON: plain, gzip or zstd, told apart by their first bytes.

use super::lines::Lines;
use crate::clock;
use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tablecast_core::{Error, ErrorKind, Origin, Result};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// One source of calls, open.
pub struct Input {
    pub(super) name: String,
    pub(super) lines: Lines<Box<dyn Read + Send>>,
    pub(super) origin: Origin,
    pub(super) stream: bool,
    compressed: Option<&'static str>,
    size: Option<u64>,
    read: Arc<AtomicU64>,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("name", &self.name).field("line", &self.lines.number()).finish_non_exhaustive()
    }
}

impl Input {
    /// A file, under `name` or else its own. The same bytes under the same name are the same calls on every reading:
    /// a call without an id gets one made of the name and the line, one without a time gets the file's modification time.
    pub fn file(path: &Path, name: Option<&str>) -> Result<Input> {
        let failed = |error: io::Error| cannot_open(path, error);
        let file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        if meta.is_dir() {
            return Err(Error::new(ErrorKind::Config, "this is a directory, not a file").with("path", path.display()));
        }
        let modified = meta.modified().map(clock::micros).map_err(failed)?;
        let name = match name {
            Some(name) => name.to_owned(),
            None => path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        };
        let ending = path.extension().and_then(|ending| ending.to_str()).and_then(|ending| match ending {
            "gz" => Some("gzip"),
            "zst" => Some("zstd"),
            _ => None,
        });
        let origin = Origin::file(&name, modified);
        Input::open(name, Box::new(file), origin, false, Some(meta.len()), ending).map_err(failed)
    }

    /// A stream, which cannot be read again: a call without an id gets a random one, one without a time gets the clock's.
    pub fn stream(name: &str, reader: Box<dyn Read + Send>) -> Result<Input> {
        let origin = Origin::stream(name, clock::seed());
        Input::open(name.to_owned(), reader, origin, true, None, None)
            .map_err(|error| cannot_open(Path::new(name), error))
    }

    fn open(
        name: String,
        reader: Box<dyn Read + Send>,
        origin: Origin,
        stream: bool,
        size: Option<u64>,
        ending: Option<&'static str>,
    ) -> io::Result<Input> {
        let read = Arc::new(AtomicU64::new(0));
        let mut reader = Counting { reader, read: Arc::clone(&read) };
        let mut head = Vec::new();
        reader.by_ref().take(4).read_to_end(&mut head)?;
        let compressed = match &head {
            head if head.starts_with(GZIP) => Some("gzip"),
            head if head.starts_with(ZSTD) => Some("zstd"),
            // Too short to tell, as a download that has just begun: then the file's name decides.
            head if head.len() < 2 || ZSTD.starts_with(head) => ending,
            _ => None,
        };
        let nothing = head.is_empty();
        let whole = Cursor::new(head).chain(reader);
        let reader: Box<dyn Read + Send> = match compressed {
            Some(_) if nothing => Box::new(Nothing),
            Some("gzip") => {
                Box::new(flate2::bufread::MultiGzDecoder::new(io::BufReader::with_capacity(64 << 10, whole)))
            }
            Some(_) => Box::new(zstd::stream::read::Decoder::new(whole)?),
            None => Box::new(whole),
        };
        Ok(Input { name, lines: Lines::new(reader, Lines::<File>::LONGEST), origin, stream, compressed, size, read })
    }

    /// Its name, as the ledger has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its size in bytes, as it lies on disk; unknown for a stream.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Bytes read so far, of [`Input::size`].
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// What a failure to read on means.
    pub(super) fn broken(&self, error: io::Error) -> Error {
        let again = "get the whole file again and run the same command; what is loaded already is not loaded twice";
        let line = self.lines.number();
        let told = match self.compressed {
            Some(format) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Error::new(ErrorKind::Corrupt, "the file is truncated: its compressed data ends in the middle")
                    .with("format", format)
                    .fix(again)
            }
            Some(format) if error.raw_os_error().is_none() => {
                Error::new(ErrorKind::Corrupt, "the compressed file is damaged").with("format", format).fix(again)
            }
            _ => Error::new(ErrorKind::Unavailable, "the input cannot be read on")
                .with("cause", &error)
                .fix("see to the input, then run the same command; what is loaded already is not loaded twice"),
        };
        told.with("input", &self.name).with("whole lines before", line).because(error)
    }
}

fn cannot_open(path: &Path, error: io::Error) -> Error {
    let (kind, remedy) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorKind::Config, "check the path"),
        io::ErrorKind::PermissionDenied => (ErrorKind::Permission, "let this user read the file"),
        _ => (ErrorKind::Unavailable, "see to the input, then run again"),
    };
    Error::new(kind, "cannot open the input")
        .with("path", path.display())
        .with("cause", &error)
        .fix(remedy)
        .because(error)
}

/// A compressed file of which nothing is there yet.
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Counts what goes through.
struct Counting {
    reader: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Line;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).unwrap()
    }

    /// All lines, and the error that ended them, of a file with this name and these bytes.
    fn read(name: &str, bytes: &[u8]) -> (Vec<String>, Option<Error>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut input = Input::file(&path, None).unwrap();
        let mut lines = Vec::new();
        loop {
            match input.lines.next() {
                Ok(Some(Line::Whole(line))) => lines.push(String::from_utf8(line.to_vec()).unwrap()),
                Ok(Some(other)) => panic!("{other:?}"),
                Ok(None) => {
                    assert_eq!(
                        (input.bytes_read(), input.size(), input.name()),
                        (bytes.len() as u64, Some(bytes.len() as u64), name)
                    );
                    return (lines, None);
                }
                Err(error) => return (lines, Some(input.broken(error))),
            }
        }
    }

    #[test]
    fn the_first_bytes_tell_the_format_whatever_the_name() {
        let text = b"a\nb\n";
        let two = [gzip(b"a\n"), gzip(b"b\n")].concat();
        let frames = [zstd(b"a\n"), zstd(b"b\n")].concat();
        for bytes in [text.to_vec(), gzip(text), zstd(text), two, frames] {
            for name in ["x.ndjson", "x.ndjson.gz", "x.ndjson.zst"] {
                let (lines, error) = read(name, &bytes);
                assert!(error.is_none(), "{name}: {error:?}");
                assert_eq!(lines, ["a", "b"], "{name}");
            }
        }
        for short in [&b""[..], b"x", b"1\n"] {
            assert!(read("x.ndjson", short).1.is_none());
        }
    }

    #[test]
    fn a_half_written_file_gives_what_is_there_and_then_says_so() {
        let text: String = (0..50_000).map(|n| format!("line {} {n}\n", n * 7919 % 1000)).collect();
        for (name, whole) in [("x.gz", gzip(text.as_bytes())), ("x.zst", zstd(text.as_bytes()))] {
            for keep in [whole.len() - 1, whole.len() * 2 / 3, 3, 1, 0] {
                let (lines, error) = read(name, &whole[..keep]);
                let error = error.unwrap_or_else(|| panic!("{name} cut at {keep}"));
                assert!(
                    error.kind() == ErrorKind::Corrupt && error.to_string().contains("truncated"),
                    "{name} cut at {keep}: {error:?}"
                );
                assert!(
                    text.starts_with(&lines.iter().map(|line| format!("{line}\n")).collect::<String>()),
                    "{name}: only whole lines"
                );
                assert!(keep < 1000 || lines.len() > 10_000, "{name} cut at {keep}: {}", lines.len());
            }
            let mut damaged = whole.clone();
            let middle = damaged.len() / 2;
            damaged[middle..middle + 40].fill(0xff);
            let (_, error) = read(name, &damaged);
            assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Corrupt), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_opened_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let missing = Input::file(&directory.path().join("no.ndjson"), None).unwrap_err();
        assert!(missing.kind() == ErrorKind::Config && missing.to_string().contains("no.ndjson"), "{missing:?}");
        assert_eq!(Input::file(directory.path(), None).unwrap_err().kind(), ErrorKind::Config);
    }
}
