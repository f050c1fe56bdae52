//! Bars from column files: Parquet and Arrow IPC, whatever types their columns have.

use crate::{
    collect::{Batch, Collector, Problem, Row, Sink},
    csv::{
        clock::{self, Clock, EpochUnit, TimeFormat},
        scan,
    },
    header::{self, Role},
    import::io_error,
    report::{ImportError, ImportOptions, SourceFormat},
};
use arrow_array::{
    Array, Decimal128Array, Decimal256Array, Float64Array, LargeStringArray, RecordBatch, RecordBatchReader,
    StringArray, StringViewArray, cast::AsArray, types::*,
};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, DataType, SchemaRef, TimeUnit};
use jiff::tz::TimeZone;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::{
    fs::File,
    io::{BufReader, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

/// Rows decoded at a time from Parquet.
const BATCH_ROWS: usize = 16 << 10;
/// Values from which a format of times is found out.
const SNIFF_VALUES: usize = 400;

/// Where the columns were found.
pub(crate) struct TableFindings {
    pub columns: Vec<(String, String)>,
    pub ignored: Vec<String>,
    pub notes: Vec<String>,
}

type Batches = Box<dyn RecordBatchReader>;

fn open(path: &Path, format: SourceFormat) -> Result<Batches, ArrowError> {
    let file = File::open(path)?;
    if format == SourceFormat::Parquet {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
        return Ok(Box::new(builder.with_batch_size(BATCH_ROWS).build()?));
    }
    let mut magic = [0; 6];
    let whole = File::open(path)?.read(&mut magic)? == 6 && magic == *b"ARROW1";
    let input = BufReader::new(file);
    Ok(if whole {
        Box::new(FileReader::try_new(input, None)?)
    } else {
        Box::new(StreamReader::try_new(input, None)?)
    })
}

/// The decoders meet damaged files with an error or, in rare cases, a panic: both are a refused file.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, ImportError>) -> Result<T, ImportError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(ImportError::Damaged {
            path: path.to_owned(),
            problem: "the file is damaged: it cannot be decoded".into(),
        })
    })
}

fn damaged(path: &Path, error: &ArrowError) -> ImportError {
    ImportError::Damaged { path: path.to_owned(), problem: format!("the file cannot be decoded ({error})") }
}

/// Rows in a column file.
pub(crate) fn count_rows(path: &Path, format: SourceFormat) -> Result<u64, ImportError> {
    guarded(path, || {
        let count =
            |mut batches: Batches| batches.try_fold(0, |n, batch| batch.map(|b| n + b.num_rows() as u64));
        if format == SourceFormat::Parquet {
            let rows = || -> Result<i64, ArrowError> {
                let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
                Ok(builder.metadata().file_metadata().num_rows())
            };
            return rows().map(|n| n.max(0) as u64).map_err(|e| damaged(path, &e));
        }
        open(path, format).and_then(count).map_err(|e| damaged(path, &e))
    })
}

/// Reads all rows into a collector.
pub(crate) fn read<K: Sink>(
    path: &Path,
    format: SourceFormat,
    zone: &TimeZone,
    options: &ImportOptions,
    collector: &mut Collector<'_, K>,
) -> Result<TableFindings, ImportError> {
    guarded(path, || {
        let batches = open(path, format).map_err(|e| damaged(path, &e))?;
        let schema = batches.schema();
        let (roles, findings) = find_columns(path, &schema)?;
        let mut decoder = Decoder { path, roles, zone: zone.clone(), options, clock: None };
        for batch in batches {
            let batch = batch.map_err(|e| damaged(path, &e))?;
            let mut rows = decoder.decode(&batch)?;
            collector.accept(&mut rows).map_err(io_error(path))?;
        }
        Ok(findings)
    })
}

fn find_columns(path: &Path, schema: &SchemaRef) -> Result<(Vec<Role>, TableFindings), ImportError> {
    let names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    let texts: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut roles = header::assign(&texts);
    roles.iter_mut().filter(|r| **r == Role::Clock).for_each(|r| *r = Role::Skip);
    // A column of instants tells the time whatever it is called.
    if !roles.contains(&Role::Time) {
        let instant =
            |t: &DataType| matches!(t, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64);
        if let Some(i) = schema.fields().iter().position(|f| instant(f.data_type())) {
            roles[i] = Role::Time;
        }
    }
    if let Some(missing) = header::missing(&roles) {
        return Err(ImportError::Columns {
            path: path.to_owned(),
            problem: format!("no column for {missing} among `{}`", texts.join("`, `")),
            hint: "name the columns time, open, high, low, close, volume".into(),
        });
    }
    let (columns, ignored) = header::describe(&roles, &names);
    let mut notes = Vec::new();
    if !roles.contains(&Role::Volume) {
        notes.push("there is no volume column: volumes are unknown (NaN)".to_owned());
    }
    Ok((roles, TableFindings { columns, ignored, notes }))
}

struct Decoder<'a> {
    path: &'a Path,
    roles: Vec<Role>,
    zone: TimeZone,
    options: &'a ImportOptions,
    /// Of times that are texts or numbers, once seen.
    clock: Option<Clock>,
}

impl Decoder<'_> {
    fn decode(&mut self, batch: &RecordBatch) -> Result<Batch, ImportError> {
        let column = |role: Role| self.roles.iter().position(|r| *r == role).map(|i| batch.column(i).clone());
        let [open, high, low, close] = header::PRICES.map(|p| column(p).map(|a| self.numbers(&a, p)));
        let volume = column(Role::Volume).map(|a| self.numbers(&a, Role::Volume)).transpose()?;
        let time = column(Role::Time).map(|a| self.times(&a)).transpose()?.unwrap_or_default();
        let none = || Ok(Vec::new());
        let [open, high, low, close] = [open, high, low, close].map(|p| p.unwrap_or_else(none));
        let (open, high, low, close) = (open?, high?, low?, close?);
        let mut out = Batch::default();
        out.lines = batch.num_rows() as u64;
        for i in 0..batch.num_rows() {
            let line = i as u64 + 1;
            let value = |column: &[Result<f64, Problem>]| column[i];
            let parts =
                (value(&open), value(&high), value(&low), value(&close), volume.as_ref().map(|v| v[i]));
            match (time[i].ok_or(Problem::BadTime), join(parts)) {
                (Ok(time), Ok(row)) => {
                    let row = Row { time, ..row };
                    match row.problem() {
                        None => out.push(&row, line),
                        Some(problem) => out.reject(line, problem, || row.to_string()),
                    }
                }
                (Err(problem), _) | (_, Err(problem)) => out.reject(line, problem, || text_of(batch, i)),
            }
        }
        Ok(out)
    }

    fn unusable(&self, role: Role, kind: &DataType) -> ImportError {
        ImportError::Columns {
            path: self.path.to_owned(),
            problem: format!("the column for {} has the type {kind}", role.name()),
            hint: "use numbers for prices, and timestamps, numbers or texts for times".into(),
        }
    }

    fn numbers(&self, array: &dyn Array, role: Role) -> Result<Vec<Result<f64, Problem>>, ImportError> {
        let absent = if role == Role::Volume { Ok(f64::NAN) } else { Err(Problem::NoValue(role)) };
        let text = |t: Option<&str>| match (t, role) {
            (None, _) => absent,
            (Some(t), Role::Volume) => scan::volume(t.trim().as_bytes()),
            (Some(t), _) => scan::price(t.trim().as_bytes(), role),
        };
        macro_rules! cast {
            ($kind:ty) => {
                array.as_primitive::<$kind>().iter().map(|x| x.map_or(absent, |x| Ok(x as f64))).collect()
            };
        }
        Ok(match array.data_type() {
            DataType::Float64 => floats(array.as_primitive(), absent),
            DataType::Float32 => cast!(Float32Type),
            DataType::Float16 => array
                .as_primitive::<Float16Type>()
                .iter()
                .map(|x| x.map_or(absent, |x| Ok(x.to_f64())))
                .collect(),
            DataType::Int8 => cast!(Int8Type),
            DataType::Int16 => cast!(Int16Type),
            DataType::Int32 => cast!(Int32Type),
            DataType::Int64 => cast!(Int64Type),
            DataType::UInt8 => cast!(UInt8Type),
            DataType::UInt16 => cast!(UInt16Type),
            DataType::UInt32 => cast!(UInt32Type),
            DataType::UInt64 => cast!(UInt64Type),
            // By way of their digits: the only conversion that rounds once.
            DataType::Decimal128(..) => {
                let a: &Decimal128Array = array.as_primitive();
                (0..a.len()).map(|i| text(a.is_valid(i).then(|| a.value_as_string(i)).as_deref())).collect()
            }
            DataType::Decimal256(..) => {
                let a: &Decimal256Array = array.as_primitive();
                (0..a.len()).map(|i| text(a.is_valid(i).then(|| a.value_as_string(i)).as_deref())).collect()
            }
            _ => match texts(array) {
                Some(all) => all.into_iter().map(text).collect(),
                None => return Err(self.unusable(role, array.data_type())),
            },
        })
    }

    /// Epoch milliseconds of a column of times; none where there is no readable one.
    fn times(&mut self, array: &dyn Array) -> Result<Vec<Option<i64>>, ImportError> {
        macro_rules! stamps {
            ($kind:ty, $unit:expr, $zone:expr) => {{
                let values = array.as_primitive::<$kind>().iter();
                let instants = values.map(|x| x.and_then(|x| $unit.to_ms(i64::from(x))));
                if $zone { instants.collect() } else { self.localize(instants) }
            }};
        }
        macro_rules! counts {
            ($kind:ty) => {{
                let values: Vec<Option<i64>> = array
                    .as_primitive::<$kind>()
                    .iter()
                    .map(|x| x.and_then(|x| i64::try_from(x).ok()))
                    .collect();
                self.counted(&values)?
            }};
        }
        Ok(match array.data_type() {
            DataType::Timestamp(TimeUnit::Second, z) => {
                stamps!(TimestampSecondType, EpochUnit::Seconds, z.is_some())
            }
            DataType::Timestamp(TimeUnit::Millisecond, z) => {
                stamps!(TimestampMillisecondType, EpochUnit::Millis, z.is_some())
            }
            DataType::Timestamp(TimeUnit::Microsecond, z) => {
                stamps!(TimestampMicrosecondType, EpochUnit::Micros, z.is_some())
            }
            DataType::Timestamp(TimeUnit::Nanosecond, z) => {
                stamps!(TimestampNanosecondType, EpochUnit::Nanos, z.is_some())
            }
            DataType::Date64 => stamps!(Date64Type, EpochUnit::Millis, false),
            DataType::Date32 => {
                let days = array.as_primitive::<Date32Type>().iter();
                self.localize(days.map(|d| d.map(|d| i64::from(d) * 86_400_000)))
            }
            DataType::Int32 => counts!(Int32Type),
            DataType::Int64 => counts!(Int64Type),
            DataType::UInt32 => counts!(UInt32Type),
            DataType::UInt64 => counts!(UInt64Type),
            DataType::Float64 => self.counted_floats(array.as_primitive()),
            _ => match texts(array) {
                Some(all) => self.written(&all)?,
                None => return Err(self.unusable(Role::Time, array.data_type())),
            },
        })
    }

    /// Instants that were written without a zone, read as local ones.
    fn localize(&self, naive: impl Iterator<Item = Option<i64>>) -> Vec<Option<i64>> {
        let mut clock = Clock::new(TimeFormat::Compact, &self.zone);
        naive.map(|t| t.and_then(|t| clock.local_to_epoch(t))).collect()
    }

    fn clock_for(&mut self, sample: &[&[u8]]) -> Result<&mut Clock, ImportError> {
        if self.clock.is_none() {
            let format = clock::sniff(sample, self.options.date_order).map_err(|_| ImportError::Columns {
                path: self.path.to_owned(),
                problem: match clock::culprit(sample) {
                    Some(t) => format!("`{}` is no time that is understood", crate::report::excerpt(t)),
                    None => "the column of times is empty".to_owned(),
                },
                hint: "write 2024-01-31 15:04:05, a number counted from 1970, or pass --date-order".into(),
            })?;
            self.clock = Some(Clock::new(format, &self.zone));
        }
        // Set just above.
        self.clock
            .as_mut()
            .ok_or_else(|| ImportError::Empty { path: self.path.to_owned(), hint: String::new() })
    }

    fn written(&mut self, all: &[Option<&str>]) -> Result<Vec<Option<i64>>, ImportError> {
        let sample: Vec<&[u8]> = all.iter().flatten().take(SNIFF_VALUES).map(|t| t.as_bytes()).collect();
        let clock = self.clock_for(&sample)?;
        Ok(all.iter().map(|t| t.and_then(|t| clock.parse(t.trim().as_bytes()))).collect())
    }

    /// Whole numbers: counted from 1970, or dates like 20240131.
    fn counted(&mut self, all: &[Option<i64>]) -> Result<Vec<Option<i64>>, ImportError> {
        let written: Vec<String> = all.iter().flatten().take(SNIFF_VALUES).map(i64::to_string).collect();
        let sample: Vec<&[u8]> = written.iter().map(|t| t.as_bytes()).collect();
        let clock = self.clock_for(&sample)?;
        Ok(match clock.format {
            TimeFormat::Epoch(unit) => all.iter().map(|t| t.and_then(|t| unit.to_ms(t))).collect(),
            _ => all.iter().map(|t| t.and_then(|t| clock.parse(t.to_string().as_bytes()))).collect(),
        })
    }

    fn counted_floats(&mut self, all: &Float64Array) -> Vec<Option<i64>> {
        let unit = match self.clock.as_ref().map(|c| c.format) {
            Some(TimeFormat::Epoch(unit)) => unit,
            _ => {
                let mut sample: Vec<f64> =
                    all.iter().flatten().filter(|x| x.is_finite()).map(f64::abs).collect();
                sample.sort_unstable_by(f64::total_cmp);
                EpochUnit::of(sample.get(sample.len() / 2).copied().unwrap_or(0.0))
            }
        };
        self.clock = Some(Clock::new(TimeFormat::Epoch(unit), &self.zone));
        all.iter().map(|x| x.and_then(|x| unit.float_to_ms(x))).collect()
    }
}

fn floats(array: &Float64Array, absent: Result<f64, Problem>) -> Vec<Result<f64, Problem>> {
    // One bit pattern for all NaN, so that equal bars have equal hashes.
    array.iter().map(|x| x.map_or(absent, |x| Ok(if x.is_nan() { f64::NAN } else { x }))).collect()
}

type Parts = (
    Result<f64, Problem>,
    Result<f64, Problem>,
    Result<f64, Problem>,
    Result<f64, Problem>,
    Option<Result<f64, Problem>>,
);

fn join((open, high, low, close, volume): Parts) -> Result<Row, Problem> {
    Ok(Row {
        time: 0,
        open: open?,
        high: high?,
        low: low?,
        close: close?,
        volume: volume.unwrap_or(Ok(f64::NAN))?,
    })
}

fn texts(array: &dyn Array) -> Option<Vec<Option<&str>>> {
    let any = array.as_any();
    if let Some(a) = any.downcast_ref::<StringArray>() {
        return Some(a.iter().collect());
    }
    if let Some(a) = any.downcast_ref::<LargeStringArray>() {
        return Some(a.iter().collect());
    }
    any.downcast_ref::<StringViewArray>().map(|a| a.iter().collect())
}

/// A row for a message, as far as its values are texts or numbers.
fn text_of(batch: &RecordBatch, row: usize) -> String {
    let show = |array: &dyn Array| -> String {
        if array.is_null(row) {
            return "null".into();
        }
        match (texts(array), array.as_any().downcast_ref::<Float64Array>()) {
            (Some(t), _) => t[row].unwrap_or("null").to_owned(),
            (None, Some(x)) => x.value(row).to_string(),
            (None, None) => format!("({})", array.data_type()),
        }
    };
    let cells: Vec<String> = batch.columns().iter().map(|c| show(c)).collect();
    crate::report::excerpt(cells.join(", ").as_bytes())
}
