//! Writes bar files row by row, each column straight to its place, without holding the rows.

use super::{
    BarMeta, COLUMNS, ColumnHashes, ColumnPlaces, MAGIC, SCHEMA_VERSION, column_bytes, content_hash, fields,
    flush::{FLUSH_BYTES, Flusher},
};
use crate::{
    atomic::{AtomicFile, Passing},
    collect::Sink,
    report::Unwritten,
};
use arrow_ipc::{
    Block, Buffer, FieldNode, FooterBuilder, MessageBuilder, MessageHeader, MetadataVersion,
    RecordBatchBuilder, convert::IpcSchemaEncoder,
};
use arrow_schema::Schema;
use flatbuffers::FlatBufferBuilder;
use springtide_domain::{BarsView, ContentHash, OwnedBars};
use springtide_runtime::CancelToken;
use std::{
    collections::HashMap,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

/// Columns and messages begin at multiples of this.
const ALIGN: u64 = 64;
/// Room for the batch's message, whose length is not known before its rows are.
const BATCH_HEAD: u64 = 1024;
/// Rows turned round or moved at a time.
const MOVED_ROWS: u64 = 64 << 10;
/// Marks a message's beginning; with length zero, the end of the batches.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// A bar file in the making. Its columns have room for so many rows; should more come, they move to a wider file.
pub(crate) struct BarWriter {
    out: AtomicFile,
    schema_message: Vec<u8>,
    capacity: u64,
    rows: u64,
    hashes: ColumnHashes,
    flusher: Option<Flusher>,
    flushed_rows: u64,
    /// What ends it early.
    cancel: CancelToken,
}

impl BarWriter {
    /// Begins a file for about `capacity` rows, under a passing name in `folder`.
    pub(crate) fn create_in(folder: &Path, capacity: u64) -> io::Result<Self> {
        let out = AtomicFile::create_in(folder)?;
        // It tells those who clear up that it is being written; where there are no locks its name does.
        let _ = out.file.try_lock();
        Ok(Self {
            out,
            schema_message: schema_message(),
            capacity,
            rows: 0,
            hashes: ColumnHashes::default(),
            flusher: None,
            flushed_rows: 0,
            cancel: CancelToken::new(),
        })
    }

    /// Takes no more rows once `cancel` is cancelled.
    pub(crate) fn until(self, cancel: &CancelToken) -> Self {
        Self { cancel: cancel.clone(), ..self }
    }

    /// Begins the file anew, for so many rows.
    fn again(&self, capacity: u64) -> io::Result<Self> {
        Ok(Self::create_in(self.out.folder(), capacity)?.until(&self.cancel))
    }

    /// An error of this file, which is not the one that is read.
    fn unwritten(&self, source: io::Error) -> io::Error {
        Unwritten::at(self.out.folder(), source)
    }

    fn batch_start(&self) -> u64 {
        self.schema_message.len() as u64
    }

    fn stride(&self) -> u64 {
        (self.capacity * 8).next_multiple_of(ALIGN)
    }

    fn place(&self, column: usize, row: u64) -> u64 {
        self.batch_start() + BATCH_HEAD + column as u64 * self.stride() + row * 8
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.out.file.seek(SeekFrom::Start(offset))?;
        self.out.file.write_all(bytes)
    }

    /// Appends rows.
    pub(crate) fn push(&mut self, bars: &BarsView<'_>) -> io::Result<()> {
        if self.rows + bars.len() as u64 > self.capacity {
            self.widen(self.rows + bars.len() as u64)?;
        }
        self.hashes.update(bars);
        self.write_rows(bars)?;
        self.flush_now_and_then()
    }

    fn write_rows(&mut self, bars: &BarsView<'_>) -> io::Result<()> {
        for (i, bytes) in column_bytes(bars).into_iter().enumerate() {
            self.write_at(self.place(i, self.rows), bytes)?;
        }
        self.rows += bars.len() as u64;
        Ok(())
    }

    fn flush_now_and_then(&mut self) -> io::Result<()> {
        if (self.rows - self.flushed_rows) * 8 * COLUMNS.len() as u64 >= FLUSH_BYTES {
            self.flushed_rows = self.rows;
            let flusher = match self.flusher.take() {
                Some(flusher) => flusher,
                None => Flusher::start(&self.out.file)?,
            };
            flusher.request();
            self.flusher = Some(flusher);
        }
        Ok(())
    }

    /// Moves the rows to a file with room for a quarter more than `needed`.
    fn widen(&mut self, needed: u64) -> io::Result<()> {
        let mut wider = self.again(needed + needed / 4)?;
        for start in (0..self.rows).step_by(MOVED_ROWS as usize) {
            let block = self.read(start..(start + MOVED_ROWS).min(self.rows))?;
            wider.write_rows(&block.view())?;
        }
        wider.hashes = self.hashes.clone();
        *self = wider;
        Ok(())
    }

    /// Hash of the rows so far.
    pub(crate) fn hash(&self, timeframe: springtide_domain::Timeframe) -> ContentHash {
        self.hashes.combine(self.rows, timeframe)
    }

    /// Completes the file and puts it in the target's place.
    pub(crate) fn finish(self, meta: &BarMeta, target: &Path) -> io::Result<ContentHash> {
        let hash = self.hash(meta.timeframe);
        self.seal(meta)?.commit(target)?;
        Ok(hash)
    }

    /// Writes head and footer and makes the file durable, under its passing name still.
    pub(crate) fn seal(mut self, meta: &BarMeta) -> io::Result<Passing> {
        let hash = self.hash(meta.timeframe);
        let schema_message = std::mem::take(&mut self.schema_message);
        self.write_at(0, &schema_message)?;
        self.schema_message = schema_message;
        let body = 6 * self.stride();
        self.write_at(self.batch_start(), &batch_message(self.rows, self.stride(), body)?)?;
        let tail = tail(&schema_with(meta, hash)?, self.batch_start(), body);
        self.write_at(self.batch_start() + BATCH_HEAD + body, &tail)?;
        self.flusher.take().map_or(Ok(()), Flusher::finish)?;
        self.out.seal()
    }

    /// Rows `range`, read back.
    fn read(&mut self, range: std::ops::Range<u64>) -> io::Result<OwnedBars> {
        let mut bars = OwnedBars { time: self.times(range.clone())?, ..OwnedBars::default() };
        let columns = [&mut bars.open, &mut bars.high, &mut bars.low, &mut bars.close, &mut bars.volume];
        for (i, column) in columns.into_iter().enumerate() {
            column.extend(self.read_column(i + 1, &range)?.into_iter().map(f64::from_le_bytes));
        }
        Ok(bars)
    }

    fn read_column(&mut self, column: usize, range: &std::ops::Range<u64>) -> io::Result<Vec<[u8; 8]>> {
        self.out.file.seek(SeekFrom::Start(self.place(column, range.start)))?;
        let mut bytes = vec![0; ((range.end - range.start) * 8) as usize];
        self.out.file.read_exact(&mut bytes)?;
        let (words, _) = bytes.as_chunks::<8>();
        Ok(words.to_vec())
    }

    /// Turns the order of all rows round.
    fn turn(&mut self) -> io::Result<()> {
        let mut turned = self.again(self.capacity)?;
        let mut end = self.rows;
        while end > 0 {
            let start = end.saturating_sub(MOVED_ROWS);
            let mut block = self.read(start..end)?;
            block.reverse()?;
            turned.push(&block.view())?;
            end = start;
        }
        *self = turned;
        Ok(())
    }
}

impl Sink for BarWriter {
    fn append(&mut self, bars: &BarsView<'_>) -> io::Result<()> {
        if self.cancel.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.push(bars).map_err(|source| self.unwritten(source))
    }

    fn reverse(&mut self) -> io::Result<()> {
        self.turn().map_err(|source| self.unwritten(source))
    }

    fn rows(&self) -> u64 {
        self.rows
    }

    fn times(&mut self, range: std::ops::Range<u64>) -> io::Result<Vec<i64>> {
        let times = self.read_column(0, &range).map_err(|source| self.unwritten(source))?;
        Ok(times.into_iter().map(i64::from_le_bytes).collect())
    }

    fn block(&mut self, range: std::ops::Range<u64>) -> io::Result<OwnedBars> {
        self.read(range).map_err(|source| self.unwritten(source))
    }

    fn take(&mut self) -> io::Result<OwnedBars> {
        let all = self.block(0..self.rows)?;
        (self.rows, self.flushed_rows) = (0, 0);
        self.hashes = ColumnHashes::default();
        Ok(all)
    }
}

/// A whole file in memory.
pub(super) fn bytes(bars: &BarsView<'_>, meta: &BarMeta) -> io::Result<(Vec<u8>, ColumnPlaces)> {
    let rows = bars.len() as u64;
    let stride = (rows * 8).next_multiple_of(ALIGN);
    let body = stride * COLUMNS.len() as u64;
    let schema = schema_with(meta, content_hash(bars, meta.timeframe))?;
    let mut out = schema_message();
    let batch_start = out.len() as u64;
    out.reserve((BATCH_HEAD + body) as usize + 4_096);
    out.extend(batch_message(rows, stride, body)?);
    let mut starts = [0; COLUMNS.len()];
    for (start, column) in starts.iter_mut().zip(column_bytes(bars)) {
        *start = out.len();
        out.extend(column);
        out.resize(*start + stride as usize, 0);
    }
    out.extend(tail(&schema, batch_start, body));
    Ok((out, ColumnPlaces { rows: bars.len(), starts }))
}

/// What follows the columns: the end of the batches, and the footer.
fn tail(schema: &Schema, batch_start: u64, body: u64) -> Vec<u8> {
    let mut tail = Vec::from(CONTINUATION);
    tail.extend([0; 4]);
    let footer = footer(schema, Block::new(batch_start as i64, BATCH_HEAD as i32, body as i64));
    tail.extend(&footer);
    tail.extend((footer.len() as i32).to_le_bytes());
    tail.extend(MAGIC);
    tail
}

fn schema_with(meta: &BarMeta, hash: ContentHash) -> io::Result<Schema> {
    let mut map = HashMap::new();
    let mut put = |key: &str, value: String| map.insert(format!("springtide.{key}"), value);
    put("schema", SCHEMA_VERSION.into());
    put("symbol", meta.symbol.ticker.clone());
    put("symbol_info", serde_json::to_string(&meta.symbol)?);
    put("timeframe", meta.timeframe.to_string());
    put("mintick", meta.symbol.mintick.to_string());
    put("source", meta.source.clone());
    put("hash", hash.to_string());
    if let Some(report) = &meta.report {
        put("report", serde_json::to_string(report)?);
    }
    Ok(Schema::new_with_metadata(fields(), map))
}

/// Magic and schema message, padded so that what follows is aligned. The metadata is not known yet and
/// stands in the footer alone.
fn schema_message() -> Vec<u8> {
    let mut fbb = FlatBufferBuilder::new();
    let schema = IpcSchemaEncoder::new().schema_to_fb_offset(&mut fbb, &Schema::new(fields()));
    let mut message = MessageBuilder::new(&mut fbb);
    message.add_version(MetadataVersion::V5);
    message.add_header_type(MessageHeader::Schema);
    message.add_header(schema.as_union_value());
    message.add_bodyLength(0);
    let message = message.finish();
    fbb.finish(message, None);
    let mut bytes = Vec::from(MAGIC);
    bytes.extend([0; 2]);
    let padded = (16 + fbb.finished_data().len() as u64).next_multiple_of(ALIGN) - 16;
    push_message(&mut bytes, fbb.finished_data(), padded);
    bytes
}

fn push_message(out: &mut Vec<u8>, message: &[u8], padded: u64) {
    out.extend(CONTINUATION);
    out.extend((padded as i32).to_le_bytes());
    out.extend(message);
    out.resize(out.len() + padded as usize - message.len(), 0);
}

fn batch_message(rows: u64, stride: u64, body: u64) -> io::Result<Vec<u8>> {
    let mut fbb = FlatBufferBuilder::new();
    let spans = (0..COLUMNS.len() as u64).map(|i| (i * stride) as i64);
    // Of each column an empty validity map and the values.
    let buffers: Vec<Buffer> =
        spans.flat_map(|start| [Buffer::new(start, 0), Buffer::new(start, (rows * 8) as i64)]).collect();
    let nodes = [FieldNode::new(rows as i64, 0); COLUMNS.len()];
    let (buffers, nodes) = (fbb.create_vector(&buffers), fbb.create_vector(&nodes));
    let mut batch = RecordBatchBuilder::new(&mut fbb);
    batch.add_length(rows as i64);
    batch.add_nodes(nodes);
    batch.add_buffers(buffers);
    let batch = batch.finish();
    let mut message = MessageBuilder::new(&mut fbb);
    message.add_version(MetadataVersion::V5);
    message.add_header_type(MessageHeader::RecordBatch);
    message.add_header(batch.as_union_value());
    message.add_bodyLength(body as i64);
    let message = message.finish();
    fbb.finish(message, None);
    let mut bytes = Vec::new();
    if fbb.finished_data().len() as u64 + 8 > BATCH_HEAD {
        return Err(io::Error::other("the batch message outgrew its room"));
    }
    push_message(&mut bytes, fbb.finished_data(), BATCH_HEAD - 8);
    Ok(bytes)
}

fn footer(schema: &Schema, block: Block) -> Vec<u8> {
    let mut fbb = FlatBufferBuilder::new();
    let batches = fbb.create_vector(&[block]);
    let dictionaries = fbb.create_vector::<Block>(&[]);
    let schema = IpcSchemaEncoder::new().schema_to_fb_offset(&mut fbb, schema);
    let mut footer = FooterBuilder::new(&mut fbb);
    footer.add_version(MetadataVersion::V5);
    footer.add_schema(schema);
    footer.add_dictionaries(dictionaries);
    footer.add_recordBatches(batches);
    let footer = footer.finish();
    fbb.finish(footer, None);
    fbb.finished_data().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bar_file::BarFile;
    use springtide_domain::{SymbolInfo, Timeframe};

    fn bars(count: usize) -> OwnedBars {
        let mut bars = OwnedBars::default();
        for i in 0..count {
            let price = 100.0 + i as f64;
            bars.push(i as i64 * 60_000, price, price + 2.0, price - 1.0, price + 1.0, i as f64);
        }
        bars
    }

    #[test]
    fn more_rows_than_there_was_room_for_move_to_a_wider_file() {
        let folder = tempfile::tempdir().unwrap();
        let all = bars(200_000);
        let mut writer = BarWriter::create_in(folder.path(), 10).unwrap();
        for start in (0..200_000).step_by(7_000) {
            writer.push(&all.view().slice(start..(start + 7_000).min(200_000))).unwrap();
        }
        let meta = BarMeta {
            symbol: SymbolInfo::default(),
            timeframe: Timeframe::Minutes(1),
            source: String::new(),
            report: None,
        };
        let target = folder.path().join("a.arrow");
        let hash = writer.finish(&meta, &target).unwrap();
        assert_eq!(hash, content_hash(&all.view(), meta.timeframe));
        let file = BarFile::open(&target).unwrap();
        assert!(file.verify());
        assert_eq!(file.view().to_owned(), all);
        // Nothing is left of the narrower ones.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_in_memory_is_the_file_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let meta = BarMeta {
            symbol: SymbolInfo::default(),
            timeframe: Timeframe::Minutes(1),
            source: "a.csv".into(),
            report: None,
        };
        for rows in [1, 8, 1_001] {
            let all = bars(rows);
            let path = folder.path().join("a.arrow");
            crate::write_bars(&path, &all.view(), &meta).unwrap();
            let (bytes, places) = bytes(&all.view(), &meta).unwrap();
            assert_eq!(bytes, std::fs::read(&path).unwrap(), "{rows} rows");
            let file = BarFile::open(&path).unwrap();
            assert_eq!(file.places(), places);
            let shared = file.share().unwrap().expect("it is mapped");
            assert_eq!(shared.metadata().unwrap().len(), bytes.len() as u64);
            let close = &bytes[places.starts[4]..][..rows * 8];
            assert_eq!(close, column_bytes(&all.view())[4]);
        }
    }
}
