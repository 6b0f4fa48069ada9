//! A value as the draft keeps it, and what it becomes in a column of a given type.

use crate::event::{Span, Token};
use crate::rules::{Arrays, Timestamps};
use crate::time;
use crate::types::Type;
use std::borrow::Cow;

/// A value in a draft: 16 bytes, its text in the buffer of its column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits, of up to 38 digits.
    Big(Span),
    Float(f64),
    Time(i64),
    /// A time with digits beyond the microsecond, as written.
    FineTime(Span),
    Text(Span),
    Json(Span),
}

/// A value in the type of its column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Bool(bool),
    Int(i64),
    Decimal(i128),
    Float(f64),
    Time(i64),
    Text(Cow<'a, str>),
}

/// What became of a cell in a column.
#[derive(Debug)]
pub(crate) enum Fit<'a> {
    Exact(Value<'a>),
    /// The nearest value that the type has.
    Nearest(Value<'a>),
    /// Another kind.
    Conflict,
}

/// Why a token cannot be a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

impl Cell {
    /// Reads a scalar token; the cell's text stays where the token's is.
    #[inline]
    pub(crate) fn read(token: Token, text: &str, timestamps: Timestamps, arrays: Arrays) -> Result<Cell, Overflow> {
        Ok(match token {
            Token::Null | Token::Object(_) => Cell::Null,
            Token::Bool(bool) => Cell::Bool(bool),
            Token::Number(span) => return Cell::number(span.of(text), span),
            Token::Text(span) => match time::parse(span.of(text), timestamps) {
                Some(parsed) if parsed.cut => Cell::FineTime(span),
                Some(parsed) => Cell::Time(parsed.micros),
                None => Cell::Text(span),
            },
            Token::Json(span) if arrays == Arrays::Json => Cell::Json(span),
            Token::Json(span) => Cell::Text(span),
        })
    }

    /// A number as JSON writes it: without fraction and exponent it is an integer.
    fn number(source: &str, span: Span) -> Result<Cell, Overflow> {
        if source.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
            let float: f64 = source.parse().map_err(|_| Overflow)?;
            // Adding zero makes -0 a 0.
            return if float.is_finite() { Ok(Cell::Float(float + 0.0)) } else { Err(Overflow) };
        }
        if let Ok(int) = source.parse() {
            return Ok(Cell::Int(int));
        }
        Ok(if source.trim_start_matches('-').len() <= 38 { Cell::Big(span) } else { Cell::Text(span) })
    }

    /// The same value with its text copied behind `into`.
    #[inline]
    pub(crate) fn moved(self, from: &str, into: &mut String) -> Cell {
        let copy = |span: Span, into: &mut String| {
            let start = into.len();
            into.push_str(span.of(from));
            Span::since(start, into)
        };
        match self {
            Cell::Big(span) => Cell::Big(copy(span, into)),
            Cell::FineTime(span) => Cell::FineTime(copy(span, into)),
            Cell::Text(span) => Cell::Text(copy(span, into)),
            Cell::Json(span) => Cell::Json(copy(span, into)),
            Cell::Null | Cell::Bool(_) | Cell::Int(_) | Cell::Float(_) | Cell::Time(_) => self,
        }
    }

    /// The type that the value asks for; a null asks for none.
    #[inline]
    pub(crate) fn natural_type(self) -> Option<Type> {
        Some(match self {
            Cell::Null => return None,
            Cell::Bool(_) => Type::Boolean,
            Cell::Int(_) => Type::Int,
            Cell::Big(_) => Type::Decimal,
            Cell::Float(_) => Type::Float,
            Cell::Time(_) | Cell::FineTime(_) => Type::Timestamp,
            Cell::Text(_) => Type::Text,
            Cell::Json(_) => Type::Json,
        })
    }

    /// The value in a column of type `ty`; a null fits nowhere, it is the caller's.
    pub(crate) fn fit(self, ty: Type, text: &str) -> Fit<'_> {
        match (ty, self) {
            (_, Cell::Null) => Fit::Conflict,
            (Type::Boolean, Cell::Bool(bool)) => Fit::Exact(Value::Bool(bool)),
            (Type::Int, Cell::Int(int)) => Fit::Exact(Value::Int(int)),
            (Type::Decimal, Cell::Int(int)) => Fit::Exact(Value::Decimal(int.into())),
            (Type::Decimal, Cell::Big(span)) => {
                span.of(text).parse().map_or(Fit::Conflict, |big| Fit::Exact(Value::Decimal(big)))
            }
            (Type::Float, Cell::Float(float)) => Fit::Exact(Value::Float(float)),
            (Type::Float, Cell::Int(int)) => as_float(int.into()),
            (Type::Float, Cell::Big(span)) => span.of(text).parse().map_or(Fit::Conflict, as_float),
            (Type::Timestamp, Cell::Time(micros)) => Fit::Exact(Value::Time(micros)),
            (Type::Timestamp, Cell::FineTime(span)) => match time::parse(span.of(text), Timestamps::Iso8601) {
                Some(parsed) => Fit::Nearest(Value::Time(parsed.micros)),
                None => Fit::Conflict,
            },
            (Type::Text, cell) => Fit::Exact(Value::Text(cell.canonical(text))),
            (Type::Json, Cell::Json(span)) => Fit::Exact(Value::Text(span.of(text).into())),
            _ => Fit::Conflict,
        }
    }

    /// Bytes that the value takes in a row, about.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Cell::Big(span) | Cell::FineTime(span) | Cell::Text(span) | Cell::Json(span) => span.len(),
            _ => 8,
        }
    }

    /// The one text form of the value.
    pub(crate) fn canonical(self, text: &str) -> Cow<'_, str> {
        match self {
            Cell::Null => "null".into(),
            Cell::Bool(bool) => if bool { "true" } else { "false" }.into(),
            Cell::Int(int) => int.to_string().into(),
            Cell::Float(float) => float_text(float).into(),
            Cell::Time(micros) => time::format(micros).into(),
            Cell::Big(span) | Cell::FineTime(span) | Cell::Text(span) | Cell::Json(span) => span.of(text).into(),
        }
    }
}

/// A float with the fewest digits that read back as the same: `450.75`, `450.0`, `1e21`.
pub fn float_text(float: f64) -> String {
    zmij::Buffer::new().format(float).to_owned()
}

/// The float nearest to an integer, and whether it is that integer.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "whether it bends is what this tells")]
pub fn nearest_float(int: i128) -> (f64, bool) {
    let float = int as f64;
    (float, float as i128 == int)
}

fn as_float(int: i128) -> Fit<'static> {
    match nearest_float(int) {
        (float, true) => Fit::Exact(Value::Float(float)),
        (float, false) => Fit::Nearest(Value::Float(float)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(source: &str) -> Result<(Cell, String), Overflow> {
        Cell::number(source, Span::since(0, source)).map(|cell| (cell, cell.canonical(source).into_owned()))
    }

    #[test]
    fn numbers() {
        for (source, ty, form) in [
            ("450", Type::Int, "450"),
            ("450.00", Type::Float, "450.0"),
            ("450.75", Type::Float, "450.75"),
            ("1e3", Type::Float, "1000.0"),
            ("-0", Type::Int, "0"),
            ("-0.0", Type::Float, "0.0"),
            ("9223372036854775807", Type::Int, "9223372036854775807"),
            ("18446744073709551616", Type::Decimal, "18446744073709551616"),
            ("-99999999999999999999999999999999999999", Type::Decimal, "-99999999999999999999999999999999999999"),
            ("100000000000000000000000000000000000000", Type::Text, "100000000000000000000000000000000000000"),
            ("1e-400", Type::Float, "0.0"),
        ] {
            let (cell, text) = number(source).unwrap();
            assert_eq!((cell.natural_type(), text.as_str()), (Some(ty), form), "{source}");
        }
        assert_eq!(number("1e400"), Err(Overflow));
        assert_eq!(number("-1e400"), Err(Overflow));
    }

    #[test]
    fn floats_hold_some_integers_exactly() {
        assert_eq!(nearest_float(1 << 53), (9_007_199_254_740_992.0, true));
        assert_eq!(nearest_float((1 << 53) + 1), (9_007_199_254_740_992.0, false));
        assert!(nearest_float(i128::from(i64::MIN)).1);
        assert!(!nearest_float(i128::from(i64::MAX)).1);
    }

    #[test]
    fn nothing_changes_kind_but_into_text() {
        let text = "18446744073709551616";
        let big = Cell::Big(Span::since(0, text));
        assert!(matches!(big.fit(Type::Decimal, text), Fit::Exact(Value::Decimal(18_446_744_073_709_551_616))));
        assert!(matches!(big.fit(Type::Int, text), Fit::Conflict));
        assert!(matches!(Cell::Bool(true).fit(Type::Int, ""), Fit::Conflict));
        assert!(matches!(Cell::Float(1.5).fit(Type::Int, ""), Fit::Conflict));
        assert!(matches!(Cell::Bool(true).fit(Type::Text, ""), Fit::Exact(Value::Text(t)) if t == "true"));
        assert!(matches!(Cell::Int(5).fit(Type::Timestamp, ""), Fit::Conflict));
    }
}
