//! Built-ins with code of their own.

use super::Checker;
use super::args::Arguments;
use crate::check::builtins::Sig;
use crate::check::dates;
use crate::check::types::{Fx, K, Q, T, Val};
use crate::ir::{Bin, Expr, ExprId, Stmt, TypeId};
use springtide_domain::Span;
use springtide_engine::ta::TaFunc;

impl Checker<'_> {
    pub(super) fn special(&mut self, sig: &'static Sig, args: Arguments, t: T, span: Span) -> Val {
        let vals = self.placed(args);
        match sig.name {
            "timestamp" => self.timestamp(sig, vals, span),
            "iff" => self.iff(vals, span),
            "offset" => self.history(vals[0].clone(), vals[1].clone(), span),
            "ta.pivot_point_levels" => self.pivot_levels(vals, span),
            "chart.point.new" => self.point(vals),
            "chart.point.from_index" => self.point_at(None, Some(vals[0].clone()), vals[1].clone()),
            "chart.point.from_time" => self.point_at(Some(vals[0].clone()), None, vals[1].clone()),
            "chart.point.now" => self.point_now(vals),
            "chart.point.copy" => self.copy_object(vals[0].clone()),
            "runtime.error" => {
                self.push(Stmt::Error(vals[0].e, span));
                self.void()
            }
            "log.info" => self.log(0, vals),
            "log.warning" => self.log(1, vals),
            "log.error" => self.log(2, vals),
            _ => {
                vals.iter().for_each(|v| self.discard(v));
                if t == T::Void { self.void() } else { self.unknown() }
            }
        }
    }

    /// Text becomes a number now; parts become one call with all seven of them.
    fn timestamp(&mut self, sig: &'static Sig, vals: Vec<Val>, span: Span) -> Val {
        if sig.params.len() == 1 {
            let Some(text) = vals[0].k.as_ref().and_then(K::text) else {
                self.error("not-constant", span, "timestamp() reads a text only when it is constant", "");
                return self.unknown();
            };
            return match dates::parse(text) {
                Some(ms) => self.constant(K::Int(ms)),
                None => {
                    let message = format!("timestamp() cannot read the date \"{text}\"");
                    self.error(
                        "bad-date",
                        span,
                        message,
                        "write it like \"2024-01-31 09:30\" or \"31 Jan 2024 09:30 +0000\"",
                    );
                    self.unknown()
                }
            };
        }
        let mut parts = vals;
        if sig.params.len() == 6 {
            let e = self.absent();
            parts.insert(0, Val::new(e, T::Na, Q::Const, Fx::NONE));
        }
        let q = parts.iter().map(|p| p.q).max().unwrap_or(Q::Simple).max(Q::Simple);
        self.builtin("timestamp", parts, T::Int, q, Fx::NONE)
    }

    /// Both results are evaluated on every bar: this is a function, not the operator.
    fn iff(&mut self, vals: Vec<Val>, span: Span) -> Val {
        let [cond, a, b] = [0, 1, 2].map(|i| vals[i].clone());
        let mut both = [a, b];
        for val in &mut both {
            if val.fx.has(Fx::STATE | Fx::MUT) {
                *val = self.spill(val);
            }
        }
        let [a, b] = both;
        self.select(cond, a, b, span)
    }

    fn pivot_levels(&mut self, vals: Vec<Val>, span: Span) -> Val {
        let kind = vals[0].k.as_ref().and_then(K::text);
        let kinds = ["Traditional", "Fibonacci", "Woodie", "Classic", "DM", "Camarilla"];
        let Some(code) = kind.and_then(|kind| kinds.iter().position(|k| *k == kind)) else {
            let hint = "write one of Traditional, Fibonacci, Woodie, Classic, DM, Camarilla as a literal";
            let message = "the type of ta.pivot_point_levels() is not a constant that is known";
            return self.dead_end(
                "ta.pivot_point_levels",
                span,
                message.into(),
                hint.into(),
                T::Array(Box::new(T::Float)),
                Q::Series,
            );
        };
        let code = self.num(code as f64);
        let developing = match vals[2].t {
            T::Bool => vals[2].e,
            _ => self.num(0.0),
        };
        let site = self.site();
        let outs: Vec<_> = (0..11).map(|_| self.temp(T::Float, Q::Series)).collect();
        let args = vec![code, vals[1].e, developing];
        self.push(Stmt::TaMulti { site, func: TaFunc::PivotPointLevels, args, outs: outs.clone() });
        let levels = outs.iter().map(|id| self.read(*id)).collect();
        self.builtin("array.from", levels, T::Array(Box::new(T::Float)), Q::Series, Fx::STATE | Fx::HEAP)
    }

    // --- colours: 0xRRGGBBAA as a number, AA the opacity ---

    pub(super) fn color(&mut self, name: &'static str, vals: Vec<Val>, q: Q) -> Val {
        let fx = vals.iter().fold(Fx::NONE, |fx, v| fx | v.fx);
        let given = |c: &Self, i: usize| {
            vals.get(i).filter(|v| !matches!(c.program.exprs[v.e.index()], Expr::Absent)).map(|v| v.e)
        };
        let first = vals[0].e;
        let (e, t) = match name {
            "color" if vals.len() == 1 => (first, T::Color),
            "color" | "color.new" => {
                let opaque = self.scaled_floor(first, 256.0, 256.0);
                let opacity = self.opacity(vals[1].e);
                (self.sum(opaque, opacity), T::Color)
            }
            "color.rgb" => {
                let opacity = match given(self, 3) {
                    Some(transp) => self.opacity(transp),
                    None => self.num(255.0),
                };
                let parts = [(first, 16_777_216.0), (vals[1].e, 65_536.0), (vals[2].e, 256.0)];
                let parts = parts.map(|(e, scale)| self.times(e, scale));
                (parts.into_iter().fold(opacity, |sum, part| self.sum(sum, part)), T::Color)
            }
            "color.r" => (self.channel(first, 16_777_216.0), T::Float),
            "color.g" => (self.channel(first, 65_536.0), T::Float),
            "color.b" => (self.channel(first, 256.0), T::Float),
            "color.t" => {
                let opacity = self.channel(first, 1.0);
                let share = self.times(opacity, -100.0 / 255.0);
                let hundred = self.num(100.0);
                let transp = self.sum(share, hundred);
                (self.rounding("math.round", transp), T::Float)
            }
            _ => {
                let message = format!("{name}() decides an order");
                return self.dead_end(
                    name,
                    self.span,
                    message,
                    "compare the values behind the colours".into(),
                    T::Color,
                    q,
                );
            }
        };
        Val::new(e, t, q, fx)
    }

    fn rounding(&mut self, name: &'static str, e: ExprId) -> ExprId {
        let val = Val::new(e, T::Float, Q::Series, Fx::NONE);
        self.builtin(name, vec![val], T::Int, Q::Series, Fx::NONE).e
    }

    fn times(&mut self, e: ExprId, scale: f64) -> ExprId {
        let scale = self.num(scale);
        self.expr(Expr::Bin(Bin::Mul, e, scale))
    }

    fn sum(&mut self, a: ExprId, b: ExprId) -> ExprId {
        self.expr(Expr::Bin(Bin::Add, a, b))
    }

    /// `floor(e / by) * scale`.
    fn scaled_floor(&mut self, e: ExprId, by: f64, scale: f64) -> ExprId {
        let share = self.times(e, 1.0 / by);
        let whole = self.rounding("math.floor", share);
        self.times(whole, scale)
    }

    /// One byte of a colour.
    fn channel(&mut self, e: ExprId, unit: f64) -> ExprId {
        let whole = self.scaled_floor(e, unit, 1.0);
        let base = self.num(256.0);
        self.expr(Expr::Bin(Bin::Rem, whole, base))
    }

    /// Transparency in percent to opacity of 255.
    fn opacity(&mut self, transp: ExprId) -> ExprId {
        let share = self.times(transp, -2.55);
        let full = self.num(255.0);
        let opacity = self.sum(share, full);
        self.rounding("math.round", opacity)
    }

    // --- points ---

    fn point(&mut self, vals: Vec<Val>) -> Val {
        let id = self.point_type();
        let fields = vals.iter().map(|v| v.e).collect();
        let e = self.expr(Expr::New(TypeId(id), fields));
        Val::new(e, T::Object(id), Q::Series, Fx::STATE | Fx::HEAP)
    }

    fn point_at(&mut self, time: Option<Val>, index: Option<Val>, price: Val) -> Val {
        let time = time.unwrap_or_else(|| self.na());
        let index = index.unwrap_or_else(|| self.na());
        self.point(vec![time, index, price])
    }

    fn point_now(&mut self, vals: Vec<Val>) -> Val {
        let time = self.bar(crate::ir::BarField::Time);
        let index = self.bar(crate::ir::BarField::BarIndex);
        let given = !matches!(self.program.exprs[vals[0].e.index()], Expr::Absent);
        let price = if given { vals[0].clone() } else { self.bar(crate::ir::BarField::Close) };
        self.point(vec![time, index, price])
    }

    fn log(&mut self, level: u8, vals: Vec<Val>) -> Val {
        vals.iter().for_each(|v| self.discard(v));
        if self.options.keep_plots {
            let message = if vals.len() > 1 && !matches!(self.program.exprs[vals[1].e.index()], Expr::Absent)
            {
                self.builtin("str.format", vals, T::Str, Q::Series, Fx::NONE)
            } else if vals[0].t == T::Str {
                vals[0].clone()
            } else {
                let e = self.absent();
                let format = Val::new(e, T::Na, Q::Const, Fx::NONE);
                self.builtin("str.tostring", vec![vals[0].clone(), format], T::Str, Q::Series, Fx::NONE)
            };
            self.push(Stmt::Log(level, message.e));
        }
        self.void()
    }
}
