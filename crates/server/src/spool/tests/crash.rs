//! A crash at any byte, and damage anywhere.

use super::*;
use std::collections::BTreeSet;

/// A small generator of numbers, so that a failure can be repeated by its seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Printed, so that a failure can be repeated.
#[expect(clippy::print_stdout, reason = "tests print their seed")]
fn seed() -> u64 {
    let seed = std::env::var("TABLECAST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos())
    });
    println!("TABLECAST_SEED={seed}");
    seed
}

/// How long a property may be looked at.
fn seconds() -> u64 {
    std::env::var("TABLECAST_PROPERTY_SECS").ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// One, or as many as fit a long run.
fn rounds() -> u64 {
    1 + seconds() / 20
}

/// Random appends, some of them at once. Returns the payloads by the place behind each.
async fn fill(dir: &Path, numbers: &mut Numbers) -> Vec<(u64, String)> {
    let segment_bytes = 200 + numbers.below(500);
    let spool = Spool::open(dir, SpoolOptions { segment_bytes, ..options() }).unwrap();
    let mut kept = Vec::new();
    for round in 0..3 + numbers.below(4) {
        let payloads: Vec<String> = (0..1 + numbers.below(5))
            .map(|n| format!("{round}.{n} {}", "x".repeat(usize::try_from(numbers.below(90)).unwrap())))
            .collect();
        let appends = payloads.iter().map(|payload| {
            let (spool, record) = (spool.clone(), record(i64::try_from(round).unwrap(), payload));
            tokio::spawn(async move { spool.append(record).await.unwrap() })
        });
        let appends: Vec<_> = appends.collect();
        for (append, payload) in appends.into_iter().zip(payloads) {
            kept.push((append.await.unwrap(), payload));
        }
    }
    kept.sort();
    kept
}

fn copy(from: &Path, to: &Path) {
    for file in files(to) {
        fs::remove_file(file).unwrap();
    }
    for file in files(from) {
        fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

#[tokio::test]
async fn a_crash_at_any_byte_leaves_whole_records_and_the_log_goes_on() {
    let seed = seed();
    let numbers = &mut Numbers(seed);
    for _ in 0..rounds() {
        let (dir, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let kept = fill(dir.path(), numbers).await;
        let last = files(dir.path()).pop().unwrap();
        let first: u64 = last.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let whole = fs::read(&last).unwrap();
        for cut in 0..=whole.len() {
            copy(dir.path(), crashed.path());
            let mut bytes = whole[..cut].to_vec();
            // Often the file is as long as it should be, and the end of it was never written.
            if numbers.below(2) == 0 {
                bytes.resize(whole.len(), u8::try_from(numbers.below(2) * 0xff).unwrap());
            }
            fs::write(crashed.path().join(last.file_name().unwrap()), &bytes).unwrap();
            let spool = Spool::open(crashed.path(), options()).unwrap();
            assert_eq!(spool.recovery().damaged, None, "cut at {cut}");

            // What was written before the cut is what a crash at that byte had let the server answer for.
            let synced = first + cut.saturating_sub(HEAD) as u64;
            let should: Vec<&str> =
                kept.iter().filter(|(end, _)| *end <= synced).map(|(_, payload)| payload.as_str()).collect();
            let is = all(&spool).unwrap();
            let is: Vec<_> = is.iter().map(|(_, payload)| String::from_utf8_lossy(payload)).collect();
            assert_eq!(is, should, "cut at {cut} of {}", whole.len());

            let end = spool.append(record(99, "after the crash")).await.unwrap();
            assert_eq!(spool.bounds().1, end);
            drop(spool);
            let spool = Spool::open(crashed.path(), options()).unwrap();
            assert_eq!(spool.recovery(), &Recovery::default());
            assert_eq!(all(&spool).unwrap().len(), should.len() + 1);
        }
    }
}

#[tokio::test]
async fn damage_to_what_was_durable_is_named_and_can_be_passed() {
    let seed = seed();
    let numbers = &mut Numbers(seed);
    let (dir, damaged) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let kept = fill(dir.path(), numbers).await;
    // One more, in a group of its own, so that all before it is known to have been synced.
    let spool = Spool::open(dir.path(), options()).unwrap();
    let end = spool.append(record(50, "the last")).await.unwrap();
    drop(spool);
    let ends: BTreeSet<u64> = kept.iter().map(|(end, _)| *end).chain([0, end]).collect();
    for file in files(dir.path()) {
        let first: u64 = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let whole = fs::read(&file).unwrap();
        let durable = whole.len().min(HEAD + usize::try_from(kept[kept.len() - 1].0 - first).unwrap());
        for at in (HEAD..durable).step_by(if rounds() > 1 { 1 } else { 5 }) {
            copy(dir.path(), damaged.path());
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << numbers.below(8);
            fs::write(damaged.path().join(file.file_name().unwrap()), &bytes).unwrap();
            let spool = Spool::open(damaged.path(), options()).unwrap();
            assert_eq!(spool.bounds(), (0, end), "nothing is cut off at {at}");

            // The error names the record that the byte is in, and its file.
            let place = first + (at - HEAD) as u64;
            let record_of_place = *ends.range(..=place).next_back().unwrap();
            let mut reader = spool.read(0, end).unwrap();
            let mut read = 0;
            let error = loop {
                match reader.next() {
                    Ok(Some(_)) => read += 1,
                    Ok(None) => panic!("damage at {place} was not seen"),
                    Err(error) => break error,
                }
            };
            match &error {
                SpoolError::Damaged { segment, offset, .. } => {
                    assert_eq!(*offset, record_of_place);
                    assert_eq!(segment.file_name(), file.file_name());
                }
                other => panic!("{other}"),
            }
            assert!(reader.next().is_err(), "it does not go away");
            let skipped = reader.skip_damage().unwrap();
            assert_eq!(record_of_place + skipped, *ends.range(place + 1..).next().unwrap());
            while reader.next().unwrap().is_some() {
                read += 1;
            }
            assert_eq!(read, kept.len(), "all but the damaged one");
        }
    }
}

#[tokio::test]
async fn a_missing_segment_is_named_and_a_broken_head_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), SpoolOptions { segment_bytes: 1, ..options() }).unwrap();
    let mut ends = Vec::new();
    for n in 0..4 {
        ends.push(spool.append(record(n, "one each")).await.unwrap());
    }
    drop(spool);
    let mut bytes = fs::read(&files(dir.path())[0]).unwrap();
    bytes[3] ^= 1;
    fs::write(&files(dir.path())[0], bytes).unwrap();
    fs::remove_file(&files(dir.path())[1]).unwrap();
    let spool = Spool::open(dir.path(), options()).unwrap();
    let mut reader = spool.read(0, ends[3]).unwrap();
    assert!(reader.next().unwrap().is_some());
    assert!(matches!(reader.next(), Err(SpoolError::Damaged { offset, .. }) if offset == ends[0]));
    assert_eq!(reader.skip_damage().unwrap(), ends[1] - ends[0]);
    assert!(reader.next().unwrap().is_some() && reader.next().unwrap().is_some());
    assert_eq!(reader.next().unwrap(), None);
}

#[test]
fn scripts_of_all_sorts_keep_the_rule() {
    let seed = seed();
    let numbers = &mut Numbers(seed);
    let begun = std::time::Instant::now();
    for n in 0.. {
        if n >= 300 && begun.elapsed().as_secs() >= seconds() {
            break;
        }
        let length = numbers.below(120);
        let script: Vec<u8> = (0..length).map(|_| u8::try_from(numbers.below(256)).unwrap()).collect();
        fuzz(&script);
    }
}
