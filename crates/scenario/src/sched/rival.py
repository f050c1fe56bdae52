# The scheduling scenario in Python: python3 rival.py (threads|asyncio) JOBS PROBES
# Empty jobs whose results are summed; then urgent jobs one by one while 4,000 jobs of 100 us wait.
import asyncio, json, resource, sys, time
from concurrent.futures import ThreadPoolExecutor

way, jobs, probes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
FLOOD = 4000


def empty(n):
    return n


def busy():
    until = time.perf_counter() + 100e-6
    while time.perf_counter() < until:
        pass


def flood_ahead(pool):
    return [pool.submit(busy) for _ in range(FLOOD)]


def threads():
    with ThreadPoolExecutor(2) as pool:
        start = time.perf_counter()
        total = sum(f.result() for f in [pool.submit(empty, n) for n in range(jobs)])
        work, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
        times = []
        for _ in range(probes):
            waiting = flood_ahead(pool)
            asked = time.perf_counter()
            pool.submit(empty, 0).result()
            times.append(time.perf_counter() - asked)
            [f.result() for f in waiting]
    return total, work, used, times


async def spin():
    async def one(n):
        return n

    async def hold():
        busy()

    start = time.perf_counter()
    total = 0
    for first in range(0, jobs, 10000):
        total += sum(await asyncio.gather(*(asyncio.create_task(one(n)) for n in range(first, min(first + 10000, jobs)))))
    work, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    times = []
    for _ in range(probes):
        waiting = [asyncio.create_task(hold()) for _ in range(FLOOD)]
        asked = time.perf_counter()
        await asyncio.create_task(one(0))
        times.append(time.perf_counter() - asked)
        await asyncio.gather(*waiting)
    return total, work, used, times


total, work, used, times = threads() if way == "threads" else asyncio.run(spin())
times.sort()
ms = [round(t * 1e3, 4) for t in times]
print(json.dumps({"work_s": work, "n": jobs, "sum": total, "ms": ms, "cpu_user_s": used.ru_utime,
                  "cpu_sys_s": used.ru_stime, "rss_mb": used.ru_maxrss / 1024}))
