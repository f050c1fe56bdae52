//! Bars in an Arrow IPC file (Feather v2, uncompressed, one record batch), mapped into memory.
//!
//! | column | type | |
//! |---|---|---|
//! | `time` | timestamp\[ms, UTC\] | bar open |
//! | `open`, `high`, `low`, `close` | float64 | |
//! | `volume` | float64 | NaN where unknown |
//!
//! No column has nulls and each begins at a multiple of 64 bytes, so that its bytes are the slice the engine
//! computes on. The file's metadata (keys `springtide.*`) names symbol, timeframe, price step, source, content
//! hash and the import's report. Files are replaced whole and never changed in place, because a mapped file that
//! shrinks kills whoever reads it.

mod flush;
mod write;

pub(crate) use write::BarWriter;

use crate::{
    atomic::folder_of,
    files::{FileError, Mapping},
    import::store_error,
    report::{ImportError, ImportReport},
};
use arrow_buffer::{Buffer, ScalarBuffer, ToByteSlice};
use arrow_ipc::{MessageHeader, convert::try_fb_to_schema, root_as_footer, root_as_message};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use serde::{Deserialize, Serialize};
use springtide_domain::{BarColumns, BarsView, ContentHash, SymbolInfo, Timeframe};
use std::{fs::File, io, path::Path, sync::Arc};

/// Version of the layout and of the content hash; other versions are refused.
pub const SCHEMA_VERSION: &str = "1";
pub(crate) const COLUMNS: [&str; 6] = ["time", "open", "high", "low", "close", "volume"];
const MAGIC: &[u8; 6] = b"ARROW1";

/// What a bar file says about its bars.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BarMeta {
    /// The instrument.
    pub symbol: SymbolInfo,
    /// Bar length.
    pub timeframe: Timeframe,
    /// The file the bars came from; empty when they were made.
    pub source: String,
    /// The import's findings; none for bars that were made.
    pub report: Option<ImportReport>,
}

/// Hash of a bar length and of six columns, bit by bit. Equal bars have equal hashes, wherever they came from.
pub fn content_hash(bars: &BarsView<'_>, timeframe: Timeframe) -> ContentHash {
    let mut hashes = ColumnHashes::default();
    hashes.update(bars);
    hashes.combine(bars.len() as u64, timeframe)
}

/// [`content_hash`] of bars that come in parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct ColumnHashes([blake3::Hasher; COLUMNS.len()]);

impl ColumnHashes {
    pub(crate) fn update(&mut self, bars: &BarsView<'_>) {
        for (hasher, bytes) in self.0.iter_mut().zip(column_bytes(bars)) {
            hasher.update(bytes);
        }
    }

    pub(crate) fn combine(&self, rows: u64, timeframe: Timeframe) -> ContentHash {
        let columns = self.0.each_ref().map(|hasher| *hasher.finalize().as_bytes());
        let timeframe = timeframe.to_string();
        let rows = rows.to_le_bytes();
        let mut parts: Vec<&[u8]> =
            vec![b"springtide bars", SCHEMA_VERSION.as_bytes(), timeframe.as_bytes(), &rows];
        parts.extend(columns.iter().map(|c| c.as_slice()));
        ContentHash::of_parts(&parts)
    }
}

pub(crate) fn column_bytes<'a>(bars: &BarsView<'a>) -> [&'a [u8]; 6] {
    [
        bars.time.to_byte_slice(),
        bars.open.to_byte_slice(),
        bars.high.to_byte_slice(),
        bars.low.to_byte_slice(),
        bars.close.to_byte_slice(),
        bars.volume.to_byte_slice(),
    ]
}

fn fields() -> Vec<Field> {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    COLUMNS
        .iter()
        .map(|c| Field::new(*c, if *c == "time" { time.clone() } else { DataType::Float64 }, false))
        .collect()
}

/// Reads `ContentHash` digits.
pub fn parse_hash(text: &str) -> Option<ContentHash> {
    let digits = text.as_bytes();
    let mut hash = [0u8; 32];
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(ContentHash(hash))
}

/// Where the columns lie in a bar file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnPlaces {
    /// Values in each column; a value takes eight bytes.
    pub rows: usize,
    /// First byte of `time`, `open`, `high`, `low`, `close` and `volume`.
    pub starts: [usize; COLUMNS.len()],
}

/// A bar file mapped into memory. Its columns are read from the file when they are first touched and shared by
/// all processes that map it.
#[derive(Debug)]
pub struct BarFile {
    meta: BarMeta,
    hash: ContentHash,
    mapping: Option<Arc<Mapping>>,
    places: ColumnPlaces,
    time: ScalarBuffer<i64>,
    prices: [ScalarBuffer<f64>; 5],
}

impl BarFile {
    /// Maps a file. Lengths and types are checked, values and hash are not (see [`Self::verify`]).
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let mapping = Arc::new(Mapping::open(path).map_err(|e| file_error(path, e))?);
        let file = Self::parse(mapping.buffer()).map_err(|problem| damaged(path, problem))?;
        Ok(Self { mapping: Some(mapping), ..file })
    }

    /// Whether the file had all its bytes whenever they were read.
    ///
    /// # Errors
    /// When somebody cut it: what was computed from its bars is not valid.
    pub fn check(&self) -> Result<(), FileError> {
        self.mapping.as_ref().map_or(Ok(()), |m| m.check())
    }

    /// Reads the layout of a whole file's bytes.
    pub(crate) fn parse(bytes: Buffer) -> Result<Self, String> {
        let schema = footer_schema(&bytes)?;
        let (meta, hash) = metadata(&schema)?;
        let places = batch_layout(&bytes)?;
        let ColumnPlaces { rows, starts } = places;
        let column = |i: usize| bytes.slice_with_length(starts[i], rows * 8);
        let prices = [1, 2, 3, 4, 5].map(|i| ScalarBuffer::new(column(i), 0, rows));
        let time = ScalarBuffer::new(column(0), 0, rows);
        Ok(Self { meta, hash, mapping: None, places, time, prices })
    }

    /// The file itself, open for reading, for another process that maps it. None where the file cannot be mapped
    /// and its bytes were copied.
    ///
    /// # Errors
    /// When the system has no descriptor to give.
    pub fn share(&self) -> io::Result<Option<File>> {
        self.mapping.as_ref().and_then(|mapping| mapping.file()).map(File::try_clone).transpose()
    }

    /// Where its columns lie.
    pub fn places(&self) -> ColumnPlaces {
        self.places
    }

    /// Symbol, timeframe, source, report.
    pub fn meta(&self) -> &BarMeta {
        &self.meta
    }

    /// The hash that the file carries.
    pub fn hash(&self) -> ContentHash {
        self.hash
    }

    /// Borrowed columns.
    pub fn view(&self) -> BarsView<'_> {
        BarsView {
            time: self.time(),
            open: BarColumns::open(self),
            high: self.high(),
            low: self.low(),
            close: self.close(),
            volume: self.volume(),
        }
    }

    /// True when the columns have the hash that the file carries.
    pub fn verify(&self) -> bool {
        content_hash(&self.view(), self.meta.timeframe) == self.hash
    }
}

impl BarColumns for BarFile {
    fn time(&self) -> &[i64] {
        &self.time
    }
    fn open(&self) -> &[f64] {
        &self.prices[0]
    }
    fn high(&self) -> &[f64] {
        &self.prices[1]
    }
    fn low(&self) -> &[f64] {
        &self.prices[2]
    }
    fn close(&self) -> &[f64] {
        &self.prices[3]
    }
    fn volume(&self) -> &[f64] {
        &self.prices[4]
    }
    fn check(&self) -> Result<(), String> {
        BarFile::check(self).map_err(|e| e.to_string())
    }
}

/// Writes bars as a bar file, atomically. Returns their content hash.
pub fn write_bars(path: &Path, bars: &BarsView<'_>, meta: &BarMeta) -> Result<ContentHash, ImportError> {
    let mut writer = BarWriter::create_in(folder_of(path), bars.len() as u64).map_err(store_error(path))?;
    writer.push(bars).map_err(store_error(path))?;
    writer.finish(meta, path).map_err(store_error(path))
}

/// A bar file's bytes, for bars that lie in no file.
///
/// # Errors
/// When its metadata outgrows a file's head.
pub fn bar_file_bytes(bars: &BarsView<'_>, meta: &BarMeta) -> io::Result<(Vec<u8>, ColumnPlaces)> {
    write::bytes(bars, meta)
}

/// Reads arbitrary bytes as a bar file and touches all that it says it holds. For fuzzing.
#[doc(hidden)]
pub fn fuzz_bar_file(data: &[u8]) {
    if let Ok(file) = BarFile::parse(Buffer::from(data)) {
        let bars = file.view().len();
        let sum = content_hash(&file.view(), file.meta.timeframe);
        assert_eq!((file.verify(), file.time.len()), (sum == file.hash, bars));
    }
}

pub(crate) fn damaged(path: &Path, problem: String) -> ImportError {
    let problem = format!("{problem}; the file is damaged or no bar file: import its source again");
    ImportError::Damaged { path: path.to_owned(), problem }
}

fn file_error(path: &Path, error: FileError) -> ImportError {
    match error {
        FileError::Io { source, .. } | FileError::Full { source, .. } => {
            ImportError::Io { path: path.to_owned(), source }
        }
        other => ImportError::Damaged { path: path.to_owned(), problem: other.to_string() },
    }
}

fn long(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The flatbuffer at the end of the file.
fn footer_bytes(bytes: &[u8]) -> Result<&[u8], String> {
    if bytes.len() < 24 || !bytes.starts_with(MAGIC) {
        return Err("it does not begin like an Arrow file".into());
    }
    if !bytes.ends_with(MAGIC) {
        return Err("its end is missing".into());
    }
    let end = bytes.len() - MAGIC.len() - 4;
    let length = long(bytes, end).and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0 && *n <= end - 8);
    length.map(|n| &bytes[end - n..end]).ok_or_else(|| "its footer's length is impossible".into())
}

fn footer_schema(bytes: &[u8]) -> Result<Schema, String> {
    let footer =
        root_as_footer(footer_bytes(bytes)?).map_err(|e| format!("its footer cannot be read ({e})"))?;
    let schema = footer.schema().ok_or("its footer has no schema")?;
    if schema.endianness() != arrow_ipc::Endianness::Little {
        return Err("its numbers are big-endian".into());
    }
    let schema = try_fb_to_schema(schema).map_err(|e| format!("its schema cannot be read ({e})"))?;
    let same = |a: &Field, b: &Field| a.name() == b.name() && a.data_type() == b.data_type();
    let expected = fields();
    if schema.fields().len() != 6 || !schema.fields().iter().zip(&expected).all(|(a, b)| same(a, b)) {
        return Err("its columns are not those of a bar file".into());
    }
    Ok(schema)
}

fn metadata(schema: &Schema) -> Result<(BarMeta, ContentHash), String> {
    let get = |key: &str| {
        let value = schema.metadata().get(&format!("springtide.{key}"));
        value.map(|v| v.to_string()).ok_or_else(|| format!("its metadata lacks `springtide.{key}`"))
    };
    let version = get("schema")?;
    if version != SCHEMA_VERSION {
        return Err(format!("it is of layout {version} and this program reads layout {SCHEMA_VERSION}"));
    }
    let symbol =
        serde_json::from_str(&get("symbol_info")?).map_err(|e| format!("its symbol cannot be read ({e})"))?;
    let timeframe = get("timeframe")?.parse().map_err(|e| format!("{e}"))?;
    let hash = parse_hash(&get("hash")?).ok_or("its content hash cannot be read")?;
    let report = get("report").ok().and_then(|r| serde_json::from_str(&r).ok());
    Ok((BarMeta { symbol, timeframe, source: get("source")?, report }, hash))
}

/// True when a file's bytes are an Arrow file that says it is a bar file, damaged or not.
pub(crate) fn claims_to_be_bar_file(path: &Path) -> bool {
    let mapping = Mapping::open(path).map_err(|e| file_error(path, e));
    let schema = mapping.ok().and_then(|mapping| {
        let footer = root_as_footer(footer_bytes(mapping.bytes()).ok()?).ok()?;
        try_fb_to_schema(footer.schema()?).ok()
    });
    schema.is_some_and(|s| s.metadata().get("springtide.schema").is_some())
}

/// Reads where the columns lie.
fn batch_layout(bytes: &[u8]) -> Result<ColumnPlaces, String> {
    let footer = root_as_footer(footer_bytes(bytes)?).map_err(|e| e.to_string())?;
    let blocks =
        footer.recordBatches().filter(|b| b.len() == 1).ok_or("it does not hold exactly one batch")?;
    let block = blocks.get(0);
    let bad = || "its batch lies outside the file".to_owned();
    let at = |n: i64| usize::try_from(n).map_err(|_| bad());
    let (offset, head, body) =
        (at(block.offset())?, at(block.metaDataLength().into())?, at(block.bodyLength())?);
    let body_start = offset.checked_add(head).ok_or_else(bad)?;
    let body_end = body_start.checked_add(body).filter(|end| *end <= bytes.len()).ok_or_else(bad)?;
    // Continuation marker and length stand before the message.
    if head < 8 || long(bytes, offset) != Some(-1) {
        return Err("its batch has no header".into());
    }
    let message = root_as_message(&bytes[offset + 8..body_start])
        .map_err(|e| format!("its batch cannot be read ({e})"))?;
    let batch =
        (message.header_type() == MessageHeader::RecordBatch).then(|| message.header_as_record_batch());
    let batch = batch.flatten().ok_or("its batch is another message")?;
    if batch.compression().is_some() {
        return Err("it is compressed".into());
    }
    let rows = at(batch.length())?;
    let (nodes, buffers) = (batch.nodes(), batch.buffers());
    let (Some(nodes), Some(buffers)) = (nodes, buffers) else {
        return Err("its batch has no columns".into());
    };
    if nodes.len() != 6 || buffers.len() != 12 {
        return Err("its batch does not have six columns".into());
    }
    if nodes.iter().any(|n| n.length() != batch.length() || n.null_count() != 0) {
        return Err("its columns differ in length or have nulls".into());
    }
    let wanted = rows.checked_mul(8).ok_or_else(bad)?;
    let mut starts = [0; COLUMNS.len()];
    for (i, place) in starts.iter_mut().enumerate() {
        let buffer = buffers.get(2 * i + 1);
        let start = body_start.checked_add(at(buffer.offset())?).ok_or_else(bad)?;
        let inside = start.checked_add(wanted).is_some_and(|end| end <= body_end);
        if !inside || at(buffer.length())? < wanted {
            return Err(format!("its column `{}` is cut short", COLUMNS[i]));
        }
        if !(bytes.as_ptr() as usize + start).is_multiple_of(8) {
            return Err(format!("its column `{}` is not aligned", COLUMNS[i]));
        }
        *place = start;
    }
    Ok(ColumnPlaces { rows, starts })
}
