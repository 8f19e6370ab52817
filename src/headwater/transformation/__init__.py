"""Models into tables: one file a kind, SQL and Python, unit tests, and the edit loop.

What is named here is imported when it is first used: a plan asks for the clock alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.spec.lazily import importing

if TYPE_CHECKING:
    from headwater.transformation.build import build_model, kept_columns
    from headwater.transformation.clock import clock_used, clock_value, is_volatile
    from headwater.transformation.context import BuildContext
    from headwater.transformation.preview import compile_model, show
    from headwater.transformation.pushdown import pushdown_reaches_scan
    from headwater.transformation.unit_tests import UnitTestResult, run_unit_tests

_MODULES = {
    "build": ("build_model", "kept_columns"),
    "clock": ("clock_used", "clock_value", "is_volatile"),
    "context": ("BuildContext",),
    "preview": ("compile_model", "show"),
    "pushdown": ("pushdown_reaches_scan",),
    "unit_tests": ("UnitTestResult", "run_unit_tests"),
}

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

__getattr__ = importing(__name__, _MODULES)
