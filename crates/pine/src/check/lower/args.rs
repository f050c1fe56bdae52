//! Which argument goes to which parameter, and which overload is meant.

use super::Checker;
use crate::check::builtins::{Fill, Need, Param, Sig};
use crate::check::types::{K, Q, T, Val};
use crate::ir::Expr;
use crate::syntax::ast::{self, Ident};
use springtide_domain::Span;
use springtide_domain::suggest::nearest;

/// An argument of a call, evaluated.
#[derive(Clone, Debug)]
pub(super) struct Given<'a> {
    pub name: Option<&'a Ident>,
    pub val: Val,
    pub span: Span,
}

/// Types that a call's type variables took: T, K, V, N; `true` when a collection fixed it.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings([Option<(T, bool)>; 4]);

fn slot(var: u8) -> usize {
    match var {
        b'T' => 0,
        b'K' => 1,
        b'V' => 2,
        _ => 3,
    }
}

/// Why an overload does not fit.
#[derive(Clone, Debug)]
enum Misfit {
    UnknownName(usize),
    Twice(usize),
    TooMany(usize),
    Missing(usize),
    Type { given: usize, param: usize },
}

/// An overload that fits: for each parameter the argument it takes.
pub(super) struct Chosen {
    pub sig: &'static Sig,
    pub places: Vec<Option<usize>>,
    /// Arguments beyond the last parameter of a variadic function.
    pub rest: Vec<usize>,
    pub types: Bindings,
    cost: u32,
}

/// The arguments of a call in the order of the parameters.
pub(super) struct Arguments {
    /// `None` where an optional argument was left out.
    pub vals: Vec<Option<Val>>,
    pub rest: Vec<Val>,
    pub q: Q,
}

impl<'a> Checker<'a> {
    /// Evaluates the arguments of a call, `receiver` in front.
    pub(super) fn given(&mut self, receiver: Option<(Val, Span)>, args: &'a [ast::Arg]) -> Vec<Given<'a>> {
        let mut vals = Vec::with_capacity(args.len() + 1);
        let mut given = Vec::with_capacity(args.len() + 1);
        if let Some((val, span)) = receiver {
            vals.push(val.clone());
            given.push(Given { name: None, val, span });
        }
        for arg in args {
            let mark = self.block.len();
            let val = self.expression(&arg.value);
            self.order_before(mark, &mut vals);
            vals.push(val.clone());
            given.push(Given { name: arg.name.as_ref(), val, span: arg.value.span });
        }
        for (given, val) in given.iter_mut().zip(vals) {
            given.val = val;
        }
        given
    }

    /// The overload that fits best; reports why none does.
    pub(super) fn resolve(
        &mut self,
        name: &str,
        overloads: &[&'static Sig],
        given: &[Given<'a>],
        written: &[T],
        span: Span,
    ) -> Option<Chosen> {
        let mut best: Option<Chosen> = None;
        let mut misfit: Option<(usize, &'static Sig, Misfit)> = None;
        for sig in overloads {
            match self.fit(sig, given, written) {
                Ok(chosen) if best.as_ref().is_none_or(|b| chosen.cost < b.cost) => best = Some(chosen),
                Ok(_) => {}
                Err((progress, reason)) => {
                    if misfit.as_ref().is_none_or(|(p, ..)| progress > *p) {
                        misfit = Some((progress, sig, reason));
                    }
                }
            }
        }
        if best.is_none()
            && let Some((_, sig, reason)) = misfit
        {
            self.report_misfit(name, sig, &reason, given, span);
        }
        best
    }

    /// Tries one overload; an error says how many arguments fitted before it.
    fn fit(&self, sig: &'static Sig, given: &[Given<'a>], written: &[T]) -> Result<Chosen, (usize, Misfit)> {
        let mut places: Vec<Option<usize>> = vec![None; sig.params.len()];
        let mut rest = Vec::new();
        let open: Vec<usize> = (0..sig.params.len()).filter(|i| !is_hidden(&sig.params[*i])).collect();
        let mut next = 0;
        let mut types = Bindings::default();
        for (var, t) in sig.type_params.iter().zip(written) {
            types.0[slot(*var)] = Some((t.clone(), true));
        }
        let mut cost = 0;
        for (i, arg) in given.iter().enumerate() {
            let param = match arg.name {
                Some(name) => find_param(sig, &name.name).ok_or((i, Misfit::UnknownName(i)))?,
                None if next < open.len() => {
                    next += 1;
                    open[next - 1]
                }
                None if sig.variadic => {
                    rest.push(i);
                    sig.params.len() - 1
                }
                None => return Err((i, Misfit::TooMany(i))),
            };
            cost += self
                .matches(&sig.params[param].ty, &arg.val.t, &mut types)
                .ok_or((i, Misfit::Type { given: i, param }))?;
            if rest.last() == Some(&i) {
                continue;
            }
            if places[param].is_some() && self.version >= 6 {
                return Err((i, Misfit::Twice(i)));
            }
            places[param] = Some(i);
        }
        let missing = |p: &usize| sig.params[*p].need == Need::Required && places[*p].is_none();
        if let Some(param) = (0..sig.params.len()).find(missing) {
            return Err((given.len(), Misfit::Missing(param)));
        }
        Ok(Chosen { sig, places, rest, types, cost })
    }

    /// How far an argument's type is from a parameter's, type variables taking their values.
    fn matches(&self, param: &T, arg: &T, types: &mut Bindings) -> Option<u32> {
        match (param, arg) {
            (T::Var(_), T::Void | T::Tuple(_)) => None,
            (T::Var(_), T::Unknown) => Some(1),
            (T::Var(b'N'), t) if !t.numberish() => None,
            (T::Var(var), t) => self.bind_type(*var, t, types),
            (T::Array(p), T::Array(a)) | (T::Matrix(p), T::Matrix(a)) => self.matches_element(p, a, types),
            (T::Map(pk, pv), T::Map(k, v)) => {
                Some(self.matches_element(pk, k, types)? + self.matches_element(pv, v, types)?)
            }
            (T::Draw("chart.point"), T::Object(id)) if Some(*id) == self.point_type => Some(0),
            (T::Draw("chart.point"), _) => None,
            _ => self.distance(arg, param),
        }
    }

    fn bind_type(&self, var: u8, t: &T, types: &mut Bindings) -> Option<u32> {
        let place = &mut types.0[slot(var)];
        match place {
            None => {
                if *t != T::Na {
                    *place = Some((t.clone(), false));
                }
                Some(0)
            }
            Some((bound, true)) => self.distance(t, bound),
            Some((bound, false)) => {
                *bound = self.common(bound, t)?;
                Some(0)
            }
        }
    }

    fn matches_element(&self, param: &T, element: &T, types: &mut Bindings) -> Option<u32> {
        match param {
            _ if matches!(element, T::Na | T::Unknown) => Some(1),
            T::Var(b'N') if !element.numberish() => None,
            T::Var(var) => {
                let place = &mut types.0[slot(*var)];
                match place {
                    Some((bound, true)) if bound != element => {
                        let numbers = bound.is_number() && element.is_number();
                        numbers.then_some(1)
                    }
                    _ => {
                        *place = Some((element.clone(), true));
                        Some(0)
                    }
                }
            }
            _ => (param == element || (param.is_number() && element.is_number())).then_some(0),
        }
    }

    /// A signature's type with its variables replaced.
    pub(super) fn substitute(&mut self, t: &T, types: &Bindings) -> T {
        match t {
            T::Var(var) => types.0[slot(*var)]
                .as_ref()
                .map_or(if *var == b'N' { T::Float } else { T::Na }, |(t, _)| t.clone()),
            T::Array(e) => T::Array(Box::new(self.substitute(e, types))),
            T::Matrix(e) => T::Matrix(Box::new(self.substitute(e, types))),
            T::Map(k, v) => T::Map(Box::new(self.substitute(k, types)), Box::new(self.substitute(v, types))),
            T::Tuple(parts) => T::Tuple(parts.iter().map(|p| self.substitute(p, types)).collect()),
            T::Draw("chart.point") => T::Object(self.point_type()),
            _ => t.clone(),
        }
    }

    /// Up to version 5 an argument may be given twice; the last one counts.
    fn warn_of_repeats(&mut self, name: &str, chosen: &Chosen, given: &[Given<'a>]) {
        let used = |i: &usize| chosen.places.contains(&Some(*i)) || chosen.rest.contains(i);
        for i in (0..given.len()).filter(|i| !used(i)) {
            let message = format!("{name}() gets one of its arguments twice; the last one counts");
            self.warn("duplicate-argument", given[i].span, message, "remove one of them");
        }
    }

    /// Converts the arguments of a chosen overload and fills in what was left out.
    pub(super) fn arguments(&mut self, name: &str, chosen: &Chosen, given: &[Given<'a>]) -> Arguments {
        self.warn_of_repeats(name, chosen, given);
        let mut out =
            Arguments { vals: Vec::with_capacity(chosen.places.len()), rest: Vec::new(), q: Q::Const };
        for (param, place) in chosen.sig.params.iter().zip(&chosen.places) {
            let val = match (place, param.need) {
                (Some(i), _) => Some(self.argument(name, param, &given[*i], &chosen.types)),
                (None, Need::Default(fill) | Need::Hidden(fill)) => Some(self.fill(fill, param)),
                _ => None,
            };
            out.q = out.q.max(val.as_ref().map_or(Q::Const, |v| v.q));
            out.vals.push(val);
        }
        if let Some(last) = chosen.sig.params.last() {
            for i in &chosen.rest {
                let val = self.argument(name, last, &given[*i], &chosen.types);
                out.q = out.q.max(val.q);
                out.rest.push(val);
            }
        }
        out
    }

    fn argument(&mut self, name: &str, param: &Param, given: &Given<'a>, types: &Bindings) -> Val {
        let t = self.substitute(&param.ty, types);
        let what = format!("the argument '{}' of {name}()", param.name);
        if given.val.q > param.q && given.val.t != T::Unknown {
            self.too_late(&given.val, param.q, &what, given.span);
        }
        if t == T::Na || matches!(given.val.t, T::Unknown) || matches!(param.ty, T::Draw("chart.point")) {
            return given.val.clone();
        }
        self.coerce(given.val.clone(), &t, given.span, &what)
    }

    fn fill(&mut self, fill: Fill, param: &Param) -> Val {
        match fill {
            Fill::Num(x) if param.ty == T::Bool => self.constant(K::Bool(x != 0.0)),
            Fill::Num(x) if param.ty == T::Int => self.constant(K::Int(x as i64)),
            Fill::Num(x) => self.constant(K::Float(x)),
            Fill::Bar(field) => self.bar(field),
            Fill::Day => self.new_day(),
        }
    }

    /// The arguments as the executor takes them: left-out ones [`Expr::Absent`].
    pub(super) fn placed(&mut self, args: Arguments) -> Vec<Val> {
        let mut vals: Vec<Val> = Vec::with_capacity(args.vals.len() + args.rest.len());
        for val in args.vals {
            vals.push(match val {
                Some(val) => val,
                None => {
                    let e = self.expr(Expr::Absent);
                    Val::new(e, T::Na, Q::Const, crate::check::types::Fx::NONE)
                }
            });
        }
        vals.extend(args.rest);
        vals
    }

    fn report_misfit(
        &mut self,
        name: &str,
        sig: &'static Sig,
        why: &Misfit,
        given: &[Given<'a>],
        span: Span,
    ) {
        match why {
            Misfit::UnknownName(i) => self.unknown_argument(name, sig, &given[*i]),
            Misfit::Twice(i) => {
                let message = format!("{name}() gets one of its arguments twice");
                self.error("duplicate-argument", given[*i].span, message, "remove one of them");
            }
            Misfit::TooMany(i) => {
                let takes = sig.params.iter().filter(|p| !is_hidden(p)).count();
                let message = format!("{name}() takes {takes} arguments, not {}", given.len());
                self.error("argument-count", given[*i].span, message, usage(name, sig));
            }
            Misfit::Missing(param) => {
                let message = format!("{name}() needs the argument '{}'", sig.params[*param].name);
                self.error("argument-missing", span, message, usage(name, sig));
            }
            Misfit::Type { given: i, param } => {
                let param = &sig.params[*param];
                let wanted = match &param.ty {
                    T::Var(b'N') => "number".to_owned(),
                    t => self.show(t),
                };
                let has = self.show(&given[*i].val.t);
                let message =
                    format!("the argument '{}' of {name}() takes a {wanted}, not a {has}", param.name);
                let na_bool = given[*i].val.t == T::Na;
                let code = if na_bool { "na-bool" } else { "type-mismatch" };
                self.error(code, given[*i].span, message, usage(name, sig));
            }
        }
    }

    fn unknown_argument(&mut self, name: &str, sig: &'static Sig, given: &Given<'a>) {
        let Some(ident) = given.name else { return };
        let hint = match ident.name.as_str() {
            "when" if self.version >= 6 => {
                "`when` is gone since version 6: put the call under an `if`".to_owned()
            }
            "transp" => "`transp` is gone: use `color.new(color, transp)`".to_owned(),
            text => match nearest(text, sig.params.iter().map(|p| p.name)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => usage(name, sig),
            },
        };
        let message = format!("{name}() has no argument '{}'", ident.name);
        self.error("unknown-argument", ident.span, message, hint);
    }
}

fn is_hidden(param: &Param) -> bool {
    matches!(param.need, Need::Hidden(_))
}

fn find_param(sig: &Sig, name: &str) -> Option<usize> {
    sig.params.iter().position(|p| !is_hidden(p) && (p.name == name || p.alias == Some(name)))
}

/// `ta.sma(source, length)`.
fn usage(name: &str, sig: &Sig) -> String {
    let params = sig.params.iter().filter(|p| !is_hidden(p)).map(|p| match p.need {
        Need::Required => p.name.to_owned(),
        _ => format!("{}?", p.name),
    });
    let mut params: Vec<_> = params.collect();
    if params.len() > 8 {
        params.truncate(8);
        params.push("...".into());
    }
    format!("{name}({})", params.join(", "))
}
