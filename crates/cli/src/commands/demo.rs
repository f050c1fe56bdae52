//! `tide demo`: from nothing to a ranked report in one command.

use super::{Context, backtest};
use crate::{
    args::{BacktestArgs, Cli, Command, DemoArgs},
    exit::CommandResult,
    workspace::Workspace,
};
use clap::Parser;
use springtide_lab::{LabError, market};
use std::path::Path;

/// The shipped strategies, as files in the demo's folder.
const STRATEGIES: &[(&str, &str)] = &[
    ("adaptive_kama.pine", include_str!("../../../../strategies/adaptive_kama.pine")),
    ("bollinger_fade.pine", include_str!("../../../../strategies/bollinger_fade.pine")),
    ("donchian_breakout.pine", include_str!("../../../../strategies/donchian_breakout.pine")),
    ("macd_momentum.pine", include_str!("../../../../strategies/macd_momentum.pine")),
    ("mtf_pullback.pine", include_str!("../../../../strategies/mtf_pullback.pine")),
    ("rsi_reversion.pine", include_str!("../../../../strategies/rsi_reversion.pine")),
    ("session_open_range.pine", include_str!("../../../../strategies/session_open_range.pine")),
    ("sma_cross.pine", include_str!("../../../../strategies/sma_cross.pine")),
    ("supertrend_trail.pine", include_str!("../../../../strategies/supertrend_trail.pine")),
    ("turtle_pyramid.pine", include_str!("../../../../strategies/turtle_pyramid.pine")),
];

/// Makes the folder, the bars and the strategies; runs everything; says what to do next.
pub fn run(context: &Context, args: &DemoArgs) -> CommandResult {
    let folder = &args.folder;
    refuse_foreign(folder)?;
    let strategies = folder.join("strategies");
    make(&strategies)?;
    for (name, text) in STRATEGIES {
        let path = strategies.join(name);
        std::fs::write(&path, text).map_err(|source| LabError::File { path, source })?;
    }
    let workspace = Workspace::at(folder);
    let made = market::make_samples(&workspace.data(), args.seed)?;
    make(&folder.join(".tide"))?;
    context.term.note(&format!(
        "{}: {} strategies, {} sample markets (made from seed {}: no real prices)",
        folder.display(),
        STRATEGIES.len(),
        made,
        args.seed
    ));
    let report = folder.join("report.html");
    let inner = Context { workspace, ..context.clone() };
    let ending = backtest::run(&inner, &arguments(&strategies, &report, args)?)?;
    next_step(context, folder, &report);
    Ok(ending)
}

/// Only an empty, a new or an earlier demo folder is written to.
fn refuse_foreign(folder: &Path) -> Result<(), LabError> {
    let used = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if used && !folder.join(".tide").is_dir() {
        return Err(LabError::Usage(format!(
            "{} exists and is no tide workspace: name another folder, `tide demo DIR`",
            folder.display()
        )));
    }
    Ok(())
}

fn make(folder: &Path) -> Result<(), LabError> {
    std::fs::create_dir_all(folder).map_err(|source| LabError::File { path: folder.to_owned(), source })
}

/// The demo is the main command with arguments, not a second path.
fn arguments(strategies: &Path, report: &Path, args: &DemoArgs) -> Result<BacktestArgs, LabError> {
    let mut line: Vec<String> = vec!["tide".into(), "backtest".into(), strategies.display().to_string()];
    line.extend(["--out".into(), report.display().to_string()]);
    if let Some(jobs) = args.jobs {
        line.extend(["-j".into(), jobs.to_string()]);
    }
    match Cli::try_parse_from(line).map(|cli| cli.command) {
        Ok(Command::Backtest(args)) => Ok(*args),
        _ => Err(LabError::Usage("the demo's own command line does not parse".into())),
    }
}

fn next_step(context: &Context, folder: &Path, report: &Path) {
    let paint = context.term.err();
    context.term.note(&format!(
        "\nOpen {} in a browser. Then, with your own bars (CSV, Parquet or Arrow):",
        report.display()
    ));
    context.term.note_painted(&format!(
        "  {}",
        paint.bold(format!(
            "tide backtest {} --data YOUR.csv --sweep-inputs --out report.html",
            folder.join("strategies/sma_cross.pine").display()
        ))
    ));
}
