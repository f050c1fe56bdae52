"""The array types that strategies see, and small helpers."""

import warnings

import numpy as np

from . import _native

_Data = _native._Data


class _Array(np.ndarray):
    """A numpy array with a name and the data's index. As a truth value or a float it stands for its last value."""

    def __new__(cls, array, *, name=None, **options):
        made = np.asarray(array).view(cls)
        made.name = name or getattr(array, "name", "")
        made._opts = options
        return made

    def __array_finalize__(self, source):
        if source is not None:
            self.name = getattr(source, "name", "")
            self._opts = getattr(source, "_opts", {})

    def __reduce__(self):
        constructor, arguments, state = super().__reduce__()
        return constructor, arguments, (state, self.__dict__)

    def __setstate__(self, state):
        array_state, attributes = state
        super().__setstate__(array_state)
        self.__dict__.update(attributes)

    def __bool__(self):
        return bool(self[-1]) if self.ndim and self.shape[0] else super().__bool__()

    def __float__(self):
        return float(self[-1]) if self.ndim and self.shape[0] else super().__float__()

    def _rows(self):
        rows = np.atleast_2d(np.asarray(self))
        return rows, self._opts["index"][: rows.shape[1]]

    @property
    def s(self):
        """The array (of several rows, the first) as a pandas Series."""
        import pandas as pd

        rows, index = self._rows()
        return pd.Series(rows[0], index=index, name=self.name)

    @property
    def df(self):
        """The array as a pandas DataFrame, one column for each row."""
        import pandas as pd

        rows, index = self._rows()
        return pd.DataFrame(rows.T, index=index, columns=[self.name] * len(rows))

    def to_series(self):
        """Same as `s`."""
        warnings.warn("`.to_series()` is deprecated. For pd.Series conversion, use accessor `.s`", stacklevel=2)
        return self.s


class _Indicator(_Array):
    """What `Strategy.I` returns."""


def try_(lazy_func, default=None, exception=Exception):
    """The function's value, or `default` when it raises."""
    try:
        return lazy_func()
    except exception:
        return default


_PRICES = ("Open", "High", "Low", "Close", "Volume")


def _as_str(value):
    """A short name for an indicator's function or argument."""
    from numbers import Number

    if isinstance(value, (Number, str)):
        return str(value)
    kind = type(value)
    if kind.__name__ == "DataFrame" and kind.__module__.startswith("pandas"):
        return "df"
    name = str(getattr(value, "name", "") or "")
    if name in _PRICES:
        return name[0]
    if callable(value):
        name = getattr(value, "__name__", kind.__name__).replace("<lambda>", "λ")
    return name if len(name) <= 10 else name[:9] + "…"


def columns_of(frame):
    """Each column of a data frame as an array that knows the index."""
    return {name: _Array(column.values, name=name, index=frame.index) for name, column in frame.items()}
