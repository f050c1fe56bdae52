//! Keeps of a program what orders depend on, and numbers it anew without gaps.
//!
//! Drawing, plotting and alert calls are gone by now; what only they needed is found here. A change
//! of a collection or an object counts as needed as soon as anything of the same type is read.

use super::lower::DeadEnd;
use crate::ir::{Expr, ExprId, Program, Security, SiteId, Stmt, Ty, VarId};
use rustc_hash::{FxHashMap, FxHashSet};
use springtide_domain::Diagnostic;

/// A statement's place in the list of all statements, in the order of a walk.
type At = usize;

#[derive(Default)]
struct Node {
    parent: Option<At>,
    /// What the statement evaluates itself, without the statements in it.
    exprs: Vec<ExprId>,
    writes: Vec<VarId>,
    mutates: Option<Ty>,
    /// `break` and `continue` in a loop, needed as soon as the loop is.
    exits: Vec<At>,
    live: bool,
}

#[derive(Default)]
struct Graph {
    nodes: Vec<Node>,
    writers: FxHashMap<VarId, Vec<At>>,
    mutators: FxHashMap<Ty, Vec<At>>,
    roots: Vec<At>,
}

/// Drops what no order needs. Gives the diagnostics of needed expressions that have no value.
pub(crate) fn prune(program: &mut Program, keep_all_logs: bool, dead_ends: &[DeadEnd]) -> Vec<Diagnostic> {
    let mut graph = Graph::default();
    let body = std::mem::take(&mut program.body);
    graph.add_block(program, &body, None, None);
    if keep_all_logs {
        let plots: Vec<_> = program.plots.iter().map(|(_, id)| *id).collect();
        for id in plots {
            graph.roots.extend(graph.writers.get(&id).cloned().unwrap_or_default());
        }
    }
    let needed = graph.mark(program);
    let mut at = 0;
    let body = graph.sweep(body, &mut at);
    program.body = body;
    let found = dead_ends.iter().filter(|d| needed.contains(&d.expr)).map(|d| d.diagnostic.clone()).collect();
    Renumber::run(program);
    found
}

impl Graph {
    fn add_block(&mut self, program: &Program, block: &[Stmt], parent: Option<At>, around: Option<At>) {
        for stmt in block {
            self.add(program, stmt, parent, around);
        }
    }

    fn add(&mut self, program: &Program, stmt: &Stmt, parent: Option<At>, around: Option<At>) {
        let at = self.nodes.len();
        self.nodes.push(Node { parent, ..Node::default() });
        let mut exprs = Vec::new();
        own_exprs(stmt, &mut |e| exprs.push(*e));
        self.nodes[at].exprs = exprs;
        match stmt {
            Stmt::Set(id, e) => {
                self.write(at, *id);
                // `x = array.pop(a)`: also a change of the array.
                self.note_changes(program, at, *e);
            }
            Stmt::Eval(e) => self.note_changes(program, at, *e),
            Stmt::SetField { object, .. } => {
                let ty = object_type(program, *object);
                self.mutate(at, ty);
            }
            Stmt::TaMulti { outs, .. } => outs.iter().for_each(|id| self.write(at, *id)),
            Stmt::Order { .. } | Stmt::Error(..) | Stmt::Log(..) => self.roots.push(at),
            Stmt::Break | Stmt::Continue => {
                if let Some(around) = around {
                    self.nodes[around].exits.push(at);
                }
            }
            Stmt::Once(_, block) => self.add_block(program, block, Some(at), around),
            Stmt::If(_, a, b) => {
                self.add_block(program, a, Some(at), around);
                self.add_block(program, b, Some(at), around);
            }
            Stmt::For { var, to, body, .. } => {
                self.write(at, *var);
                self.add_block(program, &to.0, Some(at), Some(at));
                self.add_block(program, body, Some(at), Some(at));
            }
            Stmt::ForIn { index, var, body, .. } => {
                self.write(at, *var);
                index.iter().for_each(|id| self.write(at, *id));
                self.add_block(program, body, Some(at), Some(at));
            }
            Stmt::While { cond, body } => {
                self.add_block(program, &cond.0, Some(at), Some(at));
                self.add_block(program, body, Some(at), Some(at));
            }
            Stmt::Security(s) => {
                s.outs.iter().for_each(|id| self.write(at, *id));
                self.add_block(program, &s.body, Some(at), None);
            }
        }
    }

    fn write(&mut self, at: At, id: VarId) {
        self.nodes[at].writes.push(id);
        self.writers.entry(id).or_default().push(at);
    }

    fn mutate(&mut self, at: At, ty: Ty) {
        self.mutators.entry(ty.clone()).or_default().push(at);
        self.nodes[at].mutates = Some(ty);
    }

    /// Collections that evaluating an expression changes.
    fn note_changes(&mut self, program: &Program, at: At, e: ExprId) {
        if let Expr::Call { name, arg_types, .. } = &program.exprs[e.index()]
            && changes(name)
            && let Some(ty) = arg_types.first()
        {
            self.mutate(at, ty.clone());
        }
        for child in children(&program.exprs[e.index()]) {
            self.note_changes(program, at, child);
        }
    }

    /// Marks what the roots need; gives the needed expressions.
    fn mark(&mut self, program: &Program) -> FxHashSet<ExprId> {
        let mut work = self.roots.clone();
        let mut exprs: FxHashSet<ExprId> = FxHashSet::default();
        let mut vars: FxHashSet<VarId> = FxHashSet::default();
        let mut types: FxHashSet<Ty> = FxHashSet::default();
        while let Some(at) = work.pop() {
            if std::mem::replace(&mut self.nodes[at].live, true) {
                continue;
            }
            work.extend(self.nodes[at].parent);
            work.extend(self.nodes[at].exits.iter().copied());
            let mut pending = self.nodes[at].exprs.clone();
            while let Some(e) = pending.pop() {
                if !exprs.insert(e) {
                    continue;
                }
                let expr = &program.exprs[e.index()];
                if let Expr::Var(id) | Expr::VarHist(id, _) = expr
                    && vars.insert(*id)
                {
                    work.extend(self.writers.get(id).into_iter().flatten());
                }
                for ty in read_types(program, expr) {
                    if !types.contains(&ty) {
                        work.extend(self.mutators.get(&ty).into_iter().flatten());
                        types.insert(ty);
                    }
                }
                pending.extend(children(expr));
            }
            for ty in self.looped_types(program, at) {
                if types.insert(ty.clone()) {
                    work.extend(self.mutators.get(&ty).into_iter().flatten());
                }
            }
        }
        exprs
    }

    /// `for x in a` reads `a`.
    fn looped_types(&self, program: &Program, at: At) -> Vec<Ty> {
        let exprs = &self.nodes[at].exprs;
        exprs.iter().filter_map(|e| var_type(program, *e)).filter(is_collection).collect()
    }

    /// The live statements of a block, walked in the order in which they were added.
    fn sweep(&self, block: Vec<Stmt>, at: &mut At) -> Vec<Stmt> {
        let mut kept = Vec::with_capacity(block.len());
        for stmt in block {
            let live = self.nodes[*at].live;
            *at += 1;
            let stmt = self.sweep_inside(stmt, at);
            if live {
                kept.push(stmt);
            }
        }
        kept
    }

    fn sweep_inside(&self, stmt: Stmt, at: &mut At) -> Stmt {
        match stmt {
            Stmt::Once(site, block) => Stmt::Once(site, self.sweep(block, at)),
            Stmt::If(cond, a, b) => {
                let a = self.sweep(a, at);
                Stmt::If(cond, a, self.sweep(b, at))
            }
            Stmt::For { var, from, to, step, retest, body } => {
                let to = (self.sweep(to.0, at), to.1);
                Stmt::For { var, from, to, step, retest, body: self.sweep(body, at) }
            }
            Stmt::ForIn { index, var, over, over_ty, body } => {
                Stmt::ForIn { index, var, over, over_ty, body: self.sweep(body, at) }
            }
            Stmt::While { cond, body } => {
                let cond = (self.sweep(cond.0, at), cond.1);
                Stmt::While { cond, body: self.sweep(body, at) }
            }
            Stmt::Security(s) => {
                let s = *s;
                let body = self.sweep(s.body, at);
                Stmt::Security(Box::new(Security { body, ..s }))
            }
            other => other,
        }
    }
}

/// Functions that change their first argument.
fn changes(name: &str) -> bool {
    super::builtins::tables().functions.get(name).is_some_and(|s| s[0].kind == super::builtins::Kind::Mut)
}

fn is_collection(ty: &Ty) -> bool {
    matches!(ty, Ty::Array(_) | Ty::Matrix(_) | Ty::Map(..) | Ty::Object(_))
}

/// Types of the collections and objects that an expression looks into.
fn read_types(program: &Program, expr: &Expr) -> Vec<Ty> {
    match expr {
        Expr::Call { arg_types, .. } => arg_types.iter().filter(|t| is_collection(t)).cloned().collect(),
        Expr::Field(object, _) => vec![object_type(program, *object)],
        _ => Vec::new(),
    }
}

fn var_type(program: &Program, e: ExprId) -> Option<Ty> {
    match &program.exprs[e.index()] {
        Expr::Var(id) | Expr::VarHist(id, _) => Some(program.vars[id.index()].ty.clone()),
        Expr::Call { ty, .. } => Some(ty.clone()),
        Expr::Field(object, at) => match object_type(program, *object) {
            Ty::Object(id) => Some(program.types[id.index()].fields[*at as usize].1.clone()),
            _ => None,
        },
        Expr::New(id, _) => Some(Ty::Object(*id)),
        Expr::Select(_, a, b) => {
            var_type(program, *a).filter(is_collection).or_else(|| var_type(program, *b))
        }
        _ => None,
    }
}

fn object_type(program: &Program, e: ExprId) -> Ty {
    var_type(program, e).unwrap_or(Ty::Void)
}

/// The operands of an expression.
fn children(expr: &Expr) -> Vec<ExprId> {
    match expr {
        Expr::Num(_)
        | Expr::Str(_)
        | Expr::Absent
        | Expr::Input(_)
        | Expr::Bar(_)
        | Expr::Get(_)
        | Expr::Var(_) => Vec::new(),
        Expr::BarHist(_, a) | Expr::VarHist(_, a) | Expr::Un(_, a) | Expr::Field(a, _) => vec![*a],
        Expr::Bin(_, a, b) | Expr::And(a, b) | Expr::Or(a, b) => vec![*a, *b],
        Expr::Select(a, b, c) => vec![*a, *b, *c],
        Expr::Ta(_, _, args) | Expr::Call { args, .. } | Expr::New(_, args) => args.clone(),
    }
}

/// Calls `f` with every expression that the statement evaluates itself.
fn own_exprs(stmt: &Stmt, f: &mut impl FnMut(&ExprId)) {
    match stmt {
        Stmt::Set(_, e) | Stmt::If(e, ..) | Stmt::Eval(e) | Stmt::Error(e, _) | Stmt::Log(_, e) => f(e),
        Stmt::Once(..) | Stmt::Break | Stmt::Continue => {}
        Stmt::For { from, to, step, .. } => {
            f(from);
            f(&to.1);
            step.iter().for_each(f);
        }
        Stmt::ForIn { over, .. } => f(over),
        Stmt::While { cond, .. } => f(&cond.1),
        Stmt::SetField { object, value, .. } => {
            f(object);
            f(value);
        }
        Stmt::TaMulti { args, .. } | Stmt::Order { args, .. } => args.iter().for_each(f),
        Stmt::Security(s) => {
            [s.symbol, s.timeframe, s.gaps, s.lookahead, s.ignore_invalid].iter().for_each(&mut *f);
            s.results.iter().for_each(f);
        }
    }
}

/// Copies what is left into fresh tables: expressions in the order of use, variables, sites.
struct Renumber<'p> {
    old: &'p [Expr],
    old_spans: &'p [springtide_domain::Span],
    exprs: Vec<Expr>,
    spans: Vec<springtide_domain::Span>,
    seen: FxHashMap<ExprId, ExprId>,
    vars: FxHashMap<VarId, VarId>,
    order: Vec<VarId>,
    sites: FxHashMap<SiteId, SiteId>,
}

impl Renumber<'_> {
    fn run(program: &mut Program) {
        let old = std::mem::take(&mut program.exprs);
        let old_spans = std::mem::take(&mut program.spans);
        let mut copy = Renumber {
            old: &old,
            old_spans: &old_spans,
            exprs: Vec::new(),
            spans: Vec::new(),
            seen: FxHashMap::default(),
            vars: FxHashMap::default(),
            order: Vec::new(),
            sites: FxHashMap::default(),
        };
        copy.block(&mut program.body);
        program.plots.iter_mut().for_each(|(_, id)| copy.var(id));
        program.vars = copy.order.iter().map(|id| program.vars[id.index()].clone()).collect();
        program.sites = copy.sites.len() as u32;
        (program.exprs, program.spans) = (copy.exprs, copy.spans);
    }

    fn var(&mut self, id: &mut VarId) {
        let next = VarId(self.order.len() as u32);
        *id = *self.vars.entry(*id).or_insert_with(|| {
            self.order.push(*id);
            next
        });
    }

    fn site(&mut self, id: &mut SiteId) {
        let next = SiteId(self.sites.len() as u32);
        *id = *self.sites.entry(*id).or_insert(next);
    }

    fn expr(&mut self, id: &mut ExprId) {
        if let Some(new) = self.seen.get(id) {
            *id = *new;
            return;
        }
        let mut expr = self.old[id.index()].clone();
        match &mut expr {
            Expr::Num(_) | Expr::Str(_) | Expr::Absent | Expr::Input(_) | Expr::Bar(_) | Expr::Get(_) => {}
            Expr::Var(v) => self.var(v),
            Expr::VarHist(v, a) => {
                self.var(v);
                self.expr(a);
            }
            Expr::BarHist(_, a) | Expr::Un(_, a) | Expr::Field(a, _) => self.expr(a),
            Expr::Bin(_, a, b) | Expr::And(a, b) | Expr::Or(a, b) => {
                self.expr(a);
                self.expr(b);
            }
            Expr::Select(a, b, c) => [a, b, c].into_iter().for_each(|e| self.expr(e)),
            Expr::Ta(site, _, args) | Expr::Call { site, args, .. } => {
                self.site(site);
                args.iter_mut().for_each(|e| self.expr(e));
            }
            Expr::New(_, args) => args.iter_mut().for_each(|e| self.expr(e)),
        }
        let new = ExprId(self.exprs.len() as u32);
        self.exprs.push(expr);
        self.spans.push(self.old_spans[id.index()]);
        self.seen.insert(*id, new);
        *id = new;
    }

    fn block(&mut self, block: &mut [Stmt]) {
        block.iter_mut().for_each(|s| self.stmt(s));
    }

    fn stmt(&mut self, stmt: &mut Stmt) {
        match stmt {
            Stmt::Set(id, e) => {
                self.var(id);
                self.expr(e);
            }
            Stmt::Once(site, block) => {
                self.site(site);
                self.block(block);
            }
            Stmt::If(cond, a, b) => {
                self.expr(cond);
                self.block(a);
                self.block(b);
            }
            Stmt::For { var, from, to, step, body, .. } => {
                self.var(var);
                self.expr(from);
                self.block(&mut to.0);
                self.expr(&mut to.1);
                step.iter_mut().for_each(|e| self.expr(e));
                self.block(body);
            }
            Stmt::ForIn { index, var, over, body, .. } => {
                index.iter_mut().for_each(|id| self.var(id));
                self.var(var);
                self.expr(over);
                self.block(body);
            }
            Stmt::While { cond, body } => {
                self.block(&mut cond.0);
                self.expr(&mut cond.1);
                self.block(body);
            }
            Stmt::Break | Stmt::Continue => {}
            Stmt::Eval(e) | Stmt::Error(e, _) | Stmt::Log(_, e) => self.expr(e),
            Stmt::SetField { object, value, .. } => {
                self.expr(object);
                self.expr(value);
            }
            Stmt::TaMulti { site, args, outs, .. } => {
                self.site(site);
                args.iter_mut().for_each(|e| self.expr(e));
                outs.iter_mut().for_each(|id| self.var(id));
            }
            Stmt::Order { args, .. } => args.iter_mut().for_each(|e| self.expr(e)),
            Stmt::Security(s) => self.security(s),
        }
    }

    fn security(&mut self, s: &mut Security) {
        self.site(&mut s.site);
        for e in [&mut s.symbol, &mut s.timeframe, &mut s.gaps, &mut s.lookahead, &mut s.ignore_invalid] {
            self.expr(e);
        }
        self.block(&mut s.body);
        s.results.iter_mut().for_each(|e| self.expr(e));
        s.outs.iter_mut().for_each(|id| self.var(id));
    }
}
