//! Runs a strategy written against the broker over the corpus's bars and compares trade by trade.

use springtide_domain::{BarsView, OwnedBars, SymbolInfo};
use springtide_engine::{
    Account, Rules, Side,
    broker::{Broker, CloseCommand, EntryCommand, ExitCommand, NameId, OcaKind},
};
use std::{path::PathBuf, sync::OnceLock};

/// The exports' first bar: indicators start here too.
const START_MS: i64 = 1_743_379_200_000;
/// Charts were in UTC+8.
const CHART_OFFSET_MS: i64 = 8 * 3_600_000;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../corpora/pineforge-corpus")
}

fn bars() -> Option<&'static OwnedBars> {
    static BARS: OnceLock<Option<OwnedBars>> = OnceLock::new();
    BARS.get_or_init(|| {
        let path = corpus().join("data/ohlcv_ETH-USDT-USDT_15m_warmup6m.csv");
        let Ok(text) = std::fs::read_to_string(&path) else {
            eprintln!("SKIPPED: {} is not there", path.display());
            return None;
        };
        let mut bars = OwnedBars::default();
        for line in text.lines().skip(1) {
            let v: Vec<f64> = line.split(',').map(|x| x.trim().parse().unwrap()).collect();
            if v[0] >= START_MS as f64 {
                bars.push(v[0] as i64, v[1], v[2], v[3], v[4], v[5]);
            }
        }
        Some(bars)
    })
    .as_ref()
}

/// One exported trade.
#[derive(Clone, Debug)]
struct Taped {
    side: Side,
    qty: f64,
    entry_ms: i64,
    entry_price: f64,
    entry: String,
    /// None while open at the end of the export.
    exit: Option<(i64, f64, String)>,
    profit: f64,
}

fn chart_time(text: &str) -> i64 {
    let n = |r: std::ops::Range<usize>| text[r].parse::<i64>().unwrap();
    let (y, m, d) = (n(0..4), n(5..7), n(8..10));
    // Days from the civil calendar, H. Hinnant.
    let (y, m) = if m <= 2 { (y - 1, m + 9) } else { (y, m - 3) };
    let era = y.div_euclid(400);
    let yoe = y - era * 400;
    let doy = (153 * m + 2) / 5 + d - 1;
    let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
    (days * 1440 + n(11..13) * 60 + n(14..16)) * 60_000 - CHART_OFFSET_MS
}

/// The trades, and the last bar of the export.
fn tape(name: &str) -> (Vec<Taped>, i64) {
    let path = corpus().join("validation").join(name).join("tv_trades.csv");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|l| l.split(',').collect()).collect();
    let mut trades = Vec::new();
    let mut end = None;
    for pair in rows.chunks(2) {
        let (exit, entry) = (&pair[0], &pair[1]);
        assert!(exit[1].starts_with("Exit") && entry[1].starts_with("Entry"), "{name}: {exit:?}");
        let number = |s: &str| s.parse::<f64>().unwrap();
        let left = (chart_time(exit[2]), number(exit[4]), exit[3].to_owned());
        let open = left.2 == "Open";
        if open {
            end = Some(left.0);
        }
        trades.push(Taped {
            side: if entry[1].ends_with("long") { Side::Long } else { Side::Short },
            qty: number(exit[5]),
            entry_ms: chart_time(entry[2]),
            entry_price: number(entry[4]),
            entry: entry[3].to_owned(),
            exit: (!open).then_some(left),
            profit: number(exit[7]),
        });
    }
    let last = trades.iter().filter_map(|t| t.exit.as_ref().map(|e| e.0)).max().unwrap_or(i64::MAX);
    let ends = ["2026-04-01 08:00", "2026-05-01 08:00"].map(chart_time);
    (trades, end.unwrap_or(if last <= ends[0] { ends[0] } else { ends[1] }))
}

/// Interned names.
#[derive(Default)]
pub struct Names(Vec<String>);

impl Names {
    pub fn id(&mut self, text: &str) -> NameId {
        if self.0.is_empty() {
            self.0.push(String::new());
        }
        let at = self.0.iter().position(|t| t == text).unwrap_or_else(|| {
            self.0.push(text.to_owned());
            self.0.len() - 1
        });
        NameId(at as u32)
    }

    fn text(&self, id: NameId) -> &str {
        self.0.get(id.0 as usize).map_or("", String::as_str)
    }
}

/// What a strategy sees on one bar.
pub struct Bar<'x, 'a> {
    pub broker: &'x mut Broker<'a>,
    pub bars: BarsView<'a>,
    pub i: usize,
    pub hour: i64,
    pub minute: i64,
    /// 1 = Sunday.
    pub weekday: i64,
    names: &'x mut Names,
}

/// Optional arguments of an order.
#[derive(Clone, Copy, Default)]
pub struct Args<'t> {
    pub qty: Option<f64>,
    pub percent: Option<f64>,
    pub limit: Option<f64>,
    pub stop: Option<f64>,
    pub points: Option<f64>,
    pub offset: Option<f64>,
    pub comment: &'t str,
    pub comment_profit: &'t str,
    pub comment_loss: &'t str,
    pub oca: Option<(&'t str, OcaKind)>,
}

pub fn a(comment: &str) -> Args<'_> {
    Args { comment, ..Args::default() }
}

impl<'t> Args<'t> {
    pub fn qty(self, qty: f64) -> Self {
        Self { qty: Some(qty), ..self }
    }
    pub fn limit(self, price: f64) -> Self {
        Self { limit: Some(price), ..self }
    }
    pub fn stop(self, price: f64) -> Self {
        Self { stop: Some(price), ..self }
    }
    pub fn trail(self, points: f64, offset: Option<f64>) -> Self {
        Self { points: Some(points), offset, ..self }
    }
}

pub const TICK: f64 = 0.01;

impl Bar<'_, '_> {
    pub fn open(&self) -> f64 {
        self.bars.open[self.i]
    }
    pub fn high(&self) -> f64 {
        self.bars.high[self.i]
    }
    pub fn low(&self) -> f64 {
        self.bars.low[self.i]
    }
    pub fn close(&self) -> f64 {
        self.bars.close[self.i]
    }
    pub fn size(&self) -> f64 {
        self.broker.position_size()
    }
    pub fn avg(&self) -> f64 {
        self.broker.position_avg_price()
    }
    pub fn at(&self, hour: i64, minute: i64) -> bool {
        self.hour == hour && self.minute == minute
    }
    pub fn flat(&self) -> bool {
        self.size() == 0.0
    }
    pub fn long(&self) -> bool {
        self.size() > 0.0
    }
    pub fn short(&self) -> bool {
        self.size() < 0.0
    }

    fn order(&mut self, id: &str, side: Side, is_entry: bool, x: Args<'_>) {
        let (oca_name, oca) = x.oca.unwrap_or(("", OcaKind::None));
        let command = EntryCommand {
            id: self.names.id(id),
            comment: self.names.id(x.comment),
            side,
            qty: x.qty,
            limit: x.limit,
            stop: x.stop,
            oca_name: self.names.id(oca_name),
            oca,
            is_entry,
        };
        self.broker.entry(command);
    }
    pub fn buy(&mut self, id: &str, x: Args<'_>) {
        self.order(id, Side::Long, true, x);
    }
    pub fn sell(&mut self, id: &str, x: Args<'_>) {
        self.order(id, Side::Short, true, x);
    }
    pub fn raw(&mut self, id: &str, side: Side, x: Args<'_>) {
        self.order(id, side, false, x);
    }
    pub fn exit(&mut self, id: &str, from: &str, x: Args<'_>) {
        let command = ExitCommand {
            id: self.names.id(id),
            from_entry: self.names.id(from),
            qty: x.qty,
            qty_percent: x.percent,
            limit: x.limit,
            stop: x.stop,
            trail_points: x.points,
            trail_offset: x.offset,
            comment: self.names.id(x.comment),
            comment_profit: self.names.id(x.comment_profit),
            comment_loss: self.names.id(x.comment_loss),
            ..ExitCommand::default()
        };
        self.broker.exit(command);
    }
    fn closing(&mut self, id: Option<&str>, comment: &str, immediately: bool) {
        let command = CloseCommand {
            id: id.map(|id| self.names.id(id)),
            comment: self.names.id(comment),
            qty: None,
            qty_percent: None,
            immediately,
        };
        self.broker.close(command);
    }
    pub fn close_id(&mut self, id: &str, comment: &str) {
        self.closing(Some(id), comment, false);
    }
    pub fn close_now(&mut self, id: &str, comment: &str) {
        self.closing(Some(id), comment, true);
    }
    pub fn close_all(&mut self, comment: &str) {
        self.closing(None, comment, false);
    }
    pub fn close_all_now(&mut self, comment: &str) {
        self.closing(None, comment, true);
    }
    pub fn cancel(&mut self, id: &str) {
        let id = self.names.id(id);
        self.broker.cancel(id);
    }
}

/// A million in cash, one contract, full margin: what the exports used where they say nothing else.
pub fn account() -> Account {
    Account { margin_long: 100.0, margin_short: 100.0, pyramiding: 1, ..Account::default() }
}

/// Close prices' indicators that several strategies need, with Pine's definitions.
pub struct Series {
    pub close: &'static [f64],
    high: &'static [f64],
    low: &'static [f64],
}

impl Series {
    pub fn get() -> Option<Self> {
        Self::from(0)
    }

    /// From bar `first` on.
    pub fn from(first: usize) -> Option<Self> {
        bars().map(|b| Self { close: &b.close[first..], high: &b.high[first..], low: &b.low[first..] })
    }
    pub fn sma(&self, n: usize) -> Vec<f64> {
        let mean = |i: usize| {
            if i + 1 < n { f64::NAN } else { self.close[i + 1 - n..=i].iter().sum::<f64>() / n as f64 }
        };
        (0..self.close.len()).map(mean).collect()
    }
    fn smooth(values: &[f64], n: usize, alpha: f64) -> Vec<f64> {
        let mut out = vec![f64::NAN; values.len()];
        let first = values.iter().position(|v| !v.is_nan()).unwrap() + n - 1;
        out[first] = values[first + 1 - n..=first].iter().sum::<f64>() / n as f64;
        for i in first + 1..values.len() {
            out[i] = alpha * values[i] + (1.0 - alpha) * out[i - 1];
        }
        out
    }
    pub fn ema(&self, n: usize) -> Vec<f64> {
        Self::smooth(self.close, n, 2.0 / (n as f64 + 1.0))
    }
    pub fn rsi(&self, n: usize) -> Vec<f64> {
        let mut change: Vec<f64> = self.close.windows(2).map(|w| w[1] - w[0]).collect();
        change.insert(0, f64::NAN);
        let part = |sign: f64| -> Vec<f64> {
            change.iter().map(|c| if c.is_nan() { f64::NAN } else { (c * sign).max(0.0) }).collect()
        };
        let alpha = 1.0 / n as f64;
        let (up, down) = (Self::smooth(&part(1.0), n, alpha), Self::smooth(&part(-1.0), n, alpha));
        let value = |(u, d): (f64, f64)| if d == 0.0 { 100.0 } else { 100.0 - 100.0 / (1.0 + u / d) };
        up.into_iter().zip(down).map(value).collect()
    }
    pub fn atr(&self, n: usize) -> Vec<f64> {
        let range = |i: usize| {
            let (h, l) = (self.high[i], self.low[i]);
            if i == 0 {
                h - l
            } else {
                (h - l).max((h - self.close[i - 1]).abs()).max((l - self.close[i - 1]).abs())
            }
        };
        let ranges: Vec<f64> = (0..self.close.len()).map(range).collect();
        Self::smooth(&ranges, n, 1.0 / n as f64)
    }
}

pub fn crossover(a: &[f64], b: &[f64], i: usize) -> bool {
    i > 0 && a[i] > b[i] && a[i - 1] <= b[i - 1]
}

pub fn crossunder(a: &[f64], b: &[f64], i: usize) -> bool {
    i > 0 && a[i] < b[i] && a[i - 1] >= b[i - 1]
}

/// Runs `script` and demands every trade's entry and exit: bar, price, quantity, signal.
#[track_caller]
pub fn check(name: &str, account: &Account, script: impl FnMut(&mut Bar<'_, '_>)) {
    check_within(name, account, 5e-5, script);
}

/// The same with a relative tolerance on quantities: an account in another currency than the market's
/// sizes with a daily rate that the bars do not hold.
#[track_caller]
pub fn check_sizes_loosely(name: &str, account: &Account, script: impl FnMut(&mut Bar<'_, '_>)) {
    check_within(name, account, 3e-3, script);
}

#[track_caller]
fn check_within(name: &str, account: &Account, slack: f64, script: impl FnMut(&mut Bar<'_, '_>)) {
    check_from(name, account, slack, 0, script);
}

/// The same from bar `first` on.
#[track_caller]
pub fn check_from(
    name: &str,
    account: &Account,
    slack: f64,
    first: usize,
    mut script: impl FnMut(&mut Bar<'_, '_>),
) {
    let Some(all) = bars() else { return };
    let (tape, end) = tape(name);
    let count = all.time.partition_point(|t| *t <= end);
    let view = all.view().slice(first..count);
    let count = view.len();
    let symbol = SymbolInfo { min_qty: 1e-4, ..SymbolInfo::default() };
    let mut broker = Broker::new(view, account, &Rules::default(), &symbol);
    let mut names = Names::default();
    for i in 0..count {
        broker.open_bar(i);
        {
            let minutes = view.time[i] / 60_000;
            let weekday = (minutes / 1440 + 4) % 7 + 1;
            let (hour, minute) = (minutes / 60 % 24, minutes % 60);
            script(&mut Bar { broker: &mut broker, bars: view, i, hour, minute, weekday, names: &mut names });
        }
        broker.close_bar(i);
    }
    let result = broker.finish();
    let signal =
        |comment, id| if names.text(comment).is_empty() { names.text(id) } else { names.text(comment) };
    let mut ours: Vec<Taped> = result
        .trades
        .iter()
        .map(|t| Taped {
            side: t.side,
            qty: t.qty,
            entry_ms: view.time[t.entry_bar as usize],
            entry_price: t.entry_price,
            entry: signal(t.entry_comment, t.entry_id).to_owned(),
            exit: Some((
                view.time[t.exit_bar as usize],
                t.exit_price,
                signal(t.exit_comment, t.exit_id).to_owned(),
            )),
            profit: t.profit,
        })
        .collect();
    ours.extend(result.open.iter().map(|t| Taped {
        side: t.side,
        qty: t.qty,
        entry_ms: view.time[t.entry_bar as usize],
        entry_price: t.entry_price,
        entry: signal(t.entry_comment, t.entry_id).to_owned(),
        exit: None,
        profit: f64::NAN,
    }));
    report(name, &ours, &tape, slack);
}

fn equal(ours: &Taped, theirs: &Taped, slack: f64) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() < 5e-5;
    let exits = match (&ours.exit, &theirs.exit) {
        (Some(a), Some(b)) => a.0 == b.0 && near(a.1, b.1) && (a.2 == b.2 || b.2.starts_with("Close ")),
        (None, None) => true,
        _ => false,
    };
    ours.side == theirs.side
        && ours.entry_ms == theirs.entry_ms
        && near(ours.entry_price, theirs.entry_price)
        && (ours.qty - theirs.qty).abs() <= slack * theirs.qty.max(1.0)
        && ours.entry == theirs.entry
        && exits
}

#[track_caller]
fn report(name: &str, ours: &[Taped], tape: &[Taped], slack: f64) {
    let equal = |a: &Taped, b: &Taped| equal(a, b, slack);
    // A trade missing on one side must not shift all later ones: match by a window over both lists.
    let (mut i, mut j, mut wrong) = (0, 0, Vec::new());
    while i < ours.len() || j < tape.len() {
        match (ours.get(i), tape.get(j)) {
            (Some(a), Some(b)) if equal(a, b) => (i, j) = (i + 1, j + 1),
            (a, b) => {
                let skip = (1..12).find_map(|d| {
                    (0..=d)
                        .find(|k| {
                            let (x, y) = (ours.get(i + k), tape.get(j + d - k));
                            x.zip(y).is_some_and(|(x, y)| equal(x, y))
                        })
                        .map(|k| (k, d - k))
                });
                wrong.push(format!("  ours   {}\n  theirs {}", show(a), show(b)));
                let (di, dj) = skip.unwrap_or((1, 1));
                for k in 1..di.max(dj) {
                    let rest = |t: Option<&Taped>, on: bool| if on { show(t) } else { "-".into() };
                    wrong.push(format!(
                        "  ours   {}\n  theirs {}",
                        rest(ours.get(i + k), k < di),
                        rest(tape.get(j + k), k < dj)
                    ));
                }
                (i, j) = (i + di, j + dj);
            }
        }
    }
    println!(
        "TAPE {name}: {} of {} trades equal, {} differ",
        tape.len().saturating_sub(wrong.len()),
        tape.len(),
        wrong.len()
    );
    assert!(
        wrong.is_empty(),
        "{name}: {} of {} trades differ; first ones:\n{}",
        wrong.len(),
        tape.len(),
        wrong[..wrong.len().min(4)].join("\n")
    );
}

fn show(t: Option<&Taped>) -> String {
    let clock = |ms: i64| {
        let m = (ms - START_MS) / 60_000;
        format!("day {} {:02}:{:02}", m.div_euclid(1440), m.div_euclid(60).rem_euclid(24), m.rem_euclid(60))
    };
    t.map_or("nothing".into(), |t| {
        let exit = t.exit.as_ref().map_or("open".into(), |e| format!("{} at {} `{}`", clock(e.0), e.1, e.2));
        let (side, qty, at) = (t.side, t.qty, clock(t.entry_ms));
        format!("{side:?} {qty} {at} at {} `{}` until {exit}, {:.2}", t.entry_price, t.entry, t.profit)
    })
}
