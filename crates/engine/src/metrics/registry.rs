//! The fields of [`Metrics`], each declared once with its title, unit and definition.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a metric is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// The account's currency.
    Money,
    /// Percent.
    Percent,
    /// A number without unit.
    Ratio,
    /// A count of things.
    Count,
    /// Bars.
    Bars,
    /// Milliseconds.
    Milliseconds,
}

impl Unit {
    /// As shown in tables and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Money => "money",
            Self::Percent => "%",
            Self::Ratio => "ratio",
            Self::Count => "count",
            Self::Bars => "bars",
            Self::Milliseconds => "ms",
        }
    }
}

/// What a page or table needs to show one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricInfo {
    /// The field's name in JSON, the ledger and `--sort`.
    pub name: &'static str,
    /// A short heading.
    pub title: &'static str,
    /// What it is counted in.
    pub unit: Unit,
    /// What it means, in one or two sentences.
    pub definition: &'static str,
    /// Which way is good; none where neither is.
    pub higher_is_better: Option<bool>,
}

/// A field's value as the number the leaderboard sorts by.
trait Value {
    fn number(&self) -> Option<f64>;
}

impl Value for f64 {
    fn number(&self) -> Option<f64> {
        self.is_finite().then_some(*self)
    }
}

impl Value for Option<f64> {
    fn number(&self) -> Option<f64> {
        self.filter(|x| x.is_finite())
    }
}

impl Value for u32 {
    fn number(&self) -> Option<f64> {
        Some(f64::from(*self))
    }
}

impl Value for i64 {
    fn number(&self) -> Option<f64> {
        Some(*self as f64)
    }
}

/// JSON has no infinity: what is not finite is written as null, and null is read as what `Null` says.
mod wire {
    use super::*;

    pub trait Null: Sized {
        fn to_wire(&self) -> Option<Num>;
        fn from_wire(number: Option<Num>) -> Option<Self>;
    }

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    pub enum Num {
        Int(i64),
        Float(f64),
    }

    impl Num {
        fn float(self) -> f64 {
            match self {
                Self::Int(i) => i as f64,
                Self::Float(f) => f,
            }
        }
        fn int(self) -> Option<i64> {
            match self {
                Self::Int(i) => Some(i),
                Self::Float(_) => None,
            }
        }
    }

    impl Null for f64 {
        fn to_wire(&self) -> Option<Num> {
            self.is_finite().then_some(Num::Float(*self))
        }
        fn from_wire(number: Option<Num>) -> Option<Self> {
            Some(number.map_or(f64::NAN, Num::float))
        }
    }

    impl Null for Option<f64> {
        fn to_wire(&self) -> Option<Num> {
            self.filter(|x| x.is_finite()).map(Num::Float)
        }
        fn from_wire(number: Option<Num>) -> Option<Self> {
            Some(number.map(Num::float))
        }
    }

    impl Null for u32 {
        fn to_wire(&self) -> Option<Num> {
            Some(Num::Int(i64::from(*self)))
        }
        fn from_wire(number: Option<Num>) -> Option<Self> {
            number?.int()?.try_into().ok()
        }
    }

    impl Null for i64 {
        fn to_wire(&self) -> Option<Num> {
            Some(Num::Int(*self))
        }
        fn from_wire(number: Option<Num>) -> Option<Self> {
            number?.int()
        }
    }

    pub fn serialize<T: Null, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
        value.to_wire().serialize(s)
    }

    pub fn deserialize<'de, T: Null, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
        let number = Option::<Num>::deserialize(d)?;
        T::from_wire(number).ok_or_else(|| serde::de::Error::custom("expected a whole number of this metric"))
    }
}

macro_rules! metrics {
    ($($name:ident: $type:ty, $title:literal, $unit:ident, $better:expr, $definition:literal;)+) => {
        /// Every metric of one run. A value that does not exist (a ratio over nothing, a mean of no
        /// trades) is `None` here and null in JSON; a plain number that is not finite is null too.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        pub struct Metrics {
            $(
                #[doc = $definition]
                #[serde(with = "wire")]
                pub $name: $type,
            )+
        }

        impl Metrics {
            /// The metric called `name` as a number; none when unknown, undefined or not finite.
            pub fn get(&self, name: &str) -> Option<f64> {
                match name {
                    $(stringify!($name) => self.$name.number(),)+
                    _ => None,
                }
            }
        }

        /// Every metric, in the order of the fields.
        pub const METRICS: &[MetricInfo] = &[
            $(MetricInfo {
                name: stringify!($name),
                title: $title,
                unit: Unit::$unit,
                definition: $definition,
                higher_is_better: $better,
            },)+
        ];
    };
}

const UP: Option<bool> = Some(true);
const DOWN: Option<bool> = Some(false);
const NEITHER: Option<bool> = None;

impl MetricInfo {
    /// The metric called `name`.
    pub fn find(name: &str) -> Option<&'static Self> {
        METRICS.iter().find(|m| m.name == name)
    }
}

metrics! {
    net_profit: f64, "Net profit", Money, UP,
        "Sum of the closed trades' profits, commission deducted. Open trades are in `open_profit`.";
    gross_profit: f64, "Gross profit", Money, UP,
        "Sum of the profits of winning trades, commission deducted.";
    gross_loss: f64, "Gross loss", Money, DOWN,
        "Sum of the losses of losing trades, commission included, as a positive number.";
    open_profit: f64, "Open profit", Money, UP,
        "Profit of the trades still open, marked at the last close.";
    commission_paid: f64, "Commission", Money, DOWN,
        "All commission of the run, entries of open trades included.";
    equity_final: f64, "Final equity", Money, UP,
        "Equity at the last close, open trades marked to it.";
    equity_peak: f64, "Peak equity", Money, UP,
        "Highest equity at any close, at least the initial capital.";
    return_pct: Option<f64>, "Return", Percent, UP,
        "Final equity over initial capital, minus one. Open trades are included.";
    cagr_pct: Option<f64>, "CAGR", Percent, UP,
        "Compound annual growth: (final equity / initial capital)^(1 / years) - 1, years of 365.25 days from the first bar's open to the last bar's end; -100 when nothing is left.";
    buy_and_hold_pct: Option<f64>, "Buy and hold", Percent, NEITHER,
        "Last close over first close, minus one.";
    volatility_ann_pct: Option<f64>, "Volatility (ann.)", Percent, DOWN,
        "Sample standard deviation of period returns x sqrt(periods per year).";
    sharpe: Option<f64>, "Sharpe ratio", Ratio, UP,
        "(Mean period return - risk-free rate per period) / sample standard deviation of period returns x sqrt(periods per year). Sharpe 1994.";
    sortino: Option<f64>, "Sortino ratio", Ratio, UP,
        "(Mean period return - risk-free rate per period) / downside deviation x sqrt(periods per year); downside deviation is the root of the mean over all periods of min(return - risk-free rate, 0) squared. Sortino and Price 1994.";
    calmar: Option<f64>, "Calmar ratio", Ratio, UP,
        "CAGR / maximum drawdown in percent. Young 1991, over the whole run.";
    periods_per_year: f64, "Periods per year", Count, NEITHER,
        "The annualisation factor: 365 or 252 for days, 52 for weekly, 12 for monthly, 1 for yearly bars.";
    max_drawdown: f64, "Max. drawdown", Money, DOWN,
        "Largest fall of equity below its running peak, in money, at bar closes, the initial capital counting as the first peak.";
    max_drawdown_pct: Option<f64>, "Max. drawdown", Percent, DOWN,
        "Largest fall of equity below its running peak in percent of that peak; need not be the same fall as the largest in money.";
    max_drawdown_duration_ms: i64, "Max. drawdown duration", Milliseconds, DOWN,
        "Longest time from a peak to the first close back at it, or to the last bar.";
    max_drawdown_duration_bars: u32, "Max. drawdown duration", Bars, DOWN,
        "Most bars from a peak to the first close back at it, or to the last bar.";
    avg_drawdown: Option<f64>, "Avg. drawdown", Money, DOWN,
        "Mean depth of all drawdown episodes; an episode lasts from a peak to the first close back at it.";
    avg_drawdown_pct: Option<f64>, "Avg. drawdown", Percent, DOWN,
        "Mean depth of all drawdown episodes, each in percent of its peak.";
    ulcer_index_pct: Option<f64>, "Ulcer index", Percent, DOWN,
        "Root mean square of the drawdown in percent at period ends, over the whole run. Martin and McCann 1989.";
    recovery_factor: Option<f64>, "Recovery factor", Ratio, UP,
        "(Final equity - initial capital) / maximum drawdown in money.";
    exposure_pct: Option<f64>, "Exposure", Percent, NEITHER,
        "Share of bars at whose close a position was open.";
    bars: u32, "Bars", Bars, NEITHER,
        "Bars of the run.";
    trades: u32, "Trades", Count, NEITHER,
        "Closed trades; a partial exit is a trade of its own.";
    open_trades: u32, "Open trades", Count, NEITHER,
        "Trades still open after the last bar.";
    wins: u32, "Wins", Count, UP,
        "Closed trades with a profit above zero, commission deducted.";
    losses: u32, "Losses", Count, DOWN,
        "Closed trades with a profit below zero; those at exactly zero are neither.";
    win_rate_pct: Option<f64>, "Win rate", Percent, UP,
        "Wins / closed trades.";
    profit_factor: Option<f64>, "Profit factor", Ratio, UP,
        "Gross profit / gross loss; undefined without a losing trade.";
    payoff_ratio: Option<f64>, "Payoff ratio", Ratio, UP,
        "Average win / average loss, in money.";
    expectancy: Option<f64>, "Expectancy", Money, UP,
        "Mean profit of the closed trades: win rate x average win - loss rate x average loss. The same number as `avg_trade`.";
    expectancy_pct: Option<f64>, "Expectancy", Percent, UP,
        "Mean of the closed trades' returns, each its profit over its entry value. The same number as `avg_trade_pct`.";
    avg_trade: Option<f64>, "Avg. trade", Money, UP,
        "Net profit / closed trades.";
    avg_trade_pct: Option<f64>, "Avg. trade", Percent, UP,
        "Arithmetic mean of the closed trades' returns; a return is profit / (entry price x quantity x point value).";
    avg_trade_geometric_pct: Option<f64>, "Avg. trade (geometric)", Percent, UP,
        "The constant return per trade that compounds to the same product; -100 when a trade lost its whole entry value.";
    avg_win: Option<f64>, "Avg. win", Money, UP,
        "Gross profit / wins.";
    avg_loss: Option<f64>, "Avg. loss", Money, DOWN,
        "Gross loss / losses, as a positive number.";
    best_trade: Option<f64>, "Best trade", Money, UP,
        "Largest profit of a closed trade.";
    worst_trade: Option<f64>, "Worst trade", Money, UP,
        "Smallest profit of a closed trade; negative when it lost.";
    best_trade_pct: Option<f64>, "Best trade", Percent, UP,
        "Largest return of a closed trade.";
    worst_trade_pct: Option<f64>, "Worst trade", Percent, UP,
        "Smallest return of a closed trade; negative when it lost.";
    avg_bars_in_trade: Option<f64>, "Avg. bars in trade", Bars, NEITHER,
        "Mean of exit bar - entry bar; 0 for a trade closed on its entry bar.";
    max_consecutive_wins: u32, "Max. consecutive wins", Count, UP,
        "Longest run of wins in closing order; a trade at exactly zero ends it.";
    max_consecutive_losses: u32, "Max. consecutive losses", Count, DOWN,
        "Longest run of losses in closing order; a trade at exactly zero ends it.";
    sqn: Option<f64>, "SQN", Ratio, UP,
        "System quality number: sqrt(trades) x mean profit / sample standard deviation of profits. Tharp 2008, without a cap on trades.";
    kelly: Option<f64>, "Kelly criterion", Ratio, UP,
        "Win rate - (1 - win rate) / payoff ratio, a fraction of capital. Kelly 1956.";
    long_trades: u32, "Long trades", Count, NEITHER,
        "Closed long trades.";
    long_net_profit: f64, "Long net profit", Money, UP,
        "Sum of the closed long trades' profits, commission deducted.";
    long_win_rate_pct: Option<f64>, "Long win rate", Percent, UP,
        "Winning long trades / closed long trades.";
    short_trades: u32, "Short trades", Count, NEITHER,
        "Closed short trades.";
    short_net_profit: f64, "Short net profit", Money, UP,
        "Sum of the closed short trades' profits, commission deducted.";
    short_win_rate_pct: Option<f64>, "Short win rate", Percent, UP,
        "Winning short trades / closed short trades.";
}
