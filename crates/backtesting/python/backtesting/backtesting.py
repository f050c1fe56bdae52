"""`Backtest`: a strategy on data."""

import contextlib
import inspect
from numbers import Number

import numpy as np

from . import _native
from ._native import Order, Position, Trade  # noqa: F401
from ._rules import OLD
from ._signals import signals_of
from ._strategy import Strategy, indicators_of, warmup_bars
from ._util import _Array, _Data, _Indicator, columns_of, place, warn  # noqa: F401

PRICES = ("Open", "High", "Low", "Close")

_Broker = _native._Broker
for _kind in (_Broker, Order, Position, Strategy, Trade):
    _kind.__module__ = __name__


class Backtest:
    """Runs `strategy`, a class derived from `Strategy`, on `data`, a frame with Open, High, Low, Close and, if known,
    Volume. Sizes, commissions and order rules are those of backtesting.py 0.6.6, or 0.3.3."""

    def __init__(
        self,
        data,
        strategy,
        *,
        cash=10_000,
        spread=0.0,
        commission=0.0,
        margin=1.0,
        trade_on_close=False,
        hedging=False,
        exclusive_orders=False,
        finalize_trades=False,
    ):
        if not (inspect.isclass(strategy) and issubclass(strategy, Strategy)):
            raise TypeError("`strategy` must be a Strategy sub-type")
        self._data = prepare(data, cash)
        self._strategy = strategy
        self._results = None
        self._finalize_trades = bool(finalize_trades)
        self._account = {
            "cash": cash,
            "spread": spread,
            "commission": commission,
            "margin": margin,
            "trade_on_close": bool(trade_on_close),
            "hedging": bool(hedging),
            "exclusive_orders": bool(exclusive_orders),
        }
        self._bars = None

    if OLD:
        _set_up = __init__

        def __init__(  # noqa: F811
            self,
            data,
            strategy,
            *,
            cash=10_000,
            commission=0.0,
            margin=1.0,
            trade_on_close=False,
            hedging=False,
            exclusive_orders=False,
        ):
            self._set_up(
                data, strategy, cash=cash, commission=commission, margin=margin, trade_on_close=trade_on_close,
                hedging=hedging, exclusive_orders=exclusive_orders,
            )

    def run(self, **kwargs):
        """Runs the strategy with these parameters; returns the statistics."""
        from ._stats import statistics_of

        strategy, warmup = self._simulate(kwargs)
        self._results = statistics_of(strategy, self._data, warmup, self._rows_of_time)
        return self._results

    def _simulate(self, params):
        if self._bars is None:
            self._bars = bars_of(self._data)
        bars, self._rows_of_time = self._bars
        check_account(**self._account)
        columns = columns_of(self._data)
        data = _Data(self._data, columns)
        broker = _Broker(data=data, bars=bars, finalize_trades=self._finalize_trades, **self._account)
        missing = getattr(self._strategy, "__abstractmethods__", ())
        if missing:
            names = ", ".join(sorted(missing))
            raise TypeError(f"Can't instantiate abstract class {self._strategy.__name__} with abstract method {names}")
        strategy = self._strategy(broker, data, params)
        strategy.init()
        warmup = warmup_bars(strategy)
        self._read_again(columns, data, broker, warmup + 1)
        signals = signals_of(strategy)
        with np.errstate(invalid="ignore"):
            if signals is None:
                _native._run(strategy, broker, data, indicators_of(strategy), warmup + 1)
            else:
                _native._run_signals(broker, *signals, warmup + 1)
        return strategy, warmup

    def _read_again(self, columns, data, broker, start):
        """Takes over what `init` has made of the frame (`self.data.df["Trend"] = ...`): columns and prices."""
        frame, (bars, _), count = data._own, self._bars, len(self._data)
        if frame is not None:
            now = columns_of(frame)
            if list(now) != list(columns) or list(map(place, now.values())) != list(map(place, columns.values())):
                columns.clear()
                columns.update(now)
                data._update()
        if start >= count:
            # No bar is simulated.
            return
        missing = [name for name in PRICES if name not in columns]
        if missing:
            raise KeyError(missing[0])
        prices = [np.ascontiguousarray(columns[name], dtype=float) for name in PRICES]
        if bars._has(prices):
            return
        rows = len(prices[0])
        if rows < count:
            raise IndexError(
                f"index {rows} is out of bounds for axis 0 with size {rows}: `init` took rows out of the data "
                "(`self.data.df`); take them out of the frame that Backtest is given"
            )
        # What was changed where it stands is changed in the data, too.
        self._bars = bars_of(self._data)
        broker._take(bars._with([price[:count] for price in prices]), self._bars[0])

    def optimize(self, *, maximize="SQN", method="grid", max_tries=None, constraint=None, return_heatmap=False,
                 return_optimization=False, random_state=None, **kwargs):
        """Runs the strategy with every combination of the given parameter values; returns the best's statistics."""
        from ._optimize import optimize

        return optimize(
            self, kwargs, maximize=maximize, method=method, max_tries=max_tries, constraint=constraint,
            return_heatmap=return_heatmap, return_optimization=return_optimization, random_state=random_state,
        )

    def plot(self, *, results=None, filename=None, **kwargs):
        """Draws nothing; checks only that there is a result."""
        if results is None and self._results is None:
            raise RuntimeError("First issue `backtest.run()` to obtain results.")


def prepare(data, cash):
    """A checked copy of the data, in order of time."""
    import pandas as pd

    if not isinstance(data, pd.DataFrame):
        raise TypeError("`data` must be a pandas.DataFrame with columns")
    data = data.copy(deep=False)
    index = data.index
    # Large numbers that are no plain count are taken for dates.
    if (
        not isinstance(index, (pd.DatetimeIndex, pd.RangeIndex))
        and pd.api.types.is_any_real_numeric_dtype(index.dtype)
        and (index > pd.Timestamp("1975").timestamp()).mean() > 0.8
    ):
        with contextlib.suppress(ValueError):
            data.index = pd.to_datetime(index)
    if "Volume" not in data:
        data["Volume"] = np.nan
    if len(data) == 0:
        raise ValueError("OHLC `data` is empty")
    missing = [name for name in ("Open", "High", "Low", "Close") if name not in data]
    if missing:
        hint = ""
        lower = {str(name).strip().lower(): name for name in data}
        found = [lower[name.lower()] for name in missing if name.lower() in lower]
        if found:
            hint = f"; rename {found} to {[str(name).strip().capitalize() for name in found]}"
        raise ValueError(
            "`data` must be a pandas.DataFrame with columns 'Open', 'High', 'Low', 'Close', and (optionally) 'Volume': "
            f"{missing} missing{hint}"
        )
    if data[["Open", "High", "Low", "Close"]].isnull().values.any():
        raise ValueError(
            "Some OHLC values are missing (NaN). Please strip those lines with `df.dropna()` or fill them in with "
            "`df.interpolate()` or whatever."
        )
    if np.any(data["Close"] > cash):
        warn(
            "Some prices are larger than initial cash value. Note that fractional trading is not supported by this "
            "class. If you want to trade Bitcoin, increase initial cash, or trade μBTC or satoshis instead"
            + ("." if OLD else " (see e.g. class `backtesting.lib.FractionalBacktest`.")
        )
    if not data.index.is_monotonic_increasing:
        warn("Data index is not sorted in ascending order. Sorting.")
        data = data.sort_index()
    if not isinstance(data.index, pd.DatetimeIndex):
        warn("Data index is not datetime. Assuming simple periods, but `pd.DateTimeIndex` is advised.")
    return data


def bars_of(data):
    """Prices for the engine, and how its times are read."""
    from ._stats import times_of

    times = times_of(data.index)
    prices = [np.ascontiguousarray(data[name], dtype=float) for name in PRICES]
    return _native._Bars(times.engine.tolist(), prices), times


def check_account(*, cash, commission, margin, **_others):
    """Raises what the original raises for settings outside their range."""
    assert cash > 0, f"cash should be > 0, is {cash}"
    assert 0 < margin <= 1, f"margin should be between 0 and 1, is {margin}"
    if OLD:
        if not isinstance(commission, Number):
            raise TypeError(
                "`commission` must be a float value, percent of entry order price (version 0.3.3 has neither fixed "
                "commissions nor functions)"
            )
    elif callable(commission):
        return
    if isinstance(commission, (str, bytes)) or not isinstance(commission, (tuple, list, int, float, np.number)):
        raise TypeError(
            "`commission` must be a float percent of order value, a tuple of `(fixed, relative)` commission, or a "
            "function that takes `(order_size, price)` and returns commission dollar value"
        )
    fixed, relative = (0, commission) if not isinstance(commission, (tuple, list)) else commission
    assert fixed >= 0, "Need fixed cash commission in $ >= 0"
    assert -0.1 <= relative < 0.1, (
        f"commission should be between -10% (e.g. market-maker's rebates) and 10% (fees), is {relative}"
    )
