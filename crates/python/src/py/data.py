"""The bars of a batch: columns mapped into memory, and the file they came from as pandas reads it."""
import functools
import io
import mmap
import os

import numpy
import pandas
from pandas.io.common import infer_compression

read_csv = pandas.read_csv
COLUMNS = ("Open", "High", "Low", "Close", "Volume")


# Data sets longer than this are copied for each script that reads them, rather than beforehand.
SPARE_ROWS = 1 << 18


class Given:
    """One data set: an Arrow file's columns, where they lie in the file. Times are nanoseconds since the epoch, UTC."""

    def __init__(self, request, fds):
        self.name, self.rows = request["name"], request["rows"]
        place = fds[0], request["starts"], self.rows
        moments, *self.prices = columns(*place, mmap.PROT_READ)
        self.open, self.high, self.low, self.close, self.volume = self.prices
        self.time = moments * 1_000_000
        self.index = pandas.DatetimeIndex(self.time.view("M8[ns]"))
        # Known before the fork, and kept with it.
        self.index.is_monotonic_increasing, self.index.is_unique
        self.first = self._frame(columns(*place, mmap.PROT_READ | mmap.PROT_WRITE)[1:])
        self.text = None
        if len(fds) > 1:
            length = os.fstat(fds[1]).st_size
            self.text = mmap.mmap(fds[1], length, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
        for fd in fds:
            os.close(fd)
        self.parsed, self.spare = {}, {}
        # Whether the script has seen any of it.
        self.is_used = False

    def frame(self):
        """As the library wants it: a time index, columns Open to Volume. The first frame of a process is the mapping
        itself, of which the pages that somebody writes to become the process's own; later ones are copies."""
        self.is_used = True
        frame, self.first = self.first, None
        return self._frame([price.copy() for price in self.prices]) if frame is None else frame

    def _frame(self, values):
        return pandas.DataFrame(dict(zip(COLUMNS, values)), index=self.index.copy(), copy=False)

    @functools.cached_property
    def file(self):
        """What `read_csv` gives for the file; bars that come from no such file look like one."""
        if self.text is not None:
            return read_csv(io.BytesIO(self.text))
        frame = pandas.DataFrame(dict(zip(map(str.lower, COLUMNS), self.prices)))
        moments = self.index.strftime("%Y-%m-%d %H:%M:%S").astype(object)
        frame.insert(0, "datetime", moments)
        return frame

    def prepare(self):
        """What most scripts read, before the fork: whoever reads it first takes it as it is."""
        if self.spare or not len(self.file.columns):
            return
        self._date(self.file.columns[0])
        if self.rows <= SPARE_ROWS:
            for kind in (None, ()), (None, (0,)), (0, (0,)):
                self.spare[kind] = self._copy(*kind)

    def read(self, **options):
        """`read_csv(file, **options)`, without reading where the answer is at hand."""
        plain = {k: v for k, v in options.items() if not (k in DEFAULTS and v is DEFAULTS[k])}
        if set(plain) <= {"index_col", "parse_dates"}:
            frame = self._at_hand(plain.get("index_col"), plain.get("parse_dates", False))
            if frame is not None:
                return frame
        return read_csv(io.BytesIO(self._bytes()), **options)

    def _bytes(self):
        return self.text if self.text is not None else self.file.to_csv(index=False).encode()

    def _at_hand(self, index, dates):
        names = list(self.file.columns)
        place = {name: i for i, name in enumerate(names)}
        if isinstance(index, str):
            index = place.get(index)
        if not (index is None or (isinstance(index, int) and not isinstance(index, bool))):
            return None
        if index is not None and not 0 <= index < len(names):
            return None
        if dates is True:
            dates = [] if index is None else [index]
        elif dates is False:
            dates = []
        elif not isinstance(dates, list):
            return None
        dates = tuple(place.get(d) if isinstance(d, str) else d for d in dates)
        if any(type(d) is not int or not 0 <= d < len(names) for d in dates):
            return None
        spare = self.spare.pop((index, dates), None)
        return self._copy(index, dates) if spare is None else spare

    def _copy(self, index, dates):
        names = self.file.columns
        frame = self.file.copy()
        for date in dates:
            frame[names[date]] = self._date(names[date])
        return frame if index is None else frame.set_index(names[index])

    def _date(self, name):
        if name not in self.parsed:
            parsed = read_csv(io.BytesIO(self._bytes()), usecols=[name], parse_dates=[name])
            self.parsed[name] = parsed[name]
        return self.parsed[name]


def columns(fd, starts, rows, access):
    """The columns of an Arrow file, without a copy: milliseconds since the epoch, then numbers."""
    area = mmap.mmap(fd, os.fstat(fd).st_size, flags=mmap.MAP_PRIVATE, prot=access)
    return [numpy.frombuffer(area, "<f8" if k else "<i8", rows, start) for k, start in enumerate(starts)]


DEFAULTS = {"index_col": None, "parse_dates": False, "header": "infer", "sep": ",", "delimiter": None}


class Reader:
    """Stands in for `pandas.read_csv`: it reads files that lie beside the script; others that are not there are
    answered with the data set of the batch."""

    def __init__(self, given, beside, note):
        self.given, self.beside, self.note = given, beside, note
        functools.update_wrapper(self, read_csv)

    def __call__(self, *args, **options):
        if len(args) == 1 and "filepath_or_buffer" not in options:
            options["filepath_or_buffer"], args = args[0], ()
        path = options.get("filepath_or_buffer")
        if args or not isinstance(path, (str, os.PathLike)) or os.path.exists(path):
            return read_csv(*args, **options)
        del options["filepath_or_buffer"]
        body = self.beside.read(path, "read_csv")
        if body is not None:
            return read_csv(io.BytesIO(body), **as_of_a_file(path, options))
        if self.given is None:
            return read_csv(path, **options)
        why = "no such file beside the script" + self.beside.unlisted
        self.note("read_csv(%r): %s; answered with %s, named by --data" % (os.fspath(path), why, self.given.name))
        self.given.is_used = True
        return self.given.read(**options)


def as_of_a_file(path, options):
    """Options for bytes that make of them what a file of this name would give: its ending says how it is packed."""
    options.pop("memory_map", None)
    if options.get("compression", "infer") == "infer":
        options["compression"] = infer_compression(path, "infer")
    return options
