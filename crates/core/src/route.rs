//! Which warehouses an event is for: `integrations.Warehouses`.

use crate::event::{Call, Container, Node, Tape, Token};
use serde_json::value::RawValue;

/// The members of an object whose nodes are `start..end`, with their index.
pub(crate) fn members(tape: &Tape, start: usize, end: usize) -> impl Iterator<Item = (usize, &Node)> {
    let mut at = start;
    std::iter::from_fn(move || {
        let here = at;
        let node = tape.nodes[..end].get(here)?;
        at = match node.token {
            Token::Object(end) => end as usize,
            _ => here + 1,
        };
        Some((here, node))
    })
}

/// The value at a path below one kind of container; of several the last.
pub(crate) fn find(call: &Call, container: Container, path: &[&str]) -> Option<Token> {
    let tape = &call.tape;
    let mut found = None;
    for part in call.members.iter().filter(|part| part.container == container) {
        let (mut start, mut end) = (part.start as usize, part.end as usize);
        for (depth, key) in path.iter().enumerate() {
            let Some((at, node)) = members(tape, start, end).filter(|(_, node)| node.key.of(&tape.text) == *key).last()
            else {
                break;
            };
            if depth + 1 == path.len() {
                found = Some(node.token);
            } else if let Token::Object(inner) = node.token {
                (start, end) = (at + 1, inner as usize);
            } else {
                break;
            }
        }
    }
    found
}

/// The text at a path; what a batch's envelope says of the context counts where the call itself says nothing.
pub(crate) fn text<'c>(
    call: &'c Call,
    outer: Option<&'c Call>,
    container: Container,
    path: &[&str],
) -> Option<&'c str> {
    let of = |call: &'c Call| find(call, container, path).map(|token| (call, token));
    let (call, token) = of(call).or_else(|| outer.filter(|_| container == Container::Context).and_then(of))?;
    match token {
        Token::Text(span) => Some(span.of(&call.tape.text)),
        _ => None,
    }
}

/// Whether an event is for the warehouse of that name. `All: false` means other destinations, never warehouses.
/// What a batch's envelope says counts for calls that say nothing of warehouses.
pub(crate) fn is_for(call: &Call, outer: Option<&Call>, warehouse: Option<&str>) -> bool {
    let says = |call: &&Call| find(call, Container::Integrations, &["Warehouses"]).is_some();
    let Some(call) = [Some(call), outer].into_iter().flatten().find(says) else { return true };
    let bool_at = |path: &[&str]| match find(call, Container::Integrations, path) {
        Some(Token::Bool(bool)) => Some(bool),
        _ => None,
    };
    if bool_at(&["Warehouses"]) == Some(false) {
        return false;
    }
    match find(call, Container::Integrations, &["Warehouses", "warehouseIds"]) {
        Some(Token::Json(ids)) => {
            warehouse.is_some_and(|name| list(ids.of(&call.tape.text)).any(|id| id.as_str() == Some(name)))
        }
        _ => bool_at(&["Warehouses", "all"]) != Some(false),
    }
}

/// The entries of a JSON array, each read by itself: one that cannot be held does not hide the others.
pub(crate) fn list(json: &str) -> impl Iterator<Item = serde_json::Value> {
    let entries: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
    entries.into_iter().filter_map(|entry| serde_json::from_str(entry.get()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_table() {
        let is_for = |integrations: &str| {
            let mut call = Call::default();
            call.read(format!(r#"{{"integrations":{integrations}}}"#).as_bytes()).unwrap();
            super::is_for(&call, None, Some("wh1"))
        };
        assert!(is_for("{}"));
        assert!(is_for(r#"{"All":false}"#));
        assert!(is_for(r#"{"Warehouses":{"all":true}}"#));
        assert!(is_for(r#"{"Warehouses":true}"#));
        assert!(is_for(r#"{"Warehouses":{"warehouseIds":["wh0","wh1"]}}"#));
        assert!(is_for(r#"{"Warehouses":{"all":false,"warehouseIds":["wh1"]}}"#), "ids win");
        assert!(!is_for(r#"{"Warehouses":{"all":true,"warehouseIds":["wh2"]}}"#), "ids win");
        assert!(!is_for(r#"{"Warehouses":{"all":false}}"#));
        assert!(!is_for(r#"{"Warehouses":{"warehouseIds":[]}}"#));
        assert!(!is_for(r#"{"Warehouses":false}"#));
    }

    #[test]
    fn paths_are_followed_into_objects() {
        let mut call = Call::default();
        call.read(br#"{"context":{"a":{"x":1},"device":{"t":{"q":1},"id":"d"},"id":2}}"#).unwrap();
        let found = find(&call, Container::Context, &["device", "id"]);
        assert!(matches!(found, Some(Token::Text(span)) if span.of(&call.tape.text) == "d"));
        assert!(find(&call, Container::Context, &["a", "id"]).is_none());
        assert!(find(&call, Container::Traits, &["a"]).is_none());
    }
}
