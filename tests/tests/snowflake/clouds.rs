//! Uploads to the three clouds, encrypted and not: the scripted server takes them, the official driver opens them.

use super::stub::{Act, Asked, Script, Stub};
use super::{runtime, variable};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use tablecast_core::{Finding, Ident, Uri};
use tablecast_snowflake::CONNECTOR;

/// Keys as Snowflake gives them: of 128 and of 256 bits, number and text as the id of the key, one or a list of one.
fn materials() -> [Value; 3] {
    [
        Value::Null,
        json!({"queryStageMasterKey": "rPO4D4T5JLFRaKgQkCeHEw==", "queryId": "01b2-0002", "smkId": 9_007_199_254_740_993_u64}),
        json!([{"queryStageMasterKey": "ztke8tIdVt1zmlQIZm0BMA123456789012345678900=", "queryId": "01b2-0003", "smkId": "7"}]),
    ]
}

/// Where the clouds are, in the words of Snowflake.
fn places() -> [(&'static str, Value); 4] {
    [
        (
            "/bucket/stages/x/",
            json!({"locationType": "S3", "location": "bucket/stages/x/", "region": "eu-central-1", "endPoint": "http://{HERE}",
                "creds": {"AWS_KEY_ID": "AKIA1", "AWS_SECRET_KEY": "secret-key", "AWS_TOKEN": "session-token"}}),
        ),
        (
            "/container/stages/x/",
            json!({"locationType": "AZURE", "location": "container/stages/x/", "storageAccount": "account", "endPoint": "http://{HERE}",
                "creds": {"AZURE_SAS_TOKEN": "?sv=2024-01-01&sig=abc%2Bdef"}}),
        ),
        (
            "/bucket/stages/x/",
            json!({"locationType": "GCS", "location": "bucket/stages/x/", "endPoint": "http://{HERE}",
                "creds": {"GCS_ACCESS_TOKEN": "bearer-token"}}),
        ),
        (
            "/signed/",
            json!({"locationType": "GCS", "location": "bucket/stages/x/", "creds": {}, "presignedUrl": "http://{HERE}/signed/file?X-Goog-Signature=1"}),
        ),
    ]
}

fn put(stage: &Value, material: &Value) -> Act {
    let mut stage = stage.clone();
    stage["isClientSideEncrypted"] = json!(!material.is_null());
    Act::Data(json!({"command": "UPLOAD", "src_locations": ["/etc/hostname"], "parallel": 4, "autoCompress": false,
        "encryptionMaterial": material, "stageInfo": stage, "queryId": "01b2-0009"}))
}

/// Stages a row, as `check` does.
async fn check(stub: &Stub) -> Vec<Finding> {
    let uri = Uri::parse(&stub.uri("")).expect("a URI");
    (CONNECTOR.check)(&uri, &Ident::from("personas_stub")).await
}

fn uploads(stub: &Stub) -> Vec<Asked> {
    stub.asked().into_iter().filter(|asked| asked.method == "PUT").collect()
}

/// The file as the official driver opens it.
fn opened(upload: &Asked, material: &Value) -> Value {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &upload.body).expect("written");
    let mut child = Command::new(variable("TABLECAST_SNOWFLAKE_PYTHON"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snowflake/opened.py"))
        .arg(file.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a Python with the official driver");
    let material = material.as_array().map_or(material, |list| &list[0]);
    let given = json!({"headers": upload.headers, "material": material}).to_string();
    child.stdin.take().expect("a pipe").write_all(given.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{upload:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_official_driver_opens_what_is_uploaded() {
    runtime().block_on(async {
        for (path, stage) in places() {
            for material in materials() {
                let stub = Stub::new(Script::default().on("PUT 'file", 1, put(&stage, &material))).await;
                let findings = check(&stub).await;
                assert!(findings.iter().all(|finding| finding.ok), "{stage}: {findings:?}");
                let uploads = uploads(&stub);
                assert_eq!(uploads.len(), 1, "{stage}");
                let upload = &uploads[0];
                // Google's clients escape the name as a whole.
                assert!(upload.path.replace("%2F", "/").starts_with(path), "{}", upload.path);
                assert_eq!(opened(upload, &material), json!({"columns": ["K"], "rows": [{"K": "check"}]}));
                let plain = upload.body.starts_with(b"PAR1");
                assert_eq!(plain, material.is_null(), "{stage}");
                let header = |name: &str| upload.headers.get(name).map(String::as_str).unwrap_or_default().to_owned();
                match stage["locationType"].as_str() {
                    Some("S3") => {
                        let signed = header("authorization");
                        assert!(signed.contains("AKIA1/") && signed.contains("/eu-central-1/s3/"), "{signed}");
                        assert_eq!(header("x-amz-security-token"), "session-token");
                    }
                    Some("AZURE") => {
                        assert_eq!(header("x-ms-blob-type"), "BlockBlob");
                        assert!(upload.query.get("sig").is_some_and(|sig| sig == "abc%2Bdef"), "{:?}", upload.query);
                    }
                    _ if path == "/signed/" => {
                        assert_eq!(upload.query["X-Goog-Signature"], "1");
                        // It would be part of the signature.
                        assert_eq!(
                            (header("authorization"), header("content-encoding")),
                            (String::new(), String::new())
                        );
                    }
                    _ => assert_eq!(header("authorization"), "Bearer bearer-token"),
                }
                let shown = format!("{:?}", stub.statements("PUT"));
                assert!(!shown.contains("secret-key"));
            }
        }
    });
}

/// Credentials that have run out: the place is asked for again.
#[test]
fn a_place_that_refuses_is_asked_for_again() {
    let expired = [
        ("400 Bad Request", "<Error><Code>ExpiredToken</Code><Message>m</Message></Error>"),
        ("403 Forbidden", "<Error><Code>AuthenticationFailed</Code></Error>"),
        ("401 Unauthorized", "<Error><Code>AuthenticationRequired</Code></Error>"),
        ("400 Bad Request", "<Error><Code>ExpiredToken</Code></Error>"),
    ];
    runtime().block_on(async {
        for ((_, stage), (status, body)) in places().into_iter().zip(expired) {
            let refused = Act::Raw(status, "application/xml", body.to_owned());
            let script =
                Script::default().on("PUT 'file", 9, put(&stage, &Value::Null)).on("upload", 1, refused.clone());
            let stub = Stub::new(script).await;
            let findings = check(&stub).await;
            assert!(findings.iter().all(|finding| finding.ok), "{stage}: {findings:?}");
            assert_eq!((stub.statements("PUT 'file").len(), uploads(&stub).len()), (2, 2), "{stage}");
            // One that always refuses is told as such, without the credentials.
            let script = Script::default().on("PUT 'file", 9, put(&stage, &Value::Null)).on("upload", 99, refused);
            let stub = Stub::new(script).await;
            let findings = check(&stub).await;
            let bad = findings.iter().find(|finding| !finding.ok).expect("a finding");
            assert!(bad.remedy.as_deref().is_some_and(|remedy| remedy.contains("network policy")), "{bad:?}");
            let shown = format!("{findings:?}");
            for secret in ["secret-key", "session-token", "abc%2Bdef", "bearer-token", "X-Goog-Signature"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    });
}

/// A server that wants files of this machine gets none, and nothing is written where it says.
#[test]
fn no_file_is_read_or_written_because_a_server_says_so() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let secret = folder.path().join("secret.txt");
        std::fs::write(&secret, "the owner's secret").expect("written");
        for (_, stage) in places() {
            let Act::Data(mut data) = put(&stage, &Value::Null) else { unreachable!("data") };
            data["src_locations"] = json!([secret, format!("{}/*", folder.path().display())]);
            let stub = Stub::new(Script::default().on("PUT 'file", 1, Act::Data(data))).await;
            check(&stub).await;
            let uploads = uploads(&stub);
            assert_eq!(uploads.len(), 1);
            assert!(uploads[0].body.starts_with(b"PAR1"), "{:?}", uploads[0]);
        }
        let target = folder.path().join("target");
        std::fs::create_dir(&target).expect("a folder");
        for stage in [
            json!({"locationType": "LOCAL_FS", "location": target, "creds": {}}),
            json!({"locationType": "GCS", "location": "b/", "creds": {}, "presignedUrl": format!("file://{}/x", target.display())}),
            json!({"locationType": "S3", "location": "b/", "creds": {"AWS_KEY_ID": "a", "AWS_SECRET_KEY": "b"}, "endPoint": "file:///tmp"}),
        ] {
            let stub = Stub::new(Script::default().on("PUT 'file", 9, put(&stage, &Value::Null))).await;
            let findings = check(&stub).await;
            assert!(findings.iter().any(|finding| !finding.ok), "{stage}: {findings:?}");
            assert_eq!(std::fs::read_dir(&target).expect("a folder").count(), 0);
            assert!(uploads(&stub).is_empty());
        }
        // A stage that says it is encrypted and gives no key gets no plain text.
        let stage = json!({"locationType": "GCS", "location": "b/", "creds": {}, "presignedUrl": "http://{HERE}/signed/f"});
        let Act::Data(mut data) = put(&stage, &Value::Null) else { unreachable!("data") };
        data["stageInfo"]["isClientSideEncrypted"] = json!(true);
        let stub = Stub::new(Script::default().on("PUT 'file", 9, Act::Data(data))).await;
        assert!(check(&stub).await.iter().any(|finding| !finding.ok));
        assert!(uploads(&stub).is_empty());
    });
}
