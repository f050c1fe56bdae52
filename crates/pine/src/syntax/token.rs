//! What the lexer hands to the parser: kinds of token, with place and layout.

use springtide_domain::Span;

/// Kinds of token. Words that are reserved only in some places (`type`, `enum`, `method`, `import`,
/// `export`, `in`, `to`, `by`) are names; the parser knows where they mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Int,
    Float,
    Str,
    Color,
    And,
    Or,
    Not,
    If,
    Else,
    For,
    While,
    Switch,
    True,
    False,
    Var,
    Varip,
    Break,
    Continue,
    LParen,
    RParen,
    LBracket,
    RBracket,
    Comma,
    Dot,
    Question,
    Colon,
    /// `=`
    Assign,
    /// `:=`
    Reassign,
    PlusAssign,
    MinusAssign,
    StarAssign,
    SlashAssign,
    PercentAssign,
    Arrow,
    EqEq,
    NotEq,
    Lt,
    Le,
    Gt,
    Ge,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    /// `||`, taken for `or` once it is reported.
    PipePipe,
    /// `&&`, taken for `and` once it is reported.
    AmpAmp,
    /// `!`, taken for `not` once it is reported.
    Bang,
    Semicolon,
    /// A string that its line does not end.
    OpenStr,
    /// A line of three backticks.
    Fence,
    /// Characters that no token has.
    Bad,
    /// End of the logical line; never in the token list.
    Eol,
    Eof,
}

impl Kind {
    /// Can the line go on after this token? (Operators, separators, assignment signs.)
    pub(super) fn wants_more(self) -> bool {
        use Kind::*;
        self.is_infix()
            || matches!(self, Not | Bang | Comma | Dot | Plus | Minus | Question | Colon)
            || self.is_assignment()
    }

    /// An operator that needs a left operand, so that no statement starts with it.
    pub(super) fn is_infix(self) -> bool {
        use Kind::*;
        matches!(
            self,
            And | Or
                | PipePipe
                | AmpAmp
                | EqEq
                | NotEq
                | Lt
                | Le
                | Gt
                | Ge
                | Star
                | Slash
                | Percent
                | Question
                | Colon
        )
    }

    pub(super) fn is_assignment(self) -> bool {
        use Kind::*;
        matches!(
            self,
            Assign | Reassign | PlusAssign | MinusAssign | StarAssign | SlashAssign | PercentAssign
        )
    }

    /// A token that ends an operand.
    pub(super) fn ends_operand(self) -> bool {
        use Kind::*;
        matches!(self, Name | Int | Float | Str | Color | True | False | RParen | RBracket)
    }

    /// A token that starts an operand and is no operator.
    pub(super) fn starts_operand(self) -> bool {
        use Kind::*;
        matches!(self, Name | Int | Float | Str | Color | True | False)
    }

    /// A word that starts a statement and stands nowhere else.
    pub(super) fn starts_statement(self) -> bool {
        use Kind::*;
        matches!(self, If | Else | For | While | Switch | Var | Varip | Break | Continue)
    }

    /// Opens an indented block, somewhere on its line.
    pub(super) fn opens_block(self) -> bool {
        use Kind::*;
        matches!(self, If | Else | For | While | Switch)
    }
}

/// A token: kind, bytes, and the indentation when it is the first of its line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub kind: Kind,
    /// A bracket without its partner.
    pub unmatched: bool,
    /// Columns of white space before the first token of a line; [`Token::INSIDE`] for all others.
    pub indent: u16,
    pub start: u32,
    pub end: u32,
}

impl Token {
    /// Marks a token that is not the first of its line.
    pub(super) const INSIDE: u16 = u16::MAX;

    /// Is it the first of its line?
    pub(super) fn is_first(&self) -> bool {
        self.indent != Self::INSIDE
    }

    pub(super) fn span(&self) -> Span {
        Span { start: self.start, end: self.end }
    }
}
