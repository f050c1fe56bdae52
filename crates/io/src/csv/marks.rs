//! Where a stretch of text is divided: every delimiter, line end and quote, found 64 bytes at a time.
//!
//! Knowing these places beforehand lets the fields of a row be read independently of each other: the place of a field
//! does not wait for the one before it to be read.

/// Bytes looked at together; one bit each in a word.
const BLOCK: usize = 64;

/// Places in a text, ascending. Reused from part to part.
#[derive(Debug, Default)]
pub(super) struct Marks {
    delimiters: Places,
    ends: Places,
    quotes: Places,
}

impl Marks {
    /// Finds all marks in `buf[start..end]`. A text that does not end with a line end gets one at `end`.
    pub(super) fn find(&mut self, buf: &[u8], start: usize, end: usize, delimiter: u8) {
        #[cfg(target_arch = "x86_64")]
        if super::wide::is_there() {
            return super::wide::find(self, buf, start, end, delimiter);
        }
        self.find_by(buf, start, end, |block| portable_bits(block, delimiter));
    }

    /// [`Self::find`] with one way to tell the bits of a block.
    #[inline(always)]
    pub(super) fn find_by(
        &mut self,
        buf: &[u8],
        start: usize,
        end: usize,
        bits: impl Fn(&[u8; BLOCK]) -> Bits,
    ) {
        let Self { delimiters, ends, quotes } = self;
        [&mut *delimiters, ends, quotes].into_iter().for_each(|p| p.count = 0);
        let (blocks, rest) = buf[start..end].as_chunks::<BLOCK>();
        let mut at = start;
        let mut last = [0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        for block in blocks.iter().chain([&last]) {
            let found = bits(block);
            delimiters.write::<8>(at, found.delimiters);
            ends.write::<2>(at, found.ends);
            if found.quotes != 0 {
                quotes.write::<8>(at, found.quotes);
            }
            at += BLOCK;
        }
        if end > start && buf[end - 1] != b'\n' {
            ends.write::<2>(end, 1);
        }
    }

    /// Places of the delimiters.
    pub(super) fn delimiters(&self) -> &[u32] {
        self.delimiters.as_slice()
    }

    /// Places of the line ends.
    pub(super) fn ends(&self) -> &[u32] {
        self.ends.as_slice()
    }

    /// Places of the quotes.
    pub(super) fn quotes(&self) -> &[u32] {
        self.quotes.as_slice()
    }
}

#[derive(Debug, Default)]
struct Places {
    all: Vec<u32>,
    count: usize,
}

impl Places {
    fn as_slice(&self) -> &[u32] {
        &self.all[..self.count]
    }

    /// Appends the places of the bits of one block that begins at `base`. Whole strides are written without asking
    /// whether so many bits are there; what is too much is overwritten by the next block.
    #[inline(always)]
    fn write<const STRIDE: usize>(&mut self, base: usize, mut bits: u64) {
        if self.all.len() < self.count + 2 * BLOCK {
            self.grow();
        }
        let found = bits.count_ones() as usize;
        let room = &mut self.all[self.count..self.count + 2 * BLOCK];
        let (strides, _) = room.as_chunks_mut::<STRIDE>();
        for stride in strides {
            for place in stride {
                *place = base as u32 + bits.trailing_zeros();
                bits &= bits.wrapping_sub(1);
            }
            if bits == 0 {
                break;
            }
        }
        self.count += found;
    }

    #[cold]
    fn grow(&mut self) {
        self.all.resize((self.all.len() * 2).max(16 * BLOCK), 0);
    }
}

/// One bit for each byte of a block, the first byte lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bits {
    pub delimiters: u64,
    pub ends: u64,
    pub quotes: u64,
}

/// The bits of a block, found eight bytes at a time.
pub(super) fn portable_bits(block: &[u8; BLOCK], delimiter: u8) -> Bits {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let (words, _) = block.as_chunks::<8>();
    let equal_to = |byte: u8| {
        words.iter().rev().fold(0, |bits, word| {
            let x = u64::from_le_bytes(*word) ^ (u64::from(byte) * 0x0101_0101_0101_0101);
            // A byte's top bit is set only where all of its bits are clear.
            let equal = !(((x & LOW) + LOW) | x | LOW);
            (bits << 8) | ((equal >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56)
        })
    };
    Bits { delimiters: equal_to(delimiter), ends: equal_to(b'\n'), quotes: equal_to(b'"') }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_plain_loop_finds(
            text in proptest::collection::vec(prop::sample::select(b",;\n\"a0\xacx\x8a\xff\0".to_vec()), 0..400),
            start in 0usize..80, delimiter in prop::sample::select(b",;\xac".to_vec()),
        ) {
            let start = start.min(text.len());
            let places = |byte: u8| -> Vec<u32> {
                (start..text.len()).filter(|i| text[*i] == byte).map(|i| i as u32).collect()
            };
            let mut ends = places(b'\n');
            if text.len() > start && text[text.len() - 1] != b'\n' {
                ends.push(text.len() as u32);
            }
            let mut marks = Marks::default();
            // The second time with what the first one left behind; then in the way that needs nothing.
            for round in 0..3 {
                match round {
                    2 => marks.find_by(&text, start, text.len(), |b| portable_bits(b, delimiter)),
                    _ => marks.find(&text, start, text.len(), delimiter),
                }
                prop_assert_eq!(marks.delimiters(), &places(delimiter)[..]);
                prop_assert_eq!(marks.ends(), &ends[..]);
                prop_assert_eq!(marks.quotes(), &places(b'"')[..]);
            }
        }
    }
}
