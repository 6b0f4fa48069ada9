//! A disk that is full: nothing is lost, nothing half written stays, and it goes on when there is room.

use super::*;
use std::io::Write;
use std::process::Command;

/// Names the folder to the process whose files may not grow.
const FOLDER: &str = "TABLECAST_SMALL_DISK";

/// Runs in a process of its own, which the test below starts.
#[tokio::test]
#[ignore = "started by the test below, with a limit on the size of files"]
async fn appends_until_there_is_no_room() {
    let Some(dir) = std::env::var_os(FOLDER) else { panic!("{FOLDER} is not set") };
    let spool = Spool::open(Path::new(&dir), options()).unwrap();
    let (mut kept, mut refused) = (0, 0);
    for n in 0..40 {
        match spool.append(record(n, &format!("{n} {}", "x".repeat(4_000)))).await {
            Ok(end) => {
                kept += 1;
                assert_eq!(spool.bounds().1, end);
            }
            Err(error) => {
                assert!(matches!(error, SpoolError::Full(_)), "{error:?}");
                refused += 1;
            }
        }
    }
    assert!(kept > 10 && kept + refused == 40, "{kept} kept, {refused} refused");
    assert!(matches!(spool.ready().await, Err(SpoolError::Full(_))));
    // A small one fits where a large one does not.
    spool.append(record(40, "small")).await.unwrap();
    assert_eq!(all(&spool).unwrap().len(), kept + 1);
    spool.ready().await.unwrap();
}

#[tokio::test]
async fn a_trial_of_the_disk_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let files = || fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum::<u64>();
    let spool = Spool::open(dir.path(), options()).unwrap();
    for n in 0..3 {
        let (bounds, bytes) = (spool.bounds(), files());
        spool.0.shared.failing.store(true, Ordering::Relaxed);
        spool.ready().await.unwrap();
        assert!(!spool.0.shared.failing.load(Ordering::Relaxed), "the trial says that the disk is well again");
        assert_eq!((spool.bounds(), files()), (bounds, bytes));
        spool.append(record(n, "kept")).await.unwrap();
    }
    drop(spool);

    // A trial that a crash cut short.
    let file = list(dir.path()).unwrap().pop().map(|last| path(dir.path(), last.first)).unwrap();
    File::options().append(true).open(file).unwrap().write_all(&[0; 30_000]).unwrap();
    let spool = Spool::open(dir.path(), options()).unwrap();
    assert_eq!(spool.recovery(), &Recovery { cut: 30_000, damaged: None });
    assert_eq!(all(&spool).unwrap().len(), 3);
}

#[tokio::test]
async fn a_full_disk_refuses_whole_records_and_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    let this = std::env::current_exe().unwrap();
    // Each file may have 128 of the shell's blocks of 512 bytes or 1 KiB; without the trap the limit ends the process.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\""])
        .arg(this)
        .args(["--ignored", "--exact", "spool::tests::full::appends_until_there_is_no_room", "--nocapture"])
        .env(FOLDER, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");

    // Without the limit it goes on where it was.
    let spool = Spool::open(dir.path(), options()).unwrap();
    assert_eq!(spool.recovery(), &Recovery::default(), "what did not fit was taken back");
    let before = all(&spool).unwrap();
    assert_eq!(before.last().unwrap().1, b"small");
    spool.append(record(50, &"x".repeat(4_000))).await.unwrap();
    assert_eq!(all(&spool).unwrap().len(), before.len() + 1);
}
