"""One SMA cross in backtesting.py's words, in Python's `next` and as vectors: on the original, and on our package where that is on
Python's path. `whole` is all of `run()`, indicators and statistics with it; `simulation` leaves the statistics out."""

import warnings

import backtesting
import backtesting.backtesting
import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import SignalStrategy, crossover
from common import FEE, bars, hand_back, main, measure

CASH = 1_000_000.0
IS_OURS = hasattr(backtesting, "__engine__")
warnings.simplefilter("ignore")


def sma(close, n):
    return pd.Series(close).rolling(n).mean()


class Cross(Strategy):
    def init(self):
        self.fast = self.I(sma, self.data.Close, 10)
        self.slow = self.I(sma, self.data.Close, 30)

    def next(self):
        if crossover(self.fast, self.slow):
            self.position.close()
            self.buy()
        elif crossover(self.slow, self.fast):
            self.position.close()


class Vectors(SignalStrategy):
    def init(self):
        super().init()
        fast, slow = (sma(self.data.Close, n).to_numpy() for n in (10, 30))
        before = fast[:-1] - slow[:-1], fast[1:] - slow[1:]
        up = np.concatenate([[False], (before[0] < 0) & (before[1] > 0)])
        down = np.concatenate([[False], (before[0] > 0) & (before[1] < 0)])
        self.set_signal(np.where(up, 0.95, 0.0), np.where(down, 1.0, 0.0))


def compare(path, strategy, part):
    time, open_, high, low, close, volume = bars(path)
    frame = pd.DataFrame(
        {"Open": open_, "High": high, "Low": low, "Close": close, "Volume": volume}, index=pd.DatetimeIndex(time)
    )
    backtest = Backtest(frame, {"cross": Cross, "vectors": Vectors}[strategy], cash=CASH, commission=FEE)
    stats = backtest.run()
    result = {"equity": float(stats["Equity Final [$]"]), "entries": int(stats["# Trades"])}
    if part == "simulation":
        if not IS_OURS:
            backtesting.backtesting.compute_stats = lambda **_: pd.Series(dtype=object)
        work = (lambda: backtest._simulate({})) if IS_OURS else backtest.run
    else:
        work = backtest.run
    seconds, _ = measure(work, repeats=5 if not IS_OURS else 25, budget_s=10.0)
    hand_back("" if IS_OURS else backtesting.__version__, seconds, result)


main({"compare": compare})
