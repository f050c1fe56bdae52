//! Random orders on random bars under random rules never break the books, and neither leaping over silent bars nor
//! filling market orders straight at the next open changes anything.
//!
//! `PROPTEST_CASES=20000 cargo test --release -p springtide-engine --test books` looks longer.

use proptest::prelude::*;
use springtide_domain::{BarsView, OwnedBars, SymbolInfo};
use springtide_engine::{
    Account, Commission, QtyType, Rules, Side, Slippage,
    broker::{Broker, CloseCommand, EntryCommand, ExitCommand, NameId, OcaKind, RiskRule, Simulation},
    metrics::{self, Calendar, MetricsInput, equity_curve},
    rules::{self, PRESETS},
};

#[derive(Clone, Debug)]
enum Command {
    Entry(EntryCommand, [Option<i32>; 2]),
    Exit(ExitCommand, [Option<i32>; 3]),
    Close(CloseCommand),
    Cancel(NameId),
    CancelAll,
    Risk(RiskRule),
}

/// Bars of whole ticks around 100, sometimes with gaps.
fn bars() -> impl Strategy<Value = OwnedBars> {
    let bar = (-30..30i32, 0..60i32, 0..60i32, 0..=100i32, prop_oneof![4 => Just(0i32), 1 => -150..150i32]);
    prop::collection::vec(bar, 20..120).prop_map(|steps| {
        let mut bars = OwnedBars::default();
        let mut last = 10_000i32;
        for (i, (body, up, down, _, gap)) in steps.into_iter().enumerate() {
            let open = (last + gap).max(500);
            let close = (open + body).max(500);
            let (high, low) = (open.max(close) + up, (open.min(close) - down).max(1));
            let price = |ticks: i32| f64::from(ticks) / 100.0;
            bars.push(i as i64 * 6 * 3_600_000, price(open), price(high), price(low), price(close), 1.0);
            last = close;
        }
        bars
    })
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Long), Just(Side::Short)]
}

fn id() -> impl Strategy<Value = NameId> {
    (1..4u32).prop_map(NameId)
}

/// Distance from the close in ticks.
fn level() -> impl Strategy<Value = Option<i32>> {
    prop_oneof![1 => Just(None), 1 => (-120..120i32).prop_map(Some)]
}

fn qty() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![2 => Just(None), 1 => (0..400u32).prop_map(|q| Some(f64::from(q) / 7.0))]
}

fn ticks() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![2 => Just(None), 1 => (0..90u32).prop_map(|t| Some(f64::from(t)))]
}

fn entry() -> impl Strategy<Value = Command> {
    let oca = prop_oneof![Just(OcaKind::None), Just(OcaKind::Cancel), Just(OcaKind::Reduce)];
    (id(), side(), qty(), level(), level(), oca, any::<bool>()).prop_map(
        |(id, side, qty, limit, stop, oca, is_entry)| {
            let oca_name = NameId(if oca == OcaKind::None { 0 } else { 9 });
            let comment = NameId(0);
            let command =
                EntryCommand { id, comment, side, qty, limit: None, stop: None, oca_name, oca, is_entry };
            Command::Entry(command, [limit, stop])
        },
    )
}

fn exit() -> impl Strategy<Value = Command> {
    let from = (0..4u32).prop_map(NameId);
    let percent = prop_oneof![2 => Just(None), 1 => (1..=100u32).prop_map(|p| Some(f64::from(p)))];
    let distances = (ticks(), ticks(), ticks(), ticks());
    (id(), from, qty(), percent, level(), level(), level(), distances).prop_map(
        |(
            id,
            from_entry,
            qty,
            qty_percent,
            limit,
            stop,
            trail,
            (profit, loss, trail_points, trail_offset),
        )| {
            let command = ExitCommand {
                id: NameId(id.0 + 10),
                from_entry,
                qty,
                qty_percent,
                profit,
                loss,
                trail_points,
                trail_offset,
                ..ExitCommand::default()
            };
            Command::Exit(command, [limit, stop, trail])
        },
    )
}

fn command() -> impl Strategy<Value = Command> {
    let close = (prop::option::of(id()), qty(), any::<bool>()).prop_map(|(id, qty, immediately)| {
        Command::Close(CloseCommand { id, comment: NameId(0), qty, qty_percent: None, immediately })
    });
    let risk = prop_oneof![
        Just(RiskRule::AllowEntryIn(Some(Side::Long))),
        Just(RiskRule::MaxPositionSize(30.0)),
        Just(RiskRule::MaxDrawdown { value: 40.0, percent: true }),
        Just(RiskRule::MaxIntradayLoss { value: 10.0, percent: true }),
        Just(RiskRule::MaxConsLossDays(3.0)),
        Just(RiskRule::MaxIntradayFilledOrders(4.0)),
    ];
    prop_oneof![
        8 => entry(),
        6 => exit(),
        4 => close,
        1 => id().prop_map(Command::Cancel),
        1 => Just(Command::CancelAll),
        1 => risk.prop_map(Command::Risk),
    ]
}

/// Commands by bar.
fn script() -> impl Strategy<Value = Vec<(usize, Command)>> {
    prop::collection::vec((0..120usize, command()), 0..40).prop_map(|mut all| {
        all.sort_by_key(|(bar, _)| *bar);
        all
    })
}

fn setting() -> impl Strategy<Value = (Account, Rules)> {
    let size = prop_oneof![
        (1..40u32).prop_map(|v| (QtyType::Fixed, f64::from(v))),
        (100..20_000u32).prop_map(|v| (QtyType::Cash, f64::from(v))),
        (5..=150u32).prop_map(|v| (QtyType::PercentOfEquity, f64::from(v))),
    ];
    let commission = prop_oneof![
        Just(Commission::Percent(0.0)),
        Just(Commission::Percent(0.1)),
        Just(Commission::PerContract(0.05)),
        Just(Commission::PerOrder(2.0)),
    ];
    let slippage =
        prop_oneof![Just(Slippage::Ticks(0.0)), Just(Slippage::Ticks(3.0)), Just(Slippage::Percent(0.05))];
    let margin = prop_oneof![Just(0.0), Just(100.0), Just(20.0)];
    let flags = (any::<bool>(), any::<bool>(), 0..4u32, 0..3u32);
    (size, commission, slippage, margin, flags, rules()).prop_map(
        |(size, commission, slippage, margin, flags, rules)| {
            let account = Account {
                initial_capital: 10_000.0,
                qty_type: size.0,
                qty_value: size.1,
                commission,
                slippage,
                margin_long: margin,
                margin_short: margin,
                process_orders_on_close: flags.0,
                close_entries_any: flags.1,
                pyramiding: flags.2,
                limit_verify_ticks: flags.3,
                ..Account::default()
            };
            (account, rules)
        },
    )
}

/// A preset as it is, or with any of its rules changed.
fn rules() -> impl Strategy<Value = Rules> {
    let preset = prop::sample::select(PRESETS).prop_map(|name| Rules::preset(name).unwrap());
    let changes = prop::collection::vec(any::<Option<prop::sample::Index>>(), Rules::KEYS.len());
    let changed = (preset.clone(), changes).prop_map(|(mut rules, changes)| {
        for (key, change) in Rules::KEYS.iter().zip(changes) {
            if let Some(change) = change {
                let choices = choices(key);
                rules.set(&format!("{key}={}", choices[change.index(choices.len())])).unwrap();
            }
        }
        rules
    });
    prop_oneof![preset, changed]
}

/// What a rule may be, as its error message says.
fn choices(key: &str) -> Vec<&'static str> {
    match Rules::default().set(&format!("{key}=?")) {
        Err(rules::RuleError::Value { choices, .. }) => choices,
        other => panic!("{key}: {other:?}"),
    }
}

fn apply(broker: &mut Broker<'_>, bars: BarsView<'_>, i: usize, command: &Command) {
    let price = |ticks: Option<i32>| ticks.map(|t| bars.close[i] + f64::from(t) / 100.0);
    match command {
        Command::Entry(c, [limit, stop]) => {
            broker.entry(EntryCommand { limit: price(*limit), stop: price(*stop), ..*c })
        }
        Command::Exit(c, [limit, stop, trail]) => {
            broker.exit(ExitCommand {
                limit: price(*limit),
                stop: price(*stop),
                trail_price: price(*trail),
                ..*c
            });
        }
        Command::Close(c) => broker.close(*c),
        Command::Cancel(id) => broker.cancel(*id),
        Command::CancelAll => broker.cancel_all(),
        Command::Risk(rule) => broker.risk(*rule),
    }
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-7 * a.abs().max(b.abs()).max(1.0)
}

fn check_books(
    broker: &mut Broker<'_>,
    bars: BarsView<'_>,
    symbol: &SymbolInfo,
    i: usize,
) -> Result<(), TestCaseError> {
    let close = bars.close[i];
    let (position, equity) = (broker.position_size(), broker.equity());
    let mut value = 0.0;
    let mut held = 0.0;
    for t in broker.open_trades() {
        prop_assert!(
            t.qty > 0.0 && t.max_runup >= 0.0 && t.max_drawdown >= 0.0 && t.commission >= 0.0,
            "{t:?}"
        );
        let profit = t.side.sign() * t.qty * (close - t.entry_price) * symbol.point_value;
        prop_assert!(
            profit <= t.max_runup + 1e-6 && -profit <= t.max_drawdown + 1e-6,
            "bar {i}: {t:?} at {close}"
        );
        held += t.side.sign() * t.qty;
        value += profit - t.commission;
    }
    prop_assert!(near(held, position), "{held} in trades, position {position}");
    let closed: f64 = broker.closed_trades().iter().map(|t| t.profit).sum();
    let open_fees: f64 = broker.open_trades().iter().map(|t| t.commission).sum();
    prop_assert!(near(closed - open_fees, broker.net_profit()));
    prop_assert!(near(broker.gross_profit() - broker.gross_loss(), closed));
    prop_assert!(near(broker.initial_capital() + closed + value, equity), "bar {i}");
    let sides = broker.open_trades().iter().map(|t| t.side).collect::<Vec<_>>();
    prop_assert!(sides.windows(2).all(|w| w[0] == w[1]), "one side at a time: {sides:?}");
    Ok(())
}

fn check_result(
    s: &Simulation,
    bars: BarsView<'_>,
    account: &Account,
    symbol: &SymbolInfo,
) -> Result<(), TestCaseError> {
    let paid: f64 = s.trades.iter().map(|t| t.commission).chain(s.open.iter().map(|t| t.commission)).sum();
    prop_assert!(near(paid, s.commission_paid));
    let slip = |price: f64| match account.slippage {
        Slippage::Ticks(t) => t * 0.01,
        Slippage::Percent(p) => price * p / 100.0,
    };
    for t in &s.trades {
        prop_assert!(t.qty > 0.0 && t.entry_bar <= t.exit_bar && t.entry_seq < t.exit_seq, "{t:?}");
        for (bar, price) in [(t.entry_bar as usize, t.entry_price), (t.exit_bar as usize, t.exit_price)] {
            let (low, high) = (bars.low[bar], bars.high[bar]);
            let slack = slip(price) * 1.01 + 1e-9;
            prop_assert!(price >= low - slack && price <= high + slack, "bar {bar} {low}..{high}: {t:?}");
        }
        let gross = t.side.sign() * t.qty * (t.exit_price - t.entry_price) * symbol.point_value;
        prop_assert!(near(gross - t.commission, t.profit));
        prop_assert!(gross <= t.max_runup + 1e-6 && -gross <= t.max_drawdown + 1e-6, "{t:?}");
    }
    prop_assert!(s.segments.windows(2).all(|w| w[0].from_bar < w[1].from_bar));
    Ok(())
}

/// Bar by bar.
fn step(
    bars: BarsView<'_>,
    account: &Account,
    rules: &Rules,
    symbol: &SymbolInfo,
    script: &[(usize, Command)],
) -> Result<Simulation, TestCaseError> {
    let mut broker = Broker::new(bars, account, rules, symbol);
    let mut curve = Vec::new();
    for i in 0..bars.len() {
        broker.open_bar(i);
        check_books(&mut broker, bars, symbol, i)?;
        script.iter().filter(|(bar, _)| *bar == i).for_each(|(_, c)| apply(&mut broker, bars, i, c));
        broker.close_bar(i);
        check_books(&mut broker, bars, symbol, i)?;
        curve.push(broker.equity());
    }
    let result = broker.finish();
    let segments = equity_curve(&bars, &result.segments, account.initial_capital);
    for (i, (a, b)) in curve.iter().zip(&segments).enumerate() {
        prop_assert!(near(*a, *b), "equity at bar {i}: {a} and {b} in the segments");
    }
    Ok(result)
}

/// From command to command; where `through` says so, a bar's only market order goes straight to the next open.
fn leap(
    bars: BarsView<'_>,
    account: &Account,
    rules: &Rules,
    symbol: &SymbolInfo,
    script: &[(usize, Command)],
    through: bool,
) -> Simulation {
    let mut broker = Broker::new(bars, account, rules, symbol);
    let mut targets: Vec<usize> =
        script.iter().map(|(bar, _)| *bar).filter(|bar| *bar < bars.len()).collect();
    targets.dedup();
    for target in targets.into_iter().chain([bars.len()]) {
        if broker.current_bar() != Some(target) {
            let mut reached = broker.advance(target);
            while reached < target {
                broker.close_bar(reached);
                reached = broker.advance(target);
            }
            if target < bars.len() {
                broker.open_bar(target);
            }
        }
        if target < bars.len() {
            let given: Vec<_> = script.iter().filter(|(bar, _)| *bar == target).map(|(_, c)| c).collect();
            let gone = through
                && match given[..] {
                    [Command::Entry(c, [None, None])] => broker.enter_through(*c),
                    [Command::Close(c)] => broker.close_through(*c),
                    _ => false,
                };
            if !gone {
                given.into_iter().for_each(|c| apply(&mut broker, bars, target, c));
                broker.close_bar(target);
            }
        }
    }
    broker.finish()
}

/// The lists and metrics of two runs, bit for bit.
fn same_bits(
    a: &Simulation,
    b: &Simulation,
    bars: BarsView<'_>,
    account: &Account,
) -> Result<(), TestCaseError> {
    let calendar = Calendar::new(&bars);
    let shown = |s: &Simulation| {
        let input = MetricsInput {
            commission_paid: s.commission_paid,
            open_trades: s.open.len() as u32,
            open_profit: s.open_profit,
            ..MetricsInput::new(account.initial_capital)
        };
        let metrics = metrics::compute(&bars, &calendar, &s.trades, &s.segments, &input);
        // Printed, every bit shows: zeros with their sign, and na.
        format!("{s:?} {metrics:?}")
    };
    let (a, b) = (shown(a), shown(b));
    let at = a.bytes().zip(b.bytes()).position(|(a, b)| a != b).unwrap_or(a.len()).saturating_sub(80);
    prop_assert!(a == b, "\n{}\n{}", &a[at..a.len().min(at + 400)], &b[at..b.len().min(at + 400)]);
    Ok(())
}

/// Cases of a test in CI; more when the environment says so.
fn cases(at_least: u32) -> ProptestConfig {
    ProptestConfig { cases: ProptestConfig::default().cases.max(at_least), ..ProptestConfig::default() }
}

/// What a script that gives only market orders can do, one order on most bars.
fn market_script() -> impl Strategy<Value = Vec<(usize, Command)>> {
    let order = prop_oneof![
        3 => (id(), side(), qty(), prop_oneof![9 => Just(true), 1 => Just(false)]).prop_map(|(id, side, qty, is_entry)| {
            let names = (NameId(0), NameId(0));
            let command = EntryCommand {
                id,
                comment: names.0,
                side,
                qty,
                limit: None,
                stop: None,
                oca_name: names.1,
                oca: OcaKind::None,
                is_entry,
            };
            Command::Entry(command, [None, None])
        }),
        2 => (prop::option::of(id()), qty(), prop::option::weighted(0.2, 0..120u32)).prop_map(|(id, qty, percent)| {
            let qty_percent = percent.map(f64::from);
            Command::Close(CloseCommand { id, comment: NameId(0), qty, qty_percent, immediately: false })
        }),
    ];
    prop::collection::vec((0..120usize, order), 0..80).prop_map(|mut all| {
        all.sort_by_key(|(bar, _)| *bar);
        all
    })
}

fn symbols() -> impl Strategy<Value = SymbolInfo> {
    let (min_qty, point_value) =
        (prop::sample::select(vec![0.01, 0.3, 1.0]), prop::sample::select(vec![1.0, 5.0, 0.1]));
    (min_qty, point_value).prop_map(|(min_qty, point_value)| SymbolInfo {
        min_qty,
        point_value,
        ..SymbolInfo::default()
    })
}

fn compare(
    bars: BarsView<'_>,
    (account, rules): &(Account, Rules),
    symbol: &SymbolInfo,
    script: &[(usize, Command)],
) -> Result<(), TestCaseError> {
    let stepped = step(bars, account, rules, symbol, script)?;
    check_result(&stepped, bars, account, symbol)?;
    for through in [false, true] {
        let other = leap(bars, account, rules, symbol, script, through);
        same_bits(&stepped, &other, bars, account)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn books_hold_and_leaps_change_nothing(bars in bars(), setting in setting(), symbol in symbols(), script in script()) {
        compare(bars.view(), &setting, &symbol, &script)?;
    }

    #[test]
    fn market_orders_may_go_straight_to_the_next_open(
        bars in bars(),
        setting in setting(),
        symbol in symbols(),
        script in market_script(),
    ) {
        compare(bars.view(), &setting, &symbol, &script)?;
    }
}
