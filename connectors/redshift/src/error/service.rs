//! What the Data API answers to a request that it does not take.

use super::{AGAIN, DEFECT, classify};
use tablecast_core::{Error, ErrorKind};

/// The codes with which the Data API says that it has too much to do.
const BUSY: [&str; 7] = [
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "ActiveStatementsExceededException",
    "ActiveSessionsExceededException",
    "ActiveWaitingRequestsExceededException",
    "InternalServerException",
];

/// Whether the Data API asks to be asked again later.
pub(crate) fn is_busy(code: Option<&str>) -> bool {
    code.is_some_and(|code| BUSY.contains(&code))
}

const DATA_RIGHTS: &str = "let this identity call redshift-data:* on the workgroup or cluster, and get its credentials: redshift-serverless:GetCredentials, \
                           redshift:GetClusterCredentials (with db_user) or redshift:GetClusterCredentialsWithIAM; the policy is in the connector's README";
const AWS_KEYS: &str = "give AWS credentials: access_key and secret_key, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role of this machine";

/// Why the Data API did not take a request. `text` is the whole chain of the SDK's error.
pub(crate) fn classify_service(code: Option<&str>, text: &str) -> Error {
    let lower = text.to_ascii_lowercase();
    let error = |kind, what: &str, remedy: &str| Error::new(kind, what).fix(remedy);
    let Some(code) = code else {
        if lower.contains("credential") {
            return error(ErrorKind::Auth, "there are no AWS credentials for the Data API", AWS_KEYS);
        }
        let what = if lower.contains("dns") || lower.contains("lookup") || lower.contains("resolve") {
            "the endpoint's name does not resolve"
        } else if lower.contains("timed out") || lower.contains("timeout") {
            "timed out"
        } else {
            "broken"
        };
        return error(
            ErrorKind::Unavailable,
            "the Data API cannot be reached",
            "check region and endpoint, and that this machine reaches https://redshift-data.REGION.amazonaws.com",
        )
        .temporary()
        .with("connection", what);
    };
    let classified = match code {
        _ if is_busy(Some(code)) => error(ErrorKind::Unavailable, "the Data API has too much to do", AGAIN).temporary(),
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "InvalidClientTokenId"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignature" => error(ErrorKind::Auth, "AWS refused the credentials for the Data API", AWS_KEYS),
        "AccessDeniedException" | "AccessDenied" | "UnauthorizedException" => {
            error(ErrorKind::Permission, "this identity may not use the Data API", DATA_RIGHTS)
        }
        "ResourceNotFoundException" => error(
            ErrorKind::Config,
            "the Data API does not know the workgroup, cluster or statement",
            "check the workgroup or cluster in the address, and region",
        ),
        "DatabaseConnectionException" => error(
            ErrorKind::Unavailable,
            "the Data API cannot connect to the database",
            "check that the workgroup or cluster is running and the database is there",
        )
        .temporary(),
        "ValidationException"
            if lower.contains("not found") || lower.contains("does not exist") || lower.contains("endpoint") =>
        {
            error(
                ErrorKind::Config,
                "the Data API does not know the workgroup, cluster, database or user",
                "check the workgroup or cluster and the database in the address, and region, db_user and secret_arn",
            )
        }
        "QueryTimeoutException" => error(ErrorKind::Unavailable, "a statement ran out of time", AGAIN).temporary(),
        "ExecuteStatementException" | "BatchExecuteStatementException" => {
            return classify(None, text).with("code", code);
        }
        _ => error(ErrorKind::Internal, "the Data API refused a request", DEFECT),
    };
    classified.with("code", code)
}
