"""What the package promises, checked in one Python process; with BACKTESTING_RULES=backtesting_py_0_3, what it promises
then. `api.py --record FILE` writes the expectations anew; run that with the original installed, version 0.6.6 for
`expected.json`, version 0.3.3 for `expected_0_3.json`."""

import contextlib
import gc
import json
import os
import pickle
import random
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path

import backtesting
import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import (
    SignalStrategy,
    TrailingStrategy,
    barssince,
    compute_stats,
    cross,
    crossover,
    quantile,
    resample_apply,
)

OLD = backtesting.__version__.startswith("0.3.")
if not OLD:
    from backtesting.lib import FractionalBacktest, MultiBacktest
EXPECTED = Path(__file__).with_name("expected_0_3.json" if OLD else "expected.json")
#: Version 0.3.3 has none.
LONG = {} if OLD else {"tag": "long"}
warnings.simplefilter("ignore")


def bars(n=400, seed=1, frequency="4h"):
    """A walk in whole hundredths, the same on every machine."""
    rng, price, rows = random.Random(seed), 10_000, []
    for _ in range(n):
        open_ = price + rng.randrange(-20, 21)
        price = max(2_000, open_ + rng.randrange(-150, 151))
        rows.append((open_, max(open_, price) + rng.randrange(60), min(open_, price) - rng.randrange(60), price, 1_000))
    frame = pd.DataFrame(rows, columns=["Open", "High", "Low", "Close", "Volume"], dtype=float) / 100
    frame.index = pd.date_range("2024-01-01", periods=n, freq=frequency)
    return frame


def mean(values, n):
    return pd.Series(values).rolling(n).mean()


class Cross(Strategy):
    fast, slow = 5, 20

    def init(self):
        self.quick = self.I(mean, self.data.Close, self.fast)
        self.calm = self.I(mean, self.data.Close, self.slow)

    def next(self):
        if crossover(self.quick, self.calm):
            self.position.close()
            self.buy()
        elif crossover(self.calm, self.quick):
            self.position.close()
            self.sell(size=0.5)


class Brackets(Strategy):
    def init(self):
        self.day = resample_apply("D", mean, self.data.Close, 3)

    def next(self):
        price, bar = self.data.Close[-1], len(self.data)
        if bar % 11 == 0:
            self.buy(size=7, sl=price * 0.99, tp=price * 1.02, **LONG)
        if bar % 17 == 0:
            self.sell(size=0.3, limit=price * 1.005)
        if bar % 23 == 0:
            self.position.close(0.5)
        for trade in self.trades:
            if trade.pl_pct > 0.01:
                trade.sl = trade.entry_price


class Signals(SignalStrategy):
    def init(self):
        super().init()
        bar = np.arange(len(self.data))
        self.set_signal(np.where(bar % 40 == 3, 0.3, np.where(bar % 40 == 23, -0.4, 0)),
                        np.where(bar % 40 == 13, 0.5, np.where(bar % 40 == 33, -0.9, 0)))


class Trailing(TrailingStrategy):
    def init(self):
        super().init()
        self.set_atr_periods(20)
        self.set_trailing_sl(3)

    def next(self):
        super().next()
        if not self.position and len(self.data) % 9 == 0:
            self.buy(size=10)


class Changing(Strategy):
    """What `init` makes of the frame is what is traded on."""

    def init(self):
        frame = self.data.df
        frame["Up"] = (frame["Close"].diff() > 0).astype(float)
        frame["Close"] = frame["Close"].shift(1).bfill()
        frame["Open"] = frame["Open"] + 0.5

    def next(self):
        if self.data.Up[-1] and not self.position:
            self.buy(size=3)
        elif self.position and self.data.Up[-3:].sum() == 0:
            self.position.close()


class Shortening(Cross):
    """Indicators are of all bars, and the frame has fewer then."""

    def init(self):
        super().init()
        self.data.df.drop(self.data.df.index[100:140], inplace=True)


CASES = {
    "cross": lambda: Backtest(bars(), Cross, commission=0.001),
    "cross, exclusive": lambda: Backtest(bars(), Cross, exclusive_orders=True, spread=0.001, trade_on_close=True),
    "brackets": lambda: Backtest(bars(), Brackets, margin=0.2, commission=(1, 0.0005), finalize_trades=True),
    "brackets, hedging": lambda: Backtest(bars(seed=5, frequency="15min"), Brackets, hedging=True),
    "signals": lambda: Backtest(bars(), Signals, hedging=True, margin=0.5),
    "trailing": lambda: Backtest(bars(frequency="D"), Trailing),
    "changing": lambda: Backtest(bars(), Changing, commission=0.001),
    "fractional": lambda: FractionalBacktest(bars() * 1000, Cross, fractional_unit=1e-3, cash=300),
    "ruin": lambda: Backtest(bars(seed=9), Cross, margin=0.01),
    "numbers": lambda: Backtest(bars().reset_index(drop=True), Cross),
    "New York": lambda: Backtest(bars(frequency="1h").tz_localize("America/New_York", ambiguous="NaT"), Brackets),
}


#: What version 0.3.3 knows: a commission that moves entries, no spread, no fractions, everything closed at the end.
OLD_CASES = {
    "cross": lambda: Backtest(bars(), Cross, commission=0.001),
    "cross, exclusive": lambda: Backtest(bars(), Cross, exclusive_orders=True, commission=0.001, trade_on_close=True),
    "brackets": lambda: Backtest(bars(), Brackets, margin=0.2, commission=0.0005),
    "brackets, hedging": lambda: Backtest(bars(seed=5, frequency="15min"), Brackets, hedging=True),
    "brackets, closes": lambda: Backtest(bars(seed=6), Brackets, trade_on_close=True, margin=0.5),
    "signals": lambda: Backtest(bars(), Signals, hedging=True, margin=0.5),
    "trailing": lambda: Backtest(bars(frequency="D"), Trailing),
    "changing": lambda: Backtest(bars(), Changing, commission=0.001),
    "ruin": lambda: Backtest(bars(seed=9), Cross, margin=0.01),
    "weeks": lambda: Backtest(bars(frequency="W"), Cross),
    "numbers": lambda: Backtest(bars().reset_index(drop=True), Cross),
    "New York": lambda: Backtest(bars(frequency="1h").tz_localize("America/New_York", ambiguous="NaT"), Brackets),
}
if OLD:
    CASES = OLD_CASES


def plain(value):
    """As JSON has it; pandas' versions differ in how they write what is missing."""
    if value is None or value is pd.NaT or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, np.integer):
        return int(value)
    return value if isinstance(value, (int, str)) else float(value) if isinstance(value, float) else str(value)


def outcome(backtest):
    stats = backtest.run()
    trades = stats["_trades"]
    return {
        "rows": {name: plain(value) for name, value in stats.items() if name[0] != "_"},
        "trades": {name: [plain(v) for v in trades[name]] for name in trades.columns},
        "equity": stats["_equity_curve"]["Equity"].iloc[::29].tolist(),
        "printed": str(stats).splitlines()[: 27 if OLD else 31],
    }


def near(a, b):
    if isinstance(a, dict):
        return list(a) == list(b) and all(near(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(near, a, b))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return a == b or (a != a and b != b) or abs(a - b) <= 1e-9 * max(1, abs(a), abs(b))
    return a == b


def test_recorded_runs():
    expected = json.loads(EXPECTED.read_text())
    assert list(expected) == list(CASES)
    for name, case in CASES.items():
        found = json.loads(json.dumps(outcome(case())))
        for part, value in expected[name].items():
            assert near(value, found[part]), f"{name}, {part}:\n{value}\n{found[part]}"


def within(act, frame=None, **account):
    """Runs `act(strategy)` on every bar; `act.init`, if there, before."""

    class Probe(Strategy):
        def init(self):
            getattr(act, "init", lambda _: None)(self)

        def next(self):
            act(self)

    return Backtest(bars(60) if frame is None else frame, Probe, **account).run()


@contextlib.contextmanager
def raises(kind, text):
    try:
        yield
    except kind as error:
        assert text in str(error), f"{error} does not say {text!r}"
    else:
        raise AssertionError(f"no {kind.__name__}")


def test_arrays_are_numpys_and_end_at_the_bar():
    frame, kept = bars(60), []

    def act(s):
        n = len(s.data)
        for array, whole in ((s.data.Close, frame["Close"]), (s.mean, mean(frame["Close"], 3)), (s.data["High"], frame["High"])):
            assert isinstance(array, np.ndarray) and array.shape == (n,)
            assert np.array_equal(np.asarray(array), whole.to_numpy()[:n], equal_nan=True)
        assert s.rows.shape == (2, n) and s.rows[1, -1] == frame["Low"].iloc[n - 1]
        assert s.whole[0].shape == (60,), "an indicator in a list is not followed"
        assert float(s.data.Close) == frame["Close"].iloc[n - 1] and bool(s.data.Close > 1e9) is False
        assert s.data.Close.s.index[-1] == s.data.index[-1] == frame.index[n - 1]
        assert s.rows.df.shape == (n, 2) and s.data.df.shape == (n, 5)
        if n % 7 == 0:
            kept.append((n, s.data.Close, s.mean, s.rows, s.data.Close[-3:], memoryview(s.mean)))
        for length, close, *others in kept:
            assert close[-1] == frame["Close"].iloc[length - 1] and len(close) == length
            assert [o.shape[-1] for o in others] == [length, length, 3, length]

    def init(s):
        s.mean = s.I(mean, s.data.Close, 3)
        s.rows = s.I(lambda h, low: (h, low), s.data.High, s.data.Low)
        s.whole = [s.I(lambda c: c * 2, s.data.Close)]

    act.init = init
    strategy = within(act, frame)["_strategy"]
    assert len(kept) > 5 and len(strategy.mean) == 60
    copy = pickle.loads(pickle.dumps(strategy.mean))
    assert copy.name == strategy.mean.name and np.array_equal(copy, strategy.mean, equal_nan=True)


def test_an_attribute_set_anew_is_followed_again():
    seen = []

    def act(s):
        seen.append(len(s.mean))
        s.mean = np.zeros(3)

    act.init = lambda s: setattr(s, "mean", s.I(mean, s.data.Close, 3))
    within(act)
    assert seen == list(range(4, 61))


def old_names():
    """Version 0.3.3: what came later is not there."""
    assert backtesting.__version__ == "0.3.3" and backtesting.__rules__ == "backtesting_py_0_3"
    for setting in ({"spread": 0.001}, {"finalize_trades": True}):
        with raises(TypeError, "unexpected keyword argument"):
            Backtest(bars(60), Cross, **setting)
    for commission in ((1, 0.001), lambda size, price: 1.0, None):
        with raises(TypeError, "`commission` must be a float"):
            Backtest(bars(60), Cross, commission=commission).run()
    for name in ("FractionalBacktest", "MultiBacktest"):
        assert not hasattr(backtesting.lib, name) and name not in backtesting.lib.__all__
    assert not hasattr(TrailingStrategy, "set_trailing_pct")

    def act(s):
        if len(s.data) == 5:
            assert repr((s.equity, s._broker.margin_available)) == "(10000, 10000)", "the cash as it was given"
            with raises(TypeError, "unexpected keyword argument 'tag'"):
                s.buy(size=2, tag="x")
            s.buy(size=2)
        if len(s.data) == 6:
            with raises(AttributeError, "no attribute 'tag'"):
                s.trades[0].tag
            s.trades[0].tag = "mine"
            with raises(AttributeError, "no attribute '_spread'"):
                s._broker._spread
        if len(s.data) == 7:
            assert s.trades[0].tag == "mine"

    stats = within(act)
    assert list(stats["_trades"].columns) == [
        "Size", "EntryBar", "ExitBar", "EntryPrice", "ExitPrice", "PnL", "ReturnPct", "EntryTime", "ExitTime", "Duration",
    ]
    with raises(ValueError, "`maximize`"):
        Backtest(bars(60), Cross).optimize(fast=[3, 4], maximize="Kelly Criterion")
    again = compute_stats(stats=stats, data=bars(60))
    assert all(near(plain(stats[k]), plain(again[k])) for k in stats.index if k[0] != "_")


def old_orders():
    """Version 0.3.3: sizes below zero, levels that are just reached, orders that close a trade."""
    frame = pd.DataFrame([[10, 11, 9, 10]] * 12, columns=["Open", "High", "Low", "Close"], dtype=float)
    frame.index = pd.date_range("2024-01-01", periods=12)

    def act(s):
        bar = len(s.data)
        if bar == 3:
            s.buy(size=-4)
            s.buy(size=1, limit=9)
            s.sell(size=1, stop=9)
        if bar == 5:
            assert [t.size for t in s.trades] == [-4] and len(s.orders) == 2, "a level that is reached is not passed"
            s.position.close()
            close = s.orders[0]
            assert close.is_contingent
            s.orders.cancel()
            assert s.orders == (close,), "all but what depends on a trade"
            with raises(AssertionError, "version 0.3.3 fails"):
                close.cancel()
            assert not s.orders
            with raises(ValueError, "no longer pending"):
                close.cancel()
        if bar == 7:
            s.trades[0].tp, s.trades[0].sl = 8, 12
            assert [(o.stop, o.limit) for o in s.orders] == [(12, None), (None, 8)]
            s.trades[0].tp = 8.5
            assert [(o.stop, o.limit) for o in s.orders] == [(None, 8.5), (12, None)], "the newest is first"
            assert s.position.pl_pct == 0 and s.position.pl == 0

    trades = within(act, frame)["_trades"]
    assert trades[["Size", "EntryBar", "ExitBar"]].values.tolist() == [[-4, 3, 11]], "closed at the end"


def test_rules_are_named_before_the_import():
    code = "import backtesting; print(backtesting.__version__, backtesting.__rules__)"
    for name, shown in (("", "0.6.6 backtesting_py"), ("backtesting_py_0_3", "0.3.3 backtesting_py_0_3"), ("other", None)):
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                             env={**os.environ, "BACKTESTING_RULES": name})
        if shown is None:
            assert "ImportError: BACKTESTING_RULES: no rules" in run.stderr, run.stderr
        else:
            assert run.stdout.strip() == shown, run.stderr


def test_unknown_names():
    def act(s):
        if len(s.data) == 5:
            s.buy(size=2)
        if len(s.data) != 8:
            return
        for owner, text in (
            (s.position, "'Position' object has no attribute 'entry_price'; "), (s.orders, "'tuple' object has no attribute"),
            (s.trades[0], "'Trade' object has no attribute"), (s.data, "Column 'entry_price' not in data"),
            (s.data.Close, "'_Array' object has no attribute"), (s._broker, "'_Broker' object has no attribute"),
            (s, "'Probe' object has no attribute"),
        ):
            with raises(AttributeError, text):
                owner.entry_price if owner is not s.trades[0] else owner.pnl
        with raises(KeyError, "nothing"):
            s.data["nothing"]
        for name in ("data", "position", "equity", "trades"):
            with raises(AttributeError, ""):
                setattr(s, name, 1)
        s.position.mine, s.trades[0].mine = 1, 2
        assert s.position.mine == 1 and s.trades[0].mine == 2

    within(act)


def test_refused_orders():
    def act(s):
        if len(s.data) != 5:
            return
        for wrong in (-1, 0, 1.5):
            with raises(AssertionError, "size must be a positive fraction of equity"):
                s.buy(size=wrong)
        with raises(ValueError, "Long orders require: SL (1000.0) < LIMIT"):
            s.buy(sl=1000)
        with raises(ValueError, "Short orders require"):
            s.sell(tp=1000)
        with raises(ValueError, "no longer pending"):
            order = s.buy(size=1, limit=1)
            order.cancel()
            order.cancel()
        with raises(ValueError, "SL (nan)"):
            s.buy(sl=float("nan"))
        for wrong in ("2", None):
            with raises(TypeError, ""):
                s.buy(size=wrong)
        with raises(TypeError, ""):
            s.buy(5)
        assert not s.orders
        s.buy(size=3, tag=("any", "object"))
        assert s.orders[0].tag == ("any", "object") and s.orders[0] is s.orders[0]

    within(act)


def test_levels_of_a_trade_are_prices_or_none():
    def act(s):
        if len(s.data) == 5:
            s.buy(size=3)
        if len(s.data) == 7:
            for wrong, kind in ((0, AssertionError), (-1, AssertionError), (float("nan"), AssertionError), ("9", TypeError)):
                with raises(kind, ""):
                    s.trades[0].sl = wrong
            s.trades[0].sl = 1
            s.trades[0].sl = None
            assert s.trades[0].sl is None and not s.orders

    within(act)


def test_levels_that_are_no_price_fail_when_the_order_fills():
    def act(s):
        if len(s.data) == 5:
            s.buy(size=3, sl=-0.05)

    with raises(AssertionError, "Make sure 0 < price < inf! price: -0.05"):
        within(act)


def test_the_commission_is_a_function():
    def act(s):
        commission = s._broker._commission
        seen.append(commission if OLD else commission(-3, 50.0))

    for given, want in ((0.002, 0.002 if OLD else 0.3), ((1, 0.002), 1.3), (lambda size, price: 7.0, 7.0)):
        if OLD and given != 0.002:
            continue
        seen = []
        within(act, commission=given)
        assert seen[0] == want, (given, seen[0])


def test_settings_and_data():
    frame = bars(60)
    for account, kind, text in (
        ({"cash": -1}, AssertionError, "cash should be > 0"), ({"margin": 2}, AssertionError, "margin should be"),
        ({"commission": 2}, AssertionError, "commission should be"), ({"commission": "x"}, TypeError, "commission"),
        ({"nothing": 1}, TypeError, "nothing"),
    ):
        with raises(kind, text):
            Backtest(frame, Cross, **account).run()
    with raises(ValueError, "rename ['open'"):
        Backtest(frame.rename(columns=str.lower), Cross)
    with raises(ValueError, "missing (NaN)"):
        Backtest(frame.assign(Low=np.nan), Cross)
    with raises(TypeError, "Strategy sub-type"):
        Backtest(frame, int)
    with raises(AttributeError, "no parameter 'nothing'"):
        Backtest(frame, Cross).run(nothing=1)
    with raises(TypeError, "abstract"):
        Backtest(frame, type("Half", (Strategy,), {"init": lambda s: None})).run()
    with raises(RuntimeError, "backtest.run()"):
        Backtest(frame, Cross).plot()

    def failing(size, price):
        raise OSError("no fee today")

    with raises(OSError, "no fee today"):
        Backtest(frame, Cross, commission=failing).run()


def test_changes_of_the_frame_are_for_one_run():
    frame = bars(60)
    backtest = Backtest(frame, Changing)
    first, second = backtest.run(), backtest.run()
    assert first.drop(["_strategy", "_trades", "_equity_curve"]).equals(
        second.drop(["_strategy", "_trades", "_equity_curve"])
    )
    assert list(frame.columns) == list(backtest._data.columns) == ["Open", "High", "Low", "Close", "Volume"]

    def act(s):
        s.volume = s.data.Volume[-1]

    act.init = lambda s: s.data.df.drop(columns=["Volume"], inplace=True)
    with raises(KeyError, "Volume"):
        within(act, frame)
    with raises(IndexError, "out of bounds for axis 0 with size 360"):
        Backtest(bars(), Shortening).run()
    for name in ("Open", "Low", "Close"):
        act.init = lambda s: s.data.df.drop(columns=[name], inplace=True)
        with raises(KeyError, name):
            within(act, frame)

    def late(s):
        raise AssertionError("a bar")

    def init(s):
        s.late = s.I(lambda: np.r_[np.full(59, np.nan), 1.0])
        s.data.df.columns = s.data.df.columns.str.lower()

    late.init = init
    assert within(late, frame)["# Trades"] == 0, "no bar is simulated, and nobody asks for a price"


def test_indicators():
    def act(s):
        pass

    def init(s):
        with raises(RuntimeError, 'indicator "broken" failed'):
            s.I(broken)
        with raises(ValueError, "for each of the 60 bars"):
            s.I(lambda: np.zeros(3))
        with raises(ValueError, "it gave None"):
            s.I(lambda: None)
        with raises(AttributeError, "it gave None"):
            s.I(lambda: None, name=["one", "two"])
        with raises(ValueError, "1 names for an indicator of 2 rows"):
            s.I(lambda: np.zeros((2, 60)), name=["one"])
        assert s.I(mean, s.data.Close, 3).name == "mean(C,3)"
        assert s.I(mean, s.data.Close, n=3, name="of {0}, {n}").name == "of C, 3"

    act.init = init
    within(act)


def broken():
    raise KeyError("x")


def test_searching():
    backtest = Backtest(bars(), Cross)
    stats, heatmap = backtest.optimize(fast=[3, 5, 8], slow=range(10, 31, 10), constraint=lambda p: p.fast * 2 < p.slow,
                                       maximize="Return [%]", return_heatmap=True)
    assert heatmap.index.names == ["fast", "slow"] and len(heatmap) == 7
    assert stats["Return [%]"] == heatmap.max() and str(stats["_strategy"]).startswith("Cross(fast=")
    markets = MultiBacktest([bars(), bars(seed=2), bars(seed=3)], Cross)
    table = markets.run(fast=3)
    assert table.shape[1] == 3 and table[0]["# Trades"] != 0
    # With processes of its own even where that is not worth it.
    from backtesting import _optimize

    worth, _optimize._WORTH_SHARING = _optimize._WORTH_SHARING, 0
    pools = []
    pool, backtesting.Pool = backtesting.Pool, lambda *args: pools.append(args) or pool(*args)
    try:
        shared = markets.run(fast=3)
        _, once_more = backtest.optimize(fast=[3, 5, 8], slow=range(10, 31, 10), maximize="Return [%]",
                                         constraint=lambda p: p.fast * 2 < p.slow, return_heatmap=True)
    finally:
        _optimize._WORTH_SHARING, backtesting.Pool = worth, pool
    assert len(pools) == 2 or os.cpu_count() == 1
    assert shared.equals(table) and once_more.equals(heatmap)
    result = backtest.run()
    again = compute_stats(stats=result, data=bars())
    assert all(near(plain(result[k]), plain(again[k])) for k in result.index if k[0] != "_")


def test_evolution():
    backtest = Backtest(bars(), Cross)
    search = {"fast": range(3, 12), "slow": range(15, 60), "max_tries": 40, "random_state": 1, "method": "sambo"}
    try:
        import sambo  # noqa: F401
    except ImportError:
        with raises(ImportError, "tide python setup --with sambo"):
            backtest.optimize(**search)
        print("SKIPPED: the searches of sambo, which is not installed")
        return
    stats, heatmap, found = backtest.optimize(**search, maximize="Return [%]", return_heatmap=True,
                                              return_optimization=True, constraint=lambda p: p.fast * 3 < p["slow"])
    assert heatmap.index.names == ["fast", "slow"] and heatmap.name == "Return [%]" and len(heatmap) <= 40
    assert stats["Return [%]"] == heatmap.max() == -found.fun and all(3 * fast < slow for fast, slow in heatmap.index)
    assert backtest.optimize(**search)["SQN"] == backtest.optimize(**search)["SQN"]
    share = backtest.optimize(**{**search, "max_tries": 0.05}, return_optimization=True)[1]
    assert share.nfev == 9 * 45 // 20


def old_forests():
    backtest = Backtest(bars(), Cross)
    search = {"fast": range(3, 12), "slow": range(15, 60), "max_tries": 30, "random_state": 1, "method": "skopt"}
    with raises(ValueError, "fast=[]"):
        backtest.optimize(**{**search, "fast": []})
    try:
        import skopt
    except ImportError:
        with raises(ImportError, "Need package 'scikit-optimize' for method='skopt'. pip install scikit-optimize, or"):
            backtest.optimize(**search)
        print("SKIPPED: the searches of scikit-optimize, which is not installed")
        return
    seen = []
    stats, heatmap, found = backtest.optimize(
        **search, maximize=lambda s: seen.append(len(s["_trades"])) or s["Return [%]"], return_heatmap=True,
        return_optimization=True, constraint=lambda p: p.fast * 3 < p["slow"],
    )
    assert heatmap.index.names == ["fast", "slow"] and heatmap.name is None and heatmap.index.is_monotonic_increasing
    assert stats["Return [%]"] == heatmap.max() == -found.fun and all(3 * fast < slow for fast, slow in heatmap.index)
    # What the constraint forbids is tried and not told.
    assert len(found.x_iters) == len(found.func_vals) == len(seen) < 30
    assert {tuple(x): -y for x, y in zip(found.x_iters, found.func_vals)} == heatmap.to_dict()
    dimensions = skopt.space.Integer(3, 11, name="fast"), skopt.space.Integer(15, 59, name="slow")
    assert found.space == skopt.Space(dimensions) and [d.name for d in found.space] == ["fast", "slow"]
    same = []
    for _ in range(2):
        # What its trees draw from, whatever `random_state` says.
        np.random.seed(1)
        same.append(backtest.optimize(**search, return_optimization=True))
    assert same[0][1].x_iters == same[1][1].x_iters and same[0][0]["SQN"] == -same[0][1].fun
    calls = [0]

    def count(params):
        calls[0] += 1
        return False

    # A share is of what is admissible, of nothing still one; the count itself asks of all 405.
    stats, heatmap = backtest.optimize(**{**search, "max_tries": 0.05}, constraint=count, return_heatmap=True)
    assert calls[0] == 9 * 45 + 1 and heatmap.empty and heatmap.index.names == ["fast", "slow"]
    assert heatmap.name == "SQN" and stats["# Trades"] > 0

    class Idle(Cross):
        def next(self):
            pass

    # A run without a trade counts.
    stats, heatmap = Backtest(bars(), Idle).optimize(**search, maximize="Return [%]", return_heatmap=True)
    assert len(heatmap) > 1 and not heatmap.any() and stats["# Trades"] == 0
    del search["slow"], search["max_tries"]
    # At one point twice, of only nine: it ends long before its 200.
    assert len(backtest.optimize(**search, return_optimization=True)[1].x_iters) < 40
    with raises(ValueError, "has to be less than"):
        backtest.optimize(**{**search, "fast": [5]})
    with raises(KeyError, "nope"):
        backtest.optimize(**search, constraint=lambda p: p.nope)


def test_sample_prices():
    import backtesting.test

    with raises(AttributeError, "no attribute 'AAPL'"):
        backtesting.test.AAPL
    try:
        metadata.distribution("backtesting")
    except metadata.PackageNotFoundError:
        with raises(ImportError, "tide python setup"):
            from backtesting.test import GOOG
        return
    from backtesting.test import GOOG

    assert list(GOOG.columns) == ["Open", "High", "Low", "Close", "Volume"] and GOOG.index.is_monotonic_increasing
    assert Backtest(GOOG, Cross).run()["# Trades"] > 10


def test_series():
    assert crossover([1, 3], [2, 2]) and not crossover([2, 3], [2, 2]) and crossover(pd.Series([1, 3]), 2)
    assert not crossover([1], [2]) and cross([3, 1], 2)
    assert barssince([True, False, False]) == 2 and barssince([False], 7) == 7
    assert quantile(np.array([1, 2, 3])) == 1 and quantile([1, 2, 3], 0.5) == 2
    with raises(TypeError, ""):
        crossover([1, 2], None)


def test_warnings_point_to_the_script():
    class Poor(Strategy):
        def init(self):
            pass

        def next(self):
            if len(self.data) == 20:
                self.buy(size=10_000)
            if len(self.data) == 30:
                self.buy(size=1)

    kinds = [Backtest] if OLD else [Backtest, FractionalBacktest]
    for kind in kinds:
        acts = [lambda: kind(bars().iloc[::-1], Poor), lambda: kind(bars().reset_index(drop=True), Poor)]
        if kind is Backtest:
            acts.append(lambda: kind(bars(), Poor, cash=50))
        if not OLD:
            backtest = kind(bars(), Poor)
            acts.append(lambda: backtest.run())
        for act in acts:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                act()
            places = {(w.filename, w.lineno) for w in caught}
            assert places == {(__file__, act.__code__.co_firstlineno)}, [str(w) for w in caught]


def test_prices_are_of_the_originals_types():
    class Levels(Strategy):
        def init(self):
            self.types = []

        def next(self):
            close = float(self.data.Close[-1])
            if len(self.data) == 20:
                self.sell(size=1, limit=close * 1.005)
            if len(self.data) == 60:
                self.buy(size=1, sl=close * 0.98)
            if len(self.data) == 50:
                self.position.close()

    for account in {}, {"commission": 0.001}:
        strategy = Backtest(bars(), Levels, **account).run()["_strategy"]
        types = [(type(t.entry_price), type(t.exit_price)) for t in strategy.closed_trades]
        assert types == [(float, np.float64), (np.float64, float)], types


def test_recomputed_statistics_leave_out_what_was_paid():
    frame = bars()
    stats = Backtest(frame, Cross, commission=0.001).run()
    for trades in None, stats._trades, stats._trades.iloc[:2]:
        assert "Commissions [$]" not in compute_stats(stats=stats, data=frame, trades=trades)
    assert OLD or stats["Commissions [$]"] > 0


def test_cycles_are_collected():
    alive = []

    class Noted(Cross):
        def next(self):
            super().next()
            for trade in self.trades:
                trade.owner = self
            if len(self.data) % 50 == 0:
                gc.collect()

        def __del__(self):
            alive.remove(id(self))

        def init(self):
            super().init()
            alive.append(id(self))

    for _ in range(3):
        Backtest(bars(), Noted).run()
    gc.collect()
    assert not alive, "runs that nobody holds stay in memory"


def test_import_is_light():
    code = "import sys, backtesting; print(sorted({'pandas', 'bokeh', 'tqdm'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]", found


def main():
    if "--record" in sys.argv:
        target = Path(sys.argv[sys.argv.index("--record") + 1])
        target.write_text(json.dumps({name: outcome(case()) for name, case in CASES.items()}) + "\n")
        return
    tests = {name: test for name, test in globals().items() if name.startswith("test_")}
    if OLD:
        names = ("test_recorded_runs", "old_names", "old_orders", "old_forests")
        names += ("test_arrays_are_numpys_and_end_at_the_bar",)
        names += ("test_warnings_point_to_the_script", "test_recomputed_statistics_leave_out_what_was_paid")
        names += ("test_prices_are_of_the_originals_types", "test_changes_of_the_frame_are_for_one_run")
        names += ("test_the_commission_is_a_function",)
        tests = {name: globals()[name] for name in names}
    for name, test in tests.items():
        test()
        print(f"ok {name}")
    print(f"{len(tests)} passed")


if __name__ == "__main__":
    main()
