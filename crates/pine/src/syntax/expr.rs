//! Expressions, by precedence climbing. Low to high: `?:`, `or`, `and`, `== !=`, `< <= > >=`, `+ -`,
//! `* / %`, signs and `not`, then calls, `[]` and `.`.

use super::ast::{Arg, BinaryOp, Expr, ExprKind, Ident, Qualifier, TypeRef, UnaryOp};
use super::cursor::{Parser, Read};
use super::lexer::unescape;
use super::token::{Kind, Token};

/// How deep types may stand in types.
const MAX_TYPE_DEPTH: u32 = 8;

impl Parser<'_> {
    /// `cond ? a : b` and everything that binds tighter.
    pub(super) fn expr(&mut self) -> Read<Expr> {
        self.enter()?;
        let mut last = self.binary(1)?;
        if self.peek() == Kind::Question {
            last = self.choices(last)?;
        }
        self.leave();
        Ok(last)
    }

    /// `a ? b : c ? d : e`, read in a loop since such chains are long, then nested to the right.
    fn choices(&mut self, first: Expr) -> Read<Expr> {
        let mut chain = Vec::new();
        let mut last = first;
        while self.peek() == Kind::Question {
            let mark = self.bump();
            let before = self.height;
            let then = self.expr()?;
            let height = before.max(self.height);
            if !self.eat(Kind::Colon) {
                return Err(self.no_colon(mark));
            }
            let otherwise = self.binary(1)?;
            chain.push((std::mem::replace(&mut last, otherwise), then, height));
        }
        while let Some((cond, then, height)) = chain.pop() {
            self.rise_to(self.height.max(height) + 1)?;
            let span = cond.span.to(last.span);
            let kind = ExprKind::Ternary(Box::new(cond), Box::new(then), Box::new(last));
            last = Expr { kind, span };
        }
        Ok(last)
    }

    fn no_colon(&mut self, mark: Token) -> super::cursor::Reported {
        if self.peek() != Kind::Eol {
            return self.expected("`:` and the value otherwise");
        }
        let hint = "write `condition ? a : b`";
        self.report("missing-colon", "this `?` has no `:`", hint, mark.span())
    }

    fn binary(&mut self, tightness: u8) -> Read<Expr> {
        let mut left = self.unary()?;
        while let Some((op, level)) = infix(self.peek()).filter(|(_, level)| *level >= tightness) {
            match self.peek() {
                Kind::PipePipe => self.foreign_operator("||", "or"),
                Kind::AmpAmp => self.foreign_operator("&&", "and"),
                _ => {}
            }
            self.bump();
            let height = self.height;
            let right = self.binary(level + 1)?;
            self.rise_to(height.max(self.height) + 1)?;
            let span = left.span.to(right.span);
            left = Expr { kind: ExprKind::Binary(op, Box::new(left), Box::new(right)), span };
        }
        Ok(left)
    }

    fn unary(&mut self) -> Read<Expr> {
        let op = match self.peek() {
            Kind::Minus => UnaryOp::Neg,
            Kind::Plus => UnaryOp::Plus,
            Kind::Not => UnaryOp::Not,
            Kind::Bang => {
                self.foreign_operator("!", "not");
                UnaryOp::Not
            }
            _ => return self.postfix(),
        };
        let sign = self.bump();
        self.enter()?;
        let operand = self.unary()?;
        self.leave();
        self.rise_to(self.height + 1)?;
        let span = sign.span().to(operand.span);
        Ok(Expr { kind: ExprKind::Unary(op, Box::new(operand)), span })
    }

    /// Calls, `[offset]` and `.name` behind an operand.
    pub(super) fn postfix(&mut self) -> Read<Expr> {
        let mut base = self.primary()?;
        loop {
            base = match self.peek() {
                Kind::LParen => self.call(base, Vec::new())?,
                Kind::LBracket => self.index(base)?,
                Kind::Dot => self.field(base)?,
                Kind::Lt if self.is_generic_call(&base) => {
                    let types = self.type_args()?;
                    self.call(base, types)?
                }
                _ => return Ok(base),
            };
        }
    }

    fn field(&mut self, base: Expr) -> Read<Expr> {
        self.bump();
        let name = self.name("a name after `.`")?;
        self.rise_to(self.height + 1)?;
        let span = base.span.to(name.span);
        Ok(Expr { kind: ExprKind::Field(Box::new(base), name), span })
    }

    fn index(&mut self, base: Expr) -> Read<Expr> {
        let open = self.bump();
        let height = self.height;
        let offset = self.inside(open)?;
        if !self.eat(Kind::RBracket) {
            return Err(self.unclosed(open));
        }
        self.rise_to(height.max(self.height) + 1)?;
        let span = self.since(base.span);
        Ok(Expr { kind: ExprKind::Index(Box::new(base), Box::new(offset)), span })
    }

    fn call(&mut self, callee: Expr, types: Vec<TypeRef>) -> Read<Expr> {
        let open = self.bump();
        let mut height = self.height;
        let mut args = Vec::new();
        while self.peek() != Kind::RParen {
            if self.peek() == Kind::Eol {
                return Err(self.unclosed(open));
            }
            args.push(self.arg()?);
            height = height.max(self.height);
            if self.peek() != Kind::RParen && !self.eat(Kind::Comma) {
                return Err(self.unclosed_call(open));
            }
        }
        self.bump();
        self.rise_to(height + 1)?;
        let span = self.since(callee.span);
        Ok(Expr { kind: ExprKind::Call { callee: Box::new(callee), types, args }, span })
    }

    fn unclosed_call(&mut self, open: Token) -> super::cursor::Reported {
        if matches!(self.peek(), Kind::Assign | Kind::Reassign) {
            let hint = "an argument is given as `name = value`; two values are compared by `==`";
            let message = format!("`{}` cannot stand here", self.text_at(self.pos));
            return self.report("assignment-in-expression", message, hint, self.here());
        }
        self.unclosed(open)
    }

    fn arg(&mut self) -> Read<Arg> {
        let mut name = None;
        if self.peek() == Kind::Name && self.kind_at(self.pos + 1) == Kind::Assign {
            let token = self.bump();
            self.bump();
            name = Some(Ident { name: self.text_of(token).to_owned(), span: token.span() });
        }
        Ok(Arg { name, value: self.expr()? })
    }

    fn primary(&mut self) -> Read<Expr> {
        let token = self.tokens[self.pos];
        let kind = match self.peek() {
            Kind::Name => ExprKind::Name(self.text_of(token).to_owned()),
            Kind::Int => self.integer(token)?,
            Kind::Float => ExprKind::Float(self.text_of(token).parse().unwrap_or(f64::NAN)),
            Kind::Str => ExprKind::Str(unescape(self.text_of(token))),
            Kind::Color => ExprKind::Color(color(self.text_of(token))),
            Kind::True => ExprKind::Bool(true),
            Kind::False => ExprKind::Bool(false),
            Kind::LParen => return self.parenthesis(),
            Kind::LBracket => return self.tuple(),
            Kind::OpenStr => return Err(self.open_string()),
            _ => return Err(self.expected("an expression")),
        };
        self.bump();
        self.height = 1;
        Ok(Expr { kind, span: token.span() })
    }

    fn integer(&mut self, token: Token) -> Read<ExprKind> {
        let next = self.tokens[self.pos + 1];
        if next.start == token.end && next.kind == Kind::Name && self.pos + 1 < self.end {
            let hint = "names start with a letter or `_`";
            let span = token.span().to(next.span());
            return Err(self.report("bad-name", "a name cannot start with a digit", hint, span));
        }
        match self.text_of(token).parse() {
            Ok(value) => Ok(ExprKind::Int(value)),
            Err(_) => {
                let hint = "integers have 64 bits; write `1e20` for a larger number";
                Err(self.report("number-too-large", "this integer is too large", hint, token.span()))
            }
        }
    }

    /// An expression behind an opening bracket or a comma in it.
    fn inside(&mut self, open: Token) -> Read<Expr> {
        if self.peek() == Kind::Eol { Err(self.unclosed(open)) } else { self.expr() }
    }

    /// Brackets leave no node, but the expression spans them.
    fn parenthesis(&mut self) -> Read<Expr> {
        let open = self.bump();
        let inner = self.inside(open)?;
        if !self.eat(Kind::RParen) {
            return Err(match self.peek() {
                Kind::Assign => self.unexpected_rest("the expression"),
                Kind::Eol => self.unclosed(open),
                _ => self.expected("`)`"),
            });
        }
        Ok(Expr { span: self.since(open.span()), ..inner })
    }

    fn tuple(&mut self) -> Read<Expr> {
        let open = self.bump();
        let (mut items, mut height) = (Vec::new(), 0);
        loop {
            items.push(self.inside(open)?);
            height = height.max(self.height);
            if self.eat(Kind::RBracket) {
                break;
            }
            if !self.eat(Kind::Comma) {
                return Err(self.unclosed(open));
            }
        }
        self.rise_to(height + 1)?;
        Ok(Expr { kind: ExprKind::Tuple(items), span: self.since(open.span()) })
    }

    /// `array.new<float>(`: angle brackets with types in them, then a parenthesis.
    fn is_generic_call(&self, base: &Expr) -> bool {
        matches!(base.kind, ExprKind::Name(_) | ExprKind::Field(..))
            && self.skip_type_args(self.pos, 0).is_some_and(|i| self.kind_at(i) == Kind::LParen)
    }

    /// Behind the type that may start at a token.
    pub(super) fn skip_type(&self, start: usize, depth: u32) -> Option<usize> {
        let mut at = start;
        while self.is_qualifier(at) {
            at += 1;
        }
        if self.kind_at(at) != Kind::Name || depth > MAX_TYPE_DEPTH {
            return None;
        }
        at += 1;
        while self.kind_at(at) == Kind::Dot && self.kind_at(at + 1) == Kind::Name {
            at += 2;
        }
        if self.kind_at(at) == Kind::Lt {
            at = self.skip_type_args(at, depth + 1)?;
        }
        while self.kind_at(at) == Kind::LBracket && self.kind_at(at + 1) == Kind::RBracket {
            at += 2;
        }
        Some(at)
    }

    fn skip_type_args(&self, open: usize, depth: u32) -> Option<usize> {
        let mut at = open + 1;
        loop {
            at = self.skip_type(at, depth)?;
            match self.kind_at(at) {
                Kind::Comma => at += 1,
                Kind::Gt => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// `const`, `input`, `simple`, `series` before a type or a name.
    fn is_qualifier(&self, at: usize) -> bool {
        self.kind_at(at) == Kind::Name
            && self.kind_at(at + 1) == Kind::Name
            && qualifier(self.text_at(at)).is_some()
            && !matches!(self.kind_at(at + 2), Kind::Assign | Kind::Comma | Kind::RParen | Kind::Eol)
    }

    /// A type; the caller has seen that one starts here.
    pub(super) fn type_ref(&mut self) -> Read<TypeRef> {
        let start = self.here();
        let mut written = None;
        while self.is_qualifier(self.pos) {
            written = qualifier(self.text_at(self.pos));
            self.bump();
        }
        if let Some(bare) =
            qualifier(self.text_at(self.pos)).filter(|_| self.kind_at(self.pos + 1) == Kind::Name)
        {
            self.bump();
            return Ok(TypeRef { qualifier: Some(bare), name: String::new(), args: Vec::new(), span: start });
        }
        let mut name = self.name("a type")?.name;
        while self.peek() == Kind::Dot {
            self.bump();
            name.push('.');
            name.push_str(&self.name("a type after `.`")?.name);
        }
        let args = if self.peek() == Kind::Lt { self.type_args()? } else { Vec::new() };
        let mut depth = 0;
        let mut ty = TypeRef { qualifier: written, name, args, span: self.since(start) };
        while self.peek() == Kind::LBracket && self.kind_at(self.pos + 1) == Kind::RBracket {
            self.pos += 2;
            depth += 1;
            if depth > MAX_TYPE_DEPTH {
                return Err(self.report("too-deep", "this type is nested too deeply", "", self.since(start)));
            }
            let inner = TypeRef { qualifier: None, ..ty };
            ty = TypeRef {
                qualifier: written,
                name: "array".into(),
                args: vec![inner],
                span: self.since(start),
            };
        }
        Ok(ty)
    }

    fn type_args(&mut self) -> Read<Vec<TypeRef>> {
        let open = self.bump();
        self.enter()?;
        let mut types = Vec::new();
        loop {
            types.push(self.type_ref()?);
            if self.eat(Kind::Gt) {
                break;
            }
            if !self.eat(Kind::Comma) {
                let hint = "type arguments are written `array<float>`, `map<string, int>`";
                return Err(self.report("unclosed-bracket", "this `<` is never closed", hint, open.span()));
            }
        }
        self.leave();
        Ok(types)
    }
}

fn qualifier(word: &str) -> Option<Qualifier> {
    Some(match word {
        "const" => Qualifier::Const,
        "input" => Qualifier::Input,
        "simple" => Qualifier::Simple,
        "series" => Qualifier::Series,
        _ => return None,
    })
}

fn infix(kind: Kind) -> Option<(BinaryOp, u8)> {
    Some(match kind {
        Kind::Or | Kind::PipePipe => (BinaryOp::Or, 1),
        Kind::And | Kind::AmpAmp => (BinaryOp::And, 2),
        Kind::EqEq => (BinaryOp::Eq, 3),
        Kind::NotEq => (BinaryOp::Ne, 3),
        Kind::Lt => (BinaryOp::Lt, 4),
        Kind::Le => (BinaryOp::Le, 4),
        Kind::Gt => (BinaryOp::Gt, 4),
        Kind::Ge => (BinaryOp::Ge, 4),
        Kind::Plus => (BinaryOp::Add, 5),
        Kind::Minus => (BinaryOp::Sub, 5),
        Kind::Star => (BinaryOp::Mul, 6),
        Kind::Slash => (BinaryOp::Div, 6),
        Kind::Percent => (BinaryOp::Rem, 6),
        _ => return None,
    })
}

/// `#RRGGBB` is opaque; the lexer has checked the digits.
fn color(text: &str) -> u32 {
    let value = u32::from_str_radix(text.trim_start_matches('#'), 16).unwrap_or(0);
    if text.len() == 7 { value << 8 | 0xff } else { value }
}
