"""What `headwater check --format junit` prints: JUnit XML, which CI systems read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from headwater.api import CheckResult


def junit(results: Sequence[CheckResult]) -> str:
    """JUnit XML: a suite a table, a case a check; a failed warning passes and says so."""
    root = ElementTree.Element("testsuites", name="headwater check")
    for result in results:
        failed = sum(verdict.holds for verdict in result.verdicts)
        suite = ElementTree.SubElement(root, "testsuite", name=str(result.table), tests=str(len(result.verdicts)), failures=str(failed))
        for verdict in result.verdicts:
            case = ElementTree.SubElement(suite, "testcase", classname=str(result.table), name=verdict.check)
            if verdict.holds:
                failure = ElementTree.SubElement(case, "failure", type=verdict.type, message=verdict.message)
                failure.text = verdict.message
            elif not verdict.passed:
                ElementTree.SubElement(case, "system-out").text = f"warning: {verdict.message}"
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode")
