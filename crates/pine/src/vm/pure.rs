//! Functions of numbers alone, by canonical name: the same code serves constants, columns and bars.

use super::is_absent;

/// Most arguments such a function is called with.
pub(super) const MAX_ARGS: usize = 16;

/// All arguments as numbers, `na` as NaN, left-out ones as the absent mark.
pub(super) type Pure = fn(&[f64]) -> f64;

/// The function of this name.
pub(super) fn find(name: &str) -> Option<Pure> {
    Some(match name {
        "math.abs" => |a| a[0].abs(),
        "math.acos" => |a| finite(a[0].acos()),
        "math.asin" => |a| finite(a[0].asin()),
        "math.atan" => |a| a[0].atan(),
        "math.ceil" => |a| a[0].ceil(),
        "math.floor" => |a| a[0].floor(),
        "math.cos" => |a| a[0].cos(),
        "math.sin" => |a| a[0].sin(),
        "math.tan" => |a| a[0].tan(),
        "math.exp" => |a| finite(a[0].exp()),
        "math.log" => |a| finite(a[0].ln()),
        "math.log10" => |a| finite(a[0].log10()),
        "math.sqrt" => |a| finite(a[0].sqrt()),
        "math.sign" => |a| if a[0] == 0.0 { 0.0 } else { a[0].signum() },
        "math.pow" => |a| finite(a[0].powf(a[1])),
        "math.max" => |a| fold(a, f64::max),
        "math.min" => |a| fold(a, f64::min),
        "math.avg" => average,
        "math.round" => round,
        "math.todegrees" => |a| a[0].to_degrees(),
        "math.toradians" => |a| a[0].to_radians(),
        "nz" => |a| if a[0].is_nan() { replacement(a) } else { a[0] },
        "na" => |a| f64::from(a[0].is_nan()),
        "int" => |a| a[0].trunc(),
        "float" => |a| a[0],
        "bool" => |a| f64::from(super::fold::truthy(a[0])),
        _ => return None,
    })
}

fn replacement(a: &[f64]) -> f64 {
    match a.get(1) {
        Some(x) if !is_absent(*x) => *x,
        _ => 0.0,
    }
}

/// Any `na` among the arguments gives `na`.
fn fold(a: &[f64], f: fn(f64, f64) -> f64) -> f64 {
    if a.iter().any(|x| x.is_nan()) { f64::NAN } else { a.iter().copied().reduce(f).unwrap_or(f64::NAN) }
}

/// Two are added as they are. From three on TradingView carries along what each addition loses and takes it
/// off at the end (W. Kahan's sum; measured on TradingView by PyneCore's authors).
fn average(a: &[f64]) -> f64 {
    if a.len() <= 2 {
        return a.iter().fold(0.0, |sum, x| sum + x) / a.len() as f64;
    }
    let (mut sum, mut lost) = (0.0, 0.0);
    for x in a {
        let y = x - lost;
        let next = sum + y;
        lost = (next - sum) - y;
        sum = next;
    }
    (sum - lost) / a.len() as f64
}

/// Half away from zero; with a precision, to so many decimals.
fn round(a: &[f64]) -> f64 {
    match a.get(1) {
        Some(digits) if !is_absent(*digits) => {
            let scale = 10f64.powi(digits.trunc().clamp(0.0, 16.0) as i32);
            let scaled = (a[0] * scale).round() / scale;
            if scaled.is_finite() { scaled } else { a[0] }
        }
        _ => a[0].round(),
    }
}

fn finite(x: f64) -> f64 {
    if x.is_finite() { x } else { f64::NAN }
}
