"""Why a strategy took no trade."""
import backtesting
import numpy

TEXT_MAX = 80


def no_order(strategy, bars):
    """Why a strategy placed no order."""
    text = "no order was placed: the condition for an entry was never true"
    empty = [label(i) for i in strategy._indicators if first_known(i) is None]
    if empty:
        named = "%s %s no value" % (", ".join(empty[:4]), "has" if len(empty) == 1 else "have")
        return "no order was placed; the indicators are longer than the data: %s on any of the %d bars" % (named, bars)
    # `next` is called from the bar after that on which all have a value.
    held = [i for i in vars(strategy).values() if type(i).__name__ == "_Indicator" and is_awaited(i)]
    last = max(held, key=lambda i: first_known(i) or 0, default=None)
    start = 0 if last is None else first_known(last) or 0
    if start + 1 >= bars:
        place = "%s has its first value at bar %d of %d" % (label(last), start, bars)
        return "next() was never called; the indicators are longer than the data: " + place
    if start > bars // 2:
        text += " on the %d of %d bars on which %s has a value" % (bars - start - 1, bars, label(last))
    return text


def is_awaited(indicator):
    """Version 0.6 does not wait for those that are drawn as single points."""
    return backtesting.__version__.startswith("0.3.") or not indicator._opts.get("scatter")


def first_known(indicator):
    """The first bar on which every row of an indicator has a value; none where some row never has one."""
    try:
        known = ~numpy.isnan(numpy.atleast_2d(numpy.asarray(indicator, dtype=float)))
    except (TypeError, ValueError):
        return 0
    return int(known.argmax(axis=-1).max()) if known.any(axis=-1).all() else None


def label(indicator):
    name = getattr(indicator, "name", "")
    return str(name if isinstance(name, str) else ", ".join(map(str, name)))[:TEXT_MAX] or "an indicator"
