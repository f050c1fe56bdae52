//! Order commands.

use super::Checker;
use super::args::Arguments;
use crate::check::builtins::{Kind, Sig};
use crate::ir::{ExprId, Stmt};
use springtide_domain::Span;

impl Checker<'_> {
    /// Writes an order with its arguments in the present version's order; `when` becomes an `If`.
    pub(super) fn order(&mut self, sig: &'static Sig, args: Arguments, span: Span) {
        let mut when = None;
        let mut by_name: Vec<(&'static str, ExprId)> = Vec::with_capacity(sig.params.len());
        for (param, val) in sig.params.iter().zip(args.vals) {
            match (param.name, val) {
                (_, None) => {}
                ("when", Some(val)) => when = Some(val),
                (name, Some(val)) => by_name.push((name, val.e)),
            }
        }
        let mut args = Vec::with_capacity(by_name.len());
        for name in self.present_order(sig.name) {
            // Alerts go nowhere in a backtest.
            let given = by_name.iter().find(|(n, _)| *n == name && !n.contains("alert"));
            args.push(match given {
                Some((_, e)) => *e,
                None => self.absent(),
            });
        }
        let order = Stmt::Order { name: sig.name, args, span };
        match when {
            None => self.push(order),
            Some(val) => self.push(Stmt::If(val.e, vec![order], Vec::new())),
        }
    }

    /// Parameter names of the newest overload.
    fn present_order(&self, name: &str) -> Vec<&'static str> {
        let overloads = self.tables.functions.get(name);
        let newest = overloads.and_then(|all| all.iter().find(|s| s.kind == Kind::Order && s.until >= 6));
        newest.map_or_else(Vec::new, |s| s.params.iter().map(|p| p.name).collect())
    }
}
