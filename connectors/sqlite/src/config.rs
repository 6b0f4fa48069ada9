//! The options of a `sqlite:` URI, and where the file is.

use serde::Deserialize;
use std::path::{Path, PathBuf};
use tablecast_core::{Error, ErrorKind, Ident, Result, Uri};

/// How the files are opened. The default is what a load wants.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Whether the files may be written.
    pub mode: Mode,
    /// How long to wait for another writer, in ms; then the call fails with a temporary `Conflict`.
    pub busy_timeout_ms: u32,
    /// When SQLite waits for the disk.
    pub synchronous: Synchronous,
    /// Largest size of a file, in pages of 4 KiB; none leaves it to the disk.
    pub max_page_count: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Options { mode: Mode::Rw, busy_timeout_ms: 10_000, synchronous: Synchronous::Full, max_page_count: None }
    }
}

/// Whether the files may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Read and write; made by the first load.
    Rw,
    /// Read only: to describe, plan and show.
    Ro,
}

/// When SQLite waits for the disk, as `PRAGMA synchronous` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// Never: a power failure may damage the file.
    Off,
    /// A power failure may take the last commits back, though their receipts were given.
    Normal,
    /// A receipt is durable.
    Full,
    /// As full, and the directory entry too.
    Extra,
}

impl Synchronous {
    /// As the pragma spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Synchronous::Off => "OFF",
            Synchronous::Normal => "NORMAL",
            Synchronous::Full => "FULL",
            Synchronous::Extra => "EXTRA",
        }
    }
}

/// The directory that a URI names: `sqlite:DIR`, or `sqlite://DIR`.
pub(crate) fn directory(uri: &Uri) -> Result<PathBuf> {
    let body = uri.body().strip_prefix("//").unwrap_or(uri.body());
    if body.is_empty() {
        return Err(Error::new(ErrorKind::Config, "the warehouse URI names no directory")
            .fix("write sqlite:DIR, for example sqlite:./warehouse"));
    }
    Ok(PathBuf::from(body))
}

/// The file of a schema.
pub(crate) fn file(directory: &Path, schema: &Ident) -> Result<PathBuf> {
    let name = schema.as_str();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
        return Err(Error::new(ErrorKind::Config, "the schema's name cannot be a file's name")
            .with("schema", name)
            .fix("use lower-case letters, digits and underscores"));
    }
    Ok(directory.join(format!("{name}.db")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_unknown_ones_are_errors() {
        let options = |text: &str| Uri::parse(text).unwrap().options::<Options>();
        assert_eq!(options("sqlite:w").unwrap(), Options::default());
        let all = options("sqlite:w?mode=ro&busy_timeout_ms=5&synchronous=off&max_page_count=9").unwrap();
        assert_eq!(
            all,
            Options { mode: Mode::Ro, busy_timeout_ms: 5, synchronous: Synchronous::Off, max_page_count: Some(9) }
        );
        for wrong in ["sqlite:w?mode=wo", "sqlite:w?busy_timeout_ms=-1", "sqlite:w?sync=off"] {
            assert_eq!(options(wrong).unwrap_err().kind(), ErrorKind::Config, "{wrong}");
        }
    }

    #[test]
    fn a_uri_names_a_directory_and_a_schema_a_file_in_it() {
        let path = |text: &str| directory(&Uri::parse(text).unwrap());
        assert_eq!(path("sqlite:./w").unwrap(), Path::new("./w"));
        assert_eq!(path("sqlite:///var/w").unwrap(), Path::new("/var/w"));
        assert_eq!(path("sqlite:").unwrap_err().kind(), ErrorKind::Config);
        assert_eq!(file(Path::new("w"), &"personas_default".into()).unwrap(), Path::new("w/personas_default.db"));
        for wrong in ["", "../x", "a/b", "A"] {
            assert_eq!(file(Path::new("w"), &wrong.into()).unwrap_err().kind(), ErrorKind::Config, "{wrong}");
        }
    }
}
