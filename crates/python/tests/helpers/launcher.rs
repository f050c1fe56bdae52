//! Warden and launcher of this crate's tests.

use springtide_runtime::process;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = process::enter(std::env::args_os()) {
        return code;
    }
    springtide_sandbox::enter(std::env::args_os());
    ExitCode::from(2)
}
