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

/// A column, and the same rounded to single precision when somebody has made that.
#[derive(Clone, Copy)]
pub(super) struct Series<'a> {
    pub values: &'a [f64],
    pub narrow: Option<&'a [f32]>,
}

/// Where `a > b` and where `a < b`, compared exactly; na compares false.
///
/// Rounding keeps order or makes equal: where the narrow values differ they decide, and half the memory is read;
/// the few words with narrow values that are equal or na are compared again.
pub(super) fn order(a: Series<'_>, b: Series<'_>) -> (Mask, Mask) {
    let n = a.values.len();
    let (mut above, mut below) = (vec![0; n.div_ceil(64)], vec![0; n.div_ceil(64)]);
    let ((wide_a, rest_a), (wide_b, rest_b)) = (a.values.as_chunks(), b.values.as_chunks());
    let decided = a.narrow.zip(b.narrow).is_some_and(|(x, y)| {
        let ((x, _), (y, _)) = (x.as_chunks(), y.as_chunks());
        compare_narrow(x, y, &mut above, &mut below)
    });
    if !decided {
        compare(wide_a, wide_b, &mut above, &mut below);
    }
    for k in (0..wide_a.len()).filter(|_| decided) {
        if above[k] | below[k] != u64::MAX {
            compare(&wide_a[k..=k], &wide_b[k..=k], &mut above[k..=k], &mut below[k..=k]);
        }
    }
    for (k, (a, b)) in rest_a.iter().zip(rest_b).enumerate() {
        above[n / 64] |= u64::from(a > b) << k;
        below[n / 64] |= u64::from(a < b) << k;
    }
    (Mask { words: above, len: n }, Mask { words: below, len: n })
}

fn compare(a: &[[f64; 64]], b: &[[f64; 64]], above: &mut [u64], below: &mut [u64]) {
    if !compare_wide(a, b, above, below) {
        for (((a, b), above), below) in a.iter().zip(b).zip(above).zip(below) {
            (*above, *below) = (pack(|k| a[k] > b[k]), pack(|k| a[k] < b[k]));
        }
    }
}

/// Comparisons with wider registers than every processor has; false, with nothing done, without them.
macro_rules! compare_chunks {
    ($name:ident, $float:ty) => {
        fn $name(a: &[[$float; 64]], b: &[[$float; 64]], above: &mut [u64], below: &mut [u64]) -> bool {
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has what the function is compiled for.
                #[allow(unsafe_code)]
                unsafe {
                    wide::$name(a, b, above, below);
                }
                return true;
            }
            false
        }
    };
}

compare_chunks!(compare_wide, f64);
compare_chunks!(compare_narrow, f32);

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        _CMP_GT_OQ, _CMP_LT_OQ, _mm256_cmp_pd, _mm256_cmp_ps, _mm256_movemask_pd, _mm256_movemask_ps,
        _mm256_set_pd, _mm256_set_ps,
    };

    macro_rules! compare_chunks {
        ($name:ident, $float:ty, $lanes:literal, $load:expr, $cmp:ident, $movemask:ident) => {
            #[target_feature(enable = "avx2")]
            pub fn $name(a: &[[$float; 64]], b: &[[$float; 64]], above: &mut [u64], below: &mut [u64]) {
                for (((a, b), above), below) in a.iter().zip(b).zip(above).zip(below) {
                    let ((a, _), (b, _)) = (a.as_chunks::<$lanes>(), b.as_chunks::<$lanes>());
                    let (mut over, mut under) = (0u64, 0u64);
                    // From the end, so that each step shifts what is there by a constant.
                    for (a, b) in a.iter().zip(b).rev() {
                        let (a, b) = ($load(a), $load(b));
                        over = over << $lanes | u64::from($movemask($cmp::<_CMP_GT_OQ>(a, b)) as u8);
                        under = under << $lanes | u64::from($movemask($cmp::<_CMP_LT_OQ>(a, b)) as u8);
                    }
                    (*above, *below) = (over, under);
                }
            }
        };
    }

    compare_chunks!(
        compare_wide,
        f64,
        4,
        |v: &[f64; 4]| _mm256_set_pd(v[3], v[2], v[1], v[0]),
        _mm256_cmp_pd,
        _mm256_movemask_pd
    );
    compare_chunks!(
        compare_narrow,
        f32,
        8,
        |v: &[f32; 8]| _mm256_set_ps(v[7], v[6], v[5], v[4], v[3], v[2], v[1], v[0]),
        _mm256_cmp_ps,
        _mm256_movemask_ps
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values in every order to each other: with na, both zeros, and neighbours that single precision cannot tell apart.
    fn values(n: usize, step: usize) -> Vec<f64> {
        let some = [
            1.0,
            1.0 + f64::EPSILON,
            -1.0,
            0.0,
            -0.0,
            f64::NAN,
            1e300,
            2e300,
            1e-300,
            -1e-300,
            f64::INFINITY,
        ];
        (0..n).map(|i| some[i / 90 * 3 % 11] + some[i * step % 121 % 11]).collect()
    }

    #[test]
    fn order_compares_exactly() {
        for n in [0, 1, 63, 64, 65, 130, 2_000] {
            let (a, b) = (values(n, 3), values(n, 5));
            let narrow = |v: &[f64]| v.iter().map(|x| *x as f32).collect::<Vec<f32>>();
            let (a32, b32) = (narrow(&a), narrow(&b));
            let [mut plain, mut halved] = [(None, None), (Some(a32.as_slice()), Some(b32.as_slice()))]
                .map(|(x, y)| order(Series { values: &a, narrow: x }, Series { values: &b, narrow: y }));
            for (above, below) in [&mut plain, &mut halved] {
                assert_eq!(*above, Mask::from_pairs(&a, &b, |a, b| a > b), "{n}");
                assert_eq!(*below, Mask::from_pairs(&a, &b, |a, b| a < b), "{n}");
            }
            for i in 0..n {
                assert_eq!(plain.0.get(i), a[i] > b[i], "bar {i} of {n}");
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
