//! Many small files: read, parse, sum up, write one small file each.

mod input;
mod work;

use crate::{
    About, Case, Claim, Figures, Mode, Place, Programs, Rival, Scenario, ScenarioError, Target,
    claims::ClaimFigure,
};
use std::path::PathBuf;

/// Input files at full scale.
const FILES: u64 = 2_000;
/// Threads beyond the cores let some wait while others compute; more where they wait for the disk.
const WARM_THREADS: usize = 8;
const COLD_THREADS: usize = 16;
const INPUT: &str = "data/s1/in";
const OUTPUT: &str = "data/s1/out";

/// The scenario.
#[derive(Clone, Copy, Debug)]
pub struct Files;

static ABOUT: About = About {
    name: "files",
    title: "Many small files",
    work: "2,000 CSV files of bars (800 to 1,550 rows, 50 to 100 KB): read, parse, count rows, find lowest and highest close and \
           mean volume; write one JSON file each into a new folder",
    check: "every JSON file against what the generator wrote: rows, lowest and highest close exact, mean volume to 1e-9",
    unit: "files",
    latency_of: "one file, from opening it to its result's file being written",
    cases: &[
        Case { name: "sequential", mode: Mode::Sequential, cold: false },
        Case { name: "concurrent", mode: Mode::Concurrent, cold: false },
        Case { name: "sequential, cold", mode: Mode::Sequential, cold: true },
        Case { name: "concurrent, cold", mode: Mode::Concurrent, cold: true },
    ],
    targets: &[
        Target::faster("concurrent", "python, one by one", 20.0),
        Target::faster("concurrent", "python, processes", 10.0),
        Target::faster("concurrent", "python, aiofiles", 25.0),
        Target::faster("concurrent", "limit: by hand", 0.65),
        Target::faster("concurrent, cold", "python, one by one, cold", 10.0),
        Target::faster("concurrent, cold", "python, aiofiles, cold", 10.0),
        Target::faster("concurrent, cold", "limit: reading alone, cold", 0.6),
    ],
    claims: &[
        Claim {
            what: "batch file processing",
            unit: "files/min",
            sequential: 100.0,
            concurrent: 850.0,
            factor: 60.0,
            figure: ClaimFigure::PerSecond,
        },
        Claim {
            what: "time spent waiting for I/O",
            unit: "%",
            sequential: 70.0,
            concurrent: 15.0,
            factor: 1.0,
            figure: ClaimFigure::Waiting,
        },
    ],
    serves: false,
};

impl Scenario for Files {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn prepare(&self, place: &Place) -> Result<(), ScenarioError> {
        input::prepare(&place.folder(INPUT)?, place.scaled(FILES))
    }

    fn run(&self, case: &str, place: &Place) -> Result<Figures, ScenarioError> {
        let input = place.folder(INPUT)?;
        let manifest = input::manifest(&input)?;
        let files: Vec<PathBuf> = manifest.iter().map(|m| input.join(&m.file)).collect();
        let out = place.fresh(OUTPUT)?;
        let figures = match case {
            "sequential" | "sequential, cold" => work::one_by_one(&files, &out)?,
            "concurrent" => work::many_at_once(files, &out, WARM_THREADS)?,
            "concurrent, cold" => work::many_at_once(files, &out, COLD_THREADS)?,
            other => return Err(ScenarioError::NoCase { scenario: ABOUT.name, case: other.into() }),
        };
        input::verify(&manifest, &out)?;
        Ok(figures)
    }

    fn chill(&self, place: &Place) -> Result<(), ScenarioError> {
        let input = place.folder(INPUT)?;
        for entry in input::manifest(&input)? {
            crate::place::drop_from_cache(&input.join(&entry.file))?;
        }
        Ok(())
    }

    fn rivals(&self, place: &Place, programs: &Programs) -> Vec<Rival> {
        let script = |name, mode, cold, way: &'static str| {
            let programs = programs.clone();
            rival(place, name, mode, cold, Box::new(move || programs.script("s1.py", &[way])))
        };
        let mut rivals = vec![
            script("python, one by one", Mode::Sequential, false, "sync"),
            script("python, aiofiles", Mode::Concurrent, false, "async_bounded"),
            script("python, threads", Mode::Concurrent, false, "threads"),
            script("python, processes", Mode::Concurrent, false, "procs"),
            script("python, one by one, cold", Mode::Sequential, true, "sync"),
            script("python, aiofiles, cold", Mode::Concurrent, true, "async_bounded"),
        ];
        let ways = [
            ("limit: by hand", false, "hand-p"),
            ("limit: by hand, io_uring", false, "uring-r"),
            ("limit: by hand, cold", true, "hand-p"),
            ("limit: by hand, io_uring, cold", true, "uring-r"),
            ("limit: reading alone, cold", true, "readonly-uring"),
        ];
        rivals.extend(Rival::limits(programs, "s1", &ways, |name, cold, command| {
            rival(place, name, Mode::Limit, cold, command)
        }));
        rivals
    }
}

fn rival(
    place: &Place,
    name: &'static str,
    mode: Mode,
    cold: bool,
    command: Box<dyn Fn() -> std::process::Command>,
) -> Rival {
    let root = place.root().to_owned();
    let newest = move || -> Result<PathBuf, ScenarioError> { input::newest_folder(&root.join(OUTPUT)) };
    Rival {
        name,
        mode,
        cold,
        command,
        items: Box::new(|json| json["files"].as_f64().unwrap_or(0.0)),
        verify: {
            let input = place.root().join(INPUT);
            Box::new(move |_| input::verify(&input::manifest(&input)?, &newest()?))
        },
        more: |_, _| {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_give_what_the_generator_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), 0.006);
        Files.prepare(&place).unwrap();
        for case in ["sequential", "concurrent"] {
            let figures = Files.run(case, &place).unwrap();
            assert_eq!(figures.items, 12.0);
            assert!(figures.latency.is_some_and(|l| l.p50_ms > 0.0 && l.p50_ms <= l.p99_ms));
        }
        Files.chill(&place).unwrap();
        assert!(matches!(Files.run("backwards", &place), Err(ScenarioError::NoCase { .. })));
    }

    #[test]
    fn a_wrong_result_is_no_result() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), 0.001);
        Files.prepare(&place).unwrap();
        let list = folder.path().join("data/s1/manifest.csv");
        let text = std::fs::read_to_string(&list).unwrap();
        let rows = text.lines().nth(1).unwrap().split(',').nth(1).unwrap();
        let more = (rows.parse::<u64>().unwrap() + 1).to_string();
        std::fs::write(&list, text.replacen(&format!(",{rows},"), &format!(",{more},"), 1)).unwrap();
        let error = Files.run("sequential", &place).unwrap_err();
        assert!(matches!(&error, ScenarioError::Wrong { what, .. } if what.contains("rows")), "{error}");
    }
}
