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
        /// The same distance, in proportion, from the price the entry filled at.
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
    /// What comes first at a bar's open: market orders from the last close, or stops and limits already passed.
    AtOpen {
        /// Market orders.
        SignalFirst = "signal-first",
        /// Stops and limits.
        StopFirst = "stop-first",
    }
}
choices! {
    /// Which level is hit first when one bar spans several.
    Intrabar {
        /// The path open, nearer extreme, farther extreme, close.
        Path = "path",
        /// Stops before limits.
        StopFirst = "stop-first",
        /// Limits before stops.
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
}
