"""backtesting.py: the strategy written as its manual writes it. It buys whole units, so the cash is in thousandths."""

import backtesting
import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import FractionalBacktest
from common import CASH, FEE, bars, hand_back, main, measure, rolling_mean


class Cross(Strategy):
    means = {}

    def init(self):
        self.fast = self.I(lambda: self.means[10], name="fast")
        self.slow = self.I(lambda: self.means[30], name="slow")

    def next(self):
        f, s = self.fast, self.slow
        if f[-2] < s[-2] and f[-1] > s[-1]:
            self.position.close()
            self.buy()
        elif f[-2] > s[-2] and f[-1] < s[-1]:
            self.position.close()


def single(path):
    time, open_, high, low, close, volume = bars(path)
    frame = pd.DataFrame(
        {"Open": open_, "High": high, "Low": low, "Close": close, "Volume": volume}, index=pd.DatetimeIndex(time)
    )

    # The fractional unit scales the prices; the crosses are those of the prices as they are.
    Cross.means = {n: rolling_mean(close, n) for n in (10, 30)}

    def work():
        stats = FractionalBacktest(frame, Cross, cash=CASH, commission=FEE, fractional_unit=1e-6).run()
        return stats["Equity Final [$]"], int(stats["# Trades"]) + len(stats["_strategy"].trades)

    seconds, (equity, entries) = measure(work, budget_s=10.0)
    hand_back(backtesting.__version__, seconds, {"equity": float(equity), "entries": entries})


main({"single": single})
