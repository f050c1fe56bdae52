//! A stream of trades: read, sum up to bars, average, signal, at full speed, at a set pace, and too slowly.

mod feed;
mod signals;
mod trade;
mod work;

use crate::{
    About, Case, Claim, Figures, Mode, Place, Programs, Rival, Scenario, ScenarioError, Target,
    claims::ClaimFigure,
};
use feed::Trades;
use serde_json::Value;
use signals::Outcome;
use std::{path::PathBuf, process::Command, time::Duration};
use work::{Job, Way};

/// Trades at full scale: at full speed, one after another in Python, at a set pace, and for the slow.
const MANY: u64 = 1_000_000;
const SOME: u64 = 200_000;
const PACED: u64 = 100_000;
/// Trades per second where they are paced.
const RATE: u64 = 20_000;
/// And where the strategy is slow: twice what it can do.
const FLOOD: u64 = 100_000;
const SLOW_WORK: Duration = Duration::from_micros(20);

/// The scenario.
#[derive(Clone, Copy, Debug)]
pub struct Stream;

static ABOUT: About = About {
    name: "stream",
    title: "A stream of trades",
    work: "1,000,000 trades as JSON over WebSocket: bars of a second for each of 50 symbols, an average of 20, signals where the price \
           crosses it. At full speed; 100,000 of them at 20,000/s; 200,000 at 100,000/s with 20 µs of further work on each, twice \
           what one core can do",
    check: "trades, bars, signals and the sum of averages to nine decimals against a plain reckoning of the same trades; in the slow \
            runs that the queue kept its bound and every trade was read or counted as replaced",
    unit: "messages",
    latency_of: "one message, from when it was due to the end of the work on it",
    cases: &[
        Case { name: "sequential", mode: Mode::Sequential, cold: false },
        Case { name: "concurrent", mode: Mode::Concurrent, cold: false },
        Case { name: "concurrent, 20,000/s", mode: Mode::Concurrent, cold: false },
        Case { name: "slow, blocking", mode: Mode::Concurrent, cold: false },
        Case { name: "slow, conflating", mode: Mode::Concurrent, cold: false },
    ],
    targets: &[
        Target::faster("concurrent", "python, one by one", 50.0),
        Target::faster("concurrent", "python, websockets", 7.0),
        Target::faster("concurrent", "python, aiohttp", 7.0),
        Target::faster("concurrent", "limit: scanned fields", 0.3),
        Target::p99_max("concurrent, 20,000/s", 0.25),
        Target::p99_share("slow, conflating", "python, slow, unbounded queue", 0.01),
        Target::memory_max("slow, blocking", 30_000_000),
        Target::memory_max("slow, conflating", 30_000_000),
    ],
    claims: &[Claim {
        what: "real-time data stream",
        unit: "messages/s",
        sequential: 1_000.0,
        concurrent: 8_000.0,
        factor: 1.0,
        figure: ClaimFigure::PerSecond,
    }],
    serves: true,
};

impl Scenario for Stream {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn prepare(&self, place: &Place) -> Result<(), ScenarioError> {
        let counts = [MANY, SOME, PACED].map(|count| place.scaled(count) as usize);
        let missing: Vec<usize> = counts.into_iter().filter(|n| expected(place, *n).is_err()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let trades = Trades::new(place.scaled(MANY) as usize);
        for count in missing {
            let path = expected_path(place, count)?;
            let text = serde_json::to_string(&Outcome::of(&trades, count)?).map_err(ScenarioError::work)?;
            std::fs::write(&path, text).map_err(ScenarioError::at(&path))?;
        }
        Ok(())
    }

    fn run(&self, case: &str, place: &Place) -> Result<Figures, ScenarioError> {
        let job = |count, rate, way, work| Job { trades: place.scaled(count) as usize, rate, way, work };
        let job = match case {
            "sequential" => job(MANY, 0, Way::Alone, Duration::ZERO),
            "concurrent" => job(MANY, 0, Way::Block, Duration::ZERO),
            "concurrent, 20,000/s" => job(PACED, RATE, Way::Block, Duration::ZERO),
            "slow, blocking" => job(SOME, FLOOD, Way::Block, SLOW_WORK),
            "slow, conflating" => job(SOME, FLOOD, Way::Conflate, SLOW_WORK),
            other => return Err(ScenarioError::NoCase { scenario: ABOUT.name, case: other.into() }),
        };
        let (figures, outcome) = work::run(place.address()?, job)?;
        // Of a conflated stream nobody knows which trades will be seen.
        if job.way != Way::Conflate {
            ScenarioError::check("what came of the trades", expected(place, job.trades)?, outcome)?;
        }
        Ok(figures)
    }

    fn serve(
        &self,
        place: &Place,
        announce: &mut dyn FnMut(&str),
        stop: &mut dyn FnMut(),
    ) -> Result<(), ScenarioError> {
        feed::serve(Trades::new(place.scaled(MANY) as usize), announce, stop)
    }

    fn rivals(&self, place: &Place, programs: &Programs) -> Vec<Rival> {
        let mut rivals = Vec::new();
        for (name, mode, way, count) in [
            ("python, one by one", Mode::Sequential, "sync", SOME),
            ("python, websockets", Mode::Concurrent, "async", MANY),
            ("python, aiohttp", Mode::Concurrent, "async_aiohttp", MANY),
            ("python, aiohttp, uvloop, orjson", Mode::Concurrent, "async_aiohttp --uvloop --orjson", MANY),
            ("python, one by one, 20,000/s", Mode::Sequential, "sync --rate 20000", PACED),
            ("python, aiohttp, 20,000/s", Mode::Concurrent, "async_aiohttp --rate 20000", PACED),
            ("python, slow, unbounded queue", Mode::Concurrent, "slow --rate 100000 --work-us 20", SOME),
        ] {
            rivals.extend(rival(place, programs, name, mode, "s4.py", way, count));
        }
        for (name, mode, way, count) in [
            ("rust, tungstenite", Mode::Concurrent, "tungstenite", MANY),
            ("rust, fastwebsockets", Mode::Concurrent, "fastws", MANY),
            ("limit: scanned fields", Mode::Limit, "raw --json scan", MANY),
            ("limit: scanned fields, 20,000/s", Mode::Limit, "raw --json scan --rate 20000", PACED),
        ] {
            rivals.extend(rival(place, programs, name, mode, "s4", way, count));
        }
        rivals
    }
}

fn expected_path(place: &Place, count: usize) -> Result<PathBuf, ScenarioError> {
    Ok(place.folder("data/s4")?.join(format!("of-{count}.json")))
}

fn expected(place: &Place, count: usize) -> Result<Outcome, ScenarioError> {
    let path = expected_path(place, count)?;
    let text = std::fs::read_to_string(&path).map_err(ScenarioError::at(&path))?;
    serde_json::from_str(&text).map_err(|e| ScenarioError::work(format!("{}: {e}", path.display())))
}

/// A Python program, or one of the limits where there are any. What each says of trades, bars, signals and averages
/// must be what we expect of our own.
fn rival(
    place: &Place,
    programs: &Programs,
    name: &'static str,
    mode: Mode,
    file: &'static str,
    way: &'static str,
    count: u64,
) -> Option<Rival> {
    let (address, count) = (place.address().ok()?.to_owned(), place.scaled(count) as usize);
    let is_script = file.ends_with(".py");
    if !is_script && programs.limits.is_none() {
        return None;
    }
    let programs = programs.clone();
    let command = move || -> Command {
        let count = count.to_string();
        let mut list: Vec<&str> = way.split(' ').collect();
        list.extend(["--n", &count, "--host", &address]);
        if is_script {
            return programs.script(file, &list);
        }
        programs.limit(file, &list).expect("there is a folder of limits")
    };
    let place = place.clone();
    Some(Rival {
        name,
        mode,
        cold: false,
        command: Box::new(command),
        items: Box::new(|json| json["msgs"].as_f64().unwrap_or(0.0)),
        verify: Box::new(move |json: &Value| {
            let found: Outcome = serde_json::from_value(json.clone()).map_err(ScenarioError::work)?;
            ScenarioError::check("what came of the trades", expected(&place, count)?, found)
        }),
        more: |json, figures| {
            figures.latency = crate::compare::latency(json, "us", 1_000.0);
            figures.connections = Some(1);
            if let Some(most) = json["queue_peak"].as_f64().filter(|n| *n > 0.0) {
                figures.extra.insert("most queued, messages".into(), most);
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn all_ways_give_what_a_plain_reckoning_gives() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), 0.002);
        Stream.prepare(&place).unwrap();
        let (tell, told) = channel();
        let (end, ended) = channel::<()>();
        std::thread::scope(|scope| {
            let server = place.clone();
            let serving = scope.spawn(move || {
                let mut announce = |address: &str| tell.send(address.to_owned()).unwrap();
                let mut stop = || assert!(ended.recv().is_err(), "it ends by the other side going");
                Stream.serve(&server, &mut announce, &mut stop)
            });
            let place = place.with_address(Some(told.recv().unwrap()));
            for case in ABOUT.cases {
                let figures = Stream.run(case.name, &place).unwrap();
                let timed = figures.latency.is_some_and(|l| l.p50_ms > 0.0 && l.p50_ms <= l.p99_ms);
                assert_eq!(timed, !["sequential", "concurrent"].contains(&case.name), "{}", case.name);
                let replaced = figures.extra.get("replaced by newer ones").copied().unwrap_or(0.0);
                let given = if case.name.starts_with("slow") { 400.0 } else { figures.items };
                assert_eq!(figures.items + replaced, given, "{}", case.name);
            }
            // A result that is not what it should be counts for nothing.
            std::fs::write(
                expected_path(&place, 2_000).unwrap(),
                r#"{"msgs":1,"bars":0,"signals":0,"ema":""}"#,
            )
            .unwrap();
            let error = Stream.run("concurrent", &place).unwrap_err();
            assert!(matches!(error, ScenarioError::Wrong { .. }), "{error}");
            drop(end);
            serving.join().unwrap().unwrap();
        });
    }
}
