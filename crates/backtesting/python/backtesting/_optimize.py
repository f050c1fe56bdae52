"""The searches of `Backtest.optimize`: the grid, sambo's shuffled complex evolution, and scikit-optimize's forests."""

import os
import time
import warnings
from collections.abc import Sequence
from itertools import compress, product

import numpy as np

from ._rules import OLD

#: Work that is left is shared between processes when it will take longer than this, seconds.
_WORTH_SHARING = 0.5


class _Params(dict):
    """A combination of parameters, by key or by attribute."""

    def __getattr__(self, name):
        if name.startswith("__"):
            # What Python itself asks for, to send it to another process.
            raise AttributeError(name)
        return self[name]


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
    model = "skopt" if OLD else "sambo"
    if method == "skopt" and not OLD:
        warnings.warn('`Backtest.optimize(method="skopt")` is deprecated. Use `method="sambo"`.', DeprecationWarning,
                      stacklevel=3)
        method = "sambo"
    if method not in ("grid", model):
        raise ValueError(f"Method should be 'grid' or '{model}', not '{method}'")
    if return_optimization and method != model:
        raise ValueError(f"return_optimization=True only valid if method='{model}'")
    grid = {name: _as_list(value) for name, value in values.items()}
    for variable, choices in grid.items():
        if not choices:
            raise ValueError(f"Optimization variable '{variable}' is passed no optimization values: {variable}=[]")
    if method == "sambo":
        stats, heatmap, found = _evolve(backtest, grid, objective, name, max_tries, constraint, random_state)
    elif method == "skopt":
        stats, heatmap, found = _model(backtest, values, grid, objective, name, max_tries, constraint, random_state)
    if method != "grid":
        returned = [stats, *[heatmap] * bool(return_heatmap), *[found] * bool(return_optimization)]
        return tuple(returned) if len(returned) > 1 else stats
    tried = list(_admissible(grid, constraint, max_tries, random_state))
    if not tried:
        raise ValueError("No admissible parameter combinations to test")

    heatmap = pd.Series(
        np.nan, name=name, index=pd.MultiIndex.from_tuples([tuple(p.values()) for p in tried], names=list(grid))
    )
    for k, stats in enumerate(each(lambda params: _run_one(backtest, params), tried)):
        if stats is not None:
            heatmap.iloc[k] = objective(stats)
    best = 0 if heatmap.isna().all() else int(np.nanargmax(heatmap.to_numpy()))
    stats = backtest.run(**tried[best])
    return (stats, heatmap) if return_heatmap else stats


#: Runs that a search other than the grid's makes unless told otherwise.
_TRIES = 200


def _evolve(backtest, grid, objective, name, max_tries, constraint, random_state):
    """The best that sambo found: its statistics, the objective of all that were tried, sambo's own account."""
    import pandas as pd

    try:
        import sambo
    except ImportError as error:
        raise _needs("sambo", "sambo", ("sambo", "joblib", "scikit-learn"), error) from None

    def admissible(point):
        return constraint is None or bool(constraint(_Params(zip(grid, point))))

    found = sambo.minimize(
        fun=_cost(backtest, grid, objective, name, 0), bounds=list(map(_space, grid.values())), constraints=admissible,
        max_iter=_tries(max_tries, grid, constraint), method="sceua", rng=random_state,
    )
    stats = backtest.run(**dict(zip(grid, found.x)))
    heatmap = pd.Series(dict(zip(map(tuple, found.xv), -found.funv)), name=name)
    heatmap.index.names = list(grid)
    return stats, heatmap.sort_index(), found


def _space(choices):
    """A parameter's values as sambo takes them: numbers by their bounds (times as whole numbers), others one by one."""
    values = np.asarray(choices)
    if values.dtype.kind in "iumM":
        values = values.astype("int64")
        return values.min(), values.max() + 1
    return (values.min(), values.max()) if values.dtype.kind == "f" else choices


#: The cost of a combination that has no result: the constraint forbids it, or its objective is no number.
_NONE = 1e300


def _model(backtest, values, grid, objective, name, max_tries, constraint, random_state):
    """The best that scikit-optimize found by a forest's guesses: its statistics, the objective of all that were tried
    and had one, scikit-optimize's own account."""
    import pandas as pd

    try:
        import skopt
    except ImportError as error:
        raise _needs("skopt", "scikit-optimize", ("scikit-optimize",), error) from None
    space = [_dimension(skopt.space, key, np.asarray(choices)) for key, choices in values.items()]
    tries = _tries(max_tries, grid, constraint)
    cost = _cost(backtest, values, objective, name, _NONE)

    def guarded(point):
        is_admissible = constraint is None or constraint(_Params(zip(values, point)))
        return cost(point) if is_admissible else _NONE

    with warnings.catch_warnings():
        # As older versions say it: a point twice costs nothing here.
        warnings.filterwarnings("ignore", "The objective has been evaluated at this point before.")
        found = skopt.forest_minimize(
            func=guarded,
            dimensions=space,
            n_calls=tries,
            base_estimator=skopt.learning.ExtraTreesRegressor(n_estimators=20, min_samples_leaf=2),
            acq_func="LCB",
            kappa=3,
            n_initial_points=min(tries, 20 + 3 * len(space)),
            initial_point_generator="lhs",
            # It ends early where it stays at one point.
            callback=skopt.callbacks.DeltaXStopper(9e-7),
            random_state=random_state,
        )
    stats = backtest.run(**dict(zip(values, found.x)))
    # A point that was tried twice has its last value.
    points = dict(zip(map(tuple, found.x_iters), -found.func_vals))
    heatmap = pd.Series(
        list(points.values()), name=name, index=pd.MultiIndex.from_tuples(list(points), names=list(values))
    )
    heatmap = heatmap[heatmap != -_NONE].sort_index()
    has_result = found.func_vals != _NONE
    found.x_iters = list(compress(found.x_iters, has_result))
    found.func_vals = found.func_vals[has_result]
    return stats, heatmap, found


def _dimension(space, name, values):
    """A parameter's values as scikit-optimize takes them: like [`_space`], but times in a list stay what they are."""
    if values.dtype.kind in "iumM":
        values = values.astype("int64") if values.dtype.kind in "mM" else values
        return space.Integer(values.min(), values.max(), name=name)
    if values.dtype.kind == "f":
        return space.Real(values.min(), values.max(), name=name)
    return space.Categorical(values.tolist(), name=name, transform="onehot")


def _cost(backtest, names, objective, name, undefined):
    """What a search makes small: a function of a combination's values, each run once. Unlike on a grid, a run without
    trades counts."""
    known = {}

    def cost(point):
        point = tuple(point)
        if point not in known:
            stats = backtest.run(**dict(zip(names, point)))
            # All of it only for a function, which may look at trades.
            known[point] = stats if name is None else stats[[name]]
        value = -objective(known[point])
        return undefined if np.isnan(value) else value

    return cost


def _tries(max_tries, grid, constraint):
    """How many runs a search may make."""
    if max_tries is None:
        return _TRIES
    if 0 < max_tries <= 1:
        # A share of the combinations that the constraint admits.
        return max(1, int(max_tries * sum(1 for _ in _admissible(grid, constraint, None, None))))
    return max_tries


def _needs(method, package, install, error):
    """The error of a search whose package is missing, or lacks one itself."""
    missing = "" if error.name == method else f" ({error})"
    return ImportError(
        f"Need package '{package}' for method='{method}'{missing}. pip install {' '.join(install)}, or with tide: "
        f"tide python setup {' '.join(f'--with {one}' for one in install)}. Without it search the grid "
        "(method='grid'), or a random share of it with max_tries=0.1 or max_tries=200",
        name=error.name,
    )


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


_work = None


def _call(item):
    return _work(item)


def each(work, items):
    """`work(item)` of all items in their order, by several processes when that is quicker. Where a sandbox forbids
    processes it puts a `Pool` of its own in place of this package's."""
    import multiprocessing

    global _work
    started = time.perf_counter()
    yield work(items[0])
    left = (time.perf_counter() - started) * (len(items) - 1)
    processes = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
                    len(items) - 1)
    # Only a forked process has the strategy and the data without being sent them.
    can_fork = "fork" in multiprocessing.get_all_start_methods()
    if processes < 2 or left < _WORTH_SHARING or not can_fork:
        yield from map(work, items[1:])
        return
    from . import Pool

    _work = work
    try:
        with Pool(processes) as pool:
            chunk = max(1, min(300, len(items) // (processes * 4)))
            yield from pool.imap(_call, items[1:], chunk)
    finally:
        _work = None
