"""What every rival shares: the bars, the clock, the peak memory, the one line that is handed back.

A rival is started as `python SCRIPT CASE ARGUMENTS...` in a process of its own and prints one line of JSON:
`{"version", "seconds": [...], "peak_kb", "result": {...}}`. Times are of the work alone: no import, no reading of the
input unless reading is the work. One round beforehand is not counted, so that compilers and caches are warm.
"""

import json
import os
import sys
import time

FAST = range(5, 51)
SLOW = range(55, 201, 5)
CASH = 100_000.0
FEE = 0.001


def bars(path):
    """Times in nanoseconds, open, high, low, close, volume as arrays."""
    import numpy as np
    import pandas as pd

    table = pd.read_csv(path, skipinitialspace=True).iloc[:, :6]
    table.columns = ["time", "open", "high", "low", "close", "volume"]
    time_ns = pd.to_datetime(table["time"]).astype("datetime64[ns]").astype("int64").to_numpy()
    rest = [np.ascontiguousarray(table[c].to_numpy(dtype=float)) for c in table.columns[1:]]
    return (time_ns, *rest)


def rolling_mean(values, n):
    """The mean of the last `n`: the oldest value off the sum, then the newest on. Other orders (pandas', vectorbt's own)
    differ in the last bit, and near bar 398 one cross of 10 and 30 hangs on that bit. Made before the time starts: it is
    a plain loop."""
    import numpy as np

    out, total = np.full(len(values), np.nan), 0.0
    for i, value in enumerate(values):
        if i >= n:
            total -= values[i - n]
        total += value
        if i + 1 >= n:
            out[i] = total / n
    return out


def measure(work, repeats=5, budget_s=25.0, warm_up=True):
    """Seconds of each round, and the last round's result. Stops early, after one round at least, when the budget is
    used up."""
    begin = time.perf_counter()
    if warm_up:
        result = work()
    seconds = []
    while not seconds or (len(seconds) < repeats and time.perf_counter() - begin < budget_s):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return seconds, result


def peak_kb():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def hand_back(version, seconds, result):
    print(json.dumps({"version": version, "seconds": seconds, "peak_kb": peak_kb(), "result": result}))


def main(cases):
    """Runs the case named on the command line."""
    name, *arguments = sys.argv[1:]
    # Nobody here asks the network for newer versions.
    os.environ["RAPTORBT_NO_VERSION_CHECK"] = "1"
    cases[name](*arguments)
