//! The Data API's front door: JSON 1.1 over HTTP. Statements go through the same sessions as the wire's.

mod run;
mod statement;

use crate::fault::{Effect, Point};
use crate::http::{Answer, Call, json};
use crate::world::{ACCESS_KEY, CLUSTER, OWNER, READER, REGION, WORKGROUP, World};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use statement::Record;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// "BatchExecuteStatement": statements in a call.
const MAX_STATEMENTS: usize = 40;
/// "Considerations when calling the Data API": bytes in a statement.
const MAX_STATEMENT: usize = 100 << 10;
/// "Considerations …": statements that are under way.
const MAX_ACTIVE: usize = 500;
/// Rows in a page of a result.
const PAGE: usize = 1000;

/// All that the front door knows.
#[derive(Debug)]
pub(crate) struct Api {
    world: Arc<World>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    records: HashMap<String, Arc<Record>>,
    /// By client token: what was asked, and the id it got.
    tokens: HashMap<String, (String, String)>,
}

/// An error: its type and its message.
struct Failure(&'static str, String);

fn invalid(message: impl Into<String>) -> Failure {
    Failure("ValidationException", message.into())
}

type Result<T = Value> = std::result::Result<T, Failure>;

/// `ExecuteStatement` and `BatchExecuteStatement`, as far as they are emulated.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Submit {
    sql: Option<String>,
    sqls: Option<Vec<String>>,
    cluster_identifier: Option<String>,
    workgroup_name: Option<String>,
    secret_arn: Option<String>,
    db_user: Option<String>,
    database: Option<String>,
    statement_name: Option<String>,
    #[allow(dead_code, reason = "there is nobody to tell")]
    with_event: Option<bool>,
    client_token: Option<String>,
    result_format: Option<String>,
    execution_mode: Option<String>,
    wait_time_seconds: Option<u64>,
}

/// What asks about one statement.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Ask {
    id: String,
    next_token: Option<String>,
    wait_time_seconds: Option<u64>,
}

impl Api {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: &str) -> Result<Arc<Record>> {
        let id = id.split(':').next().unwrap_or_default();
        let found = self.kept().records.get(id).cloned();
        found.ok_or_else(|| Failure("ResourceNotFoundException", "Query does not exist.".into()))
    }
}

/// Answers one call.
pub(crate) async fn answer(api: Arc<Api>, call: Call) -> Answer {
    let operation = call.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = operation.strip_prefix("RedshiftData.").unwrap_or_default().to_owned();
    let outcome = match authorize(&call) {
        Ok(()) => dispatch(&api, &operation, &call.body).await,
        Err(failure) => Some(Err(failure)),
    };
    Some(match outcome? {
        Ok(body) => respond(StatusCode::OK, &body, None),
        Err(Failure(kind, message)) => {
            // awsJson1.1: the type stands in the body and in a header.
            respond(
                StatusCode::BAD_REQUEST,
                &json!({ "__type": kind, "Message": message, "message": message }),
                Some(kind),
            )
        }
    })
}

fn respond(status: StatusCode, body: &Value, kind: Option<&'static str>) -> Response<Full<Bytes>> {
    let mut response = json(status, body);
    let headers = response.headers_mut();
    headers.insert("content-type", hyper::header::HeaderValue::from_static("application/x-amz-json-1.1"));
    if let Some(kind) = kind {
        headers.insert("x-amzn-errortype", hyper::header::HeaderValue::from_static(kind));
    }
    response
}

/// Whose call it is. The key and the scope are looked at; the signature itself is not.
fn authorize(call: &Call) -> Result<()> {
    let header = call.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(credential) = header.strip_prefix("AWS4-HMAC-SHA256 Credential=").and_then(|rest| rest.split(',').next())
    else {
        return Err(Failure("MissingAuthenticationTokenException", "Missing Authentication Token".into()));
    };
    let parts: Vec<&str> = credential.split('/').collect();
    match parts.as_slice() {
        [key, _, _, _, _] if *key != ACCESS_KEY => {
            Err(Failure("UnrecognizedClientException", "The security token included in the request is invalid.".into()))
        }
        [_, _, REGION, "redshift-data", "aws4_request"] => Ok(()),
        _ => Err(Failure(
            "InvalidSignatureException",
            format!("Credential should be scoped to a valid region: {REGION}"),
        )),
    }
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| invalid(format!("rsemu: not emulated, or not valid: {error}")))
}

/// None loses the answer.
async fn dispatch(api: &Arc<Api>, operation: &str, body: &[u8]) -> Option<Result> {
    let (point, record) = match operation {
        "ExecuteStatement" | "BatchExecuteStatement" => {
            let batch = operation == "BatchExecuteStatement";
            return match read::<Submit>(body) {
                Ok(asked) => submit(api, asked, batch).await,
                Err(failure) => Some(Err(failure)),
            };
        }
        "DescribeStatement" => (Point::DescribeStatement, read::<Ask>(body)),
        "GetStatementResult" => (Point::GetStatementResult, read::<Ask>(body)),
        "CancelStatement" => (Point::CancelStatement, read::<Ask>(body)),
        other => {
            return Some(Err(Failure("UnknownOperationException", format!("rsemu: {other} is not emulated"))));
        }
    };
    let found = record.and_then(|ask| api.find(&ask.id).map(|record| (ask, record)));
    let (ask, record) = match found {
        Ok(found) => found,
        Err(failure) => return Some(Err(failure)),
    };
    let lost = match meet(api, point, &record.sqls).await {
        Ok(lost) => lost,
        Err(failure) => return Some(Err(failure)),
    };
    record.wait(ask.wait_time_seconds).await;
    let answer = match point {
        Point::DescribeStatement => record.describe(&ask.id),
        Point::GetStatementResult => record.page(&ask.id, ask.next_token.as_deref(), PAGE),
        _ => run::cancel(&api.world, &record).await,
    };
    (!lost).then_some(answer)
}

/// Meets the faults of a call. Says whether its answer is to be lost.
async fn meet(api: &Api, point: Point, sqls: &[String]) -> Result<bool> {
    let mut lost = false;
    for fault in api.world.faults.call(point, sqls) {
        match fault.does {
            Effect::Throttle => return Err(Failure("ThrottlingException", "Rate exceeded".into())),
            Effect::Busy => {
                let message = format!("Active statements exceeded the allowed quota ({MAX_ACTIVE}).");
                return Err(Failure("ActiveStatementsExceededException", message));
            }
            Effect::Delay => api.world.faults.delay(&fault).await,
            Effect::DropAfter => lost = true,
            Effect::DropBefore | Effect::Refuse | Effect::Abort => {}
        }
    }
    Ok(lost)
}

async fn submit(api: &Arc<Api>, asked: Submit, batch: bool) -> Option<Result> {
    let sqls = asked.sqls.clone().or_else(|| Some(vec![asked.sql.clone()?])).unwrap_or_default();
    let point = if batch { Point::BatchExecuteStatement } else { Point::ExecuteStatement };
    let lost = match meet(api, point, &sqls).await {
        Ok(lost) => lost,
        Err(failure) => return Some(Err(failure)),
    };
    let wait = asked.wait_time_seconds;
    let record = match accept(api, asked, sqls, batch) {
        Ok(record) => record,
        Err(failure) => return Some(Err(failure)),
    };
    if lost {
        return None;
    }
    record.wait(wait).await;
    Some(Ok(record.submitted(wait.is_some())))
}

/// Checks a submission, and starts it unless its token was seen before.
fn accept(api: &Arc<Api>, asked: Submit, sqls: Vec<String>, batch: bool) -> Result<Arc<Record>> {
    if sqls.is_empty() || sqls.len() > MAX_STATEMENTS || (batch == asked.sql.is_some()) {
        return Err(invalid(format!(
            "1 validation error detected: Value at 'sqls' failed to satisfy constraint: Member must have length less than or equal to {MAX_STATEMENTS}"
        )));
    }
    if sqls.iter().any(|sql| sql.len() > MAX_STATEMENT) {
        return Err(invalid("Cannot process SQL query of size greater than 100 KB."));
    }
    if asked.wait_time_seconds.is_some_and(|seconds| !(1..=30).contains(&seconds)) {
        return Err(invalid("WaitTimeSeconds must be between 1 and 30."));
    }
    if asked.client_token.as_ref().is_some_and(|token| token.is_empty() || token.len() > 64) {
        return Err(invalid("Member 'clientToken' must have length between 1 and 64."));
    }
    if asked.result_format.as_deref().is_some_and(|format| format != "JSON") {
        return Err(invalid("rsemu: of result formats only JSON is emulated"));
    }
    let user = user(&asked)?;
    let database = asked.database.clone().ok_or_else(|| invalid("Database is required."))?;
    let transaction = match asked.execution_mode.as_deref() {
        None | Some("TRANSACTION") => true,
        Some("AUTO_COMMIT") => false,
        Some(_) => return Err(invalid("Member 'executionMode' must be TRANSACTION or AUTO_COMMIT.")),
    };
    let asks = json!([sqls, batch, user, database, transaction, asked.statement_name]).to_string();
    let mut kept = api.kept();
    if let Some(token) = &asked.client_token
        && let Some((before, id)) = kept.tokens.get(token)
    {
        // "Idempotency for the Data API": the same token with another request is not the same request.
        if *before != asks {
            return Err(invalid("rsemu: the client token was used with other parameters"));
        }
        let record = kept.records.get(id).cloned();
        return record.ok_or_else(|| Failure("InternalServerException", "rsemu: a token without a record".into()));
    }
    if kept.records.values().filter(|record| !record.is_done()).count() >= MAX_ACTIVE {
        let message = format!("Active statements exceeded the allowed quota ({MAX_ACTIVE}).");
        return Err(Failure("ActiveStatementsExceededException", message));
    }
    let record = Arc::new(Record::new(sqls, batch, transaction, user, database, &asked));
    kept.records.insert(record.id.clone(), Arc::clone(&record));
    if let Some(token) = asked.client_token {
        kept.tokens.insert(token, (asks, record.id.clone()));
    }
    drop(kept);
    tokio::spawn(run::run(Arc::clone(&api.world), Arc::clone(&record)));
    Ok(record)
}

/// Who runs it: "Authorizing access to the Data API".
fn user(asked: &Submit) -> Result<String> {
    let known = match (asked.cluster_identifier.as_deref(), asked.workgroup_name.as_deref()) {
        (Some(_), Some(_)) => return Err(invalid("Specify either the cluster identifier or the workgroup name.")),
        (None, None) => return Err(invalid("Either the cluster identifier or the workgroup name is required.")),
        (Some(cluster), None) => cluster == CLUSTER,
        (None, Some(workgroup)) => workgroup == WORKGROUP,
    };
    if !known {
        return Err(invalid("Redshift endpoint doesn't exist in this region."));
    }
    if asked.workgroup_name.is_some() && asked.db_user.is_some() {
        return Err(invalid("rsemu: DbUser goes with a cluster identifier only"));
    }
    match (&asked.secret_arn, &asked.db_user) {
        (Some(_), Some(_)) => Err(invalid("Specify either the secret or the database user.")),
        (Some(secret), None) if !secret.starts_with("arn:aws:secretsmanager:") => {
            Err(invalid("rsemu: SecretArn is not the ARN of a secret"))
        }
        (Some(secret), None) if secret.ends_with(READER.name) => Ok(READER.name.into()),
        (None, Some(user)) => Ok(user.clone()),
        // The identity of the caller, or any other secret.
        (Some(_) | None, None) => Ok(OWNER.name.into()),
    }
}
