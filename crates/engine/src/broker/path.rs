//! The path through a bar: open, nearer extreme, farther extreme, close; the same of every finer bar where
//! there are any. It can be walked at once or from price to price, with the strategy run in between.

use super::Broker;
use springtide_domain::BarsView;

/// Finer bars, sorted into the bars of the chart.
#[derive(Clone, Debug)]
pub struct FinerBars<'a> {
    bars: BarsView<'a>,
    /// Finer bars of bar `i`: from `starts[i]` to `ends[i]`.
    starts: Vec<u32>,
    ends: Vec<u32>,
}

impl<'a> FinerBars<'a> {
    /// Sorts `finer` into bars that open at `times` and last at most `span_ms`, and no longer than until the
    /// next one opens.
    pub fn new(times: &[i64], span_ms: i64, finer: BarsView<'a>) -> Self {
        let place = |t: i64| finer.time.partition_point(|f| *f < t) as u32;
        let end = |i: usize| {
            let end = times[i].saturating_add(span_ms);
            times.get(i + 1).map_or(end, |next| end.min(*next))
        };
        Self {
            bars: finer,
            starts: times.iter().map(|t| place(*t)).collect(),
            ends: (0..times.len()).map(|i| place(end(i))).collect(),
        }
    }

    /// Chart bars that have finer bars.
    pub fn covered(&self) -> usize {
        self.starts.iter().zip(&self.ends).filter(|(a, b)| a < b).count()
    }

    fn of(&self, bar: usize) -> (usize, usize) {
        match (self.starts.get(bar), self.ends.get(bar)) {
            (Some(a), Some(b)) => (*a as usize, *b as usize),
            _ => (0, 0),
        }
    }
}

/// Where on the current bar's path the walk stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// The finer bar, counted within the chart bar.
    part: usize,
    /// 0 the part's open, 1 its first extreme, 2 its second, 3 its close.
    node: u8,
    price: f64,
    high_first: bool,
    /// Nothing is left of the path.
    over: bool,
    /// Fills of the bar that the strategy has been told of.
    told: usize,
}

impl Broker<'_> {
    /// Walks from the open to the close at once.
    pub(super) fn path(&mut self) {
        self.stand_at_open();
        while self.may_act() && self.step() {}
    }

    fn stand_at_open(&mut self) {
        self.place = Place { price: self.bars.open[self.bar], ..Place::default() };
    }

    /// Something could happen on the rest of the path.
    fn may_act(&self) -> bool {
        self.books.position != 0.0 || self.has_pending()
    }

    /// Prices of a part of the current bar, and whether it is the last.
    fn part(&self, k: usize) -> ([f64; 4], bool) {
        let i = self.bar;
        let prices = |b: &BarsView<'_>, i: usize| [b.open[i], b.high[i], b.low[i], b.close[i]];
        match self.finer.map(|f| (f, f.of(i))) {
            Some((f, (from, to))) if from < to => (prices(&f.bars, from + k), from + k + 1 >= to),
            _ => (prices(&self.bars, i), true),
        }
    }

    /// Walks to the next price of the path; false when there is none.
    fn step(&mut self) -> bool {
        let ([open, high, low, close], last) = self.part(self.place.part);
        if self.place.node == 3 {
            if last {
                return false;
            }
            let ([open, ..], _) = self.part(self.place.part + 1);
            self.place.part += 1;
            self.place.node = 0;
            self.stand_at(open);
            return true;
        }
        if self.place.node == 0 {
            self.place.high_first = self.high_first(open, high, low);
        }
        let (first, second) = if self.place.high_first { (high, low) } else { (low, high) };
        let to = match self.place.node {
            0 => first,
            1 => second,
            _ => close,
        };
        self.leg(self.place.price, to);
        self.books.touch(to);
        self.watch(to);
        self.place.node += 1;
        self.place.price = to;
        true
    }

    /// A price that stands, not one walked to: what it has passed already fills at it.
    fn stand_at(&mut self, price: f64) {
        self.place.price = price;
        self.moment += 1;
        self.books.touch(price);
        self.gapped_entries(price);
        self.gapped_legs(price);
        self.watch(price);
    }

    fn at_end(&self) -> bool {
        self.place.node == 3 && self.part(self.place.part).1
    }

    // ---- price by price ------------------------------------------------------------------------

    /// Moves to bar `i` as [`Broker::open_bar`] does, but only to its open: for strategies that run again
    /// after every fill. Then, while [`Broker::has_filled`], the strategy runs between
    /// [`Broker::begin_pass`] and [`Broker::end_pass`]; [`Broker::walk_on`] goes to the next price.
    pub fn begin_bar(&mut self, i: usize) {
        self.enter_bar(i);
        self.stand_at_open();
        let open = self.place.price;
        if !self.something_waits() {
            self.place.over = true;
            return;
        }
        self.books.begin_walk(i);
        if !self.risk.stopped() {
            self.fill_market(open, true);
        }
        self.books.touch(open);
        self.gapped_entries(open);
        self.gapped_legs(open);
        self.watch(open);
    }

    /// True when something has filled since the strategy last ran.
    pub fn has_filled(&self) -> bool {
        self.fills_on_bar > self.place.told
    }

    /// The strategy is about to run in the middle of the bar: the account stands at the price reached.
    pub fn begin_pass(&mut self) {
        self.place.told = self.fills_on_bar;
        self.mark = Some(self.place.price);
        self.expected = self.books.position;
    }

    /// The strategy has run: its market orders fill at the price reached, priced ones that it has passed too.
    pub fn end_pass(&mut self) {
        self.mark = None;
        self.place.over = false;
        let price = self.place.price;
        self.moment += 1;
        if !self.risk.stopped() {
            self.fill_market(price, true);
        }
        self.gapped_entries(price);
        self.gapped_legs(price);
        self.books.touch(price);
        self.watch(price);
    }

    /// Walks to the next price of the bar; false when that is its last, or when nothing can happen any more.
    /// The bar is then open as after [`Broker::open_bar`].
    pub fn walk_on(&mut self) -> bool {
        // What filled just now lets the strategy speak again at the next price, even when it is flat.
        let stepped = !self.place.over && (self.may_act() || self.has_filled()) && self.step();
        if stepped && !self.at_end() {
            return true;
        }
        if !self.place.over {
            self.books.end_walk(self.bar);
        }
        self.books.seen = self.bar + 1;
        self.expected = self.books.position;
        false
    }
}
