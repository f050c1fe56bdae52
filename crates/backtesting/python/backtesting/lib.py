"""Helpers for strategies: comparing series, resampling, ready-made base strategies, fractions and many markets."""

from itertools import compress
from numbers import Number

import numpy as np

from . import _native
from ._signals import SignalStrategy, TrailingStrategy
from ._strategy import Strategy
from ._util import _Array, _as_str

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


def _ends(series):
    """What has the last two values of a series at -2 and -1."""
    if isinstance(series, Number):
        return (series, series)
    kind = type(series)
    return series.values if kind.__name__ == "Series" and kind.__module__.startswith("pandas") else series


def _crossover(series1, series2):
    first, second = _ends(series1), _ends(series2)
    try:
        return first[-2] < second[-2] and first[-1] > second[-1]
    except IndexError:
        return False


_native._set_crossover_fallback(_crossover)


def cross(series1, series2):
    """True if the series have just crossed, in either direction."""
    return crossover(series1, series2) or crossover(series2, series1)


def barssince(condition, default=np.inf):
    """Bars since the condition was last true; `default` if it never was."""
    return next(compress(range(len(condition)), reversed(condition)), default)


def quantile(series, quantile=None):
    """The series' quantile; without one, the share of its earlier values that lie below its last."""
    if quantile is not None:
        return np.nanpercentile(series, quantile * 100)
    try:
        return np.mean(series[:-1] < series[-1])
    except IndexError:
        return np.nan


def plot_heatmaps(heatmap, agg="max", *, ncols=3, plot_width=1200, filename="", open_browser=True):
    """Draws nothing."""


def compute_stats(*, stats, data, trades=None, risk_free_rate=0.0):
    """The statistics again, of some of the trades, or with another yearly risk-free rate (a fraction)."""
    from ._stats import recompute

    return recompute(stats, data, trades, risk_free_rate)


def resample_apply(rule, func, series, *args, agg=None, **kwargs):
    """`func` on the series resampled by the pandas rule, brought back to the series' own index: each bar sees the
    last bin that was complete. Inside `Strategy.init` the result is an indicator."""
    import pandas as pd

    if func is None:
        def func(values, *_, **__):
            return values

    if not isinstance(series, (pd.Series, pd.DataFrame)):
        if not isinstance(series, _Array):
            raise AssertionError(
                "resample_apply(series=) must be `pd.Series`, `pd.DataFrame`, or a `Strategy.data.*` array"
            )
        series = series.s
    if agg is None:
        agg = OHLCV_AGG.get(getattr(series, "name", ""), "last")
        if isinstance(series, pd.DataFrame):
            agg = {column: OHLCV_AGG.get(column, "last") for column in series.columns}
    resampled = series.resample(rule, label="right").agg(agg).dropna()
    resampled.name = _as_str(series) + "[" + rule + "]"

    def whole(values, *inner, **named):
        result = func(values, *inner, **named)
        if not isinstance(result, (pd.Series, pd.DataFrame)):
            result = np.asarray(result)
            kind = pd.Series if result.ndim == 1 else pd.DataFrame
            result = kind(result.T, index=values.index)
            result.name = values.name
        # Each bar has the last bin that was complete.
        onto = series.index
        return result.reindex(onto.union(result.index), method="ffill").reindex(onto)

    whole.__name__ = getattr(func, "__name__", type(func).__name__)
    strategy = _strategy_in_init()
    return whole(resampled, *args, **kwargs) if strategy is None else strategy.I(whole, resampled, *args, **kwargs)


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


from ._many import FractionalBacktest, MultiBacktest  # noqa: E402

__all__ = [
    "OHLCV_AGG", "TRADES_AGG", "barssince", "cross", "crossover", "plot_heatmaps", "quantile", "compute_stats",
    "resample_apply", "random_ohlc_data", "SignalStrategy", "TrailingStrategy", "FractionalBacktest", "MultiBacktest",
]
