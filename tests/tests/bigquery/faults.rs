//! Lost answers, broken uploads, answers that are no JSON, and two at once: every event is there once, whatever happens.

use super::proxy::{Fault, How, Proxy, answer};
use super::{address, open, refused, runtime};
use std::time::{Duration, Instant};
use tablecast_bigquery::{BigQuery, Options};
use tablecast_core::rules::OnTypeConflict;
use tablecast_core::testing::Probe;
use tablecast_core::{Commit, Draft, Error, ErrorKind, Ident, Receipt, Rules, Warehouse};
use tablecast_testkit::load;

/// 503 with a page for people.
const UNAVAILABLE: How =
    How::Answer { status: "503 Service Unavailable", kind: "text/html", body: "<html>backend error</html>" };
/// 429 with an error that has no `errors`.
const TOO_MANY: How = How::Answer {
    status: "429 Too Many Requests",
    kind: "application/json",
    body: r#"{"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}"#,
};

fn rules(name: &str) -> Rules {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    Rules { space: format!("{name}{nanos:x}"), ..Rules::default() }
}

fn behind() -> String {
    let options: Options = address().options().expect("options");
    options.endpoint.expect("an endpoint")
}

async fn through(proxy: &Proxy, schema: &Ident) -> BigQuery {
    let options = Options { endpoint: Some(proxy.endpoint()), chunk_kib: 256, ..Options::default() };
    open(schema, options).await.expect("options as they should be")
}

async fn straight(schema: &Ident) -> BigQuery {
    open(schema, address().options().expect("options")).await.expect("options as they should be")
}

fn draft(rules: &Rules, events: std::ops::Range<usize>, text: &str) -> Draft {
    let mut draft = Draft::new(rules, &tablecast_bigquery::DIALECT);
    for nth in events {
        draft.push_line(
            format!(
                r#"{{"type":"identify","messageId":"m{nth}","userId":"u{}","receivedAt":"2026-01-01T00:00:00Z","traits":{{"n":{nth},"text":"{text}{nth}"}}}}"#,
                nth % 7
            )
            .as_bytes(),
        );
    }
    draft
}

/// Everything is there once, and the ledger says so.
async fn expect_once(schema: &Ident, events: usize) {
    let warehouse = straight(schema).await;
    let rows = warehouse.rows("identifies").await.expect("rows");
    assert_eq!(rows.len(), events);
    let ids: std::collections::BTreeSet<_> = rows.iter().map(|row| row["id"].clone()).collect();
    assert_eq!(ids.len(), events);
    assert_eq!(warehouse.rows("users").await.expect("rows").len(), events.min(7));
    let ledger = warehouse.rows("_commits").await.expect("rows");
    let loaded =
        ledger.iter().filter(|row| row["table_name"] == "identifies").map(|row| row["loaded"].parse::<usize>());
    assert_eq!(loaded.map(|count| count.expect("a number")).sum::<usize>(), events);
}

/// The commits of a draft, once all changes are made.
async fn planned(warehouse: &BigQuery, draft: &Draft) -> Vec<Commit> {
    let plan = draft.plan(&warehouse.describe(&draft.tables()).await.expect("a catalog"));
    warehouse.apply(&plan.changes).await.expect("changes");
    draft.plan(&warehouse.describe(&draft.tables()).await.expect("a catalog")).commits
}

/// Each kind of call goes wrong once in each way, within one load; so does the very script of the commit.
#[test]
fn calls_that_go_wrong_are_made_again() {
    const PARTS: [&str; 8] = [
        "POST /bigquery/v2/projects/test-project/datasets HTTP",
        "GET /bigquery/v2/projects/test-project/datasets/",
        "/tables HTTP",
        "/data?",
        "POST /bigquery/v2/projects/test-project/jobs HTTP",
        "GET /bigquery/v2/projects/test-project/jobs/",
        "POST /upload/",
        "BEGIN TRANSACTION",
    ];
    runtime().block_on(async {
        for how in [How::LoseAnswer, UNAVAILABLE, TOO_MANY, How::Cut] {
            let rules = rules("faults");
            let faults: Vec<Fault> = PARTS.iter().map(|part| Fault { part, how, times: 1 }).collect();
            let proxy = Proxy::new(&behind(), &faults).await;
            let warehouse = through(&proxy, &rules.schema()).await;
            let receipts =
                load(&warehouse, &draft(&rules, 0..20, "x")).await.unwrap_or_else(|error| panic!("{how:?}: {error:?}"));
            assert!(receipts.iter().all(|receipt| !receipt.replayed), "{how:?}: it is the same attempt");
            let unused = proxy.unused();
            assert!(unused.is_empty(), "{how:?}: {unused:?} of {:#?}", proxy.calls());
            expect_once(&rules.schema(), 20).await;
        }
    });
}

/// Calls whose texts no compressor makes small.
fn bulky(rules: &Rules, events: usize) -> Draft {
    let mut random = 1_u64;
    let text: String = (0..40_000)
        .map(|_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'a' + u8::try_from((random >> 33) % 26).unwrap_or(0))
        })
        .collect();
    let mut draft = Draft::new(rules, &tablecast_bigquery::DIALECT);
    for nth in 0..events {
        let (left, right) = text.split_at(nth * 900);
        let line = format!(
            r#"{{"type":"identify","messageId":"m{nth}","userId":"u{}","receivedAt":"2026-01-01T00:00:00Z","traits":{{"text":"{right}{left}"}}}}"#,
            nth % 7
        );
        draft.push_line(line.as_bytes());
    }
    draft
}

/// An upload that is larger than a chunk breaks off in the middle, loses answers, and goes on where it was.
#[test]
fn an_upload_goes_on_where_it_broke_off() {
    runtime().block_on(async {
        for how in [How::Cut, How::LoseAnswer, UNAVAILABLE] {
            let rules = rules("upload");
            let proxy = Proxy::new(&behind(), &[Fault { part: "PUT /upload/", how, times: 3 }]).await;
            let warehouse = through(&proxy, &rules.schema()).await;
            load(&warehouse, &bulky(&rules, 40)).await.unwrap_or_else(|error| panic!("{how:?}: {error:?}"));
            assert!(proxy.unused().is_empty(), "{how:?}: {:#?}", proxy.calls());
            assert!(proxy.calls().iter().filter(|call| call.starts_with("PUT")).count() > 5, "{:#?}", proxy.calls());
            expect_once(&rules.schema(), 40).await;
        }
    });
}

/// An upload whose session is gone begins anew, unless it had come to its end.
#[test]
fn an_upload_whose_session_is_gone_begins_anew() {
    const SECOND_CHUNK: &str = "content-range: bytes 262144-";
    const QUESTION: &str = "content-range: bytes */";
    let gone = |part, status| Fault { part, how: answer(status, "gone"), times: 1 };
    let lost = Fault { part: SECOND_CHUNK, how: How::LoseAnswer, times: 1 };
    runtime().block_on(async {
        for (faults, sessions) in [
            (vec![gone(SECOND_CHUNK, 404)], 2),
            (vec![gone(SECOND_CHUNK, 410)], 2),
            (vec![lost, gone(QUESTION, 410)], 1),
        ] {
            let rules = rules("gone");
            let proxy = Proxy::new(&behind(), &faults).await;
            let warehouse = through(&proxy, &rules.schema()).await;
            load(&warehouse, &bulky(&rules, 15)).await.unwrap_or_else(|error| panic!("{faults:?}: {error:?}"));
            let calls = proxy.calls();
            assert!(proxy.unused().is_empty(), "{faults:?}: {calls:#?}");
            let begun = calls.iter().filter(|call| call.starts_with("POST") && call.contains("resumable")).count();
            assert_eq!(begun, sessions, "{faults:?}: {calls:#?}");
            expect_once(&rules.schema(), 15).await;
        }
        // One that is gone each time is given up, as what may pass.
        let rules = rules("gone");
        let faults = [Fault { part: "PUT /upload/", how: answer(404, "gone"), times: usize::MAX }];
        let proxy = Proxy::new(&behind(), &faults).await;
        let error = load(&through(&proxy, &rules.schema()).await, &bulky(&rules, 15)).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Unavailable && error.is_temporary(), "{error:?}");
    });
}

/// Whoever is cut off after any of the calls that change something, while it is under way, and whoever comes after: nothing
/// is lost and nothing is there twice.
#[test]
fn a_crash_after_any_change_is_recovered_from() {
    runtime().block_on(async {
        let crash = async |calls: usize| {
            let rules = rules("crash");
            let schema = rules.schema();
            let draft = draft(&rules, 0..20, "x");
            let proxy = Proxy::new(&behind(), &[]).await;
            proxy.die_after(calls, true);
            let doomed = through(&proxy, &schema).await;
            // Its last calls are tried again in vain; it is killed before it gives up.
            let work = async {
                let waits = tokio::time::sleep(Duration::from_secs(60));
                tokio::select! {
                    done = load(&doomed, &draft) => done.is_ok(),
                    () = proxy.died() => false,
                    () = waits => false,
                }
            };
            let survived = work.await;
            load(&straight(&schema).await, &draft)
                .await
                .unwrap_or_else(|error| panic!("after {calls} calls: {error:?}"));
            expect_once(&schema, 20).await;
            survived
        };
        let mut calls = 1;
        while !crash(calls).await {
            calls += 1;
            assert!(calls < 100, "a load takes fewer calls than these");
        }
        assert!(calls > 10, "a load takes more calls than these: {calls}");
    });
}

/// What another account has done may not be looked at.
fn hidden(part: &'static str) -> Fault {
    let how = refused(
        403,
        "accessDenied",
        "Access Denied: Job j: User does not have bigquery.jobs.get permission for job j.",
    );
    Fault { part, how, times: 1 }
}

/// Another account's job has the commit's id, and this one may not look at it: the ledger tells, and the guard is enough.
#[test]
fn a_job_that_may_not_be_seen_is_no_obstacle() {
    runtime().block_on(async {
        let rules = rules("hidden");
        let schema = rules.schema();
        let all = draft(&rules, 0..20, "x");
        let commits = planned(&straight(&schema).await, &all).await;
        // It is not done yet, then it is.
        for replayed in [false, true] {
            let proxy = Proxy::new(&behind(), &[hidden("_a0?")]).await;
            let receipt = through(&proxy, &schema).await.commit(&commits[0]).await.expect("a receipt");
            assert!(proxy.unused().is_empty(), "{:#?}", proxy.calls());
            assert_eq!(receipt.replayed, replayed);
            expect_once(&schema, 20).await;
        }
    });
}

/// The rows that another account's script gave may not be read: the ledger tells the same.
#[test]
fn a_result_that_may_not_be_read_is_no_obstacle() {
    runtime().block_on(async {
        let rules = rules("result");
        let schema = rules.schema();
        let commits = planned(&straight(&schema).await, &draft(&rules, 0..20, "x")).await;
        let proxy = Proxy::new(&behind(), &[hidden("/queries/")]).await;
        let receipt = through(&proxy, &schema).await.commit(&commits[0]).await.expect("a receipt");
        assert!(proxy.unused().is_empty() && !receipt.replayed, "{:#?}", proxy.calls());
        expect_once(&schema, 20).await;
    });
}

/// Several change the same type at the same moment, one of them held up at each of its calls: no value is lost.
#[test]
fn changes_of_a_type_at_the_same_time_keep_all_values() {
    runtime().block_on(async {
        let words = Rules { on_type_conflict: OnTypeConflict::Text, ..rules("finishers") };
        for held in ["POST /bigquery/v2/projects/test-project/jobs HTTP", "RENAME COLUMN", "UPDATE", "/data?"] {
            let rules = Rules { space: format!("{}{}", words.space, held.len()), ..words.clone() };
            let schema = rules.schema();
            load(&straight(&schema).await, &draft(&rules, 0..20, "x")).await.expect("a first load");
            let mut draft = Draft::new(&rules, &tablecast_bigquery::DIALECT);
            draft.push_line(br#"{"type":"identify","messageId":"w","userId":"u0","receivedAt":"2026-01-02T00:00:00Z","traits":{"n":"word"}}"#);
            let proxy = Proxy::new(&behind(), &[Fault { part: held, how: How::Hold, times: 3 }]).await;
            let writers = [straight(&schema).await, through(&proxy, &schema).await, straight(&schema).await];
            let all = writers.iter().map(|warehouse| async {
                let mut tries = 0;
                loop {
                    match load(warehouse, &draft).await {
                        Err(error) if tries < 20 && (error.is_temporary() || error.kind() == ErrorKind::SchemaMismatch) => tries += 1,
                        done => return done,
                    }
                }
            });
            for done in futures_util::future::join_all(all).await {
                done.unwrap_or_else(|error| panic!("{held}: {error:?}"));
            }
            let rows = straight(&schema).await.rows("identifies").await.expect("rows");
            let mut values: Vec<&str> = rows.iter().map(|row| row["n"].as_str()).collect();
            values.sort_unstable();
            let mut expected: Vec<String> = (0..20).map(|nth| nth.to_string()).chain(["word".to_owned()]).collect();
            expected.sort_unstable();
            assert_eq!(values, expected, "{held}");
            assert!(!rows.iter().any(|row| row.contains_key("_widened") || row.contains_key("_replaced")), "{held}");
        }
    });
}

/// Two attempts at one commit with staging tables of their own, at the same moment: one of them loads.
#[test]
fn attempts_at_the_same_time_load_once() {
    runtime().block_on(async {
        for _ in 0..3 {
            let rules = rules("race");
            let schema = rules.schema();
            let first = straight(&schema).await;
            let commits = planned(&first, &draft(&rules, 0..20, "x")).await;
            let others = [straight(&schema).await, straight(&schema).await, straight(&schema).await];
            let all = others.iter().map(|warehouse| warehouse.commit(&commits[0]));
            let receipts: Vec<Receipt> =
                futures_util::future::join_all(all).await.into_iter().collect::<Result<_, Error>>().expect("receipts");
            assert_eq!(receipts.iter().filter(|receipt| !receipt.replayed).count(), 1, "{receipts:?}");
            assert!(receipts.iter().all(|receipt| receipt.tables == receipts[0].tables));
            expect_once(&schema, 20).await;
        }
    });
}

/// The same commit as jobs of different names, which nothing but the guard keeps apart: an insert into the ledger would not.
#[test]
fn jobs_of_different_names_load_once() {
    runtime().block_on(async {
        let rules = rules("skew");
        let schema = rules.schema();
        let commits = planned(&straight(&schema).await, &draft(&rules, 0..20, "x")).await;
        let mut proxies = Vec::new();
        for _ in 0..3 {
            proxies.push(Proxy::new(&behind(), &[hidden("_a0?")]).await);
        }
        let all = proxies.iter().map(|proxy| async { through(proxy, &schema).await.commit(&commits[0]).await });
        let receipts: Vec<Receipt> =
            futures_util::future::join_all(all).await.into_iter().collect::<Result<_, Error>>().expect("receipts");
        assert_eq!(receipts.iter().filter(|receipt| !receipt.replayed).count(), 1, "{receipts:?}");
        let scripts =
            proxies.iter().flat_map(Proxy::calls).filter(|call| call.contains("_a0?") && call.contains("/jobs/"));
        let names: std::collections::BTreeSet<String> =
            scripts.filter_map(|call| Some(call.split_once("/jobs/")?.1.split_once('?')?.0.to_owned())).collect();
        assert_eq!(names.len(), 4, "the common name, then one for each: {names:?}");
        // Each changed the guard's row; a script variable may hide a column, and then nobody does.
        let lock = straight(&schema).await.rows("_lock").await.expect("rows");
        assert!(lock.len() == 1 && lock[0].contains_key("taken_by"), "{lock:?}");
        expect_once(&schema, 20).await;
    });
}

/// A job that was taken and then failed, as one that meets a quota does: the next has the next number, and a load its own
/// name still.
#[test]
fn a_job_that_fails_is_followed_by_the_next() {
    runtime().block_on(async {
        for (part, next) in [("BEGIN TRANSACTION", "_a1?"), ("POST /upload/", "_r1?"), ("CREATE TABLE", "")] {
            for reason in ["rateLimitExceeded", "backendError"] {
                let rules = rules("failed");
                let schema = rules.schema();
                let proxy = Proxy::new(&behind(), &[Fault { part, how: How::FailJob(reason), times: 1 }]).await;
                let warehouse = through(&proxy, &schema).await;
                let receipts = load(&warehouse, &draft(&rules, 0..20, "x"))
                    .await
                    .unwrap_or_else(|error| panic!("{part} {reason}: {error:?}"));
                let calls = proxy.calls();
                assert!(proxy.unused().is_empty() && !receipts[0].replayed, "{part} {reason}: {calls:#?}");
                let named = format!("/jobs/tablecast_{schema}_{}_", receipts[0].id);
                let follows = |call: &&String| next.is_empty() || call.contains(&named) && call.contains(next);
                assert!(calls.iter().any(|call| follows(&call)), "{part} {reason}: {calls:#?}");
                expect_once(&schema, 20).await;
            }
        }
        // What does not pass is not tried again.
        let rules = rules("failed");
        let faults = [Fault { part: "BEGIN TRANSACTION", how: How::FailJob("quotaExceeded"), times: 1 }];
        let proxy = Proxy::new(&behind(), &faults).await;
        let error = load(&through(&proxy, &rules.schema()).await, &draft(&rules, 0..20, "x")).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Exhausted && error.remedy().contains("Quotas"), "{error:?}");
    });
}

/// Many writers with different commits: the guard makes them wait for each other, and none is lost.
#[test]
fn writers_come_one_after_the_other() {
    runtime().block_on(async {
        let rules = rules("writers");
        let schema = rules.schema();
        let first = straight(&schema).await;
        load(&first, &draft(&rules, 0..1, "x")).await.expect("a first load");
        let drafts: Vec<Draft> = (0..4).map(|nth| draft(&rules, nth * 5..nth * 5 + 10, "x")).collect();
        let all = drafts.iter().map(|draft| {
            let schema = schema.clone();
            async move {
                let warehouse = straight(&schema).await;
                let mut tries = 0;
                loop {
                    match load(&warehouse, draft).await {
                        Err(error) if error.is_temporary() && tries < 20 => tries += 1,
                        done => return done,
                    }
                }
            }
        });
        for done in futures_util::future::join_all(all).await {
            done.expect("loaded");
        }
        expect_once(&schema, 25).await;
    });
}

/// A commit that is done already is told by its job and the ledger: nothing is staged again.
#[test]
fn a_replay_stages_nothing() {
    runtime().block_on(async {
        let rules = rules("replay");
        let schema = rules.schema();
        let commits = planned(&straight(&schema).await, &draft(&rules, 0..20, "x")).await;
        let first = straight(&schema).await.commit(&commits[0]).await.expect("a receipt");
        let proxy = Proxy::new(&behind(), &[]).await;
        let again = through(&proxy, &schema).await.commit(&commits[0]).await.expect("a receipt");
        assert_eq!(again, Receipt { replayed: true, ..first });
        assert!(!proxy.calls().iter().any(|call| call.contains("/upload/")), "{:#?}", proxy.calls());
        let left = straight(&schema).await.tables().await.expect("tables");
        assert!(left.iter().all(|table| !table.starts_with("_stage_")));
    });
}

/// A dataset that was dropped: the same file loads again, though its job is known as done.
#[test]
fn a_dropped_dataset_is_loaded_anew() {
    runtime().block_on(async {
        let rules = rules("dropped");
        let schema = rules.schema();
        let draft = draft(&rules, 0..20, "x");
        load(&straight(&schema).await, &draft).await.expect("a first load");
        drop_dataset(&schema).await;
        let receipts = load(&straight(&schema).await, &draft).await.expect("a second load");
        assert!(receipts.iter().all(|receipt| !receipt.replayed));
        expect_once(&schema, 20).await;
    });
}

async fn drop_dataset(schema: &Ident) {
    let call = format!("DELETE /bigquery/v2/projects/test-project/datasets/{schema}?deleteContents=true");
    super::proxy::call(&behind(), &call, "").await;
    assert!(straight(schema).await.tables().await.expect("tables").is_empty());
}

/// What does not pass is told as what it is, soon enough.
#[test]
fn what_does_not_pass_is_told() {
    runtime().block_on(async {
        let rules = rules("told");
        let schema = rules.schema();
        for (how, kind, temporary) in [
            (UNAVAILABLE, ErrorKind::Unavailable, true),
            (refused(403, "accessDenied", "m"), ErrorKind::Permission, false),
        ] {
            let faults = [Fault { part: " /", how, times: usize::MAX }];
            let proxy = Proxy::new(&behind(), &faults).await;
            let started = Instant::now();
            let error = through(&proxy, &schema).await.describe(&["users".into()]).await.unwrap_err();
            assert_eq!((error.kind(), error.is_temporary()), (kind, temporary), "{error:?}");
            assert!(started.elapsed() < Duration::from_secs(30));
        }
        // What an answer holds is not told, even where it cannot be read.
        let faults = [Fault { part: "/queries/", how: answer(200, r#"{"rows": "hush"}"#), times: usize::MAX }];
        let proxy = Proxy::new(&behind(), &faults).await;
        let error = load(&through(&proxy, &schema).await, &draft(&rules, 0..1, "x")).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Unavailable && !format!("{error:?}").contains("hush"), "{error:?}");
        let nobody = Options { endpoint: Some("http://127.0.0.1:9".into()), ..Options::default() };
        let error = open(&schema, nobody).await.expect("options").describe(&[]).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Unavailable && error.remedy().contains("endpoint"), "{error:?}");
    });
}
