//! What the table makes of SQLSTATEs and messages.

use super::*;
use object_store::Error as Store;

#[test]
fn every_row_is_reached_and_says_what_to_do() {
    let same = |error: &Error, row: &Row| {
        (error.kind(), error.is_temporary()) == (row.kind, row.temporary)
            && error.to_string().starts_with(row.message)
            && error.remedy() == row.remedy
    };
    for row in TABLE {
        for part in row.parts {
            let states: &[Option<&str>] = if row.state.is_empty() { &[None, Some("XX000")] } else { &[None] };
            for state in states {
                let error = classify(*state, &format!("ERROR: xx {} yy", part.to_uppercase()));
                assert!(same(&error, row), "{state:?} {part}: {error:?}");
            }
        }
        if !row.state.is_empty() {
            let part = row.parts.first().copied().unwrap_or_default();
            let error = classify(Some(row.state), &format!("xx {part} yy"));
            assert!(same(&error, row), "{}: {error:?}", row.state);
        }
    }
}

#[test]
fn answers_mean_what_they_should() {
    let config = (ErrorKind::Config, false);
    let stale = (ErrorKind::SchemaMismatch, false);
    let conflict = (ErrorKind::Conflict, true);
    let permission = (ErrorKind::Permission, false);
    for (state, text, (kind, temporary)) in [
        (
            Some("XX000"),
            "1023 Serializable isolation violation on table - 119371, transactions forming the cycle are: 1, 2",
            conflict,
        ),
        (Some("XX000"), "1023", conflict),
        (None, "ERROR: 1023\n  Detail: Serializable isolation violation on table", conflict),
        (None, "ERROR: could not complete because of conflict with concurrent transaction", conflict),
        (Some("40P01"), "deadlock detected", conflict),
        (Some("XX000"), "Assert", conflict),
        (Some("22012"), "Divide by zero", (ErrorKind::CountMismatch, false)),
        (None, "Query #2 failed with ERROR: division by zero", (ErrorKind::CountMismatch, false)),
        (Some("22001"), "value too long for type character varying(512)", stale),
        (Some("42P01"), "relation \"p.users\" does not exist", stale),
        (None, "ERROR: relation \"p.users\" does not exist", stale),
        (None, "ERROR: column \"plan\" of relation \"users\" does not exist", stale),
        (None, "ERROR: column \"plan\" of relation \"users\" already exists", stale),
        (None, "FATAL: database \"x\" does not exist", config),
        (Some("3D000"), "database \"x\" does not exist", config),
        (Some("28P01"), "password authentication failed for user \"me\"", (ErrorKind::Auth, false)),
        (Some("42501"), "permission denied for schema p", permission),
        (None, "ERROR: permission denied for database dev", permission),
        (Some("XX000"), "S3ServiceException:Access Denied,Status 403,Error AccessDenied,Rid 1", permission),
        (Some("XX000"), "S3ServiceException:The specified bucket does not exist,Status 404,Error NoSuchBucket", config),
        (
            Some("XX000"),
            "S3ServiceException:The bucket you are attempting to access must be addressed using the specified endpoint.,Status 301,Error PermanentRedirect",
            config,
        ),
        (
            Some("XX000"),
            "User arn:aws:redshift:us-east-1:1:dbuser:c/u is not authorized to assume IAM Role arn:aws:iam::1:role/r",
            permission,
        ),
        (
            Some("XX000"),
            "Load into table '_stage_1' failed.  Check 'sys_load_error_detail' system table for details.",
            (ErrorKind::Internal, false),
        ),
        (Some("57014"), "Query cancelled on user's request", (ErrorKind::Unavailable, true)),
        (Some("42601"), "syntax error at or near \"x\"", (ErrorKind::Internal, false)),
        (Some("0A000"), "something is not supported", (ErrorKind::Internal, false)),
        (None, "ERROR: syntax error at or near \"x\"", (ErrorKind::Internal, false)),
    ] {
        let error = classify(state, text);
        assert_eq!((error.kind(), error.is_temporary()), (kind, temporary), "{state:?} {text}: {error:?}");
    }
}

#[test]
fn values_are_not_told() {
    for (state, text) in [
        (Some("22P02"), "invalid input syntax for type bigint: \"hush\""),
        (None, "ERROR: invalid input syntax for type bigint: \"hush\""),
        (Some("XX000"), "cannot use 'hush' here"),
        (Some("42804"), "first line\nDETAIL: (id)=(hush)"),
    ] {
        let error = classify(state, text);
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    }
}

#[cfg(feature = "data-api")]
#[test]
fn the_service_names_the_fix() {
    for (code, text, kind, temporary, remedy) in [
        (Some("ThrottlingException"), "slow down", ErrorKind::Unavailable, true, "again"),
        (Some("ActiveStatementsExceededException"), "200", ErrorKind::Unavailable, true, "again"),
        (
            Some("AccessDeniedException"),
            "not authorized to perform: redshift-data:ExecuteStatement",
            ErrorKind::Permission,
            false,
            "GetCredentials",
        ),
        (Some("UnrecognizedClientException"), "the security token is invalid", ErrorKind::Auth, false, "access_key"),
        (
            Some("ValidationException"),
            "Redshift endpoint doesn't exist in this region.",
            ErrorKind::Config,
            false,
            "region",
        ),
        (Some("ResourceNotFoundException"), "no such workgroup", ErrorKind::Config, false, "workgroup"),
        (Some("ValidationException"), "1 validation error", ErrorKind::Internal, false, "report"),
        (None, "dispatch failure: io error: dns error", ErrorKind::Unavailable, true, "region"),
        (None, "construction failure: no credentials in chain", ErrorKind::Auth, false, "AWS_ACCESS_KEY_ID"),
    ] {
        let error = classify_service(code, text);
        assert_eq!((error.kind(), error.is_temporary()), (kind, temporary), "{text}: {error:?}");
        assert!(error.remedy().contains(remedy), "{text}: {error:?}");
    }
}

#[test]
fn the_stage_names_the_fix() {
    let answer = |text: &str| Store::Generic { store: "S3", source: text.to_owned().into() };
    for (text, kind, remedy) in [
        ("<Code>NoSuchBucket</Code>", ErrorKind::Config, "bucket"),
        ("<Code>AccessDenied</Code>", ErrorKind::Permission, "s3:PutObject"),
        ("<Code>SignatureDoesNotMatch</Code><StringToSign>hush</StringToSign>", ErrorKind::Auth, "stage_key"),
        ("<Code>PermanentRedirect</Code>", ErrorKind::Config, "stage_region"),
        ("connection refused", ErrorKind::Unavailable, "stage_endpoint"),
    ] {
        let error = classify_store(&answer(text), "write");
        assert!(error.kind() == kind && error.remedy().contains(remedy), "{text}: {error:?}");
        assert!(!format!("{error:?}").contains("hush"));
    }
}

#[test]
fn a_name_in_a_message_says_nothing_about_the_error() {
    for (state, text, kind) in [
        (None, "ERROR: relation \"personas_assertive._lock\" does not exist", ErrorKind::SchemaMismatch),
        (Some("42P01"), "relation \"personas_slowdown._lock\" does not exist", ErrorKind::SchemaMismatch),
        (Some("42703"), "column \"accessdenied\" does not exist", ErrorKind::SchemaMismatch),
        (
            Some("42703"),
            "column \"nosuchbucket\" of relation \"permanentredirect\" does not exist",
            ErrorKind::SchemaMismatch,
        ),
    ] {
        let error = classify(state, text);
        assert_eq!((error.kind(), error.is_temporary()), (kind, false), "{text}");
    }
}
