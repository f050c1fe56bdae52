//! What names stand for: the survey of declarations, scopes, types as written.

use super::{Binding, Checker, Function, UserType};
use crate::check::builtins::{self, Sig};
use crate::check::types::{K, T, UserEnum, Val};
use crate::ir::{EnumType, Expr, ObjectType};
use crate::syntax::ast::{self, ExprKind, Ident, StmtKind};
use springtide_domain::Span;
use springtide_domain::suggest::nearest;

impl<'a> Checker<'a> {
    /// Notes every function, type, enum and import, and which names are given a new value somewhere.
    pub(super) fn survey(&mut self, body: &'a [ast::Stmt]) {
        for stmt in body {
            match &stmt.kind {
                StmtKind::Function { name, params, body, is_method, .. } => {
                    let index = self.functions.len();
                    self.functions.push(Function { name, params, body, is_method: *is_method, used: false });
                    self.function_names.entry(&name.name).or_default().push(index);
                }
                StmtKind::Type { name, fields, .. } => self.survey_type(name, fields),
                StmtKind::Enum { name, members, .. } => self.survey_enum(name, members),
                StmtKind::Import { path, alias } => self.import(path, alias.as_ref(), stmt.span),
                _ => {}
            }
        }
        self.survey_assignments(body);
        for index in 0..self.types.len() {
            self.resolve_fields(index);
        }
    }

    fn survey_type(&mut self, name: &'a Ident, fields: &'a [ast::Param]) {
        if self.type_names.contains_key(name.name.as_str()) {
            self.already_defined(name);
            return;
        }
        let id = self.types.len() as u32;
        self.type_names.insert(&name.name, id);
        self.types.push(UserType { fields, types: Vec::new() });
        self.program.types.push(ObjectType { name: name.name.clone(), fields: Vec::new() });
    }

    fn survey_enum(&mut self, name: &'a Ident, members: &'a [(Ident, Option<ast::Expr>)]) {
        let members: Vec<_> = members
            .iter()
            .map(|(member, title)| match title.as_ref().map(|t| &t.kind) {
                Some(ExprKind::Str(title)) => (member.name.clone(), title.clone()),
                _ => (member.name.clone(), member.name.clone()),
            })
            .collect();
        self.enum_names.insert(&name.name, self.enums.len() as u32);
        self.enums.push(UserEnum { name: name.name.clone(), members: members.clone() });
        self.program.enums.push(EnumType { name: name.name.clone(), members });
    }

    fn import(&mut self, path: &'a str, alias: Option<&'a Ident>, span: Span) {
        let mut parts = path.split('/');
        let name = parts.nth(1).unwrap_or(path);
        self.imports.insert(alias.map_or(name, |a| &a.name));
        let message = format!("the library {path} is published elsewhere and cannot be read");
        self.unsupported("import", span, message, "copy the functions that are needed into the script");
    }

    fn resolve_fields(&mut self, index: usize) {
        let fields = self.types[index].fields;
        let mut types = Vec::with_capacity(fields.len());
        for field in fields {
            types.push(match &field.ty {
                Some(ty) => self.written_type(ty),
                None => T::Float,
            });
        }
        let named = fields.iter().zip(&types);
        let named =
            named.map(|(f, t)| (f.name.name.clone(), crate::check::types::to_ir(t, &self.enums))).collect();
        self.program.types[index].fields = named;
        self.types[index].types = types;
    }

    fn survey_assignments(&mut self, body: &'a [ast::Stmt]) {
        for stmt in body {
            match &stmt.kind {
                StmtKind::Assign { target, value, .. } => {
                    if let ExprKind::Name(name) = &target.kind {
                        self.assigned.insert(name);
                    }
                    self.survey_expr(value);
                }
                StmtKind::Expr(e)
                | StmtKind::Decl { value: e, .. }
                | StmtKind::TupleDecl { value: e, .. } => {
                    self.survey_expr(e);
                }
                StmtKind::Function { body, .. } => self.survey_assignments(body),
                _ => {}
            }
        }
    }

    /// Blocks stand in expressions only at the top (`x = if ...`), so only those are entered.
    fn survey_expr(&mut self, expr: &'a ast::Expr) {
        match &expr.kind {
            ExprKind::If { arms, otherwise } => {
                arms.iter().for_each(|(_, block)| self.survey_assignments(block));
                otherwise.iter().for_each(|block| self.survey_assignments(block));
            }
            ExprKind::Switch { arms, .. } => {
                arms.iter().for_each(|(_, block)| self.survey_assignments(block))
            }
            ExprKind::For { body, .. } | ExprKind::ForIn { body, .. } | ExprKind::While { body, .. } => {
                self.survey_assignments(body);
            }
            _ => {}
        }
    }

    // --- scopes ---

    /// Runs `f` in a new local scope.
    pub(super) fn scoped<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> R {
        let (outer, mark) = (self.scope, self.locals.len());
        self.scope = mark;
        self.nesting += 1;
        let result = f(self);
        self.nesting -= 1;
        self.locals.truncate(mark);
        self.scope = outer;
        result
    }

    pub(super) fn is_global(&self) -> bool {
        self.nesting == 0
    }

    fn base(&self) -> usize {
        self.frames.last().map_or(0, |f| f.base)
    }

    /// Gives a name a meaning in the present scope.
    pub(super) fn bind(&mut self, name: &'a Ident, binding: Binding) {
        if name.name == "_" {
            return;
        }
        let taken = if self.is_global() {
            self.globals.contains_key(name.name.as_str())
        } else {
            self.locals[self.scope..].iter().any(|(n, _)| *n == name.name)
        };
        if taken {
            self.already_defined(name);
        }
        if self.is_global() {
            self.globals.insert(&name.name, binding);
        } else {
            self.locals.push((&name.name, binding));
        }
    }

    fn already_defined(&mut self, name: &Ident) {
        let message = format!("'{}' is already defined in this scope", name.name);
        self.error("already-defined", name.span, message, "use `:=` to give it a new value, or another name");
    }

    pub(super) fn local(&self, name: &str) -> Option<&Binding> {
        self.locals[self.base()..].iter().rev().find(|(n, _)| *n == name).map(|(_, b)| b)
    }

    pub(super) fn find(&self, name: &str) -> Option<&Binding> {
        self.local(name).or_else(|| self.globals.get(name))
    }

    /// The value a user's name has now.
    pub(super) fn user_value(&mut self, name: &str) -> Option<Val> {
        Some(match self.find(name)? {
            Binding::Var(id) => {
                let id = *id;
                self.read(id)
            }
            Binding::Value(val) => val.clone(),
        })
    }

    /// A name's spelling in front of variables of inlined functions.
    pub(super) fn local_name(&self, name: &str) -> String {
        match self.frames.last() {
            Some(frame) => format!("{}.{name}", self.functions[frame.function].name.name),
            None => name.to_owned(),
        }
    }

    // --- names in expressions ---

    pub(super) fn name_value(&mut self, name: &str, span: Span) -> Val {
        if let Some(val) = self.user_value(name) {
            return val;
        }
        if let Some(val) = self.builtin_value(name, span) {
            return val;
        }
        if self.version <= 4
            && let Some(new) = builtins::renamed_variable(name)
            && let Some(val) = self.builtin_value(new, span)
        {
            return val;
        }
        self.unknown_name(name, span)
    }

    fn unknown_name(&mut self, name: &str, span: Span) -> Val {
        let hint = match builtins::renamed_variable(name) {
            Some(new) if self.version > 4 => format!("it is `{new}` since version 5"),
            _ if self.tables.functions.contains_key(name) => format!("`{name}` is a function: `{name}(...)`"),
            _ => self.name_hint(name),
        };
        self.error("unknown-name", span, format!("'{name}' is not defined"), hint);
        self.unknown()
    }

    fn name_hint(&self, name: &str) -> String {
        let locals = self.locals.iter().map(|(n, _)| *n);
        let builtins = self.tables.variables.keys().copied();
        let known = locals.chain(self.globals.keys().copied()).chain(builtins);
        nearest(name, known).map_or_else(String::new, |near| format!("did you mean `{near}`?"))
    }

    /// The dotted path of an expression made of names only.
    pub(super) fn path(expr: &ast::Expr) -> Option<String> {
        match &expr.kind {
            ExprKind::Name(name) => Some(name.clone()),
            ExprKind::Field(base, field) => {
                let mut path = Self::path(base)?;
                path.push('.');
                path.push_str(&field.name);
                Some(path)
            }
            _ => None,
        }
    }

    /// A member of a user enum.
    pub(super) fn enum_member(&mut self, path: &str, span: Span) -> Option<Val> {
        let (name, member) = path.split_once('.')?;
        let id = *self.enum_names.get(name)?;
        let members = &self.enums[id as usize].members;
        match members.iter().position(|(m, _)| m == member) {
            Some(ordinal) => {
                let mut val = self.constant(K::Int(ordinal as i64));
                val.t = T::Enum(id);
                Some(val)
            }
            None => {
                let near = nearest(member, members.iter().map(|(m, _)| m.as_str()));
                let hint = near.map_or_else(String::new, |n| format!("did you mean `{name}.{n}`?"));
                self.error("unknown-field", span, format!("the enum {name} has no member '{member}'"), hint);
                Some(self.unknown())
            }
        }
    }

    /// `base.name` that is neither field nor built-in.
    pub(super) fn unknown_path(&mut self, path: &str, span: Span) -> Val {
        let root = path.split('.').next().unwrap_or(path);
        if self.imports.contains(root) {
            return self.unknown();
        }
        if self.tables.functions.contains_key(path) {
            let message = format!("'{path}' is a function");
            self.error("unknown-name", span, message, format!("call it: `{path}(...)`"));
            return self.unknown();
        }
        let known = self.tables.variables.keys().copied();
        let hint = nearest(path, known).map_or_else(String::new, |near| format!("did you mean `{near}`?"));
        self.error("unknown-name", span, format!("'{path}' is not defined"), hint);
        self.unknown()
    }

    /// The overloads of a built-in function that exist in this version.
    pub(super) fn overloads(&self, name: &str) -> Option<Vec<&'static Sig>> {
        let here = |name: &str| self.tables.functions.get(name).into_iter().flatten();
        // Version 4's `rsi` is both of them: of a length what `ta.rsi` is now, of two series a function of its own.
        let renamed = if self.version <= 4 { builtins::renamed_function(name) } else { None };
        let all = here(name).chain(renamed.filter(|new| *new != name).into_iter().flat_map(here));
        let fit: Vec<_> = all.filter(|s| (s.since..=s.until).contains(&self.version)).collect();
        (!fit.is_empty()).then_some(fit)
    }

    /// The name under which a function is known now.
    pub(super) fn current_name(&self, name: &str) -> Option<&'static str> {
        if let Some((known, sigs)) = self.tables.functions.get_key_value(name)
            && sigs.iter().any(|s| (s.since..=s.until).contains(&self.version))
        {
            return Some(known);
        }
        (self.version <= 4).then(|| builtins::renamed_function(name)).flatten()
    }

    // --- types ---

    pub(super) fn written_type(&mut self, ty: &ast::TypeRef) -> T {
        let arg = |checker: &mut Self, i: usize| match ty.args.get(i) {
            Some(arg) => checker.written_type(arg),
            None => T::Float,
        };
        match ty.name.as_str() {
            "int" => T::Int,
            "float" => T::Float,
            "bool" => T::Bool,
            "string" => T::Str,
            "color" => T::Color,
            "line" => T::Draw("line"),
            "label" => T::Draw("label"),
            "box" => T::Draw("box"),
            "table" => T::Draw("table"),
            "linefill" => T::Draw("linefill"),
            "polyline" => T::Draw("polyline"),
            "hline" => T::Draw("hline"),
            "plot" => T::Draw("plot"),
            "chart.point" => T::Object(self.point_type()),
            "array" => T::Array(Box::new(arg(self, 0))),
            "matrix" => T::Matrix(Box::new(arg(self, 0))),
            "map" => T::Map(Box::new(arg(self, 0)), Box::new(arg(self, 1))),
            name => self.user_type(name, ty.span),
        }
    }

    fn user_type(&mut self, name: &str, span: Span) -> T {
        if let Some(id) = self.type_names.get(name) {
            return T::Object(*id);
        }
        if let Some(id) = self.enum_names.get(name) {
            return T::Enum(*id);
        }
        if name.split_once('.').is_some_and(|(root, _)| self.imports.contains(root)) {
            return T::Unknown;
        }
        let known = ["int", "float", "bool", "string", "color", "array", "matrix", "map", "line", "label"];
        let known =
            known.into_iter().chain(self.type_names.keys().copied()).chain(self.enum_names.keys().copied());
        let hint = nearest(name, known).map_or_else(String::new, |n| format!("did you mean `{n}`?"));
        self.error("unknown-type", span, format!("there is no type '{name}'"), hint);
        T::Unknown
    }

    /// `chart.point` is an ordinary object type that exists when it is used.
    pub(super) fn point_type(&mut self) -> u32 {
        if let Some(id) = self.point_type {
            return id;
        }
        let id = self.types.len() as u32;
        let fields = [("time", T::Int), ("index", T::Int), ("price", T::Float)];
        self.types.push(UserType { fields: &[], types: fields.iter().map(|(_, t)| t.clone()).collect() });
        let fields =
            fields.iter().map(|(n, t)| ((*n).to_owned(), crate::check::types::to_ir(t, &self.enums)));
        let fields = fields.collect();
        self.program.types.push(ObjectType { name: "chart.point".into(), fields });
        self.point_type = Some(id);
        id
    }

    /// Position and type of a field.
    pub(super) fn field(&self, object: u32, name: &str) -> Option<(u32, T)> {
        let fields = &self.program.types[object as usize].fields;
        let index = fields.iter().position(|(n, _)| n == name)?;
        Some((index as u32, self.types[object as usize].types.get(index)?.clone()))
    }

    pub(super) fn unknown_field(&mut self, object: u32, name: &str, span: Span) -> Val {
        let ty = &self.program.types[object as usize];
        let near = nearest(name, ty.fields.iter().map(|(n, _)| n.as_str()));
        let hint = near.map_or_else(String::new, |n| format!("did you mean `{n}`?"));
        let message = format!("the type {} has no field '{name}'", ty.name);
        self.error("unknown-field", span, message, hint);
        self.unknown()
    }

    /// True when evaluating `e` later or earlier gives the same: no variable, no state, no collection.
    pub(super) fn is_market(&self, e: crate::ir::ExprId) -> bool {
        match &self.program.exprs[e.index()] {
            Expr::Num(_) | Expr::Str(_) | Expr::Absent | Expr::Input(_) | Expr::Bar(_) | Expr::Get(_) => true,
            Expr::BarHist(_, a) | Expr::Un(_, a) => self.is_market(*a),
            Expr::Bin(_, a, b) | Expr::And(a, b) | Expr::Or(a, b) => self.is_market(*a) && self.is_market(*b),
            Expr::Select(a, b, c) => [a, b, c].into_iter().all(|e| self.is_market(*e)),
            Expr::Call { args, .. } => args.iter().all(|a| self.is_market(*a)),
            Expr::Var(_) | Expr::VarHist(..) | Expr::Ta(..) | Expr::New(..) | Expr::Field(..) => false,
        }
    }
}
