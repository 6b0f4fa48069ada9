//! The model's values: taken out of Arrow, compared, converted, and written in the canonical form.

use crate::error::{Error, ErrorKind, Result};
use crate::time;
use crate::types::Type;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};

/// A value that is not null.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(super) enum Value {
    Boolean(bool),
    Int(i64),
    Decimal(i128),
    Float(f64),
    /// µs since 1970.
    Timestamp(i64),
    Text(String),
    Version(i128),
}

impl Value {
    /// The value of a batch's column in one row, none for a null.
    pub(super) fn read(array: &ArrayRef, ty: Type, row: usize) -> Result<Option<Value>> {
        let wrong =
            || Error::new(ErrorKind::Internal, "a batch holds another type than its load says").with("type", ty);
        if row >= array.len() {
            return Err(Error::new(ErrorKind::Internal, "a load's columns are of different length"));
        }
        if array.is_null(row) {
            return Ok(None);
        }
        Ok(Some(match ty {
            Type::Boolean => Value::Boolean(array.as_boolean_opt().ok_or_else(wrong)?.value(row)),
            Type::Int => Value::Int(array.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?.value(row)),
            Type::Decimal => Value::Decimal(array.as_primitive_opt::<Decimal128Type>().ok_or_else(wrong)?.value(row)),
            Type::Float => Value::Float(array.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?.value(row)),
            Type::Timestamp => {
                Value::Timestamp(array.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(wrong)?.value(row))
            }
            Type::Text | Type::Json => {
                Value::Text(array.as_string_opt::<i32>().ok_or_else(wrong)?.value(row).to_owned())
            }
            Type::Version => Value::Version(array.as_primitive_opt::<Decimal128Type>().ok_or_else(wrong)?.value(row)),
        }))
    }

    /// The value in a column of type `to`, and whether it is exactly the same; none if such a column cannot hold it.
    pub(super) fn convert(&self, to: Type) -> Option<(Value, bool)> {
        let same = |value| Some((value, true));
        match (self, to) {
            (_, Type::Text) => same(Value::Text(self.render())),
            (Value::Boolean(_), Type::Boolean)
            | (Value::Int(_), Type::Int)
            | (Value::Decimal(_), Type::Decimal)
            | (Value::Float(_), Type::Float)
            | (Value::Timestamp(_), Type::Timestamp)
            | (Value::Text(_), Type::Json)
            | (Value::Version(_), Type::Version) => same(self.clone()),
            (Value::Int(value), Type::Decimal) => same(Value::Decimal(i128::from(*value))),
            (Value::Int(_) | Value::Decimal(_), Type::Float) => {
                let digits = self.render();
                let nearest: f64 = digits.parse().ok()?;
                Some((Value::Float(nearest), format!("{nearest:.0}") == digits))
            }
            _ => None,
        }
    }

    /// The canonical form, as [`Row`](crate::testing::Row) has it and as a column that becomes text keeps it.
    pub(super) fn render(&self) -> String {
        match self {
            Value::Boolean(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Decimal(value) | Value::Version(value) => value.to_string(),
            Value::Float(value) => zmij::Buffer::new().format(*value).to_owned(),
            Value::Timestamp(micros) => time::format(*micros),
            Value::Text(value) => value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_say_when_they_are_bent() {
        let float = |value: Value| value.convert(Type::Float).unwrap();
        assert_eq!(float(Value::Int(450)), (Value::Float(450.0), true));
        assert_eq!(float(Value::Int(-(1 << 53))), (Value::Float(-9_007_199_254_740_992.0), true));
        assert_eq!(float(Value::Int((1 << 53) + 1)), (Value::Float(9_007_199_254_740_992.0), false));
        assert_eq!(float(Value::Decimal(10_i128.pow(22))), (Value::Float(1e22), true));
        assert!(!float(Value::Decimal(10_i128.pow(23))).1);
        assert_eq!(Value::Int(1).convert(Type::Decimal), Some((Value::Decimal(1), true)));
        assert_eq!(Value::Float(1.5).convert(Type::Int), None);
        assert_eq!(Value::Text("1".into()).convert(Type::Int), None);
    }

    #[test]
    fn one_canonical_form() {
        for (value, text) in [
            (Value::Boolean(true), "true"),
            (Value::Float(450.0), "450.0"),
            (Value::Timestamp(-1), "1969-12-31T23:59:59.999999Z"),
            (Value::Float(0.1), "0.1"),
            (Value::Float(1e300), "1e+300"),
            (Value::Decimal(-(10_i128.pow(37))), "-10000000000000000000000000000000000000"),
        ] {
            assert_eq!(value.render(), text);
            assert_eq!(value.convert(Type::Text), Some((Value::Text(text.into()), true)));
        }
    }
}
