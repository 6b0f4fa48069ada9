//! Configurations that cannot work: `check` and a load both say what to do, and never a secret.

use crate::harness::{DATA, Emulator, WIRE, fresh_space, run};
use tablecast_core::{Draft, Error, ErrorKind, Finding, Rules, Uri, Warehouse};
use tablecast_redshift::{CONNECTOR, DIALECT, Redshift};
use tablecast_testkit::generate::Call;
use tablecast_testkit::load;

/// What `check` finds, and what a load fails with, if it does.
fn tried(uri: &str) -> (Vec<Finding>, Option<Error>) {
    run(async {
        let rules = Rules { space: fresh_space(), ..Rules::default() };
        let parsed = Uri::parse(uri).expect("a URI");
        let findings = (CONNECTOR.check)(&parsed, &rules.schema()).await;
        let redshift = match Redshift::open(&parsed, &rules.schema()).await {
            Ok(redshift) => redshift,
            Err(error) => return (findings, Some(error)),
        };
        let mut draft = Draft::new(&rules, &DIALECT);
        draft.push_line(Call::identify("m1", "u1").traits(r#"{"n": 1}"#).line().as_bytes());
        let loaded = load(&redshift as &dyn Warehouse, &draft).await;
        (findings, loaded.err())
    })
}

#[track_caller]
fn expect(uri: &str, what: &str, kind: ErrorKind, remedy: &str) {
    let (findings, error) = tried(uri);
    let finding = findings.iter().find(|finding| finding.what == what).unwrap_or_else(|| panic!("{findings:?}"));
    assert!(!finding.ok, "{findings:?}");
    assert!(finding.remedy.as_ref().is_some_and(|text| text.contains(remedy)), "{finding:?}");
    let error = error.expect("a load cannot work");
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(error.remedy().contains(remedy), "{error:?}");
    let shown = format!("{findings:?} {error:?}");
    for secret in ["Tablecast-1", "Reader-1", "wrong-secret", "tablecast/emulator/secret/key"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn what_is_good_is_said_to_be_good() {
    for variable in [WIRE, DATA] {
        let (findings, error) = tried(&Emulator::at(variable).uri_with(&[]));
        assert!(error.is_none(), "{error:?}");
        assert!(findings.iter().all(|finding| finding.ok), "{findings:?}");
        let looked: Vec<&str> = findings.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(looked, ["configuration", "connect", "schema", "stage", "role", "tables"]);
    }
}

#[test]
fn the_wire_names_what_keeps_it_from_connecting() {
    let emulator = Emulator::at(WIRE);
    let uri = emulator.uri_with(&[]);
    let port = uri.split(['@', '/']).find_map(|part| part.strip_prefix("127.0.0.1:")).expect("a port").to_owned();
    let ca = uri.split(['?', '&']).find(|part| part.starts_with("ca=")).expect("a file of authorities").to_owned();
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let place = format!("@127.0.0.1:{port}/");
    expect(
        &emulator.uri_with(&[(&place, "@no-such-host.invalid:5439/")]),
        "connect",
        ErrorKind::Unavailable,
        "check the host",
    );
    expect(
        &emulator.uri_with(&[(&place, &format!("@127.0.0.1:{closed}/"))]),
        "connect",
        ErrorKind::Unavailable,
        "security group",
    );
    expect(
        &emulator.uri_with(&[("password=Tablecast-1", "password=wrong-secret")]),
        "connect",
        ErrorKind::Auth,
        "password",
    );
    expect(&emulator.uri_with(&[("password=Tablecast-1&", "")]), "connect", ErrorKind::Auth, "password=env:NAME");
    expect(&emulator.uri_with(&[("/dev?", "/nowhere?")]), "connect", ErrorKind::Config, "database");
    expect(&emulator.uri_with(&[(&format!("{ca}&"), "")]), "connect", ErrorKind::Config, "option ca");
    expect(&emulator.uri_with(&[(&ca, "ca=/no/such/file")]), "configuration", ErrorKind::Config, "PEM");
}

#[test]
fn the_data_api_names_what_keeps_it_from_connecting() {
    let emulator = Emulator::at(DATA);
    let uri = emulator.uri_with(&[]);
    let endpoint = uri.split(['?', '&']).find(|part| part.starts_with("endpoint=")).expect("an endpoint").to_owned();
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    expect(&emulator.uri_with(&[("//workgroup/", "//no-such-workgroup/")]), "connect", ErrorKind::Config, "workgroup");
    expect(&emulator.uri_with(&[("/dev?", "/nowhere?")]), "connect", ErrorKind::Config, "database");
    expect(&emulator.uri_with(&[("&access_key=AKIA", "&access_key=AKIX")]), "connect", ErrorKind::Auth, "access_key");
    expect(
        &emulator.uri_with(&[(&endpoint, &format!("endpoint=http://127.0.0.1:{closed}"))]),
        "connect",
        ErrorKind::Unavailable,
        "region",
    );
}

#[test]
fn a_user_without_the_grant_is_told_which() {
    let reader = Emulator::at(WIRE).uri_with(&[("tablecast@", "reader@"), ("Tablecast-1", "Reader-1")]);
    expect(&reader, "schema", ErrorKind::Permission, "GRANT CREATE ON DATABASE");
}

#[test]
fn the_stage_and_the_role_name_what_is_missing() {
    for variable in [WIRE, DATA] {
        let emulator = Emulator::at(variable);
        let role =
            if variable == WIRE { "iam_role=default" } else { "iam_role=arn:aws:iam::123456789012:role/tablecast" };
        let (stage, far) = ("s3://tablecast-stage/", "s3://tablecast-far/");
        expect(&emulator.uri_with(&[(stage, "s3://no-such-bucket/")]), "stage", ErrorKind::Config, "bucket");
        expect(&emulator.uri_with(&[("stage_key=AKIA", "stage_key=AKIX")]), "stage", ErrorKind::Auth, "stage_key");
        let other = "iam_role=arn:aws:iam::123456789012:role/other";
        expect(&emulator.uri_with(&[(role, other)]), "role", ErrorKind::Permission, "attach the role");
        expect(&emulator.uri_with(&[(stage, "s3://tablecast-closed/")]), "role", ErrorKind::Permission, "s3:GetObject");
        expect(&emulator.uri_with(&[(stage, far)]), "stage", ErrorKind::Config, "stage_region");
        let told = emulator.uri_with(&[(stage, far), ("stage_region=us-east-1", "stage_region=eu-west-1")]);
        let (findings, error) = tried(&told);
        assert!(error.is_none() && findings.iter().all(|finding| finding.ok), "{findings:?} {error:?}");
    }
}
