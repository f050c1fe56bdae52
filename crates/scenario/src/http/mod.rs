//! Many requests to one server: fetch, parse, sum up.

mod server;
mod work;

use crate::{
    About, Case, Claim, Figures, Mode, Place, Programs, Rival, Scenario, ScenarioError, Target,
    claims::ClaimFigure,
};
use serde_json::Value;
use std::{process::Command, time::Duration};
use work::{CONNECTIONS, Job};

/// The server's time for one answer.
const LATENCY: Duration = Duration::from_millis(20);
/// Requests at full scale: one after another, at once, and at once for long.
const FEW: u64 = 200;
const MANY: u64 = 5_000;
const LONG: u64 = 50_000;

/// The scenario.
#[derive(Clone, Copy, Debug)]
pub struct Http;

static ABOUT: About = About {
    name: "http",
    title: "Many requests",
    work: "GETs of 2 KB of JSON (24 bars) from a local server that takes 20 ms for each: fetch, parse, sum; 5,000 and 50,000 over at \
           most 500 connections, 200 one after another. Flaky: 50,000 of which the first try of 5 % is refused (429, Retry-After: 1 s) \
           and of 1 % fails (500)",
    check: "number of bars and sum of volumes in whole numbers against the server's; every answer's id; in the flaky run the server's \
            count of answers given, so that none is lost and none asked for twice",
    unit: "requests",
    latency_of: "one request, from having a connection to its JSON being parsed, the last attempt alone; how long ours waited for \
                 connections to be made, and the p99 with that, is told beside it (aiohttp's and reqwest's times have it in them, the \
                 limit's do not); throughput has it in for all",
    cases: &[
        Case { name: "sequential", mode: Mode::Sequential, cold: false },
        Case { name: "concurrent", mode: Mode::Concurrent, cold: false },
        Case { name: "concurrent, 50,000", mode: Mode::Concurrent, cold: false },
        Case { name: "concurrent, flaky", mode: Mode::Concurrent, cold: false },
    ],
    targets: &[
        Target::faster("concurrent", "python, one by one", 380.0),
        Target::faster("concurrent", "python, aiohttp", 3.0),
        Target::p99_share("concurrent", "python, aiohttp", 1.0 / 3.0),
        Target::faster("concurrent", "limit: raw HTTP/1.1", 0.85),
        Target::p99_max("concurrent", 40.0),
        Target::faster("concurrent, 50,000", "limit: raw HTTP/1.1, 50,000", 0.85),
        Target::p99_max("concurrent, 50,000", 40.0),
        Target::faster("concurrent, flaky", "python, aiohttp, flaky", 4.0),
        Target::faster("concurrent, flaky", "limit: raw HTTP/1.1, flaky", 0.85),
    ],
    claims: &[
        Claim {
            what: "concurrent network requests",
            unit: "requests/s",
            sequential: 50.0,
            concurrent: 450.0,
            factor: 1.0,
            figure: ClaimFigure::PerSecond,
        },
        Claim {
            what: "mean response time",
            unit: "ms",
            sequential: 2_800.0,
            concurrent: 200.0,
            factor: 1.0,
            figure: ClaimFigure::Mean,
        },
        Claim {
            what: "95th percentile of the response time",
            unit: "ms",
            sequential: 2_300.0,
            concurrent: 150.0,
            factor: 1.0,
            figure: ClaimFigure::P95,
        },
        Claim {
            what: "99th percentile of the response time",
            unit: "ms",
            sequential: 3_100.0,
            concurrent: 350.0,
            factor: 1.0,
            figure: ClaimFigure::P99,
        },
        Claim {
            what: "connections at once",
            unit: "connections",
            sequential: 50.0,
            concurrent: 500.0,
            factor: 1.0,
            figure: ClaimFigure::Connections,
        },
    ],
    serves: true,
};

impl Scenario for Http {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn prepare(&self, _place: &Place) -> Result<(), ScenarioError> {
        Ok(())
    }

    fn run(&self, case: &str, place: &Place) -> Result<Figures, ScenarioError> {
        let base = format!("http://{}", place.address()?);
        let job = |count, flaky| Job { base, requests: place.scaled(count), flaky };
        match case {
            "sequential" => work::one_by_one(job(FEW, None)),
            "concurrent" => work::many_at_once(job(MANY, None)),
            "concurrent, 50,000" => work::many_at_once(job(LONG, None)),
            "concurrent, flaky" => work::many_at_once(job(LONG, Some(work::run_number()))),
            other => Err(ScenarioError::NoCase { scenario: ABOUT.name, case: other.into() }),
        }
    }

    fn serve(
        &self,
        _place: &Place,
        announce: &mut dyn FnMut(&str),
        stop: &mut dyn FnMut(),
    ) -> Result<(), ScenarioError> {
        server::serve(LATENCY, announce, stop)
    }

    fn rivals(&self, place: &Place, programs: &Programs) -> Vec<Rival> {
        let Ok(address) = place.address() else { return Vec::new() };
        let connections = CONNECTIONS.to_string();
        let arguments = |way: &'static str, count: u64, base: String| -> Vec<String> {
            let mut list: Vec<String> = way.split(' ').map(str::to_owned).collect();
            let count = place.scaled(count).to_string();
            for (name, value) in [("--n", count), ("--conns", connections.clone()), ("--base", base)] {
                list.extend([name.to_owned(), value]);
            }
            list
        };
        let mut rivals = Vec::new();
        for (name, mode, way, count) in [
            ("python, one by one", Mode::Sequential, "sync", FEW),
            ("python, aiohttp", Mode::Concurrent, "async", MANY),
            ("python, aiohttp, uvloop, orjson", Mode::Concurrent, "async --uvloop --orjson", MANY),
            ("python, aiohttp, 50,000", Mode::Concurrent, "async", LONG),
            ("python, aiohttp, flaky", Mode::Concurrent, "async --path flaky", LONG),
        ] {
            let (programs, list) = (programs.clone(), arguments(way, count, format!("http://{address}")));
            rivals.push(rival(name, mode, Box::new(move || programs.script("s2.py", &texts(&list)))));
        }
        for (name, mode, way, count) in [
            ("rust, reqwest", Mode::Concurrent, "reqwest", MANY),
            ("limit: raw HTTP/1.1", Mode::Limit, "raw", MANY),
            ("limit: raw HTTP/1.1, 50,000", Mode::Limit, "raw", LONG),
            ("limit: raw HTTP/1.1, flaky", Mode::Limit, "raw --path flaky", LONG),
        ] {
            let (programs, list) = (programs.clone(), arguments(way, count, address.to_owned()));
            if programs.limits.is_some() {
                let limit = move || programs.limit("s2", &texts(&list)).expect("there is a folder of limits");
                rivals.push(rival(name, mode, Box::new(limit)));
            }
        }
        rivals
    }
}

fn texts(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

/// The programs compare their sums with the server's themselves and fail when they differ.
fn rival(name: &'static str, mode: Mode, command: Box<dyn Fn() -> Command>) -> Rival {
    Rival {
        name,
        mode,
        cold: false,
        command,
        items: Box::new(|json| json["n"].as_f64().unwrap_or(0.0)),
        verify: Box::new(|_| Ok(())),
        more: |json: &Value, figures| {
            figures.latency = crate::compare::latency(json, "ms", 1.0);
            if let Some(retries) = json["retries"].as_f64().filter(|r| *r > 0.0) {
                figures.extra.insert("retries".into(), retries);
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    /// Runs `body` with the address of a server.
    fn with_server(body: impl FnOnce(&Place)) {
        let (tell, told) = channel();
        let (end, ended) = channel::<()>();
        std::thread::scope(|scope| {
            let serving = scope.spawn(move || {
                let mut announce = |address: &str| tell.send(address.to_owned()).unwrap();
                let mut stop = || assert!(ended.recv().is_err(), "it ends by the other side going");
                server::serve(Duration::from_millis(1), &mut announce, &mut stop)
            });
            let place = Place::new("", 0.01).with_address(Some(told.recv().unwrap()));
            body(&place);
            drop(end);
            serving.join().unwrap().unwrap();
        });
    }

    #[test]
    fn all_ways_give_what_the_server_expects() {
        with_server(|place| {
            for (case, requests, connections) in
                [("sequential", 2.0, 1..2), ("concurrent", 50.0, 2..51), ("concurrent, flaky", 500.0, 2..501)]
            {
                let figures = Http.run(case, place).unwrap();
                assert_eq!(figures.items, requests);
                assert!(
                    figures.latency.is_some_and(|l| l.p50_ms >= 1.0 && l.p50_ms <= l.p99_ms),
                    "{figures:?}"
                );
                assert!(figures.connections.is_some_and(|c| connections.contains(&c)), "{case}: {figures:?}");
                // The first of all had to wait for a connection.
                assert!(figures.extra["wait_for_connection_max_ms"] > 0.0, "{figures:?}");
                assert!(
                    figures.extra["p99_with_that_wait_ms"] >= figures.latency.unwrap().p99_ms,
                    "{figures:?}"
                );
                // 6 % of the ids, by chance of the seed.
                let retries = figures.extra.get("retries").copied();
                assert_eq!(
                    retries.is_some_and(|r| r > 10.0 && r < 60.0),
                    case.ends_with("flaky"),
                    "{retries:?}"
                );
            }
        });
    }

    #[test]
    fn a_server_that_is_not_there_gives_no_figures() {
        let place = Place::new("", 0.01);
        assert!(Http.run("concurrent", &place).unwrap_err().to_string().contains("not started"));
        let place = place.with_address(Some("127.0.0.1:1".into()));
        assert!(matches!(Http.run("backwards", &place), Err(ScenarioError::NoCase { .. })));
    }
}
