"""Random optimisations: what is searched, how, and what comes of it."""

import random
import warnings

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import crossover
from corpus import is_old, plain


class Crossing(Strategy):
    fast, slow, share, side, wait, extra = 3, 11, 0.5, "both", 0, None

    def init(self):
        for name in ("fast", "slow"):
            n = int(getattr(self, name))
            setattr(self, f"{name}_line", self.I(lambda c, n: pd.Series(c).rolling(n).mean(), self.data.Close, n))

    def next(self):
        if len(self.data) < self.wait:
            return
        if crossover(self.fast_line, self.slow_line):
            self.position.close()
            if self.side != "short":
                self.buy(size=float(self.share))
        elif crossover(self.slow_line, self.fast_line):
            self.position.close()
            if self.side != "long":
                self.sell(size=float(self.share))


def search(seed):
    """The best run, or how the search failed, and all that the caller is given besides."""
    from fuzz import market

    warnings.simplefilter("ignore")
    rng = random.Random(f"search {seed}")
    frame = market(rng)
    while not isinstance(frame.index, pd.DatetimeIndex):
        # Others do not get through the original's shared memory.
        frame = market(rng)
    log = []
    options = asked(rng)
    # What the trees of scikit-optimize's forest draw from, whatever `random_state` says.
    np.random.seed(seed)
    try:
        backtest = Backtest(frame, Crossing, cash=frame["Close"].iloc[0] * 1000, commission=rng.choice([0, 0.002]))
        found = backtest.optimize(**options)
    except Exception as error:
        # Their texts are their own.
        return type(error).__name__, log
    found = found if isinstance(found, tuple) else (found,)
    for more in found[1:]:
        if isinstance(more, pd.Series):
            log.append((str(more.name), *map(str, more.index.names), str(more.dtype), len(more)))
            log.extend((*map(str, key), float(value)) for key, value in more.items())
        else:
            log.extend(account(more))
    return plain(found[0]), log


def asked(rng):
    """What `optimize` is called with."""
    firsts = [range(2, 9), [2, 3, 5, 8], np.arange(2, 6), (4, 2), 3, []]
    space = {"fast": rng.choice(firsts)} if rng.random() < 0.9 else {}
    for name, chance, choices in (
        ("slow", 0.8, [range(6, 40, 6), range(6, 30), [9, 12.5, 30], [12]]),
        ("share", 0.4, [[0.1, 0.5, 0.9], list(np.linspace(0.1, 0.9, 4)), np.float32([0.2, 0.7])]),
        ("side", 0.4, [["both", "long", "short"], ["long", "short"], ["long"]]),
        ("wait", 0.3, [[0, 30], range(0, 300, 100)]),
        ("extra", 0.3, [[True, False], [None, "a"], [1, "a"], list(pd.date_range("2020", periods=3)),
                        pd.date_range("2020", periods=3)]),
    ):
        if rng.random() < chance:
            space[name] = rng.choice(choices)
    objectives = ["SQN", "Return [%]", "Max. Drawdown [%]", "Win Rate [%]", "Profit Factor", "Buy & Hold Return [%]",
                  lambda s: s["Equity Final [$]"], lambda s: -s["# Trades"], lambda s: s["Return [%]"] or float("nan")]
    model = "skopt" if is_old() else "sambo"
    options = {"maximize": rng.choice(objectives), "method": rng.choice(["grid", model, model]),
               "random_state": rng.randrange(1000), "return_heatmap": rng.random() < 0.8}
    if options["method"] == model:
        options["return_optimization"] = rng.random() < 0.7
    size = np.prod([len(values) if np.ndim(values) else 1 for values in space.values()])
    tries = [20, 40, 60, None if size < 200 else 30, min(1, 50 / max(size, 1)), 1 if size < 60 else 25]
    options["max_tries"] = rng.choice(tries)
    if rng.random() < 0.4 and {"fast", "slow"} <= set(space):
        options["constraint"] = rng.choice([lambda p: p.fast < p.slow, lambda p: 3 * p["fast"] < p.slow,
                                            lambda p: p.fast > 100, lambda p: p.quick < 3])
    return {**options, **space}


def account(found):
    """The search's own account of itself, by value."""
    names = [name for name in ("x", "fun", "func_vals", "x_iters", "xv", "funv", "nfev") if hasattr(found, name)]
    for name in names:
        value = getattr(found, name)
        if name in ("func_vals", "funv"):
            yield (name, *map(float, value))
        elif name == "fun":
            yield name, float(value)
        else:
            yield name, str(value.tolist() if hasattr(value, "tolist") else value)
    # sambo's has no text of its own.
    if hasattr(found, "space") and " at 0x" not in repr(found.space):
        yield "space", repr(found.space)
    # The forests that it made.
    yield "models", len(getattr(found, "models", ()))
