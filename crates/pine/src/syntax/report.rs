//! Wording: what was expected, what stands there, and what was probably meant.

use super::cursor::{Parser, Reported};
use super::token::{Kind, Token};
use springtide_domain::Span;

/// A slip that has a name: code, message, hint.
type Slip = (&'static str, String, String);

impl Parser<'_> {
    /// Something else than `what` stands here.
    pub(super) fn expected(&mut self, what: &str) -> Reported {
        if let Some((code, message, hint)) = self.slip() {
            return self.report(code, message, hint, self.here());
        }
        if self.peek() == Kind::OpenStr {
            return self.open_string();
        }
        let message = format!("expected {what}, found {}", self.found());
        let hint = self.hint_for_layout();
        self.report("unexpected-token", message, hint, self.here())
    }

    /// A string that its line does not end.
    pub(super) fn open_string(&mut self) -> Reported {
        let quote = self.text_at(self.pos).chars().next().unwrap_or('"');
        let hint = format!("close it with {quote} on the same line; `\\{quote}` stands for the mark itself");
        self.report("unterminated-string", "this string is never closed", hint, self.here())
    }

    /// A complete statement is followed by something.
    pub(super) fn unexpected_rest(&mut self, after: &str) -> Reported {
        match self.peek() {
            Kind::RParen | Kind::RBracket => {
                let message = format!("{} closes nothing", self.found());
                let hint = "remove it, or add the bracket that it should close";
                self.report("unmatched-bracket", message, hint, self.here())
            }
            Kind::Assign if matches!(after, "the condition" | "the expression") => {
                let message = "`=` declares a variable and cannot stand in an expression";
                let hint = "use `==` to compare, `:=` to give a variable a new value";
                self.report("assignment-in-expression", message, hint, self.here())
            }
            _ => self.expected(&format!("the end of the line after {after}")),
        }
    }

    /// `(` or `[` without its partner; the place is the opening one.
    pub(super) fn unclosed(&mut self, open: Token) -> Reported {
        let (text, partner) = match open.kind {
            Kind::LBracket => ("[", "]"),
            _ => ("(", ")"),
        };
        if self.peek() != Kind::Eol {
            return self.expected(&format!("`,` or `{partner}`"));
        }
        let message = format!("this `{text}` is never closed");
        let hint = format!("add the missing `{partner}`");
        self.report("unclosed-bracket", message, hint, open.span())
    }

    fn found(&self) -> String {
        match self.peek() {
            Kind::Eol => "the end of the line".into(),
            _ => {
                let text = self.text_at(self.pos);
                let short: String = text.chars().take(24).collect();
                let more = if short.len() < text.len() { "…" } else { "" };
                format!("`{short}{more}`")
            }
        }
    }

    fn hint_for_layout(&self) -> String {
        let token = self.tokens[self.pos.min(self.tokens.len() - 1)];
        let text = self.text_at(self.pos);
        if self.is_wrapped() {
            return format!(
                "this line is indented by {} columns, so it continues the line above; \
                 statements of a block are indented by 4 columns each level",
                token.indent
            );
        }
        match text.to_ascii_lowercase().as_str() {
            word @ ("and" | "or" | "not") => format!("operators are written in lower case: `{word}`"),
            "then" => "the body stands on the next line, indented by 4 spaces".into(),
            _ => String::new(),
        }
    }

    /// Looks for habits of other languages and of word processors at the next token.
    fn slip(&self) -> Option<Slip> {
        let text = self.text_at(self.pos);
        let before = self.pos.checked_sub(1).map(|i| self.tokens[i]);
        let touches = before.is_some_and(|t| t.end == self.tokens[self.pos].start);
        let pair = match before {
            Some(b) if touches && self.pos < self.end => (b.kind, self.peek()),
            _ => (Kind::Eol, self.peek()),
        };
        match (pair, before.map(|b| b.kind)) {
            ((Kind::Plus, Kind::Plus) | (Kind::Minus, Kind::Minus), _) => Some(step(text)),
            ((_, Kind::Eol), Some(sign @ (Kind::Plus | Kind::Minus))) if self.is_doubled_sign(self.pos) => {
                Some(step(if sign == Kind::Plus { "+" } else { "-" }))
            }
            ((Kind::Star, Kind::Star), _) => Some(operator("**", "use `math.pow(a, b)`")),
            ((Kind::EqEq | Kind::NotEq, Kind::Assign), _) => {
                Some(operator("===", "use `==` or `!=`: there is only one kind of equality"))
            }
            ((Kind::Lt, Kind::Gt), _) => Some(operator("<>", "use `!=`")),
            ((Kind::Assign, Kind::Lt | Kind::Gt), _) => Some(operator("=<", "use `<=` or `>=`")),
            ((_, Kind::Colon), _) => Some((
                "unexpected-token",
                "this `:` belongs to no `?`".into(),
                "a block needs no colon; a choice is written `condition ? a : b`".into(),
            )),
            ((_, Kind::Arrow), _) => Some((
                "unexpected-token",
                "`=>` cannot stand here".into(),
                "it follows a function's parameters or a `switch` case; \"greater or equal\" is `>=`".into(),
            )),
            ((_, Kind::Semicolon), _) => Some(semicolon()),
            ((_, Kind::Fence), _) => Some(fence()),
            ((_, Kind::If | Kind::Switch | Kind::For | Kind::While), _) if !self.is_wrapped() => Some((
                "block-in-expression",
                format!("`{text}` cannot stand inside an expression"),
                format!("give its value a name first: `x = {text} …`"),
            )),
            ((_, Kind::Bad), _) => Some(foreign(text)),
            _ => None,
        }
    }

    /// Is the next token the first of a line that continues the one above because of its indentation?
    fn is_wrapped(&self) -> bool {
        let token = self.tokens[self.pos];
        self.pos < self.end && token.is_first() && !token.indent.is_multiple_of(4)
    }

    /// `||`, `&&` and `!` are reported and then taken for what they mean.
    pub(super) fn foreign_operator(&mut self, sign: &str, word: &str) {
        let message = format!("`{sign}` is not an operator of this language");
        let failed = self.failed;
        self.report("foreign-operator", message, format!("use `{word}`"), self.here());
        self.failed = failed;
    }

    /// A `;` is reported and skipped.
    pub(super) fn skip_semicolon(&mut self) {
        let (code, message, hint) = semicolon();
        let failed = self.failed;
        self.report(code, message, hint, self.here());
        self.failed = failed;
        self.bump();
    }

    /// A statement that starts with a word which other languages have.
    pub(super) fn foreign_word(&self) -> Option<(String, &'static str)> {
        let (word, next) = (self.text_at(self.pos), self.kind_at(self.pos + 1));
        let hint = match word {
            "return" => "the value of a function is its last expression; leave the word out",
            "let" | "local" | "final" => {
                "declare with `x = …`, or `var x = …` to keep the value from bar to bar"
            }
            "def" | "function" | "func" | "fn" => "a function is written `name(parameters) => body`",
            "elif" | "elseif" | "elsif" => "write `else if`",
            _ => return None,
        };
        let used_as_name = next.is_assignment() || next.is_infix() || matches!(next, Kind::Dot | Kind::Arrow);
        let called = next == Kind::LParen && self.tokens[self.pos].end == self.tokens[self.pos + 1].start;
        let alone = matches!(next, Kind::Eol | Kind::Comma);
        if used_as_name || called || alone {
            None
        } else {
            Some((format!("`{word}` is not part of the language"), hint))
        }
    }

    /// A line of prose, of which only the first in a row is reported.
    pub(super) fn prose(&mut self, follows: bool) -> Reported {
        let last = self.tokens[self.end - 1].span();
        let span: Span = self.tokens[self.pos].span().to(last);
        self.failed = true;
        if follows {
            return Reported;
        }
        self.report("prose", "this is text, not code", "remove it, or start the line with `//`", span)
    }
}

fn step(sign: &str) -> Slip {
    operator(&format!("{sign}{sign}"), &format!("use `x {sign}= 1`"))
}

fn operator(sign: &str, hint: &str) -> Slip {
    ("foreign-operator", format!("`{sign}` is not an operator of this language"), hint.into())
}

fn semicolon() -> Slip {
    let hint = "remove it; several statements on one line are separated by `,`";
    ("semicolon", "statements do not end with `;`".into(), hint.into())
}

pub(super) fn fence() -> Slip {
    let hint = "remove the lines of ``` around the script";
    ("markdown-fence", "this is a code fence of a document, not code".into(), hint.into())
}

/// Characters that no token has.
fn foreign(text: &str) -> Slip {
    let first = text.chars().next().unwrap_or(' ');
    match first {
        '{' | '}' if text.len() == 2 => (
            "template-placeholder",
            format!("`{text}` belongs to a template; its value was never filled in"),
            "replace the placeholder by its value, or put it in a string".into(),
        ),
        '{' | '}' => (
            "braces",
            format!("`{text}` is not part of the language"),
            "blocks are made by indentation: 4 spaces or a tab for each level".into(),
        ),
        '\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}' | '\u{2032}' | '\u{2033}' => (
            "typographic-quote",
            format!("`{text}` is a typographic quotation mark"),
            "strings are written with \" or '".into(),
        ),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => {
            ("typographic-sign", format!("`{text}` is a dash or a typographic minus"), "use `-`".into())
        }
        '\u{2264}' => operator(text, "use `<=`"),
        '\u{2265}' => operator(text, "use `>=`"),
        '\u{2260}' => operator(text, "use `!=`"),
        '\u{d7}' => operator(text, "use `*`"),
        '\u{f7}' => operator(text, "use `/`"),
        '\u{ff01}'..='\u{ff5e}' => (
            "full-width-character",
            format!("`{first}` is a full-width character"),
            format!("use `{}`", char::from_u32(first as u32 - 0xfee0).unwrap_or(' ')),
        ),
        '\u{3001}' | '\u{3002}' => {
            ("full-width-character", format!("`{first}` is a full-width character"), "use `,`".into())
        }
        '#' => (
            "bad-color",
            format!("`{text}` is not a colour"),
            "a colour has 6 or 8 hexadecimal digits: `#RRGGBB` or `#RRGGBBAA`".into(),
        ),
        '@' => (
            "stray-annotation",
            "`@` stands only in comments".into(),
            "write annotations as `//@version=6`".into(),
        ),
        '-' => operator("->", "use `=>`"),
        '^' => operator("^", "use `math.pow(a, b)`"),
        '&' => operator("&", "use `and`"),
        '|' => operator("|", "use `or`"),
        _ => (
            "unexpected-character",
            format!("`{}` is not part of the language", text.chars().take(24).collect::<String>()),
            if first.is_alphabetic() {
                "names have only a–z, A–Z, 0–9 and `_`".into()
            } else {
                String::new()
            },
        ),
    }
}
