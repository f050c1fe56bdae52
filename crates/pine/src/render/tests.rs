use super::render;
use crate::syntax::parse;
use springtide_domain::{Diagnostic, Severity, Span};

fn syntax_errors(source: &str) -> String {
    render(&parse(source).diagnostics, source, "my.pine", false)
}

fn at(start: usize, end: usize) -> Diagnostic {
    Diagnostic {
        severity: Severity::Unsupported,
        code: "unsupported-function".into(),
        feature: "request.footprint".into(),
        message: "`request.footprint` does not run here".into(),
        hint: "remove the call".into(),
        span: Span::new(start, end),
    }
}

fn marks(source: &str, start: usize, end: usize) -> String {
    let text = render(&[at(start, end)], source, "a.pine", false);
    text.lines().skip(1).take(4).collect::<Vec<_>>().join("\n")
}

#[test]
fn nothing_wrong_nothing_said() {
    assert_eq!(render(&[], "x = 1", "a.pine", true), "");
}

#[test]
fn errors_of_a_script() {
    let source = "//@version=6\nstrategy(\"x\")\nif close > open && volume > 0\n    strategy.entry(\"L\", strategy.long\nx = 1;\n";
    insta::assert_snapshot!(syntax_errors(source), @r#"
    error[foreign-operator]: `&&` is not an operator of this language
     --> my.pine:3:17
      |
    3 | if close > open && volume > 0
      |                 ^^
      = hint: use `and`

    error[unclosed-bracket]: this `(` is never closed
     --> my.pine:4:19
      |
    4 |     strategy.entry("L", strategy.long
      |                   ^
      = hint: add the missing `)`

    error[semicolon]: statements do not end with `;`
     --> my.pine:5:6
      |
    5 | x = 1;
      |      ^
      = hint: remove it; several statements on one line are separated by `,`

    my.pine: 3 errors
    "#);
}

#[test]
fn a_feature_and_a_hint() {
    let source = "//@version=6\nx = request.footprint()\n";
    insta::assert_snapshot!(render(&[at(17, 34)], source, "a.pine", false), @"
    unsupported[unsupported-function]: `request.footprint` does not run here
     --> a.pine:2:5
      |
    2 | x = request.footprint()
      |     ^^^^^^^^^^^^^^^^^
      = feature: request.footprint
      = hint: remove the call

    a.pine: 1 unsupported feature
    ");
}

#[test]
fn tabs_and_wide_characters_keep_the_marks_below() {
    let source = "\tx = \"你好\" + yy\t+ z";
    insta::assert_snapshot!(marks(source, 16, 18), @r#"
     --> a.pine:1:13
      |
    1 |     x = "你好" + yy + z
      |                  ^^
    "#);
    insta::assert_snapshot!(marks(source, 5, 13), @r#"
     --> a.pine:1:6
      |
    1 |     x = "你好" + yy + z
      |         ^^^^^^
    "#);
    insta::assert_snapshot!(marks(source, 21, 22), @r#"
     --> a.pine:1:18
      |
    1 |     x = "你好" + yy + z
      |                       ^
    "#);
}

#[test]
fn places_at_and_beyond_the_end() {
    insta::assert_snapshot!(marks("x = (", 5, 5), @"
     --> a.pine:1:6
      |
    1 | x = (
      |      ^
    ");
    insta::assert_snapshot!(marks("x = 1", 90, 99), @"
     --> a.pine:1:6
      |
    1 | x = 1
      |      ^
    ");
    insta::assert_snapshot!(marks("", 0, 0), @"
     --> a.pine:1:1
      |
    1 | 
      | ^
    ");
    insta::assert_snapshot!(marks("f(a,\n  b)\nc", 0, 9), @"
     --> a.pine:1:1
      |
    1 | f(a,
      | ^^^^
    ");
}

#[test]
fn long_lines_are_cut_around_the_place() {
    let source = format!("x = {}here + {}", "abc + ".repeat(40), "def + ".repeat(40));
    insta::assert_snapshot!(marks(&source, 244, 248), @"
     --> a.pine:1:245
      |
    1 | … c + abc + abc + abc + abc + abc + abc + here + def + def + def + def + def + def + def + def + def + def + def + def + d …
      |                                           ^^^^
    ");
}

#[test]
fn what_is_too_much_is_counted() {
    let text = render(&vec![at(0, 1); 203], "x = 1", "a.pine", false);
    assert_eq!(text.matches("unsupported[").count(), 200);
    assert!(text.ends_with("… and 3 more\n\na.pine: 203 unsupported features\n"), "{text}");
}

#[test]
fn control_characters_are_not_passed_on() {
    let source = "x = \"\x1b[2J\" \x07";
    let text = render(&parse(source).diagnostics, source, "a.pine", false) + &marks(source, 0, 3);
    assert!(!text.contains(['\x1b', '\x07']), "{text:?}");
}

#[test]
fn color_only_adds_escapes() {
    let source = "x = 1 +\ny := ?";
    let diagnostics = parse(&format!("//@version=5\n{source}")).diagnostics;
    let (plain, colored) =
        (render(&diagnostics, source, "a", false), render(&diagnostics, source, "a", true));
    let mut stripped = String::new();
    for (i, part) in colored.split("\x1b[").enumerate() {
        stripped.push_str(if i == 0 { part } else { part.split_once('m').map_or(part, |p| p.1) });
    }
    assert!(colored.len() > plain.len());
    assert_eq!(stripped, plain);
}
