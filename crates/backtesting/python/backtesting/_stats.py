"""The statistics as pandas objects."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import _native
from ._rules import OLD

#: Every key that a result may have.
NAMES = (*_native._statistic_names(), "_strategy", "_equity_curve", "_trades")


class _Stats(pd.Series):
    """A run's statistics; prints numbers with five decimals, what is undefined as `--`."""

    @property
    def _constructor(self):
        return _Stats

    def __repr__(self):
        if OLD:
            with pd.option_context("display.max_colwidth", 20, "display.max_rows", 200):
                return super().__repr__()
        with pd.option_context("display.max_colwidth", 20, "display.max_rows", 200, "display.precision", 5):
            return super().to_string(na_rep="--") + "\ndtype: object"


@dataclass
class Times:
    """The index as the engine takes it."""

    #: Time since the epoch in `unit`, or plain numbers.
    engine: np.ndarray
    #: "ms" or "ns"; none for plain numbers.
    unit: str | None
    #: What the index's own clock shows, where that is not UTC.
    wall: list | None = None


def times_of(index):
    """Reads the index."""
    if not isinstance(index, pd.DatetimeIndex):
        whole = pd.api.types.is_integer_dtype(index.dtype)
        return Times(index.to_numpy().astype("int64") if whole else np.arange(len(index)), None)
    ticks_per_ms = {"s": 0.001, "ms": 1, "us": 1_000, "ns": 1_000_000}[getattr(index, "unit", "ns")]
    unit = "ns" if ticks_per_ms > 1 and (index.asi8 % ticks_per_ms).any() else "ms"
    wall = _ticks(index.tz_localize(None), unit).tolist() if index.tz is not None else None
    return Times(_ticks(index, unit), unit, wall)


def _ticks(index, unit):
    """Time since the epoch, of UTC where the index has a zone."""
    if index.tz is not None:
        index = index.tz_convert("UTC").tz_localize(None)
    return index.to_numpy().astype(f"datetime64[{unit}]").astype("int64")


def trades_frame(broker, index, indicators):
    """The trade table."""
    columns = broker._trade_columns()
    tags = columns.pop("Tag")
    entries, exits = (np.asarray(columns[name], dtype=int) for name in ("EntryBar", "ExitBar"))
    columns["EntryTime"], columns["ExitTime"] = index[entries], index[exits]
    if isinstance(index, pd.DatetimeIndex):
        columns["EntryTime"], columns["ExitTime"] = (_usual(columns[name]) for name in ("EntryTime", "ExitTime"))
    columns["Duration"] = columns["ExitTime"] - columns["EntryTime"]
    if OLD:
        return pd.DataFrame(columns)
    columns["Tag"] = tags
    if len(entries):
        for indicator in indicators:
            rows = np.atleast_2d(np.asarray(indicator))
            for k, row in enumerate(rows):
                suffix = f"_{k}" if len(rows) > 1 else ""
                columns[f"Entry_{indicator.name}{suffix}"] = row[entries]
                columns[f"Exit_{indicator.name}{suffix}"] = row[exits]
    return pd.DataFrame(columns)


def _usual(times):
    """In the resolution that this pandas keeps such tables in."""
    return times.as_unit("ns") if hasattr(times, "as_unit") and int(pd.__version__.split(".")[0]) < 3 else times


def equity_frame(equity, episodes, index):
    """The equity curve with its falls."""
    falls = 1 - equity / np.maximum.accumulate(equity)
    if episodes:
        starts, ends = np.array(episodes).T
        lengths = index[ends] - index[starts]
        is_time = isinstance(lengths, pd.TimedeltaIndex)
        lengths = _usual(lengths).values if is_time else lengths.values
        unknown = np.timedelta64("NaT") if is_time else np.nan
        durations = np.full(len(index), unknown, lengths.dtype if is_time else float)
        durations[ends] = lengths
    else:
        durations = np.where(falls == 0, np.nan, falls)
    return pd.DataFrame({"Equity": equity, "DrawdownPct": falls, "DrawdownDuration": durations}, index=index)


def statistics_of(strategy, data, warmup, times, risk_free_rate=0.0):
    """The statistics of a finished run."""
    broker, index = strategy._broker, data.index
    results = broker._statistics(warmup, times.unit, times.wall, risk_free_rate)
    trades = trades_frame(broker, index, strategy._indicators)
    return _series(results, index, strategy, trades)


def _series(results, index, strategy, trades):
    if not isinstance(index, pd.DatetimeIndex) and not pd.api.types.is_integer_dtype(index.dtype):
        raise TypeError(
            f"the data's index is of type {index.dtype}: lengths of time cannot be taken on it; "
            "use a `pd.DatetimeIndex` (`df.index = pd.to_datetime(df.index)`) or whole numbers"
        )
    rows = results["rows"]
    dated = isinstance(index, pd.DatetimeIndex)
    rows["Start"], rows["End"] = index[0], index[-1]
    rows["Duration"] = index[-1] - index[0]
    for name, value in rows.items():
        if isinstance(value, tuple):
            rows[name] = pd.Timedelta(value[1], value[0])
    # Where all was lost, the original's means are a whole zero, which prints as one.
    if not OLD and results["equity"][-1] <= 0 and dated and rows["Return (Ann.) [%]"] == 0:
        rows["Return (Ann.) [%]"] = 0
    if len(trades) and not dated:
        rows["Max. Trade Duration"] = trades["Duration"].max()
    if len(trades) and trades["ReturnPct"].min() <= -1:
        rows["Avg. Trade [%]"] = 0
    if OLD and not dated:
        # All of them numbers, as they are in one array.
        rows = {name: float(value) for name, value in rows.items()}
    rows["_strategy"] = strategy
    rows["_equity_curve"] = equity_frame(results["equity"], results["episodes"], index)
    rows["_trades"] = trades
    # One by one: numpy would look into the tables for more dimensions.
    values = np.empty(len(rows), dtype=object)
    for k, value in enumerate(rows.values()):
        values[k] = value
    return _Stats(values, index=list(rows))


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
    columns = [trades[name].to_numpy(dtype=float) for name in ("Size", "EntryPrice", "ExitPrice")]
    columns.append(np.zeros(len(trades)) if OLD else trades["Commission"].to_numpy(dtype=float))
    places = [trades[name].astype(int).tolist() for name in ("EntryBar", "ExitBar")]
    strategy = stats["_strategy"]
    results = _native._compute_statistics(
        bars, times.unit, times.wall, equity, *columns, *places, warmup_bars(strategy), risk_free_rate
    )
    # What was paid is a run's own to tell.
    results["rows"].pop("Commissions [$]", None)
    return _series(results, data.index, strategy, trades)
