//! From SQLSTATEs and messages to what the caller does about them, in one table: the Data API has messages only.

use tablecast_core::{Error, ErrorKind};

#[cfg(feature = "data-api")]
mod service;
mod store;

#[cfg(feature = "data-api")]
pub(crate) use service::{classify_service, is_busy};
pub(crate) use store::classify_store;

/// One row: a SQLSTATE, parts of messages in lower case, and what either means.
struct Row {
    state: &'static str,
    parts: &'static [&'static str],
    kind: ErrorKind,
    temporary: bool,
    message: &'static str,
    remedy: &'static str,
}

const AGAIN: &str = "run again; nothing is loaded twice";
const NETWORK: &str = "check the host and the port, that the cluster or workgroup is running, and that its security group and the \
                       network let this machine in (port 5439); a private one is reached from its VPC or through redshift-data:";
const LOGIN: &str = "check the user in the address and the option password";
const ROLE_READS: &str = "let the role of iam_role read the stage: s3:GetObject on its files and s3:ListBucket and s3:GetBucketLocation on its bucket";
const ROLE_ATTACHED: &str = "attach the role of iam_role to the cluster or namespace (and make it the default, for iam_role=default), with redshift.amazonaws.com in its trust policy";
const BUCKET: &str = "make the bucket of the option stage, or correct its name";
const REGION: &str = "take a bucket in the warehouse's region, or name the bucket's with stage_region=REGION";
const GRANT: &str = "as its owner run: GRANT CREATE ON DATABASE … TO the user, or GRANT USAGE, CREATE ON SCHEMA … TO the user; \
                     tables that another user made need GRANT ALL (and ownership, to alter them)";
const KEYED: &str = "Redshift may have chosen it by itself: take the table's key (ALTER SORTKEY NONE, ALTER DISTSTYLE EVEN) or the \
     column's encoding (ENCODE LZO) away; a view must be dropped and made anew; then run again";
const HAND: &str = "undo the manual change of the named table or column, or rename the table away, then run again";
const DEFECT: &str = "report this with the command and the message; nothing was loaded";

const fn row(
    state: &'static str,
    parts: &'static [&'static str],
    kind: ErrorKind,
    temporary: bool,
    message: &'static str,
    remedy: &'static str,
) -> Row {
    Row { state, parts, kind, temporary, message, remedy }
}

/// What the commit's checks answer with when something does not hold.
pub(crate) const CHECK: &str = "a check of the transaction did not hold";
/// What COPY answers with when a file is not as it should be.
pub(crate) const COPY: &str = "COPY refused a staged file";
/// What a change answers with that somebody else made first.
pub(crate) const EXISTS: &str = "somebody else made a table or a column at the same moment";
/// What a text column answers with that has the size already.
pub(crate) const SIZED: &str = "the column has that size already";

/// The first row that fits decides: by the SQLSTATE, or by a part of the message. Specific messages come first,
/// because COPY reports everything as XX000.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    row("22012", &["division by zero", "divide by zero"], ErrorKind::CountMismatch, false, CHECK, DEFECT),
    // what COPY says of S3 and its role
    row("", &["nosuchbucket", "the specified bucket does not exist"], ErrorKind::Config, false, "the bucket of the stage does not exist", BUCKET),
    row("", &["permanentredirect", "authorizationheadermalformed", "must be addressed using the specified endpoint", "different region", "is in region"], ErrorKind::Config, false, "the stage is in another region than the warehouse", REGION),
    row("", &["is not authorized to assume", "not associated to cluster", "not attached", "unable to assume", "default iam role", "user arn:aws:redshift"], ErrorKind::Permission, false, "Redshift cannot take the role of iam_role", ROLE_ATTACHED),
    row("", &["s3serviceexception:access denied", "s3serviceexception: access denied", "accessdenied", "requires full path of an s3 object"], ErrorKind::Permission, false, "Redshift's role cannot read the stage", ROLE_READS),
    row("", &["sys_load_error_detail", "stl_load_errors"], ErrorKind::Internal, false, COPY, DEFECT),
    row("", &["s3serviceexception", "s3 query returned", "slowdown", "nosuchkey"], ErrorKind::Unavailable, true, "Redshift could not read a staged file", AGAIN),
    // who won
    row("40001", &["serializable isolation violation", "conflict with concurrent transaction", "could not serialize", "error: 1023"], ErrorKind::Conflict, true, "a concurrent transaction won", AGAIN),
    row("40P01", &["deadlock detected"], ErrorKind::Conflict, true, "a concurrent transaction won", AGAIN),
    row("55P03", &["lock timeout", "could not obtain lock"], ErrorKind::Conflict, true, "another writer holds a lock", AGAIN),
    row("", &["relation does not exist", "tuple concurrently", "could not open relation with oid"], ErrorKind::Conflict, true, "a table was made or dropped at the same moment", AGAIN),
    row("42701", &["already exists", "more than once"], ErrorKind::SchemaMismatch, false, EXISTS, AGAIN),
    row("42P07", &[], ErrorKind::SchemaMismatch, false, EXISTS, AGAIN),
    row("42P06", &[], ErrorKind::SchemaMismatch, false, EXISTS, AGAIN),
    row("23505", &["duplicate key value violates unique constraint"], ErrorKind::SchemaMismatch, false, EXISTS, AGAIN),
    // what changed since the plan
    row("0A000", &["target column size should be different"], ErrorKind::SchemaMismatch, false, SIZED, AGAIN),
    row("22001", &["value too long for"], ErrorKind::SchemaMismatch, false, "a text column became smaller since the plan was made", AGAIN),
    row("42P01", &[], ErrorKind::SchemaMismatch, false, "a table is gone since the plan was made", AGAIN),
    row("42703", &[], ErrorKind::SchemaMismatch, false, "a column is gone since the plan was made", AGAIN),
    row("42704", &[], ErrorKind::SchemaMismatch, false, "something is gone since the plan was made", AGAIN),
    // who may
    row("28P01", &["password authentication failed"], ErrorKind::Auth, false, "Redshift refused the user or the password", LOGIN),
    row("28000", &["no pg_hba.conf entry", "authentication failed", "is not permitted to log in"], ErrorKind::Auth, false, "Redshift refused the login", LOGIN),
    row("3D000", &[], ErrorKind::Config, false, "there is no such database", "check the database in the address"),
    row("42501", &["permission denied", "must be owner", "must be the owner", "not authorized to"], ErrorKind::Permission, false, "the database user lacks a right", GRANT),
    row("3F000", &["schema does not exist"], ErrorKind::SchemaMismatch, false, "the schema is gone, or this user may not see it", GRANT),
    // what is used up, what stopped
    row("53100", &["disk full"], ErrorKind::Exhausted, false, "the warehouse's disk is full", "free space or add nodes, then run again; nothing is loaded twice"),
    row("53300", &["too many connections", "connection limit"], ErrorKind::Exhausted, true, "the warehouse has no connection left", AGAIN),
    row("54011", &["at most 1600 columns"], ErrorKind::Exhausted, false, "a table has as many columns as Redshift allows", "switch columns off, or copy the table into a new one: dropped columns count too"),
    row("", &["too many tables", "maximum number of tables"], ErrorKind::Exhausted, false, "the warehouse has as many tables as it allows", "drop tables that are not needed, or take a larger node type"),
    row("57014", &["statement timeout", "canceled on user", "cancelled on user", "requested cancel"], ErrorKind::Unavailable, true, "a statement was stopped: by a time limit, a resize, or an operator", "run again; nothing is loaded twice. If it comes back, raise statement_timeout_s or look for a transaction that holds a lock (STV_LOCKS)"),
    row("57P01", &["terminating connection", "server closed the connection"], ErrorKind::Unavailable, true, "the warehouse closed the connection", AGAIN),
    row("57P03", &["is starting up", "is shutting down", "cluster is paused", "is not available"], ErrorKind::Unavailable, true, "the warehouse is not available", "resume the cluster, or wait until it is up, then run again"),
    row("25P02", &[], ErrorKind::Internal, false, "a statement followed one that had failed", DEFECT),
    row("0A000", &["cannot drop sortkey", "cannot drop distkey", "because other objects depend", "cannot alter column"], ErrorKind::SchemaBroken, false, "a column that must change has a key, an encoding or a view of its own", KEYED),
    row("2BP01", &["depends on"], ErrorKind::SchemaBroken, false, "a view that was made by hand uses a column or table that must change", "drop the view, run again, and make it anew (WITH NO SCHEMA BINDING, it does not get in the way)"),
    row("42809", &["is not a table", "is a view"], ErrorKind::SchemaBroken, false, "a table was replaced by a view", "rename the view away, then run again"),
    row("42804", &["is of type"], ErrorKind::SchemaBroken, false, "a column's type was changed by hand", HAND),
    row("23502", &["violates not-null constraint", "cannot insert a null value"], ErrorKind::SchemaBroken, false, "a column was made NOT NULL by hand", "give it a default, or copy the table into one without, then run again"),
    row("XX000", &["internal error", "assert"], ErrorKind::Conflict, true, "Redshift gave a statement up", AGAIN),
];

impl Row {
    /// By the SQLSTATE; by the message too where that says nothing: there is none, or the one for everything.
    fn fits(&self, state: Option<&str>, lower: &str) -> bool {
        let named = self.parts.iter().any(|part| lower.contains(part));
        let own = state.is_some_and(|state| state == self.state);
        let vague = self.state.is_empty() || state.is_none_or(|state| state == "XX000");
        // "Feature not supported" is many things.
        (own && (self.state != "0A000" || named)) || (vague && named)
    }
}

/// Says what an answer means and what to do about it. `state` is the SQLSTATE, where there is one.
pub(crate) fn classify(state: Option<&str>, text: &str) -> Error {
    let lower = text.to_ascii_lowercase();
    let own = state.unwrap_or_default();
    // A schema or a column may be called anything, `slowdown` too.
    let plain = unnamed(&lower);
    let found = TABLE.iter().find(|row| row.fits(state, &plain));
    let found = found.or_else(|| gone(state, &lower));
    let (kind, temporary, message, remedy) = match found {
        Some(row) => (row.kind, row.temporary, row.message, row.remedy),
        None => (ErrorKind::Internal, false, "Redshift refused a statement", DEFECT),
    };
    let mut error = Error::new(kind, message).fix(remedy);
    if let Some(state) = state {
        error = error.with("sqlstate", state);
    }
    // What a value did not fit into is told with the value.
    if !own.starts_with("22") {
        error = error.with("redshift", hushed(text));
    }
    if temporary { error.temporary() } else { error }
}

/// Missing things as the Data API tells them: `relation "x" does not exist`.
fn gone(state: Option<&str>, lower: &str) -> Option<&'static Row> {
    if state.is_some() || !lower.contains("does not exist") {
        return None;
    }
    let state = match () {
        () if lower.contains("database \"") => "3D000",
        () if lower.contains("schema \"") => "3F000",
        () if lower.contains("column ") => "42703",
        () => "42P01",
    };
    TABLE.iter().find(|row| row.state == state)
}

/// A message without the names in it.
fn unnamed(text: &str) -> String {
    text.split('"').step_by(2).collect::<Vec<_>>().join("\"")
}

/// The first line of a message, without what stands in quotes: names do, but values too.
fn hushed(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim();
    let mut out = String::new();
    let mut quote = None;
    for c in line.chars().take(300) {
        match quote {
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                out.push('…');
            }
            None => out.push(c),
            Some(open) if open == c => quote = None,
            Some(_) => {}
        }
    }
    out
}

/// The answer to something that was sent did not come: it may have been done or not.
pub(crate) fn lost(what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, "the warehouse stopped answering")
        .temporary()
        .with("connection", what)
        .fix(AGAIN)
}

/// There is no connection at all.
pub(crate) fn no_connection(what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, "the warehouse cannot be reached")
        .temporary()
        .with("connection", what)
        .fix(NETWORK)
}

/// Why there is no connection over the wire.
pub(crate) fn classify_connect(error: &tokio_postgres::Error) -> Error {
    if let Some(answer) = error.as_db_error() {
        return classify(Some(answer.code().code()), answer.message());
    }
    let chain = chain(error);
    let lower = chain.to_ascii_lowercase();
    let config = |what: &str, remedy: &str| Error::new(ErrorKind::Config, what).fix(remedy);
    if lower.contains("authentication tag")
        || lower.contains("unsupported authentication")
        || lower.contains("unknown message tag")
    {
        return Error::new(ErrorKind::Auth, "the user's password is stored in a form that this protocol library cannot check (sha256)").fix(
            "give the user a password in plain text or md5 (ALTER USER … PASSWORD '…'), use temporary IAM credentials, or connect by redshift-data:",
        );
    }
    if lower.contains("certificate")
        || lower.contains("invalid peer")
        || lower.contains("unknownissuer")
        || lower.contains("notvalidforname")
    {
        return config(
            "the server's certificate is not trusted",
            "use the endpoint's own host name; for a private authority (or in China) give its PEM file as the option ca",
        );
    }
    if lower.contains("tls") || lower.contains("ssl") {
        return config("the server does not speak TLS", "connect to a Redshift endpoint: it always speaks TLS");
    }
    if lower.contains("password missing") || lower.contains("no password") {
        return Error::new(ErrorKind::Auth, "the warehouse asks for a password")
            .fix("give it as password=env:NAME or password=file:PATH");
    }
    if lower.contains("lookup") || lower.contains("name or service") || lower.contains("resolve") {
        return no_connection("the host name does not resolve");
    }
    no_connection(if lower.contains("refused") {
        "refused"
    } else if lower.contains("timed out") || lower.contains("timeout") {
        "timed out"
    } else {
        "broken before the login was done"
    })
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
