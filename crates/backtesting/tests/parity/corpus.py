"""Runs a folder of strategy scripts with both engines and compares what came out.

    python corpus.py SCRIPTS --data BARS.csv --ours FOLDER [--original PYTHON] [--rules backtesting_py_0_3]
                     [--keep FOLDER] [--sample N]

Each script runs as it is, in a process of its own forked from one that has the imports done; whatever CSV it reads is
replaced by the one given, with the columns it has. Recorded are the statistics, trades and equity of every run it asks
for, its output, and how it ended. `--keep` keeps the records, so that a second comparison runs only what is missing.
"""

import argparse
import ast
import ctypes
import hashlib
import os
import pickle
import random
import re
import resource
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# Wall time of a script, in limits of its processor time: the machine may have other work.
PATIENCE = 10
# Address space of a script: a machine shared with others must not run out of memory.
MEMORY_BYTES = 8 << 30
libc = ctypes.CDLL(None)
#: The original's version by the name of its rules.
VERSIONS = {"backtesting_py": "0.6.", "backtesting_py_0_3": "0.3."}
FENCE = re.compile(r"```(?:python)?\n(.*?)(?:```|\Z)", re.S)


def is_old():
    """Whether the library that is imported is of version 0.3, or follows it."""
    import backtesting

    return backtesting.__version__.startswith("0.3.")


def demand_version(rules):
    import backtesting

    if not backtesting.__version__.startswith(VERSIONS[rules]):
        sys.exit(f"{rules}: {backtesting.__file__} is of version {backtesting.__version__}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scripts", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="bars that scripts read instead of their own file")
    parser.add_argument("--ours", type=Path, required=True, help="folder that holds our package `backtesting`")
    parser.add_argument("--original", default=sys.executable, help="Python that has backtesting.py installed")
    parser.add_argument("--rules", choices=VERSIONS, default="backtesting_py", help="the version that is compared")
    parser.add_argument("--keep", type=Path, default=Path("parity"), help="folder for the records")
    parser.add_argument("--sample", type=int, default=0, help="this many scripts, by a seed; 0 for all")
    parser.add_argument("--limit", type=int, default=60, help="seconds of processor time a script's process may take")
    parser.add_argument("--again", action="store_true", help="run ours again where there is a record")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--slot", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    scripts = find(options.scripts, options.sample)
    if options.work:
        return work(options, scripts)
    print(f"{len(scripts)} scripts that parse")
    for engine in ("original", "ours"):
        run_all(options, engine)
    return report(options, scripts)


def find(folder, sample):
    """Path and text of the scripts that parse and run a backtest, each text once."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(errors="replace")
        if not parses(text):
            blocks = FENCE.findall(text)
            text = max(blocks, key=len) if blocks else ""
        if "backtesting" in text and parses(text):
            found.setdefault(hashlib.sha1(text.encode()).hexdigest()[:16], (path, text))
    scripts = list(found.items())
    if sample:
        random.Random(1).shuffle(scripts)
        scripts = scripts[:sample]
    return scripts


def parses(text):
    try:
        ast.parse(text)
        return True
    except (SyntaxError, ValueError):
        return False


def run_all(options, engine):
    """Two processes, each forking one child at a time."""
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1")
    environment.pop("PYTHONPATH", None)
    if engine == "ours":
        environment.update(PYTHONPATH=str(options.ours.resolve()), BACKTESTING_RULES=options.rules)
    command = [options.original, __file__, str(options.scripts), "--data", str(options.data), "--ours",
               str(options.ours), "--keep", str(options.keep), "--sample", str(options.sample), "--limit",
               str(options.limit), "--rules", options.rules, "--work", engine]
    if options.again:
        command.append("--again")
    slots = [subprocess.Popen([*command, "--slot", str(k)], env=environment) for k in range(2)]
    if any([slot.wait() for slot in slots]):
        sys.exit(f"the {engine}'s runner failed")


def work(options, scripts):
    """Runs every second script with the engine that this process imports."""
    import warnings

    import backtesting
    import numpy  # noqa: F401
    import pandas  # noqa: F401

    for optional in ("talib", "pandas_ta_classic", "scipy"):
        try:
            __import__(optional)
        except ImportError:
            pass
    is_ours = hasattr(backtesting, "__engine__")
    demand_version(options.rules)
    if is_ours != (options.work == "ours"):
        sys.exit(f"{options.work}: imported {backtesting.__file__}")
    warnings.simplefilter("ignore")
    # Whatever a script's processes leave behind becomes a child of this one, which ends it.
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    folder = options.keep / options.work
    folder.mkdir(parents=True, exist_ok=True)
    for k, (digest, (path, text)) in enumerate(scripts):
        record = folder / f"{digest}.pickle"
        if k % 2 != options.slot or record.exists() and not (options.again and is_ours):
            continue
        started = time.perf_counter()
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
            resource.setrlimit(resource.RLIMIT_CPU, (options.limit, options.limit + 1))
            run_one(options, path, text, record)
        in_time = wait(child, options.limit * PATIENCE)
        if not in_time:
            record.write_bytes(pickle.dumps({"runs": [], "error": ("TimeLimit", "", ""), "output": ""}))
        elif not record.exists():
            record.write_bytes(pickle.dumps({"runs": [], "error": ("Crash", "", ""), "output": ""}))
        stored = pickle.loads(record.read_bytes())
        stored["seconds"] = time.perf_counter() - started
        record.write_bytes(pickle.dumps(stored))
    return 0


def wait(child, limit):
    """Whether the child ended within its limits; then or afterwards all that it started ends, too."""
    end = time.monotonic() + limit
    by_itself = None
    while by_itself is None and time.monotonic() < end:
        # Without taking it off the table: its number stays that of its group.
        by_itself = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    end_orphans()
    if by_itself is None:
        return False
    return (by_itself.si_code, by_itself.si_status) != (os.CLD_KILLED, signal.SIGXCPU)


def end_orphans():
    """Ends processes that left the group of their script: by now they are children of this one."""
    while True:
        for pid in Path("/proc/self/task", str(os.getpid()), "children").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def run_one(options, path, text, record):
    """In the child: runs the script, writes the record, ends."""
    import io
    import traceback

    output = io.StringIO()
    sys.stdout = sys.stderr = output
    os.chdir(options.keep)
    runs, error = [], None
    replace_data(options.data)
    replace_runs(runs)
    sys.argv = [str(path)]
    sys.path.insert(0, str(path.parent))
    # Processes that the script starts look its classes up there.
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    module.__file__ = str(path)
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)
    except SystemExit as end:
        error = ("SystemExit", str(end.code), "") if end.code else None
    except BaseException as failure:
        frames = [f for f in traceback.extract_tb(failure.__traceback__) if f.filename == str(path)]
        cause = failure.__cause__
        error = (type(failure).__name__, str(failure), frames[-1].lineno if frames else 0,
                 f"{type(cause).__name__}: {cause}" if cause else "")
    record_bytes = pickle.dumps({"runs": runs, "error": error, "output": output.getvalue()[:200_000]})
    temporary = record.with_suffix(f".{os.getpid()}")
    os.chdir("/")
    temporary.write_bytes(record_bytes)
    temporary.rename(record)
    os._exit(0)


def replace_data(data):
    import pandas as pd

    read = pd.read_csv

    def read_csv(path, *args, **kwargs):
        return read(data if str(path).endswith(".csv") else path, *args, **kwargs)

    pd.read_csv = read_csv


def replace_runs(runs):
    """Notes every result; draws nothing."""
    import backtesting

    kind = backtesting.Backtest
    run, optimize = kind.run, kind.optimize
    inside = []

    def noted_run(self, **kwargs):
        stats = run(self, **kwargs)
        if not inside:
            runs.append(plain(stats))
        return stats

    def noted_optimize(self, **kwargs):
        inside.append(1)
        try:
            result = optimize(self, **kwargs)
        finally:
            inside.pop()
        runs.append(plain(result[0] if isinstance(result, tuple) else result))
        return result

    kind.run, kind.optimize = noted_run, noted_optimize
    kind.plot = lambda self, **kwargs: None


def plain(stats):
    """A result as plain values."""
    trades = stats["_trades"]
    columns = {name: trades[name].tolist() for name in trades.columns[:14] if name not in ("Tag", "Duration")}
    rows = {name: value for name, value in stats.items() if not name.startswith("_")}
    return {"rows": rows, "trades": columns, "columns": [str(c) for c in trades.columns],
            "equity": stats["_equity_curve"]["Equity"].tolist(), "strategy": str(stats["_strategy"])}


def same(a, b, tolerance):
    """Equal, both undefined, or as near as the tolerance."""
    import pandas as pd

    if isinstance(a, float) and isinstance(b, float) and tolerance:
        return a == b or (a != a and b != b) or abs(a - b) <= tolerance * max(1.0, abs(a), abs(b))
    undefined = [x is None or x is pd.NaT or (isinstance(x, float) and x != x) for x in (a, b)]
    return undefined[0] == undefined[1] if any(undefined) else a == b


EXACT = ("Size", "EntryBar", "ExitBar", "EntryPrice", "ExitPrice", "SL", "TP", "EntryTime", "ExitTime")


def differences(one, two):
    """What differs between two results, in words."""
    found = []
    if list(one["rows"]) != list(two["rows"]):
        found.append(f"rows: {set(one['rows']) ^ set(two['rows'])}")
    if one["columns"] != two["columns"]:
        found.append(f"columns: {[c for c in one['columns'] if c not in two['columns']][:3]}")
    if len(one["trades"]["Size"]) != len(two["trades"]["Size"]):
        return [*found, f"trades: {len(one['trades']['Size'])} and {len(two['trades']['Size'])}"]
    for name, column in one["trades"].items():
        tolerance = 0 if name in EXACT else 1e-9
        for k, (a, b) in enumerate(zip(column, two["trades"][name])):
            if not same(a, b, tolerance):
                found.append(f"trade {k}, {name}: {a} and {b}")
                break
    for k, (a, b) in enumerate(zip(one["equity"], two["equity"])):
        if not same(a, b, 1e-9):
            found.append(f"equity at {k}: {a} and {b}")
            break
    for name, a in one["rows"].items():
        if name in two["rows"] and not same(a, two["rows"][name], 1e-9):
            found.append(f"{name}: {a!r} and {two['rows'][name]!r}")
    return found


def report(options, scripts):
    succeeded = equal = alike = trades = with_trades = 0
    timeouts = 0
    seconds = {"original": 0.0, "ours": 0.0}
    for digest, (path, _) in scripts:
        one, two = (pickle.loads((options.keep / e / f"{digest}.pickle").read_bytes()) for e in ("original", "ours"))
        if one["error"] and one["error"][0] == "TimeLimit":
            timeouts += 1
            continue
        problems = []
        if len(one["runs"]) != len(two["runs"]):
            problems.append(f"runs: {len(one['runs'])} and {len(two['runs'])}")
        for a, b in zip(one["runs"], two["runs"]):
            problems += differences(a, b)
        kinds = [r["error"] and (r["error"][0], r["error"][2]) for r in (one, two)]
        if kinds[0] != kinds[1]:
            problems.append(f"ended: {one['error']} and {two['error']}")
        elif one["error"] is None and one["runs"]:
            if scrubbed(one["output"]) != scrubbed(two["output"]):
                problems.append("output: " + first_difference(one["output"], two["output"]))
        if one["error"] is None and one["runs"]:
            succeeded += 1
            equal += not [p for p in problems if not p.startswith("output")]
            seconds = {e: seconds[e] + r.get("seconds", 0.0) for e, r in (("original", one), ("ours", two))}
            count = sum(len(run["trades"]["Size"]) for run in one["runs"])
            trades += count
            with_trades += count > 0
        elif not problems:
            alike += 1
        if problems:
            print(f"{path} {digest}")
            for problem in problems[:4]:
                print(f"    {problem[:600]}")
    failed = len(scripts) - succeeded - timeouts
    print(f"succeed with the original: {succeeded}, {with_trades} of them with trades ({trades}); equal: {equal}")
    print(f"fail with the original: {failed}; fail alike: {alike}; over the time limit with the original: {timeouts}")
    print(f"seconds of those that succeed, forked, imports done: {seconds['original']:.0f} and {seconds['ours']:.0f}")
    return 0


def scrubbed(text):
    """Output without addresses and times of day."""
    return re.sub(r"0x[0-9a-f]+|\d+\.\d+ ?s(ec|\b)", "", text)


def first_difference(one, two):
    for a, b in zip(scrubbed(one).splitlines(), scrubbed(two).splitlines()):
        if a != b:
            return f"{a[:200]!r} and {b[:200]!r}"
    return f"{len(one)} and {len(two)} characters"


if __name__ == "__main__":
    sys.exit(main())
