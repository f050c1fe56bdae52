"""`Strategy`: what a trading strategy derives from."""

import sys
from abc import ABCMeta, abstractmethod
from itertools import chain

import numpy as np

from . import _native
from ._util import _as_str, _Indicator


class Strategy(_native.Strategy, metaclass=ABCMeta):
    """Derive from it, declare indicators in `init` and trade in `next`."""

    def __init__(self, broker, data, params):
        self._bind(broker, data)
        self._indicators = []
        self._broker = broker
        self._data = data
        self._params = self._check_params(params)

    def __repr__(self):
        return f"<Strategy {self}>"

    def __str__(self):
        params = ",".join(f"{name}={_as_str(value)}" for name, value in self._params.items())
        return f"{type(self).__name__}({params})" if params else type(self).__name__

    def _check_params(self, params):
        for name, value in params.items():
            if not hasattr(self, name):
                raise AttributeError(
                    f"Strategy '{type(self).__name__}' is missing parameter '{name}'. Strategy class should define "
                    "parameters as class variables before they can be optimized or run with."
                )
            setattr(self, name, value)
        return params

    def I(self, func, *args, name=None, plot=True, overlay=None, color=None, scatter=False, **kwargs):  # noqa: E743
        """Declares an indicator: `func(*args, **kwargs)`, one value or one row of values for each bar. In `next`
        it ends at the current bar. Bars before its first value are left out of the simulation."""
        label = _indicator_name(func, args, kwargs) if name is None else name
        try:
            value = func(*args, **kwargs)
        except Exception as error:
            raise RuntimeError(f'Indicator "{label}" error. See traceback above.') from error
        value = _as_rows(value)
        bars = len(self._data.Close)
        if not isinstance(value, np.ndarray) or not 1 <= value.ndim <= 2 or value.shape[-1] != bars:
            raise ValueError(
                "Indicators must return (optionally a tuple of) numpy.arrays of same length as `data` (data shape: "
                f'({bars},); indicator "{label}" shape: {getattr(value, "shape", "")}, returned value: {value})'
            )
        if isinstance(name, (list, tuple)) and len(name) != np.atleast_2d(value).shape[0]:
            raise ValueError(
                f"Length of `name=` ({len(name)}) must agree with the number of arrays the indicator returns "
                f"({np.atleast_2d(value).shape[0]})."
            )
        if overlay is None:
            overlay = _lies_on_prices(value, self._data.Close)
        indicator = _Indicator(
            value, name=label, plot=plot, overlay=overlay, color=color, scatter=scatter, index=self._data.index
        )
        self._indicators.append(indicator)
        return indicator

    @abstractmethod
    def init(self):
        """Declares indicators; the data is there in full length."""

    @abstractmethod
    def next(self):
        """Trades; asked on every bar, data and indicators end at it."""


def _indicator_name(func, args, kwargs):
    params = ",".join(filter(None, map(_as_str, chain(args, kwargs.values()))))
    return f"{_as_str(func)}({params})" if params else _as_str(func)


def _is_frame(value):
    return type(value).__name__ == "DataFrame" and type(value).__module__.startswith("pandas")


def _as_rows(value):
    """An array with the bars on its last axis, where that can be made of it."""
    if _is_frame(value):
        value = value.values.T
    if value is not None:
        try:
            value = np.asarray(value, order="C")
        except ValueError:  # rows of different lengths
            return value
    # Bars on the first axis, a row for each bar: the shorter side is that of the indicator's values.
    if isinstance(value, np.ndarray) and value.ndim == 2 and value.shape[0] > value.shape[1]:
        value = value.T
    # The main loop makes views of it longer where they stand; that takes values that lie side by side.
    return np.ascontiguousarray(value) if isinstance(value, np.ndarray) and value.ndim else value


def _lies_on_prices(value, close):
    """Whether most values are near the price, so that a chart would draw them on it."""
    if not np.issubdtype(value.dtype, np.number):
        return False
    with np.errstate(all="ignore"):
        ratio = value / np.asarray(close)
        return bool(((ratio < 1.4) & (ratio > 0.6)).mean() > 0.6)


def warmup_bars(strategy):
    """The first bar on which every indicator has a value."""
    bars = 0
    for _, indicator in indicators_of(strategy):
        if indicator._opts.get("scatter"):
            continue
        known = ~np.isnan(np.atleast_2d(np.asarray(indicator, dtype=float)))
        # A row without any value counts as none.
        bars = max(bars, int(known.argmax(axis=-1).max()))
    return bars


def indicators_of(strategy):
    """Names and arrays of the indicators that are attributes of the strategy itself."""
    return [(sys.intern(k), v) for k, v in vars(strategy).items() if isinstance(v, _Indicator)]
