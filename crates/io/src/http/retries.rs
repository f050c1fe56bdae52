//! Which failures are worth another attempt.

use super::{
    client::FailedAttempt,
    error::{Cause, Phase},
    words,
};
use springtide_runtime::limit::Failure;

/// What a failed attempt means for the next. `may_repeat` says whether the request may be carried out twice.
pub(super) fn failure_of(failed: &FailedAttempt, may_repeat: bool) -> Failure {
    match &failed.cause {
        Cause::Status { status, .. } => of_status(status.as_u16(), failed, may_repeat),
        // Nothing was sent: it may always be tried again.
        Cause::Resolve(_) | Cause::Connect(_) | Cause::Resume(_) => Failure::Transient,
        // A certificate that does not fit today will not fit in a second; a handshake cut off may go through.
        Cause::Tls(error) if error.kind() == std::io::ErrorKind::InvalidData => Failure::Final,
        Cause::Tls(_) => Failure::Transient,
        Cause::Timeout { .. } | Cause::Transport(_) | Cause::Short { .. } => {
            if may_repeat || !failed.sent || failed.phase == Phase::Connect {
                Failure::Transient
            } else {
                Failure::Final
            }
        }
        _ => Failure::Final,
    }
}

fn of_status(status: u16, failed: &FailedAttempt, may_repeat: bool) -> Failure {
    let headers = failed.headers.as_deref();
    let retry_after = headers.and_then(|h| words::retry_after(h, jiff::Timestamp::now()));
    let told = headers.and_then(words::should_retry);
    if told == Some(false) {
        return Failure::Final;
    }
    match status {
        // Refused before it was carried out.
        429 | 529 => Failure::Throttled { retry_after },
        503 if may_repeat || retry_after.is_some() => Failure::Throttled { retry_after },
        408 | 425 | 500 | 502 | 504 if may_repeat => Failure::Transient,
        _ if told == Some(true) => Failure::Throttled { retry_after },
        _ => Failure::Final,
    }
}
