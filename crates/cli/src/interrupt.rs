//! Ctrl-C: the first asks the batch to stop, the second ends the program at once.

use springtide_runtime::CancelToken;

/// Cancels `token` on the first SIGINT or SIGTERM; a second one ends the process with 130.
pub fn cancel_on_signal(token: &CancelToken) -> std::io::Result<()> {
    let token = token.clone();
    ctrlc::try_set_handler(move || {
        if token.is_cancelled() {
            // The person insists; finished runs are already on disk.
            #[allow(clippy::disallowed_methods)]
            std::process::exit(130);
        }
        token.cancel();
    })
    .map_err(std::io::Error::other)
}
