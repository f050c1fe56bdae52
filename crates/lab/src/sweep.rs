//! Parameter grids: `--set`, `--sweep` and the ranges a script's own inputs give.

use crate::LabError;
use springtide_domain::{ParamValue, Params};
use springtide_pine::ir::{Input, InputKind};

/// Values one input takes in a sweep, as written on the command line.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Axis {
    pub name: String,
    pub values: Vec<ParamValue>,
}

/// Values on one axis at most; a typo like `1..1e9:1` is caught here, not by running out of memory.
const AXIS_MAX: usize = 1_000_000;

impl Axis {
    /// Reads `NAME=LO..HI:STEP` (inclusive; step 1 when left out) or `NAME=a,b,c`.
    pub fn parse(text: &str) -> Result<Self, LabError> {
        let bad = |why: &str| LabError::BadSweep { text: text.into(), why: why.into() };
        let (name, values) =
            text.split_once('=').ok_or_else(|| bad("expected NAME=LO..HI:STEP or NAME=a,b,c"))?;
        let name = name.trim();
        if name.is_empty() {
            return Err(bad("the input's name is missing before `=`"));
        }
        let values = match values.split_once("..") {
            Some((low, rest)) => {
                let (high, step) = rest.split_once(':').unwrap_or((rest, "1"));
                range(low.trim(), high.trim(), step.trim()).map_err(|why| bad(&why))?
            }
            None => values.split(',').map(|v| ParamValue::parse(v.trim())).collect(),
        };
        Ok(Self { name: name.into(), values })
    }

    /// The axis that a script's own input declares: minval, maxval and step; its options; both values of
    /// a bool. None when it gives no finite range.
    pub fn from_input(input: &Input) -> Option<Self> {
        let values = match (&input.kind, input.options.is_empty()) {
            (_, false) => input.options.clone(),
            (InputKind::Bool, true) => vec![ParamValue::Bool(false), ParamValue::Bool(true)],
            (InputKind::Int, true) => {
                numbers(input.min?, input.max?, input.step.unwrap_or(1.0), true).ok()?
            }
            (InputKind::Float | InputKind::Price, true) => {
                numbers(input.min?, input.max?, input.step?, false).ok()?
            }
            _ => return None,
        };
        Some(Self { name: input.key.clone(), values })
    }
}

fn range(low: &str, high: &str, step: &str) -> Result<Vec<ParamValue>, String> {
    let number = |text: &str| {
        text.parse::<f64>().ok().filter(|x| x.is_finite()).ok_or_else(|| format!("`{text}` is no number"))
    };
    let whole = [low, high, step].iter().all(|t| t.parse::<i64>().is_ok());
    numbers(number(low)?, number(high)?, number(step)?, whole)
}

fn numbers(low: f64, high: f64, step: f64, whole: bool) -> Result<Vec<ParamValue>, String> {
    if step <= 0.0 {
        return Err("the step must be greater than 0".into());
    }
    if high < low {
        return Err(format!("the range is empty: {high} is less than {low}"));
    }
    // Half a millionth of a step forgives 0.1 + 0.1 + ... falling short of the end.
    let count = ((high - low) / step + 5e-7).floor() + 1.0;
    // As a number: what is more than fits would come round to nothing.
    if count > AXIS_MAX as f64 {
        return Err(format!("{count} values on one axis; at most {AXIS_MAX}"));
    }
    let count = count as usize;
    let value = |k: usize| {
        let x = low + k as f64 * step;
        if whole { ParamValue::Int(x as i64) } else { ParamValue::Float(tidy(x)) }
    };
    Ok((0..count).map(value).collect())
}

/// 0.30000000000000004 as 0.3: twelve significant digits are more than any input needs.
fn tidy(x: f64) -> f64 {
    format!("{x:.11e}").parse().unwrap_or(x)
}

/// All combinations of the axes upon fixed values, first axis slowest; computed one at a time, so a
/// grid of millions costs nothing to hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid {
    fixed: Params,
    axes: Vec<Axis>,
}

impl Grid {
    /// The grid of `axes` upon `fixed`. An axis replaces a fixed value of its name.
    pub fn new(fixed: Params, axes: Vec<Axis>) -> Self {
        Self { fixed, axes }
    }

    /// Number of combinations; 1 without axes. Errors when it passes 2^63.
    pub fn count(&self) -> Result<u64, LabError> {
        self.axes.iter().try_fold(1u64, |n, axis| {
            n.checked_mul(axis.values.len() as u64).filter(|n| *n <= i64::MAX as u64).ok_or_else(|| {
                LabError::BadSweep { text: self.names(), why: "more combinations than can be counted".into() }
            })
        })
    }

    /// The axes.
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// The `index`-th combination.
    pub fn at(&self, mut index: u64) -> Params {
        let mut params = self.fixed.clone();
        for axis in self.axes.iter().rev() {
            let n = axis.values.len() as u64;
            params.insert(axis.name.clone(), axis.values[(index % n) as usize].clone());
            index /= n;
        }
        params
    }

    fn names(&self) -> String {
        self.axes.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join(" x ")
    }
}

/// Builds a strategy's grid: `--set` and `--sweep` name inputs by key or variable; with
/// `sweep_inputs`, inputs that are neither set nor swept take their own declared range.
///
/// Names that this strategy does not have are skipped and returned, so that a folder of different
/// strategies can share a command line; the caller errors when *no* strategy has a name.
pub fn grid_for(inputs: &[Input], sets: &Params, sweeps: &[Axis], sweep_inputs: bool) -> (Grid, Vec<String>) {
    let mut unknown = Vec::new();
    let mut fixed = Params::new();
    for (name, value) in sets {
        match key_of(inputs, name) {
            Some(key) => drop(fixed.insert(key.into(), value.clone())),
            None => unknown.push(name.clone()),
        }
    }
    let mut axes: Vec<Axis> = Vec::new();
    for axis in sweeps {
        match key_of(inputs, &axis.name) {
            Some(key) => axes.push(Axis { name: key.into(), values: axis.values.clone() }),
            None => unknown.push(axis.name.clone()),
        }
    }
    if sweep_inputs {
        let taken = |key: &str| fixed.contains_key(key) || axes.iter().any(|a| a.name == key);
        let more: Vec<Axis> = inputs.iter().filter(|i| !taken(&i.key)).filter_map(Axis::from_input).collect();
        axes.extend(more);
    }
    (Grid::new(fixed, axes), unknown)
}

fn key_of<'a>(inputs: &'a [Input], name: &str) -> Option<&'a str> {
    let exact = |i: &&Input| i.key == name || i.variable == name;
    let loose = |i: &&Input| i.key.eq_ignore_ascii_case(name) || i.variable.eq_ignore_ascii_case(name);
    inputs.iter().find(exact).or_else(|| inputs.iter().find(loose)).map(|i| i.key.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        Axis::parse(text).unwrap().values.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ranges_are_inclusive_and_tidy() {
        assert_eq!(values("a=1..3"), ["1", "2", "3"]);
        assert_eq!(values("a=5..50:15"), ["5", "20", "35", "50"]);
        assert_eq!(values("a=0.1..0.5:0.1"), ["0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert_eq!(values("a=-2..2:2"), ["-2", "0", "2"]);
        assert_eq!(values("a=EMA,SMA"), ["EMA", "SMA"]);
    }

    #[test]
    fn bad_ranges_say_why() {
        for text in [
            "a",
            "=1..2",
            "a=3..1",
            "a=1..2:0",
            "a=x..2",
            "a=1..1e12:1",
            "a=1..1e300",
            "a=-1e308..1e308",
            "a=1..inf",
        ] {
            assert!(Axis::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_grid_counts_its_combinations_first_axis_slowest() {
        let grid =
            Grid::new(Params::new(), vec![Axis::parse("a=1,2").unwrap(), Axis::parse("b=1..3").unwrap()]);
        assert_eq!(grid.count().unwrap(), 6);
        let all: Vec<String> = (0..6).map(|i| format!("{}{}", grid.at(i)["a"], grid.at(i)["b"])).collect();
        assert_eq!(all, ["11", "12", "13", "21", "22", "23"]);
    }
}
