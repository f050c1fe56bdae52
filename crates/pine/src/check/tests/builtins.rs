//! The tables themselves.

use crate::check::builtins::{self, Kind, Need};
use crate::check::types::T;

#[test]
fn indicators_pass_what_the_engine_takes() {
    for sig in builtins::tables().functions.values().flatten().filter(|s| s.kind == Kind::Ta) {
        let func = sig.ta.expect("an indicator");
        assert_eq!(sig.params.len(), func.arity(), "{}", sig.name);
        let outputs = match &sig.ret {
            T::Tuple(parts) => parts.len(),
            _ => 1,
        };
        assert_eq!(outputs, func.outputs(), "{}", sig.name);
        for (own, engine) in sig.params.iter().zip(func.params()) {
            assert!(own.need != Need::Optional, "{} leaves {} open", sig.name, own.name);
            assert_eq!(own.name, engine.name, "{}", sig.name);
        }
    }
}

#[test]
fn overloads_of_a_function_are_of_one_kind() {
    for (name, sigs) in &builtins::tables().functions {
        assert!(sigs.iter().all(|s| s.kind == sigs[0].kind), "{name}");
    }
}

#[test]
fn renamed_names_exist() {
    for name in ["sma", "rsi", "study", "security", "tostring", "max", "heikinashi"] {
        let new = builtins::renamed_function(name).expect("a new name");
        assert!(builtins::tables().functions.contains_key(new), "{new}");
    }
    for name in ["tr", "red", "tickerid", "n", "circles"] {
        let new = builtins::renamed_variable(name).expect("a new name");
        assert!(builtins::tables().variables.contains_key(new), "{new}");
    }
}

#[test]
fn the_executor_knows_its_names() {
    let known = |name: &&str| crate::vm::supports(name);
    let missing: Vec<_> = builtins::call_names().filter(|n| !known(n) && !n.starts_with("color")).collect();
    let unknown_gets: Vec<_> = builtins::get_names().filter(|n| !known(n)).collect();
    // Whatever is missing is refused by name, so this only guards against losing much at once.
    assert!(missing.len() < 40, "{missing:?}");
    assert!(unknown_gets.len() < 10, "{unknown_gets:?}");
}
