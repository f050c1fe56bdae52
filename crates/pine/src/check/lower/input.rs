//! `input.*`, and `input()` of every version.

use super::Checker;
use super::args::{Arguments, Given};
use crate::check::builtins::Sig;
use crate::check::dates;
use crate::check::types::{Fx, K, Q, T, Val};
use crate::ir::{Expr, ExprId, Input, InputId, InputKind};
use crate::syntax::ast;
use springtide_domain::{ParamValue, Span};

/// The arguments of an input by name.
struct Named {
    sig: &'static Sig,
    vals: Vec<Option<Val>>,
}

impl Named {
    fn get(&self, name: &str) -> Option<&Val> {
        let at = self.sig.params.iter().position(|p| p.name == name)?;
        self.vals.get(at)?.as_ref()
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.k.as_ref()?.number()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.k.as_ref()?.text()
    }
}

impl<'a> Checker<'a> {
    pub(super) fn input(&mut self, name: &'static str, args: &'a [ast::Arg], span: Span) -> Val {
        if let Some((_, val)) = self.inputs.get(&span.start) {
            return val.clone();
        }
        let (given, written_kind) = self.input_arguments(name, args);
        let overloads = self.overloads(name).unwrap_or_default();
        let Some(chosen) = self.resolve(name, &overloads, &given, &[], span) else { return self.unknown() };
        let Arguments { vals, .. } = self.arguments(name, &chosen, &given);
        let named = Named { sig: chosen.sig, vals };
        let Some(default) = named.get("defval").cloned() else {
            self.error("argument-missing", span, format!("{name}() needs the argument 'defval'"), "");
            return self.unknown();
        };
        if default.t == T::Unknown {
            return self.unknown();
        }
        let written_kind = written_kind.or_else(|| name.strip_prefix("input."));
        let Some(kind) = self.input_kind(written_kind, &default, span) else { return self.unknown() };
        self.new_input(kind, &default, &named, span)
    }

    /// Version 4's `type = input.integer` names a kind; it is no value.
    fn input_arguments(&mut self, name: &str, args: &'a [ast::Arg]) -> (Vec<Given<'a>>, Option<&'a str>) {
        let mut kind = None;
        let mut given = Vec::with_capacity(args.len());
        for (i, arg) in args.iter().enumerate() {
            let is_kind = name == "input"
                && match &arg.name {
                    Some(ident) => ident.name == "type",
                    None => self.version == 4 && i == 2,
                };
            let val = if is_kind {
                kind = match &arg.value.kind {
                    ast::ExprKind::Field(_, member) => Some(member.name.as_str()),
                    ast::ExprKind::Name(name) => Some(name.as_str()),
                    _ => None,
                };
                self.unknown()
            } else {
                self.expression(&arg.value)
            };
            given.push(Given { name: arg.name.as_ref(), val, span: arg.value.span });
        }
        (given, kind)
    }

    fn input_kind(&mut self, written: Option<&str>, default: &Val, span: Span) -> Option<InputKind> {
        Some(match (written, &default.t) {
            (Some("int" | "integer"), _) => InputKind::Int,
            (Some("float"), _) => InputKind::Float,
            (Some("bool"), _) => InputKind::Bool,
            (Some("string" | "text_area"), _) => InputKind::Str,
            (Some("symbol"), _) => InputKind::Symbol,
            (Some("timeframe" | "resolution"), _) => InputKind::Timeframe,
            (Some("session"), _) => InputKind::Session,
            (Some("time"), _) => InputKind::Time,
            (Some("price"), _) => InputKind::Price,
            (Some("color"), _) => InputKind::Color,
            (Some("source"), _) => return self.source_kind(default, span),
            (Some("enum"), T::Enum(id)) => self.enum_kind(*id),
            (None, T::Enum(id)) => self.enum_kind(*id),
            (None, T::Int) if default.q <= Q::Simple => InputKind::Int,
            (None, T::Float) if default.q <= Q::Simple => InputKind::Float,
            (None, T::Bool) => InputKind::Bool,
            (None, T::Str) => InputKind::Str,
            (None, T::Color) => InputKind::Color,
            (None, T::Int | T::Float) => return self.source_kind(default, span),
            (_, t) => {
                let message = format!("an input cannot start as a {}", self.show(t));
                self.error("type-mismatch", span, message, "give it a constant or a price series");
                return None;
            }
        })
    }

    fn enum_kind(&self, id: u32) -> InputKind {
        InputKind::Enum(self.enums[id as usize].members.iter().map(|(name, _)| name.clone()).collect())
    }

    fn source_kind(&mut self, default: &Val, span: Span) -> Option<InputKind> {
        if let Expr::Bar(field) = self.program.exprs[default.e.index()] {
            return Some(InputKind::Source(field));
        }
        let message = "an input's price source starts as something else than a price of the bar";
        self.unsupported(
            "input.source",
            span,
            message,
            "start it as open, high, low, close, hl2, hlc3, ohlc4 or volume",
        );
        None
    }

    fn new_input(&mut self, kind: InputKind, default: &Val, named: &Named, span: Span) -> Val {
        let (number, text) = self.input_default(&kind, default, span);
        let title = named.text("title").map(str::trim).filter(|t| !t.is_empty());
        let key = self.unique_key(title.unwrap_or(self.declaring));
        let options = named.get("options").map(|v| self.options(v)).unwrap_or_default();
        let id = InputId(self.program.inputs.len() as u32);
        let (t, q) = match &kind {
            InputKind::Int | InputKind::Time => (T::Int, Q::Input),
            InputKind::Float | InputKind::Price => (T::Float, Q::Input),
            InputKind::Bool => (T::Bool, Q::Input),
            InputKind::Color => (T::Color, Q::Input),
            InputKind::Source(_) => (T::Float, Q::Series),
            InputKind::Enum(_) => (default.t.clone(), Q::Input),
            InputKind::Str | InputKind::Timeframe | InputKind::Symbol | InputKind::Session => {
                (T::Str, Q::Input)
            }
        };
        self.program.inputs.push(Input {
            key,
            variable: self.declaring.to_owned(),
            kind,
            default: number,
            default_str: text,
            min: named.number("minval"),
            max: named.number("maxval"),
            step: named.number("step"),
            options,
            span,
        });
        let e = self.expr(Expr::Input(id));
        let val = Val::new(e, t, q, Fx::NONE);
        self.inputs.insert(span.start, (id, val.clone()));
        val
    }

    fn unique_key(&mut self, name: &str) -> String {
        let base = if name.is_empty() { "input" } else { name };
        let mut key = base.to_owned();
        let mut n = 2;
        while !self.input_keys.insert(key.clone()) {
            key = format!("{base} #{n}");
            n += 1;
        }
        key
    }

    fn options(&self, val: &Val) -> Vec<ParamValue> {
        val.parts
            .iter()
            .filter_map(|part| match (&part.t, part.k.as_ref()?) {
                (T::Enum(id), K::Int(i)) => {
                    let (name, _) = self.enums[*id as usize].members.get(*i as usize)?;
                    Some(ParamValue::Str(name.clone()))
                }
                (_, K::Int(i)) => Some(ParamValue::Int(*i)),
                (_, K::Float(x)) => Some(ParamValue::Float(*x)),
                (_, K::Bool(b)) => Some(ParamValue::Bool(*b)),
                (_, K::Str(s)) => Some(ParamValue::Str(s.to_string())),
            })
            .collect()
    }

    fn input_default(&mut self, kind: &InputKind, default: &Val, span: Span) -> (f64, String) {
        let textual =
            matches!(kind, InputKind::Str | InputKind::Timeframe | InputKind::Symbol | InputKind::Session);
        let expr = self.program.exprs[default.e.index()].clone();
        match (&default.k, expr) {
            _ if matches!(kind, InputKind::Source(_)) => return (f64::NAN, String::new()),
            (Some(K::Str(text)), _) if textual => return (f64::NAN, text.to_string()),
            // The chart's own symbol and timeframe are what an empty text means.
            (_, Expr::Get("syminfo.tickerid" | "syminfo.ticker" | "timeframe.period")) if textual => {
                return (f64::NAN, String::new());
            }
            (Some(k), _) if !textual && k.number().is_some() => {
                return (k.number().unwrap_or(f64::NAN), String::new());
            }
            (None, Expr::Num(x)) if matches!(kind, InputKind::Color | InputKind::Enum(_)) => {
                return (x, String::new());
            }
            (None, Expr::Call { name: "timestamp", args, .. }) => {
                if let Some(ms) = self.fixed_time(&args) {
                    return (ms, String::new());
                }
            }
            (_, _) if matches!(kind, InputKind::Color) => return (0.0, String::new()),
            (_, Expr::Num(x)) if default.t == T::Na && !textual => return (x, String::new()),
            _ => {}
        }
        let message = "the default of an input must be a constant that fits its kind";
        self.error("not-constant", span, message, "write a literal");
        (f64::NAN, String::new())
    }

    /// `timestamp(2020, 1, 1, 0, 0)` as a default: constant once a zone is, and UTC without one.
    fn fixed_time(&mut self, args: &[ExprId]) -> Option<f64> {
        let zone = match &self.program.exprs[args.first()?.index()] {
            Expr::Str(id) => self.program.strings[id.index()].clone(),
            Expr::Absent => "UTC".to_owned(),
            _ => return None,
        };
        let mut parts = [f64::NAN, 1.0, 1.0, 0.0, 0.0, 0.0];
        for (part, arg) in parts.iter_mut().zip(&args[1..]) {
            match self.program.exprs[arg.index()] {
                Expr::Num(x) => *part = x,
                Expr::Absent => {}
                _ => return None,
            }
        }
        dates::from_parts(&zone, parts).map(|ms| ms as f64)
    }
}
