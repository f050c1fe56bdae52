//! `array.*` and `map.*`.

use super::functions::Function;
use super::heap::{Missing, Object};
use super::is_absent;
use super::machine::{CallSite, Machine};
use super::run::RunError;
use super::statistics;
use super::text::show;
use super::values::Map;
use crate::ir::Ty;

type Result = std::result::Result<f64, RunError>;

/// Largest array; the language's own limit.
const ARRAY_MAX: usize = 100_000;

/// The function of this name.
pub(super) fn find(name: &str) -> Option<Function> {
    if name.starts_with("array.new") {
        return Some(new_array);
    }
    Some(match name {
        "array.from" => |m, s, a| Ok(add(m, s, a.iter().copied().filter(|x| !is_absent(*x)).collect())),
        "array.size" => |m, s, a| array(m, s, a[0], |v| v.len() as f64),
        "array.get" => |m, s, a| match index(m, s, a[0], a[1], 0)? {
            Some(k) => array(m, s, a[0], |v| v[k]),
            None => Ok(f64::NAN),
        },
        "array.set" => |m, s, a| match index(m, s, a[0], a[1], 0)? {
            Some(k) => array_mut(m, s, a[0], |v| v[k] = a[2]),
            None => Ok(f64::NAN),
        },
        "array.push" => |m, s, a| {
            let size = length(m, s, a[0])?;
            grow(m, s, a[0], size, &a[1..2])
        },
        "array.unshift" => |m, s, a| grow(m, s, a[0], 0, &a[1..2]),
        "array.insert" => |m, s, a| {
            let k = match index(m, s, a[0], a[1], 1)? {
                Some(k) => k,
                None => length(m, s, a[0])?,
            };
            grow(m, s, a[0], k, &a[2..3])
        },
        "array.pop" => |m, s, a| {
            let size = length(m, s, a[0])?;
            take(m, s, a[0], size.wrapping_sub(1))
        },
        "array.shift" => |m, s, a| take(m, s, a[0], 0),
        "array.remove" => |m, s, a| match index(m, s, a[0], a[1], 0)? {
            Some(k) => take(m, s, a[0], k),
            None => Ok(f64::NAN),
        },
        "array.clear" => |m, s, a| {
            let size = length(m, s, a[0])?;
            m.world.heap.splice(a[0], 0, size, &[]).map_err(|why| missing(m, s, why))?;
            Ok(f64::NAN)
        },
        "array.reverse" => |m, s, a| array_mut(m, s, a[0], |v| v.reverse()),
        "array.fill" => |m, s, a| {
            let size = length(m, s, a[0])?;
            let (from, to) = bounds(m, s, "array.fill", size, (a.get(2), a.get(3)))?;
            array_mut(m, s, a[0], |v| v[from..to].fill(a[1]))
        },
        "array.sort" => |m, s, a| {
            let texts = is_text(s);
            let down = or(a, 1, 0.0) != 0.0;
            let mut values = copy(m, s, a[0])?;
            sort(m, &mut values, texts, down);
            array_mut(m, s, a[0], |v| v.copy_from_slice(&values))
        },
        "array.sort_indices" => |m, s, a| {
            let values = copy(m, s, a[0])?;
            let mut at: Vec<usize> = (0..values.len()).collect();
            let texts = is_text(s);
            at.sort_by(|x, y| compare(m, values[*x], values[*y], texts));
            if or(a, 1, 0.0) != 0.0 {
                at.reverse();
            }
            Ok(add(m, s, at.into_iter().map(|k| k as f64).collect()))
        },
        "array.copy" => |m, s, a| {
            let values = copy(m, s, a[0])?;
            Ok(add(m, s, values))
        },
        "array.slice" => |m, s, a| {
            let size = length(m, s, a[0])?;
            let (from, to) = bounds(m, s, "array.slice", size, (a.get(1), a.get(2)))?;
            Ok(m.world.heap.slice(a[0], from, to))
        },
        "array.concat" => |m, s, a| {
            let (size, more) = (length(m, s, a[0])?, copy(m, s, a[1])?);
            grow(m, s, a[0], size, &more)?;
            Ok(a[0])
        },
        "array.first" => |m, s, a| end(m, s, a[0], |v| v.first()),
        "array.last" => |m, s, a| end(m, s, a[0], |v| v.last()),
        "array.includes" => |m, s, a| array(m, s, a[0], |v| f64::from(place(v.iter(), a[1]).is_some())),
        "array.indexof" => |m, s, a| array(m, s, a[0], |v| place(v.iter(), a[1]).map_or(-1.0, |k| k as f64)),
        "array.lastindexof" => |m, s, a| {
            array(m, s, a[0], |v| place(v.iter().rev(), a[1]).map_or(-1.0, |k| (v.len() - 1 - k) as f64))
        },
        "array.binary_search" => |m, s, a| array(m, s, a[0], |v| search(v, a[1])),
        "array.binary_search_leftmost" => |m, s, a| {
            array(m, s, a[0], |v| {
                let k = v.partition_point(|x| *x < a[1]);
                if v.get(k) == Some(&a[1]) { k as f64 } else { k.saturating_sub(1) as f64 }
            })
        },
        "array.binary_search_rightmost" => |m, s, a| {
            array(m, s, a[0], |v| {
                let k = v.partition_point(|x| *x <= a[1]);
                if k > 0 && v[k - 1] == a[1] { k as f64 - 1.0 } else { k as f64 }
            })
        },
        "array.sum" => |m, s, a| array(m, s, a[0], statistics::sum),
        "array.avg" => |m, s, a| array(m, s, a[0], statistics::mean),
        "array.min" => |m, s, a| nth(m, s, a, false),
        "array.max" => |m, s, a| nth(m, s, a, true),
        "array.range" => |m, s, a| {
            array(m, s, a[0], |v| {
                let sorted = statistics::sorted(v);
                sorted.first().zip(sorted.last()).map_or(f64::NAN, |(low, high)| high - low)
            })
        },
        "array.median" => |m, s, a| array(m, s, a[0], statistics::median),
        "array.mode" => |m, s, a| array(m, s, a[0], statistics::mode),
        "array.variance" => |m, s, a| array(m, s, a[0], |v| statistics::variance(v, or(a, 1, 1.0) != 0.0)),
        "array.stdev" => {
            |m, s, a| array(m, s, a[0], |v| statistics::variance(v, or(a, 1, 1.0) != 0.0).sqrt())
        }
        "array.covariance" => |m, s, a| {
            let (x, y) = (copy(m, s, a[0])?, copy(m, s, a[1])?);
            if x.len() != y.len() {
                let message =
                    format!("array.covariance of {} and {} elements: as many are needed", x.len(), y.len());
                return Err(m.fail(message, s.span));
            }
            Ok(statistics::covariance(&x, &y, or(a, 2, 1.0) != 0.0))
        },
        "array.standardize" => |m, s, a| {
            let values = copy(m, s, a[0])?;
            let (mean, deviation) = (statistics::mean(&values), statistics::variance(&values, true).sqrt());
            let score = |x: f64| match deviation {
                _ if x.is_nan() => x,
                0.0 => 1.0,
                _ => (x - mean) / deviation,
            };
            Ok(add(m, s, values.into_iter().map(score).collect()))
        },
        "array.abs" => |m, s, a| {
            let values = copy(m, s, a[0])?;
            Ok(add(m, s, values.iter().map(|x| x.abs()).collect()))
        },
        "array.percentile_linear_interpolation" => |m, s, a| {
            percentage(m, s, a[1])?;
            array(m, s, a[0], |v| statistics::percentile_linear(v, a[1]))
        },
        "array.percentile_nearest_rank" => |m, s, a| {
            percentage(m, s, a[1])?;
            array(m, s, a[0], |v| statistics::percentile_nearest(v, a[1]))
        },
        "array.percentrank" => |m, s, a| {
            let (size, at) = (length(m, s, a[0])?, or(a, 1, 0.0));
            if size > 0 && !(0.0..size as f64).contains(&at) {
                return Err(outside(m, s, at, size));
            }
            array(m, s, a[0], |v| statistics::percent_rank(v, at.max(0.0) as usize))
        },
        // All of none is false here, measured on TradingView.
        "array.every" => |m, s, a| {
            array(m, s, a[0], |v| f64::from(!v.is_empty() && v.iter().all(|x| super::fold::truthy(*x))))
        },
        "array.some" => |m, s, a| array(m, s, a[0], |v| f64::from(v.iter().any(|x| super::fold::truthy(*x)))),
        "array.join" => |m, s, a| {
            let separator = m.world.strings.get(or(a, 1, f64::NAN)).unwrap_or(",").to_owned();
            let inner = match s.types.first() {
                Some(Ty::Array(inner)) => (**inner).clone(),
                _ => Ty::Float,
            };
            let values = copy(m, s, a[0])?;
            let parts: Vec<String> = values.iter().map(|x| show(m, *x, &inner, None)).collect();
            Ok(m.world.strings.intern(&parts.join(&separator)))
        },
        "map.new" => |m, s, _| Ok(m.world.heap.add(Object::Map(Map::default()), s.links)),
        "map.size" => |m, s, a| map(m, s, a[0], |v| v.keys.len() as f64),
        "map.get" => |m, s, a| map(m, s, a[0], |v| v.get(a[1]).unwrap_or(f64::NAN)),
        "map.contains" => |m, s, a| map(m, s, a[0], |v| f64::from(v.get(a[1]).is_some())),
        "map.put" => |m, s, a| {
            m.world.heap.grew(4);
            map_mut(m, s, a[0], |v| v.put(a[1], a[2]).unwrap_or(f64::NAN))
        },
        "map.remove" => |m, s, a| map_mut(m, s, a[0], |v| v.remove(a[1]).unwrap_or(f64::NAN)),
        "map.clear" => |m, s, a| {
            map_mut(m, s, a[0], |v| {
                v.clear();
                f64::NAN
            })
        },
        "map.keys" => |m, s, a| map_list(m, s, a[0], |v| v.keys.clone()),
        "map.values" => |m, s, a| map_list(m, s, a[0], |v| v.values.clone()),
        "map.copy" => |m, s, a| match m.world.heap.map(a[0]).cloned() {
            Some(copy) => Ok(m.world.heap.add(Object::Map(copy), s.links)),
            None => Err(m.fail("a map that is na".into(), s.span)),
        },
        "map.put_all" => |m, s, a| match m.world.heap.map(a[1]).cloned() {
            Some(more) => {
                m.world.heap.grew(more.keys.len() * 4);
                map_mut(m, s, a[0], |v| {
                    for (k, x) in more.keys.iter().zip(&more.values) {
                        v.put(*k, *x);
                    }
                    f64::NAN
                })
            }
            None => Err(m.fail("a map that is na".into(), s.span)),
        },
        _ => return None,
    })
}

fn or(a: &[f64], k: usize, default: f64) -> f64 {
    a.get(k).copied().filter(|x| !x.is_nan()).unwrap_or(default)
}

fn new_array(m: &mut Machine<'_, '_>, site: &CallSite, a: &[f64]) -> Result {
    let size = or(a, 0, 0.0);
    if size < 0.0 || size > ARRAY_MAX as f64 {
        return Err(m.fail(format!("an array of {size} elements; it takes 0 to {ARRAY_MAX}"), site.span));
    }
    let fill = a.get(1).copied().filter(|x| !is_absent(*x)).unwrap_or(f64::NAN);
    Ok(add(m, site, vec![fill; size as usize]))
}

/// A new array; the call's place says what it holds.
pub(super) fn add(m: &mut Machine<'_, '_>, site: &CallSite, values: Vec<f64>) -> f64 {
    m.world.heap.add(Object::Array(values), site.links)
}

fn missing(m: &Machine<'_, '_>, site: &CallSite, why: Missing) -> RunError {
    let message = match why {
        Missing::Na => "an array that is na",
        Missing::Outside => "a slice that lies outside its array, which has become shorter",
    };
    m.fail(message.into(), site.span)
}

fn array(m: &Machine<'_, '_>, site: &CallSite, handle: f64, f: impl FnOnce(&[f64]) -> f64) -> Result {
    m.world.heap.array(handle).map(f).map_err(|why| missing(m, site, why))
}

fn array_mut(m: &mut Machine<'_, '_>, site: &CallSite, handle: f64, f: impl FnOnce(&mut [f64])) -> Result {
    match m.world.heap.array_mut(handle) {
        Ok(values) => {
            f(values);
            Ok(f64::NAN)
        }
        Err(why) => Err(missing(m, site, why)),
    }
}

fn length(m: &Machine<'_, '_>, site: &CallSite, handle: f64) -> std::result::Result<usize, RunError> {
    m.world.heap.array(handle).map(<[f64]>::len).map_err(|why| missing(m, site, why))
}

fn grow(m: &mut Machine<'_, '_>, site: &CallSite, handle: f64, at: usize, new: &[f64]) -> Result {
    if length(m, site, handle)? + new.len() > ARRAY_MAX {
        return Err(m.fail(format!("an array cannot hold more than {ARRAY_MAX} elements"), site.span));
    }
    m.world.heap.splice(handle, at, 0, new).map_err(|why| missing(m, site, why))?;
    Ok(f64::NAN)
}

/// Takes the element at `at` out; there is none in an empty array.
fn take(m: &mut Machine<'_, '_>, site: &CallSite, handle: f64, at: usize) -> Result {
    let taken =
        m.world.heap.array(handle).map(|v| v.get(at).copied()).map_err(|why| missing(m, site, why))?;
    let Some(x) = taken else {
        return Err(m.fail("nothing to take from an empty array".into(), site.span));
    };
    m.world.heap.splice(handle, at, 1, &[]).map_err(|why| missing(m, site, why))?;
    Ok(x)
}

fn copy(m: &Machine<'_, '_>, site: &CallSite, handle: f64) -> std::result::Result<Vec<f64>, RunError> {
    m.world.heap.array(handle).map(<[f64]>::to_vec).map_err(|why| missing(m, site, why))
}

/// A position from the front or, since version 6, from the back when negative; `more` allows one past the
/// end. None for na, which reaches no element.
fn index(
    m: &Machine<'_, '_>,
    site: &CallSite,
    handle: f64,
    at: f64,
    more: usize,
) -> std::result::Result<Option<usize>, RunError> {
    let size = length(m, site, handle)?;
    let from_back = at < 0.0 && m.world.version >= 6;
    let k = if from_back { at.trunc() + size as f64 } else { at.trunc() };
    if k.is_nan() {
        return Ok(None);
    }
    if k >= 0.0 && k < (size + more) as f64 {
        return Ok(Some(k as usize));
    }
    Err(outside(m, site, at, size))
}

fn outside(m: &Machine<'_, '_>, site: &CallSite, at: f64, size: usize) -> RunError {
    m.fail(format!("index {at} is out of bounds: the array has {size} elements"), site.span)
}

/// A part of an array: from an element that is there, to at most one past the last. na stands for the ends.
fn bounds(
    m: &Machine<'_, '_>,
    site: &CallSite,
    what: &str,
    size: usize,
    (from, to): (Option<&f64>, Option<&f64>),
) -> std::result::Result<(usize, usize), RunError> {
    let or = |x: Option<&f64>, default: f64| x.filter(|x| !x.is_nan()).map_or(default, |x| x.trunc());
    let (from, to) = (or(from, 0.0), or(to, size as f64));
    if from >= 0.0 && from < size as f64 && from <= to && to <= size as f64 {
        return Ok((from as usize, to as usize));
    }
    Err(m.fail(format!("{what} from {from} to {to} of an array with {size} elements"), site.span))
}

fn percentage(m: &Machine<'_, '_>, site: &CallSite, x: f64) -> std::result::Result<(), RunError> {
    if x.is_nan() || (0.0..=100.0).contains(&x) {
        return Ok(());
    }
    Err(m.fail(format!("{x} is no percentage: it takes 0 to 100"), site.span))
}

/// The first or last element; an array without elements has none.
fn end(m: &Machine<'_, '_>, site: &CallSite, handle: f64, f: fn(&[f64]) -> Option<&f64>) -> Result {
    let values = m.world.heap.array(handle).map_err(|why| missing(m, site, why))?;
    f(values)
        .copied()
        .ok_or_else(|| m.fail("an empty array has no first and no last element".into(), site.span))
}

/// Halving the range until the value is met; -1 when it is not there.
fn search(v: &[f64], x: f64) -> f64 {
    let (mut low, mut high) = (0, v.len());
    while low < high {
        // The middle of the closed range low..=high-1.
        let middle = (low + high - 1) / 2;
        if v[middle] == x {
            return middle as f64;
        }
        if x < v[middle] { high = middle } else { low = middle + 1 }
    }
    -1.0
}

fn is_text(site: &CallSite) -> bool {
    matches!(site.types.first(), Some(Ty::Array(inner)) if **inner == Ty::Str)
}

/// Ascending, or that turned round.
fn sort(m: &Machine<'_, '_>, values: &mut [f64], texts: bool, down: bool) {
    values.sort_by(|a, b| compare(m, *a, *b, texts));
    if down {
        values.reverse();
    }
}

/// na comes after every number and before every text.
fn compare(m: &Machine<'_, '_>, a: f64, b: f64, texts: bool) -> std::cmp::Ordering {
    let strings = &m.world.strings;
    match texts {
        true => strings.get(a).cmp(&strings.get(b)),
        false => a.is_nan().cmp(&b.is_nan()).then(a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal)),
    }
}

/// Equal within the language's tolerance; na finds na.
fn place<'v>(mut values: impl Iterator<Item = &'v f64>, x: f64) -> Option<usize> {
    values.position(|v| *v == x || (v - x).abs() <= 1e-10 || (v.is_nan() && x.is_nan()))
}

/// The `nth` smallest or largest number; na when there are not so many.
fn nth(m: &Machine<'_, '_>, s: &CallSite, a: &[f64], largest: bool) -> Result {
    let k = or(a, 1, 0.0).trunc();
    array(m, s, a[0], |v| {
        let sorted = statistics::sorted(v);
        let k = if largest { sorted.len() as f64 - 1.0 - k } else { k };
        if k >= 0.0 { sorted.get(k as usize).copied().unwrap_or(f64::NAN) } else { f64::NAN }
    })
}

fn map(m: &Machine<'_, '_>, site: &CallSite, handle: f64, f: impl FnOnce(&Map) -> f64) -> Result {
    m.world.heap.map(handle).map(f).ok_or_else(|| m.fail("a map that is na".into(), site.span))
}

fn map_mut(m: &mut Machine<'_, '_>, site: &CallSite, handle: f64, f: impl FnOnce(&mut Map) -> f64) -> Result {
    match m.world.heap.map_mut(handle) {
        Some(v) => Ok(f(v)),
        None => Err(m.fail("a map that is na".into(), site.span)),
    }
}

fn map_list(m: &mut Machine<'_, '_>, site: &CallSite, handle: f64, f: fn(&Map) -> Vec<f64>) -> Result {
    match m.world.heap.map(handle).map(f) {
        Some(list) => Ok(add(m, site, list)),
        None => Err(m.fail("a map that is na".into(), site.span)),
    }
}
