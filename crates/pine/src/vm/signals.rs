//! Programs that do nothing but give fixed orders where conditions of the market hold: no code runs at all, the
//! orders go from the masks to the broker.

use super::bits::Mask;
use super::build::{Built, When};
use super::machine::Op;
use super::orders::{self, Command};
use super::run::RunError;
use super::values::Strings;
use springtide_engine::broker::Broker;

/// Orders given on the bars of a gate, by the gate's number; in the script's order.
pub(super) struct Signals(Vec<(usize, Vec<Command>)>);

impl Signals {
    /// The signals of a program that has nothing else.
    pub fn find(built: &Built, strings: &Strings) -> Option<Self> {
        let code = &built.code;
        if !code.histories.is_empty() || !built.when.iter().all(|w| matches!(w, When::Gated(_))) {
            return None;
        }
        let mut signals: Vec<(usize, Vec<Command>)> = Vec::new();
        // Where the orders of the gate met last end.
        let mut end = 0;
        for (at, op) in code.ops.iter().enumerate() {
            match op {
                Op::JumpUnlessGate { gate, to } if at >= end => {
                    end = *to as usize;
                    signals.push((*gate as usize, Vec::new()));
                }
                // No operation of such a program writes a register: the arguments are constants.
                Op::Order { order } if at < end => {
                    let command = orders::command(strings, &code.orders[*order as usize], &code.registers);
                    signals.last_mut()?.1.push(command);
                }
                Op::End => return Some(Self(signals)),
                _ => return None,
            }
        }
        None
    }

    /// Runs them on `n` bars.
    pub fn drive(
        &self,
        broker: &mut Broker<'_>,
        masks: &[Mask],
        n: usize,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), RunError> {
        let any = Mask::any(self.0.iter().map(|(gate, _)| &masks[*gate]), n);
        for (count, bar) in any.bars().enumerate() {
            if count % STOP_EVERY == STOP_EVERY - 1 && stop() {
                return Err(RunError::Stopped);
            }
            if broker.current_bar() != Some(bar) {
                while broker.advance(bar) < bar {}
                broker.open_bar(bar);
            }
            let mut given = self.0.iter().filter(|(gate, _)| masks[*gate].get(bar)).flat_map(|(_, c)| c);
            let (first, second) = (given.next(), given.next());
            let through = match (first, second) {
                (Some(Command::Entry(c)), None) => broker.enter_through(*c),
                (Some(Command::Close(c)), None) => broker.close_through(*c),
                _ => false,
            };
            if !through {
                first.into_iter().chain(second).chain(given).for_each(|c| c.send(broker));
                broker.close_bar(bar);
            }
        }
        while broker.advance(n) < n {}
        Ok(())
    }
}

/// Signals between two questions whether to stop.
const STOP_EVERY: usize = 4_096;
