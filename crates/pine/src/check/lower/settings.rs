//! `strategy(...)`, `indicator(...)`: what kind of script it is and the account it trades with.

use super::Checker;
use crate::check::Defaults;
use crate::check::builtins::Sig;
use crate::check::types::{K, T, Val};
use crate::syntax::ast;
use springtide_domain::Span;
use springtide_engine::{Commission, QtyType, Slippage};

impl<'a> Checker<'a> {
    pub(super) fn declaration_call(&mut self, name: &'static str, args: &'a [ast::Arg], span: Span) -> Val {
        if !self.is_global() || !self.frames.is_empty() {
            let message = format!("{name}() stands inside a block");
            self.error("misplaced-declaration", span, message, "move it to the top of the script");
        }
        if let Some(first) = self.declared_kind {
            let message = format!("the script is already declared by {first}()");
            self.error("declared-twice", span, message, "keep one of the two");
        }
        self.declared_kind = Some(name);
        if name == "library" {
            self.unsupported(
                "library",
                span,
                "a library does not trade",
                "compile the strategy that uses it",
            );
        }
        let given = self.given(None, args);
        let overloads = self.overloads(name).unwrap_or_default();
        let Some(chosen) = self.resolve(name, &overloads, &given, &[], span) else { return self.void() };
        let arguments = self.arguments(name, &chosen, &given);
        let places = chosen.places.iter().map(|p| p.map_or(span, |i| given[i].span));
        let spans: Vec<_> = places.collect();
        self.title(&arguments.vals);
        if name == "strategy" {
            self.program.is_strategy = true;
            self.account(chosen.sig, &arguments.vals, &spans, span);
        }
        self.void()
    }

    fn title(&mut self, vals: &[Option<Val>]) {
        let title = vals.first().and_then(Option::as_ref).and_then(|v| v.k.as_ref()).and_then(K::text);
        self.program.title = title.unwrap_or("").to_owned();
    }

    fn account(&mut self, sig: &'static Sig, vals: &[Option<Val>], spans: &[Span], span: Span) {
        self.account_defaults();
        let mut commission = (None, 0.0);
        for ((param, val), at) in sig.params.iter().zip(vals).zip(spans) {
            let Some(val) = val else { continue };
            self.program.declared.push(param.name.to_owned());
            match param.name {
                "commission_type" => commission.0 = self.fixed_text(param.name, val, *at),
                "commission_value" => commission.1 = self.fixed(param.name, val, *at).unwrap_or(0.0),
                name => self.setting(name, val, *at),
            }
        }
        self.program.account.commission = match commission.0.as_deref() {
            Some("cash_per_contract") => Commission::PerContract(commission.1),
            Some("cash_per_order") => Commission::PerOrder(commission.1),
            _ => Commission::Percent(commission.1),
        };
        self.warn_of_defaults(span);
    }

    fn account_defaults(&mut self) {
        let (version, account) = (self.version, &mut self.program.account);
        if version < 6 {
            return;
        }
        account.margin_long = 100.0;
        account.margin_short = 100.0;
        if self.options.defaults == Defaults::V6From2026_09 {
            account.initial_capital = 100_000.0;
            account.qty_type = QtyType::PercentOfEquity;
            account.qty_value = 100.0;
        }
    }

    /// Version 6 has had two sets of defaults, so a script should not rely on either.
    fn warn_of_defaults(&mut self, span: Span) {
        let missing: Vec<_> = ["initial_capital", "default_qty_type", "default_qty_value"]
            .into_iter()
            .filter(|name| !self.program.declared.iter().any(|d| d == name))
            .collect();
        if self.version >= 6 && !missing.is_empty() {
            let message =
                format!("strategy() leaves out {}, whose defaults changed on 2026-09-24", missing.join(", "));
            self.warn("default-sizing", span, message, "give them explicitly");
        }
    }

    fn setting(&mut self, name: &'static str, val: &Val, at: Span) {
        match name {
            "default_qty_type" => return self.qty_type(val, at),
            "close_entries_rule" => {
                let rule = self.fixed_text(name, val, at);
                self.program.account.close_entries_any = rule.is_some_and(|r| r.eq_ignore_ascii_case("any"));
                return;
            }
            _ => {}
        }
        let relevant = matches!(
            name,
            "initial_capital"
                | "default_qty_value"
                | "slippage"
                | "pyramiding"
                | "margin_long"
                | "margin_short"
                | "process_orders_on_close"
                | "calc_on_order_fills"
                | "calc_on_every_tick"
                | "backtest_fill_limits_assumption"
                | "risk_free_rate"
                | "use_bar_magnifier"
        );
        if !relevant {
            return;
        }
        let Some(x) = self.fixed(name, val, at) else { return };
        let whole = x.max(0.0) as u32;
        let account = &mut self.program.account;
        match name {
            "initial_capital" => account.initial_capital = x,
            "default_qty_value" => account.qty_value = x,
            "slippage" => account.slippage = Slippage::Ticks(x),
            "pyramiding" => account.pyramiding = whole,
            "margin_long" => account.margin_long = x,
            "margin_short" => account.margin_short = x,
            "process_orders_on_close" => account.process_orders_on_close = x != 0.0,
            "calc_on_order_fills" => account.calc_on_order_fills = x != 0.0,
            "backtest_fill_limits_assumption" => account.limit_verify_ticks = whole,
            "risk_free_rate" => account.risk_free_rate = x,
            _ if x == 0.0 => {}
            "calc_on_every_tick" => {
                let message = "calc_on_every_tick has no effect on historical bars";
                self.warn("ignored-argument", at, message, "");
            }
            _ => self.program.bar_magnifier = true,
        }
    }

    fn qty_type(&mut self, val: &Val, at: Span) {
        let Some(text) = self.fixed_text("default_qty_type", val, at) else { return };
        self.program.account.qty_type = match text.as_str() {
            "cash" => QtyType::Cash,
            "percent_of_equity" => QtyType::PercentOfEquity,
            "fixed" => QtyType::Fixed,
            _ => {
                let hint = "one of strategy.fixed, strategy.cash, strategy.percent_of_equity";
                self.error("argument-value", at, format!("there is no quantity type \"{text}\""), hint);
                return;
            }
        };
    }

    /// The number behind a setting, which must be known now.
    fn fixed(&mut self, name: &str, val: &Val, at: Span) -> Option<f64> {
        let known = val.k.as_ref().and_then(K::number).filter(|x| x.is_finite());
        if known.is_none() {
            self.not_fixed(name, val, at);
        }
        known
    }

    fn fixed_text(&mut self, name: &str, val: &Val, at: Span) -> Option<String> {
        let known = val.k.as_ref().and_then(K::text).map(str::to_owned);
        if known.is_none() {
            self.not_fixed(name, val, at);
        }
        known
    }

    fn not_fixed(&mut self, name: &str, val: &Val, at: Span) {
        if matches!(val.t, T::Unknown) {
            return;
        }
        let message = format!("the argument '{name}' of strategy() must be a constant");
        self.error("not-constant", at, message, "write the value itself");
    }

    /// A script must say what it is.
    pub(super) fn require_declaration(&mut self) {
        if self.declared_kind.is_none() {
            let hint = "put `strategy(\"name\")` or `indicator(\"name\")` on the second line";
            self.error(
                "no-declaration",
                Span::new(0, 0),
                "the script declares neither a strategy nor an indicator",
                hint,
            );
        }
    }
}
