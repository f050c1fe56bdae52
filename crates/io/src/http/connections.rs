//! A host's connections: those at rest, those being made, and who waits for one.
//!
//! Whoever finds no connection at rest waits in line, and one is made for it, unless enough for all in line are being
//! made already. If another comes free sooner, the first in line takes that; what was made for somebody who no longer
//! needs it goes to the next in line, or to rest. New ones are begun a few at a time, and between these whatever else
//! is due is served: hundreds begun in one go would hold up the answers to requests that are under way already.

use super::{
    connect::{Dialed, Dialer},
    error::{Cause, Phase},
    host::{Counts, Drivers, Host, Payload},
};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use springtide_runtime::locks::{Mutex, MutexGuard, lock};
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    task::yield_now,
    time::{Instant, timeout_at},
};

/// How much longer than its time a place waits: a connection that is being made for it has the same deadline and can
/// say what was late.
const GRACE: Duration = Duration::from_millis(100);
/// Connections begun in one go.
const BEGUN_AT_ONCE: usize = 4;
/// Bytes of one stream, and of one connection, that HTTP/2 may send ahead of our reading.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

pub(super) type Failure = (Phase, Cause);
type Handed = Result<Usable, Failure>;

/// What requests are sent with.
pub(super) enum Sender {
    Own(http1::SendRequest<Payload>),
    Shared(http2::SendRequest<Payload>),
}

/// A connection that takes requests.
pub(super) struct Usable {
    pub(super) sender: Sender,
    /// It was used before.
    pub(super) reused: bool,
}

/// What connections are made with.
#[derive(Clone)]
pub(super) struct Means {
    pub(super) dialer: Arc<Dialer>,
    pub(super) drivers: Drivers,
}

/// The time for a connection to be made.
#[derive(Clone, Copy)]
pub(super) struct Time {
    pub(super) deadline: Instant,
    /// What the deadline came from.
    pub(super) limit: Duration,
}

#[derive(Default)]
pub(super) struct Connections {
    state: Mutex<State>,
    /// Whoever may be the first to find out that a host speaks HTTP/2 does so alone.
    gate: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    idle: VecDeque<Idle>,
    /// The one that all share, where the host speaks HTTP/2.
    shared: Option<http2::SendRequest<Payload>>,
    /// Who waits, by ascending number.
    line: VecDeque<Place>,
    next_number: u64,
    /// Connections to be begun.
    orders: VecDeque<(Whom, Time)>,
    /// Connections ordered for places in line and not made yet.
    making: usize,
    /// A task is beginning what was ordered.
    beginning: bool,
}

struct Idle {
    sender: http1::SendRequest<Payload>,
    since: Instant,
}

struct Place {
    number: u64,
    hand: oneshot::Sender<Handed>,
    time: Time,
    /// A connection was ordered for it.
    ordered: bool,
}

/// For whom a connection is made.
enum Whom {
    /// For the place in line of that number.
    Place(u64),
    /// For whoever needs one later.
    Later(oneshot::Sender<Result<(), Failure>>),
}

impl State {
    /// Takes out the place of that number, if it still waits.
    fn take_place(&mut self, number: u64) -> Option<Place> {
        let at = self.line.binary_search_by_key(&number, |place| place.number).ok()?;
        self.line.remove(at)
    }

    /// The next connection to be begun; none ends the beginning.
    fn next_order(&mut self) -> Option<(Whom, Time)> {
        while let Some((whom, time)) = self.orders.pop_front() {
            // Others have a connection by now, or gave up.
            let waits = match &whom {
                Whom::Later(tell) => !tell.is_closed(),
                Whom::Place(number) => {
                    let at = self.line.binary_search_by_key(number, |place| place.number);
                    at.is_ok_and(|at| !self.line[at].hand.is_closed())
                }
            };
            if waits {
                return Some((whom, time));
            }
            if let Whom::Place(number) = whom {
                drop(self.take_place(number));
                self.ended();
            }
        }
        self.beginning = false;
        None
    }

    /// Orders a connection for the first in line who has none coming, where there are too few.
    fn order(&mut self) {
        while self.making < self.line.len()
            && let Some(place) = self.line.iter_mut().find(|place| !place.ordered)
        {
            place.ordered = true;
            self.orders.push_back((Whom::Place(place.number), place.time));
            self.making += 1;
        }
    }

    /// An order for a place in line came to its end.
    fn ended(&mut self) {
        self.making -= 1;
        self.order();
    }

    /// Whether somebody has to begin what was ordered; the caller does.
    fn begins(&mut self) -> bool {
        !self.orders.is_empty() && !std::mem::replace(&mut self.beginning, true)
    }

    /// Gives a connection to this place, or to the first in line, or puts it to rest.
    fn put(&mut self, mut place: Option<Place>, sender: http1::SendRequest<Payload>, reused: bool) {
        let mut handed = Ok(Usable { sender: Sender::Own(sender), reused });
        while let Some(next) = place.take().or_else(|| self.line.pop_front()) {
            match next.hand.send(handed) {
                Ok(()) => return,
                // It gave up waiting.
                Err(back) => handed = back,
            }
        }
        if let Ok(Usable { sender: Sender::Own(sender), .. }) = handed {
            self.idle.push_back(Idle { sender, since: Instant::now() });
        }
    }
}

impl Connections {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// A connection that need not be waited for. `fresh` takes none that was at rest.
    pub(super) fn at_hand(&self, fresh: bool, idle_max: Duration) -> Option<Usable> {
        let mut state = self.state();
        if let Some(sender) = &state.shared {
            if !sender.is_closed() {
                return Some(Usable { sender: Sender::Shared(sender.clone()), reused: true });
            }
            state.shared = None;
        }
        if fresh {
            return None;
        }
        while let Some(Idle { sender, since }) = state.idle.pop_back() {
            if since.elapsed() >= idle_max {
                // Those before it are older still.
                state.idle.clear();
                return None;
            }
            if !sender.is_closed() {
                return Some(Usable { sender: Sender::Own(sender), reused: true });
            }
        }
        None
    }

    /// A connection that another request is done with.
    pub(super) fn give_back(&self, sender: http1::SendRequest<Payload>) {
        if !sender.is_closed() {
            self.state().put(None, sender, true);
        }
    }

    /// The shared connection is dead.
    pub(super) fn forget_shared(&self) {
        // Perhaps a new one already: then it is made once more, which happens seldom and does no harm.
        self.state().shared = None;
    }

    /// Closes connections that have been at rest too long.
    pub(super) fn sweep(&self, idle_max: Duration) {
        let idle = &mut self.state().idle;
        while idle.front().is_some_and(|i| i.since.elapsed() >= idle_max || i.sender.is_closed()) {
            idle.pop_front();
        }
    }

    pub(super) fn idle(&self) -> usize {
        self.state().idle.len()
    }

    /// Stands in line; true when the caller has to begin connections.
    fn stand(&self, time: Time) -> (oneshot::Receiver<Handed>, bool) {
        let (hand, handed) = oneshot::channel();
        let mut state = self.state();
        let number = state.next_number;
        state.next_number += 1;
        // Only the last can be without an order when it has just come.
        let ordered = state.making <= state.line.len();
        state.line.push_back(Place { number, hand, time, ordered });
        if ordered {
            state.orders.push_back((Whom::Place(number), time));
            state.making += 1;
        }
        (handed, state.begins())
    }

    /// Orders connections for later; true when the caller has to begin them.
    fn order_ahead(&self, count: usize, time: Time) -> (Vec<oneshot::Receiver<Result<(), Failure>>>, bool) {
        let mut state = self.state();
        let one = |_| {
            let (tell, told) = oneshot::channel();
            state.orders.push_back((Whom::Later(tell), time));
            told
        };
        let told: Vec<_> = (0..count).map(one).collect();
        (told, state.begins())
    }
}

impl Host {
    /// Waits for a connection where none was at hand.
    pub(super) async fn wait(self: &Arc<Self>, means: &Means, time: Time, fresh: bool) -> Handed {
        let late = || (Phase::Connect, Cause::Timeout { what: "no connection", limit: time.limit });
        let mut alone = None;
        if !self.plain.load(Relaxed) {
            let gate = timeout_at(time.deadline, self.connections.gate.lock()).await;
            alone = Some(gate.map_err(|_| late())?);
            if let Some(usable) = self.connections.at_hand(fresh, self.idle_max) {
                return Ok(usable);
            }
            if self.plain.load(Relaxed) {
                alone = None;
            }
        }
        let (handed, begins) = self.connections.stand(time);
        if begins {
            self.begin(means);
        }
        let handed = timeout_at(time.deadline + GRACE, handed).await;
        drop(alone);
        handed.map_err(|_| late())?.unwrap_or_else(|_| Err(broken_off()))
    }

    /// Sees to it that so many connections are at rest or with whoever waited for one meanwhile; one where all share
    /// one. Returns how many there are; fails when none could be made.
    pub(super) async fn open_ahead(
        self: &Arc<Self>,
        means: &Means,
        time: Time,
        count: usize,
    ) -> Result<usize, Failure> {
        if !self.plain.load(Relaxed) {
            let usable = match self.connections.at_hand(false, self.idle_max) {
                Some(usable) => usable,
                None => self.wait(means, time, false).await?,
            };
            match usable.sender {
                Sender::Shared(_) => return Ok(1),
                Sender::Own(sender) => self.connections.state().put(None, sender, usable.reused),
            }
        }
        let missing = count.saturating_sub(self.connections.idle());
        let (told, begins) = self.connections.order_ahead(missing, time);
        if begins {
            self.begin(means);
        }
        let (mut made, mut failure) = (0, None);
        for told in told {
            match told.await.unwrap_or_else(|_| Err(broken_off())) {
                Ok(()) => made += 1,
                Err(failed) => failure = Some(failed),
            }
        }
        match failure {
            Some(failure) if made == 0 => Err(failure),
            _ => Ok(count - missing + made),
        }
    }
}

impl Host {
    /// Begins what was ordered, in a task of its own.
    fn begin(self: &Arc<Self>, means: &Means) {
        let label = format!("connections to {}", self.name);
        means.drivers.run(label.into(), begin(Arc::clone(self), means.clone()));
    }
}

fn broken_off() -> Failure {
    (Phase::Connect, Cause::Connect(io::Error::other("the making of the connection was broken off")))
}

/// Begins what was ordered, some at a time.
async fn begin(host: Arc<Host>, means: Means) {
    loop {
        for _ in 0..BEGUN_AT_ONCE {
            let Some((whom, time)) = host.connections.state().next_order() else { return };
            let (place, tell) = match whom {
                Whom::Place(number) => (Some(number), None),
                Whom::Later(tell) => (None, Some(tell)),
            };
            let label = format!("connecting to {}", host.name);
            let order = Order { host: Arc::clone(&host), means: means.clone(), place, tell };
            means.drivers.run(label.into(), make(order, time));
        }
        yield_now().await;
    }
}

/// A connection that is being made.
struct Order {
    host: Arc<Host>,
    means: Means,
    /// The place in line that it is made for, until there is an outcome.
    place: Option<u64>,
    /// Who ordered it for later.
    tell: Option<oneshot::Sender<Result<(), Failure>>>,
}

impl Drop for Order {
    fn drop(&mut self) {
        // Without an outcome, by a panic: whoever waits learns of it by its place being gone.
        if let Some(number) = self.place {
            let mut state = self.host.connections.state();
            drop(state.take_place(number));
            state.making -= 1;
        }
    }
}

impl Order {
    fn made(mut self, sender: Sender) {
        self.end(|state, place| match sender {
            Sender::Own(sender) => state.put(place, sender, false),
            Sender::Shared(sender) => {
                state.shared = Some(sender.clone());
                for place in place.into_iter().chain(state.line.drain(..)) {
                    let usable = Usable { sender: Sender::Shared(sender.clone()), reused: false };
                    // Who gave up waiting needs none.
                    let _ = place.hand.send(Ok(usable));
                }
            }
        });
        // Who gave up waiting leaves a connection for others.
        let _ = self.tell.take().map(|tell| tell.send(Ok(())));
    }

    fn failed(mut self, failure: Failure) {
        let place = self.end(|_, place| place);
        let unheard = match (place, self.tell.take()) {
            (Some(place), _) => place.hand.send(Err(failure)).err().and_then(Result::err),
            (None, Some(tell)) => tell.send(Err(failure)).err().and_then(Result::err),
            (None, None) => Some(failure),
        };
        if let Some((phase, cause)) = unheard {
            let (host, phase) = (&*self.host.name, phase.as_str());
            tracing::debug!(host, phase, %cause, "a connection was not made, and nobody waits for it any more");
        }
    }

    /// Its place is taken out of line, and what is missing now is ordered.
    fn end<T>(&mut self, then: impl FnOnce(&mut State, Option<Place>) -> T) -> T {
        let mut state = self.host.connections.state();
        let number = self.place.take();
        let place = number.and_then(|number| state.take_place(number));
        let done = then(&mut state, place);
        if number.is_some() {
            state.ended();
        }
        let begins = state.begins();
        drop(state);
        if begins {
            self.host.begin(&self.means);
        }
        done
    }
}

async fn make(order: Order, time: Time) {
    match connect(&order.host, &order.means, time).await {
        Ok(sender) => order.made(sender),
        Err(failure) => order.failed(failure),
    }
}

async fn connect(host: &Host, means: &Means, Time { deadline, limit }: Time) -> Result<Sender, Failure> {
    let Dialed { wire, http2 } = means.dialer.dial(&host.origin, deadline, limit).await?;
    let transport = |error| (Phase::Connect, Cause::Transport(error));
    let io = TokioIo::new(wire);
    let open = Open::new(Arc::clone(&host.counts));
    if http2 {
        let (sender, connection) = http2::Builder::new(means.drivers.clone())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(host.head_max).unwrap_or(u32::MAX))
            .handshake(io)
            .await
            .map_err(transport)?;
        drive(host, means, connection, open);
        Ok(Sender::Shared(sender))
    } else {
        host.plain.store(true, Relaxed);
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(host.head_max.max(8 << 10))
            .handshake(io)
            .await
            .map_err(transport)?;
        drive(host, means, connection, open);
        Ok(Sender::Own(sender))
    }
}

/// Runs a connection until it ends. Its error reaches whoever waits for an answer on it.
fn drive<T, E>(host: &Host, means: &Means, connection: T, open: Open)
where
    T: Future<Output = Result<(), E>> + Send + 'static,
{
    means.drivers.run(format!("connection to {}", host.name).into(), async move {
        let _ = connection.await;
        drop(open);
    });
}

/// Counts a connection while it is open.
struct Open(Arc<Counts>);

impl Open {
    fn new(counts: Arc<Counts>) -> Self {
        counts.dialed.fetch_add(1, Relaxed);
        let open = counts.open.fetch_add(1, Relaxed) + 1;
        counts.open_max.fetch_max(open, Relaxed);
        Self(counts)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}
