"""Models into tables: one file a kind, SQL and Python, unit tests, and the edit loop."""

from headwater.transformation.build import build_model, kept_columns
from headwater.transformation.clock import clock_used, clock_value, is_volatile
from headwater.transformation.context import BuildContext
from headwater.transformation.preview import compile_model, show
from headwater.transformation.pushdown import pushdown_reaches_scan
from headwater.transformation.unit_tests import UnitTestResult, run_unit_tests

__all__ = [
    "BuildContext",
    "UnitTestResult",
    "build_model",
    "clock_used",
    "clock_value",
    "compile_model",
    "is_volatile",
    "kept_columns",
    "pushdown_reaches_scan",
    "run_unit_tests",
    "show",
]
