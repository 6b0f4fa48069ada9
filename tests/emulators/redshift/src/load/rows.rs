//! Objects of JSON, turned into what PostgreSQL's COPY reads.

use super::Column;
use super::cell::{Misfit, convert};
use super::source::Object;
use crate::gate::Refusal;
use flate2::read::MultiGzDecoder;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::sync::Arc;

/// "COPY from JSON": one object has at most 4 MB.
const MAX_OBJECT: usize = 4 << 20;

/// What is to be loaded, and how.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) columns: Arc<Vec<Column>>,
    pub(super) any_time: bool,
    pub(super) gzip: bool,
    pub(super) max_errors: u64,
}

/// A row that does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LoadError {
    pub(super) file: String,
    /// Of the last line of the object.
    pub(super) line: u64,
    /// Index into the loaded columns.
    pub(super) column: Option<usize>,
    pub(super) code: u16,
    pub(super) message: String,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// In PostgreSQL's text format.
    pub(super) text: Vec<u8>,
    pub(super) count: u64,
    pub(super) errors: Vec<LoadError>,
    /// More rows do not fit than MAXERROR lets pass.
    pub(super) failed: bool,
}

/// The fields of an object, in their order.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }
        from.deserialize_map(Read)
    }
}

/// A key, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(key.to_owned())))
            }
        }
        from.deserialize_str(Read)
    }
}

impl Load {
    /// Reads all objects.
    ///
    /// # Errors
    /// What is wrong with an object as a whole.
    pub(super) fn read(&self, objects: &[Object]) -> Result<Loaded, Refusal> {
        let by_name: HashMap<&str, usize> =
            self.columns.iter().enumerate().map(|(at, column)| (column.name.as_str(), at)).collect();
        let mut loaded = Loaded::default();
        for object in objects {
            let mut bytes = std::fs::read(&object.path).map_err(|_| object.is_missing())?;
            if self.gzip {
                let mut unpacked = Vec::new();
                MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked).map_err(|_| object.is_not_gzip())?;
                bytes = unpacked;
            }
            self.object(object, &bytes, &by_name, &mut loaded);
            if loaded.failed {
                break;
            }
        }
        Ok(loaded)
    }

    fn object(&self, object: &Object, bytes: &[u8], by_name: &HashMap<&str, usize>, loaded: &mut Loaded) {
        let (mut at, mut line) = (0, 1);
        while at < bytes.len() && !loaded.failed {
            let mut stream = serde_json::Deserializer::from_slice(&bytes[at..]).into_iter::<Fields<'_>>();
            let Some(next) = stream.next() else { return };
            let (end, trouble) = match next {
                Ok(fields) => {
                    let end = at + stream.byte_offset();
                    let trouble = if bytes[at..end].trim_ascii().len() > MAX_OBJECT {
                        Some((None, Misfit { code: 1216, message: "rsemu: a JSON object has more than 4 MB".into() }))
                    } else {
                        self.row(&fields, by_name, &mut loaded.text).err()
                    };
                    loaded.count += u64::from(trouble.is_none());
                    (end, trouble)
                }
                Err(_) => {
                    // Where the object ends is not known: go on behind the line.
                    let begin = at + bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                    let end =
                        bytes[begin..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |len| begin + len);
                    let misfit = match std::str::from_utf8(&bytes[begin..end]) {
                        Ok(_) => Misfit { code: 1216, message: "rsemu: Invalid JSON".into() },
                        Err(_) => Misfit {
                            code: 1220,
                            message: "String contains invalid or unsupported UTF-8 codepoints.".into(),
                        },
                    };
                    (end, Some((None, misfit)))
                }
            };
            line += bytes[at..end].iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
            at = end;
            if let Some((column, Misfit { code, message })) = trouble {
                loaded.errors.push(LoadError { file: object.url.clone(), line, column, code, message });
                // "MAXERROR": the load fails when so many errors are met; with 0, at the first one.
                loaded.failed = u64::try_from(loaded.errors.len()).unwrap_or(u64::MAX) >= self.max_errors.max(1);
            }
        }
    }

    /// Appends one row, or nothing.
    fn row(
        &self,
        Fields(fields): &Fields<'_>,
        by_name: &HashMap<&str, usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), (Option<usize>, Misfit)> {
        let mut values: Vec<Option<&RawValue>> = vec![None; self.columns.len()];
        for (name, value) in fields {
            // Names are compared as they are: tables have lower-case ones, so `Id` is none ("COPY from JSON").
            if let Some(&at) = by_name.get(name.as_ref()) {
                values[at] = Some(value);
            }
        }
        let begin = out.len();
        for (at, (column, value)) in self.columns.iter().zip(values).enumerate() {
            let cell = self.cell(column, value);
            let cell = cell.and_then(|cell| match cell {
                None if column.not_null => {
                    Err(Misfit { code: 1213, message: "Missing data for not-null field".into() })
                }
                cell => Ok(cell),
            });
            match cell {
                Ok(cell) => {
                    out.push(if at == 0 { b'\n' } else { b'\t' });
                    put(out, cell.as_deref());
                }
                Err(misfit) => {
                    out.truncate(begin);
                    return Err((Some(at), misfit));
                }
            }
        }
        Ok(())
    }

    fn cell(&self, column: &Column, value: Option<&RawValue>) -> Result<Option<String>, Misfit> {
        let Some(raw) = value.map(RawValue::get).filter(|raw| *raw != "null") else { return Ok(None) };
        if !raw.starts_with('"') {
            // Numbers and booleans as they are written, objects and arrays as text.
            return convert(raw, column.kind, self.any_time);
        }
        let text: Cow<'_, str> = match serde_json::from_str::<Name<'_>>(raw) {
            Ok(Name(text)) => text,
            Err(_) => return Err(Misfit { code: 1220, message: "rsemu: half of a surrogate pair in a string".into() }),
        };
        convert(&text, column.kind, self.any_time)
    }
}

/// One field of PostgreSQL's text format. Rows begin, not end, with the line's end.
fn put(out: &mut Vec<u8>, cell: Option<&str>) {
    let Some(cell) = cell else { return out.extend_from_slice(b"\\N") };
    for byte in cell.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cell::Kind;
    use super::*;

    fn load(max_errors: u64) -> Load {
        let column = |name: &str, kind, not_null| Column {
            name: name.into(),
            ty: "varchar".into(),
            length: "0".into(),
            kind,
            not_null,
        };
        let columns =
            vec![column("id", Kind::Varchar(8), true), column("n", Kind::Integer(i64::MIN, i64::MAX, "Long"), false)];
        Load { columns: Arc::new(columns), any_time: true, gzip: false, max_errors }
    }

    fn read(json: &str, max_errors: u64) -> Loaded {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("o");
        std::fs::write(&path, json).expect("a file");
        let object = Object { url: "s3://b/o".into(), path };
        load(max_errors).read(&[object]).expect("readable")
    }

    #[test]
    fn rows_are_matched_by_name() {
        let loaded = read(
            "{\"n\":1,\"id\":\"a\\tb\\\\\",\"x\":[1]}\n\n{\"id\":{\"k\": 1}} {\"id\":\"c\",\"N\":2,\"n\":null}\n",
            0,
        );
        assert_eq!(String::from_utf8_lossy(&loaded.text), "\na\\tb\\\\\t1\n{\"k\": 1}\t\\N\nc\t\\N");
        assert_eq!((loaded.count, loaded.failed), (3, false));
    }

    #[test]
    fn rows_that_do_not_fit_are_told_by_line_and_column() {
        let json = "{\"id\":\"a\"}\n{\"id\":\"b\",\"n\":\"1x\"}\n{\"n\":1}\nnot json\n{\"id\":\"123456789\"}\n{\"id\":\"e\"}\n";
        let loaded = read(json, 10);
        let errors: Vec<(u64, Option<usize>, u16)> =
            loaded.errors.iter().map(|error| (error.line, error.column, error.code)).collect();
        assert_eq!(errors, [(2, Some(1), 1207), (3, Some(0), 1213), (4, None, 1216), (5, Some(0), 1204)]);
        assert_eq!((loaded.count, loaded.failed), (2, false));
        let loaded = read(json, 0);
        assert_eq!((loaded.errors.len(), loaded.failed), (1, true));
    }

    #[test]
    fn an_object_has_four_megabytes_at_most() {
        let long = format!("{{\"id\":\"a\",\"x\":\"{}\"}}", "y".repeat(MAX_OBJECT));
        assert_eq!(read(&long, 1).errors[0].code, 1216);
    }
}
