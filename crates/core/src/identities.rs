//! The external ids of a call: what ties a person's devices, mails and accounts together.

use crate::event::{Call, Container, Token};
use crate::plan::Fold;
use crate::route;
use crate::table::CoreColumn;
use crate::types::Type;

/// The columns of `identities`, one row per `type:value`.
pub(crate) const COLUMNS: [CoreColumn; 7] = [
    ("id", Type::Text, Fold::Once),
    ("received_at", Type::Timestamp, Fold::Max),
    ("type", Type::Text, Fold::Once),
    ("value", Type::Text, Fold::Once),
    ("user_id", Type::Text, Fold::Latest),
    ("first_seen", Type::Timestamp, Fold::Min),
    ("last_seen", Type::Timestamp, Fold::Max),
];

/// Longest value of an id, in bytes, as for the ids of the envelope.
const MAX_ID: usize = 512;
/// Most ids of one call.
const MAX_IDS: usize = 1_000;

/// All external ids of a call as (type, value), each once.
pub(crate) fn of(call: &Call, outer: Option<&Call>, known: [(&str, Option<&str>); 2]) -> Vec<(String, String)> {
    let mut ids: Vec<(String, String)> = Vec::new();
    let mut add = |kind: &str, value: &str| {
        let value = value.trim();
        // The key is `type:value`, so a type has no colon.
        let kind_fits = !kind.is_empty() && kind.len() <= MAX_ID && !kind.contains(':');
        let fits = kind_fits && !value.is_empty() && value.len() <= MAX_ID && ids.len() < MAX_IDS;
        if fits && !ids.iter().any(|(k, v)| k == kind && v == value) {
            ids.push((kind.to_owned(), value.to_owned()));
        }
    };
    for (kind, value) in known {
        add(kind, value.unwrap_or_default());
    }
    if call.members.is_empty() && outer.is_none() {
        return ids;
    }
    let text = |container, path: &[&str]| route::text(call, outer, container, path);
    let in_context = |path: &[&str]| {
        let of = |call| route::find(call, Container::Context, path);
        of(call).or_else(|| outer.and_then(of))
    };
    let emails = [
        text(Container::Traits, &["email"]),
        text(Container::Properties, &["email"]),
        text(Container::Context, &["traits", "email"]),
    ];
    for email in emails.into_iter().flatten() {
        add("email", email);
    }
    if let Some(platform @ ("android" | "ios")) =
        text(Container::Context, &["device", "type"]).map(str::to_ascii_lowercase).as_deref()
    {
        let device = |key| text(Container::Context, &["device", key]);
        add(&format!("{platform}.id"), device("id").unwrap_or_default());
        add(&format!("{platform}.push_token"), device("token").unwrap_or_default());
        if in_context(&["device", "adTrackingEnabled"]) == Some(Token::Bool(true)) {
            add(&format!("{platform}.idfa"), device("advertisingId").unwrap_or_default());
        }
    }
    if let Some(client) = text(Container::Context, &["integrations", "Google Analytics", "clientId"]) {
        add("ga_client_id", client);
    }
    for call in [Some(call), outer].into_iter().flatten() {
        if let Some(Token::Json(list)) = route::find(call, Container::Context, &["externalIds"]) {
            for entry in route::list(list.of(&call.tape.text)) {
                let part = |key: &str| entry.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
                if part("collection") == "users" && part("encoding") == "none" {
                    add(part("type"), part("id"));
                }
            }
            break;
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_where_they_are_documented() {
        let mut call = Call::default();
        call.read(
            br#"{"traits":{"email":" a@b.c "},"context":{"traits":{"email":"a@b.c"},"device":{"type":"iOS","id":"d","token":"t",
            "advertisingId":"x","adTrackingEnabled":false},"externalIds":[{"id":"c1","type":"crm","collection":"users","encoding":"none"},
            {"id":"g1","type":"crm","collection":"accounts","encoding":"none"},7]}}"#,
        )
        .unwrap();
        let ids = of(&call, None, [("user_id", Some("u1")), ("anonymous_id", None)]);
        let shown: Vec<String> = ids.iter().map(|(kind, value)| format!("{kind}:{value}")).collect();
        assert_eq!(shown, ["user_id:u1", "email:a@b.c", "ios.id:d", "ios.push_token:t", "crm:c1"]);
    }
}
