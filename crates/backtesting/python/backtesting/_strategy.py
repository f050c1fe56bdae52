"""`Strategy`: what a trading strategy derives from."""

import sys
from abc import ABCMeta, abstractmethod
from itertools import chain

import numpy as np

from . import _native
from ._rules import OLD
from ._util import _Indicator, is_frame, short_name


class _Orders(tuple):
    """Pending orders of version 0.3, that can be cancelled together."""

    def cancel(self):
        """Cancels all but those that depend on trades."""
        for order in self:
            if not order.is_contingent:
                order.cancel()


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
        return _call_text(type(self).__name__, [f"{name}={short_name(value)}" for name, value in self._params.items()])

    def _check_params(self, params):
        for name, value in params.items():
            if not hasattr(self, name):
                raise AttributeError(
                    f"the strategy {type(self).__name__} has no parameter {name!r}: give the class an attribute of "
                    "that name with its usual value"
                )
            setattr(self, name, value)
        return params

    if OLD:

        @property
        def orders(self):
            """Pending orders, first examined first."""
            return _Orders(super().orders)

    def I(self, func, *args, name=None, plot=True, overlay=None, color=None, scatter=False, **kwargs):  # noqa: E743
        """Declares an indicator: `func(*args, **kwargs)`, one value or one row of values for each bar. In `next`
        it ends at the current bar. Bars before its first value are left out of the simulation."""
        arguments = filter(None, map(short_name, chain(args, kwargs.values())))
        if name is None:
            label = _call_text(short_name(func), list(arguments))
        elif OLD or isinstance(name, str):
            label = _filled(name, args, kwargs)
        else:
            label = type(name)(_filled(one, args, kwargs) for one in name)
        try:
            value = func(*args, **kwargs)
        except Exception as error:
            raise RuntimeError(f'the function of indicator "{label}" failed: {error!r}') from error
        value = _as_rows(value)
        bars = len(self._data.Close)
        if not isinstance(value, np.ndarray) or not 1 <= value.ndim <= 2 or value.shape[-1] != bars:
            # The original compares names with rows first, and stumbles over what has none.
            stumbles = not (OLD or isinstance(label, str) or len(label) == 1 or hasattr(value, "shape"))
            raise (AttributeError if stumbles else ValueError)(
                f'indicator "{label}" must give one value, or one row of values, for each of the {bars} bars; it gave '
                f"{value if not hasattr(value, 'shape') else f'an array of the shape {value.shape}'}"
            )
        rows = 1 if value.ndim == 1 else len(value)
        if isinstance(name, (list, tuple)) and len(name) != rows:
            raise ValueError(f"{len(name)} names for an indicator of {rows} rows: {list(name)}")
        if overlay is None:
            overlay = _near(value, self._data.Close)
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


def _filled(name, args, kwargs):
    """A name whose places in braces stand for the indicator's arguments."""
    return name.format(*map(short_name, args), **{key: short_name(value) for key, value in kwargs.items()})


def _call_text(name, arguments):
    return f"{name}({','.join(arguments)})" if arguments else name


def _as_rows(value):
    """An array with the bars on its last axis, where that can be made of it."""
    if is_frame(value):
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


def _near(value, prices):
    """Whether more than six in ten values lie within 40 % of the price, as an average of prices does."""
    if value.dtype.kind not in "fiu":
        return False
    with np.errstate(all="ignore"):
        return bool(np.mean(np.abs(value / np.asarray(prices) - 1) < 0.4) > 0.6)


def warmup_bars(strategy):
    """The first bar on which every indicator has a value."""
    bars = 0
    for _, indicator in indicators_of(strategy):
        if indicator._opts.get("scatter") and not OLD:
            continue
        known = ~np.isnan(np.atleast_2d(np.asarray(indicator, dtype=float)))
        # A row without any value counts as none.
        bars = max(bars, int(known.argmax(axis=-1).max()))
    return bars


def indicators_of(strategy):
    """Names and arrays of the indicators that are attributes of the strategy itself."""
    return [(sys.intern(k), v) for k, v in vars(strategy).items() if isinstance(v, _Indicator)]
