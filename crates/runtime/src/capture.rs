//! Panics of tasks as values: message and place, without the default print.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    sync::Once,
};

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static REPORT: Cell<Option<String>> = const { Cell::new(None) };
}

static INSTALL: Once = Once::new();

/// Puts a hook before the process's panic hook that keeps quiet about captured panics and passes on all
/// others. Done once per process.
pub(crate) fn install_hook() {
    INSTALL.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let captured = DEPTH.try_with(|depth| depth.get() > 0).unwrap_or(false);
            if captured {
                REPORT.set(Some(describe(info)));
            } else {
                previous(info);
            }
        }));
    });
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let message = info.payload_as_str().unwrap_or("panicked with a value that is no text");
    match info.location() {
        Some(place) => format!("{message} ({place})"),
        None => message.to_owned(),
    }
}

/// Runs `body`; a panic becomes `message (file:line:column)`.
pub(crate) fn catch<R>(body: impl FnOnce() -> R) -> Result<R, String> {
    DEPTH.set(DEPTH.get() + 1);
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    let result = result.map_err(|payload| {
        let report =
            REPORT.take().unwrap_or_else(|| "panicked; another panic hook kept the message".to_owned());
        // A payload may panic again when dropped; then it is leaked rather than let out.
        if let Err(second) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
        report
    });
    DEPTH.set(DEPTH.get() - 1);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_and_place_are_kept() {
        install_hook();
        let report = catch(|| panic!("value was {}", 7)).unwrap_err();
        assert!(report.starts_with("value was 7 ("), "{report}");
        assert!(report.contains("capture.rs:"), "{report}");
    }

    #[test]
    fn foreign_payloads_and_bombs_are_survived() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("second");
            }
        }
        install_hook();
        let report = catch(|| panic::panic_any(Bomb)).unwrap_err();
        assert!(report.contains("no text"), "{report}");
        assert_eq!(catch(|| 3), Ok(3));
    }

    #[test]
    fn nested_captures_keep_their_own() {
        install_hook();
        let outer = catch(|| {
            let inner = catch(|| panic!("inner")).unwrap_err();
            assert!(inner.starts_with("inner"));
            panic!("outer");
        });
        assert!(outer.unwrap_err().starts_with("outer"));
    }
}
