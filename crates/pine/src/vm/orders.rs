//! Order calls: registers to the broker's commands.

use super::machine::{OrderSite, Reg};
use super::values::Strings;
use springtide_engine::broker::{
    Broker, CloseCommand, EntryCommand, ExitCommand, NameId, OcaKind, RiskRule, Side,
};

/// Which order call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderKind {
    Entry,
    Order,
    Exit,
    Close,
    CloseAll,
    Cancel,
    CancelAll,
    AllowEntryIn,
    MaxPositionSize,
    MaxDrawdown,
    MaxIntradayLoss,
    MaxConsLossDays,
    MaxIntradayFilledOrders,
}

impl OrderKind {
    pub fn find(name: &str) -> Option<Self> {
        Some(match name {
            "strategy.entry" => Self::Entry,
            "strategy.order" => Self::Order,
            "strategy.exit" => Self::Exit,
            "strategy.close" => Self::Close,
            "strategy.close_all" => Self::CloseAll,
            "strategy.cancel" => Self::Cancel,
            "strategy.cancel_all" => Self::CancelAll,
            "strategy.risk.allow_entry_in" => Self::AllowEntryIn,
            "strategy.risk.max_position_size" => Self::MaxPositionSize,
            "strategy.risk.max_drawdown" => Self::MaxDrawdown,
            "strategy.risk.max_intraday_loss" => Self::MaxIntradayLoss,
            "strategy.risk.max_cons_loss_days" => Self::MaxConsLossDays,
            "strategy.risk.max_intraday_filled_orders" => Self::MaxIntradayFilledOrders,
            _ => return None,
        })
    }
}

/// Arguments by position, `na` and left-out ones as none.
struct Args<'a> {
    args: &'a [Reg],
    registers: &'a [f64],
    strings: &'a Strings,
}

impl Args<'_> {
    fn raw(&self, k: usize) -> f64 {
        self.args.get(k).map_or(f64::NAN, |r| self.registers[*r as usize])
    }

    fn number(&self, k: usize) -> Option<f64> {
        Some(self.raw(k)).filter(|x| x.is_finite())
    }

    fn name(&self, k: usize) -> NameId {
        self.strings.name(self.raw(k))
    }

    fn text(&self, k: usize) -> &str {
        self.strings.get(self.raw(k)).unwrap_or("")
    }

    fn truth(&self, k: usize) -> bool {
        super::fold::truthy(self.raw(k))
    }

    fn side(&self, k: usize) -> Side {
        if self.raw(k) < 0.0 || !super::fold::truthy(self.raw(k)) { Side::Short } else { Side::Long }
    }
}

/// An order call with its arguments.
#[derive(Clone, Copy, Debug)]
pub(super) enum Command {
    Entry(EntryCommand),
    Exit(ExitCommand),
    Close(CloseCommand),
    Cancel(NameId),
    CancelAll,
    /// None where the rule's value is na: it says nothing.
    Risk(Option<RiskRule>),
}

impl Command {
    /// Sends it to the broker.
    pub fn send(self, broker: &mut Broker<'_>) {
        match self {
            Self::Entry(command) => broker.entry(command),
            Self::Exit(command) => broker.exit(command),
            Self::Close(command) => broker.close(command),
            Self::Cancel(id) => broker.cancel(id),
            Self::CancelAll => broker.cancel_all(),
            Self::Risk(rule) => rule.into_iter().for_each(|rule| broker.risk(rule)),
        }
    }
}

/// Reads an order call's arguments. Directions are +1 and -1.
pub(super) fn command(strings: &Strings, site: &OrderSite, registers: &[f64]) -> Command {
    let a = Args { args: &site.args, registers, strings };
    match site.kind {
        OrderKind::Entry | OrderKind::Order => {
            let command = EntryCommand {
                id: a.name(0),
                side: a.side(1),
                qty: a.number(2),
                limit: a.number(3),
                stop: a.number(4),
                oca_name: a.name(5),
                oca: match a.raw(6) as i64 {
                    1 => OcaKind::Cancel,
                    2 => OcaKind::Reduce,
                    _ => OcaKind::None,
                },
                comment: a.name(7),
                is_entry: site.kind == OrderKind::Entry,
            };
            Command::Entry(command)
        }
        OrderKind::Exit => {
            let command = ExitCommand {
                id: a.name(0),
                from_entry: a.name(1),
                qty: a.number(2),
                qty_percent: a.number(3),
                profit: a.number(4),
                limit: a.number(5),
                loss: a.number(6),
                stop: a.number(7),
                trail_price: a.number(8),
                trail_points: a.number(9),
                trail_offset: a.number(10),
                oca_name: a.name(11),
                comment: a.name(12),
                comment_profit: a.name(13),
                comment_loss: a.name(14),
                comment_trailing: a.name(15),
            };
            Command::Exit(command)
        }
        OrderKind::Close => {
            let command = CloseCommand {
                id: Some(a.name(0)),
                comment: a.name(1),
                qty: a.number(2),
                qty_percent: a.number(3),
                immediately: a.truth(5),
            };
            Command::Close(command)
        }
        OrderKind::CloseAll => {
            let command = CloseCommand {
                id: None,
                comment: a.name(0),
                qty: None,
                qty_percent: None,
                immediately: a.truth(2),
            };
            Command::Close(command)
        }
        OrderKind::Cancel => Command::Cancel(a.name(0)),
        OrderKind::CancelAll => Command::CancelAll,
        OrderKind::AllowEntryIn => {
            let side = match a.raw(0) {
                x if x > 0.0 => Some(Side::Long),
                x if x < 0.0 => Some(Side::Short),
                _ => None,
            };
            Command::Risk(Some(RiskRule::AllowEntryIn(side)))
        }
        OrderKind::MaxPositionSize => Command::Risk(a.number(0).map(RiskRule::MaxPositionSize)),
        OrderKind::MaxDrawdown => {
            let percent = a.text(1) == "percent_of_equity";
            Command::Risk(a.number(0).map(|value| RiskRule::MaxDrawdown { value, percent }))
        }
        OrderKind::MaxIntradayLoss => {
            let percent = a.text(1) == "percent_of_equity";
            Command::Risk(a.number(0).map(|value| RiskRule::MaxIntradayLoss { value, percent }))
        }
        OrderKind::MaxConsLossDays => Command::Risk(a.number(0).map(RiskRule::MaxConsLossDays)),
        OrderKind::MaxIntradayFilledOrders => {
            Command::Risk(a.number(0).map(RiskRule::MaxIntradayFilledOrders))
        }
    }
}
