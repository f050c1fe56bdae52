//! Figures of everything that is listed, for metrics.

#[cfg(target_os = "linux")]
use crate::process::ChildrenSnapshot;
use crate::{
    channel::ChannelSnapshot, histogram::Histogram, limit::LimiterSnapshot, listed::Entry,
    permit::PermitSnapshot, priority::Priority, registry::Snapshot,
};

/// One figure: a metric's name, what it says, and a value with labels. Figures of equal name and labels are added
/// up.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Name without the prefix `tide_`, and without the ending `_total` of counters.
    pub name: &'static str,
    /// What it says, in a line.
    pub help: &'static str,
    /// Names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: FigureValue,
}

/// Value of a [`Figure`].
#[derive(Clone, Debug, PartialEq)]
pub enum FigureValue {
    /// Counts up from the start.
    Counter(u64),
    /// Seconds, summed up from the start.
    Seconds(f64),
    /// What is now.
    Gauge(f64),
    /// Times.
    Times(Box<Histogram>),
}

/// Collects figures that share their labels.
struct Sheet<'a> {
    all: &'a mut Vec<Figure>,
    labels: Vec<(&'static str, String)>,
}

impl Sheet<'_> {
    fn add(&mut self, name: &'static str, help: &'static str, value: FigureValue) {
        self.all.push(Figure { name, help, labels: self.labels.clone(), value });
    }

    fn add_with(
        &mut self,
        label: (&'static str, &str),
        name: &'static str,
        help: &'static str,
        value: FigureValue,
    ) {
        let labels = self.labels.iter().cloned().chain([(label.0, label.1.to_owned())]).collect();
        self.all.push(Figure { name, help, labels, value });
    }
}

/// The figures of a listed thing.
pub(super) fn figures(entry: &Entry, all: &mut Vec<Figure>) {
    match entry {
        Entry::Pool(name, seen) => pool(name.as_str(), seen, all),
        Entry::Runtime(name, tree, unreported, _) => {
            let mut sheet = Sheet { all, labels: vec![("runtime", name.to_string())] };
            sheet.add("tasks_alive", "Asynchronous tasks that have not ended", gauge(tree.tasks()));
            let help = "Failures whose scope's owner was not told";
            sheet.add("failures_unreported", help, FigureValue::Counter(*unreported));
        }
        Entry::Channel(seen) => channel(seen, all),
        Entry::Permits(seen) => permits(seen, all),
        Entry::Limiter(name, seen) => limiter(name.as_str(), seen, all),
        #[cfg(target_os = "linux")]
        Entry::Children(seen) => children(seen, all),
        Entry::Other(_, _, figures) => all.extend(figures.iter().cloned()),
    }
}

fn gauge(count: usize) -> FigureValue {
    FigureValue::Gauge(count as f64)
}

fn pool(name: &str, seen: &Snapshot, all: &mut Vec<Figure>) {
    use FigureValue::{Counter, Gauge, Seconds, Times};
    for class in Priority::ALL {
        let labels = vec![("pool", name.to_owned()), ("class", class.as_str().to_owned())];
        let mut sheet = Sheet { all, labels };
        sheet.add("pool_queued", "Tasks and steps waiting for a worker", Gauge(seen.queued[class] as f64));
        let counts = &seen.counts[class];
        let endings = [
            ("done", counts.done),
            ("failed", counts.failed),
            ("cancelled", counts.cancelled),
            ("timed_out", counts.timed_out),
        ];
        for (outcome, count) in endings {
            sheet.add_with(("outcome", outcome), "pool_tasks", "Tasks ended", Counter(count));
        }
        sheet.add(
            "pool_tasks_overdue",
            "Tasks ended past their deadline unaware of it",
            Counter(counts.overdue),
        );
        sheet.add("pool_steps", "Steps of asynchronous tasks", Counter(counts.steps));
        sheet.add(
            "pool_run_seconds",
            "How long tasks and steps ran",
            Times(seen.times[class].clone().into()),
        );
    }
    let mut sheet = Sheet { all, labels: vec![("pool", name.to_owned())] };
    if seen.workers.iter().any(|worker| worker.reactor) {
        let help = "How long the reactor let others wait for a turn";
        sheet.add("reactor_lag_seconds", help, Times(seen.lag.clone().into()));
    }
    for worker in &seen.workers {
        let number = if worker.reactor { "reactor".to_owned() } else { worker.worker.to_string() };
        let label = ("worker", number.as_str());
        let busy = Seconds(worker.busy.as_secs_f64());
        sheet.add_with(label, "pool_worker_busy_seconds", "Time at work: its rate is the utilisation", busy);
        sheet.add_with(label, "pool_stolen", "Tasks taken from others' hands", Counter(worker.stolen));
    }
}

fn channel(seen: &ChannelSnapshot, all: &mut Vec<Figure>) {
    use FigureValue::{Counter, Seconds};
    let mut sheet = Sheet { all, labels: vec![("channel", seen.name.to_string())] };
    sheet.add("channel_items", "Items queued", gauge(seen.items));
    sheet.add("channel_items_limit", "Most items queued at a time", gauge(seen.bound.items));
    sheet.add("channel_bytes", "Bytes queued", gauge(seen.bytes));
    sheet.add("channel_bytes_limit", "Most bytes queued at a time", gauge(seen.bound.bytes));
    sheet.add("channel_waiting", "Senders that wait for room", gauge(seen.waiting));
    let counts = &seen.counts;
    sheet.add("channel_sent_items", "Items queued so far", Counter(counts.sent));
    sheet.add("channel_refused_items", "Items given back to their senders", Counter(counts.refused));
    sheet.add("channel_waits", "Items that had to wait for room", Counter(counts.waits));
    let waited = Seconds(counts.waited.as_secs_f64());
    sheet.add("channel_waited_seconds", "Time that items waited for room", waited);
    let kinds = [
        ("newest", counts.dropped_newest),
        ("oldest", counts.dropped_oldest),
        ("conflated", counts.conflated),
        ("abandoned", counts.abandoned),
    ];
    for (how, count) in kinds {
        let help = "Items that were handed over and not received";
        sheet.add_with(("how", how), "channel_dropped_items", help, Counter(count));
    }
}

fn permits(seen: &PermitSnapshot, all: &mut Vec<Figure>) {
    use FigureValue::{Counter, Gauge, Times};
    let mut sheet = Sheet { all, labels: vec![("permits", seen.name.to_string())] };
    sheet.add("permits_limit", "Permits there are now", Gauge(seen.limit.into()));
    sheet.add("permits_out", "Permits handed out now", Gauge(seen.in_flight.into()));
    for class in Priority::ALL {
        let waiting = Gauge(seen.waiting[class] as f64);
        sheet.add_with(
            ("class", class.as_str()),
            "permits_waiting",
            "Requests that wait for a permit",
            waiting,
        );
    }
    let counts = &seen.counts;
    let verdicts =
        [("answered", counts.answered), ("overloaded", counts.overloaded), ("unrelated", counts.unrelated)];
    for (verdict, count) in verdicts {
        sheet.add_with(("verdict", verdict), "permits_returned", "Permits given back", Counter(count));
    }
    sheet.add("permits_refused", "Requests refused because too many waited", Counter(counts.refused));
    sheet.add("permits_withdrawn", "Requests that gave up waiting", Counter(counts.withdrawn));
    sheet.add("permits_wait_seconds", "How long requests waited", Times(seen.waits.clone().into()));
}

fn limiter(name: &str, seen: &LimiterSnapshot, all: &mut Vec<Figure>) {
    use FigureValue::{Counter, Seconds};
    let mut sheet = Sheet { all, labels: vec![("limiter", name.to_owned())] };
    let sum = |of: fn(&crate::limit::KeySnapshot) -> u64| seen.keys.iter().map(of).sum::<u64>();
    sheet.add("limiter_waiting", "Work that waits for its turn", gauge(sum(|k| k.waiting as u64) as usize));
    sheet.add("limiter_granted", "Work let through", Counter(sum(|key| key.granted)));
    sheet.add("limiter_delayed", "Work that had to wait", Counter(sum(|key| key.delayed)));
    sheet.add("limiter_pauses", "Pauses asked for by the other side", Counter(sum(|key| key.pauses)));
    let waited = seen.keys.iter().map(|key| key.waited.as_secs_f64()).sum();
    sheet.add("limiter_waited_seconds", "Time that work waited", Seconds(waited));
}

#[cfg(target_os = "linux")]
fn children(seen: &ChildrenSnapshot, all: &mut Vec<Figure>) {
    use FigureValue::{Counter, Gauge};
    let mut sheet = Sheet { all, labels: Vec::new() };
    let running = seen.children.iter().filter(|child| child.pid.is_some()).count();
    sheet.add("children_running", "Child processes that run", gauge(running));
    sheet.add(
        "children_waiting",
        "Child processes that wait for a place",
        gauge(seen.children.len() - running),
    );
    let resident: u64 = seen.children.iter().map(|child| child.resident_bytes).sum();
    sheet.add(
        "children_resident_bytes",
        "Memory of child processes and all that descend from them",
        Gauge(resident as f64),
    );
    let counts = &seen.counts;
    let endings = [
        ("succeeded", counts.succeeded),
        ("failed", counts.failed),
        ("limited", counts.limited),
        ("cancelled", counts.cancelled),
        ("not_started", counts.not_started),
        ("lost", counts.lost),
    ];
    for (outcome, count) in endings {
        sheet.add_with(("outcome", outcome), "children_ended", "Child processes ended", Counter(count));
    }
    let dropped = Counter(counts.output_dropped_bytes);
    sheet.add("children_output_dropped_bytes", "Output of child processes read and dropped", dropped);
}
