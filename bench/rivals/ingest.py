"""CSV readers. Each reads the whole file, dates parsed, and says how many rows there are and what columns sum to."""

from common import hand_back, main, measure

TIME = "datetime"


def result(rows, first_ms, last_ms, close_sum, volume_sum):
    return {
        "rows": int(rows),
        "first_ms": int(first_ms),
        "last_ms": int(last_ms),
        "close_sum": float(close_sum),
        "volume_sum": float(volume_sum),
    }


def with_pyarrow(path, threads):
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    pa.set_cpu_count(int(threads))
    # A space stands before every field but the first, and pyarrow keeps it: numbers are trimmed, times are not.
    options = csv.ConvertOptions(timestamp_parsers=["%Y-%m-%d %H:%M:%S"], column_types={TIME: pa.timestamp("s")})
    seconds, table = measure(lambda: csv.read_csv(path, convert_options=options))
    time = table[TIME].cast(pa.timestamp("ms")).cast(pa.int64())
    column = lambda name: next(table[c] for c in table.column_names if c.strip() == name)
    hand_back(
        pa.__version__,
        seconds,
        result(
            table.num_rows,
            time[0].as_py(),
            time[-1].as_py(),
            pc.sum(column("close")).as_py(),
            pc.sum(column("volume")).as_py(),
        ),
    )


def with_duckdb(path, threads):
    import duckdb

    base = duckdb.connect()
    base.execute(f"SET threads = {int(threads)}")
    read = f"CREATE OR REPLACE TABLE bars AS SELECT * FROM read_csv('{path}')"
    seconds, _ = measure(lambda: base.execute(read).fetchall())
    names = [r[0] for r in base.execute("DESCRIBE bars").fetchall()]
    name = lambda wanted: '"' + next(n for n in names if n.strip() == wanted) + '"'
    close, volume, time = name("close"), name("volume"), name(TIME)
    query = f"SELECT count(*), epoch_ms(min({time})), epoch_ms(max({time})), sum({close}), sum({volume}) FROM bars"
    hand_back(duckdb.__version__, seconds, result(*base.execute(query).fetchone()))


def with_polars(path, threads):
    import os

    os.environ["POLARS_MAX_THREADS"] = str(threads)
    import polars as pl

    def work():
        table = pl.read_csv(path, try_parse_dates=True, truncate_ragged_lines=True)
        numbers = [c for c in table.columns[1:6] if table[c].dtype == pl.String]
        if numbers:
            # It reads ` 1.5` as text; what is needed to get numbers belongs to the work.
            table = table.with_columns(pl.col(c).str.strip_chars().cast(pl.Float64) for c in numbers)
        return table

    seconds, table = measure(work)
    column = lambda name: next(table[c] for c in table.columns if c.strip() == name)
    time = table[TIME].dt.epoch("ms")
    hand_back(
        pl.__version__,
        seconds,
        result(table.height, time[0], time[-1], column("close").sum(), column("volume").sum()),
    )


def with_pandas(path, threads):
    import pandas as pd

    def work():
        return pd.read_csv(path, skipinitialspace=True, parse_dates=[0], usecols=range(6))

    seconds, table = measure(work)
    time = table[TIME].astype("datetime64[ms]").astype("int64")
    hand_back(
        pd.__version__,
        seconds,
        result(len(table), time.iloc[0], time.iloc[-1], table["close"].sum(), table["volume"].sum()),
    )


main({"pyarrow": with_pyarrow, "duckdb": with_duckdb, "polars": with_polars, "pandas": with_pandas})
