//! Random well-typed programs: a tree that proptest can shrink, printed as Pine.
//!
//! Every node is a template, so that the grammar is a table. Variables are picked by a number modulo those in
//! scope: whatever shrinking removes, the rest stays well typed.

use proptest::{collection::vec, prelude::*};
use std::collections::BTreeMap;

/// An expression: a line of its table with what fills the holes.
#[derive(Clone, Debug)]
pub struct Node {
    template: &'static str,
    nums: Vec<Node>,
    bools: Vec<Node>,
    ints: [u8; 3],
}

/// A statement.
#[derive(Clone, Debug)]
pub enum Line {
    /// `float v = e`, or with `true` `var float v = e`.
    Declare(bool, Node),
    /// `bool f = e`.
    Flag(Node),
    /// `v := e`, of any assignable number in scope.
    Assign(u8, Node),
    /// A value chosen by an `if` or a `switch` expression.
    Choose(bool, Node, Node, Node),
    If(Node, Vec<Line>, Vec<Line>),
    For(u8, Node, Vec<Line>),
    While(u8, Node, Vec<Line>),
    /// `break` or `continue` of the loop around, under a condition.
    Leave(bool, Node),
    /// Declares as many numbers as the template's first character says.
    Several(Node),
    /// An order, an array operation or a log line.
    Do(Node),
}

/// A function of two numbers.
#[derive(Clone, Debug)]
pub struct Function {
    body: Vec<Line>,
    result: Node,
}

/// A whole script.
#[derive(Clone, Debug)]
pub struct Script {
    version: u8,
    settings: Vec<&'static str>,
    functions: Vec<Function>,
    body: Vec<Line>,
}

/// Holes: `{n}` number, `{b}` condition, `{v}` variable in scope, `{w}` condition variable, `{k}` 0 to 7, `{l}` length
/// 1 to 12, `{c}` constant.
const NUM_LEAVES: &[&str] = &[
    "close",
    "{v}",
    "{c}",
    "open",
    "high",
    "low",
    "volume",
    "hl2",
    "ohlc4",
    "bar_index",
    "close[{k}]",
    "{v}[{k}]",
    "na",
    "hour",
    "dayofweek",
    "ta.tr",
    "ta.obv",
    "strategy.position_size",
    "strategy.position_avg_price",
    "strategy.equity",
    "strategy.openprofit",
    "strategy.opentrades",
    "strategy.closedtrades",
    "strategy.netprofit",
    "strategy.closedtrades.profit(strategy.closedtrades - 1)",
    "strategy.opentrades.entry_price(0)",
    "array.size(buffer)",
    "array.avg(buffer)",
    "higher",
    "higher[{k}]",
];

const NUM_NODES: &[&str] = &[
    "({n} + {n})",
    "({n} - {n})",
    "({n} * {n})",
    "({n} / {n})",
    "({n} % {n})",
    "(-{n})",
    "({b} ? {n} : {n})",
    "({n} + close)[{k}]",
    "close[int(math.min(7, math.abs(nz({n}))))]",
    "{v}[int(math.min(7, math.abs(nz({n}))))]",
    "nz({n})",
    "nz({n}, {n})",
    "nz({v}[1])",
    "fixnan({n})",
    "math.abs({n})",
    "math.max({n}, {n})",
    "math.min({n}, {n}, {n})",
    "math.avg({n}, {n})",
    "math.round({n}, 2)",
    "math.sqrt({n})",
    "math.sum({n}, {l})",
    "ta.sma({n}, {l})",
    "ta.ema({n}, {l})",
    "ta.rma({n}, {l})",
    "ta.wma({n}, {l})",
    "ta.hma({n}, {l})",
    "ta.vwma({n}, {l})",
    "ta.swma({n})",
    "ta.alma({n}, {l}, 0.85, 6)",
    "ta.linreg({n}, {l}, {k})",
    "ta.stdev({n}, {l})",
    "ta.dev({n}, {l})",
    "ta.rsi({n}, {l})",
    "ta.atr({l})",
    "ta.cci({n}, {l})",
    "ta.cmo({n}, {l})",
    "ta.mfi({n}, {l})",
    "ta.stoch({n}, high, low, {l})",
    "ta.highest({n}, {l})",
    "ta.lowest({n}, {l})",
    "ta.highestbars({n}, {l})",
    "ta.sma({n}, 1 + int(math.min(9, math.abs(nz({n})))))",
    "ta.highest({n}, 1 + int(math.min(9, math.abs(nz({n})))))",
    "ta.change({n})",
    "ta.mom({n}, {l})",
    "ta.roc({n}, {l})",
    "ta.cum({n})",
    "ta.barssince({b})",
    "ta.valuewhen({b}, {n}, {k})",
    "ta.percentrank({n}, {l})",
    "ta.correlation({n}, {n}, {l})",
    "ta.median({n}, {l})",
    "ta.pivothigh({l}, 2)",
    "ta.pivotlow({n}, 2, {l})",
    "ta.wpr({l})",
    "ta.tsi({n}, {l}, {l})",
    "ta.sar(0.02, 0.02, 0.2)",
    "ta.vwap({n})",
    "f0({n}, {n})",
    "f1({n}, {n})",
];

const BOOL_LEAVES: &[&str] = &[
    "(close > open)",
    "{w}",
    "true",
    "false",
    "({v} > 0)",
    "(close > {v})",
    "barstate.isfirst",
    "barstate.islast",
    "(bar_index % 5 == {k})",
    "(strategy.position_size > 0)",
    "(strategy.position_size == 0)",
    "(strategy.opentrades != 0)",
    "(hour == {k})",
    "timeframe.change(\"60\")",
];

const BOOL_NODES: &[&str] = &[
    "({n} > {n})",
    "({n} <= {n})",
    "({n} == {n})",
    "({n} != {n})",
    "({b} and {b})",
    "({b} or {b})",
    "(not {b})",
    "na({n})",
    "({b} ? {b} : {b})",
    "ta.crossover({n}, {n})",
    "ta.crossunder({n}, {n})",
    "ta.cross({n}, {n})",
    "ta.rising({n}, {l})",
    "ta.falling({n}, {l})",
    "(ta.change({n}) > 0)",
    "ta.crossover(ta.sma(close, {l}), ta.sma(close, {l}))",
];

/// Number of outputs, then the call.
const SEVERAL: &[&str] = &[
    "3ta.macd({n}, {l}, {l}, {l})",
    "3ta.bb({n}, {l}, 2)",
    "3ta.kc({n}, {l}, 1.5)",
    "2ta.supertrend(2, {l})",
    "3ta.dmi({l}, {l})",
];

const ACTIONS: &[&str] = &[
    "strategy.entry(\"L\", strategy.long)",
    "strategy.entry(\"S\", strategy.short)",
    "strategy.close(\"L\")",
    "strategy.close_all()",
    "strategy.entry(\"L\", strategy.long, qty = 1 + {k})",
    "strategy.entry(\"A\", strategy.long, stop = close + {k} * 0.5)",
    "strategy.entry(\"B\", strategy.short, limit = close + {k} * 0.5)",
    "strategy.entry(\"C\", strategy.long, limit = close - {k} * 0.5, stop = high)",
    "strategy.entry(\"D\", strategy.short, stop = {n}, oca_name = \"g\", oca_type = strategy.oca.cancel)",
    "strategy.entry(\"E\", strategy.long, stop = {n}, oca_name = \"g\", oca_type = strategy.oca.reduce)",
    "strategy.order(\"O\", strategy.long, qty = 1 + {k})",
    "strategy.order(\"R\", strategy.short, qty = 1 + {k}, stop = low)",
    "strategy.exit(\"X\", \"L\", profit = 20 * {l}, loss = 20 * {l})",
    "strategy.exit(\"Y\", \"S\", stop = close + {l} * 0.25, limit = close - {l} * 0.25)",
    "strategy.exit(\"Z\", stop = {n})",
    "strategy.exit(\"T\", \"L\", trail_points = 10 * {l}, trail_offset = 5 * {l})",
    "strategy.exit(\"U\", trail_price = {n}, trail_offset = 7)",
    "strategy.exit(\"V\", \"L\", qty_percent = 50, profit = 10 * {l})",
    "strategy.close(\"S\", qty_percent = 50)",
    "strategy.cancel(\"A\")",
    "strategy.cancel_all()",
    "strategy.close(\"L\", immediately = true)",
    "array.push(buffer, {n})",
    "array.clear(buffer)",
    "log.info(str.tostring({n}))",
    "strategy.risk.max_position_size(3 + {k})",
];

const SETTINGS: &[&str] = &[
    "pyramiding = 2",
    "process_orders_on_close = true",
    "default_qty_type = strategy.percent_of_equity, default_qty_value = 40",
    "commission_type = strategy.commission.percent, commission_value = 0.1",
    "slippage = 2",
    "close_entries_rule = \"ANY\"",
    "margin_long = 100, margin_short = 100",
    "backtest_fill_limits_assumption = 1",
];

fn holes(template: &str, hole: &str) -> usize {
    template.matches(hole).count()
}

/// Any line of a table with its holes filled. Lines with equal holes form a group, so that nothing is generated
/// in vain and shrinking never has to start anew.
fn filled(
    table: &[&'static str],
    num: Option<&BoxedStrategy<Node>>,
    cond: Option<&BoxedStrategy<Node>>,
) -> BoxedStrategy<Node> {
    let mut groups: BTreeMap<(usize, usize), Vec<&'static str>> = BTreeMap::new();
    for template in table {
        let needs = (holes(template, "{n}"), holes(template, "{b}"));
        groups.entry(needs).or_default().push(template);
    }
    let group = |((n, b), templates): ((usize, usize), Vec<&'static str>)| {
        let of = |source: Option<&BoxedStrategy<Node>>, n: usize| match source {
            Some(source) if n > 0 => vec(source.clone(), n).boxed(),
            _ => Just(Vec::new()).boxed(),
        };
        let weight = templates.len() as u32;
        let node = (proptest::sample::select(templates), of(num, n), of(cond, b), any::<[u8; 3]>())
            .prop_map(|(template, nums, bools, ints)| Node { template, nums, bools, ints });
        (weight, node.boxed())
    };
    proptest::strategy::Union::new_weighted(groups.into_iter().map(group).collect()).boxed()
}

/// Numbers and conditions at most so deep.
fn expressions(depth: u32) -> (BoxedStrategy<Node>, BoxedStrategy<Node>) {
    let (leaf, flag) = (filled(NUM_LEAVES, None, None), filled(BOOL_LEAVES, None, None));
    (0..depth).fold((leaf.clone(), flag.clone()), |(num, cond), _| {
        (
            prop_oneof![1 => leaf.clone(), 2 => filled(NUM_NODES, Some(&num), Some(&cond))].boxed(),
            prop_oneof![1 => flag.clone(), 2 => filled(BOOL_NODES, Some(&num), Some(&cond))].boxed(),
        )
    })
}

fn lines(depth: u32, at_most: usize) -> BoxedStrategy<Vec<Line>> {
    let (num, cond) = expressions(2);
    let several = filled(SEVERAL, Some(&num), Some(&cond)).prop_map(Line::Several);
    let plain = prop_oneof![
        4 => filled(ACTIONS, Some(&num), Some(&cond)).prop_map(Line::Do),
        4 => (any::<bool>(), num.clone()).prop_map(|(keeps, e)| Line::Declare(keeps, e)),
        2 => cond.clone().prop_map(Line::Flag),
        3 => (any::<u8>(), num.clone()).prop_map(|(v, e)| Line::Assign(v, e)),
        1 => (any::<bool>(), cond.clone(), num.clone(), num.clone())
            .prop_map(|(switch, c, a, b)| Line::Choose(switch, c, a, b)),
        1 => several,
        1 => (any::<bool>(), cond.clone()).prop_map(|(leaves, c)| Line::Leave(leaves, c)),
    ]
    .boxed();
    if depth == 0 {
        return vec(plain, 0..at_most).boxed();
    }
    let inner = lines(depth - 1, 4);
    let line = prop_oneof![
        5 => plain,
        3 => (cond.clone(), inner.clone(), prop_oneof![2 => Just(Vec::new()), 1 => inner.clone()])
            .prop_map(|(c, a, b)| Line::If(c, a, b)),
        1 => (0..6u8, num, inner.clone()).prop_map(|(from, to, body)| Line::For(from, to, body)),
        1 => (0..4u8, cond, inner).prop_map(|(most, c, body)| Line::While(most, c, body)),
    ];
    vec(line, 0..at_most).boxed()
}

/// Numbers and conditions of the market alone.
fn market_expressions() -> (BoxedStrategy<Node>, BoxedStrategy<Node>) {
    let market = |table: &'static [&'static str]| -> Vec<&'static str> {
        table
            .iter()
            .copied()
            .filter(|t| !["strategy", "buffer", "f0(", "f1("].iter().any(|s| t.contains(s)))
            .collect()
    };
    let (leaf, flag) = (filled(&market(NUM_LEAVES), None, None), filled(&market(BOOL_LEAVES), None, None));
    let num = prop_oneof![leaf.clone(), filled(&market(NUM_NODES), Some(&leaf), Some(&flag))].boxed();
    let cond =
        prop_oneof![1 => flag.clone(), 3 => filled(&market(BOOL_NODES), Some(&num), Some(&flag))].boxed();
    (num, cond)
}

/// Scripts that look at the market alone to decide when to trade: their quiet bars are leapt over.
fn calm() -> BoxedStrategy<Vec<Line>> {
    let (num, cond) = market_expressions();
    let held = filled(
        &[
            "(strategy.position_size > 0)",
            "(strategy.opentrades != 0 and {b})",
            "({b} and strategy.position_size < 0)",
        ],
        None,
        Some(&cond),
    );
    let orders: Vec<_> =
        ACTIONS.iter().copied().filter(|t| t.starts_with("strategy.") && !t.contains("risk")).collect();
    let exits: Vec<_> =
        orders.iter().copied().filter(|t| !t.contains("entry(\"") && !t.contains("order(")).collect();
    let order = filled(&orders, Some(&num), None).prop_map(Line::Do).boxed();
    let when = prop_oneof![4 => cond.clone(), 1 => held, 1 => filled(&BOOL_NODES[4..6], None, Some(&expressions(1).1))];
    let line = prop_oneof![
        2 => num.clone().prop_map(|e| Line::Declare(false, e)),
        1 => cond.prop_map(Line::Flag),
        4 => (when, vec(order, 1..3)).prop_map(|(c, orders)| Line::If(c, orders, Vec::new())),
        1 => filled(&exits, Some(&num), None).prop_map(Line::Do),
    ];
    vec(line, 1..9).boxed()
}

/// Orders that fill at market prices and depend on nothing: scripts with nothing else send them without running.
const MARKET_ORDERS: &[&str] = &[
    "strategy.entry(\"L\", strategy.long)",
    "strategy.entry(\"S\", strategy.short)",
    "strategy.entry(\"L\", strategy.long, qty = 1 + {k})",
    "strategy.entry(\"M\", strategy.short, qty = 0.37)",
    "strategy.order(\"O\", strategy.long, qty = 1 + {k})",
    "strategy.order(\"P\", strategy.short)",
    "strategy.close(\"L\")",
    "strategy.close(\"S\", qty_percent = 50)",
    "strategy.close(\"L\", qty = 1)",
    "strategy.close(\"O\", immediately = true)",
    "strategy.close_all()",
    "strategy.close_all(immediately = true)",
];

/// Of each group one, or none.
const MARKET_SETTINGS: &[&[&str]] = &[
    &[
        "default_qty_value = 3",
        "default_qty_type = strategy.cash, default_qty_value = 900",
        "default_qty_type = strategy.percent_of_equity, default_qty_value = 40",
        "default_qty_type = strategy.percent_of_equity, default_qty_value = 100",
        "default_qty_type = strategy.percent_of_equity, default_qty_value = 150",
    ],
    &[
        "commission_type = strategy.commission.percent, commission_value = 0.1",
        "commission_type = strategy.commission.cash_per_contract, commission_value = 0.07",
        "commission_type = strategy.commission.cash_per_order, commission_value = 3",
    ],
    &["slippage = 2"],
    &["pyramiding = 2", "pyramiding = 4"],
    &["process_orders_on_close = true"],
    &[
        "margin_long = 100, margin_short = 100",
        "margin_long = 30, margin_short = 60",
        "margin_long = 0, margin_short = 0",
    ],
    &["initial_capital = 1000", "initial_capital = 150"],
    &["close_entries_rule = \"ANY\""],
];

/// Scripts of market orders under conditions of the market.
pub fn market_orders() -> impl Strategy<Value = Script> {
    let (_, cond) = market_expressions();
    let order = filled(MARKET_ORDERS, None, None).prop_map(Line::Do);
    let orders = prop_oneof![4 => vec(order.clone(), 1..2), 1 => vec(order, 2..4)];
    let line = (cond, orders).prop_map(|(c, orders)| Line::If(c, orders, Vec::new()));
    let group = |choices: &'static [&'static str]| proptest::option::of(proptest::sample::select(choices));
    let settings: Vec<_> = MARKET_SETTINGS.iter().copied().map(group).collect();
    let nothing = Function { body: Vec::new(), result: leaf("close") };
    (settings, vec(line, 1..6)).prop_map(move |(settings, body)| Script {
        version: 6,
        settings: settings.into_iter().flatten().collect(),
        functions: vec![nothing.clone(), nothing.clone()],
        body,
    })
}

fn leaf(template: &'static str) -> Node {
    Node { template, nums: Vec::new(), bools: Vec::new(), ints: [0; 3] }
}

/// Any script.
pub fn script() -> impl Strategy<Value = Script> {
    let function = (lines(1, 4), expressions(1).0).prop_map(|(body, result)| Function { body, result });
    let (num, cond) = expressions(1);
    let entry = filled(&ACTIONS[..10], Some(&num), None).prop_map(Line::Do);
    let trades = (cond, vec(entry, 1..3)).prop_map(|(c, orders)| Line::If(c, orders, Vec::new()));
    (
        prop_oneof![Just(5u8), Just(6u8)],
        proptest::sample::subsequence(SETTINGS, 0..=SETTINGS.len()),
        vec(function, 2),
        prop_oneof![lines(2, 12), calm()],
        vec(trades, 0..4),
    )
        .prop_map(|(version, settings, functions, mut body, trades)| {
            body.extend(trades);
            Script { version, settings, functions, body }
        })
}

/// Names that a line may use.
#[derive(Clone, Default)]
struct Scope {
    nums: Vec<String>,
    /// Those of them that may be assigned.
    open: Vec<String>,
    flags: Vec<String>,
    in_loop: bool,
    /// Functions see no orders, no buffer and no other function.
    pure: bool,
}

struct Printer {
    text: String,
    next: u32,
}

impl std::fmt::Display for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut settings = String::new();
        self.settings.iter().for_each(|s| settings += &format!(", {s}"));
        let mut printer = Printer {
            text: format!("//@version={}\nstrategy(\"random\"{settings})\n", self.version),
            next: 0,
        };
        for (k, function) in self.functions.iter().enumerate() {
            printer.function(k, function);
        }
        printer.text += "var buffer = array.new_float(0)\n";
        printer.text += "higher = request.security(syminfo.tickerid, \"60\", ta.ema(close, 3) + bar_index)\n";
        let mut scope = Scope::default();
        printer.block(&self.body, &mut scope, 0);
        for name in scope.nums.iter().take(20) {
            printer.text += &format!("plot({name}, \"{name}\")\n");
        }
        for name in scope.flags.iter().take(10) {
            printer.text += &format!("plot({name} ? 1 : 0, \"{name}\")\n");
        }
        f.write_str(&printer.text)
    }
}

impl Printer {
    fn function(&mut self, k: usize, function: &Function) {
        self.text += &format!("f{k}(float x, float y) =>\n");
        let mut scope = Scope { nums: vec!["x".into(), "y".into()], pure: true, ..Scope::default() };
        self.block(&function.body, &mut scope, 1);
        let result = self.node(&function.result, &scope);
        self.text += &format!("    {result}\n");
    }

    fn line(&mut self, depth: usize, text: &str) {
        self.text += &"    ".repeat(depth);
        self.text += text;
        self.text.push('\n');
    }

    fn name(&mut self, kind: &str) -> String {
        self.next += 1;
        format!("{kind}{}", self.next)
    }

    /// The lines, in a scope that they add to; a block is never empty.
    fn block(&mut self, lines: &[Line], scope: &mut Scope, depth: usize) {
        for line in lines {
            self.statement(line, scope, depth);
        }
    }

    fn inner(&mut self, lines: &[Line], scope: &Scope, depth: usize) {
        let before = self.text.len();
        self.block(lines, &mut scope.clone(), depth);
        if self.text.len() == before {
            self.line(depth, "float unused = na");
        }
    }

    fn statement(&mut self, line: &Line, scope: &mut Scope, depth: usize) {
        match line {
            Line::Declare(keeps, e) => {
                let value = self.node(e, scope);
                let name = self.name("v");
                let var = if *keeps { "var " } else { "" };
                self.line(depth, &format!("{var}float {name} = {value}"));
                scope.nums.push(name.clone());
                scope.open.push(name);
            }
            Line::Flag(e) => {
                let value = self.node(e, scope);
                let name = self.name("b");
                self.line(depth, &format!("bool {name} = {value}"));
                scope.flags.push(name);
            }
            Line::Assign(pick, e) => {
                if !scope.open.is_empty() {
                    let name = scope.open[usize::from(*pick) % scope.open.len()].clone();
                    let value = self.node(e, scope);
                    self.line(depth, &format!("{name} := {value}"));
                }
            }
            Line::Choose(switch, c, a, b) => {
                let (c, a, b) = (self.node(c, scope), self.node(a, scope), self.node(b, scope));
                let name = self.name("v");
                let lines = if *switch {
                    [format!("float {name} = switch"), format!("    {c} => {a}"), format!("    => {b}")]
                        .to_vec()
                } else {
                    let first = format!("float {name} = if {c}");
                    [first, format!("    {a}"), "else".into(), format!("    {b}")].to_vec()
                };
                lines.iter().for_each(|l| self.line(depth, l));
                scope.nums.push(name.clone());
                scope.open.push(name);
            }
            Line::If(c, a, b) => {
                let c = self.node(c, scope);
                self.line(depth, &format!("if {c}"));
                self.inner(a, scope, depth + 1);
                if !b.is_empty() {
                    self.line(depth, "else");
                    self.inner(b, scope, depth + 1);
                }
            }
            Line::For(from, to, body) => {
                let to = self.node(to, scope);
                let counter = self.name("i");
                self.line(depth, &format!("for {counter} = {from} to int(math.min(5, math.abs(nz({to}))))"));
                let mut within = Scope { in_loop: true, ..scope.clone() };
                within.nums.push(counter);
                self.inner(body, &within, depth + 1);
            }
            Line::While(most, c, body) => {
                let c = self.node(c, scope);
                let counter = self.name("i");
                self.line(depth, &format!("int {counter} = 0"));
                self.line(depth, &format!("while {counter} < {most} and {c}"));
                self.line(depth + 1, &format!("{counter} += 1"));
                let mut within = Scope { in_loop: true, ..scope.clone() };
                within.nums.push(counter);
                self.inner(body, &within, depth + 1);
            }
            Line::Leave(leaves, c) => {
                if scope.in_loop {
                    let c = self.node(c, scope);
                    self.line(depth, &format!("if {c}"));
                    self.line(depth + 1, if *leaves { "break" } else { "continue" });
                }
            }
            Line::Several(e) => {
                let text = self.node(e, scope);
                let (outputs, call) = text.split_at(1);
                let names: Vec<String> = (0..outputs.parse().unwrap_or(1)).map(|_| self.name("v")).collect();
                self.line(depth, &format!("[{}] = {call}", names.join(", ")));
                scope.nums.extend(names);
            }
            Line::Do(e) => {
                if !scope.pure {
                    let text = self.node(e, scope);
                    self.line(depth, &text);
                }
            }
        }
    }

    fn node(&mut self, node: &Node, scope: &Scope) -> String {
        let mut out = String::new();
        let (mut nums, mut bools, mut ints) =
            (node.nums.iter(), node.bools.iter(), node.ints.iter().cycle().copied());
        let mut rest = if scope.pure && reaches_out(node.template) { "close" } else { node.template };
        while let Some((before, after)) = rest.split_once('{') {
            out += before;
            let (hole, after) = after.split_once('}').unwrap_or(("", after));
            let mut int = || ints.next().unwrap_or(0);
            out += &match hole {
                "n" => nums.next().map_or("close".into(), |n| self.node(n, scope)),
                "b" => bools.next().map_or("true".into(), |b| self.node(b, scope)),
                "v" => pick(&scope.nums, int(), "hl2"),
                "w" => pick(&scope.flags, int(), "(high > low)"),
                "k" => (int() % 8).to_string(),
                "l" => (1 + int() % 12).to_string(),
                _ => constant(int()),
            };
            rest = after;
        }
        out + rest
    }
}

/// Functions are called with all of the script's state behind them; inside they keep to their own.
fn reaches_out(template: &str) -> bool {
    ["f0(", "f1(", "buffer", "higher"].iter().any(|t| template.contains(t))
}

fn pick(names: &[String], k: u8, otherwise: &str) -> String {
    if names.is_empty() { otherwise.into() } else { names[usize::from(k) % names.len()].clone() }
}

fn constant(k: u8) -> String {
    ["0", "1", "2", "0.5", "-1", "3.25", "100", "14", "1e-11", "101.5"][usize::from(k) % 10].into()
}
