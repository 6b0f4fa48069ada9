//! The table of errors, row by row, and answers as Snowflake gives them.

use super::*;
use serde_json::json;

#[test]
fn every_row_is_reached_and_says_what_to_do() {
    for (nth, row) in TABLE.iter().enumerate() {
        let fault = Fault {
            status: row.status,
            code: row.code.into(),
            state: row.state.into(),
            message: format!("xx {} yy", row.part),
            query_id: String::new(),
        };
        let error: Error = fault.into();
        assert_eq!((error.kind(), error.is_temporary()), (row.kind, row.temporary), "row {nth}: {error:?}");
        assert!(error.to_string().starts_with(row.message), "row {nth}: {error} is not {}", row.message);
        assert_eq!(error.remedy(), row.remedy);
        assert!(row.status < 400 || !row.remedy.is_empty());
    }
}

fn answered(status: u16, code: &str, state: &str, message: &str) -> Error {
    let answer = json!({"success": false, "code": code, "message": message,
        "data": {"errorCode": code, "sqlState": state, "queryId": "01b-7"}});
    Fault::from_answer(status, &answer).into()
}

#[test]
fn answers_mean_what_they_should() {
    use ErrorKind::*;
    for (code, state, message, kind, temporary) in [
        ("390144", "08001", "JWT token is invalid. [9c6]", Auth, false),
        ("390100", "08001", "Incorrect username or password was specified.", Auth, false),
        (
            "390189",
            "08001",
            "Role 'R' specified in the connect string does not exist or not authorized.",
            Config,
            false,
        ),
        ("390201", "08001", "The requested warehouse does not exist or not authorized.", Config, false),
        (
            "390422",
            "08001",
            "Incoming request with IP/Token 1.2.3.4 is not allowed to access Snowflake.",
            Permission,
            false,
        ),
        ("000606", "57P03", "No active warehouse selected in the current session.", Config, false),
        (
            "003001",
            "42501",
            "SQL access control error:\nInsufficient privileges to operate on schema 'S'",
            Permission,
            false,
        ),
        ("002003", "02000", "SQL compilation error:\nDatabase 'D' does not exist or not authorized.", Config, false),
        (
            "002003",
            "42S02",
            "SQL compilation error:\nObject 'D.S.T' does not exist or not authorized.",
            SchemaMismatch,
            false,
        ),
        (
            "000904",
            "42000",
            "SQL compilation error: error line 1 at position 7\ninvalid identifier 'X'",
            SchemaMismatch,
            false,
        ),
        (
            "000625",
            "57014",
            "Statement 'x' has locked table 'T' in transaction 1 and this lock has not yet been released.",
            Conflict,
            true,
        ),
        (
            "000630",
            "57014",
            "Statement reached its statement or warehouse timeout of 5 second(s) and was canceled.",
            Unavailable,
            true,
        ),
        (
            "090073",
            "22000",
            "Warehouse 'W' cannot be resumed because resource monitor 'M' has exceeded its quota.",
            Exhausted,
            false,
        ),
        ("390114", "08001", "Authentication token has expired.  The user must authenticate again.", Unavailable, true),
        ("100072", "22000", "NULL result in a non-nullable column", SchemaBroken, false),
        (
            "001003",
            "42000",
            "SQL compilation error:\nsyntax error line 1 at position 0 unexpected 'SELEC'.",
            Internal,
            false,
        ),
    ] {
        let error = answered(0, code, state, message);
        assert_eq!((error.kind(), error.is_temporary()), (kind, temporary), "{code} {message}: {error:?}");
        assert!(error.to_string().contains(code) && error.to_string().contains("01b-7"), "{error}");
        assert!(!error.remedy().is_empty());
    }
    for (status, kind, temporary) in [
        (429, Exhausted, true),
        (503, Unavailable, true),
        (403, Config, false),
        (404, Config, false),
        (401, Auth, false),
    ] {
        let error: Error = Fault::from_answer(status, &Value::Null).into();
        assert_eq!((error.kind(), error.is_temporary()), (kind, temporary), "{status}: {error:?}");
    }
}

#[test]
fn answers_of_any_form_are_read() {
    let fault = Fault::from_answer(0, &json!({"code": 2003, "data": null}));
    assert_eq!(fault.code, "002003");
    assert!(fault.is_missing());
    assert_eq!(Fault::from_answer(0, &json!({"data": {"errorCode": "390112"}})).code, "390112");
    assert!(Fault::from_answer(0, &json!({"data": {"errorCode": "390112"}})).is_stale_token());
    assert_eq!(Fault::from_answer(0, &json!([1])).code, "");
}

#[test]
fn values_are_not_shown() {
    for message in ["Numeric value 'hush' is not recognized", "Error parsing JSON: hush", "String 'hush' is too long"] {
        for code in ["100038", "100069", "100078", "100999"] {
            let shown = answered(0, code, "22018", message).to_string();
            assert!(!shown.contains("hush"), "{shown}");
        }
    }
    let unknown = answered(0, "001234", "42000", "unexpected 'hush'").to_string();
    assert!(unknown.contains("unexpected …") && !unknown.contains("hush"), "{unknown}");
    let named = answered(0, "003001", "42501", "Insufficient privileges to operate on schema 'S'").to_string();
    assert!(named.contains("'S'"), "{named}");
}
