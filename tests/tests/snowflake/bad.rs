//! Configurations that cannot work: `check` and a load both say what to do, and never a secret.

use super::stub::{Script, Stub};
use super::{address, rules, runtime, variable};
use tablecast_core::{Draft, Error, ErrorKind, Finding, Uri, Warehouse};
use tablecast_snowflake::{CONNECTOR, DIALECT, Snowflake};
use tablecast_testkit::generate::Call;
use tablecast_testkit::load;

/// What `check` finds, and what a load fails with, if it does.
async fn tried(uri: &str) -> (Vec<Finding>, Option<Error>) {
    let rules = rules("bad");
    let parsed = Uri::parse(uri).expect("a URI");
    let findings = (CONNECTOR.check)(&parsed, &rules.schema()).await;
    let opened = match parsed.options() {
        Ok(options) => Snowflake::open(parsed.body(), &rules.schema(), options).await,
        Err(error) => Err(error),
    };
    let snowflake = match opened {
        Ok(snowflake) => snowflake,
        Err(error) => return (findings, Some(error)),
    };
    let mut draft = Draft::new(&rules, &DIALECT);
    draft.push_line(Call::identify("m1", "u1").traits(r#"{"n": 1}"#).line().as_bytes());
    let loaded = load(&snowflake as &dyn Warehouse, &draft).await;
    (findings, loaded.err())
}

fn bad_finding(findings: &[Finding]) -> Finding {
    findings.iter().find(|finding| !finding.ok).unwrap_or_else(|| panic!("{findings:?}")).clone()
}

async fn expect(uri: &str, kind: ErrorKind, remedy: &str) {
    let (findings, error) = tried(uri).await;
    let finding = bad_finding(&findings);
    let says = |text: &str| text.to_lowercase().contains(&remedy.to_lowercase());
    assert!(finding.remedy.as_deref().is_some_and(says), "{finding:?} lacks {remedy}");
    let error = error.expect("a load cannot work");
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(says(error.remedy()), "{error:?} lacks {remedy}");
    let shown = format!("{findings:?} {error:?} {}", error.remedy());
    for secret in ["Tablecast-1", "Reader-1", "wrong-secret", "PRIVATE KEY", "wrong-token"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// The emulator's address with some of its text replaced.
fn with(changes: &[(&str, &str)]) -> String {
    let address = address();
    let options = variable("TABLECAST_SNOWFLAKE");
    let options = options.split_once('?').expect("options").1;
    let mut text = format!("snowflake:{}?{options}", address.body());
    for (from, to) in changes {
        assert!(text.contains(from), "{text} has no {from}");
        text = text.replace(from, to);
    }
    text
}

#[test]
fn what_is_good_is_said_to_be_good() {
    runtime().block_on(async {
        let key = format!("private_key=file:{}", variable("TABLECAST_SNOWFLAKE_KEY"));
        for good in [
            with(&[]),
            with(&[("password=Tablecast-1", &key)]),
            with(&[("password=Tablecast-1", "token=pat-Tablecast-1")]),
            with(&[("password=Tablecast-1", "oauth_token=oauth-Tablecast-1")]),
            with(&[("warehouse=", "encryption=sse&role=SYSADMIN&warehouse=")]),
        ] {
            let (findings, error) = tried(&good).await;
            assert!(error.is_none(), "{error:?}");
            assert!(findings.iter().all(|finding| finding.ok), "{findings:?}");
        }
    });
}

#[test]
fn whoever_cannot_sign_in_is_told_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let other = folder.path().join("revoked.p8");
    let python = variable("TABLECAST_SNOWFLAKE_PYTHON");
    let script = "import sys; from cryptography.hazmat.primitives import serialization as s; from cryptography.hazmat.primitives.asymmetric import rsa; sys.stdout.write(rsa.generate_private_key(65537, 2048).private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode())";
    let made = std::process::Command::new(python).args(["-c", script]).output().expect("a key");
    std::fs::write(&other, made.stdout).expect("a file");
    let other = format!("private_key=file:{}", other.display());
    runtime().block_on(async {
        let secret = "password=Tablecast-1";
        expect(&with(&[("@TABLECAST/", "@NOBODY/")]), ErrorKind::Config, "account").await;
        expect(&with(&[(secret, &other)]), ErrorKind::Auth, "RSA_PUBLIC_KEY").await;
        expect(&with(&[(secret, "password=wrong-secret")]), ErrorKind::Auth, "password").await;
        expect(&with(&[(secret, "token=wrong-token")]), ErrorKind::Auth, "token").await;
        expect(&with(&[(secret, "oauth_token=wrong-token")]), ErrorKind::Auth, "token").await;
        expect(&with(&[(secret, "private_key=file:/no/such/key.p8")]), ErrorKind::Config, "/no/such/key.p8").await;
        expect(&with(&[(secret, "private_key=PRIVATE KEY")]), ErrorKind::Config, "PKCS#8").await;
        expect(&with(&[("protocol=http&password=Tablecast-1", "protocol=http")]), ErrorKind::Config, "private_key=")
            .await;
    });
}

#[test]
fn what_is_missing_is_named() {
    runtime().block_on(async {
        expect(&with(&[("warehouse=", "role=NOBODY&warehouse=")]), ErrorKind::Config, "GRANT ROLE").await;
        expect(&with(&[("warehouse=TABLECAST", "warehouse=NOBODY")]), ErrorKind::Config, "USAGE").await;
        let database = address();
        let database = database.body().rsplit('/').next().expect("a database").to_owned();
        expect(&with(&[(&database, "NOWHERE")]), ErrorKind::Config, "USAGE").await;
        let reader = with(&[("//TABLECAST@", "//READER@"), ("Tablecast-1", "Reader-1")]);
        expect(&reader, ErrorKind::Permission, "GRANT").await;
    });
}

/// What only a real account says, as it says it.
#[test]
fn what_an_account_says_is_understood() {
    const CASES: &[(&str, &str, &str, ErrorKind, &str)] = &[
        (
            "login",
            "390189",
            "Role 'LOADER' specified in the connect string does not exist or not authorized.",
            ErrorKind::Config,
            "GRANT ROLE",
        ),
        ("login", "390144", "JWT token is invalid. [0c53f8cb]", ErrorKind::Auth, "RSA_PUBLIC_KEY"),
        (
            "login",
            "390422",
            "Incoming request with IP/Token 1.2.3.4 is not allowed to access Snowflake.",
            ErrorKind::Permission,
            "network policy",
        ),
        ("login", "390101", "User temporarily locked.", ErrorKind::Auth, "ALTER USER"),
        (
            "CREATE SCHEMA",
            "090105",
            "Cannot perform CREATE SCHEMA. This session does not have a current database.",
            ErrorKind::Config,
            "USAGE",
        ),
        (
            "CREATE SCHEMA",
            "003001",
            "SQL access control error: Insufficient privileges to operate on database 'DB'",
            ErrorKind::Permission,
            "GRANT",
        ),
        (
            "CREATE STAGE",
            "003001",
            "SQL access control error: Insufficient privileges to operate on schema 'S'",
            ErrorKind::Permission,
            "GRANT",
        ),
        ("COPY INTO", "000606", "No active warehouse selected in the current session.", ErrorKind::Config, "USAGE"),
        (
            "COPY INTO",
            "090073",
            "Warehouse 'WH' cannot be resumed because resource monitor 'M' has exceeded its quota.",
            ErrorKind::Exhausted,
            "quota",
        ),
    ];
    runtime().block_on(async {
        for (part, code, message, kind, remedy) in CASES {
            let stub = Stub::new(Script::default().takes_uploads().refuse(part, code, message)).await;
            let finding = bad_finding(&tried(&stub.uri("")).await.0);
            let told = finding.remedy.as_deref().unwrap_or_default().to_lowercase();
            assert!(told.contains(&remedy.to_lowercase()), "{part} {code}: {finding:?} lacks {remedy}");
            if matches!(*part, "login" | "CREATE SCHEMA") {
                expect(&stub.uri(""), *kind, remedy).await;
            }
        }
    });
}
