//! What is wrong, where, and what is still read.

use super::codes;

/// Source, then each diagnostic as `line:column code`, then the tree that is left.
#[rustfmt::skip]
const CASES: &[(&str, &str, &str)] = &[
    ("x = a || b && !c
y = a ||| b",
     "1:7 foreign-operator, 1:12 foreign-operator, 1:15 foreign-operator, 2:7 foreign-operator, 2:9 foreign-operator",
     "(= x (or a (and b (not c))))
(= y <error>)"),
    (r#"```pinescript
strategy("x")
x = 1
```"#,
     "1:1 markdown-fence, 4:1 markdown-fence",
     r#"(strategy "x")
(= x 1)"#),
    (r#"strategy("{{name}}")
len = {{length}}
y = 2"#,
     "2:7 template-placeholder",
     r#"(strategy "{{name}}")
(= len <error>)
(= y 2)"#),
    ("x = 1;
y = 2;",
     "1:6 semicolon, 2:6 semicolon",
     "(= x 1)
(= y 2)"),
    ("if (a) {
    b = 1
}",
     "1:8 braces, 3:1 braces",
     "(if a {(= b 1)})"),
    ("if a:
    b = 1
else:
    c = 2",
     "1:5 unexpected-token, 3:5 unexpected-token",
     "(if a {(= b 1)} else {(= c 2)})"),
    ("if a = b
    c",
     "1:6 assignment-in-expression",
     "(if a {c})"),
    ("f(x)
    y = x
    y
z = f(1)",
     "1:1 missing-arrow",
     "(fn f (x) {(= y x); y})
(= z (f 1))"),
    ("f(x) = x + 1",
     "1:6 missing-arrow",
     "(fn f (x) {(+ x 1)})"),
    (r#"plot(close, title="abc
x = 1"#,
     "1:19 unterminated-string",
     "(= x 1)"),
    (r#"strategy("x", overlay=true
len = input.int(5)
y = 1"#,
     "1:9 unclosed-bracket",
     "(= len (input.int 5))
(= y 1)"),
    (r#"plot(ta.sma(close, 14), color=color.red
if a
    strategy.entry("L", strategy.long)
plot((close)
z = )"#,
     "1:5 unclosed-bracket, 4:5 unclosed-bracket, 5:5 unexpected-token",
     r#"(if a {(strategy.entry "L" strategy.long)})
(= z <error>)"#),
    ("x = “hello”
y = close — open
z = f（a，b）",
     "1:5 typographic-quote, 2:11 typographic-sign, 3:6 full-width-character",
     "(= x <error>)
(= y close)
(= z f)"),
    (r#"This strategy uses a moving average
It buys when things go up.
strategy("x")"#,
     "1:1 prose",
     ""),
    ("i++
x = 2 ** 3
y = a === b
z = a <> b
w = a => b",
     "1:4 foreign-operator, 2:8 foreign-operator, 3:9 foreign-operator, 4:8 foreign-operator, 5:7 unexpected-token",
     "(= x <error>)
(= y <error>)
(= z <error>)
(= w a)"),
    ("x = 1
    y = 2
    z = 3
w = 4",
     "2:5 unexpected-indent",
     "(= x 1)
(= y 2)
(= z 3)
(= w 4)"),
    ("else
    x = 1",
     "1:1 stray-else",
     "(= x 1)"),
    ("if a
x = 1",
     "1:1 missing-block",
     "(if a {})
(= x 1)"),
    ("if a then
    x = 1",
     "1:6 unexpected-token",
     "(if a {(= x 1)})"),
    ("if a x := 1",
     "1:6 missing-block",
     "(if a {})"),
    ("x = if a then b",
     "1:10 unexpected-token",
     "(= x (if a {}))"),
    ("switch x
    1 = a
    2 => b
    c",
     "2:7 unexpected-token, 4:6 missing-arrow",
     "(switch x 2=>{b})"),
    ("float x
int y, int z",
     "1:7 missing-value, 2:5 missing-value, 2:12 missing-value",
     "(= float:x <error>)
(= int:y <error>)
(= int:z <error>)"),
    ("a[1] := 5
p.x = 3
f(x) := 2",
     "1:1 bad-assignment, 2:5 bad-assignment, 3:1 bad-assignment",
     ""),
    ("x = 20ema
y = #ff00
z = 99999999999999999999",
     "1:5 bad-name, 2:5 bad-color, 3:5 number-too-large",
     "(= x <error>)
(= y <error>)
(= z <error>)"),
    ("var [a, b] = f()
[a, b] := f()",
     "1:5 unexpected-token, 2:8 reassigned-tuple",
     "(= [a b] (f))"),
    ("x = a AND b
y = (a + b
z = 3",
     "1:7 unexpected-token, 2:5 unclosed-bracket",
     "(= x a)
(= y <error>)
(= z 3)"),
    ("f(a b)
g(a, = 2)
h(,)",
     "1:5 unexpected-token, 2:6 unexpected-token, 3:3 unexpected-token",
     ""),
    ("for i in 0 to 10
    x
for i = 0, 10
    y
while
    z",
     "1:12 unexpected-token, 3:10 unexpected-token, 5:6 unexpected-token",
     "(for i in 0 {x})
(while <error> {y})
(while <error> {z})"),
    ("x = a ? b
y = a ? : c",
     "1:7 missing-colon, 2:9 unexpected-token",
     "(= x <error>)
(= y <error>)"),
    ("return x
let x = 5
def f(x):
    return x",
     "1:1 foreign-word, 2:1 foreign-word, 3:1 foreign-word",
     "x
(= x 5)"),
    ("type P
    x = 1
    float y
enum E
    1
type Q",
     "2:5 missing-type, 5:5 unexpected-token, 6:1 missing-block",
     "(type P (float:y))
(enum E )
(type Q ())"),
    ("@version=5
x = 1",
     "1:1 stray-annotation",
     "(= x 1)"),
    ("x = close[
y = [1, 2
z = 1",
     "1:10 unclosed-bracket, 2:5 unclosed-bracket",
     "(= x <error>)
(= y <error>)
(= z 1)"),
    (r#"longCondition = ta.crossover(ta.sma(close, 14), ta.sma(close, 28)
if (longCondition)
    strategy.entry("My Long Entry Id", strategy.long)"#,
     "1:29 unclosed-bracket",
     r#"(= longCondition <error>)
(if longCondition {(strategy.entry "My Long Entry Id" strategy.long)})"#),
    (r#"strategy.entry("L", strategy.long, when = close > open and
plot(close)"#,
     "1:59 unexpected-token",
     "(plot close)"),
    (r#"if (a and b
    strategy.entry("L", strategy.long)
x = 1"#,
     "1:4 unclosed-bracket",
     r#"(if <error> {(strategy.entry "L" strategy.long)})
(= x 1)"#),
    ("x = foo(a, b))",
     "1:14 unmatched-bracket",
     "(= x (foo a b))"),
    ("趋势跟踪策略
x = 均线",
     "1:1 prose, 2:5 unexpected-character",
     "(= x <error>)"),
    ("x = (if a
    1)",
     "1:6 block-in-expression",
     "(= x <error>)"),
    ("x := y = 3
f(x) =>
y = 1",
     "1:8 unexpected-token, 2:6 missing-block",
     "(:= x y)
(fn f (x) {})
(= y 1)"),
    ("import
export
x =",
     "3:4 unexpected-token",
     "import
export
(= x <error>)"),
    ("i++
x = 2 ** 3
--j",
     "1:4 foreign-operator, 2:8 foreign-operator",
     "(= x <error>)"),
    ("return x
let x = 5
def f(x):
    return x
elif a
    b
return (a)",
     "1:1 foreign-word, 2:1 foreign-word, 3:1 foreign-word, 5:1 foreign-word, 7:1 foreign-word",
     "x
(= x 5)
b
a"),
    ("for i in 0 to 10
    x",
     "1:12 unexpected-token",
     "(for i in 0 {x})"),
    ("return return return x",
     "1:1 prose",
     ""),
    (r#"plot(close, color = color.red title = "x")
y = 1"#,
     "1:31 unexpected-token",
     "(= y 1)"),
    (r#"if close > open and
    strategy.entry("L", strategy.long)"#,
     "1:1 missing-block",
     r#"(if (and (> close open) (strategy.entry "L" strategy.long)) {})"#),
    ("a = 1, b = = 2, c = 3",
     "1:12 unexpected-token",
     "(= a 1)
(= b <error>)"),
    (r#"switch x
    "a" => || b
    c d => 2
    => e"#,
     "2:12 unexpected-token, 3:7 unexpected-token",
     r#"(switch x "a"=>{} _=>{e})"#),
    ("f(x, ) =>
    x = = 1
    y = 2
    y
g(1x) =>
    a = )
z = 3",
     "2:9 unexpected-token, 5:3 unexpected-token, 6:9 unexpected-token",
     "(fn f (x) {(= x <error>); (= y 2); y})
(fn g () {(= a <error>)})
(= z 3)"),
    ("type P
    float x = = 1
    int y
    bad
enum E
    a = (
    b",
     "2:15 unexpected-token, 4:5 missing-type, 6:9 unclosed-bracket",
     "(type P (float:x int:y))
(enum E a b)"),
    ("if a
        b
    c",
     "3:5 unexpected-indent",
     "(if a {b})
c"),
    (r#"strategy("x",
title = "a",
overlay = true
x = 1"#,
     "1:9 unclosed-bracket",
     r#"(= title "a")
(= overlay true)
(= x 1)"#),
    (r#"x = "a
b""#,
     "1:5 unterminated-string, 2:2 unterminated-string",
     "(= x <error>)
b"),
    (r#"if a
    x = "unfinished
    y = 1
z = 2"#,
     "2:9 unterminated-string",
     "(if a {(= x <error>); (= y 1)})
(= z 2)"),
    ("x = f(a
     b)",
     "2:6 unexpected-token",
     "(= x <error>)"),
    ("for [i x] in y
    z
for [i, x] of y
    z
for var i = 0 to 3
    z",
     "1:8 unexpected-token, 3:12 unexpected-token, 5:5 unexpected-token",
     "(while <error> {z})
(while <error> {z})
(while <error> {z})"),
    ("while a b
    c",
     "1:9 missing-block",
     "(while a {c})"),
    ("import a/b/1 as
export f(x)",
     "1:16 unexpected-token, 2:9 unexpected-token",
     ""),
    ("x.5
a.
.b",
     "1:3 unexpected-token, 3:1 unexpected-token",
     ""),
    ("[a b] = f()
[a, 1] = f()",
     "1:4 unexpected-token, 2:1 bad-assignment",
     ""),
    ("x = 1 y = 2",
     "1:7 unexpected-token",
     "(= x 1)"),
    (r#"x = @
$
~a
a ^ b
a & b
\"#,
     "1:5 stray-annotation, 2:1 unexpected-character, 3:1 unexpected-character, 4:3 foreign-operator, 5:3 foreign-operator, 6:1 unexpected-character",
     "(= x <error>)
a
a"),
];

#[test]
fn each_error_is_found_and_the_rest_is_read() {
    for (source, expected, tree) in CASES {
        let found = codes(source);
        let (found, left) = found.split_once('\n').unwrap_or((&found, ""));
        assert_eq!(found, *expected, "for {source:?}");
        assert_eq!(left, *tree, "for {source:?}");
    }
}
