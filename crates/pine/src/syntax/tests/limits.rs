//! Hostile sources: deep, long, cut off anywhere.

use super::super::MAX_HEIGHT;
use super::{codes, parse, sexpr};
use crate::syntax::ast::{Expr, ExprKind};

fn first_code(source: &str) -> String {
    parse(&format!("//@version=6\n{source}")).diagnostics.first().map_or(String::new(), |d| d.code.clone())
}

#[test]
fn depth_is_bounded() {
    for n in [100, 5_000, 200_000] {
        assert_eq!(first_code(&format!("x = {}1{}", "(".repeat(n), ")".repeat(n))), "too-deep");
        assert_eq!(first_code(&format!("x = {}1", "(".repeat(n))), "too-deep");
        assert_eq!(first_code(&format!("x = {}1", "- ".repeat(n))), "too-deep");
        assert_eq!(first_code(&format!("x = {}1", "not ".repeat(n))), "too-deep");
        assert_eq!(first_code(&format!("x = {}1{}", "f(".repeat(n), ")".repeat(n))), "too-deep");
        assert_eq!(first_code(&format!("x = {}1{}", "[".repeat(n), "]".repeat(n))), "too-deep");
        assert_eq!(first_code(&format!("x = {}1", "a ? ".repeat(n))), "too-deep");
    }
    for n in [300, 200_000] {
        assert_eq!(first_code(&format!("x = 1{}", " + 1".repeat(n))), "too-deep");
        assert_eq!(first_code(&format!("x = a{}", "[1]".repeat(n))), "too-deep");
        assert_eq!(first_code(&format!("x = a{}", ".b".repeat(n))), "too-deep");
        assert_eq!(first_code(&format!("x = a{}", "(1)".repeat(n))), "too-deep");
        assert_eq!(first_code(&format!("x = {}1", "a ? b : ".repeat(n))), "too-deep");
        assert_eq!(first_code(&format!("float{} x = na", "[]".repeat(n))), "too-deep");
        assert_ne!(first_code(&format!("{}int{} x = na", "array<".repeat(n), ">".repeat(n))), "");
    }
}

#[test]
fn statements_in_statements_are_bounded() {
    for n in [200, 50_000] {
        assert_eq!(first_code(&"f(x) => ".repeat(n)), "too-deep");
        assert_eq!(first_code(&format!("{}x = 1", "let ".repeat(n))), "foreign-word");
    }
}

/// Were the effort quadratic, these would take minutes.
#[test]
fn broken_lines_are_not_searched_again_and_again() {
    for part in
        ["x = \nfor ", "var x = \n", "\\\"\"\"x\n", "(\nx = 1\n", "((\nif x\n", "a b c\nf(a\n", "'[a,b"]
    {
        let source = part.repeat(300_000 / part.len());
        assert_ne!(first_code(&source), "", "{part:?}");
    }
}

#[test]
fn deep_blocks_are_bounded() {
    let ifs: String = (0..2_000).map(|i| format!("{}if a\n", " ".repeat(4 * i))).collect();
    assert_eq!(first_code(&ifs), "too-deep");
    let steps: String = (0..2_000).map(|i| format!("{}a\n", " ".repeat(4 * i))).collect();
    assert_eq!(first_code(&steps), "unexpected-indent");
}

#[test]
fn what_people_write_is_not_too_deep() {
    let sum = vec!["x"; 200].join(" + ");
    super::check(&format!("({sum})"), &format!("{}x{}", "(+ ".repeat(199), " x)".repeat(199)));
    assert_eq!(first_code(&"a ? b : ".repeat(200).add("c")), "");
    assert_eq!(first_code(&format!("{}1{}", "(".repeat(40), ")".repeat(40))), "");
    let chain: String = (0..500).map(|i| format!("else if x == {i}\n    y\n")).collect();
    assert_eq!(first_code(&format!("if x\n    y\n{chain}")), "");
}

use std::ops::Add;

fn height(e: &Expr) -> u32 {
    1 + match &e.kind {
        ExprKind::Binary(_, a, b) | ExprKind::Index(a, b) => height(a).max(height(b)),
        ExprKind::Unary(_, a) | ExprKind::Field(a, _) => height(a),
        ExprKind::Ternary(a, b, c) => height(a).max(height(b)).max(height(c)),
        ExprKind::Tuple(items) => items.iter().map(height).max().unwrap_or(0),
        ExprKind::Call { callee, args, .. } => {
            args.iter().map(|a| height(&a.value)).max().unwrap_or(0).max(height(callee))
        }
        _ => 0,
    }
}

/// Chains in chains: each level short enough, all of them together not.
#[test]
fn height_is_that_of_the_whole_tree() {
    for width in [5, 20, 60, 120] {
        for depth in [1, 2, 5, 20, 60] {
            let source =
                (0..depth).fold("x".to_string(), |inner, _| format!("({inner}{})", " + 1".repeat(width)));
            let parsed = parse(&format!("//@version=6\n{source}"));
            let fits = width * depth < MAX_HEIGHT as usize;
            assert_eq!(parsed.diagnostics.is_empty(), fits, "{width} {depth}");
            for statement in &parsed.script.body {
                if let crate::syntax::ast::StmtKind::Expr(e) = &statement.kind {
                    assert!(height(e) <= MAX_HEIGHT);
                }
            }
        }
    }
}

#[test]
fn any_cut_and_any_missing_byte_is_read() {
    let source = include_str!("sample.pine");
    for i in 0..source.len() {
        if let (Some(head), Some(tail)) = (source.get(..i), source.get(i + 1..)) {
            parse(head);
            parse(tail);
            parse(&format!("{head}{tail}"));
        }
    }
}

#[test]
fn a_broken_line_costs_only_itself() {
    let source = include_str!("sample.pine");
    let whole = sexpr::script(&parse(source).script.body);
    assert_eq!(parse(source).diagnostics, []);
    let broken = source.replacen("string mode = ", "string mode = = ", 1);
    let parsed = parse(&broken);
    assert_eq!(parsed.diagnostics.len(), 1, "{:?}", parsed.diagnostics);
    let read = sexpr::script(&parsed.script.body);
    assert_eq!(whole.lines().count(), read.lines().count());
    assert_eq!(whole.lines().zip(read.lines()).filter(|(a, b)| a != b).count(), 1);
}

#[test]
fn a_long_source_is_refused() {
    let parsed = parse(&" ".repeat(super::super::MAX_SOURCE + 1));
    assert_eq!(parsed.diagnostics[0].code, "too-long");
}

#[test]
fn only_the_version_is_said_of_old_scripts() {
    assert_eq!(codes("//@version=3\nx = ( ||\nif\n").lines().next(), Some("0:1 unsupported-version"));
    assert_eq!(codes("//@version=7\nx = (").lines().next(), Some("0:1 unsupported-version"));
    assert_eq!(parse("study(\"x\")\nplot(close").diagnostics.len(), 1);
    assert_eq!(parse("strategy(\"x\")\nplot(ta.sma(close, 5)").diagnostics.len(), 2);
}
