//! Built-in variables and functions by canonical name.

use super::calendar::{SessionSpans, week_of_year};
use super::fold::{Facts, Known};
use super::machine::{CallSite, Machine, World};
use super::orders::OrderKind;
use super::run::{DataContext, RunError};
use super::{collections, is_absent, matrices, pure, text, trades};
use springtide_domain::{SymbolKind, Timeframe};
use springtide_engine::broker::Broker;

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
    {
        return Some(found);
    }
    Some(match name {
        "year" => |m, s, a| part(m, s, a, |p| p.year),
        "month" => |m, s, a| part(m, s, a, |p| p.month),
        "dayofmonth" => |m, s, a| part(m, s, a, |p| p.day),
        "dayofweek" => |m, s, a| part(m, s, a, |p| p.weekday),
        "hour" => |m, s, a| part(m, s, a, |p| p.hour),
        "minute" => |m, s, a| part(m, s, a, |p| p.minute),
        "second" => |m, s, a| part(m, s, a, |p| p.second),
        "weekofyear" => |m, s, a| part(m, s, a, week_of_year_of),
        "time" => |m, s, a| time(m, s, a, false),
        "time_close" => |m, s, a| time(m, s, a, true),
        "timestamp" => timestamp,
        "timeframe.in_seconds" => |m, _, a| {
            let timeframe = match m
                .world
                .strings
                .get(a.first().copied().unwrap_or(f64::NAN))
                .filter(|_| !is_absent(a[0]))
            {
                Some("") | None => m.world.timeframe,
                Some(text) => match text.parse() {
                    Ok(timeframe) => timeframe,
                    Err(_) => return Ok(f64::NAN),
                },
            };
            Ok(seconds(timeframe))
        },
        "timeframe.from_seconds" => |m, _, a| {
            let text = from_seconds(a[0]).to_string();
            Ok(m.world.strings.intern(&text))
        },
        "timeframe.change" => timeframe_change,
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
        "weekofyear" => |w, i| week_of_year_of(&w.zone.parts(w.bars.time[i])) as f64,
        "time_close" => |w, i| close_time(w, i),
        "time_tradingday" => |w, i| (w.zone.parts(w.bars.time[i]).epoch_day * 86_400_000) as f64,
        "barstate.isfirst" => |_, i| f64::from(i == 0),
        "barstate.islast" | "barstate.islastconfirmedhistory" => |w, i| f64::from(i + 1 == w.bars.len()),
        "session.isfirstbar" | "session.isfirstbar_regular" => |w, i| f64::from(first_of_day(w, i)),
        "session.islastbar" | "session.islastbar_regular" => |w, i| f64::from(last_of_day(w, i)),
        _ => return None,
    })
}

fn week_of_year_of(parts: &super::calendar::Parts) -> i64 {
    week_of_year(parts)
}

/// The bar's close: its open time plus the timeframe, never past the next bar's open.
fn close_time(w: &World<'_>, i: usize) -> f64 {
    let end = w.bars.time[i] + w.timeframe.nominal_ms();
    w.bars.time.get(i + 1).map_or(end, |next| end.min(*next)) as f64
}

fn first_of_day(w: &mut World<'_>, i: usize) -> bool {
    i == 0 || w.zone.parts(w.bars.time[i]).epoch_day != w.zone.parts(w.bars.time[i - 1]).epoch_day
}

fn last_of_day(w: &mut World<'_>, i: usize) -> bool {
    let next = w.bars.time.get(i + 1).copied().unwrap_or(w.bars.time[i] + w.timeframe.nominal_ms());
    w.zone.parts(w.bars.time[i]).epoch_day != w.zone.parts(next).epoch_day
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
        "strategy.opentrades.capital_held" => |b, _| b.position_size().abs() * b.position_avg_price(),
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
        "strategy.initial_capital" => |b, _| b.initial_capital(),
        _ => return None,
    })
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

/// Their values on this market. `timenow` is the last bar's close: a backtest has no other now.
pub(super) fn facts(data: &DataContext<'_>) -> Facts {
    let s = data.symbol;
    let text = |t: &str| Known::Str(t.into());
    let id = if s.exchange.is_empty() { s.ticker.clone() } else { format!("{}:{}", s.exchange, s.ticker) };
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
            "syminfo.tickerid" | "syminfo.main_tickerid" => text(&id),
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
            "timeframe.period" | "timeframe.main_period" => text(&tf.to_string()),
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

// ---- time ---------------------------------------------------------------------------------------

fn zone_name(m: &Machine<'_, '_>, handle: Option<&f64>) -> String {
    let given = handle.filter(|h| !is_absent(**h)).and_then(|h| m.world.strings.get(*h));
    match given {
        Some("exchange") | Some("") | None => m.world.symbol.timezone.clone(),
        Some(name) => name.to_owned(),
    }
}

fn part(
    m: &mut Machine<'_, '_>,
    site: &CallSite,
    a: &[f64],
    f: fn(&super::calendar::Parts) -> i64,
) -> Result<f64, RunError> {
    if a[0].is_nan() {
        return Ok(f64::NAN);
    }
    let own = a.get(1).is_none_or(|h| is_absent(*h));
    if own {
        return Ok(f(&m.world.zone.parts(a[0] as i64)) as f64);
    }
    let name = zone_name(m, a.get(1));
    match m.world.clock.zone(&name) {
        Some(zone) => Ok(f(&zone.parts(a[0] as i64)) as f64),
        None => Err(m.fail(format!("unknown time zone `{name}`"), site.span)),
    }
}

/// `time(timeframe, session, timezone)`: open (or close) of the timeframe's bar, na outside the session.
fn time(m: &mut Machine<'_, '_>, site: &CallSite, a: &[f64], close: bool) -> Result<f64, RunError> {
    // The form with bars_back as a second argument gives a number where a session's text would stand.
    let second_is_text = site.types.get(1).is_none_or(|t| *t == crate::ir::Ty::Str);
    let back = if second_is_text { a.get(3) } else { a.get(1) };
    let back = back.copied().filter(|x| !x.is_nan()).unwrap_or(0.0).max(0.0) as usize;
    let Some(bar) = m.bar.checked_sub(back) else { return Ok(f64::NAN) };
    let now = m.world.bars.time[bar];
    let timeframe = m.world.strings.get(a[0]).unwrap_or("").to_owned();
    let session = a
        .get(1)
        .filter(|h| second_is_text && !is_absent(**h))
        .and_then(|h| m.world.strings.get(*h))
        .map(str::to_owned);
    let name = zone_name(m, a.get(2).filter(|_| second_is_text));
    let chart = m.world.timeframe;
    let own = timeframe.is_empty() || timeframe.parse() == Ok(chart);
    let (start, end) = if own {
        (now, close_time(m.world, bar) as i64)
    } else {
        let symbol_session = m.world.symbol.session.clone();
        match m.world.clock.period(&timeframe, &m.world.symbol.timezone.clone(), &symbol_session, now) {
            Some(period) => period,
            None => return Err(m.fail(format!("`{timeframe}` is no timeframe"), site.span)),
        }
    };
    if let Some(session) = session.filter(|s| !s.is_empty()) {
        let Some(spans) = m.world.clock.session(&session).cloned() else {
            return Err(m.fail(
                format!(
                    "`{session}` is no session: write HHMM-HHMM, optionally `:` and days 1 (Sunday) to 7"
                ),
                site.span,
            ));
        };
        if !inside(m, &spans, &name, now) {
            return Ok(f64::NAN);
        }
    }
    Ok(if close { end } else { start } as f64)
}

fn inside(m: &mut Machine<'_, '_>, spans: &SessionSpans, zone: &str, ms: i64) -> bool {
    m.world.clock.zone(zone).is_some_and(|z| spans.contains(&z.parts(ms)))
}

/// `timestamp(...)` in its forms: a date's text; parts; a zone and parts.
fn timestamp(m: &mut Machine<'_, '_>, site: &CallSite, a: &[f64]) -> Result<f64, RunError> {
    let text_first = site.types.first() == Some(&crate::ir::Ty::Str);
    if text_first && a.len() == 1 {
        let text = m.world.strings.get(a[0]).unwrap_or("").to_owned();
        return Ok(parse_date(&text).unwrap_or(f64::NAN));
    }
    let (zone, parts) =
        if text_first { (zone_name(m, a.first()), &a[1..]) } else { (m.world.symbol.timezone.clone(), a) };
    let at = |k: usize, default: i64| match parts.get(k) {
        Some(x) if is_absent(*x) => Some(default),
        Some(x) if x.is_finite() => Some(x.trunc() as i64),
        Some(_) => None,
        None => Some(default),
    };
    let values = (at(0, 1970), at(1, 1), at(2, 1), at(3, 0), at(4, 0), at(5, 0));
    let (Some(y), Some(mo), Some(d), Some(h), Some(mi), Some(s)) = values else { return Ok(f64::NAN) };
    match m.world.clock.zone(&zone) {
        Some(zone) => Ok(zone.timestamp(y, mo, d, h, mi, s).map_or(f64::NAN, |ms| ms as f64)),
        None => Err(m.fail(format!("unknown time zone `{zone}`"), site.span)),
    }
}

fn parse_date(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return Some(stamp.as_millisecond() as f64);
    }
    let zoned = text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_millisecond() as f64)
}

fn timeframe_change(m: &mut Machine<'_, '_>, site: &CallSite, a: &[f64]) -> Result<f64, RunError> {
    let timeframe = m.world.strings.get(a[0]).unwrap_or("").to_owned();
    if timeframe.is_empty() || timeframe.parse() == Ok(m.world.timeframe) {
        return Ok(1.0);
    }
    let (zone, session) = (m.world.symbol.timezone.clone(), m.world.symbol.session.clone());
    let now = m.world.bars.time[m.bar];
    let Some((start, _)) = m.world.clock.period(&timeframe, &zone, &session, now) else {
        return Err(m.fail(format!("`{timeframe}` is no timeframe"), site.span));
    };
    let before = m.bar.checked_sub(1).map(|k| m.world.bars.time[k]);
    Ok(f64::from(before.is_some_and(|t| t < start)))
}

fn seconds(timeframe: Timeframe) -> f64 {
    match timeframe {
        // The language counts a month as 30.4375 days.
        Timeframe::Months(n) => f64::from(n) * 2_628_003.0,
        other => other.nominal_ms() as f64 / 1_000.0,
    }
}

fn from_seconds(x: f64) -> Timeframe {
    let s = x.max(1.0);
    if s < 60.0 {
        Timeframe::Seconds(s.ceil() as u32)
    } else if s < 86_400.0 {
        Timeframe::Minutes((s / 60.0).ceil() as u32)
    } else if s < 604_800.0 {
        Timeframe::Days((s / 86_400.0).ceil() as u32)
    } else if s < 2_628_003.0 {
        Timeframe::Weeks((s / 604_800.0).ceil() as u32)
    } else {
        Timeframe::Months((s / 2_628_003.0).ceil() as u32)
    }
}

/// SplitMix64, seeded by the script or by the call's place: equal runs draw equal numbers.
fn random(m: &mut Machine<'_, '_>, site: &CallSite, a: &[f64]) -> Result<f64, RunError> {
    let or = |k: usize, default: f64| a.get(k).copied().filter(|x| !x.is_nan()).unwrap_or(default);
    let (low, high, seed) = (or(0, 0.0), or(1, 1.0), or(2, 0.0));
    let memory = &mut m.memories[site.state as usize];
    let state = memory.seed.get_or_insert((seed as i64 as u64) ^ (u64::from(site.state) << 32) ^ 0x5eed);
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    Ok(low + (high - low) * ((z >> 11) as f64 / (1u64 << 53) as f64))
}
