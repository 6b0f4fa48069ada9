//! What can go wrong on the way, on request of the emulator's control port: nothing is lost, nothing is there twice.

use crate::harness::{DATA, Emulator, SERIALIZABLE, WIRE, arm, disarm, fresh_space, met, run, variable};
use futures_util::future::{join, join_all, join3};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tablecast_core::testing::Probe;
use tablecast_core::{Commit, Draft, Error, ErrorKind, Receipt, Result, Rules, Uri, Warehouse};
use tablecast_redshift::{DIALECT, Redshift};
use tablecast_testkit::generate::Call;
use tablecast_testkit::load;

/// SQLSTATE, message and detail of what a transaction hears that lost.
const LOST: [(&str, &str, Option<&str>); 3] = [
    (
        "XX000",
        "1023",
        Some("Serializable isolation violation on table - 119371, transactions forming the cycle are: 1, 2"),
    ),
    ("40P01", "deadlock detected", None),
    ("XX000", "could not complete because of conflict with concurrent transaction", None),
];

/// A schema in which tables are and no rows, and a commit for it.
struct Scene {
    redshift: Arc<Redshift>,
    rules: Rules,
    commit: Commit,
    marker: String,
}

fn lines(count: usize) -> Vec<String> {
    let line = |n: usize| {
        let second = i64::try_from(n).expect("a small number");
        Call::identify(&format!("m{n}"), "u1").at(second).traits(&format!(r#"{{"n": {n}, "plan": "p{n}"}}"#)).line()
    };
    (0..count).map(line).collect()
}

fn draft(rules: &Rules, lines: &[String]) -> Draft {
    let mut draft = Draft::new(rules, &DIALECT);
    lines.iter().for_each(|line| draft.push_line(line.as_bytes()));
    draft
}

async fn scene(emulator: &Emulator) -> Scene {
    let rules = Rules { space: fresh_space(), ..Rules::default() };
    let redshift = emulator.redshift(&rules.schema()).await.expect("a good URI");
    let draft = draft(&rules, &lines(3));
    let plan = draft.plan(&redshift.describe(&draft.tables()).await.expect("a catalog"));
    redshift.apply(&plan.changes).await.expect("tables");
    let mut plan = draft.plan(&redshift.describe(&draft.tables()).await.expect("a catalog"));
    assert!(plan.changes.is_empty() && plan.commits.len() == 1, "{:?}", plan.changes);
    let marker = rules.schema().to_string();
    Scene { redshift, rules, commit: plan.commits.remove(0), marker }
}

impl Scene {
    fn arm(&self, mut fault: Value) {
        fault["marker"] = json!(self.marker);
        arm(&fault);
    }

    async fn commit(&self) -> Result<Receipt> {
        self.redshift.commit(&self.commit).await
    }

    async fn rows(&self, table: &str) -> usize {
        self.redshift.rows(table).await.expect("rows").len()
    }

    /// Every event is there once, the ledger says so once, and nothing is left of the stage.
    async fn expect_once(&self) {
        self.expect_loaded().await;
        self.expect_no_stage().await;
    }

    async fn expect_loaded(&self) {
        assert_eq!(self.rows("identifies").await, 3);
        assert_eq!(self.rows("users").await, 1);
        assert_eq!(self.rows("_commits").await, self.commit.loads.len());
    }

    async fn expect_nothing(&self) {
        for table in ["identifies", "users", "_commits"] {
            assert_eq!(self.rows(table).await, 0, "{table}");
        }
        self.expect_no_stage().await;
    }

    async fn expect_no_stage(&self) {
        assert_eq!(self.staged_tables().await, [""; 0]);
        self.expect_no_files();
    }

    fn expect_no_files(&self) {
        let files = self.staged_files();
        assert!(files.is_empty(), "{files:?}");
    }

    async fn staged_tables(&self) -> Vec<String> {
        self.redshift.staged().await.expect("names")
    }

    /// What is in the bucket of the stage under the schema's prefix.
    fn staged_files(&self) -> Vec<PathBuf> {
        let wire = variable(WIRE);
        let ca = wire.split(['?', '&']).find_map(|part| part.strip_prefix("ca=")).expect("a file of authorities");
        let bucket = PathBuf::from(ca).with_file_name("s3").join("tablecast-stage");
        assert!(bucket.is_dir(), "{}", bucket.display());
        files(&bucket.join("stage").join(&self.marker))
    }

    /// Holds the next batch before its COMMIT until the faults are taken back.
    fn hold(&self) {
        self.arm(json!({"at": "run", "does": "delay", "delay_ms": 300_000, "statement": "LOCK"}));
    }

    /// Waits until the batch is held, by when everything is staged.
    async fn held(&self) {
        self.until_met(0).await;
        assert!(!self.staged_tables().await.is_empty());
        assert!(!self.staged_files().is_empty());
    }

    /// Has the first DROP counted: whoever tidies up has looked into the ledger before.
    fn notice_tidying(&self) {
        self.arm(json!({"at": "ExecuteStatement", "does": "delay", "statement": "DROP"}));
    }

    async fn until_met(&self, nth: usize) {
        let give_up = Instant::now() + Duration::from_secs(120);
        while met(&self.marker)[nth] == 0 {
            assert!(Instant::now() < give_up, "fault {nth} was not met");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A client of the same schema that gives statements up after one look at them.
    async fn hasty(&self, emulator: &Emulator) -> Redshift {
        let uri = emulator.uri_with(&[("?region", "?statement_timeout_s=2&region")]);
        let uri = Uri::parse(&uri).expect("a URI");
        Redshift::open(&uri, &self.rules.schema()).await.expect("a good URI")
    }

    /// Fails once in a way that may pass, and then does it.
    async fn fails_then_loads(&self, kind: ErrorKind) -> Error {
        let error = self.commit().await.expect_err("the fault that was asked for");
        assert!(error.is_temporary() && error.kind() == kind, "{error:?}");
        assert!(!error.remedy().is_empty());
        error
    }
}

/// Folders stay when their files are deleted; S3 has none.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_connection_lost_before_commit_leaves_nothing() {
    for variable in [WIRE, SERIALIZABLE] {
        run(async {
            let scene = scene(&Emulator::at(variable)).await;
            scene.arm(json!({"at": "wire", "does": "drop_before", "statement": "COMMIT"}));
            scene.fails_then_loads(ErrorKind::Unavailable).await;
            assert_eq!(met(&scene.marker), [1]);
            scene.expect_nothing().await;
            assert!(!scene.commit().await.expect("a second try").replayed);
            scene.expect_once().await;
        });
    }
}

#[test]
fn a_connection_lost_behind_commit_is_found_done() {
    for variable in [WIRE, SERIALIZABLE] {
        run(async {
            let scene = scene(&Emulator::at(variable)).await;
            scene.arm(json!({"at": "wire", "does": "drop_after", "statement": "COMMIT"}));
            let receipt = scene.commit().await.expect("the ledger tells");
            assert!(!receipt.replayed);
            assert_eq!(met(&scene.marker), [1]);
            scene.expect_once().await;
            let again = scene.commit().await.expect("a replay");
            assert_eq!(again, Receipt { replayed: true, ..receipt });
            scene.expect_once().await;
        });
    }
}

#[test]
fn a_connection_lost_at_any_statement_changes_nothing() {
    for does in ["drop_before", "drop_after"] {
        run(async {
            let emulator = Emulator::at(WIRE);
            for nth in 1.. {
                let scene = scene(&emulator).await;
                scene.arm(json!({"at": "wire", "does": does, "nth": nth}));
                let first = scene.commit().await;
                let was_met = met(&scene.marker) == [1];
                disarm(&scene.marker);
                match first {
                    Ok(_) => {}
                    Err(error) => {
                        assert!(error.is_temporary(), "{does} {nth}: {error:?}");
                        scene.commit().await.expect("a second try");
                    }
                }
                scene.expect_loaded().await;
                // The table too, unless it was the session that drops it.
                scene.expect_no_files();
                if !was_met {
                    assert!(nth > 10, "a commit has more statements than {nth}");
                    break;
                }
            }
        });
    }
}

#[test]
fn who_loses_against_another_transaction_may_try_again() {
    for (code, message, detail) in LOST {
        for statement in ["LOCK", "INSERT", "COMMIT"] {
            run(async {
                let scene = scene(&Emulator::at(WIRE)).await;
                scene.arm(json!({"at": "wire", "does": "refuse", "statement": statement, "code": code, "message": message, "detail": detail}));
                scene.fails_then_loads(ErrorKind::Conflict).await;
                scene.expect_nothing().await;
                scene.commit().await.expect("a second try");
                scene.expect_once().await;
            });
        }
    }
}

/// S3 answers Redshift itself when the program writes a bucket that COPY then does not find in its region.
#[test]
fn a_copy_from_another_region_names_the_option() {
    run(async {
        let scene = scene(&Emulator::at(WIRE)).await;
        let message = "S3ServiceException:The bucket you are attempting to access must be addressed using the specified endpoint.,Status 301,Error PermanentRedirect";
        scene.arm(json!({"at": "wire", "does": "refuse", "statement": "COPY", "code": "XX000", "message": message}));
        let error = scene.commit().await.expect_err("the fault that was asked for");
        assert!(error.kind() == ErrorKind::Config && error.remedy().contains("stage_region"), "{error:?}");
        scene.expect_nothing().await;
    });
}

#[test]
fn many_who_load_the_same_do_it_once() {
    for variable in [WIRE, SERIALIZABLE, DATA] {
        run(async {
            let emulator = Emulator::at(variable);
            let scene = scene(&emulator).await;
            let mut others = Vec::new();
            for _ in 0..4 {
                others.push(emulator.redshift(&scene.rules.schema()).await.expect("a good URI"));
            }
            let loading = others.iter().map(|other| async {
                for _ in 0..20 {
                    match other.commit(&scene.commit).await {
                        Err(error) if error.is_temporary() => {}
                        done => return done,
                    }
                }
                panic!("it was in the way twenty times");
            });
            let receipts: Vec<Receipt> =
                join_all(loading).await.into_iter().map(|done| done.expect("a receipt")).collect();
            let first = receipts.iter().filter(|receipt| !receipt.replayed).count();
            assert_eq!(first, 1, "{variable}: one of them did it, the others found it done");
            scene.expect_once().await;
        });
    }
}

#[test]
fn a_busy_data_api_is_waited_for() {
    for does in ["throttle", "busy"] {
        for at in ["ExecuteStatement", "BatchExecuteStatement", "DescribeStatement", "GetStatementResult"] {
            run(async {
                let scene = scene(&Emulator::at(DATA)).await;
                scene.arm(json!({"at": at, "does": does, "times": 5}));
                assert!(!scene.commit().await.expect("patience").replayed, "{does} {at}");
                assert_eq!(met(&scene.marker), [5], "{does} {at}");
                scene.expect_once().await;
            });
        }
    }
}

#[test]
fn a_lost_answer_of_the_data_api_changes_nothing() {
    for at in ["ExecuteStatement", "BatchExecuteStatement", "DescribeStatement", "GetStatementResult"] {
        for times in [1, 3] {
            run(async {
                let scene = scene(&Emulator::at(DATA)).await;
                scene.arm(json!({"at": at, "does": "drop_after", "times": times}));
                let receipt = scene.commit().await.expect("the same token is the same statement");
                assert!(!receipt.replayed, "{at} {times}");
                assert_eq!(met(&scene.marker), [times], "{at}");
                scene.expect_once().await;
            });
        }
    }
}

#[test]
fn what_the_data_api_ends_is_tried_anew() {
    // Of the batch LOCK is the first.
    for statement in ["SELECT", "CREATE", "COPY", "LOCK"] {
        run(async {
            let scene = scene(&Emulator::at(DATA)).await;
            scene.arm(json!({"at": "run", "does": "abort", "statement": statement}));
            scene.fails_then_loads(ErrorKind::Unavailable).await;
            assert_eq!(met(&scene.marker), [1], "{statement}");
            scene.expect_nothing().await;
            assert!(!scene.commit().await.expect("a second try").replayed);
            scene.expect_once().await;
        });
    }
}

/// Two tables are staged side by side: the first fails while the second is still being made.
#[test]
fn a_staging_table_that_is_made_late_is_taken_away() {
    run(async {
        let scene = scene(&Emulator::at(DATA)).await;
        scene.arm(json!({"at": "run", "does": "abort", "statement": "CREATE"}));
        scene.arm(json!({"at": "run", "does": "delay", "statement": "CREATE", "nth": 2, "delay_ms": 3_000}));
        scene.fails_then_loads(ErrorKind::Unavailable).await;
        assert_eq!(met(&scene.marker), [1, 1]);
        tokio::time::sleep(Duration::from_secs(4)).await;
        scene.expect_nothing().await;
        assert!(!scene.commit().await.expect("a second try").replayed);
        scene.expect_once().await;
    });
}

#[test]
fn a_batch_that_loses_against_another_transaction_may_be_tried_again() {
    for (code, message, detail) in LOST {
        run(async {
            let scene = scene(&Emulator::at(DATA)).await;
            scene.arm(json!({"at": "run", "does": "refuse", "statement": "LOCK", "code": code, "message": message, "detail": detail}));
            scene.fails_then_loads(ErrorKind::Conflict).await;
            assert_eq!(met(&scene.marker), [1], "{message}");
            scene.expect_nothing().await;
            assert!(!scene.commit().await.expect("a second try").replayed);
            scene.expect_once().await;
        });
    }
}

#[test]
fn a_batch_that_takes_too_long_is_cancelled() {
    run(async {
        let emulator = Emulator::at(DATA);
        let scene = scene(&emulator).await;
        let hasty = scene.hasty(&emulator).await;
        scene.hold();
        scene.notice_tidying();
        let watched = async {
            scene.held().await;
            scene.until_met(1).await;
            disarm(&scene.marker);
        };
        let (given_up, ()) = join(hasty.commit(&scene.commit), watched).await;
        expect_given_up(given_up);
        scene.expect_nothing().await;
        assert!(!scene.commit().await.expect("a second try").replayed);
        scene.expect_once().await;
    });
}

/// The one that gave up cannot cancel it; another, which finds nothing in the ledger yet, waits for it.
#[test]
fn a_batch_that_commits_behind_who_gave_up_is_found_done() {
    run(async {
        let emulator = Emulator::at(DATA);
        let scene = scene(&emulator).await;
        let hasty = scene.hasty(&emulator).await;
        scene.hold();
        scene.notice_tidying();
        scene.arm(json!({"at": "CancelStatement", "does": "throttle", "times": 100, "statement": "LOCK"}));
        scene.arm(json!({"at": "BatchExecuteStatement", "does": "delay", "statement": "LOCK", "nth": 2}));
        let other = async {
            scene.held().await;
            scene.commit().await
        };
        let watched = async {
            for fault in [1, 2, 3] {
                scene.until_met(fault).await;
            }
            disarm(&scene.marker);
        };
        let (given_up, other, ()) = join3(hasty.commit(&scene.commit), other, watched).await;
        expect_given_up(given_up);
        assert!(other.expect("a receipt").replayed);
        scene.expect_once().await;
        assert!(scene.commit().await.expect("one more try").replayed);
        scene.expect_once().await;
    });
}

fn expect_given_up(outcome: Result<Receipt>) {
    let error = outcome.expect_err("no patience");
    assert!(error.is_temporary() && error.kind() == ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("did not end in time"), "{error:?}");
}

#[test]
fn a_change_of_type_that_breaks_off_is_made_whole() {
    for (variable, at) in [(WIRE, "wire"), (DATA, "run")] {
        run(async {
            let emulator = Emulator::at(variable);
            for nth in 1.. {
                let scene = scene(&emulator).await;
                scene.commit().await.expect("rows");
                let float = Call::identify("m9", "u1").at(9).traits(r#"{"n": 0.5}"#).line();
                let draft = draft(&scene.rules, &[float]);
                let plan = draft.plan(&scene.redshift.describe(&draft.tables()).await.expect("a catalog"));
                assert!(!plan.changes.is_empty());
                let does = if at == "wire" { "drop_after" } else { "abort" };
                scene.arm(json!({"at": at, "does": does, "nth": nth}));
                let first = scene.redshift.apply(&plan.changes).await;
                let was_met = met(&scene.marker) == [1];
                disarm(&scene.marker);
                if let Err(error) = first {
                    assert!(error.is_temporary(), "{nth}: {error:?}");
                }
                load(&*scene.redshift, &draft).await.expect("a second try");
                let mut numbers: Vec<Option<String>> = scene
                    .redshift
                    .rows("identifies")
                    .await
                    .expect("rows")
                    .iter()
                    .map(|row| row.get("n").cloned())
                    .collect();
                numbers.sort();
                let should = ["0.0", "0.5", "1.0", "2.0"].map(|number| Some(number.to_owned()));
                assert_eq!(numbers, should, "{variable} {nth}");
                if !was_met {
                    assert!(nth > 3, "a change has more statements than {nth}");
                    break;
                }
            }
        });
    }
}
