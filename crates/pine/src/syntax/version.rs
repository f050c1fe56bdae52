//! What the `//@version=N` line, or its absence, means for the reader.

use super::token::{Kind, Token};
use springtide_domain::{Diagnostic, Severity, Span};

/// The script's version. Older and newer ones than we run are reported; of versions 1 to 3 nothing
/// else is, since their grammar is not ours.
pub(super) fn judge(
    source: &str,
    tokens: &[Token],
    found: Option<(u32, Span)>,
    diagnostics: &mut Vec<Diagnostic>,
) -> u8 {
    let Some((number, span)) = found else {
        return missing(source, tokens, diagnostics);
    };
    if (4..=6).contains(&number) {
        return number as u8;
    }
    let hint = match number < 4 {
        true => "convert it to version 4 or later (the editor it comes from can do that)",
        false => "write it in version 6",
    };
    diagnostics.clear();
    diagnostics.push(Diagnostic {
        severity: Severity::Unsupported,
        code: "unsupported-version".into(),
        feature: format!("//@version={number}"),
        message: format!("version {number} of the language does not run here; versions 4, 5 and 6 do"),
        hint: hint.into(),
        span,
    });
    number.min(u32::from(u8::MAX)) as u8
}

fn missing(source: &str, tokens: &[Token], diagnostics: &mut Vec<Diagnostic>) -> u8 {
    let modern = has_namespaces(source, tokens);
    if !modern {
        diagnostics.clear();
    }
    let hint = match modern {
        true => "put `//@version=6` (or 5) on the first line: the names look like version 5 or later",
        false => "put `//@version=4` on the first line if it is that; older versions must be converted",
    };
    let first = tokens.first().map_or(Span::default(), Token::span);
    diagnostics.push(Diagnostic {
        severity: Severity::Unsupported,
        code: "missing-version".into(),
        feature: "//@version".into(),
        message: "there is no `//@version=` line, which means version 1, and that does not run here".into(),
        hint: hint.into(),
        span: Span { end: first.end.max(first.start), start: first.start },
    });
    1
}

/// `ta.`, `math.`, `request.`, `input.int` and the like came with version 5.
fn has_namespaces(source: &str, tokens: &[Token]) -> bool {
    tokens.windows(2).any(|pair| {
        pair[1].kind == Kind::Dot
            && matches!(
                source.get(pair[0].start as usize..pair[0].end as usize),
                Some("ta" | "math" | "request" | "str" | "input")
            )
    })
}
