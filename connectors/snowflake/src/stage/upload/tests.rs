//! Answers to a PUT from each cloud, and those that nothing may be uploaded by.

use super::super::cipher::seal;
use super::*;
use bytes::Bytes;

fn stage(info: &Value) -> Value {
    json!({"stageInfo": info, "encryptionMaterial": null})
}

#[test]
fn each_cloud_is_understood() {
    for (info, shown) in [
        (
            json!({"locationType": "S3", "location": "bucket/some/prefix/", "region": "eu-west-1",
                "creds": {"AWS_KEY_ID": "k", "AWS_SECRET_KEY": "hush", "AWS_TOKEN": "hush"}}),
            "AmazonS3(bucket)/some/prefix/",
        ),
        (
            json!({"locationType": "S3", "location": "bucket/p", "region": "us-gov-west-1", "endPoint": "s3-fips.us-gov-west-1.amazonaws.com",
                "creds": {"AWS_KEY_ID": "k", "AWS_SECRET_KEY": "hush", "AWS_TOKEN": "hush"}}),
            "AmazonS3(bucket)/p/",
        ),
        (
            json!({"locationType": "AZURE", "location": "box/p/", "storageAccount": "acct", "endPoint": "blob.core.windows.net",
                "creds": {"AZURE_SAS_TOKEN": "?sv=1&sig=hush"}}),
            "MicrosoftAzure { account: acct, container: box }/p/",
        ),
        (
            json!({"locationType": "GCS", "location": "bucket/p/", "creds": {"GCS_ACCESS_TOKEN": "hush"}, "presignedUrl": ""}),
            "GoogleCloudStorage(bucket)/p/",
        ),
        (
            json!({"locationType": "GCS", "location": "bucket/p/", "presignedUrl": "https://storage.googleapis.com/b/o?sig=hush"}),
            "storage.googleapis.com",
        ),
    ] {
        let target = Target::read(&stage(&info), false).unwrap();
        let text = format!("{target:?}");
        assert!(text.contains(shown) && !text.contains("hush"), "{info}: {text}");
    }
}

#[test]
fn nothing_is_uploaded_where_it_must_not_go() {
    for info in [
        json!(null),
        json!({"locationType": "LOCAL_FS", "location": "/etc"}),
        json!({"locationType": "S3", "location": "bucket/p", "creds": {}}),
        json!({"locationType": "S3", "creds": {"AWS_KEY_ID": "k", "AWS_SECRET_KEY": "s", "AWS_TOKEN": "t"}}),
        json!({"locationType": "GCS", "presignedUrl": "http://127.0.0.1/x"}),
        json!({"locationType": "GCS", "presignedUrl": "file:///etc/passwd"}),
        json!({"locationType": "AZURE", "location": "box/p/", "creds": {"AZURE_SAS_TOKEN": "x"}}),
        json!({"locationType": "GCS", "presignedUrl": "https://x/y", "isClientSideEncrypted": true}),
    ] {
        let fault = Target::read(&stage(&info), false).unwrap_err();
        assert_eq!(fault.code, own::UPLOAD, "{info}");
    }
    assert!(Target::read(&stage(&json!({"locationType": "GCS", "presignedUrl": "http://127.0.0.1/x"})), true).is_ok());
}

#[test]
fn what_stands_beside_a_file_is_called_as_each_cloud_wants_it() {
    let key = json!({"queryStageMasterKey": "MDEyMzQ1Njc4OWFiY2RlZg==", "queryId": "q", "smkId": 1});
    let sealed = seal(&Bytes::from_static(b"x"), material(&key).unwrap().as_ref()).unwrap();
    let names = |cloud| {
        let attributes = attributes(cloud, &sealed);
        let mut names: Vec<String> = attributes
            .iter()
            .map(|(name, _)| match name {
                Attribute::Metadata(name) => name.to_string(),
                _ => String::new(),
            })
            .collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(Cloud::S3), ["sfc-digest", "x-amz-iv", "x-amz-key", "x-amz-matdesc"]);
    assert_eq!(names(Cloud::Gcs), ["encryptiondata", "matdesc", "sfc-digest"]);
    assert_eq!(names(Cloud::Azure), ["encryptiondata", "matdesc", "sfcdigest"]);
}
