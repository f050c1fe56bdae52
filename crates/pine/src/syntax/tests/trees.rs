//! Expressions, declarations and structures.

use super::check;

#[test]
fn literals() {
    check("1", "1");
    check("1.5", "1.5");
    check(".5", "0.5");
    check("1.", "1.0");
    check("1.*x", "(* 1.0 x)");
    check("1e-3", "0.001");
    check("1.e2", "100.0");
    check("2E+3", "2000.0");
    check("true", "true");
    check("na", "na");
    check("#ff8000", "#ff8000ff");
    check("#FF800040", "#ff800040");
    check("007", "7");
}

#[test]
fn strings() {
    check(r#""a""#, r#""a""#);
    check("'say \"x\"'", r#""say \"x\"""#);
    check(r#""a\nb\\c\"d""#, r#""a\nb\\c\"d""#);
    check(r#""\d""#, r#""d""#);
    check("\"// no comment\" // one", "\"// no comment\"");
    check("'//@version=3'", "\"//@version=3\"");
    check("\"{{ticker}} 你好\"", "\"{{ticker}} 你好\"");
    check("\"\"", "\"\"");
    check("''", "\"\"");
    check("x = \"\"\"a\n  \"b\"\n\"\"\"", "(= x \"a\\n  \\\"b\\\"\\n\")");
    check("f('''it's''')", "(f \"it's\")");
    check("f(tooltip = \"long\n     text\", x)", "(f tooltip=\"long text\" x)");
}

#[test]
fn precedence() {
    check("a + b * c - d", "(- (+ a (* b c)) d)");
    check("a * b / c % d", "(% (/ (* a b) c) d)");
    check("a or b and c", "(or a (and b c))");
    check("a == b and c != d", "(and (== a b) (!= c d))");
    check("a > b == c < d", "(== (> a b) (< c d))");
    check("not a == b", "(== (not a) b)");
    check("not a and not b", "(and (not a) (not b))");
    check("-a * b", "(* (- a) b)");
    check("-x[1]", "(- ([] x 1))");
    check("a - -b", "(- a (- b))");
    check("+a", "(+ a)");
    check("(a + b) * c", "(* (+ a b) c)");
    check("a - b - c", "(- (- a b) c)");
    check("a < b ? c : d", "(? (< a b) c d)");
    check("a ? b : c ? d : e", "(? a b (? c d e))");
    check("a ? b ? 1 : 2 : 3", "(? a (? b 1 2) 3)");
    check("a or b ? c + 1 : d", "(? (or a b) (+ c 1) d)");
    check("not(a)", "(not a)");
}

#[test]
fn calls_history_and_fields() {
    check("f()", "(f)");
    check("f(1, b = 2, c)", "(f 1 b=2 c)");
    check("ta.sma(close, 14)[1]", "([] (ta.sma close 14) 1)");
    check("(a + b)[2]", "([] (+ a b) 2)");
    check("x[1][2]", "([] ([] x 1) 2)");
    check("a.b.c(d).e", "(a.b.c d).e");
    check("arr.push(1).size()", "((arr.push 1).size)");
    check("close[bar_index - 1]", "([] close (- bar_index 1))");
    check("f(a ? b : c, [x, y])", "(f (? a b c) [x y])");
    check("x.f(1).g()[2].h", "([] ((x.f 1).g) 2).h");
    check("f(a,)", "(f a)");
}

#[test]
fn generics() {
    check("array.new<float>(3, 0.0)", "(array.new<float> 3 0.0)");
    check("map.new<string, array<int>>()", "(map.new<string,array<int>>)");
    check("array.new<chart.point>()", "(array.new<chart.point>)");
    check("matrix.new<float>(2, 2)", "(matrix.new<float> 2 2)");
    check("a < b and c > (d)", "(and (< a b) (> c d))");
    check("x = a < b", "(= x (< a b))");
    check("f(a < b, c > d)", "(f (< a b) (> c d))");
}

#[test]
fn declarations() {
    check("x = 1", "(= x 1)");
    check("float x = na", "(= float:x na)");
    check("var x = 0", "(var x 0)");
    check("var float x = 0.0", "(var float:x 0.0)");
    check("varip int n = 0", "(varip int:n 0)");
    check("const int N = 5", "(= const int:N 5)");
    check("series float x = close", "(= series float:x close)");
    check("simple x = 1", "(= simple :x 1)");
    check("float[] x = na", "(= array<float>:x na)");
    check("array<float> x = na", "(= array<float>:x na)");
    check("map<string, array<int>> m = na", "(= map<string,array<int>>:m na)");
    check("var matrix<my.Type> m = na", "(var matrix<my.Type>:m na)");
    check("my.Type t = my.Type.new()", "(= my.Type:t (my.Type.new))");
    check("[a, b] = f()", "(= [a b] (f))");
    check("[_, b, _] = ta.macd(x, 1, 2, 3)", "(= [_ b _] (ta.macd x 1 2 3))");
    check("int a = 1, float b = 2.0, c = 3", "(= int:a 1)\n(= float:b 2.0)\n(= c 3)");
    check("map<int, int> a = na, b = 1", "(= map<int,int>:a na)\n(= b 1)");
}

#[test]
fn assignments() {
    check("x := 1", "(:= x 1)");
    check("x += 1, x -= 2, x *= 3", "(+= x 1)\n(-= x 2)\n(*= x 3)");
    check("x /= 1", "(/= x 1)");
    check("x %= 2", "(%= x 2)");
    check("p.x := 1", "(:= p.x 1)");
    check("p.at(0).x := 1", "(:= (p.at 0).x 1)");
}

#[test]
fn names_that_are_keywords_elsewhere() {
    check("type = input(1, type = input.integer)", "(= type (input 1 type=input.integer))");
    check("method = 1", "(= method 1)");
    check("color = color.red", "(= color color.red)");
    check("enum = type + method", "(= enum (+ type method))");
    check("export = 1", "(= export 1)");
    check("import = in + to + by", "(= import (+ (+ in to) by))");
    check("series = simple", "(= series simple)");
    check("input = input(5)", "(= input (input 5))");
    check("range = float(x)", "(= range (float x))");
    check("type(x)", "(type x)");
    check("export.x := 2", "(:= export.x 2)");
}

#[test]
fn functions() {
    check("f(x) => x + 1", "(fn f (x) {(+ x 1)})");
    check("f() => 1", "(fn f () {1})");
    check("f(float x, simple int n = 14) => x", "(fn f (float:x simple int:n=14) {x})");
    check("f(array<float> a, float[] b, c = 1) => c", "(fn f (array<float>:a array<float>:b c=1) {c})");
    check("f(x) =>\n    y = x\n    y * 2", "(fn f (x) {(= y x); (* y 2)})");
    check("f(x) => a = x, b = 2, [a, b]", "(fn f (x) {(= a x); (= b 2); [a b]})");
    check("f(x) =>\n    [x, 1]", "(fn f (x) {[x 1]})");
    check("method add(Book b, float x) =>\n    b.s += x", "(method add (Book:b float:x) {(+= b.s x)})");
    check("export f(x) => x", "export (fn f (x) {x})");
    check("export method f(int x) => x", "export (method f (int:x) {x})");
    check("f(x) => switch\n    x => 1\n    => 2", "(fn f (x) {(switch - x=>{1} _=>{2})})");
    check("f(\n  a,\n  b\n ) => a", "(fn f (a b) {a})");
    check("f(series x) => x", "(fn f (series :x) {x})");
}

#[test]
fn types_enums_imports() {
    check(
        "type P\n    float x = 0.0\n    varip int n\n    array<P> kids\n    line[] ls",
        "(type P (float:x=0.0 varip int:n array<P>:kids array<line>:ls))",
    );
    check("export type P\n    chart.point p", "export (type P (chart.point:p))");
    check("enum E\n    a\n    b = \"B\"\n    c", "(enum E a b=\"B\" c)");
    check("export enum E\n\ta", "export (enum E a)");
    check("import TradingView/ta/7 as t", "(import TradingView/ta/7 as t)");
    check("import a/b/1", "(import a/b/1)");
    check("export const int X = 1", "export (= const int:X 1)");
    check("export X = 1", "export (= X 1)");
}

#[test]
fn conditions() {
    check("if a\n    b", "(if a {b})");
    check("if a\n    b\nelse\n    c\nd", "(if a {b} else {c})\nd");
    check("if a\n    b\nelse if c\n    d\nelse\n    e", "(if a {b} c {d} else {e})");
    check("x = if a\n    1\nelse\n    2", "(= x (if a {1} else {2}))");
    check("x := if a\n    1", "(:= x (if a {1}))");
    check("var float x = if a\n    1", "(var float:x (if a {1}))");
    check("if a\n    if b\n        c\n    else\n        d", "(if a {(if b {c} else {d})})");
    check("if a\n    if b\n        c\nelse\n    d", "(if a {(if b {c})} else {d})");
    check("if a\n    b\nelse\n    if c\n        d", "(if a {b} else {(if c {d})})");
    check("[x, y] = if a\n    [1, 2]\nelse\n    [3, 4]", "(= [x y] (if a {[1 2]} else {[3 4]}))");
    check("if(a and (b or c))\n\td", "(if (and a (or b c)) {d})");
}

#[test]
fn switches() {
    check("switch x\n    1 => a\n    2 => b\n    => c", "(switch x 1=>{a} 2=>{b} _=>{c})");
    check("switch\n    a > b => x := 1\n    => x := 2", "(switch - (> a b)=>{(:= x 1)} _=>{(:= x 2)})");
    check(
        "y = switch s\n    \"a\" =>\n        f()\n        1\n    \"b\" => 2\nz",
        "(= y (switch s \"a\"=>{(f); 1} \"b\"=>{2}))\nz",
    );
    check("switch\n    a => x := 1, y := 2\n", "(switch - a=>{(:= x 1); (:= y 2)})");
    check(
        "switch a\n    1 => switch b\n        2 => x\n    3 => y",
        "(switch a 1=>{(switch b 2=>{x})} 3=>{y})",
    );
    check("switch\n    a and\n     b => 1", "(switch - (and a b)=>{1})");
}

#[test]
fn loops() {
    check("for i = 0 to 10\n    f(i)", "(for i 0 10 {(f i)})");
    check("for i = n - 1 to 0 by 2\n    f(i)", "(for i (- n 1) 0 2 {(f i)})");
    check("for x in arr\n    f(x)", "(for x in arr {(f x)})");
    check("for [i, x] in g(a)\n    f(x)", "(for i,x in (g a) {(f x)})");
    check(
        "while i < 3\n    i += 1\n    break\n    continue",
        "(while (< i 3) {(+= i 1); (break); (continue)})",
    );
    check("s = for i = 0 to 3\n    i", "(= s (for i 0 3 {i}))");
    check("for int i = 0 to 3\n    i", "(for i 0 3 {i})");
    check("for to = to to to by by\n    to", "(for to to to by {to})");
}
