//! Where lines end and blocks begin.

use super::check;

#[test]
fn brackets_join_lines_of_any_indentation() {
    check("f(\n    a,\n        b\n)", "(f a b)");
    check("f(\na,\nb\n)\nc", "(f a b)\nc");
    check("x = (a +\n  b\n    - c)", "(= x (- (+ a b) c))");
    check("if a\n    f(1,\n 2)\n    b", "(if a {(f 1 2); b})");
    check("if (a and\n    b)\n    c", "(if (and a b) {c})");
    check("f(a, // one\n\n// two\n  b) // three", "(f a b)");
    check("if a\n    f(\n  title = \"x\",\n  y = 2\n    )\n    b", "(if a {(f title=\"x\" y=2); b})");
}

#[test]
fn operators_at_a_line_s_end_join() {
    check("x = a +\n    b", "(= x (+ a b))");
    check("x = a and\n    b", "(= x (and a b))");
    check("x = a ?\n    b :\n    c", "(= x (? a b c))");
    check("x =\n    a", "(= x a)");
    check("x :=\n    a", "(:= x a)");
    check("x = not\n    a", "(= x (not a))");
    check("a = 1,\nb = 2", "(= a 1)\n(= b 2)");
    check("if a and\n    b\n    c", "(if (and a b) {c})");
    check("x =\n    if a\n        1\ny", "(= x (if a {1}))\ny");
}

#[test]
fn operators_at_a_line_s_start_join() {
    check("x = a\n    and b\n    or c", "(= x (or (and a b) c))");
    check("x = a\n    ? b\n    : c", "(= x (? a b c))");
    check("x = a\n    + b\n    - c", "(= x (- (+ a b) c))");
    check("x = a\n    * b", "(= x (* a b))");
    check("f(x) =>\n    y = x\n    -y", "(fn f (x) {(= y x); (- y)})");
    check("f(x) =>\n    -x", "(fn f (x) {(- x)})");
    check("x = if a\n    -1\nelse\n    +1", "(= x (if a {(- 1)} else {(+ 1)}))");
    check("if a\n    and b\n    c", "(if (and a b) {c})");
}

#[test]
fn odd_indentation_joins() {
    check("x = a > b\n ? 1\n  : 2", "(= x (? (> a b) 1 2))");
    check("f(x) =>\n    a = x\n     + 1\n    a", "(fn f (x) {(= a (+ x 1)); a})");
    check("if a\n    x = b\n      and c\n    d", "(if a {(= x (and b c)); d})");
}

#[test]
fn blocks_of_odd_width_are_blocks() {
    check("if a\n  b\n  c\nd", "(if a {b; c})\nd");
    check("if a\n   if b\n      c\n   d", "(if a {(if b {c}); d})");
    check("if a\n\tb\n    c", "(if a {b; c})");
    check("if a\n  \tb\n    c", "(if a {b; c})");
    check("f() =>\n  x = 1\n  x", "(fn f () {(= x 1); x})");
    check("switch\n  a => 1\n  b =>\n     2\n", "(switch - a=>{1} b=>{2})");
}

#[test]
fn white_space_and_comments_mean_nothing() {
    check("", "");
    check("\n\n  // x\n\n", "");
    check("if a // why\n\n// at column 0\n    b\n        // deep\n    c", "(if a {b; c})");
    check("x = 1\r\ny = 2\r\n", "(= x 1)\n(= y 2)");
    check("x\u{a0}=\u{3000}1", "(= x 1)");
    check("\u{feff}x = 1", "(= x 1)");
    check("  x = 1\n  y = 2", "(= x 1)\n(= y 2)");
    check("//@variable x is this\nx = 1 //@function", "(= x 1)");
    check("if a\n    b\n\n\n", "(if a {b})");
    check("x = 1\ry = 2", "(= x 1)\n(= y 2)");
}

#[test]
fn version_lines() {
    let version = |text: &str| super::parse(text).script.version;
    assert_eq!(version("//@version=5\n"), 5);
    assert_eq!(version("// a title\n\n// @version = 4 \nx = 1"), 4);
    assert_eq!(version("\u{feff}//@version=6"), 6);
    assert_eq!(version("x = 1\n//@version=5"), 5);
    assert_eq!(version("x = 1"), 1);
    assert_eq!(version("//@version=4 and text\n//@version=5"), 4);
    assert_eq!(version("//@version=99999999999"), 1);
}
