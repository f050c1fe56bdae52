//! `tide bench`: the I/O scenarios, measured beside other programs where these are.

use super::Context;
use crate::{
    args::BenchArgs,
    exit::{CommandResult, Ending},
    observe, out,
    output::si,
    table::{Cell, Column, render},
};
use springtide_lab::{LabError, ledger::now_ms, report::export};
use springtide_runtime::{CancelHook, CancelToken};
use springtide_scenario::{
    Figures, Place, Programs, Report, Row, Scenario, ScenarioError, all, find,
    page::{self, number},
    run::{Plan, Role, measure},
    statement,
};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Measures the scenarios asked for; or, started by itself, plays one role of one scenario.
pub fn run(context: &Context, args: &BenchArgs) -> CommandResult {
    if args.case.is_some() || args.serve {
        let _visible = observe::serve(context.term, &context.seen);
        return play(args).map(|()| Ending::Ok).map_err(failed);
    }
    let scenarios: Vec<&dyn Scenario> = match args.scenarios.as_slice() {
        [] => all().to_vec(),
        names => names.iter().filter_map(|n| find(n)).collect(),
    };
    // What would be refused in the end is refused before anything is measured.
    args.out.as_deref().map(export::check_place).transpose()?;
    let plan = Plan { runs: args.runs, programs: programs(args)?, cancel: CancelToken::new() };
    let _cancels = context.signals.cancels(&plan.cancel)?;
    let root = Root::new(args)?;
    // At once, not only when all has come to its end: a person who insists ends the process before.
    let _removed = root.removed_by(&plan.cancel);
    let mut reports = Vec::new();
    for scenario in scenarios {
        let report = match one(context, scenario, &root.path, &plan, args.scale) {
            Err(_) if plan.cancel.is_cancelled() => {
                context.term.note("Interrupted; what was made for it is removed, unless --dir keeps it.");
                return Ok(Ending::Interrupted);
            }
            measured => measured.map_err(failed)?,
        };
        if args.json {
            println!("{}", serde_json::to_string(&report).unwrap_or_default());
        } else {
            print!("{}", text(context, &report));
        }
        reports.push(report);
    }
    // It compares with claims, which are about the full size.
    if !args.json
        && args.scale == 1.0
        && let Some(statement) = statement(&reports)
    {
        println!("{statement}");
    }
    if let Some(out) = &args.out {
        let made = format!("tide bench, {}", export::iso(now_ms()));
        let html = page::html(&reports, &made);
        export::write_file(out, |file| file.write_all(html.as_bytes()))?;
        context.term.note(&format!("wrote {}", out.display()));
    }
    Ok(Ending::Ok)
}

fn failed(error: ScenarioError) -> LabError {
    LabError::Data(format!("bench: {error}"))
}

fn one(
    context: &Context,
    scenario: &dyn Scenario,
    root: &Path,
    plan: &Plan,
    scale: f64,
) -> Result<Report, ScenarioError> {
    let name = scenario.about().name;
    let program = std::env::current_exe().map_err(ScenarioError::work)?;
    let launch = |role: Role, place: &Place| {
        let mut command = Command::new(&program);
        command.arg("bench").arg(name).arg("--dir").arg(place.root());
        command.arg("--scale").arg(place.scale().to_string());
        if let Ok(address) = place.address() {
            command.arg("--address").arg(address);
        }
        match role {
            Role::Case(case) => command.arg("--case").arg(case),
            Role::Server => command.arg("--serve"),
        };
        command
    };
    let mut progress = |who: &str, round: u32, rounds: u32| {
        if context.term.live {
            eprint!("\r\x1b[K{name}: run {round} of {rounds}: {who}");
        }
    };
    let report = measure(scenario, &Place::new(root, scale), plan, &launch, &mut progress);
    if context.term.live {
        eprint!("\r\x1b[K");
    }
    report
}

/// What the processes that [`one`] starts do.
fn play(args: &BenchArgs) -> Result<(), ScenarioError> {
    let scenario = args.scenarios.first().and_then(|n| find(n));
    let scenario =
        scenario.ok_or_else(|| ScenarioError::work("--case and --serve belong to one scenario"))?;
    let root = args.dir.clone().unwrap_or_else(|| PathBuf::from("."));
    let place = Place::new(root, args.scale).with_address(args.address.clone());
    if let Some(case) = &args.case {
        let figures: Figures = scenario.run(case, &place)?;
        println!("{}", serde_json::to_string(&figures).map_err(ScenarioError::work)?);
        return Ok(());
    }
    let mut announce = |address: &str| {
        println!("{address}");
        // A parent that does not listen any more ends this process by closing its stdin.
        out::flush();
    };
    let mut until_closed = || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    };
    scenario.serve(&place, &mut announce, &mut until_closed)
}

fn programs(args: &BenchArgs) -> Result<Option<Programs>, LabError> {
    let Some(folder) = &args.compare else { return Ok(None) };
    let full = |option: &str, path: &Path| {
        std::fs::canonicalize(path).map_err(|error| {
            LabError::Usage(format!("{option} {}: {error}: name a folder that is there", path.display()))
        })
    };
    let scripts = full("--compare", folder)?;
    let built = scripts.join("rs/target/release");
    let limits = match &args.limits {
        Some(folder) => Some(full("--limits", folder)?),
        None => built.is_dir().then_some(built),
    };
    Ok(Some(Programs { scripts, python: args.python.clone(), limits }))
}

/// The folder for input and output; one of our own is removed at the end.
struct Root {
    path: PathBuf,
    own: bool,
}

impl Root {
    fn new(args: &BenchArgs) -> Result<Self, LabError> {
        let (path, own) = match &args.dir {
            Some(path) => (path.clone(), false),
            None => (std::env::temp_dir().join(format!("tide-bench-{}", std::process::id())), true),
        };
        let made = std::fs::create_dir_all(&path).and_then(|()| std::fs::canonicalize(&path));
        Ok(Self { path: made.map_err(|source| LabError::File { path, source })?, own })
    }

    /// Removes the folder when `cancel` is cancelled, as long as the registration lives.
    fn removed_by(&self, cancel: &CancelToken) -> Option<CancelHook> {
        let path = self.path.clone();
        self.own.then(|| cancel.on_cancel(move || remove(&path)))
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if self.own {
            remove(&self.path);
        }
    }
}

fn remove(folder: &Path) {
    // What cannot be removed lies in the temporary folder, under a name that says what it was.
    let _ = std::fs::remove_dir_all(folder);
}

fn text(context: &Context, report: &Report) -> String {
    let paint = context.term.out();
    let mut out = format!("{}: {}\n", paint.bold(report.title), report.work);
    if report.scale != 1.0 {
        out += &paint
            .yellow(format!("Done at {} times this size: no figure is one of the full size.", report.scale));
        out += "\n";
    }
    let mut columns = vec![Column::left("contestant")];
    for title in [
        &format!("{}/s", report.unit),
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "CPU %",
        "waiting %",
        "disk stall %",
        "peak MB",
        "open",
    ] {
        columns.push(Column::right(title));
    }
    let rows: Vec<Vec<Cell>> = report.rows.iter().map(cells).collect();
    out += &render(&columns, &rows, usize::MAX, context.term.color_out);
    for row in report.rows.iter().filter(|row| !row.median.extra.is_empty()) {
        let extra = row.median.extra.iter().map(|(name, value)| format!("{name} {}", number(*value)));
        out += &format!("{}: {}\n", row.name, extra.collect::<Vec<_>>().join(", "));
    }
    for v in &report.verdicts {
        let sign = match v.met {
            _ if report.scale != 1.0 => paint.dim("scaled "),
            true => paint.green("reached"),
            false => paint.red("missed "),
        };
        out += &format!(
            "{sign}  {}: {} {} (at {} {} {})\n",
            v.what,
            number(v.found),
            v.unit,
            if v.at_least { "least" } else { "most" },
            number(v.wanted),
            v.unit
        );
    }
    // Claims are about the full size.
    for claim in report.claims.iter().filter(|_| report.scale == 1.0) {
        let said = page::verdict(claim);
        if !said.is_empty() {
            let c = &claim.claim;
            out += &format!("claimed  {}: {} {}: {said}\n", c.what, number(c.concurrent), c.unit);
        }
    }
    for skipped in &report.skipped {
        out += &format!("not run  {}: {}\n", skipped.name, skipped.reason);
    }
    out + "\n"
}

fn cells(row: &Row) -> Vec<Cell> {
    let f = &row.median;
    let latency = |read: fn(&springtide_scenario::Latency) -> f64| {
        f.latency.as_ref().map_or_else(|| "–".into(), |l| number(read(l)))
    };
    let name = if row.ours { format!("tide, {}", row.name) } else { row.name.clone() };
    vec![
        name.into(),
        if f.per_s >= 1e6 { si(f.per_s) } else { number(f.per_s) }.into(),
        latency(|l| l.p50_ms).into(),
        latency(|l| l.p95_ms).into(),
        latency(|l| l.p99_ms).into(),
        format!("{:.0}", f.cpu_pct).into(),
        format!("{:.0}", f.waiting_pct).into(),
        f.disk_stall_pct.map_or("–".into(), |x| format!("{x:.0}")).into(),
        format!("{:.1}", f.peak_memory as f64 / 1e6).into(),
        f.connections.map_or("–".into(), |n| n.to_string()).into(),
    ]
}
