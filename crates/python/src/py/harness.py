"""Runs one script in a process of its own and tells what its backtests came to.

Results leave as frames: two lengths, a head in JSON, columns of numbers. They are claims of a process in which a
script has run; the reader checks every one.
"""
import ast
import atexit
import importlib
import json
import os
import struct
import sys
import threading
import traceback
import types
import warnings

import pandas

import tide_data
import tide_faults
import tide_files
import tide_record
import tide_shape


class Results:
    def __init__(self, fd):
        self.fd = fd
        # A warning may come from a thread of the script.
        self.lock = threading.RLock()

    def tell(self, head, blob=b""):
        text = json.dumps(head, allow_nan=False).encode()
        rest = memoryview(struct.pack("<II", len(text), len(blob)) + text + blob)
        with self.lock:
            while rest:
                rest = rest[os.write(self.fd, rest) :]


# The last word where nothing was run.
NOTHING_MORE = {"kind": "end", "fault": None, "again": False, "notes": []}


def main(request, given, fd):
    results = Results(fd)
    if request["do"] == "check":
        for script in request["scripts"]:
            results.tell(check(script))
        end = NOTHING_MORE
    elif request["do"] == "imports":
        for module in request["modules"]:
            results.tell(imports(module))
        end = NOTHING_MORE
    else:
        end = run(request, given, results)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            # The script may have closed or replaced it.
            pass
    results.tell(end)


def check(script):
    """A script's shape, or the fault that keeps it from being one."""
    try:
        shape = tide_shape.describe(script["text"], script["path"])
    except Exception as error:
        return {"kind": "shape", "fault": tide_faults.describe(error, script["path"], script["text"])}
    if not shape["can_run"]:
        return {"kind": "shape", "fault": tide_faults.nothing_ran(shape, script["text"])}
    return {"kind": "shape", "fault": None, **shape}


def imports(module):
    """What a module that lies beside a script imports, or the fault that keeps it from being one."""
    path, text = module["path"], module["text"]
    try:
        names = tide_shape.imports(ast.parse(text, path), path.rpartition("/")[0].replace("/", "."))
    except Exception as error:
        return {"kind": "imports", "fault": tide_faults.describe(error, path, text), "names": []}
    return {"kind": "imports", "fault": None, "names": sorted(set(names))}


def run(request, given, results):
    path, text = request["path"], request["text"]
    notes = tide_record.Notes(results, path)
    fault, again, shape = None, False, None
    book = tide_record.Book(request, given, results, notes)
    try:
        tree, text, fenced = tide_shape.parse(text, path)
        book.text = text
        if fenced:
            notes.add("a markdown fence was taken off the script")
        shape = tide_shape.describe(text, path)
        tide_files.show_lines(path, text)
        beside = tide_files.Beside(request, results.tell, notes.add)
        beside.install()
        pandas.read_csv = tide_data.Reader(given, beside, notes.add)
        warnings.showwarning = notes.warned
        book.install()
        execute(compile(tree, path, "exec"), path, shape, book)
    except BaseException as error:
        ending = not isinstance(error, SystemExit) or error.code not in (None, 0)
        # A failed run is told already; that the script ends by it is no second fault. What else it became on its way
        # up is told in its place.
        again = book.has_told_of(error)
        if ending and not (isinstance(error, SystemExit) and book.failures):
            fault = tide_faults.describe(error, path, text)
    close()
    if fault is None and book.failures and shape["whole"]:
        notes.add("the script caught the error of a run and went on")
    if fault is None and book.told == 0:
        fault = tide_faults.nothing_ran(shape, text)
    return {"kind": "end", "fault": fault, "again": again and fault is not None, "notes": notes.list()}


def execute(code, path, shape, book):
    """A whole program as `__main__`; of a module, every strategy on the data set, whatever becomes of the others."""
    # No name that a file beside it may have.
    name = "__main__" if shape["whole"] else "<strategy>"
    module = types.ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module
    sys.argv = [path]
    exec(code, module.__dict__)
    if shape["whole"]:
        return
    library = importlib.import_module("backtesting")
    found = strategies(module, library.Strategy)
    if found and book.given is None:
        raise ValueError("a module with a strategy needs a data set: name one with --data")
    for number, strategy in enumerate(found):
        if number < book.request["skip"]:
            continue
        book.begins(strategy, number, len(found))
        try:
            library.Backtest(book.given.frame(), strategy).run()
        except BaseException as error:
            # Whatever it is, the next strategy has its turn.
            if not book.has_told_of(error):
                book.failed(error, strategy, {})


def close():
    """What an interpreter does at its end: waits for the script's threads, then calls what it left for the exit."""
    try:
        threading._shutdown()
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()


def strategies(module, base):
    """The strategies that it defines, without those that others of it build on."""
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    ]
    return [s for s in found if not any(o is not s and issubclass(o, s) for o in found)]
