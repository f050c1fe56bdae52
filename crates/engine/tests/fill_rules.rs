//! One strategy, five engines: with their rules declared, our broker gives each one's equity to the cent.
//!
//! Figures measured on the released versions of the engines named; see `docs/broker-rules.md`.

use springtide_domain::{BarsView, OwnedBars, SymbolInfo};
use springtide_engine::{
    Account, Commission, QtyType, Rules, Side,
    broker::{Broker, CloseCommand, EntryCommand, ExitCommand, NameId, OcaKind, Simulation},
};

fn btc() -> Option<OwnedBars> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/BTC-USD-15m.csv");
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("SKIPPED: {path} is not there");
        return None;
    };
    let mut bars = OwnedBars::default();
    for (i, line) in text.lines().skip(1).enumerate() {
        let v: Vec<f64> = line.split(',').skip(1).filter_map(|x| x.trim().parse().ok()).collect();
        bars.push(1_672_531_200_000 + i as i64 * 900_000, v[0], v[1], v[2], v[3], v[4]);
    }
    Some(bars)
}

/// Rolling mean, the oldest value taken off before the newest is added: the order of summation decides a
/// tie near bar 398, and this is the order whose result the engines share.
fn sma(close: &[f64], n: usize) -> Vec<f64> {
    let mut sum = 0.0;
    (0..close.len())
        .map(|i| {
            if i >= n {
                sum -= close[i - n];
            }
            sum += close[i];
            if i + 1 >= n { sum / n as f64 } else { f64::NAN }
        })
        .collect()
}

fn rsi(close: &[f64], n: usize) -> Vec<f64> {
    let mut out = vec![f64::NAN; close.len()];
    let (mut up, mut down) = (0.0, 0.0);
    for i in 1..close.len() {
        let change = close[i] - close[i - 1];
        let (u, d) = (change.max(0.0), (-change).max(0.0));
        if i <= n {
            (up, down) = (up + u / n as f64, down + d / n as f64);
        } else {
            (up, down) = ((up * (n - 1) as f64 + u) / n as f64, (down * (n - 1) as f64 + d) / n as f64);
        }
        if i >= n {
            out[i] = if down == 0.0 { 100.0 } else { 100.0 - 100.0 / (1.0 + up / down) };
        }
    }
    out
}

fn account() -> Account {
    Account {
        initial_capital: 100_000.0,
        qty_type: QtyType::PercentOfEquity,
        qty_value: 100.0,
        commission: Commission::Percent(0.1),
        ..Account::default()
    }
}

const LONG: NameId = NameId(1);

fn buy() -> EntryCommand {
    EntryCommand {
        id: LONG,
        comment: NameId(0),
        side: Side::Long,
        qty: None,
        limit: None,
        stop: None,
        oca_name: NameId(0),
        oca: OcaKind::None,
        is_entry: true,
    }
}

fn sell() -> CloseCommand {
    CloseCommand { id: Some(LONG), comment: NameId(0), qty: None, qty_percent: None, immediately: false }
}

fn run(bars: BarsView<'_>, rules: &Rules, mut script: impl FnMut(&mut Broker<'_>, usize)) -> Simulation {
    let symbol = SymbolInfo::default();
    let mut broker = Broker::new(bars, &account(), rules, &symbol);
    for i in 0..bars.len() {
        broker.open_bar(i);
        script(&mut broker, i);
        broker.close_bar(i);
    }
    broker.finish()
}

fn final_equity(bars: BarsView<'_>, s: &Simulation) -> f64 {
    s.segments.last().map_or(100_000.0, |g| g.base + g.slope * bars.close[bars.len() - 1])
}

#[test]
fn the_sma_cross_equals_vectorbt_and_nautilus() {
    let Some(bars) = btc() else { return };
    let view = bars.view();
    let (fast, slow) = (sma(view.close, 10), sma(view.close, 30));
    let above = |i: usize| fast[i].partial_cmp(&slow[i]);
    // nautilus rounds quantities and money to decimals, which moves 684 round trips by some cents.
    for (preset, want, within, entries) in
        [("vectorbt", 36_322.73, 0.005, Some(684)), ("nautilus", 36_422.70, 0.05, None)]
    {
        let result = run(view, &Rules::preset(preset).unwrap(), |broker, i| {
            let Some((before, now)) = i.checked_sub(1).and_then(above).zip(above(i)) else { return };
            if before.is_lt() && now.is_gt() && broker.position_size() == 0.0 {
                broker.entry(buy());
            }
            if before.is_gt() && now.is_lt() {
                broker.close(sell());
            }
        });
        let equity = final_equity(view, &result);
        assert!((equity - want).abs() < within, "{preset}: {equity}");
        if let Some(entries) = entries {
            assert_eq!(result.trades.len() + result.open.len(), entries, "{preset}");
        }
    }
}

#[test]
fn rsi_with_stop_and_target_gives_each_engines_equity() {
    let Some(bars) = btc() else { return };
    let view = bars.view();
    let rsi = rsi(view.close, 14);
    let mut wrong = Vec::new();
    for (preset, want, trades) in [
        ("wickra", 81_353.96, 159),
        ("backtesting_py", 81_153.29, 159),
        ("backtrader", 82_320.01, 158),
        ("vectorbt", 84_836.66, 158),
        ("nautilus", 80_918.97, 159),
    ] {
        let result = run(view, &Rules::preset(preset).unwrap(), |broker, i| {
            if i == 0 {
                return;
            }
            if rsi[i - 1] >= 30.0 && rsi[i] < 30.0 && broker.position_size() == 0.0 {
                broker.entry(buy());
                let close = view.close[i];
                broker.exit(ExitCommand {
                    id: NameId(2),
                    from_entry: LONG,
                    stop: Some(close * 0.98),
                    limit: Some(close * 1.04),
                    ..ExitCommand::default()
                });
            }
            if rsi[i - 1] <= 70.0 && rsi[i] > 70.0 {
                broker.close(sell());
            }
        });
        let equity = final_equity(view, &result);
        if (equity - want).abs() >= 0.005 || result.trades.len() != trades {
            wrong.push(format!(
                "{preset}: {equity:.2} with {} trades, not {want} with {trades}",
                result.trades.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
