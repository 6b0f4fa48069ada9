//! What addresses and options say, and what is wrong with others.

use super::*;
use tablecast_core::Uri;

fn read(text: &str) -> Result<(Address, Options, Url)> {
    let uri = Uri::parse(text)?;
    let (address, options) = (address(uri.body())?, uri.options::<Options>()?);
    options.check()?;
    options.place()?;
    let base = options.base(&address.account)?;
    Ok((address, options, base))
}

#[test]
fn addresses_are_read() {
    for (text, user, account, database, base) in [
        ("snowflake://me@org-acct/db", "me", "org-acct", "DB", "https://org-acct.snowflakecomputing.com/"),
        ("snowflake://me@ORG-my_acct/Db", "me", "ORG-my_acct", "DB", "https://org-my-acct.snowflakecomputing.com/"),
        (
            "snowflake://a%40b.example@xy1.eu-central-1/%22My db%22",
            "a@b.example",
            "xy1.eu-central-1",
            "My db",
            "https://xy1.eu-central-1.snowflakecomputing.com/",
        ),
        (
            "snowflake://me@xy1.cn-northwest-1/db",
            "me",
            "xy1.cn-northwest-1",
            "DB",
            "https://xy1.cn-northwest-1.snowflakecomputing.cn/",
        ),
        ("snowflake://me@a.snowflakecomputing.com/db", "me", "a", "DB", "https://a.snowflakecomputing.com/"),
    ] {
        let (address, _, at) = read(&format!("{text}?password=x")).unwrap();
        assert_eq!((&*address.user, &*address.account, &*address.database), (user, account, database), "{text}");
        assert_eq!(at.as_str(), base);
    }
    let (.., base) = read("snowflake://me@a/db?password=x&host=127.0.0.1&port=81&protocol=http").unwrap();
    assert_eq!(base.as_str(), "http://127.0.0.1:81/");
    let (.., base) = read("snowflake://me@a/db?password=x&host=x.privatelink.snowflakecomputing.com").unwrap();
    assert_eq!(base.as_str(), "https://x.privatelink.snowflakecomputing.com/");
    let (.., base) = read("snowflake://me@a/db?password=x&host=[::1]&port=81&protocol=http").unwrap();
    assert_eq!(base.as_str(), "http://[::1]:81/");
}

#[test]
fn options_are_read() {
    let (_, options, _) = read(
        "snowflake://me@a/db?warehouse=WH&role=R&token=env:T&encryption=sse&names=preserve&query_tag=x&lock_timeout_s=5&statement_timeout_s=6&query_deadline_s=7",
    )
    .unwrap();
    assert_eq!((options.warehouse.as_deref(), options.role.as_deref()), (Some("WH"), Some("R")));
    assert_eq!((options.encryption, options.names, &*options.query_tag), (Encryption::Sse, Names::Preserve, "x"));
    assert_eq!((options.lock_timeout_s, options.statement_timeout_s, options.query_deadline_s), (5, 6, 7));
    assert_eq!(options.check().unwrap(), Auth::Token(Secret::new("env:T")));
}

#[test]
fn places_are_read() {
    let place = |stage: &str| {
        let (_, options, _) =
            read(&format!("snowflake://me@a/db?password=x&storage_integration=INT&stage={stage}")).unwrap();
        options.place().unwrap().unwrap()
    };
    let s3 = place("s3://bucket/some/prefix/");
    assert_eq!(
        (s3.cloud, &*s3.bucket, &*s3.prefix, &*s3.url),
        (Cloud::S3, "bucket", "some/prefix", "s3://bucket/some/prefix/")
    );
    let azure = place("azure://acct.blob.core.windows.net/box/p");
    assert_eq!((azure.cloud, &*azure.account, &*azure.bucket, &*azure.prefix), (Cloud::Azure, "acct", "box", "p"));
    let gcs = place("gcs://bucket");
    assert_eq!((gcs.cloud, &*gcs.bucket, &*gcs.prefix, &*gcs.url), (Cloud::Gcs, "bucket", "", "gcs://bucket/"));
}

#[test]
fn what_is_wrong_says_what_to_write() {
    for text in [
        "snowflake://me@a?password=x",
        "snowflake://me@a/?password=x",
        "snowflake://a/db?password=x",
        "snowflake://@a/db?password=x",
        "snowflake://me@/db?password=x",
        "snowflake://me:hush@a/db",
        "snowflake://m%zz@a/db?password=x",
        "snowflake://me@a b/db?password=x",
        "snowflake://me@a/db",
        "snowflake://me@a/db?password=x&token=y",
        "snowflake://me@a/db?password=x&color=red",
        "snowflake://me@a/db?password=x&warehouse=",
        "snowflake://me@a/db?password=x&lock_timeout_s=0",
        "snowflake://me@a/db?password=x&query_deadline_s=604801",
        "snowflake://me@a/db?password=x&names=lower",
        "snowflake://me@a/db?password=x&encryption=none",
        "snowflake://me@a/db?password=x&protocol=http",
        "snowflake://me@a/db?password=x&protocol=http&host=example.com",
        "snowflake://me@a/db?password=x&protocol=http&host=127.0.0.1.example.com",
        "snowflake://me@a/db?password=x&host=https://x",
        "snowflake://me@a/db?password=x&stage=s3://b/p",
        "snowflake://me@a/db?password=x&storage_integration=I",
        "snowflake://me@a/db?password=x&stage_region=eu",
        "snowflake://me@a/db?password=x&stage=ftp://b/p&storage_integration=I",
        "snowflake://me@a/db?password=x&stage=s3://b/it's&storage_integration=I",
        "snowflake://me@a/db?password=x&stage=s3://b/a/../c&storage_integration=I",
        "snowflake://me@a/db?password=x&stage=azure://b/c&storage_integration=I",
        "snowflake://me@a/db?password=x&stage=s3://b/p&storage_integration=it's",
        "snowflake://me@a/db?password=x&stage=s3://b/p&storage_integration=I&stage_key=k",
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{text}");
        assert!(!error.remedy().is_empty() && !format!("{error:?}").contains("hush"), "{text}: {error:?}");
    }
    assert!(schema(&"personas_x".into()).is_ok());
    assert!(schema(&"a-b".into()).is_err() && schema(&"".into()).is_err());
}

#[test]
fn secrets_are_looked_up_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "hush\n").unwrap();
    let file = Secret::new(format!("file:{}", path.display()));
    assert_eq!(reveal("password", &file).unwrap(), "hush");
    assert_eq!(reveal("password", &Secret::new("plain")).unwrap(), "plain");
    for missing in ["env:TABLECAST_NO_SUCH_VARIABLE", "file:/no/such/file"] {
        let error = reveal("password", &Secret::new(missing)).unwrap_err();
        assert!(error.kind() == ErrorKind::Config && error.to_string().contains("password"), "{error:?}");
    }
    let (_, options, _) = read("snowflake://me@a/db?password=hush").unwrap();
    assert!(!format!("{options:?}").contains("hush"));
}
