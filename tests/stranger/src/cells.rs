//! Values as text in the canonical form, which is how a shelf keeps them.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use std::cmp::Ordering;
use tablecast_core::{Type, time};

/// A cell of a batch; nothing for a null.
pub(crate) fn cell(batch: &RecordBatch, column: usize, ty: Type, row: usize) -> Option<String> {
    let array = batch.column(column);
    if array.is_null(row) {
        return None;
    }
    Some(match ty {
        Type::Boolean => array.as_boolean().value(row).to_string(),
        Type::Int => array.as_primitive::<Int64Type>().value(row).to_string(),
        Type::Decimal | Type::Version => array.as_primitive::<Decimal128Type>().value(row).to_string(),
        Type::Float => float(array.as_primitive::<Float64Type>().value(row)),
        Type::Timestamp => time::format(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        Type::Text | Type::Json => array.as_string::<i32>().value(row).to_owned(),
    })
}

fn float(value: f64) -> String {
    zmij::Buffer::new().format(value).to_owned()
}

/// A value of a column that becomes `to`, and whether it is exactly the same. All types but floats are written as
/// they were; `None` if it is no number.
pub(crate) fn convert(value: &str, from: Type, to: Type) -> Option<(String, bool)> {
    if to != Type::Float || from == Type::Float {
        return Some((value.to_owned(), true));
    }
    let nearest: f64 = value.parse().ok()?;
    Some((float(nearest), format!("{nearest:.0}") == value))
}

/// The order of two values of one column.
pub(crate) fn order(ty: Type, a: &str, b: &str) -> Ordering {
    match ty {
        Type::Int | Type::Decimal | Type::Version => a.parse::<i128>().ok().cmp(&b.parse().ok()),
        Type::Float => a.parse::<f64>().unwrap_or(f64::NAN).total_cmp(&b.parse().unwrap_or(f64::NAN)),
        Type::Boolean | Type::Timestamp | Type::Text | Type::Json => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers() {
        assert_eq!(order(Type::Int, "9", "10"), Ordering::Less);
        assert_eq!(order(Type::Text, "9", "10"), Ordering::Greater);
        assert_eq!(order(Type::Float, "-1.5", "0.0"), Ordering::Less);
    }

    #[test]
    fn a_float_says_when_it_is_not_exact() {
        assert_eq!(convert("450", Type::Int, Type::Float), Some(("450.0".into(), true)));
        assert_eq!(convert("9007199254740993", Type::Int, Type::Float), Some(("9007199254740992.0".into(), false)));
        assert_eq!(convert("450", Type::Int, Type::Text), Some(("450".into(), true)));
    }
}
