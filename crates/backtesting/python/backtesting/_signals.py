"""Strategies whose trading is already written."""

import numpy as np

from ._rules import OLD
from ._strategy import Strategy


class SignalStrategy(Strategy):
    """Trades by vectors: call `set_signal` in `init`."""

    __entries = None
    __exits = None

    def set_signal(self, entry_size, exit_portion=None, *, plot=True):
        """`entry_size`: an order's size for each bar, negative for short, zero or NaN for none. `exit_portion`: the
        portion of the trades to close, positive closes long ones, negative short ones."""
        self.__entries = self.__declared("entry size", entry_size, plot)
        if exit_portion is not None:
            self.__exits = self.__declared("exit portion", exit_portion, plot)

    def __declared(self, name, signal, plot):
        values = np.array(signal, dtype=float)
        values[values == 0] = np.nan
        return self.I(lambda: values, name=name, plot=plot, overlay=False, scatter=True, color="black")

    def next(self):
        super().next()
        portion, size = _now(self.__exits), _now(self.__entries)
        for trade in self.trades if portion else ():
            if (trade.size > 0) == (portion > 0):
                trade.close(abs(portion))
        if size:
            order = self.buy if size > 0 else self.sell
            order(size=abs(size))


def _now(signal):
    """A signal's value on the current bar; zero for none."""
    value = 0.0 if signal is None else float(signal[-1])
    return 0.0 if np.isnan(value) else value


def signals_of(strategy):
    """Entry sizes and exit portions for each bar, if these alone decide what the strategy does."""
    kind = type(strategy)
    if not isinstance(strategy, SignalStrategy) or "next" in vars(strategy):
        return None
    deciding = [base for base in kind.__mro__ if "next" in vars(base)]
    if deciding != [SignalStrategy, Strategy] or (kind.buy, kind.sell) != (Strategy.buy, Strategy.sell):
        return None
    entry = vars(strategy).get("_SignalStrategy__entries")
    portion = vars(strategy).get("_SignalStrategy__exits")
    nothing = np.zeros(len(strategy.data))
    return [np.ascontiguousarray(nothing if a is None else a, dtype=float) for a in (entry, portion)]


class TrailingStrategy(Strategy):
    """Keeps a stop loss behind every trade, at a number of average true ranges. Call `super().init()` and
    `super().next()`."""

    __distance = 6
    __ranges = None

    def init(self):
        super().init()
        self.set_atr_periods()

    def set_atr_periods(self, periods=100):
        """Bars that the average true range is taken over."""
        self.__ranges = _average_true_range(self.data, periods)

    def set_trailing_sl(self, n_atr=6):
        """Distance of the stop loss in average true ranges."""
        self.__distance = n_atr

    if not OLD:

        def set_trailing_pct(self, pct=0.05):
            """Distance of the stop loss as a fraction of the price; turned into average true ranges over all the
            data."""
            if not 0 < pct < 1:
                raise AssertionError(f"set_trailing_pct({pct}): a fraction between 0 and 1 is meant, 0.05 for 5 %")
            self.set_trailing_sl(np.mean(np.asarray(self.data.Close) * pct / self.__ranges))

    def next(self):
        super().next()
        away = self.__ranges[len(self.data) - 1] * self.__distance
        close = self.data.Close[-1]
        for trade in self.trades:
            # The stop loss follows the price and never goes back; it is set anew on every bar.
            if trade.size > 0:
                trade.sl = max(trade.sl or -np.inf, close - away)
            else:
                trade.sl = min(trade.sl or np.inf, close + away)


def _average_true_range(data, bars):
    """Plain means of the true range; before the first of them, the first."""
    import pandas as pd

    high, low, close = (np.asarray(column) for column in (data.High, data.Low, data.Close))
    before = np.append(np.nan, close[:-1])
    true_range = np.max(np.stack([high - low, np.abs(high - before), np.abs(low - before)]), axis=0)
    return pd.Series(true_range).rolling(bars).mean().bfill().to_numpy()
