//! Tables of named columns as Parquet files in memory: written for exports, read back for checks.

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
    cast::AsArray,
    types::{Float64Type, Int32Type, Int64Type, UInt32Type, UInt64Type},
};
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    },
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

/// The named columns of a Parquet file: text, floats and whole numbers. Errors when one is missing or of another
/// type.
pub fn parquet_columns(bytes: Vec<u8>, names: &[&str]) -> Result<Vec<TableColumn>, ParquetError> {
    // As stored, without what the writer's own library would make of it.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let reader =
        ParquetRecordBatchReaderBuilder::try_new_with_options(bytes::Bytes::from(bytes), options)?.build()?;
    let batches = reader.collect::<Result<Vec<RecordBatch>, _>>()?;
    let column = |name: &&str| {
        let missing = || ParquetError::General(format!("no column `{name}`"));
        let arrays = batches.iter().map(|b| b.column_by_name(name).ok_or_else(missing));
        let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
        read(&arrays).ok_or_else(|| {
            let kind = arrays.first().map_or_else(|| "nothing".into(), |a| a.data_type().to_string());
            ParquetError::General(format!("the column `{name}` holds {kind}"))
        })
    };
    names.iter().map(column).collect()
}

/// The values of a column's parts; none when they are of no known type.
fn read(arrays: &[&ArrayRef]) -> Option<TableColumn> {
    let first = arrays.first()?;
    if first.as_string_opt::<i32>().is_some() {
        let texts = |a: &&ArrayRef| {
            Some(a.as_string_opt::<i32>()?.iter().map(|x| x.unwrap_or_default().to_owned()).collect())
        };
        return Some(TableColumn::Text(arrays.iter().map(texts).collect::<Option<Vec<Vec<_>>>>()?.concat()));
    }
    let floats = |a: &&ArrayRef| Some(a.as_primitive_opt::<Float64Type>()?.iter().collect());
    if let Some(parts) = arrays.iter().map(floats).collect::<Option<Vec<Vec<_>>>>() {
        return Some(TableColumn::Float(parts.concat()));
    }
    Some(TableColumn::Int(arrays.iter().map(|a| whole(a)).collect::<Option<Vec<_>>>()?.concat()))
}

fn whole(array: &ArrayRef) -> Option<Vec<Option<i64>>> {
    fn of<T: ArrowPrimitiveType>(array: &ArrayRef) -> Option<Vec<Option<i64>>>
    where
        T::Native: TryInto<i64>,
    {
        Some(array.as_primitive_opt::<T>()?.iter().map(|x| x?.try_into().ok()).collect())
    }
    of::<Int64Type>(array)
        .or_else(|| of::<Int32Type>(array))
        .or_else(|| of::<UInt32Type>(array))
        .or_else(|| of::<UInt64Type>(array))
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
        let names = ["x", "name"];
        let read = parquet_columns(bytes.clone(), &names).unwrap();
        assert_eq!(read[0], TableColumn::Float(vec![Some(1.5), None]));
        assert_eq!(read[1], TableColumn::Text(vec!["a".into(), "b".into()]));
        assert!(parquet_columns(bytes.clone(), &["y"]).unwrap_err().to_string().contains("no column `y`"));
        assert!(
            parquet_columns(bytes.clone(), &["t"]).unwrap_err().to_string().contains("the column `t` holds")
        );
        let file = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        assert_eq!(file.metadata().file_metadata().num_rows(), 2);
        let uneven = vec![("a", TableColumn::Int(vec![None])), ("b", TableColumn::Int(vec![]))];
        assert!(parquet_bytes(uneven).is_err());
    }
}
