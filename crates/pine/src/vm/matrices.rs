//! `matrix.*`.

use super::collections;
use super::functions::Function;
use super::heap::Object;
use super::linear::{self, identity, product, transpose};
use super::machine::{CallSite, Machine};
use super::run::RunError;
use super::statistics;
use super::values::Matrix;
use crate::ir::Ty;

type Result = std::result::Result<f64, RunError>;

/// The function of this name.
pub(super) fn find(name: &str) -> Option<Function> {
    Some(match name {
        "matrix.new" => |m, s, a| {
            let (rows, columns) = (size(a, 0), size(a, 1));
            within_limit(m, s, rows, columns)?;
            let fill = a.get(2).copied().filter(|x| !super::is_absent(*x)).unwrap_or(f64::NAN);
            Ok(add(m, s, Matrix { rows, columns, values: vec![fill; rows * columns] }))
        },
        "matrix.rows" => |m, s, a| Ok(get(m, s, a[0])?.rows as f64),
        "matrix.columns" => |m, s, a| Ok(get(m, s, a[0])?.columns as f64),
        "matrix.elements_count" => |m, s, a| Ok(get(m, s, a[0])?.values.len() as f64),
        // na as a place reaches no element, measured on TradingView.
        "matrix.get" => |m, s, a| match cell(m, s, a)? {
            Some(k) => Ok(get(m, s, a[0])?.values[k]),
            None => Ok(f64::NAN),
        },
        "matrix.set" => |m, s, a| match cell(m, s, a)? {
            Some(k) => change(m, s, a[0], |v| v.values[k] = a[3]),
            None => Ok(f64::NAN),
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
            if a[1].is_nan() {
                return Ok(f64::NAN);
            }
            let r = line(m, s, a[1], v.rows)?;
            let row = v.values[r * v.columns..(r + 1) * v.columns].to_vec();
            Ok(collections::add(m, s, row))
        },
        "matrix.col" => |m, s, a| {
            let v = get(m, s, a[0])?;
            if a[1].is_nan() {
                return Ok(f64::NAN);
            }
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
            let base = square(m, s, a[0], "matrix.pow")?;
            let times = a[1].trunc();
            if !(0.0..=1e15).contains(&times) {
                return Err(m.fail(format!("matrix.pow takes a power of 0 and above, not {}", a[1]), s.span));
            }
            let out = linear::power(base, times as u64);
            Ok(add(m, s, out))
        },
        "matrix.kron" => |m, s, a| {
            let (left, right) = (get(m, s, a[0])?, get(m, s, a[1])?);
            within_limit(m, s, left.rows * right.rows, left.columns * right.columns)?;
            let out = linear::kronecker(left, right);
            Ok(add(m, s, out))
        },
        "matrix.det" => |m, s, a| Ok(linear::determinant(square(m, s, a[0], "matrix.det")?)),
        "matrix.inv" => |m, s, a| {
            let out = linear::inverse(square(m, s, a[0], "matrix.inv")?);
            Ok(out.map_or(f64::NAN, |v| add(m, s, v)))
        },
        "matrix.pinv" => |m, s, a| {
            let out = linear::pseudoinverse(get(m, s, a[0])?);
            Ok(add(m, s, out))
        },
        "matrix.rank" => |m, s, a| Ok(linear::rank(get(m, s, a[0])?) as f64),
        "matrix.eigenvalues" => |m, s, a| {
            let (values, _) = linear::eigen(square(m, s, a[0], "matrix.eigenvalues")?);
            Ok(collections::add(m, s, values))
        },
        "matrix.eigenvectors" => |m, s, a| {
            let (_, vectors) = linear::eigen(square(m, s, a[0], "matrix.eigenvectors")?);
            Ok(add(m, s, vectors))
        },
        "matrix.trace" => |m, s, a| {
            let v = get(m, s, a[0])?;
            Ok((0..v.rows.min(v.columns)).map(|k| v.values[k * v.columns + k]).sum())
        },
        "matrix.avg" => |m, s, a| Ok(statistics::mean(&get(m, s, a[0])?.values)),
        "matrix.min" => {
            |m, s, a| Ok(statistics::numbers(&get(m, s, a[0])?.values).reduce(f64::min).unwrap_or(f64::NAN))
        }
        "matrix.max" => {
            |m, s, a| Ok(statistics::numbers(&get(m, s, a[0])?.values).reduce(f64::max).unwrap_or(f64::NAN))
        }
        "matrix.median" => |m, s, a| Ok(statistics::median(&get(m, s, a[0])?.values)),
        "matrix.mode" => |m, s, a| Ok(statistics::mode(&get(m, s, a[0])?.values)),
        "matrix.is_square" => |m, s, a| test(m, s, a, |v| v.rows == v.columns),
        "matrix.is_zero" => |m, s, a| test(m, s, a, |v| v.values.iter().all(|x| *x == 0.0)),
        "matrix.is_binary" => |m, s, a| test(m, s, a, |v| v.values.iter().all(|x| *x == 0.0 || *x == 1.0)),
        "matrix.is_identity" => |m, s, a| test(m, s, a, |v| v.rows == v.columns && *v == identity(v.rows)),
        "matrix.is_symmetric" => |m, s, a| test(m, s, a, |v| v.rows == v.columns && transpose(v) == *v),
        "matrix.is_antisymmetric" => |m, s, a| {
            test(m, s, a, |v| {
                let mirrored = transpose(v);
                v.rows == v.columns && v.values.iter().zip(&mirrored.values).all(|(x, y)| *x == -y)
            })
        },
        "matrix.is_diagonal" => |m, s, a| test(m, s, a, |v| only(v, |r, c| r == c)),
        "matrix.is_antidiagonal" => |m, s, a| test(m, s, a, |v| only(v, |r, c| r + c + 1 == v.rows)),
        "matrix.is_triangular" => {
            |m, s, a| test(m, s, a, |v| only(v, |r, c| r <= c) || only(v, |r, c| r >= c))
        }
        "matrix.is_stochastic" => |m, s, a| {
            test(m, s, a, |v| {
                v.values.chunks(v.columns.max(1)).all(|row| (statistics::sum(row) - 1.0).abs() <= 1e-10)
            })
        },
        _ => return None,
    })
}

/// Square, and zero wherever `may` says no.
fn only(v: &Matrix, may: impl Fn(usize, usize) -> bool) -> bool {
    let n = v.columns.max(1);
    v.rows == v.columns && v.values.iter().enumerate().all(|(k, x)| *x == 0.0 || may(k / n, k % n))
}

/// Most elements of a matrix; the language's own limit.
const ELEMENTS_MAX: usize = 100_000;

fn within_limit(
    m: &Machine<'_, '_>,
    s: &CallSite,
    rows: usize,
    columns: usize,
) -> std::result::Result<(), RunError> {
    if rows.saturating_mul(columns) <= ELEMENTS_MAX {
        return Ok(());
    }
    Err(m.fail(format!("a matrix of {rows} x {columns}; it takes at most {ELEMENTS_MAX} elements"), s.span))
}

fn square<'x>(
    m: &'x Machine<'_, '_>,
    s: &CallSite,
    handle: f64,
    what: &str,
) -> std::result::Result<&'x Matrix, RunError> {
    let v = get(m, s, handle)?;
    if v.rows == v.columns {
        return Ok(v);
    }
    Err(m.fail(format!("{what} of a matrix of {} x {}: it must be square", v.rows, v.columns), s.span))
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

fn cell(m: &Machine<'_, '_>, s: &CallSite, a: &[f64]) -> std::result::Result<Option<usize>, RunError> {
    let v = get(m, s, a[0])?;
    if a[1].is_nan() || a[2].is_nan() {
        return Ok(None);
    }
    Ok(Some(line(m, s, a[1], v.rows)? * v.columns + line(m, s, a[2], v.columns)?))
}

fn list(m: &Machine<'_, '_>, a: &[f64], k: usize) -> Option<Vec<f64>> {
    m.world.heap.array(a.get(k).copied().filter(|x| !x.is_nan())?).ok().map(<[f64]>::to_vec)
}

fn test(m: &Machine<'_, '_>, s: &CallSite, a: &[f64], f: fn(&Matrix) -> bool) -> Result {
    Ok(f64::from(f(get(m, s, a[0])?)))
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
