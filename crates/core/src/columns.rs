//! Columns of a batch, built value by value.

use crate::cell::Value;
use crate::types::Type;
use arrow_array::ArrayRef;
use arrow_array::builder::{
    BooleanBuilder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::sync::Arc;

/// The Arrow type of a column.
pub fn data_type(ty: Type) -> DataType {
    match ty {
        Type::Boolean => DataType::Boolean,
        Type::Int => DataType::Int64,
        Type::Decimal => DataType::Decimal128(38, 0),
        Type::Float => DataType::Float64,
        Type::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::Text | Type::Json => DataType::Utf8,
        Type::Version => DataType::Decimal128(29, 0),
    }
}

/// Names the columns of a batch by ordinal: `c0`, `c1` …
pub(crate) fn schema_of(arrays: &[ArrayRef]) -> SchemaRef {
    let fields: Vec<Field> = arrays
        .iter()
        .enumerate()
        .map(|(at, array)| Field::new(format!("c{at}"), array.data_type().clone(), true))
        .collect();
    Arc::new(Schema::new(fields))
}

/// Builds one column in its type.
pub(crate) struct Builder {
    ty: Type,
    column: Column,
    rows: usize,
}

enum Column {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Decimal(Decimal128Builder),
    Float(Float64Builder),
    Time(TimestampMicrosecondBuilder),
    Text(StringBuilder),
}

impl Builder {
    pub(crate) fn new(ty: Type, rows: usize) -> Self {
        let column = match ty {
            Type::Boolean => Column::Bool(BooleanBuilder::with_capacity(rows)),
            Type::Int => Column::Int(Int64Builder::with_capacity(rows)),
            Type::Decimal | Type::Version => {
                Column::Decimal(Decimal128Builder::with_capacity(rows).with_data_type(data_type(ty)))
            }
            Type::Float => Column::Float(Float64Builder::with_capacity(rows)),
            Type::Timestamp => {
                Column::Time(TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(data_type(ty)))
            }
            Type::Text | Type::Json => Column::Text(StringBuilder::with_capacity(rows, rows * 8)),
        };
        Builder { ty, column, rows: 0 }
    }

    /// Appends nulls up to `row`.
    #[inline]
    pub(crate) fn skip_to_row(&mut self, row: usize) {
        if row > self.rows {
            self.append_nulls(row - self.rows);
            self.rows = row;
        }
    }

    fn append_nulls(&mut self, nulls: usize) {
        match &mut self.column {
            Column::Bool(builder) => builder.append_nulls(nulls),
            Column::Int(builder) => builder.append_nulls(nulls),
            Column::Decimal(builder) => builder.append_nulls(nulls),
            Column::Float(builder) => builder.append_nulls(nulls),
            Column::Time(builder) => builder.append_nulls(nulls),
            Column::Text(builder) => builder.append_nulls(nulls),
        }
    }

    /// Appends a value of the builder's type.
    #[inline]
    pub(crate) fn push(&mut self, value: Value) {
        self.rows += 1;
        match (&mut self.column, value) {
            (Column::Bool(builder), Value::Bool(bool)) => builder.append_value(bool),
            (Column::Int(builder), Value::Int(int)) => builder.append_value(int),
            (Column::Decimal(builder), Value::Decimal(decimal)) => builder.append_value(decimal),
            (Column::Float(builder), Value::Float(float)) => builder.append_value(float),
            (Column::Time(builder), Value::Time(micros)) => builder.append_value(micros),
            (Column::Text(builder), Value::Text(text)) => builder.append_value(text),
            _ => {
                debug_assert!(false, "a value that is not a {}", self.ty);
                self.rows -= 1;
                let row = self.rows + 1;
                self.skip_to_row(row);
            }
        }
    }

    /// Appends text at `row` of a text column.
    #[inline]
    pub(crate) fn push_text(&mut self, row: usize, text: &str) {
        self.skip_to_row(row);
        if let Column::Text(builder) = &mut self.column {
            builder.append_value(text);
            self.rows += 1;
        }
    }

    /// Appends a time at `row` of a column of times.
    #[inline]
    pub(crate) fn push_time(&mut self, row: usize, micros: i64) {
        self.skip_to_row(row);
        if let Column::Time(builder) = &mut self.column {
            builder.append_value(micros);
            self.rows += 1;
        }
    }

    pub(crate) fn finish(self) -> ArrayRef {
        match self.column {
            Column::Bool(mut builder) => Arc::new(builder.finish()),
            Column::Int(mut builder) => Arc::new(builder.finish()),
            Column::Decimal(mut builder) => Arc::new(builder.finish()),
            Column::Float(mut builder) => Arc::new(builder.finish()),
            Column::Time(mut builder) => Arc::new(builder.finish()),
            Column::Text(mut builder) => Arc::new(builder.finish()),
        }
    }
}
