"""What a script is, read from its syntax alone: a module with strategies or a whole program; its parameters."""
import ast
import builtins
import sys

BACKTESTS = {"Backtest", "FractionalBacktest", "MultiBacktest"}
STRATEGIES = {"Strategy", "SignalStrategy", "TrailingStrategy"}
# Whoever calls these may run anything.
DYNAMIC = {"exec", "eval", "__import__", "import_module", "run_path", "run_module"}
FENCE = "```"
# Endings of files that a script may be given; the server has them from outside.
TABLES = ()


def unfenced(text):
    """The texts that markdown fences may stand around, the likeliest first; lines keep their places."""
    lines = text.split("\n")
    marks = [i for i, line in enumerate(lines) if line.startswith(FENCE)]
    if not marks:
        return
    parts = [range(mark + 1, end) for mark, end in zip(marks, [*marks[1:], len(lines)])]
    only = len(marks) == 1
    # A mark that names a language opens; a bare one behind something closes it.
    if only and lines[marks[0]].strip() == FENCE and any(line.strip() for line in lines[: marks[0]]):
        parts.insert(0, range(marks[0]))
    for part in parts:
        yield "\n".join(line if i in part else "" for i, line in enumerate(lines))


def parse(text, path):
    """The syntax tree, the text it is of, and whether a markdown fence was taken off."""
    try:
        return ast.parse(text, path), text, False
    except SyntaxError as error:
        fault = None
        for inner in unfenced(text):
            try:
                tree = ast.parse(inner, path)
            except SyntaxError as within:
                # What is wrong with the likeliest text is what there is to mend.
                fault = fault or within
                continue
            if tree.body:
                return tree, inner, True
        raise (fault or error) from None


def describe(text, path):
    """Raises SyntaxError (and ValueError for null bytes)."""
    tree, _, fenced = parse(text, path)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    other_names = aliases(tree)
    known, params = STRATEGIES | other_names(STRATEGIES), {}
    found, inherited = [], {}
    for node in classes:
        bases = [name_of(base) for base in node.bases]
        if any(base in known for base in bases):
            known.add(node.name)
            found.append(node.name)
            inherited[node.name] = {}
            for base in bases:
                inherited[node.name].update(inherited.get(base, {}))
            inherited[node.name].update(attributes(node))
            found = [name for name in found if name not in bases]
    for name in found:
        params.update(inherited[name])
    calls = {name_of(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {
        "whole": bool(calls & (BACKTESTS | other_names(BACKTESTS))),
        "strategies": found,
        "can_run": bool(found or calls & (DYNAMIC | BACKTESTS | other_names(BACKTESTS))) or foreign(tree, classes),
        "params": params,
        "fenced": fenced,
        "files": sorted(set(files(tree))),
        "imports": sorted(set(imports(tree))),
    }


def name_of(node):
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def aliases(tree):
    """What gives the other names of some names: `import ... as`, and plain assignments."""
    pairs = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            pairs += [(alias.name, alias.asname) for alias in node.names if alias.asname]
        elif isinstance(node, ast.Assign):
            pairs += [(name_of(node.value), name_of(target)) for target in node.targets]
    return lambda names: {other for name, other in pairs if name in names and other}


def foreign(tree, classes):
    """Whether a class derives from one of another package, which may be a strategy; or is made by a call."""
    usual = set(dir(builtins)) | {node.name for node in classes}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = (getattr(node, "module", None) or node.names[0].name).split(".")[0]
            if module in sys.stdlib_module_names:
                usual.update(alias.asname or alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.Call) and name_of(node.func) == "type" and len(node.args) == 3:
            return True
    bases = (base for node in classes for base in node.bases)
    return any(root_of(base) not in usual for base in bases)


def root_of(node):
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return getattr(node, "id", "")


def attributes(node):
    """Class attributes with plain values."""
    values = {}
    for item in node.body:
        if isinstance(item, ast.Assign):
            targets, value = item.targets, item.value
        elif isinstance(item, ast.AnnAssign) and item.value is not None:
            targets, value = [item.target], item.value
        else:
            continue
        try:
            value = ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(value, (bool, int, float, str)):
            values.update({t.id: value for t in targets if isinstance(t, ast.Name) and t.id[0] != "_"})
    return values


def files(tree):
    """Paths of tables that it names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 1024:
            if node.value.lower().endswith(TABLES) and "://" not in node.value:
                yield node.value


def imports(tree, package=""):
    """Modules beside a script that its import statements, or those of a module in `package`, may mean."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = imported_from(node, package)
            # What is taken from a package may be a module of it.
            names = ["%s.%s" % (base, alias.name) for alias in node.names if alias.name != "*"] + [base] if base else []
        else:
            continue
        yield from (name for name in names if not is_installed(name.split(".")[0]))


def is_installed(name):
    """What is there before a script is goes before files beside it."""
    return name in sys.stdlib_module_names or name in sys.modules


def imported_from(node, package):
    """The module of a `from ... import`; none where it would lie above the script's folder."""
    if not node.level:
        return node.module
    parts = package.split(".") if package else []
    if node.level > len(parts):
        return None
    return ".".join(parts[: len(parts) - node.level + 1] + ([node.module] if node.module else []))
