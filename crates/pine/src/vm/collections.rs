//! `array.*` and `map.*`.

use super::functions::Function;
use super::heap::{Missing, Object};
use super::is_absent;
use super::machine::{CallSite, Machine};
use super::run::RunError;
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
        "array.get" => |m, s, a| {
            let k = index(m, s, a[0], a[1], 0)?;
            array(m, s, a[0], |v| v[k])
        },
        "array.set" => |m, s, a| {
            let k = index(m, s, a[0], a[1], 0)?;
            array_mut(m, s, a[0], |v| v[k] = a[2])
        },
        "array.push" => |m, s, a| {
            let size = length(m, s, a[0])?;
            grow(m, s, a[0], size, &a[1..2])
        },
        "array.unshift" => |m, s, a| grow(m, s, a[0], 0, &a[1..2]),
        "array.insert" => |m, s, a| {
            let k = index(m, s, a[0], a[1], 1)?;
            grow(m, s, a[0], k, &a[2..3])
        },
        "array.pop" => |m, s, a| {
            let size = length(m, s, a[0])?;
            take(m, s, a[0], size.wrapping_sub(1))
        },
        "array.shift" => |m, s, a| take(m, s, a[0], 0),
        "array.remove" => |m, s, a| {
            let k = index(m, s, a[0], a[1], 0)?;
            take(m, s, a[0], k)
        },
        "array.clear" => |m, s, a| {
            let size = length(m, s, a[0])?;
            m.world.heap.splice(a[0], 0, size, &[]).map_err(|why| missing(m, s, why))?;
            Ok(f64::NAN)
        },
        "array.reverse" => |m, s, a| array_mut(m, s, a[0], |v| v.reverse()),
        "array.fill" => |m, s, a| {
            let (from, to) = (or(a, 2, 0.0), or(a, 3, f64::INFINITY));
            array_mut(m, s, a[0], |v| {
                let to = (to.max(0.0) as usize).min(v.len());
                let from = (from.max(0.0) as usize).min(to);
                v[from..to].fill(a[1]);
            })
        },
        "array.sort" => |m, s, a| {
            let texts = is_text(s);
            let down = or(a, 1, 0.0) != 0.0;
            let mut values = copy(m, s, a[0])?;
            sort(m, &mut values, texts, down);
            array_mut(m, s, a[0], |v| v.copy_from_slice(&values))
        },
        "array.sort_indices" => |m, s, a| {
            let down = or(a, 1, 0.0) != 0.0;
            let values = copy(m, s, a[0])?;
            let mut at: Vec<usize> = (0..values.len()).collect();
            let (texts, strings) = (is_text(s), &m.world.strings);
            at.sort_by(|x, y| {
                let (x, y) = if down { (values[*y], values[*x]) } else { (values[*x], values[*y]) };
                if texts { strings.get(x).cmp(&strings.get(y)) } else { x.total_cmp(&y) }
            });
            Ok(add(m, s, at.into_iter().map(|k| k as f64).collect()))
        },
        "array.copy" => |m, s, a| {
            let values = copy(m, s, a[0])?;
            Ok(add(m, s, values))
        },
        "array.slice" => |m, s, a| {
            let size = length(m, s, a[0])?;
            let (from, to) = (a[1].trunc(), a[2].trunc());
            if from >= 0.0 && from <= to && to <= size as f64 {
                return Ok(m.world.heap.slice(a[0], from as usize, to as usize));
            }
            let message = format!("array.slice from {from} to {to} of an array with {size} elements");
            Err(m.fail(message, s.span))
        },
        "array.concat" => |m, s, a| {
            let (size, more) = (length(m, s, a[0])?, copy(m, s, a[1])?);
            grow(m, s, a[0], size, &more)?;
            Ok(a[0])
        },
        "array.first" => |m, s, a| array(m, s, a[0], |v| v.first().copied().unwrap_or(f64::NAN)),
        "array.last" => |m, s, a| array(m, s, a[0], |v| v.last().copied().unwrap_or(f64::NAN)),
        "array.includes" => |m, s, a| array(m, s, a[0], |v| f64::from(place(v.iter(), a[1]).is_some())),
        "array.indexof" => |m, s, a| array(m, s, a[0], |v| place(v.iter(), a[1]).map_or(-1.0, |k| k as f64)),
        "array.lastindexof" => |m, s, a| {
            array(m, s, a[0], |v| place(v.iter().rev(), a[1]).map_or(-1.0, |k| (v.len() - 1 - k) as f64))
        },
        "array.binary_search" => |m, s, a| {
            array(m, s, a[0], |v| v.binary_search_by(|x| x.total_cmp(&a[1])).map_or(-1.0, |k| k as f64))
        },
        "array.binary_search_leftmost" => |m, s, a| {
            array(m, s, a[0], |v| {
                let k = v.partition_point(|x| *x < a[1]);
                if v.get(k) == Some(&a[1]) { k as f64 } else { k as f64 - 1.0 }
            })
        },
        "array.binary_search_rightmost" => |m, s, a| {
            array(m, s, a[0], |v| {
                let k = v.partition_point(|x| *x <= a[1]);
                if k > 0 && v[k - 1] == a[1] { k as f64 - 1.0 } else { k as f64 }
            })
        },
        "array.sum" => |m, s, a| array(m, s, a[0], |v| values_of(v).sum()),
        "array.avg" => |m, s, a| array(m, s, a[0], mean),
        "array.min" => |m, s, a| nth(m, s, a, false),
        "array.max" => |m, s, a| nth(m, s, a, true),
        "array.range" => |m, s, a| {
            array(m, s, a[0], |v| {
                let (low, high) =
                    values_of(v).fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
                if high >= low { high - low } else { f64::NAN }
            })
        },
        "array.median" => |m, s, a| array(m, s, a[0], |v| percentile(v, 50.0, true)),
        "array.mode" => |m, s, a| array(m, s, a[0], mode),
        "array.variance" => |m, s, a| {
            let biased = or(a, 1, 1.0) != 0.0;
            array(m, s, a[0], |v| variance(v, biased))
        },
        "array.stdev" => |m, s, a| {
            let biased = or(a, 1, 1.0) != 0.0;
            array(m, s, a[0], |v| variance(v, biased).sqrt())
        },
        "array.covariance" => |m, s, a| {
            let (x, y) = (copy(m, s, a[0])?, copy(m, s, a[1])?);
            let n = x.len().min(y.len()) as f64;
            let (mx, my) = (mean(&x), mean(&y));
            let sum: f64 = x.iter().zip(&y).map(|(x, y)| (x - mx) * (y - my)).sum();
            Ok(sum / if or(a, 2, 1.0) != 0.0 { n } else { n - 1.0 })
        },
        "array.standardize" => |m, s, a| {
            let values = copy(m, s, a[0])?;
            let (mean, deviation) = (mean(&values), variance(&values, true).sqrt());
            let out =
                values.iter().map(|x| if deviation == 0.0 { 1.0 } else { (x - mean) / deviation }).collect();
            Ok(add(m, s, out))
        },
        "array.abs" => |m, s, a| {
            let values = copy(m, s, a[0])?;
            Ok(add(m, s, values.iter().map(|x| x.abs()).collect()))
        },
        "array.percentile_linear_interpolation" => |m, s, a| array(m, s, a[0], |v| percentile(v, a[1], true)),
        "array.percentile_nearest_rank" => |m, s, a| array(m, s, a[0], |v| percentile(v, a[1], false)),
        "array.percentrank" => |m, s, a| {
            let k = index(m, s, a[0], a[1], 0)?;
            array(m, s, a[0], |v| {
                let below = v.iter().enumerate().filter(|(i, x)| *i != k && **x <= v[k]).count();
                below as f64 / (v.len() as f64 - 1.0) * 100.0
            })
        },
        "array.every" => {
            |m, s, a| array(m, s, a[0], |v| f64::from(v.iter().all(|x| super::fold::truthy(*x))))
        }
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

/// A position from the front, or from the back when negative; `more` allows one past the end.
fn index(
    m: &Machine<'_, '_>,
    site: &CallSite,
    handle: f64,
    at: f64,
    more: usize,
) -> std::result::Result<usize, RunError> {
    let size = length(m, site, handle)?;
    let k = if at < 0.0 { at.trunc() + size as f64 } else { at.trunc() };
    if k >= 0.0 && k < (size + more) as f64 {
        return Ok(k as usize);
    }
    Err(m.fail(format!("index {at} is out of bounds: the array has {size} elements"), site.span))
}

fn is_text(site: &CallSite) -> bool {
    matches!(site.types.first(), Some(Ty::Array(inner)) if **inner == Ty::Str)
}

fn sort(m: &Machine<'_, '_>, values: &mut [f64], texts: bool, down: bool) {
    if texts {
        values.sort_by(|a, b| m.world.strings.get(*a).cmp(&m.world.strings.get(*b)));
    } else {
        values.sort_by(f64::total_cmp);
    }
    if down {
        values.reverse();
    }
}

/// Equal within the language's tolerance; na finds na.
fn place<'v>(mut values: impl Iterator<Item = &'v f64>, x: f64) -> Option<usize> {
    values.position(|v| *v == x || (v - x).abs() <= 1e-10 || (v.is_nan() && x.is_nan()))
}

fn values_of(v: &[f64]) -> impl Iterator<Item = f64> + '_ {
    v.iter().copied().filter(|x| !x.is_nan())
}

fn mean(v: &[f64]) -> f64 {
    let (n, sum) = values_of(v).fold((0.0, 0.0), |(n, s), x| (n + 1.0, s + x));
    sum / n
}

fn variance(v: &[f64], biased: bool) -> f64 {
    let mean = mean(v);
    let n = values_of(v).count() as f64;
    let sum: f64 = values_of(v).map(|x| (x - mean) * (x - mean)).sum();
    sum / if biased { n } else { n - 1.0 }
}

fn nth(m: &Machine<'_, '_>, s: &CallSite, a: &[f64], largest: bool) -> Result {
    let k = or(a, 1, 0.0).max(0.0) as usize;
    array(m, s, a[0], |v| {
        if k == 0 {
            let pick = if largest { f64::max } else { f64::min };
            return values_of(v).reduce(pick).unwrap_or(f64::NAN);
        }
        let mut sorted: Vec<f64> = values_of(v).collect();
        sorted.sort_by(f64::total_cmp);
        if largest {
            sorted.reverse();
        }
        sorted.get(k).copied().unwrap_or(f64::NAN)
    })
}

/// The most frequent value, the smallest of equals.
fn mode(v: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = values_of(v).collect();
    sorted.sort_by(f64::total_cmp);
    let (mut best, mut most) = (f64::NAN, 0);
    for group in sorted.chunk_by(|a, b| a == b) {
        if group.len() > most {
            (best, most) = (group[0], group.len());
        }
    }
    best
}

pub(super) fn percentile(v: &[f64], percent: f64, linear: bool) -> f64 {
    let mut sorted: Vec<f64> = values_of(v).collect();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    if n == 0 || !(0.0..=100.0).contains(&percent) {
        return f64::NAN;
    }
    if !linear {
        let rank = (percent / 100.0 * n as f64).ceil().max(1.0) as usize;
        return sorted[rank - 1];
    }
    let at = percent / 100.0 * (n - 1) as f64;
    let (low, part) = (at.floor() as usize, at.fract());
    sorted[low] + part * (sorted[(low + 1).min(n - 1)] - sorted[low])
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
