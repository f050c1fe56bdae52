"""Backtests of fractional units, and of many markets."""

import warnings

import numpy as np

from ._optimize import each
from .backtesting import PRICES, Backtest


class FractionalBacktest(Backtest):
    """A backtest that trades fractions: prices are taken per `fractional_unit` of the asset."""

    def __init__(self, data, *args, fractional_unit=1e-8, **kwargs):
        self._unit = fractional_unit
        with warnings.catch_warnings():
            # That is what this class is for.
            warnings.filterwarnings("ignore", message=".*fractional trading is not supported")
            super().__init__(data, *args, **kwargs)
        self._scaled = self._data.copy()
        self._scaled[list(PRICES)] = self._scaled[list(PRICES)] * fractional_unit
        self._scaled["Volume"] = self._scaled["Volume"] / fractional_unit

    def run(self, **kwargs):
        whole = self._data
        self._data = self._scaled
        try:
            result = super().run(**kwargs)
        finally:
            self._data = whole
        trades = result["_trades"]
        trades["Size"] *= self._unit
        trades[["EntryPrice", "ExitPrice", "TP", "SL"]] /= self._unit
        indicators = result["_strategy"]._indicators
        for k, indicator in enumerate(indicators):
            if np.all(indicator._opts.get("overlay")):
                indicators[k] = indicator / self._unit
        return result


class MultiBacktest:
    """The same strategy on many data frames; nothing is shared between them."""

    def __init__(self, df_list, strategy_cls, **kwargs):
        self._dfs = df_list
        self._strategy = strategy_cls
        self._bt_kwargs = kwargs

    def run(self, **kwargs):
        """A column of statistics for each data frame."""
        import pandas as pd

        def one(frame):
            return Backtest(frame, self._strategy, **self._bt_kwargs).run(**kwargs).filter(regex="^[^_]")

        return pd.DataFrame(list(each(one, self._dfs)) if len(self._dfs) else []).transpose()

    def optimize(self, **kwargs):
        """A column of the heat map for each data frame."""
        import pandas as pd

        maps = []
        for frame in self._dfs:
            _, heatmap = Backtest(frame, self._strategy, **self._bt_kwargs).optimize(return_heatmap=True, **kwargs)
            maps.append(heatmap)
        return pd.DataFrame(dict(zip(range(len(maps)), maps)))
