//! Places for requests in flight, per host and in all: the runtime's permits.

use super::error::Cause;
use springtide_runtime::{
    Label, Priority,
    permit::{Ask, Permit, Permits, Verdict},
};
use std::sync::Arc;

/// One place, free again when dropped. What it says of the host is a sample for the host's limit.
pub(super) struct Slot {
    permit: Option<Permit>,
    verdict: Verdict,
}

impl Slot {
    /// A place, now or when it is this request's turn.
    pub(super) async fn take(
        permits: &Permits,
        host: &Arc<str>,
        priority: Priority,
        owner: u64,
        label: Label,
    ) -> Result<Self, Cause> {
        let key = Label::from(Arc::clone(host));
        let permit = permits.acquire(Ask { priority, owner, key, label }).await?;
        Ok(Self { permit: Some(permit), verdict: Verdict::Unrelated })
    }

    /// What the exchange says of the host so far; the last word counts.
    pub(super) fn says(&mut self, verdict: Verdict) {
        self.verdict = verdict;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            permit.finish(self.verdict);
        }
    }
}
