//! The stage between writing and reading: what happens to files there, COPY and the commit's checks find out.

use crate::harness::{Emulator, WIRE, arm, disarm, fresh_space, run};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tablecast_core::testing::Probe;
use tablecast_core::{Draft, Error, ErrorKind, Result, Rules, Warehouse};
use tablecast_redshift::DIALECT;
use tablecast_testkit::generate::Call;

/// Loads one event, and does something to its staged file before COPY reads it.
fn tampered(tamper: impl Fn(PathBuf)) -> Error {
    run(async {
        let emulator = Emulator::at(WIRE);
        let uri = emulator.uri_with(&[]);
        let ca = uri.split(['?', '&']).find_map(|part| part.strip_prefix("ca=")).expect("a file of authorities");
        let rules = Rules { space: fresh_space(), ..Rules::default() };
        let folder = PathBuf::from(ca).with_file_name("s3").join("tablecast-stage/stage").join(rules.schema().as_str());
        let redshift = emulator.redshift(&rules.schema()).await.expect("a good URI");
        let mut draft = Draft::new(&rules, &DIALECT);
        // An anonymous call is a row of one table.
        draft.push_line(Call::identify("m1", "u1").without("userId").set("anonymousId", r#""a1""#).line().as_bytes());
        let plan = draft.plan(&redshift.describe(&draft.tables()).await.expect("a catalog"));
        redshift.apply(&plan.changes).await.expect("tables");
        let plan = draft.plan(&redshift.describe(&draft.tables()).await.expect("a catalog"));

        arm(
            &json!({"marker": rules.schema().as_str(), "at": "wire", "does": "delay", "statement": "COPY", "delay_ms": 1_500}),
        );
        let deed = async {
            let give_up = Instant::now() + Duration::from_secs(20);
            loop {
                // The manifest is written last.
                if let Some(stage) = stages(&folder).into_iter().find(|stage| stage.join("manifest").exists()) {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    tamper(stage.join("0.json.gz"));
                    return;
                }
                assert!(Instant::now() < give_up, "nothing was staged in {}", folder.display());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let (failed, ()) = futures_util::future::join(redshift.commit(&plan.commits[0]), deed).await;
        disarm(rules.schema().as_str());
        assert_eq!(redshift.rows("identifies").await.expect("rows").len(), 0);
        assert_eq!(redshift.rows("_commits").await.expect("rows").len(), 0);
        assert_eq!(redshift.staged().await.expect("names"), [""; 0]);
        assert!(stages(&folder).iter().all(|stage| fs::read_dir(stage).is_ok_and(|mut files| files.next().is_none())));
        let again: Result<_> = redshift.commit(&plan.commits[0]).await;
        assert!(!again.expect("a second try").replayed);
        failed.expect_err("what was tampered with")
    })
}

fn stages(folder: &PathBuf) -> Vec<PathBuf> {
    fs::read_dir(folder).map(|stages| stages.flatten().map(|stage| stage.path()).collect()).unwrap_or_default()
}

fn replaced(file: PathBuf, lines: &str) {
    let mut packed = GzEncoder::new(fs::File::create(file).expect("a writable file"), Compression::fast());
    packed.write_all(lines.as_bytes()).and_then(|()| packed.finish()).expect("a writable file");
}

#[test]
fn what_copy_refuses_is_told_without_the_value() {
    let error = tampered(|file| replaced(file, "{\"k\":\"m1\",\"c0\":\"hush, no time\"}\n"));
    let told = format!("{error:?}");
    for part in ["COPY refused a staged file", "0.json.gz", "line: 1", "column: c0", "reason: ", "table: identifies"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert!(!told.contains("hush"), "{told}");
}

#[test]
fn rows_that_are_missing_or_too_many_roll_everything_back() {
    for lines in ["", "{\"k\":\"m1\"}\n{\"k\":\"m2\"}\n", "{\"k\":\"m1\"}\n{\"k\":\"m1\"}\n"] {
        let error = tampered(|file| replaced(file, lines));
        assert_eq!(error.kind(), ErrorKind::CountMismatch, "{lines}: {error:?}");
    }
}

#[test]
fn a_file_that_is_gone_is_no_empty_table() {
    let error = tampered(|file| fs::remove_file(file).expect("a file"));
    assert!(error.is_temporary() && error.kind() == ErrorKind::Unavailable, "{error:?}");
}
