//! Configuration that is wrong: each error says what mends it, at a check and at a load.

use super::proxy::{Fault, How, Proxy, answer};
use super::{address, refused, runtime};
use std::process::Command;
use tablecast_bigquery::{BigQuery, CONNECTOR, Options};
use tablecast_core::connector::Secret;
use tablecast_core::{Draft, Error, ErrorKind, Finding, Rules, Uri};
use tablecast_testkit::load;

fn rules() -> Rules {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    Rules { space: format!("wrong{nanos:x}"), ..Rules::default() }
}

fn behind() -> String {
    let options: Options = address().options().expect("options");
    options.endpoint.expect("an endpoint")
}

async fn opened(rules: &Rules, options: Options) -> Result<BigQuery, Error> {
    BigQuery::open(address().body().trim_matches('/'), &rules.schema(), options).await
}

fn draft(rules: &Rules, traits: &str) -> Draft {
    let mut draft = Draft::new(rules, &tablecast_bigquery::DIALECT);
    let line = format!(
        r#"{{"type":"identify","messageId":"m{}","userId":"u","receivedAt":"2026-01-01T00:00:00Z","traits":{traits}}}"#,
        &traits[2..3]
    );
    draft.push_line(line.as_bytes());
    draft
}

async fn load_with(rules: &Rules, options: Options) -> Result<(), Error> {
    load(&opened(rules, options).await?, &draft(rules, r#"{"n": 1}"#)).await.map(drop)
}

fn at(endpoint: String) -> Options {
    Options { endpoint: Some(endpoint), ..Options::default() }
}

async fn check(rules: &Rules, endpoint: &str) -> Vec<Finding> {
    let uri = format!("bigquery:{}?endpoint={endpoint}", address().body());
    (CONNECTOR.check)(&Uri::parse(&uri).expect("a URI"), &rules.schema()).await
}

/// What goes wrong, as BigQuery says it; the finding that tells of it; what an error is, and what mends it.
struct Case {
    part: &'static str,
    how: How,
    /// None where a check cannot see it before there is a dataset.
    finding: Option<&'static str>,
    kind: ErrorKind,
    remedy: &'static str,
}

#[test]
fn what_is_wrong_is_told_with_what_mends_it() {
    const JOBS: &str = "POST /bigquery/v2/projects/test-project/jobs HTTP";
    const TABLES: &str = "/tables HTTP";
    let denied = |what: &str| {
        refused(
            403,
            "accessDenied",
            &format!("Access Denied: Project p: User does not have {what} permission in project p."),
        )
    };
    // This form has no list of reasons: the library loses its status.
    let billing = r#"{"error": {"code": 403, "message": "Billing must be enabled.", "status": "PERMISSION_DENIED",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "BILLING_DISABLED"}]}}"#;
    let free = "Billing has not been enabled for this project. DML queries are not allowed in the free tier.";
    let case = |part, how, finding, kind, remedy| Case { part, how, finding, kind, remedy };
    let cases = [
        // a wrong project
        case(
            " /",
            refused(404, "notFound", "Not found: Project p"),
            Some("connect"),
            ErrorKind::Config,
            "project's id",
        ),
        case(JOBS, denied("bigquery.jobs.create"), Some("jobs"), ErrorKind::Permission, "project's id"),
        // a revoked key
        case(" /", refused(401, "authError", "Invalid Credentials"), Some("connect"), ErrorKind::Auth, "revoked"),
        // a dataset in another location
        case(
            JOBS,
            refused(404, "notFound", "Not found: Dataset p:d was not found in location EU"),
            Some("jobs"),
            ErrorKind::Config,
            "set location",
        ),
        // a missing role
        case(JOBS, denied("bigquery.jobs.create"), Some("jobs"), ErrorKind::Permission, "roles/bigquery.jobUser"),
        case(
            " /bigquery/v2/projects/test-project/datasets/",
            denied("bigquery.datasets.get"),
            Some("connect"),
            ErrorKind::Permission,
            "roles/bigquery.dataEditor",
        ),
        case(
            "POST /bigquery/v2/projects/test-project/datasets HTTP",
            denied("bigquery.datasets.create"),
            None,
            ErrorKind::Permission,
            "make the dataset by hand",
        ),
        case(
            TABLES,
            denied("bigquery.tables.create"),
            Some("rights"),
            ErrorKind::Permission,
            "roles/bigquery.dataEditor",
        ),
        case(
            "BEGIN TRANSACTION",
            denied("bigquery.tables.updateData"),
            Some("rights"),
            ErrorKind::Permission,
            "roles/bigquery.dataEditor",
        ),
        // billing off
        case(JOBS, answer(403, billing), Some("jobs"), ErrorKind::Permission, "billing account"),
        case(
            "BEGIN TRANSACTION",
            refused(403, "billingNotEnabled", free),
            Some("rights"),
            ErrorKind::Permission,
            "billing account",
        ),
    ];
    runtime().block_on(async {
        let there = rules();
        load_with(&there, at(behind())).await.expect("a first load");
        for Case { part, how, finding, kind, remedy } in cases {
            let proxy = Proxy::new(&behind(), &[Fault { part, how, times: usize::MAX }]).await;
            let error = load_with(&rules(), at(proxy.endpoint())).await.unwrap_err();
            assert_eq!((error.kind(), error.is_temporary()), (kind, false), "{part} {how:?}: {error:?}");
            assert!(error.remedy().contains(remedy), "{part} {how:?}: {}", error.remedy());
            let findings = check(&there, &proxy.endpoint()).await;
            let bad = findings.iter().find(|finding| !finding.ok);
            assert_eq!(bad.map(|bad| bad.what.as_str()), finding, "{part} {how:?}: {findings:?}");
            let told = bad.is_none_or(|bad| bad.remedy.as_ref().is_some_and(|told| told.contains(remedy)));
            assert!(told, "{part} {how:?}: {findings:?}");
        }
        let elsewhere = Options { location: Some("EU".into()), ..at(behind()) };
        let error = load_with(&there, elsewhere).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Config && error.remedy().contains("location=US"), "{error:?}");
    });
}

#[test]
fn a_dataset_that_drops_its_tables_is_told() {
    runtime().block_on(async {
        let rules = rules();
        load_with(&rules, at(behind())).await.expect("a first load");
        let how = answer(200, r#"{"defaultTableExpirationMs": "5184000000"}"#);
        let proxy = Proxy::new(&behind(), &[Fault { part: "fields=defaultTable", how, times: 1 }]).await;
        let findings = check(&rules, &proxy.endpoint()).await;
        let told = findings.iter().find(|finding| !finding.ok).expect("a finding");
        assert!(told.remedy.as_ref().is_some_and(|told| told.contains("--default_table_expiration 0")), "{told:?}");
    });
}

/// Who has rights in the dataset alone may load into it, again and again.
#[test]
fn an_account_of_the_dataset_alone_may_load() {
    runtime().block_on(async {
        let rules = rules();
        load_with(&rules, at(behind())).await.expect("a first load");
        let refused =
            refused(403, "accessDenied", "Access Denied: User does not have bigquery.datasets.create permission.");
        let faults =
            [Fault { part: "POST /bigquery/v2/projects/test-project/datasets HTTP", how: refused, times: usize::MAX }];
        let proxy = Proxy::new(&behind(), &faults).await;
        let warehouse = opened(&rules, at(proxy.endpoint())).await.expect("options");
        for traits in [r#"{"a": 1}"#, r#"{"b": 1}"#] {
            load(&warehouse, &draft(&rules, traits)).await.expect("loaded");
        }
    });
}

/// A service account signs in with its key, until that is revoked.
#[test]
fn a_revoked_key_is_told_with_what_mends_it() {
    const TOKEN: &str = r#"{"access_token": "hush", "token_type": "Bearer", "expires_in": 3600}"#;
    const REVOKED: &str = r#"{"error": "invalid_grant", "error_description": "Invalid JWT Signature. hush"}"#;
    const MAKE_KEY: &str = "from cryptography.hazmat.primitives.asymmetric import rsa\n\
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat\n\
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)\n\
        print(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())";
    let python =
        std::env::var("TABLECAST_BIGQUERY_PYTHON").expect("TABLECAST_BIGQUERY_PYTHON is set, as TABLECAST_BIGQUERY is");
    let made = Command::new(python).args(["-c", MAKE_KEY]).output().expect("a Python");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let pem = String::from_utf8_lossy(&made.stdout).into_owned();
    runtime().block_on(async {
        for (answer, is) in [
            (answer(200, TOKEN), None),
            (answer(400, REVOKED), Some((ErrorKind::Auth, false, "revoked"))),
            (answer(503, "<html>hush</html>"), Some((ErrorKind::Unavailable, true, "check the network"))),
            (answer(500, r#"{"error": "internal_failure"}"#), Some((ErrorKind::Unavailable, true, "check the network"))),
        ] {
            let google = Proxy::new(&behind(), &[Fault { part: "POST /token", how: answer, times: usize::MAX }]).await;
            let key = serde_json::json!({
                "type": "service_account", "project_id": "p", "private_key_id": "i", "private_key": pem,
                "client_email": "a@p.iam.gserviceaccount.com", "client_id": "1", "token_uri": format!("{}/token", google.endpoint()),
            });
            let options = Options { credentials: Some(Secret::new(key.to_string())), ..at(google.endpoint()) };
            let done = load_with(&rules(), options).await;
            assert!(!format!("{done:?}").contains("hush"), "{done:?}");
            let told = done.as_ref().err().map(|error| (error.kind(), error.is_temporary()));
            assert_eq!(told, is.map(|(kind, temporary, _)| (kind, temporary)), "{answer:?}: {done:?}");
            let remedy = done.err().map(|error| error.remedy().to_owned()).unwrap_or_default();
            assert!(is.is_none_or(|(_, _, part)| remedy.contains(part)), "{answer:?}: {remedy}");
        }
    });
}
