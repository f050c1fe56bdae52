"""vectorbt's final equity and number of entries for the SMA cross sweep, beside ours.

    python bench/vectorbt_sma_cross.py BTC-USD-15m.csv [OURS.csv] > vectorbt.csv

Strict cross decided at the close, filled at the next open, 0.1 % a side, all-in, long or flat, 100,000 in cash; the
averages are rolling means (oldest value off, then newest on). Rows: fast,slow,equity,entries; the first is 10/30, then
5..50 x 55..200 step 5. OURS.csv has the same rows (`sweep_speed DATA --values vectorbt`): the difference goes to stderr.
"""

import csv
import sys

import numpy as np
import pandas as pd
import vectorbt as vbt

COLUMNS = 60  # combinations simulated together: more only costs memory


def rolling_mean(values, window):
    out = np.full(len(values), np.nan)
    total = 0.0
    for i, value in enumerate(values):
        if i >= window:
            total -= values[i - window]
        total += value
        if i + 1 >= window:
            out[i] = total / window
    return out


def later(signals):
    """Signals one bar later: decided at a close, filled at the next open."""
    out = np.zeros_like(signals)
    out[1:] = signals[:-1]
    return out


def simulate(open_, close, means, combos):
    fast = np.column_stack([means[f] for f, _ in combos])
    slow = np.column_stack([means[s] for _, s in combos])
    above, below = fast > slow, fast < slow
    enter, leave = np.zeros_like(above), np.zeros_like(above)
    enter[1:] = above[1:] & below[:-1]
    leave[1:] = below[1:] & above[:-1]
    wide = lambda column: pd.DataFrame(np.repeat(column[:, None], len(combos), axis=1))
    portfolio = vbt.Portfolio.from_signals(
        wide(close), later(enter), later(leave), price=wide(open_), init_cash=100_000.0, fees=0.001
    )
    orders = portfolio.orders.records
    buys = orders["col"][orders["side"] == 0]
    entries = np.bincount(np.asarray(buys, dtype=int), minlength=len(combos))
    return zip(portfolio.final_value().to_numpy(), entries)


def main():
    bars = pd.read_csv(sys.argv[1], skipinitialspace=True)
    open_, close = bars["open"].to_numpy(float), bars["close"].to_numpy(float)
    combos = [(10, 30)] + [(f, s) for f in range(5, 51) for s in range(55, 201, 5)]
    means = {w: rolling_mean(close, w) for w in {w for pair in combos for w in pair}}
    rows = []
    for at in range(0, len(combos), COLUMNS):
        part = combos[at : at + COLUMNS]
        rows += [(*pair, float(e), int(n)) for pair, (e, n) in zip(part, simulate(open_, close, means, part))]
    for row in rows:
        print("%d,%d,%r,%d" % row)
    if len(sys.argv) > 2:
        compare(rows, sys.argv[2])


def compare(rows, path):
    with open(path, newline="") as file:
        ours = {(int(f), int(s)): (float(e), int(n)) for f, s, e, n in csv.reader(file)}
    missing = [row for row in rows if row[:2] not in ours]
    both = [(row, ours[row[:2]]) for row in rows if row[:2] in ours]
    worst = max((abs(e - row[2]) / row[2] for row, (e, _) in both), default=float("nan"))
    counts = [row[:2] for row, (_, n) in both if n != row[3]]
    print(
        f"{len(both)} combinations compared, {len(missing)} missing; largest relative difference of the final"
        f" equity {worst:.3g}; {len(counts)} with another number of entries {counts[:5]}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
