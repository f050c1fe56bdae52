"""Random accounts and orders, driven through Python on both engines; everything a strategy can see is compared. With
`--searches`, random optimisations and everything that they give back.

    python fuzz.py --ours FOLDER [--original PYTHON] [--rules backtesting_py_0_3] [--seeds 0:200] [--searches]
"""

import argparse
import os
import pickle
import random
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from corpus import VERSIONS, demand_version, differences, is_old, plain, same  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", type=Path, required=True, help="folder that holds our package `backtesting`")
    parser.add_argument("--original", default=sys.executable, help="Python that has backtesting.py installed")
    parser.add_argument("--rules", choices=VERSIONS, default="backtesting_py", help="the version that is compared")
    parser.add_argument("--seeds", default="0:200", help="first and one past the last")
    parser.add_argument("--searches", action="store_true", help="optimisations in place of orders")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    seeds = range(*map(int, options.seeds.split(":")))
    if options.work:
        demand_version(options.rules)
        # It imports the engine, and so is not for the process that drives both.
        one = __import__("searches").search if options.searches else scenario
        results = {seed: one(seed) for seed in seeds}
        Path(options.work).write_bytes(pickle.dumps(results))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        files = [run(options, engine, Path(folder) / engine) for engine in ("original", "ours")]
        one, two = (pickle.loads(file.read_bytes()) for file in files)
    return report(one, two)


def run(options, engine, file):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if engine == "ours":
        environment.update(PYTHONPATH=str(options.ours.resolve()), BACKTESTING_RULES=options.rules)
    command = [options.original, "-W", "ignore", __file__, "--ours", str(options.ours), "--seeds", options.seeds]
    command += ["--rules", options.rules, *["--searches"] * options.searches]
    subprocess.run([*command, "--work", str(file)], env=environment, check=True)
    return file


def report(one, two):
    wrong = trades = views = 0
    for seed, (first, log) in one.items():
        second, other = two[seed]
        problems = []
        if isinstance(first, str) or isinstance(second, str):
            problems += [] if first == second else [f"{first} and {second}"]
        else:
            problems += differences(first, second)
            trades += len(first["trades"]["Size"])
        views += len(log)
        for k, (a, b) in enumerate(zip(log, other)):
            unequal = [pair for pair in zip(a, b) if not same(*pair, 1e-12)]
            if unequal or len(a) != len(b):
                problems.append(f"seen {k}, {len(a)} and {len(b)} values: {unequal[:3]}")
                break
        if problems:
            wrong += 1
            print(f"seed {seed}")
            for problem in problems[:4]:
                print(f"    {problem[:400]}")
    print(f"{len(one)} scenarios, {trades} trades, {views} views: {wrong} scenarios differ")
    return min(wrong, 1)


def market(rng):
    """Bars of a random walk with gaps, on one of the usual indexes."""
    import numpy as np
    import pandas as pd

    n = rng.randrange(40, 250)
    numbers = np.random.default_rng(rng.randrange(2**32))
    close = rng.choice([5.0, 100.0, 3000.0]) * np.exp(numbers.normal(0, rng.choice([0.005, 0.02, 0.08]), n).cumsum())
    open_ = close * np.exp(numbers.normal(0, 0.01, n))
    high = np.maximum(open_, close) * np.exp(np.abs(numbers.normal(0, 0.01, n)))
    low = np.minimum(open_, close) * np.exp(-np.abs(numbers.normal(0, 0.01, n)))
    if rng.random() < 0.3:
        open_, high, low, close = (np.round(x, 1) for x in (open_, high, low, close))
    frame = pd.DataFrame({"Open": open_, "High": high, "Low": low, "Close": close, "Volume": 1e6 * numbers.random(n)})
    frequency = rng.choice(["D", "B", "15min", "1h", "4h", "W", "MS", "1h:tz", "number"])
    if frequency != "number":
        zone = "America/New_York" if frequency.endswith(":tz") else None
        frame.index = pd.date_range("2021-03-01", periods=n, freq=frequency.split(":")[0], tz=zone)
    return frame


def account(rng, price):
    relative = rng.choice([0.0, 0.001, 0.02, -0.0005])
    commission = rng.choice([relative, (rng.choice([0, 1.0, 5.0]), abs(relative)), lambda q, p: 1 + abs(q) * p * 0.001])
    settings = {
        "cash": price * rng.choice([3.5, 40, 1000]), "spread": rng.choice([0.0, 0.0, 0.001, 0.01]),
        "commission": commission, "margin": rng.choice([1, 1, 0.5, 0.1, 0.02]),
        "trade_on_close": rng.random() < 0.3, "hedging": rng.random() < 0.3,
        "exclusive_orders": rng.random() < 0.3, "finalize_trades": rng.random() < 0.5,
    }
    if is_old():
        # What version 0.3 knows.
        settings["commission"] = relative
        del settings["spread"], settings["finalize_trades"]
    return settings


def scenario(seed):
    """The result, or how it failed, and all that the strategy saw."""
    import numpy as np
    import pandas as pd
    from backtesting import Backtest, Strategy

    warnings.simplefilter("ignore")
    rng = random.Random(seed)
    frame = market(rng)
    log, warmup, calm = [], rng.choice([0, 3, 12]), rng.choice([0.5, 0.8, 0.95])

    class Random(Strategy):
        def init(self):
            self.mean = self.I(lambda c: pd.Series(c).rolling(max(warmup, 1)).mean(), self.data.Close)
            self.rows = self.I(lambda h, low: np.array([h, low]), self.data.High, self.data.Low)
            self.kept = []

        def next(self):
            if len(self.kept) < 5:
                self.kept.append((len(self.data), self.mean, self.data.Close, self.rows))
            for length, *arrays in self.kept:
                assert all(a.shape[-1] == length for a in arrays), "a kept array grew"
            if rng.random() > calm:
                act(self, rng, log)
            log.append(seen(self))

    try:
        result = plain(Backtest(frame, Random, **account(rng, frame["Close"].iloc[0])).run())
    except Exception as error:
        result = type(error).__name__
    return result, log


def seen(strategy):
    broker, position = strategy._broker, strategy.position
    return (
        len(strategy.data), float(strategy.equity), float(broker._cash), float(broker.margin_available), position.size,
        float(position.pl), float(position.pl_pct), bool(position), position.is_long, float(strategy.mean[-1]),
        float(strategy.rows[1, -1]), float(strategy.data.High[-1]), str(strategy.data.index[-1]),
        plainly(strategy.orders), plainly(strategy.trades), len(strategy.closed_trades), *map(float, trade_values(strategy)),
    )


def plainly(objects):
    """As text; whether a whole number is written as a fraction does not matter."""
    return re.sub(r"\.0(?=[, ])", "", str(objects))


def trade_values(strategy):
    for trade in (*strategy.trades, *strategy.closed_trades[-2:]):
        yield from (trade.size, trade.pl, trade.pl_pct, trade.value, trade.entry_bar, trade.sl or 0, trade.tp or 0)


def act(strategy, rng, log):
    price = float(strategy.data.Close[-1])

    def near(width=0.03):
        return price * (1 + rng.uniform(-width, width))

    kind = rng.choice(["buy", "sell", "buy", "sell", "close", "part", "trade", "sl", "tp", "cancel", "late"])
    try:
        if kind in ("buy", "sell"):
            options = {"size": rng.choice([1, 2, 5, 17, 0.1, 0.5, 0.99, 1.5])} if rng.random() < 0.8 else {}
            away = 1 if kind == "buy" else -1
            for name, chance in (("limit", 0.3), ("stop", 0.3)):
                if rng.random() < chance:
                    options[name] = near()
            reference = options.get("limit") or options.get("stop") or price
            if rng.random() < 0.5:
                options["sl"] = reference * (1 - away * rng.uniform(-0.002, 0.05))
            if rng.random() < 0.5:
                options["tp"] = reference * (1 + away * rng.uniform(-0.002, 0.05))
            if rng.random() < 0.2 and not is_old():
                options["tag"] = rng.choice(["a", 7, ("t", 1)])
            getattr(strategy, kind)(**options)
        elif kind == "close":
            strategy.position.close()
        elif kind == "part":
            strategy.position.close(rng.choice([0.3, 0.5, 1.0, 1.2]))
        elif kind == "cancel" and strategy.orders:
            rng.choice(strategy.orders).cancel()
        elif kind == "late" and strategy.closed_trades and rng.random() < 0.1:
            strategy.closed_trades[-1].close()
        elif strategy.trades:
            trade = rng.choice(strategy.trades)
            if kind == "trade":
                trade.close(rng.choice([0.25, 0.5, 1]))
            elif kind == "sl":
                trade.sl = rng.choice([None, near(), near(0.001)])
            elif kind == "tp":
                trade.tp = rng.choice([None, near(), near(0.001)])
    except Exception as error:
        log.append((type(error).__name__,))


if __name__ == "__main__":
    sys.exit(main())
