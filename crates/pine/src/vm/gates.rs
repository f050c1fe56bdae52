//! Conditions of the market as bit masks: one bit a bar, so that whole stretches are skipped at once.

use super::columns::Data;
use super::fold::{binary, truthy};
use crate::ir::Bin;

/// One bit per bar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mask {
    words: Vec<u64>,
    len: usize,
}

impl Mask {
    /// From a test of each bar.
    pub fn from_fn(len: usize, mut f: impl FnMut(usize) -> bool) -> Self {
        let mut words = Vec::with_capacity(len.div_ceil(64));
        for start in (0..len).step_by(64) {
            let end = (start + 64).min(len);
            words.push((start..end).fold(0u64, |w, i| w | (u64::from(f(i)) << (i - start))));
        }
        Self { words, len }
    }

    pub fn from_column(values: &[f64]) -> Self {
        Self::from_fn(values.len(), |i| truthy(values[i]))
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
}

/// `a > b` on every bar, compared exactly; na compares false.
fn above(a: &[f64], b: &[f64]) -> Vec<u64> {
    let mut words = Vec::with_capacity(a.len().div_ceil(64));
    let (whole_a, rest_a) = a.as_chunks::<64>();
    let (whole_b, rest_b) = b.as_chunks::<64>();
    words.extend(whole_a.iter().zip(whole_b).map(|(a, b)| pack(a, b)));
    if !rest_a.is_empty() {
        let (mut a, mut b) = ([0.0; 64], [0.0; 64]);
        a[..rest_a.len()].copy_from_slice(rest_a);
        b[..rest_b.len()].copy_from_slice(rest_b);
        words.push(pack(&a, &b));
    }
    words
}

/// 64 comparisons as bytes, which the compiler turns into vector code, then eight bytes to eight bits
/// with one multiplication.
#[inline]
fn pack(a: &[f64; 64], b: &[f64; 64]) -> u64 {
    let mut flags = [0u8; 64];
    for k in 0..64 {
        flags[k] = u8::from(a[k] > b[k]);
    }
    let mut word = 0u64;
    for (k, bytes) in flags.chunks_exact(8).enumerate() {
        let eight = u64::from_le_bytes([
            bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
        ]);
        word |= (eight.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * k);
    }
    word
}

/// Bars on which `a` comes to lie above `b`, when both have values on every bar from some bar on: above
/// now and not above one bar earlier. None when a column has holes; the indicator's own code is right then.
pub(super) fn crossover(a: &Data<'_>, b: &Data<'_>) -> Option<Mask> {
    let ((first_a, dense_a), (first_b, dense_b)) = (a.extent(), b.extent());
    if !(dense_a && dense_b) {
        return None;
    }
    let (a, b) = (a.values(), b.values());
    let mut words = above(a, b);
    let mut carry = 0;
    for word in &mut words {
        let now = *word;
        *word = now & !(now << 1 | carry);
        carry = now >> 63;
    }
    // The first bar with both values has nothing to come from.
    let first = first_a.max(first_b);
    if first < a.len() {
        words[first / 64] &= !(1 << (first % 64));
    }
    Some(Mask { words, len: a.len() })
}

/// A comparison of two columns as bits.
pub(super) fn compare(op: Bin, len: usize, a: impl Fn(usize) -> f64, b: impl Fn(usize) -> f64) -> Mask {
    Mask::from_fn(len, |i| truthy(binary(op, a(i), b(i))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_pack_in_order() {
        let a: Vec<f64> = (0..130).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
        let b = vec![0.5; 130];
        let mask = Mask { words: above(&a, &b), len: 130 };
        assert!((0..130).all(|i| mask.get(i) == (i % 3 == 0)));
        assert_eq!(mask.next(1), Some(3));
        assert_eq!(mask.next(127), Some(129));
        assert_eq!(mask.next(130), None);
        assert_eq!(mask.clone().not().next(0), Some(1));
    }

    #[test]
    fn crossings_equal_the_indicator() {
        let n = 300;
        let wave =
            |k: f64| (0..n).map(|i| if i < 5 { f64::NAN } else { (i as f64 * k).sin() }).collect::<Vec<_>>();
        let (a, b) = (wave(0.3), wave(0.17));
        let bars = springtide_domain::OwnedBars {
            time: (0..n as i64).collect(),
            open: vec![1.0; n],
            high: vec![1.0; n],
            low: vec![1.0; n],
            close: vec![1.0; n],
            volume: vec![1.0; n],
        };
        use springtide_engine::ta::{ColumnArg, TaFunc, run_column};
        let mut outs = vec![Vec::new()];
        run_column(
            TaFunc::Crossover,
            &[None, None],
            &bars.view(),
            &[ColumnArg::Col(&a), ColumnArg::Col(&b)],
            &mut outs,
        );
        let data =
            |v: &Vec<f64>| Data::Shared(std::sync::Arc::new(super::super::columns::Column::new(v.clone())));
        let mask = crossover(&data(&a), &data(&b)).unwrap();
        for (i, crossed) in outs[0].iter().enumerate() {
            assert_eq!(mask.get(i), *crossed == 1.0, "bar {i}");
        }
        assert!(mask.next(0).is_some());
    }
}
