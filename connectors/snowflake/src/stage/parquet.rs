//! Rows of a load as Parquet files: columns named by ordinal, decimals and times exact.

use crate::sql::file_column;
use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::sync::Arc;
use tablecast_core::sql::StageColumn;
use tablecast_core::{Error, ErrorKind, Result};

/// How much of a batch's memory goes into one file.
const FILE_BYTES: usize = 128 << 20;

/// The columns of a batch that go into a staging table, under the names they have in files.
pub(crate) fn project(batch: &RecordBatch, columns: &[StageColumn]) -> Result<RecordBatch> {
    let broken = || Error::new(ErrorKind::Internal, "a load names a column that its batch does not have");
    let sources: Vec<usize> = columns.iter().map(|column| column.source).collect();
    let batch = batch.project(&sources).map_err(|error| broken().because(error))?;
    let fields: Vec<Field> = columns
        .iter()
        .zip(batch.columns())
        .map(|(column, array)| Field::new(file_column(&column.name), array.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), batch.columns().to_vec())
        .map_err(|error| broken().because(error))
}

/// How many rows of a batch go into one file.
pub(crate) fn rows_per_file(batch: &RecordBatch) -> usize {
    let files = batch.get_array_memory_size() / FILE_BYTES + 1;
    batch.num_rows().div_ceil(files).max(1)
}

/// One file.
pub(crate) fn encode(rows: &RecordBatch) -> Result<Bytes> {
    write(rows)
        .map(Bytes::from)
        .map_err(|error| Error::new(ErrorKind::Internal, "rows could not be written as Parquet").because(error))
}

fn write(rows: &RecordBatch) -> Result<Vec<u8>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_created_by(concat!("tablecast ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), rows.schema(), options)?;
    writer.write(rows)?;
    writer.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
    use arrow_array::{
        ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    };
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use tablecast_core::Type;

    #[test]
    fn rows_read_back_exactly() {
        let most = 99_999_999_999_999_999_999_999_999_999_999_999_999_i128;
        let decimals =
            Decimal128Array::from(vec![Some(most), Some(-most), None]).with_precision_and_scale(38, 0).unwrap();
        let times =
            TimestampMicrosecondArray::from(vec![Some(-62_135_596_800_000_000), Some(253_402_300_799_999_999), None]);
        let columns: Vec<(&str, Type, ArrayRef)> = vec![
            ("k", Type::Text, Arc::new(StringArray::from(vec!["a", "", "\\N é"]))),
            ("c0", Type::Int, Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None]))),
            ("c1", Type::Decimal, Arc::new(decimals)),
            ("c2", Type::Timestamp, Arc::new(times.with_timezone("UTC"))),
            ("c3", Type::Float, Arc::new(Float64Array::from(vec![Some(5e-324), Some(1.7e308), None]))),
            ("c4", Type::Boolean, Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ];
        let batch = RecordBatch::try_from_iter(columns.iter().map(|(name, _, array)| (*name, array.clone()))).unwrap();
        let staged: Vec<StageColumn> = columns
            .iter()
            .enumerate()
            .map(|(source, (name, ty, _))| StageColumn { name: (*name).into(), ty: *ty, source })
            .collect();
        let projected = project(&batch, &staged).unwrap();
        let bytes = encode(&projected).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let text = format!("{:?}", reader.parquet_schema());
        assert!(text.contains("\"C3\"") && !text.contains("\"c3\""), "{text}");
        let read: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        let column = |at: usize| read[0].column(at);
        assert_eq!(column(0).as_string::<i32>(), batch.column(0).as_string::<i32>());
        assert_eq!(column(1).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
        assert_eq!(column(2).as_primitive::<Decimal128Type>(), batch.column(2).as_primitive::<Decimal128Type>());
        assert_eq!(
            column(3).as_primitive::<TimestampMicrosecondType>().values(),
            batch.column(3).as_primitive::<TimestampMicrosecondType>().values()
        );
        assert_eq!(column(4).as_primitive::<Float64Type>(), batch.column(4).as_primitive::<Float64Type>());
        assert_eq!(column(5).as_boolean(), batch.column(5).as_boolean());
        assert!(project(&batch, &[StageColumn { name: "k".into(), ty: Type::Text, source: 9 }]).is_err());
        assert_eq!(rows_per_file(&batch), 3);
    }
}
