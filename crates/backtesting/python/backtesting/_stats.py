"""The statistics as pandas objects."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import _native

#: Every key that a result may have.
NAMES = (*_native._statistic_names(), "_strategy", "_equity_curve", "_trades")


class _Stats(pd.Series):
    """A run's statistics; prints numbers with five decimals, what is undefined as `--`."""

    @property
    def _constructor(self):
        return _Stats

    def __repr__(self):
        with pd.option_context("display.max_colwidth", 20, "display.max_rows", 200, "display.precision", 5):
            return super().to_string(na_rep="--") + "\ndtype: object"


@dataclass
class Times:
    """The index as the engine takes it."""

    #: Milliseconds since the epoch, or plain numbers.
    engine: np.ndarray
    is_datetime: bool


def times_of(index):
    """Reads the index."""
    if isinstance(index, pd.DatetimeIndex):
        return Times(index.astype("int64").to_numpy() // _per_millisecond(index), True)
    numeric = pd.api.types.is_any_real_numeric_dtype(index.dtype)
    return Times(index.to_numpy().astype("int64") if numeric else np.arange(len(index)), False)


def _per_millisecond(index):
    return {"s": 0, "ms": 1, "us": 1_000, "ns": 1_000_000}[index.unit]


def trades_frame(broker, index, indicators):
    """The trade table."""
    columns = broker._trade_columns()
    tags = columns.pop("Tag")
    trades = pd.DataFrame(columns)
    trades["EntryTime"] = index[np.asarray(columns["EntryBar"], dtype=int)]
    trades["ExitTime"] = index[np.asarray(columns["ExitBar"], dtype=int)]
    trades["Duration"] = trades["ExitTime"] - trades["EntryTime"]
    trades["Tag"] = tags
    if len(trades):
        for indicator in indicators:
            rows = np.atleast_2d(indicator)
            for k, row in enumerate(rows):
                suffix = f"_{k}" if len(rows) > 1 else ""
                trades[f"Entry_{indicator.name}{suffix}"] = row[trades["EntryBar"].values]
                trades[f"Exit_{indicator.name}{suffix}"] = row[trades["ExitBar"].values]
    return trades


def equity_frame(equity, episodes, index):
    """The equity curve with its falls."""
    falls = 1 - equity / np.maximum.accumulate(equity)
    if episodes:
        ends = [end for _, end in episodes]
        lengths = pd.Series([index[end] - index[start] for start, end in episodes], index=index[ends])
        durations = lengths.reindex(index) if index.is_unique else _spread(lengths, ends, index)
    else:
        durations = np.where(falls == 0, np.nan, falls)
    return pd.DataFrame({"Equity": equity, "DrawdownPct": falls, "DrawdownDuration": durations}, index=index)


def _spread(lengths, ends, index):
    spread = pd.Series(index=range(len(index)), dtype=lengths.dtype)
    spread.iloc[ends] = lengths.values
    return spread.values


def statistics_of(strategy, data, warmup, times, risk_free_rate=0.0):
    """The statistics of a finished run."""
    broker, index = strategy._broker, data.index
    results = broker._statistics(warmup, times.is_datetime, None, risk_free_rate)
    trades = trades_frame(broker, index, strategy._indicators)
    return _series(results, index, strategy, trades)


def _series(results, index, strategy, trades):
    rows = results["rows"]
    rows["Start"], rows["End"] = index[0], index[-1]
    rows["Duration"] = index[-1] - index[0]
    for name, value in rows.items():
        if isinstance(value, tuple):
            rows[name] = pd.Timedelta(value[1], "ms")
    rows["_strategy"] = strategy
    rows["_equity_curve"] = equity_frame(results["equity"], results["episodes"], index)
    rows["_trades"] = trades
    return _Stats(list(rows.values()), index=list(rows), dtype=object)


def recompute(stats, data, trades, risk_free_rate):
    """The statistics of a result again; of other trades, with an equity that has each trade's profit from
    its entry on."""
    from ._strategy import warmup_bars
    from .backtesting import bars_of

    equity = stats["_equity_curve"]["Equity"].to_numpy(dtype=float)
    if trades is None:
        trades = stats["_trades"]
    else:
        equity = np.full(len(equity), equity[0])
        for bar, profit in zip(trades["EntryBar"], trades["PnL"]):
            equity[bar:] += profit
    bars, times = bars_of(data)
    columns = [trades[name].to_numpy(dtype=float) for name in ("Size", "EntryPrice", "ExitPrice", "Commission")]
    places = [trades[name].astype(int).tolist() for name in ("EntryBar", "ExitBar")]
    strategy = stats["_strategy"]
    results = _native._compute_statistics(
        bars, times.is_datetime, None, equity, *columns, *places, warmup_bars(strategy), risk_free_rate
    )
    return _series(results, data.index, strategy, trades)
