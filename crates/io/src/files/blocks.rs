//! A large file as blocks of whole lines.

use super::{BlockSize, FRONT, FileError, SizeBounds};
use std::{
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

/// A line may be this long, bytes; a file without line ends is no text.
const LINE_MAX: usize = 64 << 20;

/// A file opened to be read in parts, by several threads at once.
#[derive(Clone, Debug)]
pub struct LineFile {
    path: Arc<Path>,
    file: Arc<File>,
    bytes: u64,
}

impl LineFile {
    /// Opens it; it is taken to end where it ends now.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(FileError::at("open", path))?;
        let bytes = file.metadata().map_err(FileError::at("open", path))?.len();
        Ok(Self { path: path.into(), file: Arc::new(file), bytes })
    }

    /// Its size when it was opened.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The first line, its end included; the whole file when there is no line end.
    ///
    /// # Errors
    /// When it cannot be read, or the line is longer than 64 MiB.
    pub fn first_line(&self) -> Result<Vec<u8>, FileError> {
        let mut blocks = self.blocks(0..self.bytes, SizeBounds { least: 4096, most: 4096 });
        let block = blocks.next_block()?.map(|b| b.bytes().to_vec()).unwrap_or_default();
        let end = memchr::memchr(b'\n', &block).map_or(block.len(), |at| at + 1);
        Ok(block[..end].to_vec())
    }

    /// Cuts `range` into pieces of about `bytes` that begin and end between lines, in order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn pieces(&self, range: Range<u64>, bytes: u64) -> Result<Vec<Range<u64>>, FileError> {
        let mut pieces = Vec::new();
        let mut start = range.start;
        while start < range.end {
            let mut end = start.saturating_add(bytes.max(1));
            end = if end >= range.end { range.end } else { self.line_start(end)?.min(range.end) };
            pieces.push(start..end);
            start = end;
        }
        Ok(pieces)
    }

    /// Where the first line begins that begins at `from` or later.
    fn line_start(&self, from: u64) -> Result<u64, FileError> {
        let mut buffer = [0; 4096];
        // A line begins after a line end: the one before `from` counts.
        let mut at = from.saturating_sub(1);
        loop {
            let count = read_at(&self.file, &mut buffer, at).map_err(FileError::at("read", &self.path))?;
            if count == 0 {
                return Ok(self.bytes);
            }
            if let Some(found) = memchr::memchr(b'\n', &buffer[..count]) {
                return Ok(at + found as u64 + 1);
            }
            at += count as u64;
        }
    }

    /// Reads the lines of a range that begins and ends between lines.
    pub fn blocks(&self, range: Range<u64>, bounds: SizeBounds) -> LineBlocks {
        LineBlocks {
            file: self.clone(),
            at: range.start,
            end: range.end,
            size: BlockSize::new(bounds),
            buffer: Vec::new(),
            kept: 0..0,
        }
    }
}

/// Blocks of whole lines, in order. One buffer is used for all of them: the memory taken is one block and one
/// line, whatever the file's size.
#[derive(Debug)]
pub struct LineBlocks {
    file: LineFile,
    at: u64,
    end: u64,
    size: BlockSize,
    buffer: Vec<u8>,
    /// The beginning of a line that the last block had no end of.
    kept: Range<usize>,
}

/// A block: whole lines; only the last of a file may lack its line end.
#[derive(Clone, Copy, Debug)]
pub struct LineBlock<'a> {
    buffer: &'a [u8],
}

impl<'a> LineBlock<'a> {
    /// The lines.
    pub fn bytes(&self) -> &'a [u8] {
        &self.buffer[FRONT..]
    }

    /// The lines with [`FRONT`] bytes before them, which belong to no line.
    pub fn with_front(&self) -> &'a [u8] {
        self.buffer
    }
}

impl LineBlocks {
    /// The next block; none at the end.
    ///
    /// # Errors
    /// When the file cannot be read, has become shorter, or has a line longer than 64 MiB.
    pub fn next_block(&mut self) -> Result<Option<LineBlock<'_>>, FileError> {
        let mut filled = FRONT + self.kept.len();
        let kept = std::mem::take(&mut self.kept);
        if !kept.is_empty() {
            self.buffer.copy_within(kept, FRONT);
        }
        loop {
            let left = self.end - self.at;
            if left == 0 {
                // What is left is a last line without an end.
                return Ok((filled > FRONT).then(|| LineBlock { buffer: &self.buffer[..filled] }));
            }
            let searched = filled;
            filled = self.read(filled)?;
            if let Some(found) = memchr::memrchr(b'\n', &self.buffer[searched..filled]) {
                let cut = searched + found + 1;
                self.kept = cut..filled;
                return Ok(Some(LineBlock { buffer: &self.buffer[..cut] }));
            }
            if filled - FRONT > LINE_MAX {
                let source = std::io::Error::other("a line is longer than 64 MiB: is it a text file?");
                return Err(FileError::new("read", &self.file.path, source));
            }
        }
    }

    /// Reads one block's worth behind `filled`; the new end.
    fn read(&mut self, filled: usize) -> Result<usize, FileError> {
        let wanted = self.size.bytes().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        if self.buffer.len() < filled + wanted {
            self.buffer.resize(filled + wanted, 0);
        }
        let started = Instant::now();
        let target = &mut self.buffer[filled..filled + wanted];
        let count =
            read_at(&self.file.file, target, self.at).map_err(FileError::at("read", &self.file.path))?;
        if count == 0 {
            let (path, now) = (PathBuf::from(&*self.file.path), self.at);
            return Err(FileError::Shrunk { path, mapped: self.file.bytes, now });
        }
        self.size.observe(count, started.elapsed());
        self.at += count as u64;
        Ok(filled + count)
    }

    /// Bytes of the range not read yet.
    pub fn remaining(&self) -> u64 {
        self.end - self.at
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
    use std::os::unix::fs::FileExt;
    loop {
        match file.read_at(buffer, at) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(file: &LineFile, range: Range<u64>) -> Vec<u8> {
        let mut blocks = file.blocks(range.clone(), SizeBounds { least: 4096, most: 8192 });
        let mut text = Vec::new();
        while let Some(block) = blocks.next_block().unwrap() {
            assert_eq!(block.with_front().len(), block.bytes().len() + FRONT);
            text.extend_from_slice(block.bytes());
            let at_end = range.start + text.len() as u64 == file.bytes();
            assert!(text.ends_with(b"\n") || at_end, "a block ended within a line");
        }
        text
    }

    #[test]
    fn a_shorter_file_is_an_error_and_a_first_line_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        std::fs::write(&path, "head,er\n".to_owned() + &"1,2\n".repeat(5_000)).unwrap();
        let file = LineFile::open(&path).unwrap();
        assert_eq!(file.first_line().unwrap(), b"head,er\n");
        File::options().write(true).open(&path).unwrap().set_len(6_000).unwrap();
        let mut blocks = file.blocks(0..file.bytes(), SizeBounds { least: 4096, most: 4096 });
        let error = loop {
            match blocks.next_block() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the end was not there"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, FileError::Shrunk { mapped: 20_008, now: 6_000, .. }), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn blocks_and_pieces_are_the_file(
            lines in proptest::collection::vec(0usize..9_000, 0..12),
            ended in any::<bool>(),
            piece in 1u64..20_000,
        ) {
            let mut text: Vec<u8> = Vec::new();
            for (number, length) in lines.iter().enumerate() {
                text.extend(std::iter::repeat_n(b'a' + (number % 26) as u8, *length));
                text.push(b'\n');
            }
            if !ended {
                text.extend(b"no end");
            }
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x");
            std::fs::write(&path, &text).unwrap();
            let file = LineFile::open(&path).unwrap();
            prop_assert_eq!(&all(&file, 0..file.bytes()), &text);
            let pieces = file.pieces(0..file.bytes(), piece).unwrap();
            let mut joined = Vec::new();
            for piece in &pieces {
                prop_assert_eq!(piece.start, joined.len() as u64);
                prop_assert!(piece.start < piece.end);
                joined.extend(all(&file, piece.clone()));
            }
            prop_assert_eq!(joined, text);
        }
    }
}
