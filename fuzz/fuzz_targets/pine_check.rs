//! Any bytes are compiled without a panic: to a program, or to a reason why not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use springtide_domain::Severity;

fuzz_target!(|data: &[u8]| {
    let source = String::from_utf8_lossy(data);
    let compiled = springtide_pine::compile(&source);
    let refused = compiled.diagnostics.iter().any(|d| d.severity != Severity::Warning);
    assert_eq!(compiled.program.is_none(), refused, "a program or a reason, and never both");
    for diagnostic in &compiled.diagnostics {
        let span = diagnostic.span;
        assert!(source.get(span.start as usize..span.end as usize).is_some(), "{span:?}");
    }
});
