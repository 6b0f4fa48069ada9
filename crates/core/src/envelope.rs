//! The envelope of a call: its kind, its canonical ids and its times, or why it is no call.

use crate::cell::Cell;
use crate::discard::Reason;
use crate::event::{Call, Field, Token};
use crate::origin::Origin;
use crate::rules::{Arrays, Timestamps};
use crate::time;
use std::borrow::Cow;

/// Longest id, in bytes.
const MAX_ID: usize = 512;

/// The six kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Identify,
    Track,
    Page,
    Screen,
    Group,
    Alias,
}

impl Kind {
    fn of(name: &str) -> Option<Kind> {
        Some(match name {
            "identify" => Kind::Identify,
            "track" => Kind::Track,
            "page" => Kind::Page,
            "screen" => Kind::Screen,
            "group" => Kind::Group,
            "alias" => Kind::Alias,
            _ => return None,
        })
    }

    /// The append table of all calls of the kind.
    pub(crate) fn table(self) -> &'static str {
        match self {
            Kind::Identify => "identifies",
            Kind::Track => "tracks",
            Kind::Page => "pages",
            Kind::Screen => "screens",
            Kind::Group => "groups",
            Kind::Alias => "aliases",
        }
    }
}

/// What was read of a call's envelope. Times are µs since 1970.
#[derive(Debug)]
pub(crate) struct Envelope<'c> {
    pub(crate) id: Cow<'c, str>,
    pub(crate) user_id: Option<Cow<'c, str>>,
    pub(crate) anonymous_id: Option<Cow<'c, str>>,
    pub(crate) group_id: Option<Cow<'c, str>>,
    pub(crate) previous_id: Option<Cow<'c, str>>,
    pub(crate) received_at: i64,
    pub(crate) sent_at: Option<i64>,
    pub(crate) original: Option<i64>,
    pub(crate) timestamp: i64,
    /// Fields that could not be used.
    pub(crate) unusable: Vec<(Field, Reason)>,
}

/// A call that becomes a discard as a whole.
#[derive(Debug)]
pub(crate) struct Rejected {
    pub(crate) event_id: String,
    /// The table it would have gone to, if that is known.
    pub(crate) table: &'static str,
    pub(crate) reason: Reason,
    pub(crate) received_at: i64,
}

/// Reads the envelope of a call; `stamped` is the time that it gets if it has none.
pub(crate) fn read<'c>(
    call: &'c Call,
    outer: Option<&'c Call>,
    origin: &mut Origin,
    bytes: &[u8],
    stamped: i64,
) -> Result<(Kind, Envelope<'c>), Rejected> {
    let mut unusable = Vec::new();
    let received_at = moment(call, Field::ReceivedAt, &mut unusable).unwrap_or(stamped);
    let kind = call.text(Field::Type).and_then(Kind::of);
    let table = kind.map_or("", Kind::table);
    let rejected = |event_id: String, reason| Rejected { event_id, table, reason, received_at };

    let id = match canonical_id(call, Field::MessageId, &mut unusable) {
        Ok(Some(id)) => id,
        Ok(None) => format!("{:032x}", origin.id_for(bytes)).into(),
        Err(reason) => return Err(rejected(format!("{:032x}", origin.id_for(bytes)), reason)),
    };
    let reject = |reason| rejected(id.to_string(), reason);
    let Some(kind) = kind else { return Err(reject(Reason::UnknownType)) };
    let user_id = canonical_id(call, Field::UserId, &mut unusable).map_err(reject)?;
    let anonymous_id = canonical_id(call, Field::AnonymousId, &mut unusable).map_err(reject)?;
    let group_id = canonical_id(call, Field::GroupId, &mut unusable).map_err(reject)?;
    let previous_id = canonical_id(call, Field::PreviousId, &mut unusable).map_err(reject)?;
    let nobody = user_id.is_none() && anonymous_id.is_none();
    match kind {
        Kind::Group if group_id.is_none() => return Err(reject(Reason::IdRequired)),
        Kind::Alias if nobody || previous_id.is_none() => return Err(reject(Reason::IdRequired)),
        Kind::Identify | Kind::Track | Kind::Page | Kind::Screen if nobody => return Err(reject(Reason::NoUserAnonId)),
        _ => {}
    }
    match (kind, call.field(Field::Event)) {
        (Kind::Track, None) => return Err(reject(Reason::EventNotDefined)),
        (Kind::Track, Some(Token::Text(span))) if span.of(&call.tape.text).trim().is_empty() => {
            return Err(reject(Reason::EventNotDefined));
        }
        (Kind::Track, Some(Token::Text(_))) | (_, None) => {}
        (Kind::Track, Some(_)) => return Err(reject(Reason::EventNotString)),
        (_, Some(_)) => unusable.push((Field::Event, Reason::UnknownField)),
    }
    for (field, reason) in [(Field::Name, Reason::NameNotString), (Field::Category, Reason::CategoryNotString)] {
        match (kind, call.field(field)) {
            (Kind::Page | Kind::Screen, Some(Token::Text(_))) | (_, None) => {}
            (Kind::Page | Kind::Screen, Some(_)) => unusable.push((field, reason)),
            (_, Some(_)) => unusable.push((field, Reason::UnknownField)),
        }
    }

    let sent_at = moment(call, Field::SentAt, &mut unusable)
        .or_else(|| outer.and_then(|outer| moment(outer, Field::SentAt, &mut Vec::new())));
    let given = moment(call, Field::Timestamp, &mut unusable);
    // Most senders write the same time twice.
    let same = given.is_some() && call.text(Field::Timestamp) == call.text(Field::OriginalTimestamp);
    let original = if same { given } else { moment(call, Field::OriginalTimestamp, &mut unusable) };
    let (original, timestamp) = match (original, given) {
        (Some(original), Some(timestamp)) => (Some(original), timestamp),
        (Some(original), None) | (None, Some(original)) => (Some(original), corrected(original, sent_at, received_at)),
        (None, None) => (None, received_at),
    };
    Ok((
        kind,
        Envelope {
            id,
            user_id,
            anonymous_id,
            group_id,
            previous_id,
            received_at,
            sent_at,
            original,
            timestamp,
            unusable,
        },
    ))
}

/// The event's time by the server's clock: a client's skew is what its send time differs from the receipt.
fn corrected(original: i64, sent_at: Option<i64>, received_at: i64) -> i64 {
    let Some(sent_at) = sent_at else { return original };
    let corrected = received_at.saturating_sub(sent_at.saturating_sub(original));
    if (time::MIN..=time::MAX).contains(&corrected) { corrected } else { original }
}

/// Without the blanks around it; looking at both ends is enough to see that there are none.
fn trimmed(text: &str) -> &str {
    let is_plain = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_graphic);
    if is_plain(text.as_bytes().first()) && is_plain(text.as_bytes().last()) { text } else { text.trim() }
}

fn moment(call: &Call, field: Field, unusable: &mut Vec<(Field, Reason)>) -> Option<i64> {
    let token = call.field(field)?;
    if let Token::Text(span) = token
        && let Some(parsed) = time::parse(span.of(&call.tape.text), Timestamps::Iso8601)
    {
        return Some(parsed.micros);
    }
    unusable.push((field, Reason::TimestampNotIso8601));
    None
}

/// An id as all tables have it: numbers as text, no NUL, no blanks around it; empty is absent.
fn canonical_id<'c>(
    call: &'c Call,
    field: Field,
    unusable: &mut Vec<(Field, Reason)>,
) -> Result<Option<Cow<'c, str>>, Reason> {
    let text = &call.tape.text;
    let id = match call.field(field) {
        None => return Ok(None),
        Some(Token::Text(span)) => Cow::Borrowed(trimmed(span.of(text))),
        Some(token @ Token::Number(_)) => match Cell::read(token, text, Timestamps::Off, Arrays::Text) {
            Ok(cell) => cell.canonical(text),
            Err(_) => {
                unusable.push((field, Reason::NumberOverflow));
                return Ok(None);
            }
        },
        Some(_) => {
            unusable.push((field, Reason::IdNotString));
            return Ok(None);
        }
    };
    if id.len() > MAX_ID {
        return Err(Reason::IdTooLong);
    }
    Ok(Some(id).filter(|id| !id.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(fields: &str) -> (String, Option<String>) {
        let mut call = Call::default();
        call.read(format!(r#"{{"type":"identify","userId":"u",{fields}}}"#).as_bytes()).unwrap();
        let (_, envelope) = read(&call, None, &mut Origin::file("", 0), b"", 7).unwrap();
        (time::format(envelope.timestamp), envelope.original.map(time::format))
    }

    #[test]
    fn times_follow_the_documented_rules() {
        let skewed = r#""originalTimestamp":"2026-01-01T10:00:00Z","sentAt":"2026-01-01T10:00:05Z","receivedAt":"2026-01-01T09:58:05Z""#;
        assert_eq!(times(skewed).0, "2026-01-01T09:58:00.000000Z");
        let kept = format!(r#"{skewed},"timestamp":"2026-01-01T00:00:00Z""#);
        assert_eq!(times(&kept).0, "2026-01-01T00:00:00.000000Z");
        let lone = r#""timestamp":"2026-01-01T10:00:00Z","receivedAt":"2026-01-01T12:00:00Z""#;
        let ten = "2026-01-01T10:00:00.000000Z";
        assert_eq!(times(lone), (ten.into(), Some(ten.into())), "no sentAt, no correction");
        assert_eq!(times(r#""receivedAt":"2026-01-01T10:00:00Z""#), (ten.into(), None));
        assert_eq!(times(r#""messageId":"m""#).0, "1970-01-01T00:00:00.000007Z");
    }

    #[test]
    fn ids_are_canonical() {
        let id = |json: &str| {
            let mut call = Call::default();
            call.read(format!(r#"{{"type":"identify","anonymousId":"a","userId":{json}}}"#).as_bytes()).unwrap();
            let read = read(&call, None, &mut Origin::file("", 0), b"", 0);
            read.map(|(_, envelope)| (envelope.user_id.map(Cow::into_owned), envelope.unusable.len()))
                .map_err(|rejected| rejected.reason)
        };
        let some = |id: &str| Ok((Some(id.to_owned()), 0));
        assert_eq!(id("\"u1\""), some("u1"));
        assert_eq!(id("\" u\\u00001 \""), some("u1"));
        assert_eq!(id("17"), some("17"));
        assert_eq!(id("18446744073709551616"), some("18446744073709551616"));
        assert_eq!(id("\"  \""), Ok((None, 0)));
        assert_eq!(id("null"), Ok((None, 0)));
        assert_eq!(id("true"), Ok((None, 1)));
        assert_eq!(id("[1]"), Ok((None, 1)));
        assert_eq!(id(&format!("\"{}\"", "é".repeat(256))), some(&"é".repeat(256)));
        assert_eq!(id(&format!("\"{}\"", "x".repeat(513))), Err(Reason::IdTooLong));
    }

    #[test]
    fn what_is_no_call_says_why() {
        for (json, table, reason) in [
            ("{}", "", Reason::UnknownType),
            (r#"{"type":"delete","userId":"u"}"#, "", Reason::UnknownType),
            (r#"{"type":"identify"}"#, "identifies", Reason::NoUserAnonId),
            (r#"{"type":"track","userId":"u"}"#, "tracks", Reason::EventNotDefined),
            (r#"{"type":"track","userId":"u","event":" "}"#, "tracks", Reason::EventNotDefined),
            (r#"{"type":"track","userId":"u","event":3}"#, "tracks", Reason::EventNotString),
            (r#"{"type":"group","userId":"u"}"#, "groups", Reason::IdRequired),
            (r#"{"type":"alias","userId":"u"}"#, "aliases", Reason::IdRequired),
        ] {
            let mut call = Call::default();
            call.read(json.as_bytes()).unwrap();
            let rejected = read(&call, None, &mut Origin::file("", 0), json.as_bytes(), 0).unwrap_err();
            assert_eq!((rejected.table, rejected.reason), (table, reason), "{json}");
        }
    }
}
