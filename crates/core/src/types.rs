//! Column types, their kinds, and the one rule by which types meet.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The type of a column, the same in every warehouse; a [`Dialect`](crate::Dialect) renders it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// `true` or `false`.
    Boolean,
    /// A signed 64-bit integer.
    Int,
    /// An integer of up to 38 digits.
    Decimal,
    /// A 64-bit IEEE 754 number.
    Float,
    /// Microseconds since 1970 in UTC, years 1 to 9999.
    Timestamp,
    /// UTF-8 text without NUL.
    Text,
    /// Compact JSON text, for arrays, where it was asked for.
    Json,
    /// The version of a merged value: a number of up to 29 digits. Never the type of a user's column.
    Version,
}

/// Values of one kind can share a column without being bent; of two kinds they cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// [`Type::Boolean`]
    Boolean,
    /// [`Type::Int`], [`Type::Decimal`], [`Type::Float`]
    Number,
    /// [`Type::Timestamp`]
    Timestamp,
    /// [`Type::Text`], [`Type::Json`]
    Text,
    /// [`Type::Version`]
    Version,
}

impl Type {
    /// The kind of values that a column of this type holds.
    pub fn kind(self) -> Kind {
        match self {
            Type::Boolean => Kind::Boolean,
            Type::Int | Type::Decimal | Type::Float => Kind::Number,
            Type::Timestamp => Kind::Timestamp,
            Type::Text | Type::Json => Kind::Text,
            Type::Version => Kind::Version,
        }
    }

    /// The least type that holds values of both: commutative, associative, idempotent.
    ///
    /// | ⊔ | Boolean | Int | Decimal | Float | Timestamp | Json | Text |
    /// | --- | --- | --- | --- | --- | --- | --- | --- |
    /// | **Boolean** | Boolean | Text | Text | Text | Text | Text | Text |
    /// | **Int** | Text | Int | Decimal | Float | Text | Text | Text |
    /// | **Decimal** | Text | Decimal | Decimal | Float | Text | Text | Text |
    /// | **Float** | Text | Float | Float | Float | Text | Text | Text |
    /// | **Timestamp** | Text | Text | Text | Text | Timestamp | Text | Text |
    /// | **Json** | Text | Text | Text | Text | Text | Json | Text |
    /// | **Text** | Text | Text | Text | Text | Text | Text | Text |
    ///
    /// Within the number kind a column always widens; only a column that does not exist yet is
    /// joined over kinds. `Decimal ⊔ Float` is `Float`, as `Int ⊔ Float` is: what a float cannot
    /// hold exactly is stored as the nearest and noted in `_discards`.
    #[must_use]
    pub fn join(self, other: Type) -> Type {
        if self == other {
            self
        } else if self.kind() == Kind::Number && other.kind() == Kind::Number {
            self.max(other)
        } else {
            Type::Text
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Boolean => "boolean",
            Type::Int => "int",
            Type::Decimal => "decimal",
            Type::Float => "float",
            Type::Timestamp => "timestamp",
            Type::Text => "text",
            Type::Json => "json",
            Type::Version => "version",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER_TYPES: [Type; 7] =
        [Type::Boolean, Type::Int, Type::Decimal, Type::Float, Type::Timestamp, Type::Text, Type::Json];

    #[test]
    fn join_is_a_semilattice() {
        for a in USER_TYPES {
            assert_eq!(a.join(a), a);
            for b in USER_TYPES {
                assert_eq!(a.join(b), b.join(a), "{a} {b}");
                for c in USER_TYPES {
                    assert_eq!(a.join(b).join(c), a.join(b.join(c)), "{a} {b} {c}");
                }
            }
        }
    }

    #[test]
    fn numbers_widen_and_nothing_else_does() {
        assert_eq!(Type::Int.join(Type::Float), Type::Float);
        assert_eq!(Type::Int.join(Type::Decimal), Type::Decimal);
        assert_eq!(Type::Decimal.join(Type::Float), Type::Float);
        assert_eq!(Type::Boolean.join(Type::Int), Type::Text);
        assert_eq!(Type::Timestamp.join(Type::Text), Type::Text);
    }
}
