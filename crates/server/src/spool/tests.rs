//! The spool on a real disk: what was answered comes back, whatever happens to the end of the file.

mod crash;
mod full;

use super::*;

pub(super) fn options() -> SpoolOptions {
    SpoolOptions::new("default")
}

pub(super) fn record(received_at: i64, payload: &str) -> NewRecord {
    NewRecord { received_at, kind: Kind::Call, payload: payload.into() }
}

/// Every record there is: when it was received, and its payload.
pub(super) fn all(spool: &Spool) -> Result<Vec<(i64, Vec<u8>)>, SpoolError> {
    let (from, to) = spool.bounds();
    let mut reader = spool.read(from, to)?;
    let mut records = Vec::new();
    while let Some(record) = reader.next()? {
        records.push((record.received_at, record.payload.to_vec()));
    }
    Ok(records)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn what_was_appended_comes_back_in_order_across_segments_and_openings() {
    let dir = tempfile::tempdir().unwrap();
    let mut ends = vec![0];
    for round in 0..3 {
        let spool = Spool::open(dir.path(), SpoolOptions { segment_bytes: 60, ..options() }).unwrap();
        assert_eq!(spool.bounds(), (0, *ends.last().unwrap()));
        assert_eq!(spool.recovery(), &Recovery::default());
        for n in 0..4 {
            let payload = format!("record {round} {n}");
            ends.push(spool.append(record(1_000 + round * 10 + n, &payload)).await.unwrap());
        }
        assert!(spool.segments() > 1);
    }
    let spool = Spool::open(dir.path(), options()).unwrap();
    let records = all(&spool).unwrap();
    let payloads: Vec<String> = (0..12).map(|n| format!("record {} {}", n / 4, n % 4)).collect();
    assert_eq!(records.iter().map(|(_, payload)| String::from_utf8_lossy(payload)).collect::<Vec<_>>(), payloads);

    // Any two places make a range, and times and places find one another.
    for (at, from) in ends.iter().enumerate() {
        let mut reader = spool.read(*from, ends[ends.len() - 1]).unwrap();
        let next = reader.next().unwrap().map(|record| (record.offset, record.payload.to_vec()));
        assert_eq!(next, records.get(at).map(|(_, payload)| (*from, payload.clone())));
        assert_eq!(spool.time_at(*from), records.get(at).map(|(time, _)| *time));
        if let Some((time, _)) = records.get(at) {
            assert_eq!(spool.offset_at(*time), *from);
            assert_eq!(spool.offset_at(time + 1), ends[at + 1]);
        }
    }
    assert_eq!(spool.offset_at(0), 0);
    assert_eq!(spool.offset_at(i64::MAX), *ends.last().unwrap());
    assert!(matches!(spool.read(3, 100).unwrap().next(), Err(SpoolError::Damaged { offset: 3, .. })));
}

#[tokio::test]
async fn records_of_one_call_stand_together_and_kinds_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), options()).unwrap();
    let surplus = NewRecord { kind: Kind::Surplus, ..record(2, "b") };
    let end = spool.append_all(vec![record(1, "a"), surplus]).await.unwrap();
    let mut reader = spool.read(0, end).unwrap();
    assert_eq!(reader.next().unwrap().map(|record| record.kind), Some(Kind::Call));
    assert_eq!(reader.next().unwrap().map(|record| record.kind), Some(Kind::Surplus));
    assert_eq!(reader.next().unwrap(), None);
    assert_eq!(spool.append_all(Vec::new()).await.unwrap(), end);
    let long = NewRecord { payload: vec![b' '; MAX_PAYLOAD + 1], ..record(3, "") };
    assert!(matches!(spool.append(long).await, Err(SpoolError::TooLong)));
}

#[tokio::test]
async fn times_do_not_step_back_though_the_clock_does() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), options()).unwrap();
    let mut stamps = Vec::new();
    for now in [1_000_000, 2_000_000, 500_000, 500_001, 3_000_000] {
        let stamp = spool.stamp(now, 1);
        spool.append(record(stamp, "x")).await.unwrap();
        stamps.push(stamp);
    }
    assert_eq!(stamps, [1_000_000, 2_000_000, 2_000_001, 2_000_002, 3_000_000]);
    assert_eq!(spool.stamp(3_000_000, 10), 3_000_010, "ten of them, each its own");
    // One that was stamped first may be appended last.
    spool.append(record(1_500_000, "late")).await.unwrap();
    let times: Vec<i64> = all(&spool).unwrap().into_iter().map(|(time, _)| time).collect();
    assert_eq!(times, [1_000_000, 2_000_000, 2_000_001, 2_000_002, 3_000_000, 3_000_000]);
    drop(spool);
    let spool = Spool::open(dir.path(), options()).unwrap();
    assert_eq!(spool.stamp(1, 1), 3_000_001, "what was last is known after a start");
}

#[tokio::test]
async fn a_clock_that_was_far_ahead_is_not_followed() {
    const MINUTE: i64 = 60_000_000;
    const YEAR: i64 = 365 * 24 * 60 * MINUTE;
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), options()).unwrap();
    spool.append(record(spool.stamp(9 * YEAR, 1), "from the future")).await.unwrap();
    drop(spool);
    let spool = Spool::open(dir.path(), options()).unwrap();
    assert_eq!(spool.stamp(YEAR, 3), YEAR + 2, "three of them, each its own");
    assert_eq!(spool.stamp(YEAR, 2), YEAR + 4, "from there on time goes on as ever");
    assert_eq!(spool.stamp(YEAR - 5 * MINUTE + 4, 1), YEAR + 5);
    assert_eq!(spool.stamp(YEAR - 5 * MINUTE + 4, 1), YEAR - 5 * MINUTE + 4);
    spool.append(record(YEAR, "now")).await.unwrap();
    let times: Vec<i64> = all(&spool).unwrap().into_iter().map(|(time, _)| time).collect();
    assert_eq!(times, [9 * YEAR, 9 * YEAR], "the log's own times do not step back");
}

#[tokio::test]
async fn a_day_ends_a_segment_and_what_is_old_and_passed_is_forgotten() {
    const DAY: i64 = 24 * 3600 * 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), options()).unwrap();
    let mut ends = Vec::new();
    for day in 0..4 {
        for hour in [1, 23] {
            ends.push(spool.append(record(day * DAY + hour * (DAY / 24), "a call")).await.unwrap());
        }
    }
    assert_eq!((spool.segments(), files(dir.path()).len()), (4, 4));
    // Neither what some warehouse has not passed nor what is young goes.
    assert_eq!(spool.forget(ends[0], i64::MAX).unwrap(), Forgotten::default());
    assert_eq!(spool.forget(u64::MAX, DAY).unwrap(), Forgotten::default());
    assert_eq!(spool.forget(ends[1], i64::MAX).unwrap().segments, 1);
    assert_eq!(spool.bounds(), (ends[1], ends[7]));
    assert!(matches!(spool.read(0, 9), Err(SpoolError::Forgotten { first }) if first == ends[1]));
    let mut reading = spool.read(ends[1], ends[7]).unwrap();
    assert!(reading.next().unwrap().is_some());
    // The one that is written to stays.
    let forgotten = spool.forget(u64::MAX, i64::MAX).unwrap();
    assert_eq!((forgotten.segments, spool.segments()), (2, 1));
    assert!(reading.next().unwrap().is_some(), "who was in a segment reads it to its end");
    assert!(matches!(reading.next(), Err(SpoolError::Damaged { .. })));
    drop(spool);
    let spool = Spool::open(dir.path(), options()).unwrap();
    assert_eq!(spool.bounds(), (ends[5], ends[7]));
    assert_eq!(all(&spool).unwrap().len(), 2);
}

#[tokio::test]
async fn many_at_once_share_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let groups = Arc::new(Mutex::new(Vec::new()));
    let seen = groups.clone();
    let on_group: OnGroup = Arc::new(move |group| seen.lock().unwrap().push(*group));
    let spool = Spool::open(dir.path(), SpoolOptions { on_group: Some(on_group), ..options() }).unwrap();
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let spool = spool.clone();
            tokio::spawn(async move { spool.append(record(n, &n.to_string())).await.unwrap() })
        })
        .collect();
    let mut ends = Vec::new();
    for task in tasks {
        ends.push(task.await.unwrap());
    }
    ends.sort_unstable();
    ends.dedup();
    assert_eq!(ends.len(), 200, "each has a place of its own");
    let groups = groups.lock().unwrap();
    assert_eq!(groups.iter().map(|group| group.records).sum::<usize>(), 200);
    assert!(groups.iter().all(|group| group.ok));
    assert!(groups.len() < 100, "{} syncs for 200 records", groups.len());
    assert_eq!(all(&spool).unwrap().len(), 200);
    assert_eq!(spool.waiting(), 0);
}

#[tokio::test]
async fn too_much_at_once_is_told_to_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), SpoolOptions { queue_bytes: 10_000, ..options() }).unwrap();
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let spool = spool.clone();
            tokio::spawn(async move { spool.append(record(1, &"x".repeat(4_000))).await })
        })
        .collect();
    let mut kept = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => kept += 1,
            Err(error) => assert!(matches!(error, SpoolError::Busy) && error.is_temporary()),
        }
    }
    assert!((2..50).contains(&kept), "{kept}");
    assert_eq!(all(&spool).unwrap().len(), kept);
    // What is longer than the queue goes alone.
    spool.append(record(1, &"x".repeat(20_000))).await.unwrap();
}

#[tokio::test]
async fn the_folder_of_another_space_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    Spool::open(dir.path(), options()).unwrap().append(record(1, "a")).await.unwrap();
    let error = Spool::open(dir.path(), SpoolOptions::new("other")).unwrap_err();
    assert!(error.to_string().contains("another space"), "{error}");
}
