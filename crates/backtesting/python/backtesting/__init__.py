"""Backtests strategies written for backtesting.py 0.6.6 on springtide's engine.

    from backtesting import Backtest, Strategy

The interface, the order rules and the statistics are those of that library; the simulation is native.
"""

from ._native import Order, Position, Trade
from ._strategy import Strategy
from .backtesting import Backtest

#: The version of the interface; what computes the results is in `__engine__`.
__version__ = "0.6.6"
__engine__ = "springtide"


def set_bokeh_output(notebook=False):
    """Accepted and without effect: nothing is drawn."""


class Pool:
    """`multiprocessing.Pool`, as `Backtest.optimize` takes it. Replace it to run elsewhere."""

    def __new__(cls, *args, **kwargs):
        import multiprocessing

        context = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
        return multiprocessing.get_context(context).Pool(*args, **kwargs)


__all__ = ["Backtest", "Order", "Pool", "Position", "Strategy", "Trade", "set_bokeh_output"]
