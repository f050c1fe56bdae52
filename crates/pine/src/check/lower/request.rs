//! `request.security` and `request.security_lower_tf`.

use super::Checker;
use super::args::{Arguments, Given};
use crate::check::types::{K, Q, T, Val};
use crate::ir::{BarField, Expr, ExprId, Security, Stmt};
use crate::syntax::ast;
use springtide_domain::Span;
use springtide_engine::ta::TaFunc;

impl<'a> Checker<'a> {
    pub(super) fn security(&mut self, name: &'static str, args: &'a [ast::Arg], span: Span) -> Val {
        let mut given = Vec::with_capacity(args.len());
        let mut inner = None;
        for (i, arg) in args.iter().enumerate() {
            let is_expression = match &arg.name {
                Some(ident) => ident.name == "expression",
                None => i == 2,
            };
            let val = if is_expression {
                inner = Some((self.requested(&arg.value), arg.value.span));
                self.unknown()
            } else {
                self.expression(&arg.value)
            };
            given.push(Given { name: arg.name.as_ref(), val, span: arg.value.span });
        }
        let overloads = self.overloads(name).unwrap_or_default();
        let Some(chosen) = self.resolve(name, &overloads, &given, &[], span) else { return self.unknown() };
        let arguments = self.arguments(name, &chosen, &given);
        let Some(((body, result), at)) = inner else { return self.unknown() };
        match result.t {
            T::Unknown => return self.unknown(),
            T::Void => {
                self.error("no-value", at, format!("the expression of {name}() has no value"), "");
                return self.unknown();
            }
            _ => {}
        }
        let lower = name == "request.security_lower_tf";
        self.write_security(name, arguments, lower, (body, result, at), span)
    }

    /// The expression, written into a block of its own that runs on the other bars.
    fn requested(&mut self, expr: &'a ast::Expr) -> (Vec<Stmt>, Val) {
        let conditional = std::mem::take(&mut self.conditional);
        self.in_request += 1;
        let result = self.in_block(|c| c.expression(expr));
        self.in_request -= 1;
        self.conditional = conditional;
        result
    }

    fn write_security(
        &mut self,
        name: &'static str,
        args: Arguments,
        lower: bool,
        (body, result, at): (Vec<Stmt>, Val, Span),
        span: Span,
    ) -> Val {
        let mut vals = args.vals;
        let mut take = |i: usize| vals.get_mut(i).and_then(Option::take);
        let (symbol, timeframe) = (take(0), take(1));
        let (gaps, lookahead) = if lower { (None, None) } else { (take(3), take(4)) };
        let ignore = take(if lower { 3 } else { 5 });
        let (currency, count) = (take(if lower { 4 } else { 6 }), take(if lower { 6 } else { 7 }));
        self.check_extras(name, currency, count.is_some(), span);
        let (Some(symbol), Some(timeframe)) = (symbol, timeframe) else { return self.unknown() };
        let wants_later = lookahead.as_ref().is_some_and(|v| self.is_on(v));
        let results: Vec<Val> =
            if result.parts.is_empty() { vec![result.clone()] } else { result.parts.clone() };
        if wants_later && !self.is_chart_timeframe(&timeframe) && results.iter().any(|r| self.leaks(r.e)) {
            let hint = "offset the expression by `[1]`, or leave `lookahead` off";
            let message = "lookahead_on without `[1]` reads values from the future on history";
            self.warn("look-ahead-bias", at, message, hint);
        }
        let off = |c: &mut Self, v: Option<Val>| v.map_or_else(|| c.num(0.0), |v| v.e);
        let (gaps, lookahead, ignore_invalid) = (off(self, gaps), off(self, lookahead), off(self, ignore));
        let types: Vec<_> = results
            .iter()
            .map(|r| if lower { T::Array(Box::new(r.t.clone())) } else { settled(&r.t) })
            .collect();
        let outs: Vec<_> = types.iter().map(|t| self.temp(t.clone(), Q::Series)).collect();
        let site = self.site();
        self.push(Stmt::Security(Box::new(Security {
            site,
            name,
            symbol: symbol.e,
            timeframe: timeframe.e,
            gaps,
            lookahead,
            ignore_invalid,
            body,
            results: results.iter().map(|r| r.e).collect(),
            outs: outs.clone(),
            span,
        })));
        if result.parts.is_empty() { self.read(outs[0]) } else { self.tuple_of(&outs, types) }
    }

    fn check_extras(&mut self, name: &str, currency: Option<Val>, count: bool, span: Span) {
        if let Some(val) = currency {
            let own = matches!(self.program.exprs[val.e.index()], Expr::Get("syminfo.currency"));
            let none = val.t == T::Na || val.k.as_ref().and_then(K::text) == Some("NONE");
            if !own && !none {
                let message = format!("{name}() with a currency needs exchange rates");
                self.unsupported("request.security currency", span, message, "leave `currency` out");
            }
        }
        if count {
            let message = "calc_bars_count is ignored: all bars are used";
            self.warn("ignored-argument", span, message, "");
        }
    }

    /// Known to be on.
    fn is_on(&self, val: &Val) -> bool {
        matches!(self.program.exprs[val.e.index()], Expr::Num(x) if x != 0.0)
    }

    fn is_chart_timeframe(&self, val: &Val) -> bool {
        matches!(self.program.exprs[val.e.index()], Expr::Get("timeframe.period"))
            || val.k.as_ref().and_then(K::text) == Some("")
    }

    /// Whether an expression reads something of a bar that is only known at the bar's end.
    pub(super) fn leaks(&self, e: ExprId) -> bool {
        let offset = |e: &ExprId| matches!(self.program.exprs[e.index()], Expr::Num(n) if n >= 1.0);
        match &self.program.exprs[e.index()] {
            Expr::Num(_) | Expr::Str(_) | Expr::Absent | Expr::Get(_) => false,
            Expr::Bar(field) => {
                !matches!(field, BarField::Open | BarField::Time | BarField::TimeClose | BarField::BarIndex)
            }
            Expr::BarHist(_, n) | Expr::VarHist(_, n) => !offset(n),
            Expr::Var(id) => !self.vars[id.index()].early,
            Expr::Input(id) => {
                matches!(self.program.inputs[id.index()].kind, crate::ir::InputKind::Source(_))
            }
            Expr::Un(_, a) | Expr::Field(a, _) => self.leaks(*a),
            Expr::Bin(_, a, b) | Expr::And(a, b) | Expr::Or(a, b) => self.leaks(*a) || self.leaks(*b),
            Expr::Select(a, b, c) => [a, b, c].into_iter().any(|e| self.leaks(*e)),
            Expr::Ta(_, func, args) => reads_bars(*func) || args.iter().any(|a| self.leaks(*a)),
            Expr::Call { args, .. } | Expr::New(_, args) => args.iter().any(|a| self.leaks(*a)),
        }
    }
}

/// Indicators that read the bar without being told to.
fn reads_bars(func: TaFunc) -> bool {
    use TaFunc::*;
    matches!(
        func,
        Tr | Atr
            | Supertrend
            | Sar
            | Dmi
            | Wpr
            | Obv
            | Pvt
            | Pvi
            | Nvi
            | AccDist
            | Iii
            | Wad
            | Wvad
            | Kc
            | Kcw
            | Mfi
            | Vwma
            | Vwap
    )
}

/// A request that only ever gives na is a float.
fn settled(t: &T) -> T {
    match t {
        T::Na => T::Float,
        t => t.clone(),
    }
}
