"""Helpers for strategies: comparing series, resampling, ready-made base strategies, fractions and many markets."""

from functools import partial
from numbers import Number

import numpy as np

from . import _native
from ._rules import OLD
from ._signals import SignalStrategy, TrailingStrategy
from ._strategy import Strategy
from ._util import _Array, short_name

OHLCV_AGG = {"Open": "first", "High": "max", "Low": "min", "Close": "last", "Volume": "sum"}
TRADES_AGG = {
    "Size": "sum",
    "EntryBar": "first",
    "ExitBar": "last",
    "EntryPrice": "mean",
    "ExitPrice": "mean",
    "PnL": "sum",
    "ReturnPct": "mean",
    "EntryTime": "first",
    "ExitTime": "last",
    "Duration": "sum",
}
_EQUITY_AGG = {"Equity": "last", "DrawdownPct": "max", "DrawdownDuration": "max"}

crossover = _native.crossover


def _last_two(series):
    if isinstance(series, Number):
        return series, series
    kind = type(series)
    by_place = series.iloc if kind.__name__ == "Series" and kind.__module__.startswith("pandas") else series
    return by_place[-2], by_place[-1]


def _crossover(series1, series2):
    try:
        (before1, now1), (before2, now2) = _last_two(series1), _last_two(series2)
    except IndexError:  # fewer than two values
        return False
    return before1 < before2 and now1 > now2


_native._set_crossover_fallback(_crossover)


def cross(series1, series2):
    """True if the series have just crossed, in either direction."""
    return crossover(series1, series2) or crossover(series2, series1)


def barssince(condition, default=np.inf):
    """Bars since the condition was last true; `default` if it never was."""
    for bars, held in enumerate(reversed(condition)):
        if held:
            return bars
    return default


def quantile(series, quantile=None):
    """The series' quantile; without one, the share of its earlier values that lie below its last."""
    if quantile is None:
        values = np.asarray(series)
        return np.mean(values[:-1] < values[-1]) if len(values) else np.nan
    if not 0 <= quantile <= 1:
        raise AssertionError(f"quantile={quantile}: a number between 0 and 1 is meant")
    return np.nanpercentile(series, quantile * 100)


def plot_heatmaps(heatmap, agg="max", *, ncols=3, plot_width=1200, filename="", open_browser=True):
    """Draws nothing."""


def compute_stats(*, stats, data, trades=None, risk_free_rate=0.0):
    """The statistics again, of some of the trades, or with another yearly risk-free rate (a fraction)."""
    from ._stats import recompute

    return recompute(stats, data, trades, risk_free_rate)


def resample_apply(rule, func, series, *args, agg=None, **kwargs):
    """`func` on the series resampled by the pandas rule, brought back to the series' own index: each bar sees the
    last bin that was complete. Inside `Strategy.init` the result is an indicator."""
    source = _as_pandas(series)
    bins = source.resample(rule, label="right").agg(_usual_aggregation(source) if agg is None else agg).dropna()
    bins.name = f"{short_name(source)}[{rule}]"

    def on_own_bars(values, *inner, **named):
        result = values if func is None else func(values, *inner, **named)
        return _spread(_with_index(result, values), source.index)

    on_own_bars.__name__ = "func" if func is None else getattr(func, "__name__", type(func).__name__)
    strategy = _strategy_in_init()
    declare = on_own_bars if strategy is None else partial(strategy.I, on_own_bars)
    return declare(bins, *args, **kwargs)


def _as_pandas(series):
    import pandas as pd

    if isinstance(series, _Array):
        return series.s
    if isinstance(series, (pd.Series, pd.DataFrame)):
        return series
    raise AssertionError(
        f"resample_apply: a series of pandas, a data frame or one of `self.data` is needed, this is {type(series).__name__}"
    )


def _usual_aggregation(source):
    """How prices and volumes of many bars become those of one; anything else is its last value."""
    if hasattr(source, "columns"):
        return {column: OHLCV_AGG.get(column, "last") for column in source}
    return OHLCV_AGG.get(source.name, "last")


def _with_index(result, values):
    """What a function made of `values`, with their index where it has none."""
    import pandas as pd

    if isinstance(result, (pd.Series, pd.DataFrame)):
        return result
    rows = np.asarray(result)
    made = pd.Series(rows, index=values.index) if rows.ndim == 1 else pd.DataFrame(rows.T, index=values.index)
    made.name = values.name
    return made


def _spread(result, bars):
    """Each bar has the last bin that was complete."""
    return result.reindex(bars.union(result.index), method="ffill").reindex(bars)


def _strategy_in_init():
    """The strategy whose `init` is running, looked for in the callers."""
    from inspect import currentframe

    frame = currentframe()
    frame = frame.f_back.f_back if frame and frame.f_back else None
    depth = 0
    while frame is not None and depth < 3:
        owner = frame.f_locals.get("self")
        if isinstance(owner, Strategy):
            return owner
        frame, depth = frame.f_back, depth + 1
    return None


def random_ohlc_data(example_data, *, frac=1.0, random_state=None):
    """Endless random data frames with the bars of the example in another order, gaps joined."""
    # The gap before each place in the example stays at its place, whatever bar comes there.
    gaps = example_data["Open"].to_numpy() - example_data["Close"].shift(1).to_numpy()
    while True:
        frame = example_data.sample(frac=frac, replace=frac > 1, random_state=random_state)
        frame.index = example_data.index
        shift = np.nan_to_num(frame["Close"].shift(1).to_numpy() + gaps - frame["Open"].to_numpy()).cumsum()
        for column in ("Open", "High", "Low", "Close"):
            frame[column] += shift
        yield frame


__all__ = [
    "OHLCV_AGG", "TRADES_AGG", "barssince", "cross", "crossover", "plot_heatmaps", "quantile", "compute_stats",
    "resample_apply", "random_ohlc_data", "SignalStrategy", "TrailingStrategy",
]
if not OLD:
    from ._many import FractionalBacktest, MultiBacktest  # noqa: F401

    __all__ += ["FractionalBacktest", "MultiBacktest"]
