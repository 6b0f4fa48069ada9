//! The write key of a request: from Basic authentication or from the body.

use std::collections::BTreeMap;
use std::fmt;

/// Who may send calls, and into which space.
#[derive(Clone, Default)]
pub struct Keys(BTreeMap<String, String>);

impl Keys {
    /// From pairs of write key and space.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Keys(pairs.into_iter().collect())
    }

    /// The space of a write key.
    pub fn space(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// What may be shown of a key that nobody knows: enough to tell two apart.
pub fn fingerprint(key: &str) -> String {
    format!("{:08x}", xxhash_rust::xxh3::xxh3_64(key.as_bytes()) >> 32)
}

/// The user name of Basic authentication; what stands behind the colon is not looked at, and the colon may be missing.
pub(crate) fn basic(authorization: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(authorization).ok()?.trim();
    let (scheme, rest) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(base64(rest.trim())?).ok()?;
    let user = decoded.split_once(':').map_or(decoded.as_str(), |(user, _)| user);
    (!user.is_empty()).then(|| user.to_owned())
}

/// The token of Bearer authentication.
pub(crate) fn bearer(authorization: &[u8]) -> Option<&str> {
    let (scheme, token) = std::str::from_utf8(authorization).ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_authentication_in_all_its_forms() {
        for (header, key) in [
            ("Basic ZGVtbzo=", Some("demo")),
            ("basic  ZGVtbzo", Some("demo")),
            ("Basic ZGVtbw==", Some("demo")),
            ("Basic ZGVtbzpwYXNz", Some("demo")),
            ("Basic Og==", None),
            ("Basic !!!!", None),
            ("Basic", None),
            ("Bearer ZGVtbzo=", None),
            ("Basic /w==", None),
        ] {
            assert_eq!(basic(header.as_bytes()).as_deref(), key, "{header}");
        }
        assert_eq!(bearer(b"Bearer abc"), Some("abc"));
        assert_eq!(bearer(b"Basic abc"), None);
    }

    #[test]
    fn keys_are_never_shown() {
        let keys = Keys::new([("hush".to_owned(), "default".to_owned())]);
        assert_eq!((keys.space("hush"), keys.space("other")), (Some("default"), None));
        assert_eq!(format!("{keys:?}"), "Keys(1)");
        assert_ne!(fingerprint("hush"), fingerprint("hash"));
        assert_eq!(fingerprint("hush").len(), 8);
    }
}
