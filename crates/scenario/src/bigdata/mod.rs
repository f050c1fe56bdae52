//! One large file of ticks to hourly bars of every symbol.

mod input;
mod work;

use crate::{
    About, Case, Claim, Figures, Mode, Place, Programs, Rival, Scenario, ScenarioError, Target,
    claims::ClaimFigure,
};
use serde_json::Value;
use std::{path::PathBuf, process::Command};

/// Bytes at full scale.
const BYTES: u64 = 1_000_000_000;
const INPUT: &str = "data/s3/ticks.csv";
const OUTPUT: &str = "data/s3/bars.parquet";
/// Where the programs write.
const OUTPUT_PYTHON: &str = "data/s3/bars_py.parquet";
const OUTPUT_LIMIT: &str = "data/s3/bars_rs.parquet";

/// The scenario.
#[derive(Clone, Copy, Debug)]
pub struct BigData;

static ABOUT: About = About {
    name: "bigdata",
    title: "One large file",
    work: "1 GB of ticks as CSV (24.5 million rows, 20 symbols): hourly bars of every symbol into a Parquet file",
    check: "the written file, read again: every bar's prices, volume and number of trades in whole numbers; all rows counted",
    unit: "MB",
    latency_of: "",
    cases: &[
        Case { name: "sequential", mode: Mode::Sequential, cold: false },
        Case { name: "concurrent", mode: Mode::Concurrent, cold: false },
        Case { name: "concurrent, cold", mode: Mode::Concurrent, cold: true },
    ],
    targets: &[
        Target::faster("concurrent", "python, csv module", 40.0),
        Target::faster("concurrent", "python, polars", 3.0),
        Target::faster("concurrent", "limit: by hand", 0.5),
        Target::faster("concurrent, cold", "limit: by hand, cold", 0.8),
        Target::memory_max("concurrent", 50_000_000),
    ],
    claims: &[Claim {
        what: "processing of large data sets",
        unit: "GB/h",
        sequential: 2.0,
        concurrent: 15.0,
        factor: 3.6,
        figure: ClaimFigure::PerSecond,
    }],
    serves: false,
};

impl Scenario for BigData {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn prepare(&self, place: &Place) -> Result<(), ScenarioError> {
        input::prepare(&input_path(place)?, place.scaled(BYTES))
    }

    fn run(&self, case: &str, place: &Place) -> Result<Figures, ScenarioError> {
        let (input, output) = (input_path(place)?, place.root().join(OUTPUT));
        let (figures, counts) = match case {
            "sequential" => work::one_by_one(&input, &output)?,
            "concurrent" | "concurrent, cold" => work::many_at_once(&input, &output)?,
            other => return Err(ScenarioError::NoCase { scenario: ABOUT.name, case: other.into() }),
        };
        let expected = input::expected(&input)?;
        ScenarioError::check("rows", expected.rows, counts.rows)?;
        ScenarioError::check("bars", expected.bars.len() as u64, counts.bars)?;
        compare(&expected.bars, &work::bars_of(&output)?)?;
        Ok(figures)
    }

    fn chill(&self, place: &Place) -> Result<(), ScenarioError> {
        crate::place::drop_from_cache(&input_path(place)?)
    }

    fn rivals(&self, place: &Place, programs: &Programs) -> Vec<Rival> {
        let mut rivals = Vec::new();
        for (name, mode, cold, way) in [
            ("python, csv module", Mode::Sequential, false, "sync"),
            ("python, pandas in chunks", Mode::Sequential, false, "pandas"),
            ("python, pyarrow", Mode::Concurrent, false, "pyarrow"),
            ("python, polars", Mode::Concurrent, false, "polars"),
            ("python, duckdb", Mode::Concurrent, false, "duckdb"),
        ] {
            let programs = programs.clone();
            let command = move || programs.script("s3.py", &[way]);
            rivals.push(rival(place, name, mode, cold, OUTPUT_PYTHON, Box::new(command)));
        }
        let ways = [
            ("limit: by hand", false, "read-p"),
            ("limit: reading alone", false, "readonly-p"),
            ("limit: by hand, cold", true, "read-p"),
        ];
        rivals.extend(Rival::limits(programs, "s3", &ways, |name, cold, command| {
            rival(place, name, Mode::Limit, cold, OUTPUT_LIMIT, command)
        }));
        rivals
    }
}

fn input_path(place: &Place) -> Result<PathBuf, ScenarioError> {
    place.folder("data/s3")?;
    Ok(place.root().join(INPUT))
}

/// Names the first bar that is not what it should be.
fn compare(expected: &input::Bars, found: &input::Bars) -> Result<(), ScenarioError> {
    for ((symbol, hour), bar) in expected {
        let other = found.get(&(symbol.clone(), *hour)).copied();
        ScenarioError::check(&format!("the bar of {symbol} at {hour}"), Some(*bar), other)?;
    }
    ScenarioError::check("number of bars", expected.len(), found.len())
}

fn rival(
    place: &Place,
    name: &'static str,
    mode: Mode,
    cold: bool,
    output: &'static str,
    command: Box<dyn Fn() -> Command>,
) -> Rival {
    let (input, output) = (place.root().join(INPUT), place.root().join(output));
    Rival {
        name,
        mode,
        cold,
        command,
        items: Box::new(|json: &Value| json["bytes"].as_f64().unwrap_or(0.0) / 1e6),
        verify: Box::new(move |json| {
            let expected = input::expected(&input)?;
            ScenarioError::check("rows", Some(expected.rows), json["rows"].as_u64())?;
            compare(&expected.bars, &work::bars_of(&output)?)
        }),
        more: |_, _| {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_give_what_the_generator_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), 0.001);
        BigData.prepare(&place).unwrap();
        let made = std::fs::metadata(folder.path().join(INPUT)).unwrap().modified().unwrap();
        for case in ["sequential", "concurrent", "concurrent, cold"] {
            let figures = BigData.run(case, &place).unwrap();
            assert!((1.0..1.001).contains(&figures.items), "{figures:?}");
        }
        BigData.chill(&place).unwrap();
        // What is there is not made again.
        BigData.prepare(&place).unwrap();
        assert_eq!(std::fs::metadata(folder.path().join(INPUT)).unwrap().modified().unwrap(), made);
        assert!(matches!(BigData.run("backwards", &place), Err(ScenarioError::NoCase { .. })));
    }

    #[test]
    fn a_wrong_bar_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), 0.000_1);
        BigData.prepare(&place).unwrap();
        let list = folder.path().join("data/s3/ticks.list.csv");
        let text = std::fs::read_to_string(&list).unwrap();
        let line = text.lines().find(|l| l.starts_with("BTCUSDT")).unwrap();
        std::fs::write(&list, text.replace(line, &format!("{line}0"))).unwrap();
        let error = BigData.run("concurrent", &place).unwrap_err().to_string();
        assert!(error.contains("the bar of BTCUSDT at 1704067200000"), "{error}");
    }
}
