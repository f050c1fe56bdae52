"""Files that lie beside a script: those it is given, those it may ask for, and modules among them."""
import builtins
import functools
import importlib.machinery
import io
import json
import linecache
import mmap
import os
import struct
import sys


def opened(fd):
    """What is asked of a process: the length of the head, the head in JSON, the bytes of files one after the other."""
    area = memoryview(mmap.mmap(fd, os.fstat(fd).st_size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ))
    (length,) = struct.unpack_from("<Q", area)
    request = json.loads(bytes(area[8 : 8 + length]))
    at, given = 8 + length, {}
    for name, size in request.get("files", ()):
        given[name] = area[at : at + size]
        at += size
    request["files"] = given
    return request


class NotGiven(OSError):
    """A file that lies beside the script and could not be given to it."""


class File(io.BytesIO):
    """A given file, opened: it has a name, as files have."""

    def __init__(self, name, body):
        super().__init__(body)
        self.name = name


class Beside:
    """The files by the names that they have from the script's folder on. The process itself sees none of them."""

    def __init__(self, request, tell, note):
        self.given, self.withheld, self.absent = request["files"], request["withheld"], set(request["absent"])
        self.listed = set(request["listed"])
        self.last_names = {os.path.basename(name) for name in self.listed}
        self.unlisted = ", as far as its folders were looked through" if request["is_list_cut"] else ""
        self.modules = request["modules"]
        self.tell, self.note = tell, note
        # Where the script believes that it lies.
        self.home = os.getcwd()
        self.told = set()
        for why in self.withheld.values():
            note(why)

    def install(self):
        """From here on `open` and `import` find them."""
        builtins.open = io.open = self._open(io.open)
        if self.modules or self.withheld:
            # The last one to be asked: what is installed comes first.
            sys.meta_path.append(self)

    def name_of(self, path):
        """What a file is known as here; none where none of that name lies beside the script."""
        text = os.fsdecode(path)
        if not text or "://" in text or "\0" in text:
            return None
        name = os.path.relpath(text, self.home)
        for known in (name, text):
            if known in self.given or known in self.withheld or known in self.listed:
                return known
        # Only who is outside knows which folder it is that the path names.
        far = os.path.isabs(text) or name.startswith("..")
        return text if far and text not in self.absent and os.path.basename(text) in self.last_names else None

    def read(self, path, by):
        """The bytes of such a file, and none of any other. What was not given is asked for: that ends the process, and
        there is another one that has it."""
        name = self.name_of(path)
        if name is None:
            return None
        if name in self.withheld:
            raise NotGiven(self.withheld[name])
        if name not in self.given:
            self.tell({"kind": "needs", "file": name})
            os._exit(0)
        self._tell(name)
        self.note("%s(%r) was given that file of yours" % (by, os.fsdecode(path)))
        return self.given[name]

    def _tell(self, name):
        if name not in self.told:
            self.told.add(name)
            self.tell({"kind": "reads", "file": name})

    def _open(self, original):
        @functools.wraps(original)
        def open(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
            if isinstance(file, (str, bytes, os.PathLike)) and set(mode) <= set("rbt") and not os.path.exists(file):
                body = self.read(file, "open")
                if body is not None:
                    raw = File(os.fspath(file), body)
                    return raw if "b" in mode else io.TextIOWrapper(raw, encoding, errors, newline)
            return original(file, mode, buffering, encoding, errors, newline, closefd, opener)

        return open

    def find_spec(self, name, path=None, target=None):
        """As importlib asks whoever knows modules."""
        place = name.replace(".", "/")
        if path is not None and list(path) != [place.rpartition("/")[0]]:
            # Within a package that is none of the script's.
            return None
        for file, is_package in ((place + "/__init__.py", True), (place + ".py", False)):
            if file in self.withheld:
                raise ImportError(self.withheld[file], name=name)
            if file in self.modules:
                spec = importlib.machinery.ModuleSpec(name, self, origin=file, is_package=is_package)
                spec.has_location = True
                if is_package:
                    spec.submodule_search_locations.append(place)
                return spec
        if not any(file.startswith(place + "/") for file in self.modules):
            return None
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations.append(place)
        return spec

    def create_module(self, spec):
        """The usual one."""

    def exec_module(self, module):
        file = module.__spec__.origin
        text = self.modules[file]
        self._tell(file)
        show_lines(file, text)
        exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)


def show_lines(path, text):
    """Lets tracebacks show the lines of a text that lies in no file."""
    linecache.cache[path] = (len(text), None, text.splitlines(True), path)
