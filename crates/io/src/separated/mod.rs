//! Plain separated text, read column by column at memory speed.
//!
//! For files whose shape is known (a fixed number of unquoted fields in each line: trades, exports of other
//! programs) and of which only some columns are wanted. [`FieldIndex`] finds all separators of a block with
//! vector instructions; [`Rows`] hands out fields by number; [`decimal`] and [`whole`] read numbers, equal to
//! the standard library's reading bit for bit. Quotes are refused by name, not misread.
//!
//! ```
//! use springtide_io::separated::{FieldIndex, decimal};
//!
//! let text = b"1700000000000,BTC-USD,42123.45\n1700000000100,BTC-USD,42123.50\n";
//! let mut index = FieldIndex::default();
//! let rows = index.rows(text, b',', 3)?;
//! let last = rows.iter().map(|row| decimal(row.field(2)).unwrap()).last();
//! assert_eq!(last, Some(42123.5));
//! # Ok::<(), springtide_io::separated::ShapeError>(())
//! ```

mod number;
mod scan;

pub use number::{Field, decimal, whole};

/// Text that is not plain rows of so many fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A quote: the text needs a CSV reader.
    #[error("line {line} has a quotation mark: import the file as CSV instead")]
    Quote {
        /// Line of the block, from 1.
        line: usize,
    },
    /// A line with too few or too many fields.
    #[error("line {line} has {found} fields where {expected} were expected: `{text}`")]
    Fields {
        /// Line of the block, from 1.
        line: usize,
        /// Fields in it.
        found: usize,
        /// Fields that every line should have.
        expected: usize,
        /// The line, shortened.
        text: String,
    },
    /// Blocks end with whole lines and hold less than 4 GiB.
    #[error("a block of {bytes} bytes that is too long or does not end with a line's end")]
    Block {
        /// Its length.
        bytes: usize,
    },
}

/// Where the separators of a block are. Keep it: its memory is used again.
#[derive(Clone, Debug, Default)]
pub struct FieldIndex {
    marks: scan::Marks,
}

impl FieldIndex {
    /// The rows of a block of whole lines with `fields` fields each. Windows line ends belong to the last
    /// field, from which [`decimal`] and [`whole`] drop them.
    ///
    /// # Errors
    /// When a line has another number of fields, when there is a quote, and when the block does not end with
    /// a line end.
    pub fn rows<'a>(
        &'a mut self,
        text: &'a [u8],
        delimiter: u8,
        fields: usize,
    ) -> Result<Rows<'a>, ShapeError> {
        self.rows_from(text, 0, delimiter, fields)
    }

    /// As [`rows`](Self::rows), of `buffer[start..]`: with 16 readable bytes before the first line all numbers
    /// are read the fast way.
    ///
    /// # Errors
    /// As [`rows`](Self::rows); lines are counted from `start`.
    pub fn rows_from<'a>(
        &'a mut self,
        buffer: &'a [u8],
        start: usize,
        delimiter: u8,
        fields: usize,
    ) -> Result<Rows<'a>, ShapeError> {
        let text = &buffer[start..];
        if u32::try_from(text.len()).is_err() || !(text.is_empty() || text.ends_with(b"\n")) {
            return Err(ShapeError::Block { bytes: text.len() });
        }
        self.marks.find(text, delimiter);
        let rows = Rows { buffer, start, marks: self.marks.positions(), fields: fields.max(1) };
        if self.marks.quoted || !rows.is_regular(self.marks.lines) {
            return Err(complaint(text, delimiter, fields));
        }
        Ok(rows)
    }
}

/// The first line that is not as it should be.
fn complaint(text: &[u8], delimiter: u8, expected: usize) -> ShapeError {
    for (number, line) in text.split(|b| *b == b'\n').enumerate() {
        let line_number = number + 1;
        if line.contains(&b'"') {
            return ShapeError::Quote { line: line_number };
        }
        let found = line.iter().filter(|b| **b == delimiter).count() + 1;
        if found != expected {
            let text = String::from_utf8_lossy(&line[..line.len().min(60)]).into_owned();
            return ShapeError::Fields { line: line_number, found, expected, text };
        }
    }
    // Only reached when the two ways of counting differ, which the tests exclude.
    ShapeError::Block { bytes: text.len() }
}

/// Rows of a block.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    buffer: &'a [u8],
    start: usize,
    marks: &'a [u32],
    fields: usize,
}

impl<'a> Rows<'a> {
    /// Every `fields`-th separator ends a line, and there are no more line ends than that.
    fn is_regular(&self, lines: usize) -> bool {
        let mut rows = self.marks.chunks_exact(self.fields);
        let text = &self.buffer[self.start..];
        let ended = |row: &[u32]| text[row[self.fields - 1] as usize] == b'\n';
        lines == self.len() && self.marks.len().is_multiple_of(self.fields) && rows.all(ended)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.marks.len() / self.fields
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// The rows in order.
    pub fn iter(&self) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let mut from = self.start;
        let (buffer, base) = (self.buffer, self.start);
        self.marks.chunks_exact(self.fields).map(move |marks| {
            let row = Row { buffer, base, from, marks };
            from = base + marks[marks.len() - 1] as usize + 1;
            row
        })
    }
}

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    buffer: &'a [u8],
    base: usize,
    from: usize,
    marks: &'a [u32],
}

impl<'a> Row<'a> {
    /// Field `number`, from 0. Panics beyond the last.
    #[inline(always)]
    pub fn field(&self, number: usize) -> Field<'a> {
        let start = match number {
            0 => self.from,
            n => self.base + self.marks[n - 1] as usize + 1,
        };
        Field { buffer: self.buffer, start, end: self.base + self.marks[number] as usize }
    }

    /// The whole line, without its end.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        let end = self.marks.last().map_or(self.from, |mark| self.base + *mark as usize);
        &self.buffer[self.from..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &[u8], fields: usize) -> Result<Vec<Vec<String>>, ShapeError> {
        let mut index = FieldIndex::default();
        let rows = index.rows(text, b',', fields)?;
        let text = |row: Row<'_>, k| String::from_utf8_lossy(row.field(k).bytes()).into_owned();
        Ok(rows.iter().map(|row| (0..fields).map(|k| text(row, k)).collect()).collect())
    }

    #[test]
    fn rows_are_lines_and_fields_what_stands_between() {
        assert_eq!(read(b"", 3), Ok(vec![]));
        let rows = read(b"a,bb,\n,,c\n", 3).unwrap();
        assert_eq!(rows, [["a", "bb", ""], ["", "", "c"]]);
    }

    #[test]
    fn what_is_no_such_text_is_refused_by_line() {
        let fields =
            |line, found, text: &str| ShapeError::Fields { line, found, expected: 3, text: text.into() };
        assert_eq!(read(b"1,2,3\n4,5\n6,7,8,9\n", 3), Err(fields(2, 2, "4,5")));
        // The right number of separators in all, at the wrong places.
        assert_eq!(read(b"1,2\n3,4,5,6\n", 3), Err(fields(1, 2, "1,2")));
        assert_eq!(read(b"1,2,3\n\n", 3), Err(fields(2, 1, "")));
        assert_eq!(read(b"1,2,3\n\"4\",5,6\n", 3), Err(ShapeError::Quote { line: 2 }));
        assert_eq!(read(b"1,2,3", 3), Err(ShapeError::Block { bytes: 5 }));
    }

    proptest! {
        #[test]
        fn splits_as_plain_splitting_does(text in "([0-9a-z,]{0,12}\n){0,40}", fields in 1usize..5) {
            let plain: Vec<Vec<String>> =
                text.lines().map(|l| l.split(',').map(str::to_owned).collect()).collect();
            match read(text.as_bytes(), fields) {
                Ok(rows) => prop_assert_eq!(rows, plain),
                Err(ShapeError::Fields { line, found, .. }) => {
                    prop_assert!(plain[..line - 1].iter().all(|l| l.len() == fields));
                    prop_assert!(found != fields && plain[line - 1].len() == found);
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }
}
