//! What engines disagree on, as declared data.
//!
//! One strategy gives six different equities in six engines (see `docs/broker-rules.md`) because each
//! answers a handful of questions differently. Here the questions are fields and the engines are
//! named presets; every run records and shows its answers.

use serde::{Deserialize, Serialize};

macro_rules! choices {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }
        impl $name {
            /// Every spelling that `parse` accepts.
            pub const CHOICES: &'static [&'static str] = &[$($text),+];
            /// Reads the spelling used in `--rule` and in records.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
            /// The spelling used in `--rule` and in records.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

choices! {
    /// Which price and equity an order without a quantity is sized with.
    SizeAt {
        /// The close of the bar that issued it.
        SignalClose = "signal-close",
        /// The price it fills at, with the equity of that moment.
        Fill = "fill",
    }
}
choices! {
    /// What quantities are rounded down to.
    Lots {
        /// The symbol's smallest quantity.
        MinQty = "min-qty",
        /// Whole units.
        Whole = "whole",
        /// Not at all.
        Fractional = "fractional",
    }
}
choices! {
    /// Where a market order fills.
    FillAt {
        /// The next bar's open.
        NextOpen = "next-open",
        /// The close of the bar that issued it.
        SignalClose = "signal-close",
    }
}
choices! {
    /// What a stop or limit price of an exit given together with its entry refers to.
    BracketAnchor {
        /// The price as the script computed it at the signal bar's close.
        SignalClose = "signal-close",
        /// The price it filled at: a stop 2 % below the signal's close (or below the entry's own limit or
        /// stop) becomes one 2 % below the fill.
        Fill = "fill",
    }
}
choices! {
    /// When an exit given together with its entry can first act.
    BracketLive {
        /// On the bar that fills the entry.
        EntryBar = "entry-bar",
        /// On the bar after it.
        NextBar = "next-bar",
    }
}
choices! {
    /// What a bar asks first: the market orders of the last close, or the stops and limits of what is held.
    AtOpen {
        /// Market orders fill at the open, then stops and limits meet the bar.
        SignalFirst = "signal-first",
        /// Stops and limits of the position meet the whole bar, then market orders fill at its open.
        StopFirst = "stop-first",
    }
}
choices! {
    /// Which level is hit first when one bar spans several.
    Intrabar {
        /// The path open, nearer extreme, farther extreme, close.
        Path = "path",
        /// The path visits the extreme against the position first.
        StopFirst = "stop-first",
        /// The path visits the extreme in the position's favour first.
        LimitFirst = "limit-first",
    }
}
choices! {
    /// Whether percent commission is part of the money an all-in order may spend.
    FeeInSize {
        /// Quantity = budget / (price x (1 + rate)).
        Inside = "inside",
        /// Quantity = budget / price.
        Outside = "outside",
    }
}
choices! {
    /// Whether levels and prices are rounded to the symbol's tick.
    Ticks {
        /// Rounded, stops away from the trader, limits in the trader's favour.
        Round = "round",
        /// As computed.
        Exact = "exact",
    }
}

choices! {
    /// How indicators add up windows. The orders differ in the last bits of averages and of what is built on
    /// them, and where two averages meet, the last bit decides a trade. [`crate::ta`] defines them.
    Sums {
        /// Correctly rounded: two averages compare as their exact means do.
        Exact = "exact",
        /// The oldest value taken off, then the newest added, each rounded: the textbook loop.
        Rolling = "rolling",
        /// The accumulator of TradingView, bit for bit.
        TradingView = "tradingview",
    }
}

impl Default for Sums {
    /// `Exact`.
    fn default() -> Self {
        Self::Exact
    }
}

/// The answers of one engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Rules {
    /// Preset they started from; ends in `*` once a rule was changed.
    pub name: String,
    pub size_at: SizeAt,
    pub fee_in_size: FeeInSize,
    pub lots: Lots,
    pub fill_at: FillAt,
    pub bracket_anchor: BracketAnchor,
    pub bracket_live: BracketLive,
    pub at_open: AtOpen,
    pub intrabar: Intrabar,
    pub ticks: Ticks,
    pub margin: MarginCheck,
    /// Records from before this was a rule mean `exact`.
    #[serde(default)]
    pub sums: Sums,
}

choices! {
    /// Whether positions need margin: entries are refused and positions liquidated without it.
    MarginCheck {
        /// As the account's margin percentages say.
        Account = "account",
        /// Never.
        Off = "off",
    }
}

/// Names of the presets, the default first.
pub const PRESETS: &[&str] =
    &["tradingview", "backtesting_py", "vectorbt", "nautilus", "backtrader", "wickra"];

/// Names of the rules that Python strategies run under, the default first. They are the library's own, in full in
/// [`crate::backtesting_py::Rules`]; the keys here cannot express what sets version 0.3.3 apart.
pub const LIBRARIES: &[&str] =
    &[crate::backtesting_py::Rules::V0_6.name, crate::backtesting_py::Rules::V0_3.name];

/// A rule that could not be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// No `=` in it.
    #[error("`{0}`: expected KEY=VALUE; keys are {keys}", keys = Rules::KEYS.join(", "))]
    NoValue(String),
    /// A key that does not exist.
    #[error("no rule `{0}`; keys are {keys}", keys = Rules::KEYS.join(", "))]
    Key(String),
    /// A value that the key does not take.
    #[error("{key} cannot be `{value}`; it is one of {}", choices.join(", "))]
    Value {
        /// The key.
        key: String,
        /// What was given.
        value: String,
        /// What may be given.
        choices: Vec<&'static str>,
    },
}

macro_rules! keys {
    ($($key:literal => $field:ident: $kind:ident),+ $(,)?) => {
        impl Rules {
            /// Keys of `--rule`, in the order of `describe`.
            pub const KEYS: &'static [&'static str] = &[$($key),+];

            /// Every rule with its answer.
            pub fn describe(&self) -> Vec<(&'static str, String)> {
                vec![$(($key, self.$field.as_str().to_owned())),+]
            }

            /// Changes one rule by `KEY=VALUE`; the name then ends in `*`.
            pub fn set(&mut self, text: &str) -> Result<(), RuleError> {
                let (key, value) = text.split_once('=').ok_or_else(|| RuleError::NoValue(text.into()))?;
                let (key, value) = (key.trim().replace('_', "-"), value.trim().replace('_', "-"));
                match key.as_str() {
                    $($key => {
                        self.$field = $kind::parse(&value).ok_or_else(|| RuleError::Value {
                            key: key.clone(),
                            value: value.clone(),
                            choices: $kind::CHOICES.to_vec(),
                        })?;
                    })+
                    _ => return Err(RuleError::Key(key)),
                }
                if !self.name.ends_with('*') {
                    self.name.push('*');
                }
                Ok(())
            }
        }
    };
}

keys! {
    "size-at" => size_at: SizeAt,
    "fee-in-size" => fee_in_size: FeeInSize,
    "lots" => lots: Lots,
    "fill-at" => fill_at: FillAt,
    "bracket-anchor" => bracket_anchor: BracketAnchor,
    "bracket-live" => bracket_live: BracketLive,
    "at-open" => at_open: AtOpen,
    "intrabar" => intrabar: Intrabar,
    "ticks" => ticks: Ticks,
    "margin" => margin: MarginCheck,
    "sums" => sums: Sums,
}

impl Rules {
    /// What records of Python strategies have under one of the names in [`LIBRARIES`]: the name counts, the keys are
    /// those of the preset that comes nearest.
    pub fn of_library(name: &str) -> Option<Self> {
        LIBRARIES
            .contains(&name)
            .then(|| Self { name: name.into(), ..Self::preset(LIBRARIES[0]).unwrap_or_default() })
    }

    /// The preset of this name, none when there is none.
    pub fn preset(name: &str) -> Option<Self> {
        let mut rules = Self {
            name: name.into(),
            size_at: SizeAt::Fill,
            fee_in_size: FeeInSize::Inside,
            lots: Lots::Fractional,
            fill_at: FillAt::NextOpen,
            bracket_anchor: BracketAnchor::Fill,
            bracket_live: BracketLive::EntryBar,
            at_open: AtOpen::SignalFirst,
            intrabar: Intrabar::StopFirst,
            ticks: Ticks::Exact,
            margin: MarginCheck::Off,
            sums: Sums::Exact,
        };
        match name {
            "tradingview" => {
                rules.size_at = SizeAt::SignalClose;
                rules.lots = Lots::MinQty;
                rules.bracket_anchor = BracketAnchor::SignalClose;
                rules.intrabar = Intrabar::Path;
                rules.ticks = Ticks::Round;
                rules.margin = MarginCheck::Account;
                rules.sums = Sums::TradingView;
            }
            "backtesting_py" => rules.bracket_anchor = BracketAnchor::SignalClose,
            "vectorbt" => {
                rules.bracket_live = BracketLive::NextBar;
                rules.at_open = AtOpen::StopFirst;
                rules.sums = Sums::Rolling;
            }
            "nautilus" => rules.fill_at = FillAt::SignalClose,
            "backtrader" => rules.bracket_live = BracketLive::NextBar,
            "wickra" => rules.sums = Sums::Rolling,
            _ => return None,
        }
        Some(rules)
    }
}

impl Default for Rules {
    /// The `tradingview` preset.
    fn default() -> Self {
        Self::preset(PRESETS[0]).unwrap_or_else(|| unreachable!("the first preset exists"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_exists_and_differs() {
        let all: Vec<Rules> = PRESETS.iter().map(|p| Rules::preset(p).unwrap()).collect();
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert_ne!(a.describe(), b.describe(), "{} and {}", a.name, b.name);
            }
        }
        assert!(Rules::preset("mt5").is_none());
        for library in LIBRARIES {
            assert_eq!(Rules::of_library(library).map(|rules| rules.name).as_deref(), Some(*library));
        }
        assert!(Rules::of_library("tradingview").is_none());
    }

    #[test]
    fn rules_change_by_name_and_say_so() {
        let mut rules = Rules::default();
        rules.set("at_open = stop-first").unwrap();
        assert_eq!((rules.at_open, rules.name.as_str()), (AtOpen::StopFirst, "tradingview*"));
        assert!(matches!(rules.set("at-open"), Err(RuleError::NoValue(_))));
        assert!(matches!(rules.set("x=1"), Err(RuleError::Key(_))));
        let error = rules.set("lots=half").unwrap_err().to_string();
        assert!(error.contains("min-qty, whole, fractional"), "{error}");
    }
}
