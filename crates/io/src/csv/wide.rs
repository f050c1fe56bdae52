//! The same work with the instructions that x86 processors have had since 2013 (AVX2, BMI), where they are there.
//!
//! What is done stands elsewhere and is compiled a second time here. Only the comparison of 32 bytes at once is
//! written for these processors alone.

#![allow(unsafe_code)]

use super::{
    marks::{Bits, Marks},
    scan::Scanner,
};
use crate::collect::Batch;
use std::arch::x86_64::{
    __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8,
};

/// True on processors that have all of what the functions below are compiled for.
pub(super) fn is_there() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("popcnt")
}

/// [`Marks::find`]. Only where [`is_there`] says so.
pub(super) fn find(marks: &mut Marks, buf: &[u8], start: usize, end: usize, delimiter: u8) {
    assert!(is_there());
    // SAFETY: the processor has the features, as was just asked.
    unsafe { find_wide(marks, buf, start, end, delimiter) }
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
fn find_wide(marks: &mut Marks, buf: &[u8], start: usize, end: usize, delimiter: u8) {
    let wanted = [delimiter, b'\n', b'"'].map(|b| _mm256_set1_epi8(b as i8));
    marks.find_by(buf, start, end, |block| {
        let (low, high) = (load(block, 0), load(block, 32));
        let [delimiters, ends, quotes] = wanted.map(|w| {
            let half = |bytes| u64::from(_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, w)) as u32);
            half(low) | (half(high) << 32)
        });
        Bits { delimiters, ends, quotes }
    });
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(block: &[u8; 64], at: usize) -> __m256i {
    let half: &[u8] = &block[at..at + 32];
    // SAFETY: the slice has the 32 bytes that are read, at any alignment.
    unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }
}

/// [`Scanner::scan_lines`]. Only where [`is_there`] says so.
pub(super) fn scan_lines(
    scanner: &mut Scanner,
    marks: &Marks,
    buf: &[u8],
    at: usize,
    end: usize,
    out: &mut Batch,
) {
    assert!(is_there());
    // SAFETY: the processor has the features, as was just asked.
    unsafe { scan_lines_wide(scanner, marks, buf, at, end, out) }
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
fn scan_lines_wide(scanner: &mut Scanner, marks: &Marks, buf: &[u8], at: usize, end: usize, out: &mut Batch) {
    scanner.scan_lines(marks, buf, at, end, out);
}
