"""RaptorBT: averages by its own `sma`, crosses by NumPy, one call for each fast length, which uses all threads: all
runs in one call keep every equity curve and take 1.5 GB."""

import os

os.environ["RAPTORBT_NO_VERSION_CHECK"] = "1"

import numpy as np
import raptorbt
from common import CASH, FAST, FEE, SLOW, bars, hand_back, main, measure


def config():
    return raptorbt.BacktestConfig(initial_capital=CASH, fees=FEE, fill_timing="next_bar_open")


def crosses(fast, slow):
    """Where the fast average goes from below to above, and the other way; equal or absent values are neither."""
    above, below = fast > slow, fast < slow
    entries, exits = np.zeros(len(fast), bool), np.zeros(len(fast), bool)
    entries[1:] = above[1:] & below[:-1]
    exits[1:] = below[1:] & above[:-1]
    return entries, exits


def sweep(path):
    time, o, h, l, c, v = bars(path)

    def work():
        averages = {n: raptorbt.sma(c, n) for n in {*FAST, *SLOW}}
        found = []
        for f in FAST:
            items = []
            for s in SLOW:
                entries, exits = crosses(averages[f], averages[s])
                items.append(raptorbt.BatchSingleItem(f"{f}/{s}", entries, exits))
            results = raptorbt.batch_single_backtest(time, o, h, l, c, v, items, config())
            found.extend((r.metrics.end_value, r.metrics.total_trades) for _, r in results)
        return found

    seconds, found = measure(work)
    hand_back(raptorbt.__version__, seconds, {"equity": [e for e, _ in found], "entries": [n for _, n in found]})


def single(path):
    time, o, h, l, c, v = bars(path)

    def work():
        entries, exits = crosses(raptorbt.sma(c, 10), raptorbt.sma(c, 30))
        result = raptorbt.run_single_backtest(time, o, h, l, c, v, entries, exits, config=config())
        return result.metrics.end_value, result.metrics.total_trades

    seconds, (equity, entries) = measure(work, repeats=50)
    hand_back(raptorbt.__version__, seconds, {"equity": equity, "entries": entries})


main({"sweep": sweep, "single": single})
