//! What S3 answers to the one who writes the stage.

use super::{BUCKET, chain};
use object_store::Error as Store;
use tablecast_core::{Error, ErrorKind};

const STAGE_WRITES: &str = "let this machine's identity write the stage: s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on its prefix";

/// Why the stage could not be written, from the way S3 answered. Its message is never shown: it may hold what was signed.
pub(crate) fn classify_store(error: &Store, doing: &'static str) -> Error {
    let lower = chain(error).to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    let (kind, temporary, what, remedy) = if has(&["nosuchbucket", "bucket does not exist"]) {
        (ErrorKind::Config, false, "the bucket of the stage does not exist", BUCKET)
    } else if has(&[
        "permanentredirect",
        "authorizationheadermalformed",
        "received redirect",
        "wrong region",
        "illegallocationconstraint",
    ]) {
        (
            ErrorKind::Config,
            false,
            "the stage is in another region",
            "name the bucket's region with stage_region=REGION; best is a bucket in the warehouse's region",
        )
    } else if has(&["signaturedoesnotmatch", "invalidaccesskeyid", "invalidtoken", "expiredtoken", "notsignedup"]) {
        (
            ErrorKind::Auth,
            false,
            "S3 refused the credentials for the stage",
            "check stage_key, stage_secret and stage_token, or the AWS_… variables, the web identity or the role of this machine",
        )
    } else if has(&["accessdenied", "access denied"]) || matches!(error, Store::PermissionDenied { .. }) {
        (ErrorKind::Permission, false, "this identity may not use the stage", STAGE_WRITES)
    } else if has(&["credential", "169.254.169.254", "imds", "metadata token"])
        || matches!(error, Store::Unauthenticated { .. })
    {
        (
            ErrorKind::Auth,
            false,
            "there are no AWS credentials for the stage",
            "give stage_key and stage_secret, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role of this machine",
        )
    } else if matches!(error, Store::NotFound { .. }) {
        (ErrorKind::Config, false, "the bucket of the stage does not exist", BUCKET)
    } else {
        (
            ErrorKind::Unavailable,
            true,
            "the stage cannot be reached",
            "check stage_endpoint, and that this machine reaches S3, then run again; nothing is loaded twice",
        )
    };
    let error = Error::new(kind, what).with("stage", doing).fix(remedy);
    if temporary { error.temporary() } else { error }
}
