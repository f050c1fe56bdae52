"""What a script is, read from its syntax alone: a module with strategies or a whole program; its parameters."""
import ast

BACKTESTS = {"Backtest", "FractionalBacktest", "MultiBacktest"}
FENCE = "```"


def unfenced(text):
    """The text without the markdown fence around it, lines kept in their places, and whether there was one."""
    lines = text.split("\n")
    marks = [i for i, line in enumerate(lines) if line.startswith(FENCE)]
    if not marks:
        return text, False
    if len(marks) == 1 and marks[0] > 0 and any(line.strip() for line in lines[: marks[0]]):
        # Only closed: the program is what stands before.
        kept = range(0, marks[0])
    else:
        kept = range(marks[0] + 1, marks[1] if len(marks) > 1 else len(lines))
    return "\n".join(line if i in kept else "" for i, line in enumerate(lines)), True


def parse(text, path):
    """The syntax tree, the text it is of, and whether a markdown fence was taken off."""
    try:
        return ast.parse(text, path), text, False
    except SyntaxError:
        inner, fenced = unfenced(text)
        if not fenced:
            raise
        return ast.parse(inner, path), inner, True


def describe(text, path):
    """Raises SyntaxError (and ValueError for null bytes)."""
    tree, _, fenced = parse(text, path)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    known, params = {"Strategy", "SignalStrategy", "TrailingStrategy"}, {}
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
        "whole": bool(calls & BACKTESTS),
        "strategies": found,
        "params": params,
        "fenced": fenced,
        "files": sorted(files(tree)),
    }


def name_of(node):
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


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
            if node.value.lower().endswith((".csv", ".csv.gz", ".txt")) and "://" not in node.value:
                yield node.value
