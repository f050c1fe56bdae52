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
        "math.pow" => |a| finite(power(a[0], a[1])),
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

/// Four exponents are exact on TradingView; a platform's `pow` may miss them by a bit.
fn power(base: f64, exponent: f64) -> f64 {
    match exponent {
        0.0 => 1.0,
        0.5 => base.sqrt(),
        1.0 => base,
        2.0 => base * base,
        _ => base.powf(exponent),
    }
}

/// What is missing to a half still counts as one.
const TIE: f64 = 0.5 - 1e-10;

/// Half away from zero; with a precision, to so many decimals. The scaled value is taken exactly (its rounding
/// error is added to the fraction), and a tie is one within 1e-10, as measured on TradingView.
fn round(a: &[f64]) -> f64 {
    let digits = a.get(1).copied().filter(|d| !is_absent(*d)).unwrap_or(0.0);
    let scale = 10f64.powi(digits.trunc().clamp(0.0, 16.0) as i32);
    let size = a[0].abs();
    let scaled = size * scale;
    if !scaled.is_finite() {
        return a[0];
    }
    let error = size.mul_add(scale, -scaled);
    let whole = scaled.floor();
    let units = if (scaled - whole) + error >= TIE { whole + 1.0 } else { whole };
    (units / scale).copysign(a[0])
}

fn finite(x: f64) -> f64 {
    if x.is_finite() { x } else { f64::NAN }
}
