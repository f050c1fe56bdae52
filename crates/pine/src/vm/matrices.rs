//! `matrix.*`.

use super::collections::{self, percentile};
use super::functions::Function;
use super::heap::Object;
use super::machine::{CallSite, Machine};
use super::run::RunError;
use super::values::Matrix;
use crate::ir::Ty;

type Result = std::result::Result<f64, RunError>;

/// The function of this name.
pub(super) fn find(name: &str) -> Option<Function> {
    Some(match name {
        "matrix.new" => |m, s, a| {
            let (rows, columns) = (size(a, 0), size(a, 1));
            if rows * columns > 100_000 {
                return Err(m.fail(
                    format!("a matrix of {rows} x {columns}; it takes at most 100,000 elements"),
                    s.span,
                ));
            }
            let fill = a.get(2).copied().filter(|x| !super::is_absent(*x)).unwrap_or(f64::NAN);
            Ok(add(m, s, Matrix { rows, columns, values: vec![fill; rows * columns] }))
        },
        "matrix.rows" => |m, s, a| Ok(get(m, s, a[0])?.rows as f64),
        "matrix.columns" => |m, s, a| Ok(get(m, s, a[0])?.columns as f64),
        "matrix.elements_count" => |m, s, a| Ok(get(m, s, a[0])?.values.len() as f64),
        "matrix.get" => |m, s, a| {
            let k = cell(m, s, a)?;
            Ok(get(m, s, a[0])?.values[k])
        },
        "matrix.set" => |m, s, a| {
            let k = cell(m, s, a)?;
            change(m, s, a[0], |v| v.values[k] = a[3])
        },
        "matrix.fill" => |m, s, a| {
            change(m, s, a[0], |v| {
                let (r0, r1) = (size(a, 2), or(a, 3, v.rows));
                let (c0, c1) = (size(a, 4), or(a, 5, v.columns));
                for r in r0..r1.min(v.rows) {
                    for c in c0..c1.min(v.columns) {
                        v.values[r * v.columns + c] = a[1];
                    }
                }
            })
        },
        "matrix.copy" => |m, s, a| {
            let copy = get(m, s, a[0])?.clone();
            Ok(add(m, s, copy))
        },
        "matrix.row" => |m, s, a| {
            let v = get(m, s, a[0])?;
            let r = line(m, s, a[1], v.rows)?;
            let row = v.values[r * v.columns..(r + 1) * v.columns].to_vec();
            Ok(collections::add(m, s, row))
        },
        "matrix.col" => |m, s, a| {
            let v = get(m, s, a[0])?;
            let c = line(m, s, a[1], v.columns)?;
            let column = (0..v.rows).map(|r| v.values[r * v.columns + c]).collect();
            Ok(collections::add(m, s, column))
        },
        "matrix.add_row" => |m, s, a| {
            let given = list(m, a, 2);
            change(m, s, a[0], |v| {
                let row = given.unwrap_or_else(|| vec![f64::NAN; v.columns]);
                if v.values.is_empty() {
                    v.columns = row.len();
                }
                let at = or(a, 1, v.rows).min(v.rows) * v.columns;
                v.values.splice(at..at, row.into_iter().chain(std::iter::repeat(f64::NAN)).take(v.columns));
                v.rows += 1;
            })
        },
        "matrix.add_col" => |m, s, a| {
            let given = list(m, a, 2);
            change(m, s, a[0], |v| {
                let column = given.unwrap_or_else(|| vec![f64::NAN; v.rows]);
                if v.values.is_empty() {
                    v.rows = column.len();
                }
                let at = or(a, 1, v.columns).min(v.columns);
                for r in (0..v.rows).rev() {
                    v.values.insert(r * v.columns + at, column.get(r).copied().unwrap_or(f64::NAN));
                }
                v.columns += 1;
            })
        },
        "matrix.remove_row" => |m, s, a| {
            let v = get(m, s, a[0])?;
            let r =
                line(m, s, a.get(1).copied().filter(|x| !x.is_nan()).unwrap_or(v.rows as f64 - 1.0), v.rows)?;
            let mut gone = Vec::new();
            change(m, s, a[0], |v| {
                gone = v.values.drain(r * v.columns..(r + 1) * v.columns).collect();
                v.rows -= 1;
            })?;
            Ok(collections::add(m, s, gone))
        },
        "matrix.remove_col" => |m, s, a| {
            let v = get(m, s, a[0])?;
            let c = line(
                m,
                s,
                a.get(1).copied().filter(|x| !x.is_nan()).unwrap_or(v.columns as f64 - 1.0),
                v.columns,
            )?;
            let mut gone = Vec::new();
            change(m, s, a[0], |v| {
                for r in (0..v.rows).rev() {
                    gone.insert(0, v.values.remove(r * v.columns + c));
                }
                v.columns -= 1;
            })?;
            Ok(collections::add(m, s, gone))
        },
        "matrix.swap_rows" => |m, s, a| {
            let rows = get(m, s, a[0])?.rows;
            let (x, y) = (line(m, s, a[1], rows)?, line(m, s, a[2], rows)?);
            change(m, s, a[0], |v| {
                (0..v.columns).for_each(|c| v.values.swap(x * v.columns + c, y * v.columns + c))
            })
        },
        "matrix.swap_columns" => |m, s, a| {
            let columns = get(m, s, a[0])?.columns;
            let (x, y) = (line(m, s, a[1], columns)?, line(m, s, a[2], columns)?);
            change(m, s, a[0], |v| {
                (0..v.rows).for_each(|r| v.values.swap(r * v.columns + x, r * v.columns + y))
            })
        },
        "matrix.reverse" => |m, s, a| change(m, s, a[0], |v| v.values.reverse()),
        "matrix.reshape" => |m, s, a| {
            let (rows, columns) = (size(a, 1), size(a, 2));
            if rows * columns != get(m, s, a[0])?.values.len() {
                return Err(m.fail("matrix.reshape keeps the number of elements".into(), s.span));
            }
            change(m, s, a[0], |v| (v.rows, v.columns) = (rows, columns))
        },
        "matrix.sort" => |m, s, a| {
            let c = size(a, 1);
            let down = a.get(2).is_some_and(|x| *x == 1.0);
            change(m, s, a[0], |v| {
                let mut rows: Vec<Vec<f64>> =
                    v.values.chunks(v.columns.max(1)).map(<[f64]>::to_vec).collect();
                rows.sort_by(|x, y| x[c].total_cmp(&y[c]));
                if down {
                    rows.reverse();
                }
                v.values = rows.concat();
            })
        },
        "matrix.concat" => |m, s, a| {
            let more = get(m, s, a[1])?.clone();
            change(m, s, a[0], |v| {
                v.columns = v.columns.max(more.columns);
                v.rows += more.rows;
                v.values.extend(more.values);
            })?;
            Ok(a[0])
        },
        "matrix.submatrix" => |m, s, a| {
            let v = get(m, s, a[0])?;
            let (r0, r1) = (size(a, 1), or(a, 2, v.rows).min(v.rows));
            let (c0, c1) = (size(a, 3), or(a, 4, v.columns).min(v.columns));
            let values = (r0..r1)
                .flat_map(|r| (c0..c1).map(move |c| (r, c)))
                .map(|(r, c)| v.values[r * v.columns + c])
                .collect();
            let out = Matrix { rows: r1.saturating_sub(r0), columns: c1.saturating_sub(c0), values };
            Ok(add(m, s, out))
        },
        "matrix.transpose" => |m, s, a| {
            let out = transpose(get(m, s, a[0])?);
            Ok(add(m, s, out))
        },
        "matrix.sum" => |m, s, a| combine(m, s, a, |x, y| x + y),
        "matrix.diff" => |m, s, a| combine(m, s, a, |x, y| x - y),
        "matrix.mult" => mult,
        "matrix.pow" => |m, s, a| {
            let base = get(m, s, a[0])?.clone();
            let mut out = identity(base.rows);
            for _ in 0..size(a, 1).min(4_096) {
                out = product(&out, &base);
            }
            Ok(add(m, s, out))
        },
        "matrix.det" => |m, s, a| Ok(determinant(get(m, s, a[0])?)),
        "matrix.inv" => |m, s, a| {
            let out = inverse(get(m, s, a[0])?);
            Ok(out.map_or(f64::NAN, |v| add(m, s, v)))
        },
        "matrix.trace" => |m, s, a| {
            let v = get(m, s, a[0])?;
            Ok((0..v.rows.min(v.columns)).map(|k| v.values[k * v.columns + k]).sum())
        },
        "matrix.avg" => |m, s, a| {
            let v = get(m, s, a[0])?;
            let known = || v.values.iter().filter(|x| !x.is_nan());
            Ok(known().sum::<f64>() / known().count() as f64)
        },
        "matrix.min" => |m, s, a| {
            Ok(get(m, s, a[0])?
                .values
                .iter()
                .copied()
                .filter(|x| !x.is_nan())
                .reduce(f64::min)
                .unwrap_or(f64::NAN))
        },
        "matrix.max" => |m, s, a| {
            Ok(get(m, s, a[0])?
                .values
                .iter()
                .copied()
                .filter(|x| !x.is_nan())
                .reduce(f64::max)
                .unwrap_or(f64::NAN))
        },
        "matrix.median" => |m, s, a| Ok(percentile(&get(m, s, a[0])?.values, 50.0, true)),
        "matrix.is_square" => |m, s, a| test(m, s, a, |v| v.rows == v.columns),
        "matrix.is_zero" => |m, s, a| test(m, s, a, |v| v.values.iter().all(|x| *x == 0.0)),
        "matrix.is_binary" => |m, s, a| test(m, s, a, |v| v.values.iter().all(|x| *x == 0.0 || *x == 1.0)),
        "matrix.is_identity" => |m, s, a| test(m, s, a, |v| v.rows == v.columns && *v == identity(v.rows)),
        "matrix.is_symmetric" => |m, s, a| test(m, s, a, |v| v.rows == v.columns && transpose(v) == *v),
        "matrix.is_diagonal" => |m, s, a| {
            test(m, s, a, |v| {
                v.rows == v.columns
                    && v.values.iter().enumerate().all(|(k, x)| k / v.columns == k % v.columns || *x == 0.0)
            })
        },
        _ => return None,
    })
}

fn size(a: &[f64], k: usize) -> usize {
    or(a, k, 0)
}

fn or(a: &[f64], k: usize, default: usize) -> usize {
    a.get(k).filter(|x| **x >= 0.0).map_or(default, |x| *x as usize)
}

fn add(m: &mut Machine<'_, '_>, s: &CallSite, v: Matrix) -> f64 {
    m.world.heap.add(Object::Matrix(v), s.links)
}

fn get<'x>(m: &'x Machine<'_, '_>, s: &CallSite, handle: f64) -> std::result::Result<&'x Matrix, RunError> {
    m.world.heap.matrix(handle).ok_or_else(|| m.fail("a matrix that is na".into(), s.span))
}

fn change(m: &mut Machine<'_, '_>, s: &CallSite, handle: f64, f: impl FnOnce(&mut Matrix)) -> Result {
    match m.world.heap.matrix_mut(handle) {
        Some(v) => {
            let before = v.values.len();
            f(v);
            let grown = v.values.len().saturating_sub(before);
            m.world.heap.grew(grown);
            Ok(f64::NAN)
        }
        None => Err(m.fail("a matrix that is na".into(), s.span)),
    }
}

fn line(m: &Machine<'_, '_>, s: &CallSite, at: f64, count: usize) -> std::result::Result<usize, RunError> {
    if at >= 0.0 && (at as usize) < count {
        return Ok(at as usize);
    }
    Err(m.fail(format!("row or column {at} is out of bounds: there are {count}"), s.span))
}

fn cell(m: &Machine<'_, '_>, s: &CallSite, a: &[f64]) -> std::result::Result<usize, RunError> {
    let v = get(m, s, a[0])?;
    let (rows, columns) = (v.rows, v.columns);
    Ok(line(m, s, a[1], rows)? * columns + line(m, s, a[2], columns)?)
}

fn list(m: &Machine<'_, '_>, a: &[f64], k: usize) -> Option<Vec<f64>> {
    m.world.heap.array(a.get(k).copied().filter(|x| !x.is_nan())?).ok().map(<[f64]>::to_vec)
}

fn test(m: &Machine<'_, '_>, s: &CallSite, a: &[f64], f: fn(&Matrix) -> bool) -> Result {
    Ok(f64::from(f(get(m, s, a[0])?)))
}

fn transpose(v: &Matrix) -> Matrix {
    let values = (0..v.columns).flat_map(|c| (0..v.rows).map(move |r| v.values[r * v.columns + c])).collect();
    Matrix { rows: v.columns, columns: v.rows, values }
}

fn identity(n: usize) -> Matrix {
    let values = (0..n * n).map(|k| f64::from(k / n == k % n)).collect();
    Matrix { rows: n, columns: n, values }
}

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    let mut out = Matrix { rows: a.rows, columns: b.columns, values: vec![0.0; a.rows * b.columns] };
    for r in 0..a.rows {
        for c in 0..b.columns {
            out.values[r * b.columns + c] =
                (0..a.columns).map(|k| a.values[r * a.columns + k] * b.values[k * b.columns + c]).sum();
        }
    }
    out
}

/// The second operand is a matrix of the same shape or a number.
fn combine(m: &mut Machine<'_, '_>, s: &CallSite, a: &[f64], f: fn(f64, f64) -> f64) -> Result {
    let mut out = get(m, s, a[0])?.clone();
    if matches!(s.types.get(1), Some(Ty::Matrix(_))) {
        let other = get(m, s, a[1])?;
        if (other.rows, other.columns) != (out.rows, out.columns) {
            return Err(m.fail("the matrices have different shapes".into(), s.span));
        }
        out.values.iter_mut().zip(&other.values).for_each(|(x, y)| *x = f(*x, *y));
    } else {
        out.values.iter_mut().for_each(|x| *x = f(*x, a[1]));
    }
    Ok(add(m, s, out))
}

fn mult(m: &mut Machine<'_, '_>, s: &CallSite, a: &[f64]) -> Result {
    let left = get(m, s, a[0])?.clone();
    let shapes = || "the first operand's columns must be as many as the second's rows".to_owned();
    match s.types.get(1) {
        Some(Ty::Matrix(_)) => {
            let right = get(m, s, a[1])?;
            if left.columns != right.rows {
                return Err(m.fail(shapes(), s.span));
            }
            let out = product(&left, right);
            Ok(add(m, s, out))
        }
        Some(Ty::Array(_)) => {
            let values = list(m, a, 1).unwrap_or_default();
            if left.columns != values.len() {
                return Err(m.fail(shapes(), s.span));
            }
            let right = Matrix { rows: values.len(), columns: 1, values };
            let out = product(&left, &right).values;
            Ok(collections::add(m, s, out))
        }
        _ => {
            let mut out = left;
            out.values.iter_mut().for_each(|x| *x *= a[1]);
            Ok(add(m, s, out))
        }
    }
}

/// Gaussian elimination with partial pivoting.
fn determinant(v: &Matrix) -> f64 {
    if v.rows != v.columns {
        return f64::NAN;
    }
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

/// Gauss-Jordan; none when singular.
fn inverse(v: &Matrix) -> Option<Matrix> {
    if v.rows != v.columns {
        return None;
    }
    let n = v.rows;
    let (mut x, mut out) = (v.values.clone(), identity(n));
    for k in 0..n {
        let pivot = (k..n).max_by(|a, b| x[a * n + k].abs().total_cmp(&x[b * n + k].abs()))?;
        if x[pivot * n + k] == 0.0 {
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
