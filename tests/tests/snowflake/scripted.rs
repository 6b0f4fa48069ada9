//! What only a script can show: statements that take long, tokens that run out, answers that are none.

use super::stub::{Act, Script, Stub};
use super::{runtime, variable};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use tablecast_core::ErrorKind;

fn one() -> Act {
    Act::Data(json!({"rowset": [["1"]]}))
}

fn refuse(code: &str) -> Act {
    Act::Refuse(code.to_owned(), "08001", "the session".to_owned())
}

fn raw(status: &'static str, kind: &'static str, body: &str) -> Act {
    Act::Raw(status, kind, body.to_owned())
}

/// The only cell of the statement that the script is about.
async fn cell(stub: &Stub) -> tablecast_core::Result<String> {
    let rows = stub.open("").await.run("SELECT one").await?;
    Ok(rows.into_iter().flatten().flatten().next().unwrap_or_default())
}

/// Every request for it, with the same request id and another guid each time.
fn same_request(stub: &Stub, times: usize) {
    let asked = stub.statements("SELECT one");
    assert_eq!(asked.len(), times);
    let all = |name: &str| asked.iter().map(|asked| asked.query[name].clone()).collect::<BTreeSet<_>>();
    assert_eq!((all("requestId").len(), all("request_guid").len()), (1, times));
    for (nth, asked) in asked.iter().enumerate().skip(1) {
        assert_eq!(asked.query.get("retryCount"), Some(&nth.to_string()));
    }
}

#[test]
fn a_slow_statement_is_asked_for_until_it_has_ended() {
    runtime().block_on(async {
        let stub = Stub::new(Script::default().on("SELECT one", 1, Act::Slow(5, Box::new(one())))).await;
        assert_eq!(cell(&stub).await.expect("a cell"), "1");
        assert_eq!(stub.to("/result").len(), 6);
        same_request(&stub, 1);
        let failed = Act::Refuse("000630".into(), "57014", "Statement reached its statement timeout".into());
        let stub = Stub::new(Script::default().on("SELECT one", 1, Act::Slow(2, Box::new(failed)))).await;
        let error = cell(&stub).await.expect_err("a failure after a while");
        assert!(error.is_temporary() && error.remedy().contains("statement_timeout_s"), "{error:?}");
    });
}

#[test]
fn polls_may_fail_and_tokens_run_out_meanwhile() {
    runtime().block_on(async {
        for poll in [Act::Silence, Act::Half, raw("503 Service Unavailable", "text/html", "<html>"), refuse("390112")] {
            let script =
                Script::default().on("SELECT one", 1, Act::Slow(3, Box::new(one()))).on("poll", 2, poll.clone());
            let stub = Stub::new(script).await;
            assert_eq!(cell(&stub).await.unwrap_or_else(|error| panic!("{poll:?}: {error:?}")), "1");
            same_request(&stub, 1);
            assert_eq!(stub.to("/result").len(), 6, "{poll:?}");
        }
    });
}

#[test]
fn after_the_deadline_a_statement_is_cancelled() {
    runtime().block_on(async {
        let stub = Stub::new(Script::default().on("SELECT one", 1, Act::Slow(usize::MAX, Box::new(one())))).await;
        let error = stub.open("&query_deadline_s=1").await.run("SELECT one").await.expect_err("too long");
        assert!(
            error.kind() == ErrorKind::Unavailable
                && error.remedy().contains("query_deadline_s") | error.to_string().contains("query_deadline_s"),
            "{error:?}"
        );
        let cancelled = stub.to("abort-request");
        assert_eq!(cancelled.len(), 1);
        assert_eq!(
            cancelled[0].json()["requestId"],
            Value::from(stub.statements("SELECT one")[0].query["requestId"].as_str())
        );
    });
}

#[test]
fn a_dropped_future_is_cancelled_by_the_next_call() {
    runtime().block_on(async {
        let stub = Stub::new(Script::default().on("SELECT one", 1, Act::Slow(usize::MAX, Box::new(one())))).await;
        let warehouse = stub.open("").await;
        tokio::select! {
            done = warehouse.run("SELECT one") => panic!("it has no end: {done:?}"),
            () = stub.comes("/result") => {}
        }
        assert!(stub.to("abort-request").is_empty());
        warehouse.run("SELECT two").await.expect("another statement");
        let (abort, asked) = (stub.to("abort-request"), stub.statements("SELECT one"));
        assert_eq!(abort.len(), 1);
        assert_eq!(abort[0].json()["requestId"], Value::from(asked[0].query["requestId"].as_str()));
        // Its session is closed too, by its own token, and the next one's as well.
        let token = |asked: &super::stub::Asked| asked.headers["authorization"].clone();
        let closed: Vec<String> =
            stub.to("/session").iter().filter(|asked| asked.query.contains_key("delete")).map(token).collect();
        assert_eq!(closed, [token(&asked[0]), token(&stub.statements("SELECT two")[0])]);
    });
}

#[test]
fn answers_that_are_none_are_asked_for_again_under_the_same_id() {
    runtime().block_on(async {
        for broken in [
            Act::Silence,
            Act::Half,
            raw("429 Too Many Requests", "application/json", r#"{"code": null, "message": "slow down"}"#),
            raw("429 Too Many Requests", "text/html", "<html>slow down</html>"),
            raw("503 Service Unavailable", "application/json", r#"{"data": null, "success": false}"#),
            raw("503 Service Unavailable", "text/html", "<html>away</html>"),
            raw("502 Bad Gateway", "text/plain", ""),
            raw("200 OK", "text/html", "<html>a portal</html>"),
            raw("200 OK", "application/json", ""),
        ] {
            let stub =
                Stub::new(Script::default().on("SELECT one", 2, broken.clone()).on("SELECT one", 1, one())).await;
            assert_eq!(cell(&stub).await.unwrap_or_else(|error| panic!("{broken:?}: {error:?}")), "1");
            same_request(&stub, 3);
        }
    });
}

#[test]
fn a_token_that_has_run_out_is_renewed() {
    runtime().block_on(async {
        let stub = Stub::new(Script::default().on("SELECT one", 2, refuse("390112")).on("SELECT one", 1, one())).await;
        assert_eq!(cell(&stub).await.expect("a cell"), "1");
        let asked = stub.statements("SELECT one");
        let tokens: Vec<&str> = asked.iter().map(|asked| asked.headers["authorization"].as_str()).collect();
        assert_eq!(tokens, ["token-1", "token-2", "token-3"].map(|token| format!("Snowflake Token=\"{token}\"")));
        let renewals = stub.to("token-request");
        assert_eq!(renewals.len(), 2);
        assert_eq!(renewals[0].headers["authorization"], "Snowflake Token=\"master-1\"");
        assert_eq!(renewals[0].json(), json!({"oldSessionToken": "token-1", "requestType": "RENEW"}));
        assert_eq!(renewals[1].headers["authorization"], "Snowflake Token=\"master-2\"");
        assert_eq!(asked.iter().map(|asked| &asked.query["requestId"]).collect::<BTreeSet<_>>().len(), 1);
    });
}

#[test]
fn a_session_that_cannot_be_renewed_is_a_temporary_error() {
    runtime().block_on(async {
        for code in ["390104", "390111", "390113", "390114", "390115"] {
            for script in [
                Script::default().on("SELECT one", 9, refuse(code)),
                Script::default().on("SELECT one", 9, refuse("390112")).on("renewal", 9, refuse(code)),
            ] {
                let stub = Stub::new(script).await;
                let error = cell(&stub).await.expect_err("a session that is gone");
                assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{code}: {error:?}");
                assert_eq!(stub.statements("SELECT one").len(), 1, "{code}");
            }
        }
    });
}

#[test]
fn the_login_says_what_it_should() {
    let key = variable("TABLECAST_SNOWFLAKE_KEY");
    runtime().block_on(async {
        let stub =
            Stub::new(Script::default().on("login", 2, raw("503 Service Unavailable", "text/html", "<html>"))).await;
        let more = format!("&role=loader&query_tag=mine&lock_timeout_s=7&private_key=file:{key}");
        stub.open(&more).await.run("SELECT one").await.expect("signed in");
        let logins = stub.to("login-request");
        assert_eq!(logins.len(), 3);
        let login = &logins[2];
        assert_eq!(
            (login.query["databaseName"].as_str(), login.query["warehouse"].as_str(), login.query["roleName"].as_str()),
            ("DB", "wh", "loader")
        );
        let data = login.json()["data"].clone();
        assert_eq!((&data["ACCOUNT_NAME"], &data["LOGIN_NAME"]), (&json!("my_org-acct"), &json!("me")));
        assert_eq!(data["AUTHENTICATOR"], "SNOWFLAKE_JWT");
        assert_eq!(data["SESSION_PARAMETERS"]["QUERY_TAG"], "mine");
        assert_eq!(data["SESSION_PARAMETERS"]["LOCK_TIMEOUT"], 7);
        // The official libraries know the signature, and whose key it is.
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snowflake/claims.py");
        let output = Command::new(variable("TABLECAST_SNOWFLAKE_PYTHON"))
            .arg(script)
            .args([&key, data["TOKEN"].as_str().expect("a token")])
            .output()
            .expect("a Python with the libraries");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let claims = &told["claims"];
        assert_eq!(claims["sub"], "MY_ORG-ACCT.ME");
        assert_eq!(
            claims["iss"],
            Value::from(format!("MY_ORG-ACCT.ME.{}", told["fingerprint"].as_str().expect("a print")))
        );
        let time = |name: &str| claims[name].as_i64().expect("seconds");
        // Snowflake takes it for an hour, whatever it says.
        assert!(time("exp") - time("iat") >= 3_600, "{claims}");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
        assert!(time("exp") > i64::try_from(now).expect("a time"), "{claims}");
    });
}

#[test]
fn each_way_to_sign_in_is_told_as_it_is() {
    runtime().block_on(async {
        for (more, authenticator, name, value) in [
            ("&token=abc", json!("PROGRAMMATIC_ACCESS_TOKEN"), "TOKEN", "abc"),
            ("&oauth_token=def", json!("OAUTH"), "TOKEN", "def"),
            ("", Value::Null, "PASSWORD", "Tablecast-1"),
        ] {
            let stub = Stub::new(Script::default()).await;
            stub.open(more).await.run("SELECT one").await.expect("signed in");
            let data = stub.to("login-request")[0].json()["data"].clone();
            assert!(data["AUTHENTICATOR"] == authenticator || authenticator.is_null(), "{data}");
            assert_eq!(data[name], value);
        }
    });
}

/// A poll bears the token, so it goes nowhere else.
#[test]
fn an_answer_that_points_elsewhere_is_refused() {
    runtime().block_on(async {
        for url in
            ["https://elsewhere.invalid/queries/1/result", "//elsewhere.invalid/result", "http://127.0.0.1:1/result"]
        {
            let body = json!({"success": true, "code": "333334", "data": {"getResultUrl": url}}).to_string();
            let stub = Stub::new(Script::default().on("SELECT one", 9, raw("200 OK", "application/json", &body))).await;
            let error = cell(&stub).await.expect_err("another host");
            assert!(error.to_string().contains("another host"), "{error:?}");
        }
    });
}

/// Codes, states and the query's id are in the message; the values that Snowflake quotes are not.
#[test]
fn errors_name_the_query_and_no_values() {
    runtime().block_on(async {
        let quoted = Act::Refuse("100038".into(), "22018", "Numeric value 'secret-value' is not recognized".into());
        let stub = Stub::new(Script::default().on("SELECT one", 1, quoted)).await;
        let error = cell(&stub).await.expect_err("a refusal");
        let shown = format!("{error} {error:?}");
        for part in ["100038", "22018", "01b2-0001"] {
            assert!(shown.contains(part), "{shown} lacks {part}");
        }
        assert!(!shown.contains("secret-value"), "{shown}");
    });
}
