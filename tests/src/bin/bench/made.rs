//! Input for the benchmarks: the two files of calls, and calls made to measure.

use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// 20,000 calls as a Personas space sends them.
pub(crate) fn tidy() -> io::Result<Vec<u8>> {
    unpack("events-20k.ndjson.gz")
}

/// 5,000 calls with everything that can be wrong.
pub(crate) fn dirty() -> io::Result<Vec<u8>> {
    unpack("dirty-5k.ndjson.gz")
}

fn unpack(name: &str) -> io::Result<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name);
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(File::open(path)?).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A number that looks random, the same for the same input.
fn scramble(number: usize) -> usize {
    let mut mixed = (number as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((mixed ^ (mixed >> 31)) >> 8).unwrap_or(0)
}

/// Calls number `from..to`: each carries one of `traits` computations, for one of `users` users.
pub(crate) fn calls(out: &mut String, from: usize, to: usize, traits: usize, users: usize) {
    for n in from..to {
        let (user, key) = (scramble(n) % users, scramble(n + 7_919) % traits);
        let (minute, second, milli) = (n / 60_000 % 60, n / 1_000 % 60, n % 1_000);
        let at = format!(
            "2026-{:02}-{:02}T{:02}:{minute:02}:{second:02}.{milli:03}Z",
            n / 86_400_000 % 12 + 1,
            1,
            n / 3_600_000 % 24
        );
        let (class, name, value) = match key % 2 {
            0 => ("audience", format!("audience_{key}"), (n % 3 > 0).to_string()),
            _ => ("trait", format!("trait_{key}"), format!("{}.{:02}", n % 5_000, n % 100)),
        };
        let envelope = format!(
            r#""messageId":"personas_{n:024x}","userId":"u{user}","timestamp":"{at}","originalTimestamp":"{at}","sentAt":"{at}","receivedAt":"{at}","context":{{"library":{{"name":"unknown","version":"unknown"}},"personas":{{"computation_class":"{class}","computation_id":"{class}_{key}","computation_key":"{name}","namespace":"spa_default","space_id":"spa_default"}}}}"#
        );
        // Writing to a String cannot fail.
        let _ = match n % 5 {
            0 | 1 => writeln!(
                out,
                r#"{{"type":"track","event":"{}",{envelope},"properties":{{"{class}_key":"{name}","{name}":{value}}}}}"#,
                if class == "trait" { "Trait Computed" } else { "Audience Entered" }
            ),
            _ => writeln!(
                out,
                r#"{{"type":"identify",{envelope},"traits":{{"{name}":{value},"email":"u{user}@example.com"}}}}"#
            ),
        };
    }
}

/// As many calls as one text.
pub(crate) fn made(events: usize, traits: usize, users: usize) -> Vec<u8> {
    let mut out = String::new();
    calls(&mut out, 0, events, traits, users);
    out.into_bytes()
}
