"""Stands between a script and the library: every `Backtest.run` is told, `plot` writes only where it was asked to.

It works with the original library and with any that has its classes.
"""
import concurrent.futures
import inspect
import os
import re
import sys
import threading
import time
import types

import backtesting
import backtesting.lib
import numpy
import pandas

import tide_faults
import tide_idle

TRADES_MAX = 1_000_000
TEXT_MAX = 400
NOTES_MAX = 40
TOLD = "_tide_told"
# Where warnings of the library, and of what stands between, say that they come from.
LIBRARY = ("tide_", os.path.dirname(backtesting.__file__) + os.sep)
COLUMNS = ("Open", "High", "Low", "Close", "Volume")
TRADE_COLUMNS = ("Size", "EntryBar", "ExitBar", "EntryPrice", "ExitPrice", "SL", "TP", "PnL", "Commission")


class Notes:
    """Things to know about a script, each once with how often. They are told as they arise: a script may not come to
    its end."""

    def __init__(self, results, path):
        self.results, self.path = results, path
        self.counts = {}
        self.told = []
        # Orders that the broker has dropped for want of money.
        self.unpaid = 0

    def add(self, text):
        self.counts[text] = self.counts.get(text, 0) + 1
        if len(self.told) < min(len(self.counts), NOTES_MAX):
            self.tell()

    def tell(self):
        told = self.list()
        if told != self.told:
            self.told = told
            self.results.tell({"kind": "notes", "notes": told})

    def warned(self, message, category, filename, lineno, file=None, line=None):
        text = "%s: %s" % (category.__name__, message)
        if filename != self.path and filename.startswith(LIBRARY):
            # The library's own lines tell a script's author nothing.
            filename, lineno = tide_faults.calling(self.path) or (None, None)
        print(text if filename is None else "%s:%d: %s" % (filename, lineno, text), file=sys.stderr)
        if "insufficient margin" in text:
            self.unpaid += 1
        if category.__name__ not in ("DeprecationWarning", "FutureWarning", "ResourceWarning"):
            self.add(re.sub(r"time=[^:]*(:\d\d)*(\.\d+)?: ", "", str(message))[:TEXT_MAX])

    def list(self):
        return [text if n == 1 else "%s (%d times)" % (text, n) for text, n in self.counts.items()][:NOTES_MAX]


# Relative; some of a float's last places.
LAST_BITS = 1e-15


class Depth(threading.local):
    """Calls of `run` and `optimize` within each other; a script may run backtests in several threads."""

    calls = 0


class Book:
    """The runs of one script."""

    def __init__(self, request, given, results, notes):
        self.request, self.given, self.results, self.notes = request, given, results, notes
        # The script as it is run.
        self.text = request["text"]
        # Runs that are told of, failed ones included; how many those are; the place of the last good one.
        self.told = self.failures = self.last = 0
        self.depth = Depth()
        # One run is told after the other.
        self.lock = threading.RLock()
        self.orders = 0
        self.tried = set()
        self.settings = {}

    def install(self):
        main = backtesting.Backtest
        for cls in {main, getattr(backtesting.lib, "FractionalBacktest", main)}:
            for name, wrap in (("run", self._run), ("optimize", self._optimize)):
                if name in vars(cls):
                    setattr(cls, name, wrap(vars(cls)[name]))
        main.__init__ = self._init(main.__init__)
        main.plot = self._plot(main.plot)
        for name in ("buy", "sell"):
            setattr(backtesting.Strategy, name, self._counted(getattr(backtesting.Strategy, name)))
        one_process()

    def begins(self, strategy, number, count):
        """Says which of a module's strategies is next."""
        if count > 1:
            head = {"kind": "begins", "strategy": strategy.__name__, "number": number, "count": count}
            self.results.tell(head)

    def failed(self, error, strategy, params):
        """Tells of a run that raised."""
        fault = tide_faults.describe(error, self.request["path"], self.text)
        head = {"kind": "failed", "strategy": strategy.__name__, "params": plain(params), "fault": fault}
        with self.lock:
            self.results.tell(head)
            # Not by keeping it, which keeps all that its frames hold.
            vars(error)[TOLD] = True
            self.failures += 1
            self.told += 1

    def has_told_of(self, error):
        """Whether the error, or one that it came of, is that of a failed run."""
        seen = []
        while error is not None and error not in seen:
            if TOLD in vars(error):
                return True
            seen.append(error)
            error = error.__cause__ or error.__context__
        return False

    def _watched(self, original, backtest, args, kwargs):
        """The outermost call of `run` or `optimize`, and the seconds that it took."""
        self._reset()
        self.depth.calls += 1
        started = time.perf_counter()
        try:
            found = original(backtest, *args, **kwargs)
        except BaseException as error:
            # Who leaves the script has not failed.
            if not isinstance(error, SystemExit):
                self.failed(error, self.settings[id(backtest)][1]["strategy"], kwargs)
            raise
        finally:
            self.depth.calls -= 1
        return found, time.perf_counter() - started

    def _reset(self):
        self.orders = self.notes.unpaid = 0

    def _counted(self, order):
        def counted(*args, **kwargs):
            self.orders += 1
            return order(*args, **kwargs)

        counted.__name__ = order.__name__
        return counted

    def _init(self, original):
        signature = inspect.signature(original)

        def init(backtest, *args, **kwargs):
            bound = signature.bind(backtest, *args, **kwargs)
            bound.apply_defaults()
            for name in ("cash", "commission", "spread"):
                value = self.request["account"].get(name)
                if value is not None:
                    kwargs[name] = bound.arguments[name] = fee(value)
            self.settings[id(backtest)] = (backtest, bound.arguments)
            return original(backtest, *args, **kwargs)

        return init

    def _run(self, original):
        def run(backtest, **kwargs):
            if self.depth.calls:
                # One of a search, whose best comes last.
                self._reset()
                if kwargs:
                    self.tried.add(combination(kwargs))
                return original(backtest, **kwargs)
            kwargs.update(self._wanted(backtest))
            stats, seconds = self._watched(original, backtest, (), kwargs)
            self._record(backtest, stats, kwargs, seconds)
            return stats

        return run

    def _wanted(self, backtest):
        """The parameters that were asked for and that the strategy has."""
        strategy = self.settings[id(backtest)][1]["strategy"]
        known = {k: v for k, v in self.request["params"].items() if hasattr(strategy, k)}
        for name in set(self.request["params"]) - set(known):
            self.notes.add("%s has no attribute %r to set" % (strategy.__name__, name))
        return known

    def _optimize(self, original):
        def optimize(backtest, *args, **kwargs):
            if self.depth.calls:
                return original(backtest, *args, **kwargs)
            # What is set is not searched for.
            kwargs.update({name: [value] for name, value in self._wanted(backtest).items()})
            self.tried.clear()
            found, seconds = self._watched(original, backtest, args, kwargs)
            stats = found[0] if isinstance(found, tuple) else found
            best = vars(stats["_strategy"]).get("_params", {})
            self.notes.add("optimize: the best combination is recorded")
            self._record(backtest, stats, best, seconds, len(self.tried))
            return found

        return optimize

    def _plot(self, original):
        def plot(backtest, *args, **kwargs):
            if not self.request["plots"]:
                self.notes.add(
                    "plot() wrote nothing; --plots DIR --python-engine original keeps its page"
                    if hasattr(backtesting, "_native")
                    else "plot() wrote nothing; --plots DIR keeps its page"
                )
                return None
            kwargs.update(filename=os.path.join(os.environ["TMPDIR"], "plot.html"), open_browser=False)
            shown = original(backtest, *args, **kwargs)
            with open(kwargs["filename"], "rb") as file:
                self.results.tell({"kind": "plot", "run": self.last}, file.read())
            return shown

        return plot

    def _record(self, backtest, stats, params, seconds, tried=None):
        settings = self.settings[id(backtest)][1]
        settings = {**settings, **settings.get("kwargs", {})}
        frame = getattr(backtest, "_data", None)
        if not isinstance(frame, pandas.DataFrame):
            frame = settings["data"]
        equity = numpy.ascontiguousarray(stats["_equity_curve"]["Equity"].to_numpy(), "<f8")
        trades, strategy = stats["_trades"], stats["_strategy"]
        head = {"kind": "run", "strategy": type(strategy).__name__, "params": plain(params)}
        head.update(rows=len(frame), trades=len(trades), elapsed_us=round(seconds * 1e6), tried=tried)
        head["account"] = account(settings)
        head["stats"] = {str(k): plain_value(v) for k, v in stats.items() if not str(k).startswith("_")}
        head["open"] = [open_trade(t) for t in strategy.trades]
        head["tags"], codes = tags(trades)
        columns = [equity, *(column(trades, name) for name in TRADE_COLUMNS), codes]
        own = not self._same(frame)
        head["own_bars"] = own
        head["from_given"] = self.given is not None and self.given.is_used
        if own:
            times = moments(frame)
            head["dated"] = times is not None
            columns += [] if times is None else [times]
            columns += [column(frame, name) for name in COLUMNS]
        head["no_trade"] = None
        if len(trades) == 0 and not head["open"]:
            head["no_trade"] = self._why_no_trade(frame, settings, strategy)
        with self.lock:
            self.notes.tell()
            self.results.tell(head, b"".join(c.tobytes() for c in columns))
            self.last = self.told
            self.told += 1

    def _same(self, frame):
        """Whether a run was on the bars of the batch. Prices may differ in their last bits: pandas reads numbers of
        sixteen and more digits quickly rather than exactly."""
        given, times = self.given, moments(frame)
        if given is None or times is None or len(frame) != given.rows or not numpy.array_equal(times, given.time):
            return False
        pairs = [(column(frame, name), getattr(given, name.lower())) for name in COLUMNS[:4]]
        return all(numpy.array_equal(a, b) or numpy.allclose(a, b, LAST_BITS, 0, equal_nan=True) for a, b in pairs)

    def _why_no_trade(self, frame, settings, strategy):
        if not self.orders:
            return tide_idle.no_order(strategy, len(frame))
        text = counted(self.orders, "order was", "orders were") + " placed and none was filled into a trade"
        unpaid = max(self.notes.unpaid, self._dropped(settings, strategy))
        if unpaid:
            text += "; %s cancelled, as the account could not pay" % counted(unpaid, "was", "were")
        if len(strategy.orders):
            text += "; %s waiting for a price at the end" % counted(len(strategy.orders), "was", "were")
        cash, margin = settings.get("cash", 10_000), settings.get("margin", 1) or 1
        low = float(frame["Low"].min())
        if low > cash / margin:
            text += "; one unit costs at least %.2f and the cash is %.2f: units are whole, so raise --cash" % (
                low,
                cash,
            )
        return text

    def _dropped(self, settings, strategy):
        """Orders that are neither filled nor pending, where nobody but the broker can have cancelled them."""
        if settings.get("exclusive_orders") or ".cancel(" in self.text:
            return 0
        return self.orders - len(strategy.orders)


def counted(count, one, many):
    return "%d %s" % (count, one if count == 1 else many)


def one_process():
    """Optimisation works in this process: others are not allowed, and shared memory is not needed."""

    class Frames:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def df2shm(self, frame):
            return frame

        @staticmethod
        def shm2df(frame):
            return frame, []

    class Pool:
        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def imap(self, function, items, *_):
            return map(function, items)

    class Executor(Pool):
        """What version 0.3 uses in place of a pool."""

        @staticmethod
        def submit(function, *args):
            future = concurrent.futures.Future()
            try:
                future.set_result(function(*args))
            except Exception as error:
                future.set_exception(error)
            return future

    backtesting.Pool = Pool
    inner = sys.modules.get("backtesting.backtesting")
    if hasattr(inner, "ProcessPoolExecutor"):
        inner.ProcessPoolExecutor = Executor
    for module in (inner, backtesting.lib):
        if hasattr(module, "SharedMemoryManager"):
            module.SharedMemoryManager = Frames


def combination(params):
    """What tells a search's combinations apart; a value is the same one whichever kind of number it is."""
    try:
        return hash(tuple(params.items()))
    except TypeError:
        return hash(tuple("%s=%s" % pair for pair in params.items()))


def fee(value):
    """A commission as the library takes it; `per unit` is the one it has no form for but a function."""
    if isinstance(value, dict):
        per_unit = value["per_unit"]
        return lambda size, price: abs(size) * per_unit
    return tuple(value) if isinstance(value, list) else value


def account(settings):
    names = ("cash", "commission", "spread", "margin", "trade_on_close", "hedging", "exclusive_orders")
    values = {name: plain_value(settings.get(name)) for name in (*names, "finalize_trades")}
    return {name: value for name, value in values.items() if value is not None}


def plain(params):
    return {str(k)[:TEXT_MAX]: plain_value(v) for k, v in params.items()}


def plain_value(value):
    """As JSON has it; numbers that it lacks become nothing."""
    if isinstance(value, (bool, numpy.bool_)):
        return bool(value)
    if isinstance(value, (int, numpy.integer)):
        return int(value) if -(2**63) <= int(value) < 2**63 else float(value)
    if isinstance(value, (float, numpy.floating)):
        return float(value) if numpy.isfinite(value) else None
    if value is None or value is pandas.NaT:
        return None
    if isinstance(value, types.FunctionType):
        return "a function"
    return str(value)[:TEXT_MAX]


def open_trade(trade):
    values = (trade.size, trade.entry_bar, trade.entry_price, trade.pl)
    tag = getattr(trade, "tag", None)
    return [plain_value(v) for v in values] + [str(tag)[:TEXT_MAX] if tag is not None else ""]


def tags(trades):
    if "Tag" not in trades.columns or not len(trades):
        return [], numpy.zeros(len(trades), "<i4")
    texts = ["" if t is None or t != t else str(t)[:TEXT_MAX] for t in trades["Tag"]]
    known = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    return list(known), numpy.array([known[t] for t in texts], "<i4")


def column(frame, name):
    """A column of numbers; NaN where there is none."""
    if name not in frame.columns:
        return numpy.full(len(frame), numpy.nan)
    return numpy.ascontiguousarray(pandas.to_numeric(frame[name], errors="coerce").to_numpy(), "<f8")


def moments(frame):
    """Times of the rows, nanoseconds UTC; none where they have none."""
    if not isinstance(frame.index, pandas.DatetimeIndex):
        return None
    return frame.index.values.astype("M8[ns]").view("<i8")
