//! From the API's answers to what the caller does about them, in one table.

use gcp_bigquery_client::error::BQError;
use gcp_bigquery_client::yup_oauth2;
use serde_json::Value;
use tablecast_core::{Error, ErrorKind};

/// What the server that signs in says about itself, not about the credentials.
const SIGN_IN_PASSES: [&str; 3] = ["internal_failure", "server_error", "temporarily_unavailable"];

/// An answer that is no success, or none at all.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The HTTP status; 0 where there is none or it is not known.
    pub(crate) status: u16,
    /// The reason as the API names it (`accessDenied` …), or one of ours: `connect`, `timeout`, `broken`, `unreadable`,
    /// `signIn`, `tokenServer`.
    pub(crate) reason: String,
    /// What the API says. It may quote values.
    message: String,
    /// The job that failed, to look it up.
    job: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Fault {
    pub(crate) fn new(status: u16, reason: &str, message: impl Into<String>) -> Fault {
        Fault { status, reason: reason.to_owned(), message: message.into(), job: None, source: None }
    }

    /// From the status and the body of an answer, whatever the body is.
    pub(crate) fn from_answer(status: u16, body: &[u8]) -> Fault {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = &body["error"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        // An older form has a list of reasons, a newer one a status and details; some answers have both.
        let details = error["details"].as_array().into_iter().flatten();
        let mut reason = text(&error["errors"][0]["reason"]);
        if reason.is_empty() || reason == "forbidden" {
            let detail = details.map(|detail| text(&detail["reason"])).find(|detail| !detail.is_empty());
            reason = detail.or((!reason.is_empty()).then_some(reason)).unwrap_or_else(|| text(&error["status"]));
        }
        Fault::new(status, &reason, text(&error["message"]))
    }

    /// From the result of a job that failed.
    pub(crate) fn from_job(result: &Value) -> Fault {
        let text = |key: &str| result[key].as_str().unwrap_or_default();
        Fault::new(0, text("reason"), text("message"))
    }

    /// Says which job it was.
    pub(crate) fn of_job(self, id: &str) -> Fault {
        Fault { job: Some(id.to_owned()), ..self }
    }

    /// Whether the status of the answer was lost on the way here.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.reason == "unreadable"
    }

    /// Whether what was asked for is not there; its project is.
    pub(crate) fn is_missing(&self) -> bool {
        self.status == 404 && self.row().is_some_and(|row| row.kind == ErrorKind::SchemaMismatch)
    }

    /// Whether it is there already.
    pub(crate) fn is_duplicate(&self) -> bool {
        self.status == 409
    }

    /// Whether the same call may succeed a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        self.row().is_some_and(|row| row.temporary && row.kind != ErrorKind::Conflict)
    }

    /// Whether somebody else's change was in the way.
    pub(crate) fn is_conflict(&self) -> bool {
        self.row().is_some_and(|row| row.kind == ErrorKind::Conflict)
    }

    /// Whether the account may not do what was asked for.
    pub(crate) fn is_forbidden(&self) -> bool {
        self.row().is_some_and(|row| row.kind == ErrorKind::Permission)
    }

    /// Whether a limit of so many calls in some seconds was met.
    pub(crate) fn is_rate_limit(&self) -> bool {
        self.status == 429 || self.reason.to_ascii_lowercase().contains("ratelimit")
    }

    fn row(&self) -> Option<&'static Row> {
        let fits = |row: &&Row| {
            (row.status == 0 || row.status == self.status)
                && (row.reason.is_empty() || row.reason == self.reason)
                && self.message.contains(row.part)
        };
        TABLE.iter().find(fits)
    }

    /// The part of the message that names things. What stands in quotes may be a value, and in a message that nobody
    /// knows what stands behind a colon too.
    fn shown(&self, known: bool) -> String {
        let mut shown = String::new();
        let mut quote = None;
        for c in self.message.chars().take(400) {
            if !known && matches!(c, ':' | '"' | '\'' | '`') {
                shown.push('…');
                break;
            }
            match quote {
                Some(open) if c == open => quote = None,
                Some(_) => continue,
                None if c == '"' || c == '\'' => {
                    quote = Some(c);
                    shown.push('…');
                    continue;
                }
                None => shown.push(if c.is_control() { ' ' } else { c }),
            }
        }
        shown
    }
}

impl From<BQError> for Fault {
    fn from(error: BQError) -> Fault {
        match error {
            BQError::ResponseError { error } => {
                let reason = error.error.errors.first().and_then(|first| first.get("reason").cloned());
                let status = u16::try_from(error.error.code).unwrap_or(0);
                Fault::new(status, &reason.unwrap_or(error.error.status), error.error.message)
            }
            BQError::RequestError(error) => error.into(),
            BQError::YupAuthError(yup_oauth2::Error::HttpError(error)) => caused("tokenServer", error),
            BQError::YupAuthError(yup_oauth2::Error::HttpClientError(error)) => caused("tokenServer", error),
            BQError::YupAuthError(yup_oauth2::Error::LowLevelError(error)) => caused("tokenServer", error),
            // What cannot be read may hold a token.
            BQError::YupAuthError(yup_oauth2::Error::JSONError(_)) => Fault::new(0, "tokenServer", ""),
            BQError::YupAuthError(yup_oauth2::Error::AuthError(error)) => {
                let code = error.error.as_str();
                let reason = if SIGN_IN_PASSES.contains(&code) { "tokenServer" } else { "signIn" };
                Fault::new(0, reason, code)
            }
            BQError::YupAuthError(_) | BQError::AuthError(_) | BQError::NoToken => Fault::new(0, "signIn", ""),
            error => caused("client", error),
        }
    }
}

impl From<reqwest::Error> for Fault {
    fn from(error: reqwest::Error) -> Fault {
        let reason = match () {
            // Why it cannot be read may quote a value.
            () if error.is_decode() => return Fault::new(0, "unreadable", ""),
            () if error.is_timeout() => "timeout",
            () if error.is_connect() => "connect",
            () => "broken",
        };
        // The address holds nothing that the message does not say better.
        caused(reason, error.without_url())
    }
}

fn caused(reason: &str, source: impl std::error::Error + Send + Sync + 'static) -> Fault {
    Fault { source: Some(Box::new(source)), ..Fault::new(0, reason, "") }
}

/// Says what a fault means and what to do about it.
impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        let row = fault.row();
        let (kind, message, remedy) = match row {
            Some(row) => (row.kind, row.message, row.remedy),
            None => (ErrorKind::Internal, "BigQuery refused a call", DEFECT),
        };
        let mut error = Error::new(kind, message).fix(remedy);
        if fault.status != 0 {
            error = error.with("status", fault.status);
        }
        if !fault.reason.is_empty() {
            error = error.with("reason", &fault.reason);
        }
        let shown = fault.shown(row.is_some());
        if !shown.is_empty() && row.is_none_or(|row| row.quotes) {
            error = error.with("bigquery", shown);
        }
        if let Some(job) = &fault.job {
            error = error.with("job", job);
        }
        if row.is_some_and(|row| row.temporary) {
            error = error.temporary();
        }
        match fault.source {
            Some(source) => error.because(source),
            None => error,
        }
    }
}

/// What the script of a commit says when it stops itself.
pub(crate) mod stop {
    /// The schema has another version than was planned for.
    pub(crate) const STALE: &str = "tablecast: stale";
    /// A change of a type is under way.
    pub(crate) const CHANGING: &str = "tablecast: changing";
    /// The rows of a table do not add up.
    pub(crate) const COUNTS: &str = "tablecast: counts";
}

/// One row: status (0 is any), reason and part of the message ("" is any), and what it means.
struct Row {
    status: u16,
    reason: &'static str,
    part: &'static str,
    kind: ErrorKind,
    temporary: bool,
    message: &'static str,
    remedy: &'static str,
    /// Whether what BigQuery says is shown too.
    quotes: bool,
}

const AGAIN: &str = "run again; nothing is loaded twice";
const LATER: &str = "wait some minutes, then run again; nothing is loaded twice";
const DEFECT: &str = "run again, nothing is loaded twice; if it stays, report it with the command and the message";
const JOBS: &str =
    "grant the account roles/bigquery.jobUser on the project, and check that the project's id is the right one";
const OTHERS: &str = "load with the account that began, or grant this one roles/bigquery.resourceViewer on the project";
const DATA: &str =
    "grant the account roles/bigquery.dataEditor on the dataset (or on the project, so that it can make the dataset)";
const MAKE: &str =
    "grant the account roles/bigquery.dataEditor on the project, or make the dataset by hand and grant it there";
const ENABLE: &str =
    "check the project's id, then enable the API: gcloud services enable bigquery.googleapis.com --project PROJECT";
const BILLING: &str = "link the project to a billing account: load jobs are free, but the free sandbox refuses the statements of a commit";
const PROJECT: &str = "write the project's id (not its name or number) in the URI, and check that it was not deleted";
const PLACE: &str = "set location in the URI to where the dataset is: bq show --format=prettyjson PROJECT:DATASET";
const KEY: &str = "check that the key was not revoked and the clock is right; make a new key, or run `gcloud auth application-default login`";
const SIGN_IN: &str = "outside of Google's machines give credentials=file:KEY.json, or run `gcloud auth application-default login`; otherwise check the network";
const REACH: &str = "check the network, the proxy and the endpoint, then run again; nothing is loaded twice";
const PARTITIONS: &str =
    "too many days for one table: make new tables with partition=month, or correct the times of receipt";

const fn row(
    status: u16,
    reason: &'static str,
    part: &'static str,
    kind: ErrorKind,
    temporary: bool,
    message: &'static str,
    remedy: &'static str,
) -> Row {
    Row { status, reason, part, kind, temporary, message, remedy, quotes: true }
}

/// The first row that fits decides.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    // what our own scripts say
    row(0, "", stop::STALE, ErrorKind::SchemaMismatch, false, "the types of columns changed since the plan was made", AGAIN),
    row(0, "", stop::CHANGING, ErrorKind::SchemaMismatch, false, "the type of a column is being changed", AGAIN),
    row(0, "", stop::COUNTS, ErrorKind::CountMismatch, false, "the rows of a table do not add up", DEFECT),
    // nobody answered, or not as BigQuery does
    row(0, "connect", "", ErrorKind::Unavailable, true, "BigQuery cannot be reached", REACH),
    row(0, "timeout", "", ErrorKind::Unavailable, true, "BigQuery did not answer in time", REACH),
    row(0, "broken", "", ErrorKind::Unavailable, true, "the connection to BigQuery broke", REACH),
    row(0, "unreadable", "", ErrorKind::Unavailable, true, "an answer of BigQuery could not be read", REACH),
    row(0, "tokenServer", "", ErrorKind::Unavailable, true, "the server that signs in cannot be reached", SIGN_IN),
    row(0, "signIn", "", ErrorKind::Auth, false, "Google refused the credentials", KEY),
    row(401, "", "", ErrorKind::Auth, false, "BigQuery refused the credentials", KEY),
    row(0, "UNAUTHENTICATED", "", ErrorKind::Auth, false, "BigQuery refused the credentials", KEY),
    // somebody else was faster
    row(0, "", "concurrent update", ErrorKind::Conflict, true, "another writer changed a table at the same time", AGAIN),
    row(0, "", "Could not serialize", ErrorKind::Conflict, true, "another writer changed a table at the same time", AGAIN),
    row(0, "", "too many DML statements outstanding", ErrorKind::Conflict, true, "too many writers change a table at the same time", AGAIN),
    row(0, "", "Conflict on update", ErrorKind::Conflict, true, "another writer changed a table at the same time", AGAIN),
    row(0, "", "Conflict on tuple deletion", ErrorKind::Conflict, true, "another writer changed a table at the same time", AGAIN),
    row(0, "", "write-write conflict", ErrorKind::Conflict, true, "another writer changed a table at the same time", AGAIN),
    row(0, "", "ransaction conflict", ErrorKind::Conflict, true, "another writer changed a table at the same time", AGAIN),
    // the project
    row(0, "", "has not been used in project", ErrorKind::Permission, false, "the project does not have the BigQuery API enabled", ENABLE),
    row(0, "", "has not enabled BigQuery", ErrorKind::Permission, false, "the project does not have the BigQuery API enabled", ENABLE),
    row(0, "accessNotConfigured", "", ErrorKind::Permission, false, "the project does not have the BigQuery API enabled", ENABLE),
    row(0, "SERVICE_DISABLED", "", ErrorKind::Permission, false, "the project does not have the BigQuery API enabled", ENABLE),
    row(0, "billingNotEnabled", "", ErrorKind::Permission, false, "billing is off for the project", BILLING),
    row(0, "BILLING_DISABLED", "", ErrorKind::Permission, false, "billing is off for the project", BILLING),
    row(0, "", "illing has not been enabled", ErrorKind::Permission, false, "billing is off for the project", BILLING),
    row(0, "", "in the free tier", ErrorKind::Permission, false, "billing is off for the project", BILLING),
    row(0, "", "Not found: Project", ErrorKind::Config, false, "there is no such project, or the account may not see it", PROJECT),
    row(0, "", "project does not exist", ErrorKind::Config, false, "there is no such project, or the account may not see it", PROJECT),
    row(0, "", "Invalid project ID", ErrorKind::Config, false, "there is no such project", PROJECT),
    row(0, "", "not found in location", ErrorKind::Config, false, "the dataset is in another location", PLACE),
    row(0, "", "does not support this operation in location", ErrorKind::Config, false, "the location is not known", PLACE),
    row(0, "", "nvalid value for location", ErrorKind::Config, false, "the location is not known", PLACE),
    row(0, "", "Cannot read and write in different locations", ErrorKind::Config, false, "the dataset is in another location", PLACE),
    // rights
    row(0, "", "VPC Service Controls", ErrorKind::Permission, false, "a service perimeter keeps this machine out", "let this machine or account into the perimeter, or run inside it"),
    row(0, "", "bigquery.jobs.get", ErrorKind::Permission, false, "another account's job is in the way, and this account may not look at it", OTHERS),
    row(0, "", "bigquery.jobs.", ErrorKind::Permission, false, "the account may not run jobs in the project", JOBS),
    row(0, "", "bigquery.datasets.create", ErrorKind::Permission, false, "the account may not make the dataset", MAKE),
    row(0, "", "bigquery.datasets.", ErrorKind::Permission, false, "the account may not see the dataset", DATA),
    row(0, "", "bigquery.tables.", ErrorKind::Permission, false, "the account may not use a table", DATA),
    row(0, "accessDenied", "", ErrorKind::Permission, false, "the account has not the right to do this", DATA),
    row(0, "PERMISSION_DENIED", "", ErrorKind::Permission, false, "the account has not the right to do this", DATA),
    row(0, "IAM_PERMISSION_DENIED", "", ErrorKind::Permission, false, "the account has not the right to do this", DATA),
    // limits
    row(0, "", "oo many partitions", ErrorKind::Exhausted, false, "a table has as many partitions as BigQuery allows", PARTITIONS),
    row(0, "", "partition modifications", ErrorKind::Exhausted, false, "a commit touches too many partitions", "cut smaller commits, then run again; nothing is loaded twice"),
    row(0, "rateLimitExceeded", "", ErrorKind::Exhausted, true, "too many calls in a short time", LATER),
    row(0, "jobRateLimitExceeded", "", ErrorKind::Exhausted, true, "too many calls in a short time", LATER),
    row(0, "RATE_LIMIT_EXCEEDED", "", ErrorKind::Exhausted, true, "too many calls in a short time", LATER),
    row(0, "RESOURCE_EXHAUSTED", "", ErrorKind::Exhausted, true, "too many calls in a short time", LATER),
    row(429, "", "", ErrorKind::Exhausted, true, "too many calls in a short time", LATER),
    row(0, "quotaExceeded", "", ErrorKind::Exhausted, false, "a quota of the project is used up", "see IAM & Admin > Quotas in the console; wait until it is renewed or ask for more, then run again"),
    row(0, "resourcesExceeded", "", ErrorKind::Exhausted, false, "a commit asks for more than BigQuery can do at once", "cut smaller commits or switch columns off, then run again"),
    row(0, "responseTooLarge", "", ErrorKind::Exhausted, false, "an answer is larger than BigQuery allows", DEFECT),
    row(413, "", "", ErrorKind::Exhausted, false, "a call is larger than BigQuery allows", "cut smaller commits, then run again"),
    row(0, "", "query is too large", ErrorKind::Exhausted, false, "a commit's script is longer than BigQuery allows", "cut smaller commits or switch columns off, then run again"),
    row(0, "", "oo many columns", ErrorKind::Exhausted, false, "a table has as many columns as BigQuery allows", "switch columns off, or make the table anew without those that are not needed"),
    row(0, "", "oo many total leaf fields", ErrorKind::Exhausted, false, "a table has as many columns as BigQuery allows", "switch columns off, or make the table anew without those that are not needed"),
    // BigQuery's own troubles
    row(0, "stopped", "", ErrorKind::Unavailable, true, "a job was cancelled", AGAIN),
    row(0, "backendError", "", ErrorKind::Unavailable, true, "BigQuery had a fault", LATER),
    row(0, "internalError", "", ErrorKind::Unavailable, true, "BigQuery had a fault", LATER),
    row(0, "jobBackendError", "", ErrorKind::Unavailable, true, "BigQuery had a fault", LATER),
    row(0, "jobInternalError", "", ErrorKind::Unavailable, true, "BigQuery had a fault", LATER),
    row(0, "tableUnavailable", "", ErrorKind::Unavailable, true, "BigQuery had a fault", LATER),
    row(408, "", "", ErrorKind::Unavailable, true, "BigQuery did not answer in time", LATER),
    row(500, "", "", ErrorKind::Unavailable, true, "BigQuery had a fault", LATER),
    row(502, "", "", ErrorKind::Unavailable, true, "BigQuery had a fault", LATER),
    row(503, "", "", ErrorKind::Unavailable, true, "BigQuery had a fault", LATER),
    row(504, "", "", ErrorKind::Unavailable, true, "BigQuery had a fault", LATER),
    // tables that are not as planned
    row(0, "notFound", "", ErrorKind::SchemaMismatch, false, "a table or the dataset is gone since the plan was made", AGAIN),
    row(0, "", "Unrecognized name", ErrorKind::SchemaMismatch, false, "a column is gone since the plan was made", AGAIN),
    row(0, "", "is not present in table", ErrorKind::SchemaMismatch, false, "a column is gone since the plan was made", AGAIN),
    row(0, "", "not found inside", ErrorKind::SchemaMismatch, false, "a column is gone since the plan was made", AGAIN),
    row(0, "", "does not have a column with name", ErrorKind::SchemaMismatch, false, "a column is gone since the plan was made", AGAIN),
    row(0, "", "does not have a column named", ErrorKind::SchemaMismatch, false, "a column is gone since the plan was made", AGAIN),
    row(0, "", "which has type", ErrorKind::SchemaMismatch, false, "a column has another type since the plan was made", AGAIN),
    row(0, "", "without a filter over column", ErrorKind::SchemaBroken, false, "a table was made to require a partition filter", "set the table's option require_partition_filter to false, then run again"),
    row(0, "", "NULL value in a REQUIRED column", ErrorKind::SchemaBroken, false, "a column was made REQUIRED by hand", "make the column nullable again, then run again"),
    row(0, "", "Required field", ErrorKind::SchemaBroken, false, "a column was made REQUIRED by hand", "make the column nullable again, then run again"),
    row(0, "", "must match at most one source row", ErrorKind::SchemaBroken, false, "a table has rows with the same id", "remove all but one of them, then run again"),
    // a load job quotes what it could not read
    Row { quotes: false, ..row(0, "invalid", "Error while reading data", ErrorKind::Internal, false, "a load job refused rows", DEFECT) },
    row(404, "", "", ErrorKind::Config, false, "the endpoint does not answer as BigQuery does", "check the endpoint in the URI"),
    row(403, "", "", ErrorKind::Permission, false, "the account has not the right to do this", DATA),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_reached_and_says_what_to_do() {
        for (nth, row) in TABLE.iter().enumerate() {
            let error: Error = Fault::new(row.status, row.reason, format!("xx {} yy", row.part)).into();
            assert_eq!((error.kind(), error.is_temporary()), (row.kind, row.temporary), "row {nth}: {error:?}");
            assert!(error.to_string().starts_with(row.message), "row {nth}: {error} is not {}", row.message);
            assert_eq!(error.remedy(), row.remedy);
        }
    }

    #[test]
    fn answers_mean_what_they_should() {
        let old = |reason: &str, message: &str| {
            format!(
                r#"{{"error": {{"code": 1, "message": "{message}", "errors": [{{"reason": "{reason}"}}], "status": "X"}}}}"#
            )
        };
        let new = |status: &str, detail: &str| {
            format!(
                r#"{{"error": {{"code": 1, "message": "m", "status": "{status}", "details": [{{"@type": "t"}}, {{"reason": "{detail}"}}]}}}}"#
            )
        };
        for (status, body, kind, temporary) in [
            (503, "<html>backend error</html>".to_owned(), ErrorKind::Unavailable, true),
            (429, new("RESOURCE_EXHAUSTED", ""), ErrorKind::Exhausted, true),
            (429, String::new(), ErrorKind::Exhausted, true),
            (403, old("rateLimitExceeded", "m"), ErrorKind::Exhausted, true),
            (403, old("quotaExceeded", "m"), ErrorKind::Exhausted, false),
            (
                403,
                old(
                    "accessDenied",
                    "Access Denied: Project p: User does not have bigquery.jobs.create permission in project p.",
                ),
                ErrorKind::Permission,
                false,
            ),
            (
                403,
                old("forbidden", "m")
                    .replace(r#""status""#, r#""details": [{"reason": "SERVICE_DISABLED"}], "status""#),
                ErrorKind::Permission,
                false,
            ),
            (403, new("PERMISSION_DENIED", "BILLING_DISABLED"), ErrorKind::Permission, false),
            (403, String::new(), ErrorKind::Permission, false),
            (401, new("UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED"), ErrorKind::Auth, false),
            (404, "<html>no such page</html>".to_owned(), ErrorKind::Config, false),
            (404, old("notFound", "Not found: Dataset p:d was not found in location EU"), ErrorKind::Config, false),
            (404, old("notFound", "Not found: Project p"), ErrorKind::Config, false),
            (404, old("notFound", "Not found: Table p:d.t"), ErrorKind::SchemaMismatch, false),
            (
                400,
                old(
                    "invalidQuery",
                    "Query error: Transaction is aborted due to concurrent update against table p:d._lock.",
                ),
                ErrorKind::Conflict,
                true,
            ),
            (400, old("invalidQuery", "Syntax error: Unexpected x"), ErrorKind::Internal, false),
        ] {
            let error: Error = Fault::from_answer(status, body.as_bytes()).into();
            assert_eq!((error.kind(), error.is_temporary()), (kind, temporary), "{status} {body}: {error:?}");
        }
    }

    #[test]
    fn what_is_missing_is_what_was_asked_for() {
        let is_missing = |message| Fault::new(404, "notFound", message).is_missing();
        assert!(is_missing("Not found: Table p:d.t") && is_missing("Not found: Job p:EU.j"));
        assert!(
            !is_missing("Not found: Project p") && !is_missing("Not found: Dataset p:d was not found in location EU")
        );
        assert!(!Fault::from_answer(404, b"<html>no such page</html>").is_missing());
    }

    #[test]
    fn values_are_not_shown() {
        for message in ["Bad double value: 'hush' at [1:2]", "Bad double value: hush", "Bad double value 'it's hush'"] {
            let unknown: Error = Fault::new(400, "invalidQuery", message).of_job("job_1").into();
            let shown = unknown.to_string();
            assert!(
                shown.contains("Bad double value") && shown.contains("job_1") && !shown.contains("hush"),
                "{shown}"
            );
        }
        let known: Error = Fault::new(404, "notFound", "Not found: Table p:d.t 'hush'").into();
        assert!(known.to_string().contains("Table p:d.t …") && !known.to_string().contains("hush"), "{known}");
        let load = Fault::new(0, "invalid", "Error while reading data, error message: Could not parse hush as INT64");
        assert!(!Error::from(load).to_string().contains("hush"));
    }
}
