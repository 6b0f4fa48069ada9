//! The table itself: codes, states, statuses and words, and what they mean.

use super::own;
use tablecast_core::ErrorKind;
use tablecast_core::ErrorKind::{
    Auth, Config, Conflict, Exhausted, Internal, Permission, SchemaBroken, SchemaMismatch, Unavailable,
};

/// One row. What is empty or 0 fits everything.
pub(super) struct Row {
    pub(super) code: &'static str,
    pub(super) state: &'static str,
    pub(super) status: u16,
    /// A part of the message.
    pub(super) part: &'static str,
    pub(super) kind: ErrorKind,
    pub(super) temporary: bool,
    pub(super) message: &'static str,
    pub(super) remedy: &'static str,
    /// Whether what the message quotes are names, not values.
    pub(super) names: bool,
}

const AGAIN: &str = "run again; nothing is loaded twice";
const REACH: &str = "check the account's identifier (or host and port) in the URI and this machine's network; then run again, nothing is loaded twice";
const ACCOUNT: &str = "check the account's identifier in the URI, as snowflake://USER@ORGANIZATION-ACCOUNT/DATABASE (or LOCATOR.REGION); CURRENT_ORGANIZATION_NAME() and CURRENT_ACCOUNT_NAME() tell it";
const KEY: &str = "register the key's public half with the user: ALTER USER … SET RSA_PUBLIC_KEY='…' (DESCRIBE USER shows which fingerprint is there); check the user and the account in the URI, and this machine's clock";
const LOGIN: &str = "check the user in the URI and the secret it refers to; users with a password alone may be locked out: take a key pair (private_key=file:KEY.p8)";
const TOKEN: &str =
    "make a new token, and see that the user's network policy and the token's role restriction allow it";
const NETWORK: &str =
    "let this machine's address into the network policy of the account or the user, or come by a private link (host=…)";
const ROLE: &str = "make the role, or grant it to the user: GRANT ROLE … TO USER …; or correct role= in the URI";
const PLACE: &str = "make the database or the warehouse, or grant USAGE on it to the role (GRANT USAGE ON DATABASE/WAREHOUSE … TO ROLE …); `tablecast check` prints all of the set-up";
const WAREHOUSE: &str =
    "name a warehouse in the URI (warehouse=…) and grant its use: GRANT USAGE ON WAREHOUSE … TO ROLE …";
const RESUME: &str = "resume the warehouse (ALTER WAREHOUSE … RESUME) and let it resume by itself: ALTER WAREHOUSE … SET AUTO_RESUME = TRUE; or grant OPERATE on it";
const QUOTA: &str = "raise the quota of the resource monitor, or wait for its next interval; then run again";
const GRANT: &str = "grant what is missing to the role of the URI; `tablecast check` prints all of the set-up";
const HAND: &str = "undo the manual change of the named table or column, or rename the table away, then run again";
const SLOW: &str = "raise statement_timeout_s (and STATEMENT_TIMEOUT_IN_SECONDS of the warehouse), take a larger warehouse, or cut smaller commits";
const DEFECT: &str = "report this with the command and the message; nothing was loaded";
const HOST: &str = "check host and port in the URI: it does not answer as Snowflake does";

const fn code(
    code: &'static str,
    kind: ErrorKind,
    temporary: bool,
    message: &'static str,
    remedy: &'static str,
) -> Row {
    Row { code, state: "", status: 0, part: "", kind, temporary, message, remedy, names: true }
}

const fn part(
    part: &'static str,
    kind: ErrorKind,
    temporary: bool,
    message: &'static str,
    remedy: &'static str,
) -> Row {
    Row { code: "", state: "", status: 0, part, kind, temporary, message, remedy, names: true }
}

const fn status(status: u16, kind: ErrorKind, temporary: bool, message: &'static str, remedy: &'static str) -> Row {
    Row { code: "", state: "", status, part: "", kind, temporary, message, remedy, names: true }
}

const fn state(
    state: &'static str,
    kind: ErrorKind,
    temporary: bool,
    message: &'static str,
    remedy: &'static str,
) -> Row {
    Row { code: "", state, status: 0, part: "", kind, temporary, message, remedy, names: true }
}

/// A row for messages that quote values.
const fn value(code: &'static str, kind: ErrorKind, message: &'static str, remedy: &'static str) -> Row {
    Row { code, state: "", status: 0, part: "", kind, temporary: false, message, remedy, names: false }
}

/// The first row that fits decides.
#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    // nobody answered, or not as Snowflake does
    code(own::CONNECT, Unavailable, true, "Snowflake cannot be reached", REACH),
    code(own::TIMEOUT, Unavailable, true, "Snowflake did not answer in time", REACH),
    code(own::BROKEN, Unavailable, true, "the connection to Snowflake broke", REACH),
    code(own::UNREADABLE, Unavailable, true, "an answer of Snowflake could not be read", HOST),
    code(own::DEADLINE, Unavailable, true, "a statement took longer than query_deadline_s and was cancelled", SLOW),
    code(own::ELSEWHERE, Unavailable, false, "an answer of Snowflake points to another host", HOST),
    code(own::KEY, Config, false, "the private key cannot be read", "give a PKCS#8 key in PEM without a passphrase: openssl pkcs8 -topk8 -nocrypt -in KEY -out KEY.p8"),
    code(own::UPLOAD, Internal, false, "Snowflake gave no place to upload to that is understood", "give stage=URL&storage_integration=NAME to stage elsewhere, and report this"),
    // the session
    code("390112", Unavailable, true, "the session ended, and what was not committed with it", AGAIN),
    code("390104", Unavailable, true, "the session ended, and what was not committed with it", AGAIN),
    code("390111", Unavailable, true, "the session ended, and what was not committed with it", AGAIN),
    code("390113", Unavailable, true, "the session ended, and what was not committed with it", AGAIN),
    code("390114", Unavailable, true, "the session ended, and what was not committed with it", AGAIN),
    code("390115", Unavailable, true, "the session ended, and what was not committed with it", AGAIN),
    code("390195", Unavailable, true, "the session ended, and what was not committed with it", AGAIN),
    // signing in
    code("390144", Auth, false, "Snowflake refused the key", KEY),
    code("394302", Auth, false, "Snowflake refused the key", KEY),
    code("394304", Auth, false, "Snowflake refused the key", KEY),
    part("JWT token is invalid", Auth, false, "Snowflake refused the key", KEY),
    code("394400", Auth, false, "Snowflake refused the token", TOKEN),
    part("rogrammatic access token", Auth, false, "Snowflake refused the token", TOKEN),
    code("390303", Auth, false, "Snowflake refused the OAuth token", TOKEN),
    code("390318", Auth, false, "the OAuth token has run out", TOKEN),
    code("390422", Permission, false, "a network policy keeps this machine out", NETWORK),
    part("is not allowed to access Snowflake", Permission, false, "a network policy keeps this machine out", NETWORK),
    part("network polic", Permission, false, "a network policy keeps this machine out", NETWORK),
    code("390189", Config, false, "there is no such role, or the user has it not", ROLE),
    code("390186", Config, false, "there is no such role, or the user has it not", ROLE),
    part("specified in the connect string", Config, false, "there is no such role, or the user has it not", ROLE),
    code("390201", Config, false, "the database or the warehouse is not there, or the role may not use it", PLACE),
    code("390102", Auth, true, "the user is locked for a while after too many tries", LOGIN),
    code("390101", Auth, false, "the user is disabled", "enable the user: ALTER USER … SET DISABLED = FALSE"),
    code("390100", Auth, false, "Snowflake refused the user or the secret", LOGIN),
    part("ncorrect username or password", Auth, false, "Snowflake refused the user or the secret", LOGIN),
    part("ulti-factor", Auth, false, "the user must sign in with a second factor", LOGIN),
    // the virtual warehouse
    code("000606", Config, false, "no virtual warehouse runs the statements", WAREHOUSE),
    part("No active warehouse", Config, false, "no virtual warehouse runs the statements", WAREHOUSE),
    part("resource monitor", Exhausted, false, "a resource monitor has stopped the warehouse", QUOTA),
    code("090073", Exhausted, false, "a resource monitor has stopped the warehouse", QUOTA),
    part("arehouse was suspended", Unavailable, true, "the warehouse is suspended", RESUME),
    part("cannot be resumed", Unavailable, true, "the warehouse is suspended", RESUME),
    part("is suspended", Unavailable, true, "the warehouse is suspended", RESUME),
    // somebody else was faster
    code("000625", Conflict, true, "another writer holds a lock", AGAIN),
    part("LOCK_TIMEOUT", Conflict, true, "another writer held a lock too long", AGAIN),
    part("ock timeout", Conflict, true, "another writer held a lock too long", AGAIN),
    part("has locked table", Conflict, true, "another writer holds a lock", AGAIN),
    part("deadlock", Conflict, true, "two writers waited for each other", AGAIN),
    part("ransaction was aborted", Conflict, true, "the transaction was ended by Snowflake", AGAIN),
    part("modified concurrently", Conflict, true, "somebody else changed a table at the same moment", AGAIN),
    part("concurrent", Conflict, true, "somebody else changed a table at the same moment", AGAIN),
    code("002002", Conflict, true, "somebody else made something at the same moment", AGAIN),
    code("001430", Conflict, true, "somebody else made a column at the same moment", AGAIN),
    // time
    code("000630", Unavailable, true, "a statement reached its time limit and was cancelled", SLOW),
    code("000604", Unavailable, true, "a statement was cancelled", AGAIN),
    code("000603", Unavailable, true, "Snowflake had a fault in a statement", AGAIN),
    code("000605", Unavailable, true, "a statement is no longer known", AGAIN),
    // rights
    code("003001", Permission, false, "the role has not the right to do this", GRANT),
    state("42501", Permission, false, "the role has not the right to do this", GRANT),
    part("nsufficient privileges", Permission, false, "the role has not the right to do this", GRANT),
    // tables that are not as planned
    code("090105", Config, false, "the database is not there, or the role may not use it", PLACE),
    part("does not have a current database", Config, false, "the database is not there, or the role may not use it", PLACE),
    part("Database '", Config, false, "the database is not there, or the role may not use it", PLACE),
    part("Stage '", Unavailable, true, "the stage is gone", AGAIN),
    part("storage integration", Config, false, "the storage integration is not there, or the role may not use it", "correct storage_integration= in the URI, and GRANT USAGE ON INTEGRATION … TO ROLE …"),
    part("Integration '", Config, false, "the storage integration is not there, or the role may not use it", "correct storage_integration= in the URI, and GRANT USAGE ON INTEGRATION … TO ROLE …"),
    code("002003", SchemaMismatch, false, "a table or the schema is gone since the plan was made", AGAIN),
    code("002043", SchemaMismatch, false, "a table or a column is gone since the plan was made", AGAIN),
    code("000904", SchemaMismatch, false, "a column is gone since the plan was made", AGAIN),
    state("42S02", SchemaMismatch, false, "a table or the schema is gone since the plan was made", AGAIN),
    value("100072", SchemaBroken, "a column was made NOT NULL by hand", "let the column take NULL again (ALTER COLUMN … DROP NOT NULL), then run again"),
    value("100078", SchemaBroken, "a text column was made too short by hand", HAND),
    value("100083", SchemaBroken, "a key was declared on a table by hand", HAND),
    value("100090", SchemaBroken, "a table has rows with the same id", "remove all but one of them, then run again"),
    value("100082", Exhausted, "a value is larger than Snowflake allows", DEFECT),
    value("100035", Internal, "a staged file was refused", DEFECT),
    value("100038", Internal, "a staged file was refused", DEFECT),
    value("100069", Internal, "a staged file was refused", DEFECT),
    value("100132", Internal, "a staged file was refused", DEFECT),
    // Snowflake's own troubles
    status(429, Exhausted, true, "too many calls in a short time", AGAIN),
    status(408, Unavailable, true, "Snowflake did not answer in time", AGAIN),
    status(500, Unavailable, true, "Snowflake had a fault", AGAIN),
    status(502, Unavailable, true, "Snowflake had a fault", AGAIN),
    status(503, Unavailable, true, "Snowflake had a fault", AGAIN),
    status(504, Unavailable, true, "Snowflake had a fault", AGAIN),
    status(401, Auth, false, "Snowflake refused the user or the secret", LOGIN),
    status(403, Config, false, "there is no such account at this address, or something on the way refuses", ACCOUNT),
    status(404, Config, false, "there is no such account at this address", ACCOUNT),
];
