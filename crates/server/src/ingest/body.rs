//! The pure part: the bytes of a request to what is spooled, or to what its sender is told.
//!
//! A request is read once. What a call lacks it gets here, and only here: `messageId`, `receivedAt`, the type that the
//! route says, `context.ip` where `context.direct` asks for it. Everything else stays as it was written.

use super::answer::Refusal;
use super::ids;
use super::json::{self, Members, Object, Raw};
use std::borrow::Cow;
use std::net::IpAddr;
use tablecast::core::discard::KEPT_BYTES;

/// Bytes that a single call may have.
pub const MAX_CALL: usize = 32 << 10;
/// Bytes that a batch body may have, after decompression.
pub const MAX_BATCH: usize = 500 << 10;
/// Calls that a batch may have; what is more becomes discards.
pub const MAX_CALLS: usize = 2_500;
/// Calls of a batch that are looked at one by one. Of the rest many share a discard, so that a small body cannot become a
/// large record: a call of two bytes would get a hundred more.
const MAX_APART: usize = 10 * MAX_CALLS;

/// What a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// One call, whose type is the route's name unless it says another itself.
    Call(&'static str),
    /// A batch body.
    Batch,
}

impl Route {
    /// Each name that a route has under `/v1`, the browser's short ones too.
    pub const ALL: [(&'static str, Route); 15] = [
        ("identify", Route::Call("identify")),
        ("track", Route::Call("track")),
        ("page", Route::Call("page")),
        ("screen", Route::Call("screen")),
        ("group", Route::Call("group")),
        ("alias", Route::Call("alias")),
        ("batch", Route::Batch),
        ("import", Route::Batch),
        ("i", Route::Call("identify")),
        ("t", Route::Call("track")),
        ("p", Route::Call("page")),
        ("s", Route::Call("screen")),
        ("g", Route::Call("group")),
        ("a", Route::Call("alias")),
        ("b", Route::Batch),
    ];

    /// Bytes that a body may have.
    pub fn limit(self) -> usize {
        match self {
            Route::Call(_) => MAX_CALL,
            Route::Batch => MAX_BATCH,
        }
    }
}

/// A request, read.
#[derive(Debug)]
pub(crate) struct Body<'j> {
    outer: Members<'j>,
    calls: Calls<'j>,
    /// Calls beyond [`MAX_APART`], as they were written, with commas between them: a text for each discard.
    rest: Vec<String>,
    /// How many calls that is.
    rest_calls: usize,
    type_of_route: Option<&'static str>,
}

#[derive(Debug)]
enum Calls<'j> {
    /// The body is one call itself.
    One,
    Batch(Vec<Item<'j>>),
}

#[derive(Debug)]
struct Item<'j> {
    raw: Raw<'j>,
    /// None if it is no object.
    members: Option<Members<'j>>,
}

/// What a request becomes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamped {
    /// A call or a batch body; none if nothing of it is new.
    pub(crate) calls: Option<Vec<u8>>,
    /// A batch body of the calls that were too many.
    pub(crate) surplus: Option<Vec<u8>>,
    /// The ids of what is new, as hashes. Not of the surplus: whoever sends it again in smaller batches does as he is told.
    pub(crate) ids: Vec<u128>,
    pub(crate) taken: u64,
    pub(crate) too_many: u64,
    pub(crate) duplicates: u64,
}

/// What is given to the calls of a request.
pub(crate) struct Given<'g> {
    /// Makes an id for a call that has none.
    pub(crate) new_id: &'g mut dyn FnMut() -> String,
    /// When the last call was received, in µs; those before it 1 µs earlier each.
    pub(crate) last: i64,
    /// Where the request came from.
    pub(crate) ip: Option<IpAddr>,
    /// Whether a call with this id was taken before.
    pub(crate) known: &'g dyn Fn(u128) -> bool,
}

impl<'j> Body<'j> {
    /// Reads a body; what is no JSON object is refused, and so is a call that is too large.
    pub(crate) fn read(route: Route, bytes: &'j [u8]) -> Result<Self, Refusal> {
        if bytes.len() > route.limit() {
            return Err(Refusal::too_large(route.limit()));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let wrong = |_| Refusal::bad("invalid_json", "the body is no JSON object");
        let outer: Members = serde_json::from_slice(bytes).map_err(wrong)?;
        let batch = if outer.get("type").is_some() { None } else { outer.get("batch").and_then(json::array) };
        let (mut rest, mut rest_calls) = (Vec::new(), 0);
        let calls = match batch {
            None if bytes.len() > MAX_CALL => return Err(Refusal::too_large(MAX_CALL)),
            None => Calls::One,
            Some(mut items) => {
                if let Some(nth) = items.iter().position(|item| item.get().len() > MAX_CALL) {
                    let message = format!("call {nth} of the batch is larger than {MAX_CALL} bytes");
                    return Err(Refusal::bad("too_large", message));
                }
                let apart = items.len().min(MAX_APART);
                (rest, rest_calls) = (together(&items[apart..]), items.len() - apart);
                items.truncate(apart);
                Calls::Batch(items.into_iter().map(|raw| Item { raw, members: Members::of(raw) }).collect())
            }
        };
        let type_of_route = match route {
            Route::Call(name) => Some(name),
            Route::Batch => None,
        };
        Ok(Body { outer, calls, rest, rest_calls, type_of_route })
    }

    /// The write key in the body, or in the first call that has one.
    pub(crate) fn write_key(&self) -> Option<Cow<'j, str>> {
        let own = |members: &Members<'j>| members.text("writeKey").filter(|key| !key.is_empty());
        own(&self.outer).or_else(|| match &self.calls {
            Calls::One => None,
            Calls::Batch(items) => items.iter().filter_map(|item| item.members.as_ref()).find_map(own),
        })
    }

    /// How many times it needs: one for each call.
    pub(crate) fn count(&self) -> usize {
        match &self.calls {
            Calls::One => 1,
            Calls::Batch(items) => items.len().max(1),
        }
    }

    /// What strict mode refuses: everything that would become a discard.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        match &self.calls {
            Calls::One => check_call(&self.outer, self.type_of_route).map_err(|code| Refusal::bad(code, explain(code))),
            Calls::Batch(items) if items.is_empty() => Err(Refusal::bad("empty_batch", explain("empty_batch"))),
            Calls::Batch(items) if items.len() > MAX_CALLS => {
                Err(Refusal::bad("batch_too_long", explain("batch_too_long")))
            }
            Calls::Batch(items) => {
                for (nth, item) in items.iter().enumerate() {
                    let checked = item.members.as_ref().map_or(Err("not_an_object"), |call| check_call(call, None));
                    checked
                        .map_err(|code| Refusal::bad(code, format!("call {nth} of the batch: {}", explain(code))))?;
                }
                Ok(())
            }
        }
    }

    /// Gives each call what it lacks, and leaves out those that were taken before.
    pub(crate) fn stamp(&self, given: &mut Given) -> Stamped {
        let mut stamped = Stamped::default();
        match &self.calls {
            Calls::One => {
                let mut out = Vec::with_capacity(256);
                let call = Stamp { outer: None, type_of_route: self.type_of_route, received_at: given.last };
                if call.write(&self.outer, None, given, &mut out, &mut stamped.ids) {
                    stamped.calls = Some(out);
                    stamped.taken = 1;
                } else {
                    stamped.duplicates = 1;
                }
            }
            Calls::Batch(items) => {
                let (calls, surplus) = items.split_at(items.len().min(MAX_CALLS));
                let first = given.last.saturating_sub(i64::try_from(items.len()).unwrap_or(0) - 1);
                let (out, taken) = self.batch(calls, &[], first, given, &mut stamped.ids);
                stamped.taken = taken;
                stamped.duplicates = calls.len() as u64 - taken;
                stamped.calls = (taken > 0 || items.is_empty()).then_some(out);
                if !surplus.is_empty() {
                    let first = first.saturating_add(i64::try_from(calls.len()).unwrap_or(0));
                    let (out, too_many) = self.batch(surplus, &self.rest, first, given, &mut Vec::new());
                    stamped.duplicates += surplus.len() as u64 - too_many;
                    stamped.too_many = too_many + self.rest_calls as u64;
                    stamped.surplus = (stamped.too_many > 0).then_some(out);
                }
            }
        }
        stamped
    }

    /// A batch body of some of the calls, and how many of them are new. What is in `rest` stands behind them.
    fn batch(
        &self,
        items: &[Item<'j>],
        rest: &[String],
        first: i64,
        given: &mut Given,
        ids: &mut Vec<u128>,
    ) -> (Vec<u8>, u64) {
        let shared = self.outer.get("context").and_then(Members::of);
        let bytes: usize = items.iter().map(|item| item.raw.get().len() + 100).sum();
        let bytes_of_rest: usize = rest.iter().map(|calls| calls.len() + 3).sum();
        let mut out = Vec::with_capacity(bytes + bytes_of_rest + 200);
        let mut object = Object::begin(&mut out);
        let mut taken = 0;
        // A key that stands twice: the planner takes the last one and keeps the others as discards.
        let mut others: Vec<Raw> = self.outer.0.iter().filter(|(key, _)| key == "batch").map(|(_, raw)| *raw).collect();
        if let Some(at) = others.iter().rposition(|raw| raw.get() != "null") {
            others.remove(at);
        }
        others.iter().for_each(|raw| object.raw("batch", raw.get()));
        let batch = object.key("batch");
        batch.push(b'[');
        for (received_at, item) in (first..).zip(items) {
            let before = batch.len();
            if taken > 0 {
                batch.push(b',');
            }
            let new = match &item.members {
                None => {
                    batch.extend_from_slice(item.raw.get().as_bytes());
                    true
                }
                Some(members) => Stamp { outer: shared.as_ref(), type_of_route: None, received_at }.write(
                    members,
                    Some(item.raw),
                    given,
                    batch,
                    ids,
                ),
            };
            if new { taken += 1 } else { batch.truncate(before) }
        }
        // An array is no call, so the planner keeps each of them as it stands.
        for (nth, calls) in rest.iter().enumerate() {
            batch.extend_from_slice(if taken > 0 || nth > 0 { b",[" } else { b"[" });
            batch.extend_from_slice(calls.as_bytes());
            batch.push(b']');
        }
        batch.push(b']');
        for (key, raw) in &self.outer.0 {
            match &**key {
                "batch" | "writeKey" => {}
                "context" if wants_ip(shared.as_ref(), None) => write_context(&mut object, raw, given.ip),
                _ => object.raw(key, raw.get()),
            }
        }
        object.end();
        (out, taken)
    }
}

/// Calls as they were written, as many in each text as a discard holds with brackets around them.
fn together(calls: &[Raw]) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for call in calls.iter().map(|call| call.get()) {
        match texts.last_mut() {
            Some(text) if text.len() + call.len() + 3 <= KEPT_BYTES => {
                text.push(',');
                text.push_str(call);
            }
            _ => texts.push(call.to_owned()),
        }
    }
    texts
}

struct Stamp<'s, 'j> {
    /// The context that all calls of the batch share.
    outer: Option<&'s Members<'j>>,
    type_of_route: Option<&'static str>,
    received_at: i64,
}

impl Stamp<'_, '_> {
    /// Writes a call; false if it was taken before.
    fn write(
        &self,
        call: &Members,
        raw: Option<Raw>,
        given: &mut Given,
        out: &mut Vec<u8>,
        ids: &mut Vec<u128>,
    ) -> bool {
        let own_id = id_of(call);
        if let Id::Known(hash) = own_id {
            if (given.known)(hash) {
                return false;
            }
            ids.push(hash);
        }
        let context = call.get("context").and_then(Members::of);
        let needs_ip = given.ip.is_some() && wants_ip(context.as_ref(), self.outer);
        let untouched = !needs_ip && !call.has("receivedAt") && !call.has("writeKey") && !call.0.is_empty();
        let mut object = match raw {
            // Most calls only get something at their end.
            Some(raw) if untouched => {
                let text = raw.get();
                out.extend_from_slice(text[..text.len() - 1].trim_ascii_end().as_bytes());
                Object::goes_on(out)
            }
            _ => {
                let mut object = Object::begin(out);
                if let Some(name) = self.type_of_route
                    && call.get("type").is_none()
                {
                    object.text("type", name);
                }
                for (key, raw) in &call.0 {
                    match &**key {
                        "receivedAt" | "writeKey" => {}
                        "context" if needs_ip => write_context(&mut object, raw, given.ip),
                        _ => object.raw(key, raw.get()),
                    }
                }
                object
            }
        };
        if own_id == Id::None {
            object.text("messageId", &(given.new_id)());
        }
        object.text("receivedAt", &tablecast::core::time::format(self.received_at));
        object.end();
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    None,
    Known(u128),
    /// One that the planner will not take as an id, or that cannot be compared.
    Odd,
}

/// A call's id as all tables have it: numbers as text, no NUL, no blanks around it; empty is absent.
fn id_of(call: &Members) -> Id {
    let Some(raw) = call.get("messageId") else { return Id::None };
    match raw.get().as_bytes().first() {
        Some(b'"') => match json::text(raw) {
            None => Id::Odd,
            Some(text) => {
                let text = if text.contains('\0') { Cow::from(text.replace('\0', "")) } else { text };
                let text = text.trim();
                if text.is_empty() { Id::None } else { Id::Known(ids::hash(text)) }
            }
        },
        Some(b'-' | b'0'..=b'9') => Id::Known(ids::hash(raw.get())),
        // What cannot be an id is discarded as a value; the call still needs one.
        _ => Id::None,
    }
}

/// The ids of a payload of the spool, as hashes.
pub(crate) fn ids_of(payload: &[u8]) -> Vec<u128> {
    let Ok(body) = Body::read_spooled(payload) else { return Vec::new() };
    let known = |call: &Members| match id_of(call) {
        Id::Known(hash) => Some(hash),
        Id::None | Id::Odd => None,
    };
    match &body.calls {
        Calls::One => known(&body.outer).into_iter().collect(),
        Calls::Batch(items) => items.iter().filter_map(|item| item.members.as_ref()).filter_map(known).collect(),
    }
}

impl<'j> Body<'j> {
    fn read_spooled(payload: &'j [u8]) -> serde_json::Result<Self> {
        let outer: Members = serde_json::from_slice(payload)?;
        let batch = if outer.get("type").is_some() { None } else { outer.get("batch").and_then(json::array) };
        let calls = batch.map_or(Calls::One, |items| {
            Calls::Batch(items.into_iter().map(|raw| Item { raw, members: Members::of(raw) }).collect())
        });
        Ok(Body { outer, calls, rest: Vec::new(), rest_calls: 0, type_of_route: None })
    }
}

/// Whether the server is to say where the call came from: `context.direct` is true, and nobody has said it.
fn wants_ip(context: Option<&Members>, outer: Option<&Members>) -> bool {
    let both = || [context, outer].into_iter().flatten();
    context.is_some_and(|context| context.get("direct").is_some_and(|raw| raw.get() == "true"))
        && !both().any(|context| context.get("ip").is_some())
}

fn write_context(object: &mut Object, raw: Raw, ip: Option<IpAddr>) {
    match (Members::of(raw), ip) {
        (Some(context), Some(ip)) => {
            let mut inner = Object::begin(object.key("context"));
            for (key, raw) in &context.0 {
                inner.raw(key, raw.get());
            }
            inner.text("ip", &ip.to_string());
            inner.end();
        }
        _ => object.raw("context", raw.get()),
    }
}

/// The documented code of what is wrong with a call.
fn check_call(call: &Members, type_of_route: Option<&'static str>) -> Result<(), &'static str> {
    let kind = match call.get("type") {
        None => type_of_route.map(Cow::Borrowed),
        Some(raw) => json::text(raw),
    };
    let kind = kind.ok_or("unknown_type")?;
    let string = |key: &str, code| match call.get(key) {
        Some(raw) if !raw.get().starts_with('"') => Err(code),
        _ => Ok(()),
    };
    let object = |key: &str, code| match call.get(key) {
        Some(raw) if !raw.get().starts_with('{') => Err(code),
        _ => Ok(()),
    };
    // Ids may be numbers too: all tables have them as text.
    let id = |key: &str| match call.get(key) {
        None => Ok(false),
        Some(raw) => match raw.get().as_bytes().first() {
            Some(b'"') => Ok(json::text(raw).is_some_and(|text| !text.trim().is_empty())),
            Some(b'-' | b'0'..=b'9') => Ok(true),
            _ => Err("id_not_string"),
        },
    };
    id("messageId")?;
    let somebody = id("userId")? | id("anonymousId")?;
    object("context", "context_not_object")?;
    object("integrations", "integrations_not_object")?;
    object("traits", "traits_not_object")?;
    object("properties", "properties_not_object")?;
    match &*kind {
        "group" => {
            if !id("groupId")? {
                return Err("id_required");
            }
            return Ok(());
        }
        "alias" => {
            if !somebody || !id("previousId")? {
                return Err("id_required");
            }
        }
        "track" => {
            string("event", "event_not_string")?;
            if call.text("event").is_none_or(|event| event.trim().is_empty()) {
                return Err("event_not_defined");
            }
        }
        "page" | "screen" => {
            string("name", "name_not_string")?;
            string("category", "category_not_string")?;
        }
        "identify" => {}
        _ => return Err("unknown_type"),
    }
    if somebody { Ok(()) } else { Err("no_user_anon_id") }
}

fn explain(code: &str) -> &'static str {
    match code {
        "empty_batch" => "send at least one call in `batch`",
        "batch_too_long" => "send at most 2500 calls in a batch",
        "not_an_object" => "a call is a JSON object",
        "unknown_type" => "`type` is one of identify, track, page, screen, group, alias",
        "id_not_string" => "ids are strings",
        "id_required" => "a group call needs `groupId`, an alias call needs `userId` and `previousId`",
        "no_user_anon_id" => "give `userId` or `anonymousId`",
        "event_not_defined" => "a track call needs the name of its `event`",
        "event_not_string" => "`event` is a string",
        "name_not_string" => "`name` is a string",
        "category_not_string" => "`category` is a string",
        "traits_not_object" => "`traits` is an object",
        "properties_not_object" => "`properties` is an object",
        "context_not_object" => "`context` is an object",
        "integrations_not_object" => "`integrations` is an object",
        _ => "look at the documentation of the HTTP API",
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
