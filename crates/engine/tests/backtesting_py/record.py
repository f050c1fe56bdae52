"""Records random scenarios together with what backtesting.py makes of them, one JSON object per line.

    pip install backtesting==0.6.6
    python record.py COUNT SEED [small] > scenarios.jsonl

With version 0.3.3 on the path it records what that makes of them, less what it does not know (spread, fixed and
callable commissions, tags): `golden_0_3.jsonl` is `python record.py 60 1 small` there.

A scenario is bars, settings, and per bar a list of operations; `main.rs` replays it. `small` keeps it
short (what is committed as golden.jsonl: `python record.py 60 1 small`). Operations name prices as factors
of the current close, so both sides compute the same number:

    ["o", size, limit, stop, sl, tp, tag]   buy (size > 0 or "buy": all) or sell; factors or null
    ["c", k, portion]                       close a portion of open trade k modulo their number
    ["p", portion]                          close a portion of the position
    ["s", k, factor], ["t", k, factor]      set or remove (null) the stop loss or take profit of trade k
    ["x", k]                                cancel pending order k modulo their number
"""

import contextlib
import json
import math
import random
import sys
import warnings

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy, __version__

#: The version that scripts were written for before commissions were paid in cash.
OLD = __version__.startswith("0.3")

INDEXES = ["D", "B", "15min", "1h", "4h", "W", "MS", "1min", "90s", "36h", "365D", "number"]


def fee_signed(size, price):
    """Asymmetric on purpose: it shows which sign and price the broker passes."""
    return 0.5 + abs(size) * 0.01 + (price * 1e-3 if size > 0 else price * 5e-4)


COMMISSIONS = [
    lambda r: 0.0,
    lambda r: round(r.uniform(0, 0.01), 5),
    lambda r: -round(r.uniform(0, 0.002), 5),
    lambda r: [round(r.uniform(0, 20), 2), round(r.uniform(0, 0.005), 5)],
    lambda r: "signed",
]


def make_bars(r, n):
    digits = r.choice([0, 1, 2, 4])
    price = 10 ** r.uniform(0.5, 4)
    vol = r.choice([0.003, 0.01, 0.03, 0.1])
    tick = 10.0 ** -digits
    rows = []
    for _ in range(n):
        opened = price * (1 + (r.gauss(0, vol) if r.random() < 0.3 else 0))
        path = [opened]
        for _ in range(4):
            path.append(max(path[-1] * (1 + r.gauss(0, vol / 2)), price * 0.2))
        row = [max(round(x, digits), tick) for x in (opened, max(path), min(path), path[-1])]
        rows.append(row)
        price = max(path[-1], 2 * tick)
    return rows


def make_index(r, n):
    kind = r.choice(INDEXES)
    if kind == "number":
        return kind, list(range(n))
    start = pd.Timestamp("2020-01-01") + pd.Timedelta(hours=r.randrange(20000) if kind not in "D B W MS 365D" else 0)
    index = pd.date_range(start, periods=n * 2, freq=kind)
    if r.random() < 0.4:
        keep = sorted(r.sample(range(n * 2), n))
        if r.random() < 0.5:
            keep = [k for k in range(n * 2) if r.random() > 0.1][:n]
        index = index[keep]
    index = index[:n]
    return kind, [int(t.value // 1_000_000) for t in index.astype("datetime64[ns]")]


def near(r, wide):
    return round(1 + r.gauss(0, wide), 4)


def make_order(r, wide):
    sign = r.choice([1, -1])
    size = r.choice([None, round(r.uniform(0.01, 0.99), 3), r.randint(1, 30), r.randint(1, 400), 0.9999])
    limit = near(r, wide) if r.random() < 0.35 else None
    stop = near(r, wide) if r.random() < 0.35 else None
    ref = limit or stop or 1.0
    sl = round(ref - sign * abs(r.gauss(0, wide * 1.5)) - sign * 1e-4, 4) if r.random() < 0.5 else None
    tp = round(ref + sign * abs(r.gauss(0, wide * 1.5)) + sign * 1e-4, 4) if r.random() < 0.5 else None
    if r.random() < 0.03:
        sl, tp = tp, sl
    side = "buy" if sign > 0 else "sell"
    return ["o", sign * size if size else side, limit, stop, sl, tp, r.choice([None, 1, 2, 3])]


def make_ops(r, n, activity, wide):
    ops = []
    for _ in range(n):
        now = []
        while r.random() < activity and len(now) < 6:
            kind = r.random()
            if kind < 0.5:
                now.append(make_order(r, wide))
            elif kind < 0.65:
                now.append(["c", r.randrange(8), r.choice([1.0, 0.5, 0.25, round(r.uniform(0.01, 1), 3)])])
            elif kind < 0.72:
                now.append(["p", r.choice([1.0, 0.5, round(r.uniform(0.01, 1), 3)])])
            elif kind < 0.82:
                now.append(["s", r.randrange(8), near(r, wide * 1.5) if r.random() < 0.85 else None])
            elif kind < 0.92:
                now.append(["t", r.randrange(8), near(r, wide * 1.5) if r.random() < 0.85 else None])
            else:
                now.append(["x", r.randrange(8)])
        ops.append(now)
    return ops


def make(seed, small):
    r = random.Random(seed)
    n = r.randint(25, 70) if small else r.randint(40, 400)
    kind, times = make_index(r, n)
    n = len(times)
    return {
        "seed": seed,
        "index": kind,
        "time": times,
        "bars": make_bars(r, n),
        "warmup": r.choice([0, 0, 0, 1, 5, 20]),
        "cash": r.choice([1000, 10_000, 100_000, 1_000_000, round(10 ** r.uniform(2, 6), 2)]),
        "spread": r.choice([0.0, 0.0, 0.0002, 0.002]),
        "commission": r.choice(COMMISSIONS)(r),
        "margin": r.choice([1, 1, 0.5, 0.1, 0.05, 0.02]),
        "trade_on_close": r.random() < 0.3,
        "hedging": r.random() < 0.3,
        "exclusive_orders": r.random() < 0.25,
        "finalize_trades": r.random() < 0.5,
        "ops": make_ops(r, n, r.choice([0.05, 0.2, 0.5, 0.7]), r.choice([0.005, 0.02, 0.06])),
    }


def for_old_version(s):
    """The scenario without what version 0.3.3 does not know."""
    commission = s["commission"]
    if not isinstance(commission, float):
        commission = commission[1] if isinstance(commission, list) else 0.001
    orders = (op for ops in s["ops"] for op in ops if op[0] == "o")
    for op in orders:
        op[6] = None
    return {**s, "version": __version__, "spread": 0.0, "commission": commission}


class Replay(Strategy):
    scenario = None

    def init(self):
        w = self.scenario["warmup"]
        n = len(self.data)
        self.refused = 0
        self.probes = []
        if w:
            self.warm = self.I(lambda: np.r_[np.full(min(w, n), np.nan), np.ones(max(n - w, 0))], name="warm")

    def next(self):
        i = len(self.data) - 1
        close = self.data.Close[-1]
        for op in self.scenario["ops"][i]:
            self.apply(op, close)
        p = self.position
        self.probes.append([i, len(self.orders), len(self.trades), int(p.size), float(p.pl), float(p.pl_pct), float(self.equity)])

    def apply(self, op, close):
        price = lambda f: None if f is None else close * f
        kind = op[0]
        if kind == "o":
            size, limit, stop, sl, tp, tag = op[1:]
            args = dict(limit=price(limit), stop=price(stop), sl=price(sl), tp=price(tp))
            if tag is not None:
                args["tag"] = tag
            if size not in ("buy", "sell"):
                args["size"] = abs(size)
            try:
                (self.buy if size == "buy" or size != "sell" and size > 0 else self.sell)(**args)
            except ValueError:
                self.refused += 1
        elif kind == "p":
            self.position.close(op[1])
        elif kind == "x":
            if self.orders:
                # Version 0.3.3 cancels an order that closes a trade, and then stops at an assertion.
                with contextlib.suppress(AssertionError):
                    self.orders[op[1] % len(self.orders)].cancel()
        elif self.trades:
            trade = self.trades[op[1] % len(self.trades)]
            if kind == "c":
                trade.close(op[2])
            elif kind == "s":
                trade.sl = price(op[2])
            else:
                trade.tp = price(op[2])


def plain(value):
    """JSON without NaN: those and infinities are words, times and durations milliseconds."""
    if value is None or isinstance(value, str):
        return value
    if value is pd.NaT:
        return "nan"
    if isinstance(value, pd.Timestamp):
        return int(value.as_unit("ns").value // 1_000_000)
    if isinstance(value, pd.Timedelta):
        return {"ms": int(value.as_unit("ns").value // 1_000_000)}
    if isinstance(value, (int, np.integer)):
        return int(value)
    value = float(value)
    return value if math.isfinite(value) else str(value)


def record(s):
    rows = pd.DataFrame(s["bars"], columns=["Open", "High", "Low", "Close"], dtype=float)
    index = s["time"] if s["index"] == "number" else pd.to_datetime(s["time"], unit="ms")
    rows.index = index
    commission = fee_signed if s["commission"] == "signed" else s["commission"]
    if isinstance(commission, list):
        commission = tuple(commission)
    new = {} if OLD else {"spread": s["spread"], "finalize_trades": s["finalize_trades"]}
    test = Backtest(rows, Replay, cash=s["cash"], commission=commission, margin=s["margin"],
                    trade_on_close=s["trade_on_close"], hedging=s["hedging"],
                    exclusive_orders=s["exclusive_orders"], **new)
    stats = test.run(scenario=s)
    trades = stats["_trades"]
    columns = ["Size", "EntryBar", "ExitBar", "EntryPrice", "ExitPrice", "SL", "TP", "Tag", "PnL", "ReturnPct", "Commission"]
    none = lambda v: None if v is None or v != v else plain(v)
    s["expect"] = {
        "trades": [[none(row.get(c)) for c in columns] for _, row in trades.iterrows()],
        "equity": [plain(x) for x in stats["_equity_curve"]["Equity"]],
        "stats": {k: plain(v) for k, v in stats.items() if not k.startswith("_")},
        "refused": stats["_strategy"].refused,
        "probes": [[plain(x) for x in p] for p in stats["_strategy"].probes],
    }
    return s


def main():
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    small = "small" in sys.argv
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    for k in range(count):
        try:
            scenario = make(seed * 1_000_000 + k, small)
            scenario = for_old_version(scenario) if OLD else scenario
            with contextlib.redirect_stderr(open("/dev/null", "w")):
                line = json.dumps(record(scenario), separators=(",", ":"), allow_nan=False)
        except Exception as error:  # the original stopped: nothing to compare with
            print(f"seed {seed * 1_000_000 + k}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        print(line)


if __name__ == "__main__":
    main()
