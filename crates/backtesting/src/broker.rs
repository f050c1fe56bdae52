//! `_broker`: the account, and the objects that stand for its orders and trades.

use super::{
    cell::Locked,
    data::Data,
    extras::unknown,
    numpy,
    order::Order,
    position::Position,
    results::Calendar,
    strategy::{Price, size_of_order},
    trade::Trade,
    version::rules,
};
use pyo3::{
    PyTraverseError, PyVisit,
    exceptions::{PyAssertionError, PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{PyDict, PyList, PyString, PyTuple},
};
use springtide_domain::{BarsView, OwnedBars};
use springtide_engine::{
    backtesting_py::{Commission, Config, OrderError, OrderId, OrderRequest, Sim, SimTrade, TradeId},
    broker::NameId,
};
use std::sync::{Arc, Mutex};

/// The simulated account of one run.
#[pyclass(name = "_Broker", frozen, weakref)]
pub struct Broker {
    /// Set once; the simulation, and what Python put into it.
    pub account: Locked<Account>,
    /// Objects handed out, so that the same trade is the same object.
    objects: Locked<Objects>,
    #[pyo3(get, name = "_data")]
    pub data: Py<Data>,
    /// As given: a script may print it before anything was bought.
    initial_cash: Py<PyAny>,
    commission: Py<PyAny>,
    commission_asks_python: bool,
    /// The commission function's exception.
    fee_error: Arc<Mutex<Option<PyErr>>>,
}

/// The simulation and its bars.
pub struct Account {
    // Before the bars, so that it is dropped first.
    pub sim: Sim<'static>,
    /// What is simulated on.
    prices: Arc<OwnedBars>,
    /// What statistics of the market are taken of.
    bars: Arc<OwnedBars>,
    tags: Vec<Py<PyAny>>,
    cash_was_set: bool,
}

#[derive(Default)]
struct Objects {
    orders: Vec<Option<Py<Order>>>,
    trades: Vec<Option<Py<Trade>>>,
    position: Option<Py<Position>>,
}

impl Account {
    /// The bars that the statistics are of.
    pub fn bars(&self) -> &OwnedBars {
        &self.bars
    }

    /// The cash is what it was given as.
    fn is_untouched(&self) -> bool {
        !self.cash_was_set && self.sim.open_trades().is_empty() && self.sim.closed_ids().is_empty()
    }

    /// The tag of an order or trade.
    pub fn tag(&self, py: Python<'_>, tag: Option<NameId>) -> Py<PyAny> {
        tag.map_or_else(|| py.None(), |id| self.tags[id.0 as usize].clone_ref(py))
    }

    fn name_tag(&mut self, tag: Option<Py<PyAny>>) -> Option<NameId> {
        tag.map(|tag| {
            self.tags.push(tag);
            NameId(self.tags.len() as u32 - 1)
        })
    }
}

/// Prices of a run, copied so that nothing a script does to its arrays in `next` moves the account.
#[pyclass(name = "_Bars", frozen)]
pub struct SharedBars(pub Arc<OwnedBars>);

#[pymethods]
impl SharedBars {
    /// `time` in the unit of the statistics; `prices`: open, high, low and close as plain float64 arrays.
    #[new]
    fn new(time: Vec<i64>, prices: [Bound<'_, PyAny>; 4]) -> PyResult<Self> {
        let [open, high, low, close] = prices.each_ref().map(numpy::floats);
        let bars = OwnedBars { time, open: open?, high: high?, low: low?, close: close?, volume: Vec::new() };
        if [&bars.open, &bars.high, &bars.low, &bars.close].iter().any(|p| p.len() != bars.time.len()) {
            return Err(PyValueError::new_err("columns differ in length"));
        }
        Ok(Self(Arc::new(bars)))
    }

    /// Whether these are its prices to the bit; `NaN` is `NaN`.
    fn _has(&self, prices: [Bound<'_, PyAny>; 4]) -> PyResult<bool> {
        let ours = [&self.0.open, &self.0.high, &self.0.low, &self.0.close];
        for (ours, theirs) in ours.into_iter().zip(&prices) {
            let theirs = numpy::floats(theirs)?;
            if ours.len() != theirs.len() || ours.iter().zip(&theirs).any(|(a, b)| a.to_bits() != b.to_bits())
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The same times with other prices.
    fn _with(&self, prices: [Bound<'_, PyAny>; 4]) -> PyResult<Self> {
        Self::new(self.0.time.clone(), prices)
    }
}

/// A view of bars that forgets whose it is.
///
/// # Safety
/// It must not outlive `bars`. Nobody can change them, for they are shared.
unsafe fn lasting(bars: &Arc<OwnedBars>) -> BarsView<'static> {
    // SAFETY: as the caller promises.
    unsafe { std::mem::transmute::<BarsView<'_>, BarsView<'static>>(bars.view()) }
}

#[pymethods]
impl Broker {
    #[new]
    #[pyo3(signature = (*, data, bars, cash, spread, commission, margin, trade_on_close, hedging, exclusive_orders, finalize_trades))]
    fn new(
        py: Python<'_>,
        data: Py<Data>,
        bars: &Bound<'_, SharedBars>,
        cash: Py<PyAny>,
        spread: f64,
        commission: &Bound<'_, PyAny>,
        margin: f64,
        trade_on_close: bool,
        hedging: bool,
        exclusive_orders: bool,
        finalize_trades: bool,
    ) -> PyResult<Self> {
        let fee_error = Arc::new(Mutex::new(None));
        let config = Config {
            cash: cash.extract(py)?,
            spread,
            commission: commission_of(commission, &fee_error)?,
            margin,
            trade_on_close,
            hedging,
            exclusive_orders,
            finalize_trades,
            rules: *rules(),
        };
        let bars = bars.get().0.clone();
        // SAFETY: `bars` is kept beside the simulation and dropped after it.
        let view = unsafe { lasting(&bars) };
        let sim = Sim::new(view, config).map_err(|e| PyAssertionError::new_err(e.to_string()))?;
        let prices = bars.clone();
        Ok(Self {
            account: Locked::new(Account { sim, prices, bars, tags: Vec::new(), cash_was_set: false }),
            objects: Locked::new(Objects::default()),
            data,
            initial_cash: cash,
            commission: commission.clone().unbind(),
            commission_asks_python: commission.is_callable(),
            fee_error,
        })
    }

    /// `init` has changed the prices: simulated is on these, with the market's statistics of `bars`.
    fn _take(&self, prices: &Bound<'_, SharedBars>, bars: &Bound<'_, SharedBars>) -> PyResult<()> {
        let (prices, bars) = (prices.get().0.clone(), bars.get().0.clone());
        let account = &mut *self.account.write()?;
        if [prices.close.len(), bars.close.len()] != [account.bars.close.len(); 2] {
            return Err(PyValueError::new_err("the bars differ in number"));
        }
        // SAFETY: `prices` is kept beside the simulation from here on, which lets go of those before it.
        account.sim.set_bars(unsafe { lasting(&prices) });
        (account.prices, account.bars) = (prices, bars);
        Ok(())
    }

    fn __repr__(&self) -> PyResult<String> {
        let account = self.account.read()?;
        let sim = &account.sim;
        let profit = sim.position().pl;
        Ok(format!("<Broker: {:.0}{profit:+.1} ({} trades)>", sim.cash(), sim.open_trades().len()))
    }

    /// Equity at the current bar's close, money.
    #[getter]
    pub fn equity(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let account = self.account.read()?;
        if rules().sums_profits_by_trade && account.is_untouched() {
            return Ok(self.initial_cash.clone_ref(py));
        }
        numpy::float(py, account.sim.equity_now())
    }

    /// What may still be put at risk, before leverage, money.
    #[getter]
    fn margin_available(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let account = self.account.read()?;
        if rules().sums_profits_by_trade && account.is_untouched() {
            return Ok(self.initial_cash.clone_ref(py));
        }
        numpy::float(py, account.sim.margin_available())
    }

    /// Close of the current bar.
    #[getter]
    fn last_price(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let price = self.account.read()?.sim.mark();
        numpy::float(py, price)
    }

    /// Cash; what open trades cost is not deducted.
    #[getter(_cash)]
    fn cash(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let account = self.account.read()?;
        // Where entries cost no cash, it is as it was given until the first trade is closed.
        let kept =
            rules().commission_moves_entries && !account.cash_was_set && account.sim.closed_ids().is_empty();
        if kept || account.is_untouched() {
            return Ok(self.initial_cash.clone_ref(py));
        }
        numpy::float(py, account.sim.cash())
    }

    #[setter(_cash)]
    fn set_cash(&self, cash: f64) -> PyResult<()> {
        let mut account = self.account.write()?;
        account.sim.set_cash(cash);
        account.cash_was_set = true;
        Ok(())
    }

    /// Index of the current bar.
    #[getter]
    fn _i(&self) -> PyResult<usize> {
        Ok(self.account.read()?.sim.now())
    }

    /// Equity of each bar, NaN where not yet known; a copy.
    #[getter]
    fn _equity(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        numpy::array(py, self.account.read()?.sim.equity())
    }

    #[getter]
    fn _leverage(&self) -> PyResult<f64> {
        Ok(1.0 / self.account.read()?.sim.config().margin)
    }

    #[getter]
    fn _spread(&self, py: Python<'_>) -> PyResult<f64> {
        if rules().commission_moves_entries {
            return Err(unknown("_Broker", intern!(py, "_spread")));
        }
        Ok(self.account.read()?.sim.config().spread)
    }

    /// What version 0.6 charges with: a function of an order's size and price, given or made of the given numbers.
    /// Version 0.3 keeps the number.
    #[getter]
    fn _commission<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let broker = slf.get();
        if broker.commission_asks_python || rules().commission_moves_entries {
            return Ok(broker.commission.bind(slf.py()).clone());
        }
        slf.getattr(intern!(slf.py(), "_commission_func"))
    }

    /// Money for an order, where the commission is given in numbers.
    fn _commission_func(&self, py: Python<'_>, order_size: f64, price: f64) -> PyResult<Py<PyAny>> {
        let (fixed, relative) = numbers(self.commission.bind(py))?;
        numpy::float(py, fixed + order_size.abs() * price * relative)
    }

    #[getter]
    fn _trade_on_close(&self) -> PyResult<bool> {
        Ok(self.account.read()?.sim.config().trade_on_close)
    }

    #[getter]
    fn _hedging(&self) -> PyResult<bool> {
        Ok(self.account.read()?.sim.config().hedging)
    }

    #[getter]
    fn _exclusive_orders(&self) -> PyResult<bool> {
        Ok(self.account.read()?.sim.config().exclusive_orders)
    }

    /// Pending orders, first examined first.
    #[getter]
    fn orders<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(slf.py(), Self::pending(slf)?)
    }

    /// Open trades in opening order.
    #[getter]
    fn trades<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(slf.py(), Self::open(slf)?)
    }

    /// Closed trades in closing order.
    #[getter]
    fn closed_trades<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(slf.py(), Self::closed(slf)?)
    }

    /// All open trades together.
    #[getter]
    pub fn position(slf: &Bound<'_, Self>) -> PyResult<Py<Position>> {
        let py = slf.py();
        if let Some(position) = &slf.get().objects.read()?.position {
            return Ok(position.clone_ref(py));
        }
        let position = Py::new(py, Position::of(slf.clone().unbind()))?;
        slf.get().objects.write()?.position = Some(position.clone_ref(py));
        Ok(position)
    }

    /// Places an order of signed `size`.
    #[pyo3(signature = (size, limit=None, stop=None, sl=None, tp=None, tag=None))]
    fn new_order(
        slf: &Bound<'_, Self>,
        size: &Bound<'_, PyAny>,
        limit: Option<Price>,
        stop: Option<Price>,
        sl: Option<Price>,
        tp: Option<Price>,
        tag: Option<Py<PyAny>>,
    ) -> PyResult<Py<Order>> {
        let size = size_of_order(size)?;
        check_tag(&tag, "_Broker.new_order")?;
        let prices = [limit, stop, sl, tp].map(|p| p.and_then(|p| p.0));
        Self::place(slf, size < 0.0, size.abs(), prices, tag)
    }

    /// The columns of the trade table by their names, in closing order.
    fn _trade_columns<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        super::results::trade_columns(slf)
    }

    /// The statistics' rows and the drawdown episodes of a finished run.
    #[pyo3(signature = (warmup, unit, wall=None, risk_free_rate=0.0))]
    fn _statistics<'py>(
        slf: &Bound<'py, Self>,
        warmup: usize,
        unit: Option<String>,
        wall: Option<Vec<i64>>,
        risk_free_rate: f64,
    ) -> PyResult<Bound<'py, PyDict>> {
        super::results::statistics(slf, warmup, Calendar { unit, wall }, risk_free_rate)
    }

    fn __getattr__(&self, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        Err(unknown("_Broker", name))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.data)?;
        visit.call(&self.commission)?;
        // What is in use at this moment stays unvisited, and so counts as reachable.
        if let Some(objects) = self.objects.glance() {
            objects.orders.iter().try_for_each(|o| visit.call(o))?;
            objects.trades.iter().try_for_each(|t| visit.call(t))?;
            visit.call(&objects.position)?;
        }
        if let Some(account) = self.account.glance() {
            account.tags.iter().try_for_each(|tag| visit.call(tag))?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        if let Ok(mut objects) = self.objects.write() {
            *objects = Objects::default();
        }
    }
}

impl Broker {
    /// Places an order; `[limit, stop, sl, tp]`.
    pub fn place(
        slf: &Bound<'_, Self>,
        short: bool,
        size: f64,
        [limit, stop, sl, tp]: [Option<f64>; 4],
        tag: Option<Py<PyAny>>,
    ) -> PyResult<Py<Order>> {
        let id = {
            let mut account = slf.get().account.write()?;
            let tag = account.name_tag(tag);
            let request = OrderRequest { size, limit, stop, sl, tp, tag };
            let sim = &mut account.sim;
            if short { sim.sell(request) } else { sim.buy(request) }.map_err(refused)?
        };
        Self::order(slf, id)
    }

    /// Whether Python is asked for commissions.
    pub fn has_commission_function(&self) -> bool {
        self.commission_asks_python
    }

    /// The exception that the commission function raised, if it did.
    pub fn check_fee(&self) -> PyResult<()> {
        let mut error = self.fee_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        error.take().map_or(Ok(()), Err)
    }

    /// The object of an order.
    pub fn order(slf: &Bound<'_, Self>, id: OrderId) -> PyResult<Py<Order>> {
        let make = || Py::new(slf.py(), Order::of(slf.clone().unbind(), id));
        object(slf.py(), &slf.get().objects, |o| &mut o.orders, id.index(), make)
    }

    /// The object of a trade.
    pub fn trade(slf: &Bound<'_, Self>, id: TradeId) -> PyResult<Py<Trade>> {
        let make = || Py::new(slf.py(), Trade::of(slf.clone().unbind(), id));
        object(slf.py(), &slf.get().objects, |o| &mut o.trades, id.index(), make)
    }

    /// Pending orders.
    pub fn pending(slf: &Bound<'_, Self>) -> PyResult<Vec<Py<Order>>> {
        let ids = slf.get().account.read()?.sim.queue().to_vec();
        ids.into_iter().map(|id| Self::order(slf, id)).collect()
    }

    /// Open trades.
    pub fn open(slf: &Bound<'_, Self>) -> PyResult<Vec<Py<Trade>>> {
        let ids = slf.get().account.read()?.sim.open_trades().to_vec();
        ids.into_iter().map(|id| Self::trade(slf, id)).collect()
    }

    /// Closed trades.
    pub fn closed(slf: &Bound<'_, Self>) -> PyResult<Vec<Py<Trade>>> {
        let ids = slf.get().account.read()?.sim.closed_ids().to_vec();
        ids.into_iter().map(|id| Self::trade(slf, id)).collect()
    }

    /// A bar's place on the index.
    pub fn time(&self, py: Python<'_>, bar: usize) -> PyResult<Py<PyAny>> {
        Ok(self.data.get().whole_index(py)?.bind(py).get_item(bar)?.unbind())
    }
}

/// The object of number `k`, made when first asked for.
fn object<T>(
    py: Python<'_>,
    objects: &Locked<Objects>,
    list: impl Fn(&mut Objects) -> &mut Vec<Option<Py<T>>>,
    k: usize,
    make: impl FnOnce() -> PyResult<Py<T>>,
) -> PyResult<Py<T>> {
    if let Some(Some(found)) = list(&mut *objects.write()?).get(k) {
        return Ok(found.clone_ref(py));
    }
    // Made outside the borrow: a new object may start the garbage collector, which looks in here.
    let made = make()?;
    let mut borrowed = objects.write()?;
    let all = list(&mut borrowed);
    if all.len() <= k {
        all.resize_with(k + 1, || None);
    }
    all[k] = Some(made.clone_ref(py));
    Ok(made)
}

/// The original's exception for a refused order.
pub fn refused(error: OrderError) -> PyErr {
    let show = |price: &Option<f64>| price.map_or("None".to_owned(), text);
    match &error {
        OrderError::Size(size) => PyAssertionError::new_err(format!(
            "size must be a positive fraction of equity, or a positive whole number of units; it is {}",
            text(*size)
        )),
        OrderError::LongPrices { reference, sl, tp } => PyValueError::new_err(format!(
            "Long orders require: SL ({}) < LIMIT ({}) < TP ({})",
            show(sl),
            text(*reference),
            show(tp)
        )),
        OrderError::ShortPrices { reference, sl, tp } => PyValueError::new_err(format!(
            "Short orders require: TP ({}) < LIMIT ({}) < SL ({})",
            show(tp),
            text(*reference),
            show(sl)
        )),
        OrderError::Portion(portion) => {
            PyAssertionError::new_err(format!("portion must be a fraction between 0 and 1; it is {portion}"))
        }
        OrderError::Level(price) => {
            PyAssertionError::new_err(format!("Make sure 0 < price < inf! price: {}", text(*price)))
        }
    }
}

/// A number as Python writes it.
pub fn text(x: f64) -> String {
    let plain = format!("{x:?}");
    match plain.split_once('e') {
        Some((digits, power)) if !power.starts_with('-') => format!("{digits}e+{power:0>2}"),
        Some((digits, power)) => format!("{digits}e-{:0>2}", &power[1..]),
        None => plain.replace("NaN", "nan"),
    }
}

/// Version 0.3 knows no tags.
pub fn check_tag(tag: &Option<Py<PyAny>>, function: &str) -> PyResult<()> {
    if rules().knows_tags || tag.is_none() {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!(
        "{function}() got an unexpected keyword argument 'tag' (version {} has none)",
        rules().version
    )))
}

/// A trade's size as the original's type: whole until a part was closed.
pub fn units(py: Python<'_>, trade: &SimTrade) -> PyResult<Py<PyAny>> {
    if trade.split {
        return Ok(trade.size.into_pyobject(py)?.into_any().unbind());
    }
    Ok((trade.size as i64).into_pyobject(py)?.into_any().unbind())
}

/// A number, a pair `(fixed, relative)` or a function.
fn commission_of(given: &Bound<'_, PyAny>, error: &Arc<Mutex<Option<PyErr>>>) -> PyResult<Commission> {
    if given.is_callable() {
        let (function, error) = (given.clone().unbind(), error.clone());
        return Ok(Commission::Callback(Box::new(move |size, price| {
            let ask =
                |py: Python<'_>| function.call1(py, (size, numpy::float(py, price)?))?.extract::<f64>(py);
            Python::attach(ask).unwrap_or_else(|e| {
                *error.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(e);
                f64::NAN
            })
        })));
    }
    let (fixed, relative) = numbers(given)?;
    Ok(match given.is_instance_of::<PyTuple>() {
        true => Commission::Fixed { fixed, relative },
        false => Commission::Relative(relative),
    })
}

/// A commission's fixed and relative part.
fn numbers(given: &Bound<'_, PyAny>) -> PyResult<(f64, f64)> {
    match given.cast::<PyTuple>() {
        Ok(pair) => pair.extract(),
        Err(_) => Ok((0.0, given.extract()?)),
    }
}

/// A Python warning of the user's kind, that points to whoever called the package.
pub fn warn(py: Python<'_>, text: &str) -> PyResult<()> {
    let package = py.import(intern!(py, "backtesting._util"))?;
    package.call_method1(intern!(py, "warn"), (text,))?;
    Ok(())
}
