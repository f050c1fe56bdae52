"""vectorbt with its Rust engine. The sweep goes in slices of one fast length, since all at once needs too much memory."""

import numpy as np
import pandas as pd
import vectorbt as vbt
from common import CASH, FAST, FEE, SLOW, bars, hand_back, main, measure, rolling_mean

VERSION = f"{vbt.__version__} (Rust engine)"


def portfolio(frame, close, open_, fast, slow):
    """Crosses decided at the close, filled at the next open. `fast` and `slow` are frames of equal shape."""
    above, below = fast > slow, fast < slow
    before = {"above": np.roll(above, 1, axis=0), "below": np.roll(below, 1, axis=0)}
    entries, exits = above & before["below"], below & before["above"]
    # One bar later, when the order is filled.
    entries, exits = np.roll(entries, 1, axis=0), np.roll(exits, 1, axis=0)
    entries[:2], exits[:2] = False, False
    price = np.broadcast_to(open_[:, None], fast.shape)
    return vbt.Portfolio.from_signals(
        pd.DataFrame(np.broadcast_to(close[:, None], fast.shape), index=frame),
        pd.DataFrame(entries, index=frame),
        pd.DataFrame(exits, index=frame),
        price=pd.DataFrame(price, index=frame),
        init_cash=CASH,
        fees=FEE,
        freq="15min",
        engine="rust",
    )


def sweep(path, statistics):
    time, open_, _, _, close, _ = bars(path)
    index = pd.DatetimeIndex(time)
    known = {n: rolling_mean(close, n) for n in (*FAST, *SLOW)}

    def work():
        slow = np.column_stack([known[s] for s in SLOW])
        equity, entries = [], []
        for f in FAST:
            fast = np.broadcast_to(known[f][:, None], slow.shape)
            run = portfolio(index, close, open_, fast, slow)
            equity.extend(run.final_value().to_numpy().tolist())
            entries.extend(run.trades.count().to_numpy().tolist())
            if statistics == "statistics":
                run.sharpe_ratio()
                run.max_drawdown()
        return equity, entries

    # One round of this takes many seconds; a shorter one warms up.
    warm = np.column_stack([known[55]])
    portfolio(index, close, open_, warm, warm).final_value()
    seconds, (equity, entries) = measure(work, repeats=5, budget_s=12.0, warm_up=False)
    hand_back(VERSION, seconds, {"equity": equity, "entries": entries})


def single(path):
    time, open_, _, _, close, _ = bars(path)
    index = pd.DatetimeIndex(time)
    known = {n: rolling_mean(close, n) for n in (10, 30)}

    def work():
        run = portfolio(index, close, open_, known[10][:, None], known[30][:, None])
        run[0].stats()
        return run.final_value().iloc[0], int(run.trades.count().iloc[0])

    seconds, (equity, entries) = measure(work, repeats=20, budget_s=10.0)
    hand_back(VERSION, seconds, {"equity": float(equity), "entries": entries})


main({"sweep": sweep, "single": single})
