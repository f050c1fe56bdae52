//! Built-in variables and functions by canonical name.

use super::calendar::week_of_year;
use super::fold::{Facts, Known};
use super::machine::{CallSite, Machine, World};
use super::orders::OrderKind;
use super::others::full_name;
use super::run::{DataContext, RunError};
use super::{collections, matrices, pure, text, times, trades};
use springtide_domain::{SymbolKind, Timeframe};
use springtide_engine::{Trade, broker::Broker};

/// A function of the machine; arguments by position.
pub(super) type Function = fn(&mut Machine<'_, '_>, &CallSite, &[f64]) -> Result<f64, RunError>;
/// A variable that depends on the bar alone.
pub(super) type BarGet = fn(&mut World<'_>, usize) -> f64;
/// A variable of the account.
pub(super) type BrokerGet = fn(&mut Broker<'_>, &mut World<'_>) -> f64;

/// Memory of one call site.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub value: f64,
    pub seed: Option<u64>,
    pub seen: bool,
}

/// How a built-in variable is read.
pub(super) enum Getter {
    Bar(BarGet),
    Broker(BrokerGet),
}

/// Whether the executor knows a built-in variable, function or order by its canonical name.
pub fn supports(name: &str) -> bool {
    pure::find(name).is_some()
        || find(name).is_some()
        || get(name).is_some()
        || OrderKind::find(name).is_some()
        || FACTS.contains(&name)
        || matches!(
            name,
            "request.security"
                | "ticker.heikinashi"
                | "ticker.standard"
                | "ticker.modify"
                | "ticker.inherit"
                | "ticker.new"
        )
}

/// The function of this name.
pub(super) fn find(name: &str) -> Option<Function> {
    if let Some(found) = text::find(name)
        .or_else(|| collections::find(name))
        .or_else(|| matrices::find(name))
        .or_else(|| trades::find(name))
        .or_else(|| times::find(name))
    {
        return Some(found);
    }
    Some(match name {
        "math.random" => random,
        "math.round_to_mintick" => |m, _, a| {
            let tick = m.world.symbol.mintick;
            let x = (a[0] / tick).round() * tick;
            Ok(if x.is_finite() { x } else { f64::NAN })
        },
        "fixnan" => |m, s, a| {
            let memory = &mut m.memories[s.state as usize];
            if !a[0].is_nan() {
                (memory.value, memory.seen) = (a[0], true);
            }
            Ok(if memory.seen { memory.value } else { f64::NAN })
        },
        "string"
        | "color"
        | "color.new"
        | "color.rgb"
        | "color.from_gradient"
        | "color.r"
        | "color.g"
        | "color.b"
        | "color.t" => |_, _, a| Ok(a[0]),
        "strategy.convert_to_account" | "strategy.convert_to_symbol" => |_, _, a| Ok(a[0]),
        "strategy.default_entry_qty" => {
            |m, _, a| Ok(m.broker.as_ref().map_or(f64::NAN, |b| b.default_entry_qty(a[0])))
        }
        "ticker.new" => |m, _, a| {
            let text = format!(
                "{}:{}",
                m.world.strings.get(a[0]).unwrap_or(""),
                m.world.strings.get(a[1]).unwrap_or("")
            );
            Ok(m.world.strings.intern(&text))
        },
        "ticker.standard" | "ticker.modify" | "ticker.inherit" | "ticker.heikinashi" => |_, _, a| Ok(a[0]),
        _ => return None,
    })
}

// ---- variables ----------------------------------------------------------------------------------

/// How a built-in variable is read; none when it is a fact or unknown.
pub(super) fn get(name: &str) -> Option<Getter> {
    bar_get(name).map(Getter::Bar).or_else(|| broker_get(name).map(Getter::Broker))
}

/// Variables of the bar: they can be columns.
pub(super) fn bar_get(name: &str) -> Option<BarGet> {
    Some(match name {
        "year" => |w, i| w.zone.parts(w.bars.time[i]).year as f64,
        "month" => |w, i| w.zone.parts(w.bars.time[i]).month as f64,
        "dayofmonth" => |w, i| w.zone.parts(w.bars.time[i]).day as f64,
        "dayofweek" => |w, i| w.zone.parts(w.bars.time[i]).weekday as f64,
        "hour" => |w, i| w.zone.parts(w.bars.time[i]).hour as f64,
        "minute" => |w, i| w.zone.parts(w.bars.time[i]).minute as f64,
        "second" => |w, i| w.zone.parts(w.bars.time[i]).second as f64,
        "weekofyear" => |w, i| week_of_year(&w.zone.parts(w.bars.time[i])) as f64,
        "time_close" => |w, i| times::close(w, i),
        "time_tradingday" => times::trading_day,
        "barstate.isfirst" => |_, i| f64::from(i == 0),
        "barstate.islast" | "barstate.islastconfirmedhistory" => |w, i| f64::from(i + 1 == w.bars.len()),
        "session.isfirstbar" | "session.isfirstbar_regular" => |w, i| f64::from(times::first_of_day(w, i)),
        "session.islastbar" | "session.islastbar_regular" => |w, i| f64::from(times::last_of_day(w, i)),
        _ => return None,
    })
}

/// A whole column of such a variable.
pub(super) fn bar_column(name: &str, world: &mut World<'_>) -> Vec<f64> {
    match bar_get(name) {
        Some(get) => (0..world.bars.len()).map(|i| get(world, i)).collect(),
        None => vec![f64::NAN; world.bars.len()],
    }
}

fn broker_get(name: &str) -> Option<BrokerGet> {
    Some(match name {
        "strategy.position_size" => |b, _| b.position_size(),
        "strategy.position_avg_price" => |b, _| b.position_avg_price(),
        "strategy.position_entry_name" => |b, _| f64::from(b.position_entry_name().0),
        "strategy.equity" => |b, _| b.equity(),
        "strategy.netprofit" => |b, _| b.net_profit(),
        "strategy.netprofit_percent" => |b, _| b.net_profit() / b.initial_capital() * 100.0,
        "strategy.openprofit" => |b, _| b.open_profit(),
        "strategy.openprofit_percent" => {
            |b, _| b.open_profit() / (b.initial_capital() + b.net_profit()) * 100.0
        }
        "strategy.grossprofit" => |b, _| b.gross_profit(),
        "strategy.grossprofit_percent" => |b, _| b.gross_profit() / b.initial_capital() * 100.0,
        "strategy.grossloss" => |b, _| b.gross_loss(),
        "strategy.grossloss_percent" => |b, _| b.gross_loss() / b.initial_capital() * 100.0,
        "strategy.closedtrades" => |b, _| b.closed_trades().len() as f64,
        "strategy.closedtrades.first_index" => |_, _| 0.0,
        "strategy.opentrades" => |b, _| b.open_count() as f64,
        "strategy.opentrades.capital_held" => |b, _| b.capital_held(),
        "strategy.wintrades" => |b, _| f64::from(b.wins()),
        "strategy.losstrades" => |b, _| f64::from(b.losses()),
        "strategy.eventrades" => |b, _| f64::from(b.evens()),
        "strategy.max_drawdown" => |b, _| b.max_drawdown(),
        "strategy.max_drawdown_percent" => |b, _| b.max_drawdown() / b.initial_capital() * 100.0,
        "strategy.max_runup" => |b, _| b.max_runup(),
        "strategy.max_runup_percent" => |b, _| b.max_runup() / b.initial_capital() * 100.0,
        "strategy.max_contracts_held_all" => |b, _| b.max_contracts_held().0,
        "strategy.max_contracts_held_long" => |b, _| b.max_contracts_held().1,
        "strategy.max_contracts_held_short" => |b, _| b.max_contracts_held().2,
        "strategy.margin_liquidation_price" => |b, _| b.margin_liquidation_price(),
        "strategy.avg_trade" => |b, _| b.net_profit() / b.closed_trades().len() as f64,
        "strategy.avg_winning_trade" => |b, _| b.gross_profit() / f64::from(b.wins()),
        "strategy.avg_losing_trade" => |b, _| b.gross_loss() / f64::from(b.losses()),
        "strategy.avg_trade_percent" => |b, w| average_percent(b, w, |_| true),
        "strategy.avg_winning_trade_percent" => |b, w| average_percent(b, w, |profit| profit > 0.0),
        "strategy.avg_losing_trade_percent" => |b, w| -average_percent(b, w, |profit| profit < 0.0),
        "strategy.initial_capital" => |b, _| b.initial_capital(),
        _ => return None,
    })
}

/// Mean profit of some of the closed trades in percent of what their entries cost; na without any.
fn average_percent(b: &Broker<'_>, w: &World<'_>, which: fn(f64) -> bool) -> f64 {
    let trades = b.closed_trades().iter().filter(|t| which(t.profit));
    let percent = |t: &Trade| t.profit / (t.qty * t.entry_price * w.symbol.point_value) * 100.0;
    let (n, sum) = trades.fold((0.0, 0.0), |(n, sum), t| (n + 1.0, sum + percent(t)));
    sum / n
}

/// Variables known before the first bar.
const FACTS: &[&str] = &[
    "syminfo.ticker",
    "syminfo.tickerid",
    "syminfo.main_tickerid",
    "syminfo.prefix",
    "syminfo.exchange",
    "syminfo.root",
    "syminfo.description",
    "syminfo.currency",
    "syminfo.basecurrency",
    "syminfo.timezone",
    "syminfo.session",
    "syminfo.type",
    "syminfo.volumetype",
    "syminfo.mintick",
    "syminfo.pointvalue",
    "syminfo.mincontract",
    "syminfo.minmove",
    "syminfo.pricescale",
    "timeframe.period",
    "timeframe.main_period",
    "timeframe.multiplier",
    "timeframe.isintraday",
    "timeframe.isdaily",
    "timeframe.isweekly",
    "timeframe.ismonthly",
    "timeframe.isdwm",
    "timeframe.isminutes",
    "timeframe.isseconds",
    "timeframe.isticks",
    "barstate.ishistory",
    "barstate.isrealtime",
    "barstate.isconfirmed",
    "barstate.isnew",
    "session.ismarket",
    "session.ispremarket",
    "session.ispostmarket",
    "last_bar_index",
    "last_bar_time",
    "timenow",
    "strategy.account_currency",
    "strategy.initial_capital",
];

/// Their values on this market, which a request asks for on `chart`. `timenow` is the last bar's close: a
/// backtest has no other now.
pub(super) fn facts(data: &DataContext<'_>, chart: &DataContext<'_>, version: u8) -> Facts {
    let s = data.symbol;
    let text = |t: &str| Known::Str(t.into());
    let tf = data.timeframe;
    let flag = |x: bool| Known::Num(f64::from(x));
    let last_time = data.bars.time.last().copied().unwrap_or(0);
    let kind = match s.kind {
        SymbolKind::Crypto => "crypto",
        SymbolKind::Stock => "stock",
        SymbolKind::Forex => "forex",
        SymbolKind::Futures => "futures",
        SymbolKind::Index => "index",
        SymbolKind::Fund => "fund",
    };
    let mut facts = Facts::default();
    for name in FACTS {
        let value = match *name {
            "syminfo.ticker" | "syminfo.root" | "syminfo.description" => text(&s.ticker),
            "syminfo.tickerid" => text(&full_name(s)),
            "syminfo.main_tickerid" => text(&full_name(chart.symbol)),
            "syminfo.prefix" | "syminfo.exchange" => text(&s.exchange),
            "syminfo.currency" | "strategy.account_currency" => text(&s.currency),
            "syminfo.basecurrency" => text(&s.base_currency),
            "syminfo.timezone" => text(&s.timezone),
            "syminfo.session" => text("regular"),
            "syminfo.type" => text(kind),
            "syminfo.volumetype" => text("base"),
            "syminfo.mintick" => Known::Num(s.mintick),
            "syminfo.pointvalue" => Known::Num(s.point_value),
            "syminfo.mincontract" => Known::Num(s.min_qty),
            "syminfo.minmove" => Known::Num(1.0),
            "syminfo.pricescale" => Known::Num((1.0 / s.mintick).round()),
            "timeframe.period" => text(&period(tf, version)),
            "timeframe.main_period" => text(&period(chart.timeframe, version)),
            "timeframe.multiplier" => Known::Num(f64::from(tf.multiplier())),
            "timeframe.isintraday" => flag(tf.is_intraday()),
            "timeframe.isdaily" => flag(matches!(tf, Timeframe::Days(_))),
            "timeframe.isweekly" => flag(matches!(tf, Timeframe::Weeks(_))),
            "timeframe.ismonthly" => flag(matches!(tf, Timeframe::Months(_))),
            "timeframe.isdwm" => flag(!tf.is_intraday()),
            "timeframe.isminutes" => flag(matches!(tf, Timeframe::Minutes(_))),
            "timeframe.isseconds" => flag(matches!(tf, Timeframe::Seconds(_))),
            "barstate.ishistory" | "barstate.isconfirmed" | "barstate.isnew" | "session.ismarket" => {
                flag(true)
            }
            "last_bar_index" => Known::Num(data.bars.len().saturating_sub(1) as f64),
            "last_bar_time" => Known::Num(last_time as f64),
            "timenow" => Known::Num((last_time + tf.nominal_ms()) as f64),
            // The account is the broker's to tell.
            "strategy.initial_capital" => continue,
            _ => flag(false),
        };
        facts.insert(name, value);
    }
    facts
}

/// Single days, weeks and months have no number before version 6.
fn period(timeframe: Timeframe, version: u8) -> String {
    match timeframe.to_string() {
        text if version < 6 && matches!(text.as_str(), "1D" | "1W" | "1M") => text[1..].to_owned(),
        text => text,
    }
}

/// Java's `Random`, as TradingView's numbers are: two call sites with one seed give one sequence. Without a seed a
/// site has its own, equal in every run.
fn random(m: &mut Machine<'_, '_>, site: &CallSite, a: &[f64]) -> Result<f64, RunError> {
    const MULTIPLIER: u64 = 0x5_deec_e66d;
    const MASK: u64 = (1 << 48) - 1;
    let or = |k: usize, default: f64| a.get(k).copied().filter(|x| !x.is_nan()).unwrap_or(default);
    let (low, high) = (or(0, 0.0), or(1, 1.0));
    let seed = or(2, 1e6 + f64::from(site.state)) as i64 as u64;
    let state = m.memories[site.state as usize].seed.get_or_insert((seed ^ MULTIPLIER) & MASK);
    let mut next = |bits: u32| {
        *state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xb) & MASK;
        *state >> (48 - bits)
    };
    let fraction = ((next(26) << 27) + next(27)) as f64 / (1u64 << 53) as f64;
    Ok(low + (high - low) * fraction)
}
