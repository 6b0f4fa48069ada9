//! Columns of a batch, built value by value.

use crate::cell::Value;
use crate::column::{Places, Values};
use crate::types::Type;
use arrow_array::builder::{
    BooleanBuilder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::types::{ArrowPrimitiveType, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray, RecordBatch, StringArray};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
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
fn schema_of(arrays: &[ArrayRef]) -> SchemaRef {
    let fields: Vec<Field> = arrays
        .iter()
        .enumerate()
        .map(|(at, array)| Field::new(format!("c{at}"), array.data_type().clone(), true))
        .collect();
    Arc::new(Schema::new(fields))
}

/// A batch of columns that are all as long.
pub(crate) fn batch_of(arrays: Vec<ArrayRef>) -> RecordBatch {
    let schema = schema_of(&arrays);
    let empty = || RecordBatch::new_empty(Arc::new(Schema::empty()));
    // The schema is made of the arrays.
    RecordBatch::try_new(schema, arrays).unwrap_or_else(|_| empty())
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

/// Values of one type as they are, nulls where there is none; `None` if they need a closer look.
pub(crate) fn scatter(places: &Places, values: &Values, ty: Type, rows: usize, max_text: usize) -> Option<ArrayRef> {
    match (values, ty) {
        (Values::Times(values), Type::Timestamp) => {
            let times = primitive::<TimestampMicrosecondType>(values, places, rows);
            Some(Arc::new(times.with_data_type(data_type(ty))))
        }
        (Values::Ints(values), Type::Int) => Some(Arc::new(primitive::<Int64Type>(values, places, rows))),
        (Values::Ints(values), Type::Decimal) => {
            let values: Vec<i128> = values.iter().map(|&value| value.into()).collect();
            Some(Arc::new(primitive::<Decimal128Type>(&values, places, rows).with_data_type(data_type(ty))))
        }
        (Values::Floats(values), Type::Float) => Some(Arc::new(primitive::<Float64Type>(values, places, rows))),
        (Values::Bools(values), Type::Boolean) => {
            let mut bits = BooleanBufferBuilder::new(rows);
            bits.append_n(rows, false);
            (0..values.len()).filter(|&nth| values[nth]).for_each(|nth| bits.set_bit(places.get(nth) as usize, true));
            Some(Arc::new(BooleanArray::new(bits.finish(), nulls(places, rows))))
        }
        (Values::Texts(ends, text), Type::Text) => {
            let mut offsets: Vec<i32> = Vec::with_capacity(rows + 1);
            let mut start = 0;
            for (nth, &end) in ends.iter().enumerate() {
                let end = i32::try_from(end).ok()?;
                if usize::try_from(end - start).ok()? > max_text {
                    return None;
                }
                offsets.resize(places.get(nth) as usize + 1, start);
                start = end;
            }
            offsets.resize(rows + 1, start);
            let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
            let array = StringArray::try_new(offsets, Buffer::from(text.as_bytes()), nulls(places, rows)).ok()?;
            Some(Arc::new(array))
        }
        _ => None,
    }
}

/// The versions of some rows.
pub(crate) fn versions(places: &Places, values: &[i128], rows: usize) -> ArrayRef {
    Arc::new(primitive::<Decimal128Type>(values, places, rows).with_data_type(data_type(Type::Version)))
}

fn primitive<T: ArrowPrimitiveType>(values: &[T::Native], places: &Places, rows: usize) -> PrimitiveArray<T> {
    let mut all = vec![T::Native::default(); rows];
    match places {
        Places::Dense(len) => all[..*len as usize].copy_from_slice(values),
        Places::Sparse(places) => places.iter().zip(values).for_each(|(&at, &value)| all[at as usize] = value),
    }
    PrimitiveArray::new(ScalarBuffer::from(all), nulls(places, rows))
}

fn nulls(places: &Places, rows: usize) -> Option<NullBuffer> {
    if places.len() == rows {
        return None;
    }
    let mut bits = BooleanBufferBuilder::new(rows);
    match places {
        Places::Dense(len) => {
            bits.append_n(*len as usize, true);
            bits.append_n(rows - *len as usize, false);
        }
        Places::Sparse(places) => {
            bits.append_n(rows, false);
            places.iter().for_each(|&at| bits.set_bit(at as usize, true));
        }
    }
    Some(NullBuffer::new(bits.finish()))
}
