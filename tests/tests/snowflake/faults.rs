//! Lost answers, broken answers, sessions that end, futures that are dropped, and two at once: whatever happens, the tables
//! become those of the model.

use super::proxy::{Fault, How, Proxy};
use super::{Emulator, Own, endpoint, open, options, rules, runtime};
use std::time::Duration;
use tablecast_core::rules::OnTypeConflict;
use tablecast_core::testing::Probe;
use tablecast_core::{Commit, Draft, ErrorKind, Ident, Receipt, Result, Rules, Warehouse};
use tablecast_snowflake::{DIALECT, Options, Snowflake};
use tablecast_testkit::dump::{Dump, audit};
use tablecast_testkit::{Harness, Model, load};

/// 503 with a page for people.
const UNAVAILABLE: How =
    How::Answer { status: "503 Service Unavailable", kind: "text/html", body: "<html>upstream is away</html>" };
/// 503 as Snowflake's own front says it.
const UNAVAILABLE_JSON: How = How::Answer {
    status: "503 Service Unavailable",
    kind: "application/json",
    body: r#"{"data": null, "code": "000000", "message": "unavailable", "success": false}"#,
};
/// 429.
const TOO_MANY: How = How::Answer { status: "429 Too Many Requests", kind: "text/plain", body: "slow down" };
/// A token that has run out.
const EXPIRED: How = How::Answer {
    status: "200 OK",
    kind: "application/json",
    body: r#"{"data": {"errorMessage": "Session token expired", "errorCode": "390112", "sqlState": "08001", "queryId": null}, "code": "390112", "message": "Authentication token has expired.", "success": false, "headers": null}"#,
};
/// A session that is gone for good.
const GONE: How = How::Answer {
    status: "200 OK",
    kind: "application/json",
    body: r#"{"data": null, "code": "390111", "message": "Session no longer exists. New login required to access the service.", "success": false}"#,
};
/// A session whose master token has run out.
const MASTER_EXPIRED: How = How::Answer {
    status: "200 OK",
    kind: "application/json",
    body: r#"{"data": null, "code": "390114", "message": "Authentication token has expired.  The user must authenticate again.", "success": false}"#,
};

async fn through(proxy: &Proxy, schema: &Ident) -> Snowflake {
    open(schema, Options { port: Some(proxy.port()), ..options() }).await
}

async fn straight(schema: &Ident) -> Snowflake {
    open(schema, options()).await
}

/// Twenty calls of seven users, with every kind of value, in three tables and their versions.
fn draft(rules: &Rules, events: std::ops::Range<usize>) -> Draft {
    let mut draft = Draft::new(rules, &DIALECT);
    for nth in events {
        let user = nth % 7;
        draft.push_line(
            format!(
                r#"{{"type":"identify","messageId":"m{nth}","userId":"u{user}","receivedAt":"2026-01-01T00:00:{:02}Z","traits":{{"n":{nth},"f":{nth}.5,"text":"it's {nth}","vip":{},"since":"2026-01-01T00:00:00Z"}}}}"#,
                nth % 60,
                nth % 2 == 0
            )
            .as_bytes(),
        );
        draft.push_line(
            format!(
                r#"{{"type":"track","messageId":"t{nth}","event":"Bought","userId":"u{user}","receivedAt":"2026-01-01T00:00:00Z","properties":{{"price":{nth}}}}}"#
            )
            .as_bytes(),
        );
    }
    draft
}

/// The tables are those of the model that got the same drafts.
async fn expect_model(schema: &Ident, drafts: &[&Draft], what: &str) {
    let model = Model::like(&DIALECT).open(schema).await.expect("a model");
    for draft in drafts {
        load(&*model.warehouse, draft).await.expect("the model loads");
    }
    let opened = Emulator.open(schema).await.expect("an emulator");
    audit(&opened).await.unwrap_or_else(|failed| panic!("{what}: {failed}"));
    let (is, should) = (Dump::of(&opened).await, Dump::of(&model).await);
    is.expect("tables").must_equal(&should.expect("tables"), what).unwrap_or_else(|failed| panic!("{failed}"));
    assert!(straight(schema).await.staged().await.expect("tables").is_empty(), "{what}: something staged is left");
}

/// Loads as a caller does that tries again where it may help.
async fn persist(warehouse: &dyn Warehouse, draft: &Draft) -> Result<Vec<Receipt>> {
    let mut tries = 0;
    loop {
        match load(warehouse, draft).await {
            Err(error) if tries < 20 && (error.is_temporary() || error.kind() == ErrorKind::SchemaMismatch) => {
                tries += 1;
            }
            done => return done,
        }
    }
}

/// The commits of a draft, once all changes are made.
async fn planned(warehouse: &Snowflake, draft: &Draft) -> Vec<Commit> {
    let plan = draft.plan(&warehouse.describe(&draft.tables()).await.expect("a catalog"));
    warehouse.apply(&plan.changes).await.expect("changes");
    draft.plan(&warehouse.describe(&draft.tables()).await.expect("a catalog")).commits
}

/// Every single call goes wrong the first time, each statement of `apply` and of a commit among them, and is made again
/// under its own request id: nobody else notices.
#[test]
fn every_call_goes_wrong_once() {
    runtime().block_on(async {
        for how in [How::LoseAnswer, How::CutAnswer, How::Cut, UNAVAILABLE, UNAVAILABLE_JSON, TOO_MANY] {
            let rules = rules("every");
            let draft = draft(&rules, 0..20);
            let proxy = Proxy::new(&endpoint(), &[]).await;
            proxy.every(" /", how);
            let receipts = load(&through(&proxy, &rules.schema()).await, &draft)
                .await
                .unwrap_or_else(|error| panic!("{how:?}: {error:?}"));
            assert!(receipts.iter().all(|receipt| !receipt.replayed), "{how:?}: it is the same attempt");
            expect_model(&rules.schema(), &[&draft], &format!("{how:?}")).await;
            let calls = proxy.calls();
            let asked: Vec<&str> = calls.iter().filter_map(|call| request_id(call)).collect();
            let ids: std::collections::BTreeSet<&str> = asked.iter().copied().collect();
            assert!(ids.len() > 40 && asked.len() == 2 * ids.len(), "{} statements, {} ids", asked.len(), ids.len());
        }
    });
}

fn request_id(call: &str) -> Option<&str> {
    call.contains("query-request")
        .then(|| call.split(['?', '&', ' ']).find_map(|part| part.strip_prefix("requestId=")))?
}

/// The session's token runs out at every single statement, those inside of transactions too: it is renewed, the transaction
/// goes on, and the statement is sent again under the same id.
#[test]
fn the_token_runs_out_at_every_statement() {
    runtime().block_on(async {
        let rules = rules("expired");
        let draft = draft(&rules, 0..20);
        let proxy = Proxy::new(&endpoint(), &[]).await;
        proxy.every("query-request", EXPIRED);
        let receipts = load(&through(&proxy, &rules.schema()).await, &draft).await.expect("renewed and loaded");
        assert!(receipts.iter().all(|receipt| !receipt.replayed));
        expect_model(&rules.schema(), &[&draft], "renewed").await;
        let renewals = proxy.calls().iter().filter(|call| call.contains("token-request")).count();
        assert!(renewals > 40, "{renewals} renewals");
    });
}

/// The session is gone in the middle: what was not committed is too, the error says so, and a second try loads all.
#[test]
fn a_session_that_is_gone_is_a_temporary_error() {
    runtime().block_on(async {
        for how in [GONE, MASTER_EXPIRED] {
            for part in ["CREATE TABLE", "PUT 'file", "COPY INTO", "BEGIN", "UPDATE", "INSERT INTO", "COMMIT"] {
                let rules = rules("gone");
                let draft = draft(&rules, 0..20);
                let proxy = Proxy::new(&endpoint(), &[Fault { part, how, times: 1 }]).await;
                let warehouse = through(&proxy, &rules.schema()).await;
                let error = load(&warehouse, &draft).await.expect_err("a session that is gone");
                assert!(error.is_temporary() && !error.remedy().is_empty(), "{part}: {error:?}");
                load(&warehouse, &draft).await.unwrap_or_else(|error| panic!("{part}: {error:?}"));
                expect_model(&rules.schema(), &[&draft], part).await;
            }
        }
    });
}

/// As if Snowflake ran a statement twice that was sent twice.
#[test]
fn statements_that_run_twice_load_once() {
    runtime().block_on(async {
        for part in [
            "CREATE SCHEMA",
            "CREATE TABLE",
            "ALTER TABLE",
            "CREATE STAGE",
            "PUT 'file",
            "CREATE TRANSIENT",
            "COPY INTO",
            "BEGIN",
            "taken_by",
            "TAKEN_BY",
            "INSERT INTO",
            "UPDATE",
            "COMMIT",
            "DROP TABLE",
            "REMOVE",
        ] {
            let rules = rules("twice");
            let (first, second) = (draft(&rules, 0..10), draft(&rules, 5..20));
            let proxy = Proxy::new(&endpoint(), &[Fault { part, how: How::LoseAnswer, times: 1 }]).await;
            proxy.forget_ids();
            let warehouse = through(&proxy, &rules.schema()).await;
            persist(&warehouse, &first).await.unwrap_or_else(|error| panic!("{part}: {error:?}"));
            persist(&warehouse, &second).await.unwrap_or_else(|error| panic!("{part}: {error:?}"));
            expect_model(&rules.schema(), &[&first, &second], part).await;
        }
    });
}

/// A future that is dropped while any of its calls is under way: the next load ends what it left, and loads.
#[test]
fn a_future_that_is_dropped_leaves_nothing_behind() {
    runtime().block_on(async {
        let mut calls = 1;
        loop {
            let rules = rules("dropped");
            let draft = draft(&rules, 0..20);
            let proxy = Proxy::new(&endpoint(), &[]).await;
            let warehouse = through(&proxy, &rules.schema()).await;
            let survived = tokio::select! {
                done = load(&warehouse, &draft) => done.is_ok(),
                () = proxy.came(calls) => false,
            };
            persist(&warehouse, &draft).await.unwrap_or_else(|error| panic!("dropped at call {calls}: {error:?}"));
            let what = format!("dropped at call {calls}");
            let schema = rules.schema();
            // Staging tables of the dropped attempt are swept a day later.
            let left = straight(&schema).await.staged().await.expect("tables");
            for table in &left {
                let sql = format!(r#"DROP TABLE "{}"."{}""#, schema.as_str().to_uppercase(), table.to_uppercase());
                straight(&schema).await.run(&sql).await.expect("dropped");
            }
            expect_model(&schema, &[&draft], &what).await;
            if survived {
                assert!(calls > 40, "a load takes more calls than these: {calls}");
                break;
            }
            calls += 2;
        }
    });
}

/// Whoever is cut off for good after some calls, with or without the answer to the last: somebody else loads the same.
#[test]
fn whoever_is_killed_is_followed_by_another() {
    // Locks of the dead are taken from them after a while.
    let own = Own::start(&["--idle-after", "2"]);
    runtime().block_on(async {
        let mut calls = 3;
        loop {
            let rules = rules("killed");
            let draft = draft(&rules, 0..20);
            let schema = rules.schema();
            let proxy = Proxy::new(&endpoint(), &[]).await;
            proxy.die_after(calls, calls.is_multiple_of(2));
            let doomed = through(&proxy, &schema).await;
            let survived = tokio::select! {
                done = load(&doomed, &draft) => done.is_ok(),
                () = proxy.died() => false,
            };
            drop(doomed);
            let heir = straight(&schema).await;
            persist(&heir, &draft).await.unwrap_or_else(|error| panic!("killed after {calls} calls: {error:?}"));
            for table in heir.staged().await.expect("tables") {
                let sql = format!(r#"DROP TABLE "{}"."{}""#, schema.as_str().to_uppercase(), table.to_uppercase());
                heir.run(&sql).await.expect("dropped");
            }
            expect_model(&schema, &[&draft], &format!("killed after {calls} calls")).await;
            if survived {
                assert!(calls > 40, "a load takes more calls than these: {calls}");
                break;
            }
            calls += 5;
        }
    });
    drop(own);
}

/// Several writers with the same calls and others of their own, all at once, on an empty schema.
#[test]
fn writers_at_the_same_time_load_each_call_once() {
    runtime().block_on(async {
        let rules = rules("writers");
        let schema = rules.schema();
        let drafts: Vec<Draft> = (0..4).map(|nth| draft(&rules, 5 * nth..5 * nth + 15)).collect();
        let all = drafts.iter().map(|draft| async { persist(&straight(&schema).await, draft).await });
        for done in futures_util::future::join_all(all).await {
            done.expect("loaded");
        }
        expect_model(&schema, &drafts.iter().collect::<Vec<_>>(), "four writers").await;
    });
}

/// The same commit by two at the same moment, one of them held up at each of its statements: one loads, the other replays.
#[test]
fn one_commit_by_two_at_once_is_loaded_once() {
    runtime().block_on(async {
        for held in ["PUT 'file", "COPY INTO", "BEGIN", "UPDATE", "INSERT INTO", "COMMIT"] {
            let rules = rules("same");
            let schema = rules.schema();
            let draft = draft(&rules, 0..20);
            let commits = planned(&straight(&schema).await, &draft).await;
            let proxy = Proxy::new(&endpoint(), &[Fault { part: held, how: How::Hold, times: 1 }]).await;
            let (slow, fast) = (through(&proxy, &schema).await, straight(&schema).await);
            let (one, other) = tokio::join!(slow.commit(&commits[0]), fast.commit(&commits[0]));
            let replayed = [one.expect(held).replayed, other.expect(held).replayed];
            assert_eq!(replayed.iter().filter(|replayed| **replayed).count(), 1, "{held}: {replayed:?}");
            expect_model(&schema, &[&draft], held).await;
        }
    });
}

/// Several change the same type at the same moment, one of them held up on its way: no value is lost.
#[test]
fn changes_of_a_type_at_the_same_time_keep_all_values() {
    runtime().block_on(async {
        let line = |id: &str, n: &str| {
            format!(r#"{{"type":"identify","messageId":"{id}","userId":"u1","receivedAt":"2026-01-02T00:00:00Z","traits":{{"n":{n}}}}}"#)
        };
        for (policy, value) in [(OnTypeConflict::Discard, "1.5"), (OnTypeConflict::Text, "\"word\"")] {
            for held in ["ADD COLUMN", "SET \\\"_WIDENED", "RENAME COLUMN", "DROP COLUMN", "COMMIT"] {
                let rules = Rules { on_type_conflict: policy, ..rules("types") };
                let schema = rules.schema();
                let (mut first, mut second) = (Draft::new(&rules, &DIALECT), Draft::new(&rules, &DIALECT));
                for (nth, n) in ["1", "9007199254740993", "-7"].iter().enumerate() {
                    first.push_line(line(&format!("m{nth}"), n).as_bytes());
                }
                second.push_line(line("w", value).as_bytes());
                load(&straight(&schema).await, &first).await.expect("a first load");
                let proxy = Proxy::new(&endpoint(), &[Fault { part: held, how: How::Hold, times: 2 }]).await;
                let writers = [straight(&schema).await, through(&proxy, &schema).await, straight(&schema).await];
                let all = writers.iter().map(|warehouse| persist(warehouse, &second));
                for done in futures_util::future::join_all(all).await {
                    done.unwrap_or_else(|error| panic!("{held}: {error:?}"));
                }
                expect_model(&schema, &[&first, &second], held).await;
            }
        }
    });
}

/// A commit that is done is told by the ledger: nothing is staged again.
#[test]
fn a_replay_stages_nothing() {
    runtime().block_on(async {
        let rules = rules("replay");
        let schema = rules.schema();
        let draft = draft(&rules, 0..20);
        let commits = planned(&straight(&schema).await, &draft).await;
        let first = straight(&schema).await.commit(&commits[0]).await.expect("a receipt");
        let proxy = Proxy::new(&endpoint(), &[]).await;
        let again = through(&proxy, &schema).await.commit(&commits[0]).await.expect("a receipt");
        assert_eq!(again, Receipt { replayed: true, ..first });
        assert!(!proxy.calls().iter().any(|call| call.contains(" /stage/")), "{:#?}", proxy.calls());
        expect_model(&schema, &[&draft], "a replay").await;
    });
}

/// What does not pass is told as what it is, soon enough.
#[test]
fn what_does_not_pass_is_told() {
    runtime().block_on(async {
        let rules = rules("told");
        let schema = rules.schema();
        for how in [UNAVAILABLE, How::Cut, How::CutAnswer] {
            let proxy = Proxy::new(&endpoint(), &[Fault { part: "query-request", how, times: usize::MAX }]).await;
            let told = through(&proxy, &schema).await;
            let told = tokio::time::timeout(Duration::from_secs(60), told.describe(&["users".into()])).await;
            let error = told.expect("soon enough").expect_err("nothing passes");
            assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{how:?}: {error:?}");
        }
        let nobody = open(&schema, Options { port: Some(9), ..options() }).await;
        let error = nobody.tables().await.expect_err("nobody is there");
        assert!(error.kind() == ErrorKind::Unavailable && error.remedy().contains("host"), "{error:?}");
    });
}
