"""The grid search of `Backtest.optimize`."""

import os
import time
from collections.abc import Sequence
from itertools import product

import numpy as np

#: Work that is left is shared between processes when it will take longer than this, seconds.
_WORTH_SHARING = 0.5


class _Params(dict):
    """A combination of parameters, by key or by attribute."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def optimize(backtest, values, *, maximize, method, max_tries, constraint, return_heatmap, return_optimization,
             random_state):
    """The statistics of the best combination, and if asked the objective of every one tried."""
    import pandas as pd

    if not values:
        raise ValueError("Need some strategy parameters to optimize")
    objective, name = _objective(maximize)
    if constraint is not None and not callable(constraint):
        raise TypeError(
            "`constraint` must be a function that accepts a dict of strategy parameters and returns a bool whether "
            "the combination of parameters is admissible or not"
        )
    if method not in ("grid", "sambo"):
        raise ValueError(f"Method should be 'grid' or 'sambo', not '{method}'")
    if return_optimization and method != "sambo":
        raise ValueError("return_optimization=True only valid if method='sambo'")
    if method == "sambo":
        raise ImportError(
            "Need package 'sambo' for method='sambo', which this engine does not use: search the grid "
            "(method='grid'), a random share of it with max_tries=0.1 or max_tries=200"
        )
    grid = {name: _as_list(value) for name, value in values.items()}
    for variable, choices in grid.items():
        if not choices:
            raise ValueError(f"Optimization variable '{variable}' is passed no optimization values: {variable}=[]")
    tried = list(_admissible(grid, constraint, max_tries, random_state))
    if not tried:
        raise ValueError("No admissible parameter combinations to test")

    heatmap = pd.Series(
        np.nan, name=name, index=pd.MultiIndex.from_tuples([tuple(p.values()) for p in tried], names=list(grid))
    )
    for k, stats in enumerate(_run_all(backtest, tried)):
        if stats is not None:
            heatmap.iloc[k] = objective(stats)
    best = 0 if heatmap.isna().all() else int(np.nanargmax(heatmap.to_numpy()))
    stats = backtest.run(**tried[best])
    return (stats, heatmap) if return_heatmap else stats


def _objective(maximize):
    from ._stats import NAMES

    if isinstance(maximize, str):
        if maximize not in NAMES:
            raise ValueError("`maximize`, if str, must match a key in pd.Series result of backtest.run()")
        return (lambda stats: stats[maximize]), maximize
    if not callable(maximize):
        raise TypeError(
            "`maximize` must be str (a field of backtest.run() result Series) or a function that accepts result "
            "Series and returns a number; the higher the better"
        )
    return maximize, None


def _as_list(value):
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _admissible(grid, constraint, max_tries, random_state):
    """Combinations in keyword order that the constraint admits, of those a random share."""
    size = np.prod([len(choices) for choices in grid.values()])
    share = 1.0 if max_tries is None else max_tries if 0 < max_tries <= 1 else max_tries / size
    rng = np.random.default_rng(random_state)
    for combination in product(*grid.values()):
        params = _Params(zip(grid, combination))
        if (constraint is None or constraint(params)) and rng.random() <= share:
            yield params


def _run_one(backtest, params):
    """The statistics without what is no number; none of a run without trades."""
    stats = backtest.run(**params)
    return stats.filter(regex="^[^_]") if stats["# Trades"] else None


_shared = None


def _run_shared(params):
    return _run_one(_shared, params)


def _run_all(backtest, tried):
    """Results in the order of the combinations, in several processes when that is quicker."""
    import multiprocessing

    global _shared
    started = time.perf_counter()
    yield _run_one(backtest, tried[0])
    left = (time.perf_counter() - started) * (len(tried) - 1)
    processes = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
                    len(tried) - 1)
    # Only a forked process has the strategy and the data without being sent them.
    can_fork = "fork" in multiprocessing.get_all_start_methods()
    if processes < 2 or left < _WORTH_SHARING or not can_fork:
        for params in tried[1:]:
            yield _run_one(backtest, params)
        return
    from . import Pool

    _shared = backtest
    try:
        with Pool(processes) as pool:
            chunk = max(1, min(300, len(tried) // (processes * 4)))
            yield from pool.imap(_run_shared, tried[1:], chunk)
    finally:
        _shared = None
