//! Positions of separators, 64 bytes at a step.

/// What a block's bytes hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    /// Positions; only the first `count` count.
    list: Vec<u32>,
    count: usize,
    /// Line ends among them.
    pub lines: usize,
    /// A quotation mark was seen.
    pub quoted: bool,
}

impl Marks {
    /// Positions of delimiters and line ends, in order.
    pub(super) fn positions(&self) -> &[u32] {
        &self.list[..self.count]
    }

    /// Finds them anew.
    pub(super) fn find(&mut self, text: &[u8], delimiter: u8) {
        (self.count, self.lines, self.quoted) = (0, 0, false);
        #[cfg(target_arch = "x86_64")]
        if has_avx512() {
            // SAFETY: the processor has what the function was compiled for.
            #[allow(unsafe_code)]
            return unsafe { self.find_avx512(text, delimiter) };
        }
        #[cfg(target_arch = "x86_64")]
        if has_avx2() {
            // SAFETY: the processor has what the function was compiled for.
            #[allow(unsafe_code)]
            return unsafe { self.find_avx2(text, delimiter) };
        }
        self.find_portable(text, delimiter);
    }

    fn push(&mut self, at: usize) {
        self.list.truncate(self.count);
        self.list.push(at as u32);
        self.count += 1;
    }

    /// Room for the marks of one block.
    #[inline(always)]
    fn room(&mut self) -> &mut [u32] {
        if self.list.len() < self.count + 64 {
            self.list.resize(self.list.len() * 2 + 128, 0);
        }
        &mut self.list[self.count..self.count + 64]
    }

    /// A position for each set bit of `mask`, `base` added. Whole groups of eight are written, without a
    /// branch for each bit; what is too much is written over later.
    #[inline(always)]
    fn push_bits(&mut self, mut mask: u64, base: u32) {
        let count = mask.count_ones() as usize;
        for group in self.room().as_chunks_mut::<8>().0.iter_mut().take(count.div_ceil(8)) {
            for mark in group {
                *mark = base.wrapping_add(mask.trailing_zeros());
                mask &= mask.wrapping_sub(1);
            }
        }
        self.count += count;
    }

    /// A block is one vector, and the processor itself moves the numbers of the marked bytes together.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
    #[allow(unsafe_code)]
    fn find_avx512(&mut self, text: &[u8], delimiter: u8) {
        use std::arch::x86_64::{
            __m512i, _mm512_add_epi32, _mm512_castsi512_si128, _mm512_cmpeq_epi8_mask, _mm512_cvtepu8_epi32,
            _mm512_loadu_si512, _mm512_maskz_compress_epi8, _mm512_set1_epi8, _mm512_set1_epi32,
            _mm512_shuffle_i64x2, _mm512_storeu_si512,
        };
        const NUMBERS: [u8; 64] = {
            let mut numbers = [0; 64];
            let mut at = 0;
            while at < 64 {
                numbers[at] = at as u8;
                at += 1;
            }
            numbers
        };
        let vector = |byte: u8| _mm512_set1_epi8(byte.cast_signed());
        let (delimiters, ends, quotes) = (vector(delimiter), vector(b'\n'), vector(b'"'));
        // SAFETY: 64 bytes are read; the load asks for no alignment.
        let numbers = unsafe { _mm512_loadu_si512(NUMBERS.as_ptr().cast::<__m512i>()) };
        let mut quoted = 0;
        let (blocks, rest) = text.as_chunks::<64>();
        for (number, block) in blocks.iter().enumerate() {
            // SAFETY: as above.
            let bytes = unsafe { _mm512_loadu_si512(block.as_ptr().cast::<__m512i>()) };
            let lines = _mm512_cmpeq_epi8_mask(bytes, ends);
            let found = lines | _mm512_cmpeq_epi8_mask(bytes, delimiters);
            quoted |= _mm512_cmpeq_epi8_mask(bytes, quotes);
            self.lines += lines.count_ones() as usize;
            let count = found.count_ones() as usize;
            let base = _mm512_set1_epi32(((number * 64) as u32).cast_signed());
            let mut marked = _mm512_maskz_compress_epi8(found, numbers);
            for group in self.room().as_chunks_mut::<16>().0.iter_mut().take(count.div_ceil(16)) {
                let positions = _mm512_add_epi32(_mm512_cvtepu8_epi32(_mm512_castsi512_si128(marked)), base);
                // SAFETY: the group has room for sixteen; the store asks for no alignment.
                unsafe { _mm512_storeu_si512(group.as_mut_ptr().cast::<__m512i>(), positions) };
                // The next sixteen.
                marked = _mm512_shuffle_i64x2::<0b11_11_10_01>(marked, marked);
            }
            self.count += count;
        }
        self.quoted = quoted != 0;
        self.find_plainly(rest, blocks.len() * 64, delimiter);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
    #[allow(unsafe_code)]
    fn find_avx2(&mut self, text: &[u8], delimiter: u8) {
        use std::arch::x86_64::{
            __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256,
            _mm256_set1_epi8, _mm256_setzero_si256,
        };
        let vector = |byte: u8| _mm256_set1_epi8(byte.cast_signed());
        let bits = |found: __m256i| u64::from(_mm256_movemask_epi8(found).cast_unsigned());
        let (delimiters, ends, quotes) = (vector(delimiter), vector(b'\n'), vector(b'"'));
        let mut quoted = _mm256_setzero_si256();
        let (blocks, rest) = text.as_chunks::<64>();
        for (number, block) in blocks.iter().enumerate() {
            // SAFETY: both halves lie in the block's 64 bytes; the load asks for no alignment.
            let [low, high] = unsafe {
                let start = block.as_ptr().cast::<__m256i>();
                [_mm256_loadu_si256(start), _mm256_loadu_si256(start.add(1))]
            };
            let both =
                |wanted| bits(_mm256_cmpeq_epi8(low, wanted)) | bits(_mm256_cmpeq_epi8(high, wanted)) << 32;
            let quote = _mm256_or_si256(_mm256_cmpeq_epi8(low, quotes), _mm256_cmpeq_epi8(high, quotes));
            quoted = _mm256_or_si256(quoted, quote);
            let lines = both(ends);
            self.lines += lines.count_ones() as usize;
            self.push_bits(lines | both(delimiters), (number * 64) as u32);
        }
        self.quoted = bits(quoted) != 0;
        self.find_plainly(rest, blocks.len() * 64, delimiter);
    }

    /// The same with words of eight bytes.
    fn find_portable(&mut self, text: &[u8], delimiter: u8) {
        const LOW: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = 0x8080_8080_8080_8080;
        // The top bit of each byte that equals `byte`. Adding below the top bit carries into no other byte.
        let equal = |word: u64, byte: u8| {
            let differs = word ^ (LOW * u64::from(byte));
            !(((differs & !HIGH) + !HIGH) | differs) & HIGH
        };
        let (words, rest) = text.as_chunks::<8>();
        for (number, word) in words.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            self.quoted |= equal(word, b'"') != 0;
            let lines = equal(word, b'\n');
            self.lines += lines.count_ones() as usize;
            let mut found = lines | equal(word, delimiter);
            while found != 0 {
                self.push(number * 8 + found.trailing_zeros() as usize / 8);
                found &= found - 1;
            }
        }
        self.find_plainly(rest, words.len() * 8, delimiter);
    }

    fn find_plainly(&mut self, rest: &[u8], base: usize, delimiter: u8) {
        for (at, byte) in rest.iter().enumerate() {
            self.lines += usize::from(*byte == b'\n');
            self.quoted |= *byte == b'"';
            if *byte == delimiter || *byte == b'\n' {
                self.push(base + at);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    std::is_x86_feature_detected!("avx512f")
        && std::is_x86_feature_detected!("avx512bw")
        && std::is_x86_feature_detected!("avx512vbmi2")
        && std::is_x86_feature_detected!("popcnt")
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::is_x86_feature_detected!("avx2")
        && std::is_x86_feature_detected!("bmi1")
        && std::is_x86_feature_detected!("bmi2")
        && std::is_x86_feature_detected!("popcnt")
        && std::is_x86_feature_detected!("lzcnt")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(find: impl FnOnce(&mut Marks)) -> (Vec<u32>, usize, bool) {
        let mut marks = Marks::default();
        find(&mut marks);
        (marks.positions().to_vec(), marks.lines, marks.quoted)
    }

    proptest! {
        #[test]
        fn every_way_finds_the_same(
            text in proptest::collection::vec(
                prop_oneof![Just(b','), Just(b'\n'), Just(b';'), 30u8..50, any::<u8>()],
                0..700,
            ),
            delimiter in prop_oneof![Just(b','), Just(b';'), Just(b'\t')],
        ) {
            let want = seen(|m| m.find_plainly(&text, 0, delimiter));
            prop_assert_eq!(seen(|m| m.find(&text, delimiter)), want.clone());
            prop_assert_eq!(seen(|m| m.find_portable(&text, delimiter)), want.clone());
            #[cfg(target_arch = "x86_64")]
            if has_avx2() {
                // SAFETY: the processor has what the function was compiled for.
                #[allow(unsafe_code)]
                let found = seen(|m| unsafe { m.find_avx2(&text, delimiter) });
                prop_assert_eq!(found, want.clone());
            }
            // A second text finds nothing of the first.
            let twice = seen(|m| {
                m.find(b"1,2,3,4,5,6,7,\"8\"\n", b',');
                m.find(&text, delimiter);
            });
            prop_assert_eq!(twice, want);
        }
    }
}
