"""Public scripts per minute: as processes one after another, two at a time, in a plain fork server, and by `tide`.

    python throughput.py --scripts LIST --root DIR --data BTC-USD-15m.csv --tide target/release/tide [--package DIR]

LIST names scripts, one a line, below DIR. The interpreter that runs this has the original library. Every contestant must
come to the same number of trades in every script, or its time does not count. Times are of the whole command, starts
and imports included.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

# Runs one script as a person would; its missing data file is answered as `tide` does. Prints the trades of its runs.
CHILD = r"""
import json, os, runpy, sys
import pandas
real, data = pandas.read_csv, sys.argv[2]
pandas.read_csv = lambda path, *a, **k: real(path if not isinstance(path, str) or os.path.exists(path) else data, *a, **k)
import backtesting
run, found, depth = backtesting.Backtest.run, [], []
def counted(self, **k):
    depth.append(1)
    stats = run(self, **k)
    depth.pop()
    if not depth:
        found.append(int(stats["# Trades"]))
    return stats
backtesting.Backtest.run = counted
backtesting.Backtest.plot = lambda *a, **k: None
def one(path, out):
    sys.argv = [path]
    try:
        runpy.run_path(path, run_name="__main__")
    except BaseException as error:
        print(repr(error), file=sys.stderr)
    sys.stdout.flush()
    os.write(out, (json.dumps([path, found]) + "\n").encode())
"""
ALONE = CHILD + "one(sys.argv[1], 3)\n"
SERVER = (
    CHILD
    + r"""
import numpy, talib
paths = open(sys.argv[1]).read().split("\n")
running = 0
for path in paths:
    if running == 2:
        os.wait()
        running -= 1
    if os.fork() == 0:
        one(path, 3)
        os._exit(0)
    running += 1
while running:
    os.wait()
    running -= 1
"""
)


def processes(paths, data, at_once):
    """Separate interpreters, so many at a time."""
    trades, running = {}, []

    def reap(child):
        process, reader = child
        process.wait()
        with os.fdopen(reader) as file:
            trades.update([json.loads(line) for line in file])

    for path in paths:
        if len(running) == at_once:
            while all(p.poll() is None for p, _ in running):
                time.sleep(0.002)
            done = next(child for child in running if child[0].poll() is not None)
            running.remove(done)
            reap(done)
        running.append(start([ALONE, path, data]))
    for child in running:
        reap(child)
    return trades


def start(arguments):
    reader, writer = os.pipe()
    out = subprocess.DEVNULL

    def third():
        os.dup2(writer, 3)

    process = subprocess.Popen(
        [sys.executable, "-c", *arguments], stdout=out, stderr=out, pass_fds=(3, writer), preexec_fn=third
    )
    os.close(writer)
    return process, reader


def fork_server(paths, data):
    with tempfile.NamedTemporaryFile("w") as names:
        names.write("\n".join(paths))
        names.flush()
        process, reader = start([SERVER, names.name, data])
        with os.fdopen(reader) as file:
            trades = dict(json.loads(line) for line in file)
        process.wait()
    return trades


def tide(paths, data, args, *more):
    environment = {**os.environ, "TIDE_PYTHON": sys.executable}
    if args.package:
        environment["TIDE_PYTHON_PACKAGE"] = os.path.abspath(args.package)
    with tempfile.TemporaryDirectory() as folder:
        command = [os.path.abspath(args.tide), "-q", "backtest", *paths, "--data", data, "--json", "-j", "2", *more]
        done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    trades = {path: [] for path in paths}
    for run in sorted(runs, key=lambda r: (r["python"] or {}).get("number", 0)):
        if run["status"] == "ok":
            trades[run["source"]].append(run["python"]["stats"]["# Trades"])
    return trades


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("scripts", "root", "data", "tide"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--package")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*")
    args = parser.parse_args()
    with open(args.scripts) as file:
        names = [line.strip() for line in file if line.strip() and line[0] != "#"]
    paths, data = [os.path.join(os.path.abspath(args.root), n) for n in names], os.path.abspath(args.data)
    contestants = {
        "processes, one after another": lambda: processes(paths, data, 1),
        "processes, two at a time": lambda: processes(paths, data, 2),
        "plain fork server, two at a time": lambda: fork_server(paths, data),
        "tide, original library": lambda: tide(paths, data, args, "--python-engine", "original"),
        "tide": lambda: tide(paths, data, args, "--python-engine", "rust"),
    }
    if not args.package:
        del contestants["tide"]
    if args.only:
        contestants = {name: work for name, work in contestants.items() if name in args.only}
    times, expected = {name: [] for name in contestants}, None
    for _ in range(args.rounds):
        for name, work in contestants.items():
            began = time.perf_counter()
            trades = work()
            times[name].append(time.perf_counter() - began)
            expected = expected or trades
            wrong = [p for p in paths if trades.get(p) != expected.get(p)]
            for path in wrong:
                print("%s: %s: %s trades, expected %s" % (name, path, trades.get(path), expected.get(path)))
    first = None
    print("| %d scripts | seconds | scripts/min | |\n|---|---:|---:|---:|" % len(paths))
    for name, all_times in times.items():
        seconds = sorted(all_times)[len(all_times) // 2]
        first = first or seconds
        print("| %s | %.2f | %.0f | %.1f× |" % (name, seconds, len(paths) / seconds * 60, first / seconds))


if __name__ == "__main__":
    main()
