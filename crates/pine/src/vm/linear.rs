//! Linear algebra on matrices. The order of operations of eigenvalues follows Apache Commons Math (the
//! language's reference names its "implicit QL algorithm"), so that comparisons of them fall the same way.

use super::values::Matrix;

/// Half the distance from 1 to the next double: what counts as nothing beside 1.
const EPSILON: f64 = 1.110_223_024_625_156_5e-16;
/// Turns of an iteration that has not settled by then.
const TURNS_MAX: usize = 60;

pub(super) fn transpose(v: &Matrix) -> Matrix {
    let values = (0..v.columns).flat_map(|c| (0..v.rows).map(move |r| v.values[r * v.columns + c])).collect();
    Matrix { rows: v.columns, columns: v.rows, values }
}

pub(super) fn identity(n: usize) -> Matrix {
    let values = (0..n * n).map(|k| f64::from(k / n == k % n)).collect();
    Matrix { rows: n, columns: n, values }
}

pub(super) fn product(a: &Matrix, b: &Matrix) -> Matrix {
    let mut out = Matrix { rows: a.rows, columns: b.columns, values: vec![0.0; a.rows * b.columns] };
    for r in 0..a.rows {
        for c in 0..b.columns {
            out.values[r * b.columns + c] =
                (0..a.columns).map(|k| a.values[r * a.columns + k] * b.values[k * b.columns + c]).sum();
        }
    }
    out
}

/// The base multiplied with itself; by squaring, so that large powers end.
pub(super) fn power(base: &Matrix, mut times: u64) -> Matrix {
    let (mut out, mut square) = (identity(base.rows), base.clone());
    while times > 0 {
        if times & 1 == 1 {
            out = product(&out, &square);
        }
        times >>= 1;
        if times > 0 {
            square = product(&square, &square);
        }
    }
    out
}

/// Every element of the first times the whole second.
pub(super) fn kronecker(a: &Matrix, b: &Matrix) -> Matrix {
    let (rows, columns) = (a.rows * b.rows, a.columns * b.columns);
    let cell = |r: usize, c: usize| {
        a.values[r / b.rows * a.columns + c / b.columns] * b.values[r % b.rows * b.columns + c % b.columns]
    };
    let values = (0..rows).flat_map(|r| (0..columns).map(move |c| cell(r, c))).collect();
    Matrix { rows, columns, values }
}

/// Gaussian elimination with partial pivoting, of a square matrix.
pub(super) fn determinant(v: &Matrix) -> f64 {
    let n = v.rows;
    let mut x = v.values.clone();
    let mut det = 1.0;
    for k in 0..n {
        let pivot = (k..n).max_by(|a, b| x[a * n + k].abs().total_cmp(&x[b * n + k].abs())).unwrap_or(k);
        if x[pivot * n + k] == 0.0 {
            return 0.0;
        }
        if pivot != k {
            (0..n).for_each(|c| x.swap(k * n + c, pivot * n + c));
            det = -det;
        }
        det *= x[k * n + k];
        for r in k + 1..n {
            let factor = x[r * n + k] / x[k * n + k];
            (k..n).for_each(|c| x[r * n + c] -= factor * x[k * n + c]);
        }
    }
    det
}

/// Gauss-Jordan, of a square matrix; none when singular.
pub(super) fn inverse(v: &Matrix) -> Option<Matrix> {
    let n = v.rows;
    let (mut x, mut out) = (v.values.clone(), identity(n));
    for k in 0..n {
        let pivot = (k..n).max_by(|a, b| x[a * n + k].abs().total_cmp(&x[b * n + k].abs()))?;
        if x[pivot * n + k] == 0.0 || x[pivot * n + k].is_nan() {
            return None;
        }
        for c in 0..n {
            x.swap(k * n + c, pivot * n + c);
            out.values.swap(k * n + c, pivot * n + c);
        }
        let scale = x[k * n + k];
        for c in 0..n {
            x[k * n + c] /= scale;
            out.values[k * n + c] /= scale;
        }
        for r in (0..n).filter(|r| *r != k) {
            let factor = x[r * n + k];
            for c in 0..n {
                x[r * n + c] -= factor * x[k * n + c];
                out.values[r * n + c] -= factor * out.values[k * n + c];
            }
        }
    }
    Some(out)
}

// ---- singular values ----------------------------------------------------------------------------

/// A = U S V^T with U's columns scaled by S already; one-sided Jacobi rotations (M. Hestenes) on the columns of
/// a matrix that is at least as high as wide.
struct Singular {
    /// Rows by columns of A: U S.
    scaled: Matrix,
    /// V.
    right: Matrix,
    values: Vec<f64>,
}

fn singular(v: &Matrix) -> Singular {
    let n = v.columns;
    let (mut scaled, mut right) = (v.clone(), identity(n));
    for _ in 0..TURNS_MAX {
        let mut turned = false;
        for p in 0..n {
            for q in p + 1..n {
                turned |= rotate(&mut scaled, &mut right, p, q);
            }
        }
        if !turned {
            break;
        }
    }
    let norm = |c: usize| (0..v.rows).map(|r| scaled.values[r * n + c].powi(2)).sum::<f64>().sqrt();
    let values = (0..n).map(norm).collect();
    Singular { scaled, right, values }
}

/// Turns two columns until they stand upright on each other; false when they do already.
fn rotate(a: &mut Matrix, v: &mut Matrix, p: usize, q: usize) -> bool {
    let n = a.columns;
    let (mut alpha, mut beta, mut gamma) = (0.0, 0.0, 0.0);
    for r in 0..a.rows {
        let (x, y) = (a.values[r * n + p], a.values[r * n + q]);
        (alpha, beta, gamma) = (alpha + x * x, beta + y * y, gamma + x * y);
    }
    if gamma == 0.0 || gamma.abs() <= 4.0 * EPSILON * (alpha * beta).sqrt() || gamma.is_nan() {
        return false;
    }
    let zeta = (beta - alpha) / (2.0 * gamma);
    let t = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
    let c = 1.0 / t.hypot(1.0);
    let s = c * t;
    for m in [a, v] {
        for r in 0..m.rows {
            let (x, y) = (m.values[r * n + p], m.values[r * n + q]);
            m.values[r * n + p] = c * x - s * y;
            m.values[r * n + q] = s * x + c * y;
        }
    }
    true
}

/// What a singular value must exceed to count, beside the largest.
fn threshold(v: &Matrix, values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max) * v.rows.max(v.columns) as f64 * 2.0 * EPSILON
}

/// Number of independent rows.
pub(super) fn rank(v: &Matrix) -> usize {
    let v = if v.rows < v.columns { &transpose(v) } else { v };
    let values = singular(v).values;
    let least = threshold(v, &values);
    values.iter().filter(|s| **s > least).count()
}

/// Moore and Penrose's pseudoinverse; of a matrix that can be inverted its inverse.
pub(super) fn pseudoinverse(v: &Matrix) -> Matrix {
    if v.rows < v.columns {
        return transpose(&pseudoinverse(&transpose(v)));
    }
    let Singular { scaled, right, values } = singular(v);
    let least = threshold(v, &values);
    let mut out = Matrix { rows: v.columns, columns: v.rows, values: vec![0.0; v.values.len()] };
    for k in (0..v.columns).filter(|k| values[*k] > least) {
        for r in 0..out.rows {
            for c in 0..out.columns {
                let share = scaled.values[c * v.columns + k] / (values[k] * values[k]);
                out.values[r * out.columns + c] += right.values[r * v.columns + k] * share;
            }
        }
    }
    out
}

// ---- eigenvalues --------------------------------------------------------------------------------

/// Eigenvalues of a square matrix and their vectors as columns, of length 1. A symmetric matrix has them in
/// descending order; na stands for the two of a complex pair.
pub(super) fn eigen(v: &Matrix) -> (Vec<f64>, Matrix) {
    if v.values.iter().any(|x| !x.is_finite()) {
        return (vec![f64::NAN; v.rows], Matrix { values: vec![f64::NAN; v.values.len()], ..v.clone() });
    }
    if is_symmetric(v) { symmetric(v) } else { general(v) }
}

/// Equal across the diagonal but for rounding.
fn is_symmetric(v: &Matrix) -> bool {
    let n = v.rows;
    let slack = 10.0 * (n * n) as f64 * EPSILON;
    (0..n).all(|r| {
        (r + 1..n).all(|c| {
            let (x, y) = (v.values[r * n + c], v.values[c * n + r]);
            (x - y).abs() <= x.abs().max(y.abs()) * slack
        })
    })
}

fn symmetric(v: &Matrix) -> (Vec<f64>, Matrix) {
    let n = v.rows;
    let mut tri = tridiagonal(v);
    settle(&mut tri);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| tri.main[*b].total_cmp(&tri.main[*a]));
    let largest = tri.main.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    let value = |k: usize| if tri.main[k].abs() < EPSILON * largest { 0.0 } else { tri.main[k] };
    let columns = order.iter().map(|k| (0..n).map(|r| tri.vectors.values[r * n + k]).collect());
    (order.iter().map(|k| value(*k)).collect(), from_columns(n, columns))
}

fn from_columns(n: usize, columns: impl Iterator<Item = Vec<f64>>) -> Matrix {
    let mut out = Matrix { rows: n, columns: n, values: vec![0.0; n * n] };
    for (c, column) in columns.enumerate() {
        (0..n).for_each(|r| out.values[r * n + c] = column[r]);
    }
    out
}

/// A matrix with numbers on the diagonal and beside it only, and what turned it into that.
struct Tridiagonal {
    main: Vec<f64>,
    side: Vec<f64>,
    vectors: Matrix,
}

/// A. Householder's reflections, one for each row.
fn tridiagonal(v: &Matrix) -> Tridiagonal {
    let n = v.rows;
    let mut a = v.values.clone();
    let mut out = Tridiagonal { main: vec![0.0; n], side: vec![0.0; n], vectors: identity(n) };
    for k in 0..n.saturating_sub(1) {
        out.main[k] = a[k * n + k];
        let norm: f64 = (k + 1..n).map(|c| a[k * n + c] * a[k * n + c]).sum::<f64>().sqrt();
        let to = if a[k * n + k + 1] > 0.0 { -norm } else { norm };
        out.side[k] = to;
        if to == 0.0 {
            continue;
        }
        a[k * n + k + 1] -= to;
        let mirror: Vec<f64> = a[k * n..(k + 1) * n].to_vec();
        let beta = -1.0 / (to * mirror[k + 1]);
        reflect(&mut a, n, k, &mirror, beta);
        // The same reflection for the vectors, from the right.
        for row in out.vectors.values.chunks_mut(n) {
            let along: f64 = (k + 1..n).map(|c| row[c] * mirror[c]).sum::<f64>() * beta;
            (k + 1..n).for_each(|c| row[c] -= along * mirror[c]);
        }
    }
    if n > 0 {
        out.main[n - 1] = a[n * n - 1];
    }
    out
}

/// Reflects the rest of the matrix, of which the upper half is kept, from both sides at once.
fn reflect(a: &mut [f64], n: usize, k: usize, mirror: &[f64], beta: f64) {
    let mut z = vec![0.0; n];
    for i in k + 1..n {
        let mut sum = a[i * n + i] * mirror[i];
        for j in i + 1..n {
            sum += a[i * n + j] * mirror[j];
            z[j] += a[i * n + j] * mirror[i];
        }
        z[i] = beta * (z[i] + sum);
    }
    let mut gamma = 0.0;
    for i in k + 1..n {
        gamma += z[i] * mirror[i];
    }
    gamma *= beta / 2.0;
    for i in k + 1..n {
        z[i] -= gamma * mirror[i];
    }
    for i in k + 1..n {
        for j in i..n {
            a[i * n + j] -= mirror[i] * z[j] + z[i] * mirror[j];
        }
    }
}

/// The implicit QL algorithm (A. Dubrulle, R. Martin, J. Wilkinson): the numbers beside the diagonal vanish,
/// those on it become the eigenvalues.
fn settle(tri: &mut Tridiagonal) {
    let n = tri.main.len();
    let largest = tri.main.iter().chain(&tri.side).fold(0.0, |m: f64, x| m.max(x.abs()));
    for x in tri.main.iter_mut().chain(tri.side.iter_mut()) {
        if x.abs() <= EPSILON * largest {
            *x = 0.0;
        }
    }
    for j in 0..n {
        for _ in 0..TURNS_MAX {
            let d = &tri.main;
            let split = |m: &usize| {
                let beside = d[*m].abs() + d[m + 1].abs();
                tri.side[*m].abs() + beside == beside
            };
            let m = (j..n - 1).find(split).unwrap_or(n - 1);
            if m == j {
                break;
            }
            sweep(tri, j, m);
        }
    }
}

/// One QL step on rows `j..=m`.
fn sweep(Tridiagonal { main: d, side: e, vectors }: &mut Tridiagonal, j: usize, m: usize) {
    let n = d.len();
    let mut q = (d[j + 1] - d[j]) / (2.0 * e[j]);
    let mut t = (1.0 + q * q).sqrt();
    q = d[m] - d[j] + e[j] / if q < 0.0 { q - t } else { q + t };
    let (mut u, mut s, mut c) = (0.0, 1.0, 1.0);
    for i in (j..m).rev() {
        let (p, h) = (s * e[i], c * e[i]);
        if p.abs() >= q.abs() {
            c = q / p;
            t = (c * c + 1.0).sqrt();
            e[i + 1] = p * t;
            s = 1.0 / t;
            c *= s;
        } else {
            s = p / q;
            t = (s * s + 1.0).sqrt();
            e[i + 1] = q * t;
            c = 1.0 / t;
            s *= c;
        }
        if e[i + 1] == 0.0 {
            d[i + 1] -= u;
            e[m] = 0.0;
            if t == 0.0 {
                return;
            }
            break;
        }
        q = d[i + 1] - u;
        t = (d[i] - q) * s + 2.0 * c * h;
        u = s * t;
        d[i + 1] = q + u;
        q = c * t - h;
        for row in vectors.values.chunks_mut(n) {
            let x = row[i + 1];
            row[i + 1] = s * row[i] + c * x;
            row[i] = c * row[i] - s * x;
        }
    }
    d[j] -= u;
    e[j] = q;
    e[m] = 0.0;
}

/// Not symmetric: Hessenberg form, then shifted QR steps split off one eigenvalue or a pair at a time; vectors by
/// inverse iteration.
fn general(v: &Matrix) -> (Vec<f64>, Matrix) {
    let n = v.rows;
    let mut values = shifted_qr(hessenberg(v));
    let largest = values.iter().filter(|x| !x.is_nan()).fold(0.0, |m: f64, x| m.max(x.abs()));
    values.iter_mut().filter(|x| x.abs() < EPSILON * largest).for_each(|x| *x = 0.0);
    let columns = values.iter().enumerate().map(|(k, value)| vector_of(v, *value, &values[..k]));
    let vectors = from_columns(n, columns);
    (values, vectors)
}

/// Zeroes below the first diagonal under the main one, by similar eliminations with pivots.
fn hessenberg(v: &Matrix) -> Matrix {
    let n = v.rows;
    let mut h = v.clone();
    let a = &mut h.values;
    for k in 1..n.saturating_sub(1) {
        let pivot =
            (k..n).max_by(|x, y| a[x * n + k - 1].abs().total_cmp(&a[y * n + k - 1].abs())).unwrap_or(k);
        if a[pivot * n + k - 1] == 0.0 {
            continue;
        }
        if pivot != k {
            (0..n).for_each(|c| a.swap(pivot * n + c, k * n + c));
            (0..n).for_each(|r| a.swap(r * n + pivot, r * n + k));
        }
        for r in k + 1..n {
            let factor = a[r * n + k - 1] / a[k * n + k - 1];
            if factor != 0.0 {
                (0..n).for_each(|c| a[r * n + c] -= factor * a[k * n + c]);
                (0..n).for_each(|x| a[x * n + k] += factor * a[x * n + r]);
            }
        }
    }
    h
}

/// J. Francis's double steps, with Wilkinson's shifts.
fn shifted_qr(mut h: Matrix) -> Vec<f64> {
    let n = h.rows;
    let mut out = vec![f64::NAN; n];
    let scale: f64 = h.values.iter().map(|x| x.abs()).sum();
    let mut high = n;
    let mut turns = 0;
    while high > 0 {
        let at = |r: usize, c: usize, h: &Matrix| h.values[r * n + c];
        let small = |r: usize, h: &Matrix| {
            let beside = at(r - 1, r - 1, h).abs() + at(r, r, h).abs();
            at(r, r - 1, h).abs() <= EPSILON * if beside == 0.0 { scale } else { beside }
        };
        let low = (1..high).rev().find(|r| small(*r, &h)).unwrap_or(0);
        let last = high - 1;
        if low == last {
            out[last] = at(last, last, &h);
            (high, turns) = (last, 0);
        } else if low + 1 == last {
            let pair = two_by_two(at(low, low, &h), at(low, last, &h), at(last, low, &h), at(last, last, &h));
            (out[low], out[last]) = pair;
            (high, turns) = (low, 0);
        } else if turns < TURNS_MAX {
            turns += 1;
            double_step(&mut h, low, last, turns % 11 == 10);
        } else {
            return out;
        }
    }
    out
}

/// Eigenvalues of four numbers; na when they are complex.
fn two_by_two(a: f64, b: f64, c: f64, d: f64) -> (f64, f64) {
    let half = (a - d) / 2.0;
    let under = half * half + b * c;
    if under < 0.0 {
        return (f64::NAN, f64::NAN);
    }
    let root = half + if half < 0.0 { -under.sqrt() } else { under.sqrt() };
    if root == 0.0 { (d, d) } else { (d + root, d - b * c / root) }
}

/// One implicit double step on rows `low..=last`.
fn double_step(h: &mut Matrix, low: usize, last: usize, odd: bool) {
    let n = h.rows;
    let at = |r: usize, c: usize, h: &Matrix| h.values[r * n + c];
    // Sum and product of the two shifts; now and then something else, for what turns in circles.
    let (sum, product) = match odd {
        true => {
            let x = at(last, last - 1, h).abs() + at(last - 1, last - 2, h).abs();
            (1.5 * x, x * x)
        }
        false => {
            let (a, b) = (at(last - 1, last - 1, h), at(last - 1, last, h));
            let (c, d) = (at(last, last - 1, h), at(last, last, h));
            (a + d, a * d - b * c)
        }
    };
    let (a, b, c) = (at(low, low, h), at(low, low + 1, h), at(low + 1, low, h));
    let d = at(low + 1, low + 1, h);
    let mut x = a * a + b * c - sum * a + product;
    let mut y = c * (a + d - sum);
    let mut z = c * at(low + 2, low + 1, h);
    for k in low..last {
        let count = if k + 2 <= last { 3 } else { 2 };
        let mirror = householder([x, y, if count == 3 { z } else { 0.0 }]);
        apply(h, k, count, &mirror, (k.max(low + 1) - 1, (k + 3).min(last)));
        x = at(k + 1, k, h);
        y = if k + 2 <= last { at(k + 2, k, h) } else { 0.0 };
        z = if k + 3 <= last { at(k + 3, k, h) } else { 0.0 };
    }
}

/// The direction whose mirror turns `x` into a multiple of the first axis; of length 1, or 0.
fn householder(x: [f64; 3]) -> [f64; 3] {
    let norm = x.iter().map(|a| a * a).sum::<f64>().sqrt();
    let mut v = x;
    v[0] += if x[0] < 0.0 { -norm } else { norm };
    let length = v.iter().map(|a| a * a).sum::<f64>().sqrt();
    if length == 0.0 { v } else { v.map(|a| a / length) }
}

/// Reflects rows and columns `k..k + count` of the whole matrix.
fn apply(h: &mut Matrix, k: usize, count: usize, mirror: &[f64; 3], (first, until): (usize, usize)) {
    let n = h.rows;
    for c in first..n {
        let along: f64 = 2.0 * (0..count).map(|i| mirror[i] * h.values[(k + i) * n + c]).sum::<f64>();
        (0..count).for_each(|i| h.values[(k + i) * n + c] -= along * mirror[i]);
    }
    for r in 0..=until {
        let along: f64 = 2.0 * (0..count).map(|i| mirror[i] * h.values[r * n + k + i]).sum::<f64>();
        (0..count).for_each(|i| h.values[r * n + k + i] -= along * mirror[i]);
    }
}

/// The direction that the matrix only stretches by `value`: (A - value) is solved again and again. The start
/// differs between equal values, so that independent directions are found where there are some.
fn vector_of(v: &Matrix, value: f64, before: &[f64]) -> Vec<f64> {
    let n = v.rows;
    if value.is_nan() {
        return vec![f64::NAN; n];
    }
    let scale = v.values.iter().fold(0.0, |m: f64, x| m.max(x.abs())).max(f64::MIN_POSITIVE);
    let mut shifted = v.clone();
    (0..n).for_each(|k| shifted.values[k * n + k] -= value);
    let same = before.iter().filter(|x| (**x - value).abs() <= 1e-12 * scale).count();
    let mut x: Vec<f64> = (0..n).map(|k| 1.0 + 0.5 * ((k + same * (k + 1)) % (n + 1)) as f64).collect();
    for _ in 0..4 {
        x = solve(&shifted, x, scale * EPSILON);
        let length = x.iter().map(|a| a * a).sum::<f64>().sqrt();
        x.iter_mut().for_each(|a| *a /= length);
    }
    // The sign is free: the largest part points upwards.
    let most = x.iter().copied().fold(0.0, |m: f64, a| if a.abs() > m.abs() + 1e-12 { a } else { m });
    if most < 0.0 {
        x.iter_mut().for_each(|a| *a = -*a);
    }
    x
}

/// Gaussian elimination; a pivot that vanishes counts as `tiny`.
fn solve(v: &Matrix, mut b: Vec<f64>, tiny: f64) -> Vec<f64> {
    let n = v.rows;
    let mut a = v.values.clone();
    for k in 0..n {
        let pivot = (k..n).max_by(|x, y| a[x * n + k].abs().total_cmp(&a[y * n + k].abs())).unwrap_or(k);
        if pivot != k {
            (0..n).for_each(|c| a.swap(k * n + c, pivot * n + c));
            b.swap(k, pivot);
        }
        if a[k * n + k].abs() < tiny {
            a[k * n + k] = tiny;
        }
        for r in k + 1..n {
            let factor = a[r * n + k] / a[k * n + k];
            (k..n).for_each(|c| a[r * n + c] -= factor * a[k * n + c]);
            b[r] -= factor * b[k];
        }
    }
    for k in (0..n).rev() {
        let rest: f64 = (k + 1..n).map(|c| a[k * n + c] * b[c]).sum();
        b[k] = (b[k] - rest) / a[k * n + k];
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matrix(columns: usize, values: &[f64]) -> Matrix {
        Matrix { rows: values.len() / columns, columns, values: values.to_vec() }
    }

    fn close(a: &Matrix, b: &Matrix, slack: f64) -> bool {
        (a.rows, a.columns) == (b.rows, b.columns)
            && a.values.iter().zip(&b.values).all(|(x, y)| (x - y).abs() <= slack)
    }

    /// A V = V L, column by column.
    fn holds(v: &Matrix, values: &[f64], vectors: &Matrix, slack: f64) -> bool {
        let left = product(v, vectors);
        (0..v.rows).all(|c| {
            values[c].is_nan()
                || (0..v.rows).all(|r| {
                    let k = r * v.rows + c;
                    (left.values[k] - values[c] * vectors.values[k]).abs() <= slack
                })
        })
    }

    #[test]
    fn known_eigenvalues() {
        let (values, vectors) = eigen(&matrix(2, &[2.0, 1.0, 1.0, 2.0]));
        assert!((values[0] - 3.0).abs() < 1e-15 && (values[1] - 1.0).abs() < 1e-15, "{values:?}");
        assert!(holds(&matrix(2, &[2.0, 1.0, 1.0, 2.0]), &values, &vectors, 1e-14));
        // 5 +- sqrt(33).
        let (values, _) = eigen(&matrix(2, &[2.0, 4.0, 6.0, 8.0]));
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(
            (sorted[0] + 0.7445626465380287).abs() < 1e-14 && (sorted[1] - 10.744562646538029).abs() < 1e-13
        );
        // A quarter turn has none.
        assert!(eigen(&matrix(2, &[0.0, -1.0, 1.0, 0.0])).0.iter().all(|x| x.is_nan()));
        // Rank 1: two vanish.
        let (values, _) = eigen(&matrix(3, &[1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 3.0, 6.0, 9.0]));
        assert!((values[0] - 14.0).abs() < 1e-12 && values[1].abs() < 1e-12 && values[2].abs() < 1e-12);
        assert!(eigen(&matrix(1, &[7.0])).0 == [7.0] && eigen(&Matrix::default()).0.is_empty());
        assert!(eigen(&matrix(1, &[f64::NAN])).0[0].is_nan());
    }

    #[test]
    fn inverses_of_what_has_none() {
        let wide = matrix(3, &[1.0, 0.0, 0.0, 0.0, 2.0, 0.0]);
        assert_eq!(rank(&wide), 2);
        assert!(close(&pseudoinverse(&wide), &matrix(2, &[1.0, 0.0, 0.0, 0.5, 0.0, 0.0]), 1e-15));
        let singular = matrix(2, &[1.0, 2.0, 2.0, 4.0]);
        assert_eq!((rank(&singular), inverse(&singular)), (1, None));
        assert!(close(&pseudoinverse(&singular), &matrix(2, &[0.04, 0.08, 0.08, 0.16]), 1e-15));
        assert_eq!(rank(&matrix(2, &[0.0; 4])), 0);
    }

    proptest! {
        #[test]
        fn symmetric_matrices_are_taken_apart(n in 1usize..7, seed in prop::collection::vec(-9.0f64..9.0, 49)) {
            let mut v = matrix(n, &seed[..n * n]);
            for r in 0..n {
                for c in 0..r {
                    v.values[r * n + c] = v.values[c * n + r];
                }
            }
            let (values, vectors) = eigen(&v);
            prop_assert!(values.windows(2).all(|w| w[0] >= w[1]));
            prop_assert!(holds(&v, &values, &vectors, 1e-11));
            prop_assert!(close(&product(&transpose(&vectors), &vectors), &identity(n), 1e-12));
        }

        #[test]
        fn general_matrices_keep_trace_and_determinant(n in 1usize..6, seed in prop::collection::vec(-9.0f64..9.0, 36)) {
            let v = matrix(n, &seed[..n * n]);
            let (values, vectors) = eigen(&v);
            prop_assert!(holds(&v, &values, &vectors, 1e-6), "{values:?} {vectors:?}");
            if values.iter().all(|x| !x.is_nan()) {
                let trace: f64 = (0..n).map(|k| v.values[k * n + k]).sum();
                prop_assert!((values.iter().sum::<f64>() - trace).abs() < 1e-8);
                let det = determinant(&v);
                prop_assert!((values.iter().product::<f64>() - det).abs() <= 1e-8 * det.abs().max(1.0));
            }
        }

        #[test]
        fn pseudoinverses_fulfil_their_laws(rows in 1usize..5, columns in 1usize..5, seed in prop::collection::vec(-9.0f64..9.0, 16)) {
            let v = matrix(columns, &seed[..rows * columns]);
            let p = pseudoinverse(&v);
            let again = product(&product(&v, &p), &v);
            prop_assert!(close(&again, &v, 1e-8));
            prop_assert!(close(&product(&product(&p, &v), &p), &p, 1e-6 * p.values.iter().fold(1.0, |m: f64, x| m.max(x.abs())).powi(2)));
        }
    }
}
