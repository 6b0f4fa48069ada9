//! Reading one call: bytes to a flat list of nodes, in document order, without deciding anything about tables.
//!
//! A [`Call`] is a reusable buffer. Strings are unescaped into its text; arrays, and objects deeper than
//! [`MAX_DEPTH`], stay JSON text. Numbers stay as written: what they become is decided where types are known.

use crate::discard::Reason;
use jiter::{Jiter, JiterError, Peek};

/// Objects nested deeper than this stay JSON text.
pub(crate) const MAX_DEPTH: usize = 32;

/// A piece of a text buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// The bytes of `text` from `start` to its end. Buffers stay under 4 GiB.
    pub(crate) fn since(start: usize, text: &str) -> Span {
        Span::at(start, text.len() - start)
    }

    /// A piece that starts at `start`.
    #[inline]
    fn at(start: usize, len: usize) -> Span {
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { start: narrow(start), len: narrow(len) }
    }

    /// The piece from `start` to `end`.
    #[inline]
    pub(crate) fn between(start: u32, end: u32) -> Span {
        Span { start, len: end - start }
    }

    pub(crate) fn len(self) -> usize {
        self.len as usize
    }

    #[inline]
    pub(crate) fn of(self, text: &str) -> &str {
        &text[self.start as usize..self.start as usize + self.len as usize]
    }
}

/// A JSON value, as far as it was looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Null,
    Bool(bool),
    /// As written.
    Number(Span),
    Text(Span),
    /// Compact JSON: an array, or an object beyond the depth limit.
    Json(Span),
    /// An object; its members are the nodes up to this index.
    Object(u32),
}

/// A member of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) key: Span,
    pub(crate) token: Token,
}

/// Nodes and the text that they point into: the line itself, then what of it had to be unescaped or compacted.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    pub(crate) text: String,
    pub(crate) nodes: Vec<Node>,
}

/// The fields of a call that are not containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Type,
    MessageId,
    UserId,
    AnonymousId,
    GroupId,
    PreviousId,
    Event,
    Name,
    Category,
    Timestamp,
    OriginalTimestamp,
    SentAt,
    ReceivedAt,
}

impl Field {
    pub(crate) const COUNT: usize = Field::ALL.len();

    pub(crate) const ALL: [Field; 13] = [
        Field::Type,
        Field::MessageId,
        Field::UserId,
        Field::AnonymousId,
        Field::GroupId,
        Field::PreviousId,
        Field::Event,
        Field::Name,
        Field::Category,
        Field::Timestamp,
        Field::OriginalTimestamp,
        Field::SentAt,
        Field::ReceivedAt,
    ];

    /// The key in a call.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Field::Type => "type",
            Field::MessageId => "messageId",
            Field::UserId => "userId",
            Field::AnonymousId => "anonymousId",
            Field::GroupId => "groupId",
            Field::PreviousId => "previousId",
            Field::Event => "event",
            Field::Name => "name",
            Field::Category => "category",
            Field::Timestamp => "timestamp",
            Field::OriginalTimestamp => "originalTimestamp",
            Field::SentAt => "sentAt",
            Field::ReceivedAt => "receivedAt",
        }
    }
}

/// The containers of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    Context,
    Traits,
    Properties,
    Integrations,
}

/// One container as it stood in the call: its nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Members {
    pub(crate) container: Container,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A field or container whose value cannot be used, as compact JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stray {
    pub(crate) key: Span,
    pub(crate) value: Span,
    pub(crate) reason: Reason,
}

/// The `batch` of a body: the byte ranges of its calls, and where it stands.
#[derive(Debug)]
struct Batch {
    calls: Vec<(usize, usize)>,
    key: Span,
    value: Span,
}

/// One call, read. Reused from call to call.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(crate) tape: Tape,
    pub(crate) members: Vec<Members>,
    pub(crate) strays: Vec<Stray>,
    fields: [Option<Token>; Field::COUNT],
    batch: Option<Batch>,
}

impl Call {
    /// A field's value; `None` if it is absent or null.
    pub(crate) fn field(&self, field: Field) -> Option<Token> {
        self.fields[field as usize]
    }

    /// A field's text, if it is a string.
    pub(crate) fn text(&self, field: Field) -> Option<&str> {
        match self.field(field) {
            Some(Token::Text(span)) => Some(span.of(&self.tape.text)),
            _ => None,
        }
    }

    /// The byte ranges of the calls, if it is a batch body: one that has a `batch` and is no call itself.
    pub(crate) fn take_batch(&mut self) -> Option<Vec<(usize, usize)>> {
        let batch = self.batch.take()?;
        if self.field(Field::Type).is_none() {
            return Some(batch.calls);
        }
        self.strays.push(Stray { key: batch.key, value: batch.value, reason: Reason::UnknownField });
        None
    }

    /// Bytes of the values of its context, about.
    pub(crate) fn context_bytes(&self) -> usize {
        let context = self.members.iter().filter(|part| part.container == Container::Context);
        let nodes = context.flat_map(|part| &self.tape.nodes[part.start as usize..part.end as usize]);
        let bytes = nodes.map(|node| match node.token {
            Token::Number(span) | Token::Text(span) | Token::Json(span) => 16 + span.len(),
            Token::Null | Token::Bool(_) | Token::Object(_) => 16,
        });
        bytes.sum()
    }

    /// Reads a whole call, or the envelope of a batch body.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        self.tape.text.clear();
        self.tape.nodes.clear();
        self.members.clear();
        self.strays.clear();
        self.fields = [None; Field::COUNT];
        self.batch = None;
        let Ok(json) = std::str::from_utf8(bytes) else { return Err(Reason::InvalidUtf8) };
        self.tape.text.push_str(json);
        let mut reader = Reader { jiter: Jiter::new(bytes), json };
        match reader.jiter.peek() {
            Ok(Peek::Object) => {}
            Ok(_) if reader.skip().is_ok() && reader.jiter.finish().is_ok() => return Err(Reason::NotAnObject),
            _ => return Err(Reason::InvalidJson),
        }
        let read = self.read_object(&mut reader).and_then(|()| reader.jiter.finish());
        read.map_err(|_| Reason::InvalidJson)
    }

    fn read_object(&mut self, reader: &mut Reader) -> Result<(), JiterError> {
        let mut next = reader.jiter.known_object()?.map(|key| place(key, reader.json, &mut self.tape.text));
        while let Some(key) = next {
            let peek = reader.jiter.peek()?;
            self.read_member(reader, key, peek)?;
            next = reader.jiter.next_key()?.map(|key| place(key, reader.json, &mut self.tape.text));
        }
        Ok(())
    }

    fn read_member(&mut self, reader: &mut Reader, key: Span, peek: Peek) -> Result<(), JiterError> {
        let field = match key.of(&self.tape.text).as_bytes() {
            b"type" => Field::Type,
            b"messageId" => Field::MessageId,
            b"userId" => Field::UserId,
            b"anonymousId" => Field::AnonymousId,
            b"groupId" => Field::GroupId,
            b"previousId" => Field::PreviousId,
            b"event" => Field::Event,
            b"name" => Field::Name,
            b"category" => Field::Category,
            b"timestamp" => Field::Timestamp,
            b"originalTimestamp" => Field::OriginalTimestamp,
            b"sentAt" => Field::SentAt,
            b"receivedAt" => Field::ReceivedAt,
            b"context" => return self.read_members(reader, key, peek, Container::Context),
            b"traits" => return self.read_members(reader, key, peek, Container::Traits),
            b"properties" => return self.read_members(reader, key, peek, Container::Properties),
            b"integrations" => return self.read_members(reader, key, peek, Container::Integrations),
            b"batch" if peek == Peek::Array => return self.read_batch(reader, key),
            // Documented not to reach a warehouse.
            b"channel" | b"version" | b"projectId" | b"metadata" | b"_metadata" | b"writeKey" => return reader.skip(),
            _ => return self.read_stray(reader, key, Reason::UnknownField),
        };
        let token = match peek {
            Peek::Object | Peek::Array => Token::Json(reader.compact(&mut self.tape.text)?),
            _ => self.tape.scalar(reader, peek)?,
        };
        if token != Token::Null
            && let Some(earlier) = self.fields[field as usize].replace(token)
        {
            // The key stands twice; the later one counts.
            let value = self.tape.json_of(earlier);
            self.strays.push(Stray { key, value, reason: Reason::ColumnCollision });
        }
        Ok(())
    }

    fn read_members(
        &mut self,
        reader: &mut Reader,
        key: Span,
        peek: Peek,
        container: Container,
    ) -> Result<(), JiterError> {
        match peek {
            Peek::Object => {
                let start = self.tape.nodes.len();
                self.tape.object(reader, 1)?;
                let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                self.members.push(Members { container, start: narrow(start), end: narrow(self.tape.nodes.len()) });
                Ok(())
            }
            Peek::Null => reader.jiter.known_null(),
            _ => {
                let reason = match container {
                    Container::Context => Reason::ContextNotObject,
                    Container::Traits => Reason::TraitsNotObject,
                    Container::Properties => Reason::PropertiesNotObject,
                    Container::Integrations => Reason::IntegrationsNotObject,
                };
                self.read_stray(reader, key, reason)
            }
        }
    }

    fn read_stray(&mut self, reader: &mut Reader, key: Span, reason: Reason) -> Result<(), JiterError> {
        let null = reader.jiter.peek()? == Peek::Null;
        let value = reader.compact(&mut self.tape.text)?;
        if !null {
            self.strays.push(Stray { key, value, reason });
        }
        Ok(())
    }

    fn read_batch(&mut self, reader: &mut Reader, key: Span) -> Result<(), JiterError> {
        let begin = reader.jiter.current_index();
        let mut calls = Vec::new();
        let mut next = reader.jiter.known_array()?;
        while next.is_some() {
            let start = reader.jiter.current_index();
            reader.skip()?;
            calls.push((start, reader.jiter.current_index()));
            next = reader.jiter.array_step()?;
        }
        // The text begins with the line, so that places in the line are places in the text.
        let value = Span::at(begin, reader.jiter.current_index() - begin);
        if let Some(earlier) = self.batch.replace(Batch { calls, key, value }) {
            self.strays.push(Stray { key: earlier.key, value: earlier.value, reason: Reason::ColumnCollision });
        }
        Ok(())
    }
}

impl Tape {
    fn push(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        Span::since(start, &self.text)
    }

    fn object(&mut self, reader: &mut Reader, depth: usize) -> Result<(), JiterError> {
        let mut next = reader.jiter.known_object()?.map(|key| place(key, reader.json, &mut self.text));
        while let Some(key) = next {
            let at = self.nodes.len();
            self.nodes.push(Node { key, token: Token::Null });
            let token = match reader.jiter.peek()? {
                Peek::Object if depth < MAX_DEPTH => {
                    self.object(reader, depth + 1)?;
                    Token::Object(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX))
                }
                Peek::Object | Peek::Array => Token::Json(reader.compact(&mut self.text)?),
                peek => self.scalar(reader, peek)?,
            };
            self.nodes[at].token = token;
            next = reader.jiter.next_key()?.map(|key| place(key, reader.json, &mut self.text));
        }
        Ok(())
    }

    fn scalar(&mut self, reader: &mut Reader, peek: Peek) -> Result<Token, JiterError> {
        Ok(match peek {
            Peek::String => Token::Text(place(reader.jiter.known_str()?, reader.json, &mut self.text)),
            Peek::True | Peek::False => Token::Bool(reader.jiter.known_bool(peek)?),
            Peek::Null => {
                reader.jiter.known_null()?;
                Token::Null
            }
            _ => {
                let start = reader.jiter.current_index();
                reader.jiter.known_number_bytes(peek)?;
                Token::Number(Span::at(start, reader.jiter.current_index() - start))
            }
        })
    }

    /// A token as JSON text, for `_discards`.
    fn json_of(&mut self, token: Token) -> Span {
        let json = match token {
            Token::Text(span) => serde_json::Value::from(span.of(&self.text)).to_string(),
            Token::Bool(bool) => bool.to_string(),
            Token::Null | Token::Object(_) => "null".to_owned(),
            Token::Number(span) | Token::Json(span) => return span,
        };
        self.push(&json)
    }
}

/// Where a string that was read stands: in the line, which the text begins with, or, unescaped, behind it.
/// NUL, which no warehouse keeps, can only come from an escape.
#[inline]
fn place(read: &str, line: &str, text: &mut String) -> Span {
    let offset = read.as_ptr().addr().wrapping_sub(line.as_ptr().addr());
    if offset < line.len() {
        return Span::at(offset, read.len());
    }
    let start = text.len();
    text.extend(read.chars().filter(|&char| char != '\0'));
    Span::since(start, text)
}

struct Reader<'j> {
    jiter: Jiter<'j>,
    json: &'j str,
}

impl Reader<'_> {
    /// Passes over any value, checking it, however deep it is.
    fn skip(&mut self) -> Result<(), JiterError> {
        let mut open: Vec<bool> = Vec::new();
        loop {
            let entered = match self.jiter.peek()? {
                Peek::Object => self.jiter.known_object()?.map(|_| true),
                Peek::Array => self.jiter.known_array()?.map(|_| false),
                Peek::String => self.jiter.known_str().map(|_| None)?,
                peek @ (Peek::True | Peek::False) => self.jiter.known_bool(peek).map(|_| None)?,
                Peek::Null => self.jiter.known_null().map(|()| None)?,
                peek => self.jiter.known_number_bytes(peek).map(|_| None)?,
            };
            if let Some(object) = entered {
                open.push(object);
                continue;
            }
            loop {
                let more = match open.last() {
                    None => return Ok(()),
                    Some(true) => self.jiter.next_key()?.is_some(),
                    Some(false) => self.jiter.array_step()?.is_some(),
                };
                if more {
                    break;
                }
                open.pop();
            }
        }
    }

    /// Appends any value as JSON without white space between its tokens.
    fn compact(&mut self, text: &mut String) -> Result<Span, JiterError> {
        self.jiter.peek()?;
        let from = self.jiter.current_index();
        self.skip()?;
        let raw = &self.json[from..self.jiter.current_index()];
        let start = text.len();
        let (mut quoted, mut escaped, mut copied) = (false, false, 0);
        for (at, byte) in raw.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = !quoted,
                b' ' | b'\t' | b'\r' | b'\n' if !quoted => {
                    text.push_str(&raw[copied..at]);
                    copied = at + 1;
                }
                _ => {}
            }
        }
        text.push_str(&raw[copied..]);
        Ok(Span::since(start, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(call: &Call) -> String {
        let text = &call.tape.text;
        let token = |token: Token| match token {
            Token::Null => "null".into(),
            Token::Bool(bool) => bool.to_string(),
            Token::Number(span) | Token::Json(span) => span.of(text).to_owned(),
            Token::Text(span) => format!("{:?}", span.of(text)),
            Token::Object(end) => format!("..{end}"),
        };
        call.tape.nodes.iter().map(|node| format!("{}={} ", node.key.of(text), token(node.token))).collect()
    }

    #[test]
    fn nodes_come_in_document_order() {
        let mut call = Call::default();
        call.read(br#" {"type":"identify","userId":7,"traits":{"a":{"b":1e3,"c":[1, "x y",{"d": 2}]},"e\u0041":"q\n","f":null,"g":{}}} "#).unwrap();
        assert_eq!(call.text(Field::Type), Some("identify"));
        assert!(matches!(call.field(Field::UserId), Some(Token::Number(_))));
        assert_eq!(shown(&call), r#"a=..3 b=1e3 c=[1,"x y",{"d":2}] eA="q\n" f=null g=..6 "#);
        assert_eq!((call.members[0].start, call.members[0].end), (0, 6));
    }

    #[test]
    fn too_deep_stays_json() {
        let mut call = Call::default();
        let deep = format!(r#"{{"traits":{}1{}}}"#, r#"{"a":"#.repeat(1000), "}".repeat(1000));
        call.read(deep.as_bytes()).unwrap();
        assert_eq!(call.tape.nodes.len(), MAX_DEPTH);
        assert!(matches!(call.tape.nodes[MAX_DEPTH - 1].token, Token::Json(_)));
        let deep = format!(r#"{{"traits":{{"a":{}{}}}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        call.read(deep.as_bytes()).unwrap();
    }

    #[test]
    fn bad_lines_say_why() {
        let mut call = Call::default();
        for (line, reason) in [
            (&b"{\"type\":\"iden"[..], Reason::InvalidJson),
            (b"", Reason::InvalidJson),
            (b"nonsense", Reason::InvalidJson),
            (b"[1,2]", Reason::NotAnObject),
            (b"3", Reason::NotAnObject),
            (b"{} {}", Reason::InvalidJson),
            (b"{\"a\":1,}", Reason::InvalidJson),
            (b"{\"a\":01}", Reason::InvalidJson),
            (b"{\"a\":\"\xff\"}", Reason::InvalidUtf8),
            (b"{\"a\":\"\x01\"}", Reason::InvalidJson),
            (b"{\"a\":NaN}", Reason::InvalidJson),
            (b"{\"a\":[1,}", Reason::InvalidJson),
        ] {
            assert_eq!(call.read(line), Err(reason), "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn wrong_containers_and_unknown_fields_are_kept_aside() {
        let mut call = Call::default();
        call.read(
            br#"{"traits":[1, 2],"properties":null,"foo":{"a": 1},"bar":null,"version":1,"userId":"a","userId":"b"}"#,
        )
        .unwrap();
        let strays: Vec<_> = call
            .strays
            .iter()
            .map(|stray| (stray.key.of(&call.tape.text), stray.value.of(&call.tape.text), stray.reason))
            .collect();
        assert_eq!(
            strays,
            [
                ("traits", "[1,2]", Reason::TraitsNotObject),
                ("foo", r#"{"a":1}"#, Reason::UnknownField),
                ("userId", "\"a\"", Reason::ColumnCollision)
            ]
        );
        assert_eq!(call.text(Field::UserId), Some("b"));
    }

    #[test]
    fn a_batch_body_gives_its_calls() {
        let line = br#"{"batch":[{"a":1}, {"b":[2]}],"context":{"x":1}}"#;
        let mut call = Call::default();
        call.read(line).unwrap();
        let calls: Vec<&[u8]> = call.take_batch().unwrap().iter().map(|&(start, end)| &line[start..end]).collect();
        assert_eq!(calls, [&br#"{"a":1}"#[..], br#"{"b":[2]}"#]);
        assert_eq!(call.members.len(), 1);
    }
}
