"""What went wrong in a script, as a person or a program needs it to mend the script."""
import contextlib
import difflib
import importlib
import linecache
import mmap
import re
import sys
import traceback

TEXT_MAX = 2_000
FRAMES_MAX = 12
AROUND = 3
RESERVE_BYTES = 32 << 20


def describe(error, path, text):
    """Type and message of the first cause, where in the script, what led there, and a hint where one is known."""
    chain = causes(error)
    root = chain[-1]
    if isinstance(root, MemoryError):
        relieve()
    lines = text.splitlines()
    fault = {"type": type(root).__name__, "message": message_of(root), "file": path}
    where = next((w for w in map(lambda e: place(e, path), reversed(chain)) if w), None)
    where = where or ((calling(path) or (path, None))[1], None, None)
    fault["line"], fault["column"], fault["function"] = where
    if isinstance(root, SyntaxError) and root.lineno and root.filename == path:
        fault["line"], fault["column"], fault["function"] = root.lineno, root.offset or None, None
    at = fault["line"] or 0
    shown = range(max(at - AROUND, 1), min(at + AROUND, len(lines)) + 1) if at else ()
    fault["context"] = [[n, lines[n - 1][:200]] for n in shown]
    fault["within"] = ["%s: %s" % (type(e).__name__, message_of(e)) for e in chain[:-1]]
    fault["trace"] = trace(root)
    fault["hint"] = hint(root, fault, lines)
    return fault


reserve = []


def keep_reserve():
    """Keeps room for telling that the memory is used up: it counts against the limit and takes none."""
    with contextlib.suppress(OSError, ValueError):
        reserve.append(mmap.mmap(-1, RESERVE_BYTES))


def relieve():
    """Gives the room back."""
    while reserve:
        reserve.pop().close()


def nothing_ran(shape, script):
    """A script that came to its end without a backtest."""
    if shape["whole"]:
        why = "it came to its end without a call of Backtest.run()"
        advice = "call it at the top level or under `if __name__ == '__main__':`"
    else:
        why = "it defines no Strategy and makes no Backtest"
        advice = "define a class that derives from backtesting.Strategy, with init() and next()"
    if shape["whole"] and LOOKS_FOR_FILES.search(script):
        advice += "; " + NO_FILES
    hint_ = {"code": "nothing-ran", "text": advice}
    return {
        "type": "NothingRan",
        "message": why,
        "file": None,
        "line": None,
        "column": None,
        "function": None,
        "context": [],
        "within": [],
        "trace": [],
        "hint": hint_,
    }


def causes(error):
    """The error and what it was raised from, down to the first."""
    chain = [error]
    while len(chain) < 10:
        last = chain[-1]
        below = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if below is None or below in chain:
            break
        # An error while another was being handled hides the other only when it says that it comes from it.
        if last.__cause__ is None and not isinstance(last, RuntimeError):
            break
        chain.append(below)
    return chain


def message_of(error):
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be made)"
    if isinstance(error, KeyError) and error.args:
        text = repr(error.args[0])
    return text[:TEXT_MAX]


def frames(error):
    return traceback.extract_tb(error.__traceback__)


def place(error, path):
    """The innermost line of the script on the way to the error, the column in it (from 1) and the function."""
    for frame in reversed(frames(error)):
        if frame.filename == path:
            # Told in bytes.
            line, at = linecache.getline(path, frame.lineno).encode(), getattr(frame, "colno", None)
            return frame.lineno, None if at is None else len(line[:at].decode(errors="replace")) + 1, frame.name
    return None


def calling(path):
    """The script's own path and its line that is being carried out, the innermost."""
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_filename != path:
        frame = frame.f_back
    return None if frame is None else (path, frame.f_lineno)


def trace(error):
    own = [f for f in frames(error) if "tide_" not in f.filename and f.filename != "<string>"]
    return [
        {"file": f.filename, "line": f.lineno, "function": f.name, "source": (f.line or "")[:200]}
        for f in own[-FRAMES_MAX:]
    ]


def near(word, names):
    """`; did you mean ...` where there is something alike."""
    shown = [name for name in names if word.startswith("_") or not name.startswith("_")]
    found = difflib.get_close_matches(word, shown, 3, 0.6)
    return "; did you mean %s?" % " or ".join(found) if found else ""


def hint(error, fault, lines):
    """A hint by the first rule that fits."""
    text, kind = fault["message"], fault["type"]
    if isinstance(error, OSError) and any(IN_PROCESSES.search(f.filename) for f in frames(error)):
        return {"code": "no-processes", "text": "there are no other processes in the sandbox: work in this one, as optimize() does"}
    source = lines[fault["line"] - 1] if fault["line"] and fault["line"] <= len(lines) else ""
    for code, kinds, pattern, advice in RULES:
        if kinds and kind not in kinds:
            continue
        match = re.search(pattern, text, re.S)
        if match:
            advice = advice(match, source) if callable(advice) else advice
            if advice:
                return {"code": code, "text": advice}
    if isinstance(error, SystemExit) and LOOKS_FOR_FILES.search("\n".join(lines)):
        return {"code": "file-missing", "text": "the script looks for its file and leaves; " + NO_FILES}
    return None


def missing_attribute(match, source):
    owner, name = match.groups()
    if owner.startswith("_") and name in SERIES_ONLY or owner in ("ndarray", "_Indicator", "_Array"):
        return (
            "indicators and self.data columns are arrays, not pandas Series: `x[-1]` is now and `x[-2]` the bar "
            "before; compute shifts and rolling windows in a function given to self.I(), on pd.Series(x)"
        )
    members = {
        "Position": "size, pl, pl_pct, is_long, is_short, close(); entries are in self.trades[-1].entry_price, .sl, .tp",
        "Trade": "size, entry_price, entry_bar, entry_time, exit_price, pl, pl_pct, value, sl, tp, tag, close()",
        "Order": "size, limit, stop, sl, tp, tag, cancel()",
    }
    if owner in members:
        return "%s has no `%s`; it has %s" % (owner, name, members[owner])
    if owner == "_Broker":
        return (
            "the broker is the library's own and has no `%s`; use self.equity, self.position, self.orders, self.trades, "
            "self.closed_trades" % name
        )
    known = ("I", "init", "next", "buy", "sell", "equity", "data", "position", "orders", "trades", "closed_trades")
    if "self.%s" % name in source:
        return "a Strategy has no `%s`%s; it has %s" % (name, near(name, known), ", ".join(known))
    return None


def missing_name(match, _):
    name, owner = match.groups()
    if name == "crossunder":
        return "%s has no `crossunder`; crossover(b, a) says that a crosses below b" % owner
    return "%s has no `%s`%s" % (owner, name, near(name, dir(sys.modules.get(owner))))


def missing_in_module(match, source):
    owner, name = match.groups()
    module = sys.modules.get(owner)
    if module is None:
        return None
    return "%s has no `%s`%s" % (owner, name, near(name, dir(module)))


def missing_module(match, source):
    name = match.group(1).split(".")[0]
    if importlib.util.find_spec(name) is not None:
        return None
    if name in ("MetaTrader5", "ccxt", "yfinance", "requests", "alpaca_trade_api"):
        return "there is no network in the sandbox: give bars with --data and take the import of `%s` out" % name
    return (
        "`%s` is neither in the environment nor a file beside the script: `tide python setup --with %s`, or put %s.py "
        "into the script's folder" % (name, name, name)
    )


def later_version(match, source):
    version = getattr(sys.modules.get("backtesting"), "__version__", "")
    if not version.startswith("0.3."):
        return None
    what = next((name for name in match.groups() if name), "such commission")
    return "version %s, whose rules it runs under, has no `%s`; --broker backtesting_py is version 0.6.6" % (version, what)


SERIES_ONLY = ("shift", "rolling", "iloc", "loc", "diff", "ewm", "fillna", "pct_change", "mean", "values", "index")

# Where other processes are started.
IN_PROCESSES = re.compile(r"/multiprocessing/|/concurrent/futures/process\.py$|/subprocess\.py$")

# How scripts ask whether a file is there.
LOOKS_FOR_FILES = re.compile(r"os\.path\.(exists|isfile)\(|\.(exists|is_file)\(\)|os\.access\(")
NO_FILES = (
    "no file of yours is in the sandbox: take the check out and read the path anyhow, `pd.read_csv` answers with --data"
)

# Code, types, pattern of the message, advice.
RULES = [
    (
        "size-not-a-number",
        ("ValueError", "AssertionError"),
        r"cannot convert float (NaN|infinity) to integer",
        lambda m, source: "a size that is no number: an indicator or a price that it is computed from has no value "
        "yet on this bar; do not order then (`if not numpy.isnan(size)`)"
        if re.search(r"\b(buy|sell|size)\b", source) or "size" in m.string
        else "",
    ),
    (
        "fractional-size",
        (),
        r"size must be a positive fraction of equity, or a positive whole number",
        "an order's size is a share of equity (0 < size < 1) or a whole number of units: round it, "
        "`int(size)`, and do not order when that is 0",
    ),
    (
        "stop-on-wrong-side",
        (),
        r"(Long|Short) orders require",
        "of a long order sl < entry < tp, of a short one tp < entry < sl; the entry is the limit, else the stop, "
        "else the last close: compute sl and tp from self.data.Close[-1], and skip the order where they do not fit",
    ),
    (
        "indicator-shape",
        (),
        r"must give one value, or one row|Indicators must return|same length as `data`|shape mismatch|Length of values",
        "a function given to self.I() returns one array as long as self.data (or a tuple of such): fill what an "
        "indicator does not know yet with NaN rather than leaving it out",
    ),
    (
        "talib-input",
        (),
        r"input array type is not double|input array has wrong dimensions",
        "TA-Lib takes arrays of float64: `x.astype(float)`, and one column at a time",
    ),
    (
        "column-missing",
        ("KeyError", "AttributeError", "ValueError"),
        r"Column '([^']+)' not in data|must be a pandas.DataFrame with columns|not in index|"
        r"Missing column provided to|not found in axis",
        "the frame given to Backtest has columns Open, High, Low, Close and Volume, with just these capital letters; "
        "rename what read_csv gave (`data.columns = [c.strip().capitalize() for c in data.columns]`)",
    ),
    (
        "later-version",
        ("TypeError", "ImportError"),
        r"unexpected keyword argument '(spread|finalize_trades|tag)'|"
        r"cannot import name '(FractionalBacktest|MultiBacktest)'|`commission` must be a float value",
        later_version,
    ),
    ("no-module", ("ModuleNotFoundError", "ImportError"), r"No module named '([^']+)'", missing_module),
    (
        "no-name",
        ("ImportError",),
        r"cannot import name '([^']+)' from '([^']+)'",
        missing_name,
    ),
    ("no-such-function", ("AttributeError",), r"module '([^']+)' has no attribute '([^']+)'", missing_in_module),
    ("no-such-attribute", ("AttributeError",), r"'([^']+)' object has no attribute '([^']+)'", missing_attribute),
    (
        "column-missing",
        ("KeyError",),
        r"^'[^']*'$",
        "no column or key of that name; print(data.columns) shows those there are (read_csv keeps spaces and "
        "capital letters as they stand in the file)",
    ),
    (
        "file-missing",
        ("FileNotFoundError",),
        r".",
        "only the script's own scratch folder can be read and written, and tables in the script's folder or below can "
        "be read; pd.read_csv of a path that is not there is answered with --data",
    ),
    (
        "no-network",
        (),
        r"name resolution|Name or service not known|Network is unreachable|Max retries exceeded",
        "there is no network in the sandbox: give bars with --data and read them with pd.read_csv",
    ),
    (
        "read-only",
        ("OSError", "PermissionError"),
        r"Read-only file system|non-existent directory|Permission denied: '",
        "only the folder that the script starts in can be written, and it is gone afterwards: write to a plain name "
        "there (`trades.csv`), or make a folder in it first (`os.makedirs('out')`); --trades keeps the trades of runs",
    ),
    (
        "no-processes",
        ("PermissionError", "BlockingIOError", "OSError"),
        r"Operation not permitted|Permission denied",
        "the sandbox has no network, no other processes and no files but a scratch folder",
    ),
    ("memory", ("MemoryError", "_ArrayMemoryError"), r"", "the run's memory is limited; take fewer copies of the data"),
    (
        "setup",
        ("ValueError", "TypeError"),
        r"must be a Strategy sub-type|`data` must be a pandas.DataFrame",
        "Backtest(data, StrategyClass): the frame first, then the class itself, not an instance",
    ),
    (
        "params-undeclared",
        ("AttributeError",),
        r"(?:is missing|has no) parameter '([^']+)'",
        lambda m, _: "declare `%s` as an attribute of the class before a run sets it" % m.group(1),
    ),
    (
        "markdown",
        ("SyntaxError",),
        r"",
        lambda m, source: "the file is not all Python: take the text around the program out"
        if source.strip().startswith(("```", "Here", "#", "**"))
        else "",
    ),
    (
        "cut-off",
        ("SyntaxError", "IndentationError"),
        r"was never closed|unexpected EOF|expected an indented block|unterminated",
        "the script seems to be cut off here",
    ),
]
