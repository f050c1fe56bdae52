"""Backtests strategies written for backtesting.py 0.6.6, or 0.3.3, on springtide's engine.

    from backtesting import Backtest, Strategy

The interface, the order rules and the statistics are those of that library; the simulation is native. Rules are those
of version 0.6.6 unless BACKTESTING_RULES=backtesting_py_0_3 stands in the environment.
"""

from ._native import Order, Position, Trade
from ._rules import NAME as __rules__  # noqa: F401
from ._rules import VERSION as __version__  # noqa: F401
from ._strategy import Strategy
from .backtesting import Backtest

#: What computes the results; `__version__` is that of the interface, `__rules__` the name of its rules.
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
