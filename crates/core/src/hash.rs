//! The one hash of Tablecast: XXH3-128, in names, ids and versions. Its values are stored, so it never changes.

use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

/// The 128-bit hash of some bytes.
#[inline]
pub(crate) fn hash(bytes: &[u8]) -> u128 {
    xxh3_128(bytes)
}

/// The hash of several parts, each with its length in front so that no two lists of parts read alike.
pub(crate) fn hash_parts(parts: &[&[u8]]) -> u128 {
    let mut hasher = Xxh3Default::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.digest128()
}

/// The upper 64 bits of [`hash`].
#[inline]
pub(crate) fn hash64(bytes: &[u8]) -> u64 {
    high64(hash(bytes))
}

/// The upper 64 bits of a 128-bit hash.
#[inline]
pub(crate) fn high64(hash: u128) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = hash.to_be_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The first twelve hex digits of [`hash`], as names carry them.
pub(crate) fn hex12(bytes: &[u8]) -> String {
    format!("{:012x}", hash64(bytes) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_fixed_for_ever() {
        assert_eq!(format!("{:032x}", hash(b"")), "99aa06d3014798d86001c324468d497f");
        assert_eq!(hex12(b""), "99aa06d30147");
        assert_eq!(format!("{:016x}", hash64(b"personas")), format!("{:032x}", hash(b"personas"))[..16]);
        assert_ne!(hash_parts(&[b"ab", b"c"]), hash_parts(&[b"a", b"bc"]));
    }
}
