//! The text format of the cases.
//!
//! ```text
//! //--- name of the case
//! //- bars: 10 11 ~2 12/13/11/12.5     closes, or open/high/low/close[/volume]; ~2: two bars are missing
//! //- time: 2024-01-01 00:00           of the first bar, UTC
//! //- step: 60                         timeframe
//! //- symbol: mintick=0.5 min_qty=1 point_value=1 timezone=UTC session=24x7
//! //- set: Length=3
//! //- rules: tradingview
//! ...the script; without a version `//@version=6`, without a declaration `strategy("case")`...
//! //= title: na*2 11 35/3              one plot, one value a bar
//! //= long 2: 1 @ 10 -> 3 @ 12, L -> X, profit 4
//! //= error 2:5 message
//! ```

use springtide_domain::OwnedBars;

/// One case of a file.
#[derive(Clone, Debug, Default)]
pub struct Case {
    pub name: String,
    /// Line of the file on which it begins, from 1.
    pub line: usize,
    pub settings: Vec<(String, String)>,
    pub source: String,
    pub expected: Vec<String>,
}

impl Case {
    /// The value of a setting.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

/// The cases of a file, and what stands before the first.
pub fn read(text: &str) -> (String, Vec<Case>) {
    let mut head = String::new();
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix("//--- ") {
            cases.push(Case { name: name.trim().into(), line: number + 1, ..Case::default() });
            continue;
        }
        let Some(case) = cases.last_mut() else {
            head += &format!("{line}\n");
            continue;
        };
        if let Some(setting) = line.strip_prefix("//- ") {
            let (key, value) = setting.split_once(':').unwrap_or((setting, ""));
            case.settings.push((key.trim().into(), value.trim().into()));
        } else if let Some(wanted) = line.strip_prefix("//= ") {
            case.expected.push(wanted.trim_end().into());
        } else {
            case.source += &format!("{line}\n");
        }
    }
    (head, cases)
}

/// The file again.
pub fn write(head: &str, cases: &[Case]) -> String {
    let mut out = head.to_owned();
    for case in cases {
        out += &format!("//--- {}\n", case.name);
        for (key, value) in &case.settings {
            out += &format!("//- {key}: {value}\n");
        }
        out += &format!("{}\n", case.source.trim_end());
        for line in &case.expected {
            out += &format!("//= {line}\n");
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}

/// Volume of a bar that names none.
const VOLUME: f64 = 1.0;

/// Bars from their text; a bar of one number opens at the close before it.
pub fn bars(text: &str, start_ms: i64, step_ms: i64) -> OwnedBars {
    let mut bars = OwnedBars::default();
    let mut time = start_ms;
    for word in text.split_whitespace() {
        if let Some(missing) = word.strip_prefix('~') {
            time += step_ms * missing.parse::<i64>().expect("a number of missing bars");
            continue;
        }
        let v: Vec<f64> =
            word.split('/').map(|x| if x == "na" { f64::NAN } else { x.parse().expect("a price") }).collect();
        let before = bars.close.last().copied().unwrap_or(v[0]);
        match v[..] {
            [c] => bars.push(time, before, c.max(before), c.min(before), c, VOLUME),
            [o, h, l, c] => bars.push(time, o, h, l, c, VOLUME),
            [o, h, l, c, volume] => bars.push(time, o, h, l, c, volume),
            _ => panic!("a bar is a close, open/high/low/close or open/high/low/close/volume, not `{word}`"),
        }
        time += step_ms;
    }
    bars
}

/// Equal words; numbers equal to nine digits, `n/m` is a fraction, `x*3` three times x, a last `*` anything.
pub fn same(wanted: &str, found: &str) -> bool {
    if let Some(start) = wanted.strip_suffix(" *") {
        return found.starts_with(start);
    }
    let (wanted, found) = (words(wanted), words(found));
    wanted.len() == found.len() && wanted.iter().zip(&found).all(|(a, b)| a == b || near(a, b))
}

fn words(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    for word in line.split_whitespace() {
        match word.split_once('*').map(|(x, n)| (x, n.parse::<usize>())) {
            Some((x, Ok(n))) if !x.is_empty() => out.extend(std::iter::repeat_n(x.to_owned(), n)),
            _ => out.push(word.into()),
        }
    }
    out
}

fn near(wanted: &str, found: &str) -> bool {
    // A trailing comma belongs to the sentence.
    let (Some(a), Some(b)) = (number(wanted), number(found)) else { return false };
    wanted.ends_with(',') == found.ends_with(',') && (a - b).abs() <= 1e-9 * a.abs().max(1.0)
}

fn number(word: &str) -> Option<f64> {
    let word = word.trim_end_matches(',');
    match word.split_once('/') {
        Some((a, b)) => Some(a.parse::<f64>().ok()? / b.parse::<f64>().ok()?),
        None => word.parse().ok(),
    }
}

/// A number with up to twelve digits, `na` for none.
pub fn show(x: f64) -> String {
    if x.is_nan() {
        return "na".into();
    }
    if x == 0.0 || !x.is_finite() {
        return format!("{}", x + 0.0);
    }
    let digits = 11 - x.abs().log10().floor() as i32;
    let text = format!("{x:.*}", digits.clamp(0, 17) as usize);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    text.into()
}

/// A series, runs of `na` and of equal values written once.
pub fn series(values: &[f64]) -> String {
    let mut out: Vec<String> = Vec::new();
    for run in values.chunk_by(|a, b| a == b || (a.is_nan() && b.is_nan())) {
        match run.len() {
            n if n > 2 => out.push(format!("{}*{n}", show(run[0]))),
            n => out.extend(std::iter::repeat_n(show(run[0]), n)),
        }
    }
    out.join(" ")
}
