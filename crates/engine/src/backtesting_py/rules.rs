//! What the original's versions answer differently.

/// The answers of one version of the original. Only what differs between versions is here; the rest is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The preset's name, as `--broker` takes it.
    pub name: &'static str,
    /// The original's version.
    pub version: &'static str,
    /// A commission is a share of the price that an entry loses, as a spread is; nothing is paid in cash, and exits
    /// are free. Otherwise both sides pay it in cash.
    pub commission_moves_entries: bool,
    /// A bar that just reaches a level touches it; otherwise it must go beyond. Likewise a limit at its own stop counts
    /// as touched before the stop.
    pub reaching_touches: bool,
    /// A take profit joins the front of the queue, as a stop loss does; otherwise the back.
    pub targets_join_front: bool,
    /// Every order of a trade is contingent, those that close it by `close` too: exclusive orders leave them alone, and
    /// the original stops where a strategy cancels one.
    pub closes_are_contingent: bool,
    /// A stop loss that filled keeps its price.
    pub keeps_filled_stops: bool,
    /// The position's profit is a fraction, that of each trade weighted by its units; otherwise percent of its cost.
    pub weighs_profit_by_units: bool,
    /// With `trade_on_close` stop losses are priced from the previous close, as entries are; otherwise from the open.
    pub brackets_trade_on_close: bool,
    /// A take profit may act on the bar whose range filled its stop entry, where only it lies within that bar.
    pub targets_act_on_stop_entries: bool,
    /// What is open at the end is always closed; otherwise where `finalize_trades` says so.
    pub always_finalizes: bool,
    /// At the end the trade opened last is closed first; otherwise the one opened first.
    pub finalizes_latest_first: bool,
    /// A whole size below zero is taken, and turns buying into selling.
    pub takes_negative_sizes: bool,
    /// Unrealised profit is the sum of the trades' own; otherwise the position's value less its cost. They differ in
    /// the last bits, which decide whether an equity counts as back at its peak.
    pub sums_profits_by_trade: bool,
    /// Tells of orders that are dropped for want of margin.
    pub warns_of_dropped_orders: bool,
    /// Calendar bins of annual figures follow the bars' period, up to years; otherwise they are days.
    pub bins_follow_period: bool,
    /// The mean growth of annual figures counts only bins that have one before them; otherwise the first counts too,
    /// as unchanged.
    pub first_bin_left_out: bool,
    /// Buying and holding begins where the indicators do; otherwise with the first bar.
    pub holds_from_warmup: bool,
    /// Sharpe, Sortino and Calmar ratios below zero are zero.
    pub ratios_end_at_zero: bool,
    /// Orders and trades carry a tag.
    pub knows_tags: bool,
    /// The trade table has stop loss, take profit, commission, tag and the indicators' values.
    pub tells_all_of_trades: bool,
    /// Data print as the bar after the current one.
    pub prints_next_bar: bool,
    /// Rows of the statistics that this version does not have.
    pub rows_left_out: &'static [&'static str],
}

impl Rules {
    /// Version 0.6.6.
    pub const V0_6: Self = Self {
        name: "backtesting_py",
        version: "0.6.6",
        commission_moves_entries: false,
        reaching_touches: true,
        targets_join_front: false,
        closes_are_contingent: false,
        keeps_filled_stops: true,
        weighs_profit_by_units: false,
        brackets_trade_on_close: false,
        targets_act_on_stop_entries: true,
        always_finalizes: false,
        finalizes_latest_first: false,
        takes_negative_sizes: false,
        sums_profits_by_trade: false,
        warns_of_dropped_orders: true,
        bins_follow_period: true,
        first_bin_left_out: true,
        holds_from_warmup: true,
        ratios_end_at_zero: false,
        knows_tags: true,
        tells_all_of_trades: true,
        prints_next_bar: false,
        rows_left_out: &[],
    };

    /// Version 0.3.3.
    pub const V0_3: Self = Self {
        name: "backtesting_py_0_3",
        version: "0.3.3",
        commission_moves_entries: true,
        reaching_touches: false,
        targets_join_front: true,
        closes_are_contingent: true,
        keeps_filled_stops: false,
        weighs_profit_by_units: true,
        brackets_trade_on_close: true,
        targets_act_on_stop_entries: false,
        always_finalizes: true,
        finalizes_latest_first: true,
        takes_negative_sizes: true,
        sums_profits_by_trade: true,
        warns_of_dropped_orders: false,
        bins_follow_period: false,
        first_bin_left_out: false,
        holds_from_warmup: false,
        ratios_end_at_zero: true,
        knows_tags: false,
        tells_all_of_trades: false,
        prints_next_bar: true,
        rows_left_out: &["Commissions [$]", "CAGR [%]", "Alpha [%]", "Beta", "Kelly Criterion"],
    };

    /// All versions, the default first.
    pub const ALL: [Self; 2] = [Self::V0_6, Self::V0_3];

    /// The version of this preset.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rules| rules.name == name)
    }
}

impl Default for Rules {
    /// Version 0.6.6.
    fn default() -> Self {
        Self::V0_6
    }
}
