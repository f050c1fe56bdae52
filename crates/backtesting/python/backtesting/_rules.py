"""Which version of the original is followed. The environment variable BACKTESTING_RULES names its rules before the
first import: `backtesting_py` (0.6.6, the default) or `backtesting_py_0_3` (0.3.3)."""

import os

from . import _native

NAME = os.environ.get("BACKTESTING_RULES") or "backtesting_py"
try:
    VERSION = _native._choose_rules(NAME)
except ValueError as error:
    raise ImportError(f"BACKTESTING_RULES: {error}") from None
#: Version 0.3, which lacks what came later.
OLD = VERSION.startswith("0.3.")
