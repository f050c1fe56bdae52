//! One bit a bar, and the loops that make such bits from columns.

use super::fold::truthy;

/// One bit per bar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mask {
    words: Vec<u64>,
    len: usize,
}

impl Mask {
    /// From a test of two columns of equal length on each bar.
    pub fn from_pairs(a: &[f64], b: &[f64], test: impl Fn(f64, f64) -> bool) -> Self {
        let mut words = Vec::with_capacity(a.len().div_ceil(64));
        for (a, b) in a.chunks(64).zip(b.chunks(64)) {
            words.push(match (a.first_chunk::<64>(), b.first_chunk::<64>()) {
                (Some(a), Some(b)) => pack(|k| test(a[k], b[k])),
                _ => a.iter().zip(b).enumerate().fold(0, |w, (k, (a, b))| w | u64::from(test(*a, *b)) << k),
            });
        }
        Self { words, len: a.len() }
    }

    /// From a test of a column on each bar.
    pub fn from_values(a: &[f64], test: impl Fn(f64) -> bool) -> Self {
        Self::from_pairs(a, a, |a, _| test(a))
    }

    /// Where a column is true.
    pub fn from_column(values: &[f64]) -> Self {
        Self::from_values(values, truthy)
    }

    /// The same on every bar.
    pub fn same(len: usize, bit: bool) -> Self {
        let none = Self { words: vec![0; len.div_ceil(64)], len };
        if bit { none.not() } else { none }
    }

    /// Where any of some masks of `len` bars is true.
    pub fn any<'m>(masks: impl Iterator<Item = &'m Self>, len: usize) -> Self {
        masks.fold(Self::same(len, false), Self::or)
    }

    /// The bars that are true.
    pub fn bars(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            std::iter::successors((*word != 0).then_some(*word), |w| {
                let rest = w & (w - 1);
                (rest != 0).then_some(rest)
            })
            .map(move |w| at * 64 + w.trailing_zeros() as usize)
        })
    }

    pub fn get(&self, i: usize) -> bool {
        self.words[i / 64] >> (i % 64) & 1 == 1
    }

    pub fn and(mut self, other: &Self) -> Self {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= b);
        self
    }

    pub fn or(mut self, other: &Self) -> Self {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a |= b);
        self
    }

    pub fn not(mut self) -> Self {
        self.words.iter_mut().for_each(|a| *a = !*a);
        if let Some(last) = self.words.last_mut()
            && !self.len.is_multiple_of(64)
        {
            *last &= (1u64 << (self.len % 64)) - 1;
        }
        self
    }

    /// The first set bit at or after `from`.
    pub fn next(&self, from: usize) -> Option<usize> {
        let mut at = from / 64;
        let mut word = self.words.get(at)? & (u64::MAX << (from % 64));
        loop {
            if word != 0 {
                return Some(at * 64 + word.trailing_zeros() as usize);
            }
            at += 1;
            word = *self.words.get(at)?;
        }
    }

    /// The bars at which the bits turn from 0 to 1; the first bar is none.
    pub fn rises(&self) -> Self {
        let mut carry = 1;
        let words = self.words.iter().map(|now| {
            let risen = now & !(now << 1 | carry);
            carry = now >> 63;
            risen
        });
        Self { words: words.collect(), len: self.len }
    }

    /// Bit `i` becomes 0.
    pub fn clear(&mut self, i: usize) {
        self.words[i / 64] &= !(1 << (i % 64));
    }
}

/// 64 tests as bytes, which the compiler turns into vector code, then eight bytes to eight bits with one
/// multiplication.
#[inline]
fn pack(test: impl Fn(usize) -> bool) -> u64 {
    let mut flags = [0u8; 64];
    for (k, flag) in flags.iter_mut().enumerate() {
        *flag = u8::from(test(k));
    }
    let (eights, _) = flags.as_chunks::<8>();
    eights.iter().enumerate().fold(0, |word, (k, bytes)| {
        let eight = u64::from_le_bytes(*bytes);
        word | (eight.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * k)
    })
}

/// Where `a > b` and where `a < b`, compared exactly; na compares false.
pub(super) fn order(a: &[f64], b: &[f64]) -> (Mask, Mask) {
    let n = a.len();
    let (mut above, mut below) = (vec![0; n.div_ceil(64)], vec![0; n.div_ceil(64)]);
    let (whole_a, rest_a) = a.as_chunks::<64>();
    let (whole_b, rest_b) = b.as_chunks::<64>();
    compare_all(whole_a, whole_b, &mut above, &mut below);
    if !rest_a.is_empty() {
        let (mut a, mut b) = ([0.0; 64], [0.0; 64]);
        a[..rest_a.len()].copy_from_slice(rest_a);
        b[..rest_b.len()].copy_from_slice(rest_b);
        (above[n / 64], below[n / 64]) = compare(&a, &b);
    }
    (Mask { words: above, len: n }, Mask { words: below, len: n })
}

fn compare(a: &[f64; 64], b: &[f64; 64]) -> (u64, u64) {
    (pack(|k| a[k] > b[k]), pack(|k| a[k] < b[k]))
}

/// [`compare`] for each chunk, with the widest registers there are.
fn compare_all(a: &[[f64; 64]], b: &[[f64; 64]], above: &mut [u64], below: &mut [u64]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        #[allow(unsafe_code)]
        unsafe {
            wide::compare_all(a, b, above, below);
        }
        return;
    }
    for (((a, b), above), below) in a.iter().zip(b).zip(above).zip(below) {
        (*above, *below) = compare(a, b);
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m256d, _CMP_GT_OQ, _CMP_LT_OQ, _mm256_cmp_pd, _mm256_movemask_pd, _mm256_set_pd,
    };

    #[target_feature(enable = "avx2")]
    fn four(v: &[f64; 4]) -> __m256d {
        _mm256_set_pd(v[3], v[2], v[1], v[0])
    }

    #[target_feature(enable = "avx2")]
    pub fn compare_all(a: &[[f64; 64]], b: &[[f64; 64]], above: &mut [u64], below: &mut [u64]) {
        for (((a, b), above), below) in a.iter().zip(b).zip(above).zip(below) {
            let ((a, _), (b, _)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
            let (mut over, mut under) = (0u64, 0u64);
            // From the end, so that each step shifts what is there by a constant.
            for (a, b) in a.iter().zip(b).rev() {
                let (a, b) = (four(a), four(b));
                let bits = |m: __m256d| u64::from(_mm256_movemask_pd(m) as u8);
                over = over << 4 | bits(_mm256_cmp_pd::<_CMP_GT_OQ>(a, b));
                under = under << 4 | bits(_mm256_cmp_pd::<_CMP_LT_OQ>(a, b));
            }
            (*above, *below) = (over, under);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values in every order to each other, with na and both zeros among them.
    fn values(n: usize, step: usize) -> Vec<f64> {
        let some = [1.0, -1.0, 0.0, -0.0, f64::NAN, 2.5, f64::INFINITY];
        (0..n).map(|i| some[i * step % 49 % 7]).collect()
    }

    #[test]
    fn bits_pack_in_order() {
        for n in [0, 1, 63, 64, 65, 130, 700] {
            let (a, b) = (values(n, 3), values(n, 5));
            let (above, below) = order(&a, &b);
            for i in 0..n {
                assert_eq!((above.get(i), below.get(i)), (a[i] > b[i], a[i] < b[i]), "bar {i} of {n}");
            }
            assert_eq!(above, Mask::from_pairs(&a, &b, |a, b| a > b));
            assert_eq!(Mask::from_column(&a).not(), Mask::from_values(&a, |x| !truthy(x)));
            let chunk = |v: &[f64]| *v.first_chunk::<64>().unwrap();
            if n > 64 {
                let narrow = compare(&chunk(&a), &chunk(&b));
                assert_eq!(narrow, (above.words[0], below.words[0]));
            }
        }
    }

    #[test]
    fn the_next_bit_is_found() {
        let mask = Mask::from_values(&(0..130).map(f64::from).collect::<Vec<_>>(), |x| x % 3.0 == 0.0);
        assert_eq!((mask.next(1), mask.next(127), mask.next(130)), (Some(3), Some(129), None));
        assert_eq!(mask.clone().not().next(0), Some(1));
        assert_eq!((mask.rises().next(0), mask.rises().next(64)), (Some(3), Some(66)));
        assert_eq!((Mask::same(70, true).next(69), Mask::same(70, true).next(70)), (Some(69), None));
    }
}
