//! The program and something for it to work on.

use std::{
    path::Path,
    process::{Command, Output},
};

pub fn tide(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tide"))
        .args(args)
        .current_dir(folder)
        .env_remove("TIDE_WORKSPACE")
        .output()
        .expect("tide runs")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

pub fn bars(folder: &Path, name: &str) {
    let mut csv = String::from("time,open,high,low,close,volume\n");
    let mut price = 100.0f64;
    for i in 0..600i64 {
        let next = price + ((i as f64) / 9.0).sin() * 1.5;
        let (high, low) = (price.max(next) + 0.5, price.min(next) - 0.5);
        csv.push_str(&format!("{},{price:.2},{high:.2},{low:.2},{next:.2},1\n", 1_672_531_200 + i * 900));
        price = next;
    }
    std::fs::write(folder.join(name), csv).expect("writes");
}

pub const CROSS: &str = "//@version=5\nstrategy(\"Cross\", initial_capital = 10000)\nn = input.int(5, \"Fast\", minval = 2, maxval = 9)\n\
                     if ta.crossover(ta.sma(close, n), ta.sma(close, 20))\n    strategy.entry(\"L\", strategy.long)\n\
                     if ta.crossunder(ta.sma(close, n), ta.sma(close, 20))\n    strategy.close(\"L\")\n";
