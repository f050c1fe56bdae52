//! `cargo xtask pages`: makes the demo's report and opens it in a real browser.

use std::{path::Path, process::Command};

/// What the page must hold once its script has run: nothing of it stands in the file itself.
const EXPECTED: &[&str] = &[
    "<canvas",
    ">Leaderboard",
    ">Equity and drawdown",
    ">Trades on candles",
    ">Monthly returns",
    ">Deepest drawdowns",
];

/// Fails when the demo fails or the page does not draw. Without a browser the drawing is skipped, loudly.
pub fn check(root: &Path) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| format!("temporary folder: {e}"))?;
    let demo = folder.path().join("demo");
    let made = Command::new("cargo")
        .args([
            "run",
            "--quiet",
            "--locked",
            "--package",
            "springtide-cli",
            "--bin",
            "tide",
            "--",
            "-q",
            "demo",
        ])
        .arg(&demo)
        .current_dir(root)
        .output()
        .map_err(|e| format!("tide demo: {e}"))?;
    if !made.status.success() {
        return Err(format!("tide demo failed: {}", String::from_utf8_lossy(&made.stderr)));
    }
    let page = demo.join("report.html");
    let dom = match open(&page, folder.path()) {
        Ok(dom) => dom,
        Err(why) => {
            println!("SKIPPED: no chromium ({why}): the report was made but not drawn");
            return Ok(());
        }
    };
    let missing: Vec<&str> = EXPECTED.iter().copied().filter(|text| !dom.contains(text)).collect();
    if missing.is_empty() {
        println!("{} draws in a browser", page.display());
        return Ok(());
    }
    Err(format!("the report does not show {}", missing.join(", ")))
}

/// The page's elements after its script has run.
fn open(page: &Path, folder: &Path) -> Result<String, String> {
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", folder.join("browser").display()))
        .args(["--virtual-time-budget=4000", "--dump-dom"])
        .arg(format!("file://{}", page.display()))
        .output()
        .map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
