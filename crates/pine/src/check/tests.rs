use super::compile;

#[test]
fn sma_cross_compiles() {
    let source = "//@version=5\nstrategy(\"x\")\nfast = ta.sma(close, 10)\nslow = ta.sma(close, 30)\nif ta.crossover(fast, slow)\n    strategy.entry(\"L\", strategy.long)\n";
    let compiled = compile(source);
    assert_eq!(compiled.diagnostics, []);
    let program = compiled.program.expect("a program");
    assert_eq!(program.vars.len(), 2);
}
