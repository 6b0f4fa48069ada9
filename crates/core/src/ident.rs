//! Names: from what a source calls a thing to the table or column it gets.
//!
//! Snake case by the algorithm of Segment's warehouses, then a `_` in front of user names that would
//! shadow something, then a cut for the warehouse's length limit. The same input always gets the same name.

use crate::dialect::Dialect;
use crate::hash::hex12;
use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// The name of a table or column: lower-case ASCII as the planner made it, never quoted.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ident(Arc<str>);

impl Ident {
    /// A name that is final already. User input goes through [`column_name`] or [`event_table_name`].
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Ident(name.into())
    }

    /// The bare name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<&str> for Ident {
    fn from(name: &str) -> Self {
        Ident(name.into())
    }
}

impl Borrow<str> for Ident {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Ident {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Ident {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

/// Where in a call a value stands; it decides the name's prefix and what the name must not shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Section {
    /// `context`: columns `context_…`.
    Context,
    /// `traits` or `properties` of an identify, track, group or alias call.
    Body,
    /// `properties` of a page or screen call, whose tables have `name` and `category` of their own.
    ViewBody,
}

/// Names of the columns that Tablecast fills itself; a trait or property of that name gets a `_`.
pub const CORE_COLUMNS: [&str; 14] = [
    "anonymous_id",
    "event",
    "event_text",
    "group_id",
    "id",
    "loaded_at",
    "original_timestamp",
    "previous_id",
    "received_at",
    "sent_at",
    "timestamp",
    "user_id",
    "uuid",
    "uuid_ts",
];

/// Names of the tables that every space may have; an event of that name gets a `_`.
pub const STANDARD_TABLES: [&str; 10] =
    ["accounts", "aliases", "groups", "identifies", "identities", "pages", "screens", "tracks", "users", "sources"];

/// Tablecast's own tables, that every schema has.
pub const SYSTEM_TABLES: [&str; 3] = ["_lock", "_commits", "_discards"];

/// Names that belong to Tablecast's own bookkeeping.
const OWN_TABLES: [&str; 5] = ["_accounts_versions", "_commits", "_discards", "_identities_versions", "_lock"];

/// The snake case of `name`, by the documented algorithm, on bytes; empty if nothing of it is ASCII alphanumeric.
///
/// ```
/// use tablecast_core::ident::snake_case;
/// assert_eq!(snake_case("Audience Entered"), "audience_entered");
/// assert_eq!(snake_case("ABTest2Winner"), "abtest2_winner");
/// assert_eq!(snake_case("last_30days"), "last_30days");
/// ```
pub fn snake_case(name: &str) -> String {
    let bytes = name.as_bytes();
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();

    // The clean prefix passes untouched: lower case, digits, and single inner underscores.
    let (mut seen_lower, mut seen_underscore, mut lower_after_underscore) = (false, false, false);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte.is_ascii_lowercase() {
            seen_lower = true;
            lower_after_underscore = true;
        } else if byte == b'_' && at > 0 && bytes.get(at + 1).is_some_and(|&next| is_word(next)) {
            seen_underscore = true;
            lower_after_underscore = false;
        } else if !byte.is_ascii_digit() {
            break;
        }
        at += 1;
    }
    if at == bytes.len() {
        return name.to_owned();
    }

    let mut out = String::with_capacity(name.len() + 4);
    out.push_str(&name[..at]);
    let word = |out: &mut String, mut at: usize| {
        while let Some(&byte) = bytes.get(at).filter(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) {
            out.push(char::from(byte.to_ascii_lowercase()));
            at += 1;
        }
        while let Some(&byte) = bytes.get(at).filter(|byte| is_word(**byte)) {
            out.push(char::from(byte));
            at += 1;
        }
        at
    };
    let continues = !seen_lower || (seen_underscore && !lower_after_underscore);
    if bytes[at].is_ascii_uppercase() && continues {
        at = word(&mut out, at);
    }
    while let Some(byte) = bytes.get(at) {
        if !byte.is_ascii_alphanumeric() {
            at += 1;
            continue;
        }
        if !out.is_empty() {
            out.push('_');
        }
        at = word(&mut out, at);
    }
    out
}

/// The column for the value at `path` of a section.
pub fn column_name(section: Section, path: &[&str], dialect: &Dialect) -> Ident {
    let mut name = String::new();
    for part in path.iter().map(|part| snake_case(part)).filter(|part| !part.is_empty()) {
        if !name.is_empty() {
            name.push('_');
        }
        name.push_str(&part);
    }
    let full_path = || {
        let root = if section == Section::Context { "context" } else { "body" };
        let mut full = root.to_owned();
        for part in path {
            full.push('\0');
            full.push_str(part);
        }
        full
    };
    if name.is_empty() {
        name = format!("_{}", hex12(full_path().as_bytes()));
    }
    if section == Section::Context {
        name.insert_str(0, if name.starts_with('_') { "context" } else { "context_" });
    } else if shadows_column(section, &name) || needs_prefix(&name, dialect) {
        name.insert(0, '_');
    }
    cut(name, dialect.max_identifier, full_path)
}

/// The columns of an audience or trait by its key, or by the name that its column has: as traits and events name it, and
/// as pages and screens do.
///
/// ```
/// use tablecast_core::ident::computation_columns;
/// use tablecast_core::memory::DIALECT;
/// assert!(computation_columns("3_orders", &DIALECT).contains("_3_orders"));
/// assert!(computation_columns("_3_orders", &DIALECT).contains("_3_orders"));
/// ```
pub fn computation_columns(key: &str, dialect: &Dialect) -> BTreeSet<Ident> {
    let mut columns: BTreeSet<Ident> =
        [Section::Body, Section::ViewBody].map(|section| column_name(section, &[key], dialect)).into();
    // A name made of a hash is no key that leads to it.
    if key.starts_with('_') {
        columns.insert(key.into());
    }
    columns
}

fn shadows_column(section: Section, name: &str) -> bool {
    CORE_COLUMNS.contains(&name)
        || name.starts_with("context_")
        || (section == Section::ViewBody && (name == "name" || name == "category"))
}

fn needs_prefix(name: &str, dialect: &Dialect) -> bool {
    name.starts_with(|first: char| first.is_ascii_digit()) || dialect.is_reserved(name)
}

/// The table for a track event's name.
pub fn event_table_name(event: &str, dialect: &Dialect) -> Ident {
    let mut name = snake_case(event);
    if name.is_empty() {
        name = format!("event_{}", hex12(event.as_bytes()));
    }
    if STANDARD_TABLES.contains(&&*name) || name.ends_with("_view") || needs_prefix(&name, dialect) {
        name.insert(0, '_');
    }
    while OWN_TABLES.contains(&&*name) {
        name.insert(0, '_');
    }
    cut(name, dialect.max_identifier, || event.to_owned())
}

/// The table that holds the versions of a merge table's cells.
pub fn versions_table(table: &Ident) -> Ident {
    Ident::new(format!("_{table}_versions"))
}

/// The append table that gets the same values as a merge table.
pub fn append_twin(table: &Ident) -> Option<&'static str> {
    match table.as_str() {
        "users" => Some("identifies"),
        "accounts" => Some("groups"),
        _ => None,
    }
}

/// Longest name of a schema, in bytes: what every warehouse takes, with room for a prefix of the operator's.
const MAX_SCHEMA: usize = 100;

/// The schema of a space: `personas_<space>`, in the form that every warehouse takes unquoted.
pub fn schema_name(prefix: &str, space: &str) -> Ident {
    let snake = snake_case(space);
    let name = format!("{prefix}{}", if snake.is_empty() { "default" } else { &snake });
    cut(name, MAX_SCHEMA, || space.to_owned())
}

fn cut(mut name: String, max: usize, full: impl Fn() -> String) -> Ident {
    if name.len() > max {
        name.truncate(max - 13);
        name.truncate(name.trim_end_matches('_').len());
        name.push('_');
        name.push_str(&hex12(full().as_bytes()));
    }
    Ident::new(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::DIALECT;

    /// NAM-4: Segment's own test vectors, then those of a literal port of its code.
    const GOLDEN: [(&str, &str); 65] = [
        ("sample text", "sample_text"),
        ("sample-text", "sample_text"),
        ("sample___text", "sample_text"),
        ("sampleText", "sample_text"),
        ("samPLE text", "sam_ple_text"),
        ("inviteYourCustomersAddInvites", "invite_your_customers_add_invites"),
        ("SAMPLE 2 TEXT", "sample_2_text"),
        ("   $#$sample   2    Text   ", "sample_2_text"),
        ("___$$Base64Encode", "base64_encode"),
        ("FOO:BAR$BAZ", "foo_bar_baz"),
        ("something.com", "something_com"),
        ("$something%", "something"),
        ("•¶§ƒ˚foo˙∆˚¬", "foo"),
        ("CStringRef", "cstring_ref"),
        ("5test", "5test"),
        ("THE5r", "the5r"),
        ("5TEst", "5test"),
        ("_5TEst", "5test"),
        ("@%#&5TEst", "5test"),
        ("edf_6N", "edf_6n"),
        ("f_pX9", "f_p_x9"),
        ("p_z9Rg", "p_z9_rg"),
        ("2FA Enabled", "2fa_enabled"),
        ("Enabled 2FA", "enabled_2fa"),
        ("@49L0S145_¬fwHƒ0TSLNVp", "49l0s145_fw_h_0tslnvp"),
        ("lk0B@bFmjrLQ_Z6YL", "lk0_b_b_fmjr_lq_z6yl"),
        ("userId", "user_id"),
        ("userID", "user_id"),
        ("Audience Entered", "audience_entered"),
        ("accountType", "account_type"),
        ("Trait Computed", "trait_computed"),
        ("total_revenue_180_days", "total_revenue_180_days"),
        ("order_completed_last_30days", "order_completed_last_30days"),
        ("createdAt", "created_at"),
        ("CreatedAt", "created_at"),
        ("iPhone", "i_phone"),
        ("iOS App", "i_os_app"),
        ("IPAddress", "ipaddress"),
        ("URLPath", "urlpath"),
        ("eCommerce", "e_commerce"),
        ("email_", "email"),
        ("_email", "email"),
        ("a__b", "a_b"),
        ("ios.idfa", "ios_idfa"),
        ("android.push_token", "android_push_token"),
        ("j_o_first_purchase__opened_email_dje83h", "j_o_first_purchase_opened_email_dje83h"),
        ("ABTest2Winner", "abtest2_winner"),
        ("Café Visited", "caf_visited"),
        ("100% Off", "100_off"),
        ("日本語", ""),
        ("$initial_referrer", "initial_referrer"),
        ("foo_BAR", "foo_bar"),
        ("foo_bar_", "foo_bar"),
        ("skuID", "sku_id"),
        ("last_30days", "last_30days"),
        ("", ""),
        ("_", ""),
        ("a", "a"),
        ("A", "a"),
        ("a_", "a"),
        ("_a_b", "a_b"),
        ("a_B", "a_b"),
        ("a1B", "a1_b"),
        ("1B", "1b"),
        ("a_1B2c", "a_1b2c"),
    ];

    #[test]
    fn golden_vectors() {
        for (name, snake) in GOLDEN {
            assert_eq!(snake_case(name), snake, "{name:?}");
        }
    }

    #[test]
    fn snake_case_is_idempotent_on_its_own_output() {
        for (name, _) in GOLDEN {
            let once = snake_case(name);
            assert_eq!(snake_case(&once), once, "{name:?}");
        }
    }

    fn body(path: &[&str]) -> String {
        column_name(Section::Body, path, &DIALECT).to_string()
    }

    #[test]
    fn user_names_never_shadow() {
        assert_eq!(body(&["id"]), "_id");
        assert_eq!(body(&["userId"]), "_user_id");
        assert_eq!(body(&["3doctors"]), "_3doctors");
        assert_eq!(body(&["context_flag"]), "_context_flag");
        assert_eq!(body(&["context", "flag"]), "_context_flag");
        assert_eq!(body(&["select"]), "_select");
        assert_eq!(body(&["name"]), "name");
        assert_eq!(column_name(Section::ViewBody, &["name"], &DIALECT), "_name");
        assert_eq!(column_name(Section::Context, &["id"], &DIALECT), "context_id");
        assert_eq!(column_name(Section::Context, &["3x"], &DIALECT), "context_3x");
    }

    #[test]
    fn nested_empty_and_long_names() {
        assert_eq!(body(&["address", "geo", "lat"]), "address_geo_lat");
        assert_eq!(body(&["日本語", "city"]), "city");
        let empty = body(&["日本語"]);
        assert!(empty.starts_with('_') && empty.len() == 13, "{empty}");
        assert_ne!(empty, body(&["中文"]));
        let long = "a".repeat(300);
        let name = body(&[&long]);
        assert_eq!(name.len(), DIALECT.max_identifier);
        assert_ne!(name, body(&[&format!("{long}b")]));
        let edge = format!("{}_bcdefghijklmnop", "a".repeat(DIALECT.max_identifier - 14));
        assert!(!body(&[&edge]).contains("__"), "the cut trims a trailing underscore");
    }

    #[test]
    fn event_tables() {
        let table = |event: &str| event_table_name(event, &DIALECT).to_string();
        assert_eq!(table("Order Completed"), "order_completed");
        assert_eq!(table("101 Account Update"), "_101_account_update");
        assert_eq!(table("Users"), "_users");
        assert_eq!(table("Home View"), "_home_view");
        assert_eq!(table("Commits"), "commits");
        assert!(table("日本語").starts_with("event_"));
        assert_eq!(schema_name("personas_", "Default Space"), "personas_default_space");
        assert_eq!(schema_name("personas_", "日本"), "personas_default");
        assert_eq!(schema_name("personas_", &"x".repeat(300)).as_str().len(), MAX_SCHEMA);
    }
}
