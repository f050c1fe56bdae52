//! The workspace: ledger, bars, the folder for sockets.

use super::finding::Finding;
use crate::{observe, output::group, workspace::Workspace};
use springtide_io::db::DbError;
use springtide_lab::{
    LabError,
    ledger::{Ledger, now_ms},
    market,
};

/// What to do about a workspace that can only be read.
const WRITABLE: &str = "make the folder writable, or name another workspace: --workspace";

/// All of them.
pub fn findings(workspace: &Workspace) -> Vec<Finding> {
    let mut found = ledger(workspace);
    found.extend(data(workspace));
    found.push(sockets());
    found
}

fn ledger(workspace: &Workspace) -> Vec<Finding> {
    let path = workspace.ledger_path();
    if std::fs::metadata(&path).is_ok_and(|meta| meta.len() == 0) {
        let detail = format!("{} is empty: it was begun and nothing was ever written to it", path.display());
        let fix = "make room on its disk if that is full, then delete the file: nothing is lost, and the next `tide \
                   backtest` makes a new one";
        return vec![Finding::warning("ledger", detail, fix)];
    }
    let ledger = match workspace.ledger_if_there() {
        Ok(Some(ledger)) => ledger,
        Ok(None) => return vec![Finding::info("ledger", "none yet: the first `tide backtest` makes it")],
        Err(error @ LabError::Database(DbError::NoRoom { .. })) => {
            let fix = "make room on its disk, or keep the workspace elsewhere: --workspace";
            return vec![Finding::error("ledger", error.to_string(), fix)];
        }
        Err(error @ LabError::Database(DbError::ReadOnly { .. })) => {
            return vec![Finding::error("ledger", error.to_string(), WRITABLE)];
        }
        Err(error) => {
            let fix = "put a backup in its place (`tide ledger backup` makes them), or move the file away";
            return vec![Finding::error("ledger", error.to_string(), fix)];
        }
    };
    let mut found = vec![integrity(&ledger), order_of_time(&ledger)];
    if ledger.database().is_read_only() {
        let detail = format!("{} can be read, not written: no backtest can be kept there", path.display());
        found.push(Finding::warning("ledger", detail, WRITABLE));
    }
    found
}

fn integrity(ledger: &Ledger) -> Finding {
    let fix = "put a backup in its place (`tide ledger backup` makes them), or recover what is left with `sqlite3 \
               FILE .recover`";
    let path = ledger.database().path().display().to_string();
    match (ledger.database().check(), ledger.counts()) {
        (Ok(problems), Ok(counts)) if problems.is_empty() => {
            let runs: u64 = counts.iter().map(|(_, n)| n).sum();
            Finding::ok("ledger", format!("sound, {} runs in {path}", group(runs as f64, 0)))
        }
        (Ok(problems), Ok(_)) => Finding::error("ledger", format!("{path}: {}", problems.join("; ")), fix),
        (Err(error), _) => Finding::error("ledger", error.to_string(), fix),
        (_, Err(error)) => Finding::error("ledger", error.to_string(), fix),
    }
}

/// A clock that was set back shows in what the ledger has already.
fn order_of_time(ledger: &Ledger) -> Finding {
    let check = "ledger-time";
    match ledger.jobs(1) {
        Ok(jobs) => match jobs.first().map(|j| j.finished_ms.unwrap_or(j.started_ms)) {
            Some(last) if last > now_ms() => Finding::warning(
                check,
                format!("the last job was recorded {} s in the future", (last - now_ms()) / 1_000),
                "set the clock right",
            ),
            _ => Finding::ok(check, "no job lies in the future"),
        },
        Err(error) => Finding::error(check, error.to_string(), "see `ledger` above"),
    }
}

fn data(workspace: &Workspace) -> Vec<Finding> {
    let folder = workspace.data();
    let listed = market::list(&folder).and_then(|listing| Ok((listing, market::check(&folder)?)));
    let (listing, findings) = match listed {
        Ok(both) => both,
        Err(error) => {
            return vec![Finding::error("data", error.to_string(), "name another folder: --workspace")];
        }
    };
    let count = listing.entries.len();
    let mut list: Vec<Finding> = findings
        .iter()
        .map(|f| {
            let detail = format!("{}: {}: {}", f.path.display(), f.code, f.message);
            match market::is_error(f) {
                true => Finding::error("data", detail, f.hint.clone()),
                false => Finding::warning("data", detail, f.hint.clone()),
            }
        })
        .collect();
    if list.is_empty() {
        list.push(match count {
            0 => Finding::info("data", "no bars imported: `tide data import FILE.csv`"),
            _ => Finding::ok("data", format!("{count} sets of bars, all with the checksum they carry")),
        });
    }
    list
}

fn sockets() -> Finding {
    match observe::folder_state() {
        Ok(folder) => Finding::ok("sockets", format!("running processes can be watched through {folder}")),
        Err(problem) => Finding::warning("sockets", problem, "make the folder, owned by you, with mode 0700"),
    }
}
