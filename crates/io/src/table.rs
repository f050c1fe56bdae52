//! A table of named columns as a Parquet file in memory, for exports.

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};
use std::sync::Arc;

/// One column's values; absent ones are null.
#[derive(Clone, Debug, PartialEq)]
pub enum TableColumn {
    /// Text.
    Text(Vec<String>),
    /// Numbers.
    Float(Vec<Option<f64>>),
    /// Whole numbers.
    Int(Vec<Option<i64>>),
    /// Epoch milliseconds, UTC.
    Time(Vec<Option<i64>>),
}

/// The bytes of a Parquet file, Zstandard-compressed. Errors when the columns differ in length.
pub fn parquet_bytes(columns: Vec<(&str, TableColumn)>) -> Result<Vec<u8>, ParquetError> {
    let arrays = columns.into_iter().map(|(name, column)| (name, array(column)));
    let batch = RecordBatch::try_from_iter(arrays)?;
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.into_inner()
}

fn array(column: TableColumn) -> ArrayRef {
    match column {
        TableColumn::Text(values) => Arc::new(StringArray::from(values)),
        TableColumn::Float(values) => Arc::new(Float64Array::from(values)),
        TableColumn::Int(values) => Arc::new(Int64Array::from(values)),
        TableColumn::Time(values) => Arc::new(TimestampMillisecondArray::from(values).with_timezone("UTC")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};

    #[test]
    fn writes_what_a_reader_reads() {
        let bytes = parquet_bytes(vec![
            ("name", TableColumn::Text(vec!["a".into(), "b".into()])),
            ("x", TableColumn::Float(vec![Some(1.5), None])),
            ("t", TableColumn::Time(vec![Some(0), Some(1)])),
        ])
        .unwrap();
        let file = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        assert_eq!(file.metadata().file_metadata().num_rows(), 2);
        let uneven = vec![("a", TableColumn::Int(vec![None])), ("b", TableColumn::Int(vec![]))];
        assert!(parquet_bytes(uneven).is_err());
    }
}
