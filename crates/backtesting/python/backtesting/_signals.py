"""Strategies whose trading is already written."""

import numpy as np

from ._strategy import Strategy


class SignalStrategy(Strategy):
    """Trades by vectors: call `set_signal` in `init`."""

    __entry_signal = None
    __exit_signal = None

    def set_signal(self, entry_size, exit_portion=None, *, plot=True):
        """`entry_size`: an order's size for each bar, negative for short, zero or NaN for none. `exit_portion`: the
        portion of the trades to close, positive closes long ones, negative short ones."""
        import pandas as pd

        self.__entry_signal = self.I(
            lambda: pd.Series(entry_size, dtype=float).replace(0, np.nan).values, name="entry size", plot=plot,
            overlay=False, scatter=True, color="black",
        )
        if exit_portion is not None:
            self.__exit_signal = self.I(
                lambda: pd.Series(exit_portion, dtype=float).replace(0, np.nan).values, name="exit portion", plot=plot,
                overlay=False, scatter=True, color="black",
            )

    def next(self):
        super().next()
        portion = 0.0 if self.__exit_signal is None else self.__exit_signal[-1]
        if portion > 0:
            for trade in self.trades:
                if trade.is_long:
                    trade.close(portion)
        elif portion < 0:
            for trade in self.trades:
                if trade.is_short:
                    trade.close(-portion)
        size = 0.0 if self.__entry_signal is None else self.__entry_signal[-1]
        if size > 0:
            self.buy(size=size)
        elif size < 0:
            self.sell(size=-size)


def signals_of(strategy):
    """Entry sizes and exit portions for each bar, if these alone decide what the strategy does."""
    kind = type(strategy)
    if not isinstance(strategy, SignalStrategy) or "next" in vars(strategy):
        return None
    deciding = [base for base in kind.__mro__ if "next" in vars(base)]
    if deciding != [SignalStrategy, Strategy] or (kind.buy, kind.sell) != (Strategy.buy, Strategy.sell):
        return None
    entry = vars(strategy).get("_SignalStrategy__entry_signal")
    portion = vars(strategy).get("_SignalStrategy__exit_signal")
    nothing = np.zeros(len(strategy.data))
    return [np.ascontiguousarray(nothing if a is None else a, dtype=float) for a in (entry, portion)]


class TrailingStrategy(Strategy):
    """Keeps a stop loss behind every trade, at a number of average true ranges. Call `super().init()` and
    `super().next()`."""

    __ranges = 6.0
    __atr = None

    def init(self):
        super().init()
        self.set_atr_periods()

    def set_atr_periods(self, periods=100):
        """Bars that the average true range is taken over."""
        import pandas as pd

        high, low, previous = self.data.High, self.data.Low, pd.Series(self.data.Close).shift(1)
        true_range = np.max([high - low, (high - previous).abs(), (low - previous).abs()], axis=0)
        self.__atr = pd.Series(true_range).rolling(periods).mean().bfill().values

    def set_trailing_sl(self, n_atr=6):
        """Distance of the stop loss in average true ranges."""
        self.__ranges = n_atr

    def set_trailing_pct(self, pct=0.05):
        """Distance of the stop loss as a fraction of the price; turned into average true ranges over all the data."""
        if not 0 < pct < 1:
            raise AssertionError("Need pct= as rate, i.e. 5% == 0.05")
        self.set_trailing_sl(np.mean(self.data.Close * pct / self.__atr))

    def next(self):
        super().next()
        i = len(self.data) - 1
        distance = self.__atr[i] * self.__ranges
        for trade in self.trades:
            close = self.data.Close[i]
            if trade.is_long:
                trade.sl = max(trade.sl or -np.inf, close - distance)
            else:
                trade.sl = min(trade.sl or np.inf, close + distance)
