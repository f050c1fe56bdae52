//! Order commands.

use super::Checker;
use super::args::Arguments;
use crate::check::builtins::{Kind, Sig};
use crate::check::types::Fx;
use crate::ir::{Expr, ExprId, Stmt, Ty};
use springtide_domain::Span;

impl Checker<'_> {
    /// Writes an order with its arguments in the present version's order; `when` becomes an `If`.
    pub(super) fn order(&mut self, sig: &'static Sig, args: Arguments, span: Span) {
        let old_exit = self.version <= 5 && sig.name == "strategy.exit";
        let mut when = None;
        let mut by_name: Vec<(&'static str, ExprId)> = Vec::with_capacity(sig.params.len());
        for (param, val) in sig.params.iter().zip(args.vals) {
            match (param.name, val) {
                (_, None) => {}
                ("when", Some(val)) => when = Some(val),
                // It is asked for twice below.
                ("limit" | "stop" | "trail_price", Some(val))
                    if old_exit && val.fx.has(Fx::STATE | Fx::MUT) =>
                {
                    by_name.push((param.name, self.spill(&val).e));
                }
                (name, Some(val)) => by_name.push((name, val.e)),
            }
        }
        if old_exit {
            self.absolute_wins(&mut by_name);
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

    /// Before version 6 a relative level counts only where the absolute one beside it is na.
    fn absolute_wins(&mut self, by_name: &mut [(&'static str, ExprId)]) {
        for (relative, absolute) in [("profit", "limit"), ("loss", "stop"), ("trail_points", "trail_price")] {
            let find = |name: &str| by_name.iter().position(|(n, _)| *n == name);
            let (Some(r), Some(a)) = (find(relative), find(absolute)) else { continue };
            let (ticks, level) = (by_name[r].1, by_name[a].1);
            let site = self.site();
            let missing = self.expr(Expr::Call {
                name: "na",
                args: vec![level],
                arg_types: vec![Ty::Float],
                ty: Ty::Bool,
                site,
            });
            let none = self.expr(Expr::Num(f64::NAN));
            by_name[r].1 = self.expr(Expr::Select(missing, ticks, none));
        }
    }

    /// Parameter names of the newest overload.
    fn present_order(&self, name: &str) -> Vec<&'static str> {
        let overloads = self.tables.functions.get(name);
        let newest = overloads.and_then(|all| all.iter().find(|s| s.kind == Kind::Order && s.until >= 6));
        newest.map_or_else(Vec::new, |s| s.params.iter().map(|p| p.name).collect())
    }
}
