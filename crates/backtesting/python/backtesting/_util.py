"""The array types that strategies see, and names for what indicators are made of."""

import os
import sys
import warnings
from numbers import Number

import numpy as np

from . import _native

_Data = _native._Data
_HERE = os.path.dirname(__file__) + os.sep


def warn(message):
    """A warning that points to the caller outside of this package, through however many of its functions."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


class _Array(np.ndarray):
    """Values of which the last belongs to the current bar: it is what the array is as a truth value or a float.
    `name` and `_opts` (the index among them) travel with views and copies."""

    # Places of their own: `next` takes slices by the ten thousand, and each is finalized.
    __slots__ = ("name", "_opts", "__dict__")

    def __new__(cls, array, *, name=None, **options):
        name = name or getattr(array, "name", "")
        return _dressed(np.asarray(array), cls, {"name": name, "_opts": options})

    def __array_finalize__(self, parent):
        try:
            self.name = parent.name
            self._opts = parent._opts
        except AttributeError:
            self.name, self._opts = "", {}

    def __reduce__(self):
        return _dressed, (np.array(self), type(self), {"name": self.name, "_opts": self._opts, **vars(self)})

    def __bool__(self):
        return bool(self[-1]) if self.ndim == 1 and self.size else bool(_current(self))

    def __float__(self):
        return float(self[-1]) if self.ndim == 1 and self.size else float(_current(self))

    @property
    def df(self):
        """The array as a pandas DataFrame, one column for each row."""
        import pandas as pd

        bars = self.shape[-1]
        columns = np.asarray(self).reshape(-1, bars).T
        return pd.DataFrame(columns, self._opts["index"][:bars], [self.name] * columns.shape[1])

    @property
    def s(self):
        """The array (of several rows, the first) as a pandas Series."""
        return self.df.iloc[:, 0]

    def to_series(self):
        """An older name of `s`."""
        warnings.warn("`.to_series()` is the older way to say `.s`", stacklevel=2)
        return self.s


class _Indicator(_Array):
    """What `Strategy.I` returns."""

    __slots__ = ()


def _dressed(values, kind, attributes):
    array = values.view(kind)
    for name, value in attributes.items():
        setattr(array, name, value)
    return array


def _current(array):
    plain = np.asarray(array)
    return plain[-1] if plain.ndim and len(plain) else plain


_SHORT = {"Open": "O", "High": "H", "Low": "L", "Close": "C", "Volume": "V"}
_NAME_MAX = 10


def short_name(value):
    """How a function or an argument is written in an indicator's name: `SMA(C,10)`. Empty for what has no name."""
    if isinstance(value, (str, Number)):
        return str(value)
    if callable(value):
        return _cut(getattr(value, "__name__", type(value).__name__).replace("<lambda>", "λ"))
    if is_frame(value):
        return "df"
    name = str(getattr(value, "name", None) or "")
    return _SHORT.get(name, _cut(name))


def _cut(name):
    return name if len(name) <= _NAME_MAX else name[: _NAME_MAX - 1] + "…"


def is_frame(value):
    """Whether it is a pandas DataFrame, told without importing pandas."""
    return type(value).__name__ == "DataFrame" and type(value).__module__.startswith("pandas")


def columns_of(frame):
    """Each column of a data frame as an array that knows the index."""
    return {name: _Array(column.values, name=name, index=frame.index) for name, column in frame.items()}


def place(array):
    """Where an array's values lie: another place, other values."""
    return array.__array_interface__["data"][0], array.shape, array.strides, array.dtype


def cutter(index):
    """A function that gives the first rows of an index by their number. `self.data.index[-1]` on every bar is much
    written; pandas' own slice of a date index takes five times as long as making the same from the same values."""
    def slowly(rows):
        return index[:rows]

    try:
        values, dtype, name = index._data._ndarray, index._data.dtype, index.name
        kind, dates = type(index)._simple_new, type(index._data)._simple_new

        def quickly(rows):
            return kind(dates(values[:rows], dtype=dtype), name)

        one, other = quickly(1), slowly(1)
        same = type(one) is type(other) and one.identical(other) and one.freq is index.freq
    except Exception:
        # Another kind of index, or another pandas.
        same = False
    return quickly if same else slowly
