"""What scripts import from the original's test package: a moving average. Its sample prices are not part of this one."""


def SMA(arr, n):
    """The mean of the last `n` values; NaN before there are as many."""
    import pandas as pd

    return pd.Series(arr).rolling(n).mean()


def __getattr__(name):
    if name in ("GOOG", "EURUSD", "BTCUSD"):
        raise ImportError(
            f"the sample prices {name} belong to the original and are not part of this package: read your own with "
            "`pd.read_csv(..., index_col=0, parse_dates=True)`"
        )
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
