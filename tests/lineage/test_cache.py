from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from headwater.project.lineage import LineageCache, derive_lineage
from headwater.spec.names import TableName

SQL = 'SELECT *, a + b AS "Sümme ☃" FROM s.t WHERE c > 1'


def always(columns: Sequence[str] | Mapping[str, str] | None) -> Callable[[TableName], Sequence[str] | Mapping[str, str] | None]:
    return lambda table: columns


def test_a_second_command_derives_nothing(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "lineage.json"
    first = LineageCache(path)
    lineage = first.derive(SQL, always(("a", "b", "c")))
    first.save()
    second = LineageCache(path)
    assert second.derive(SQL, always(("a", "b", "c"))) == lineage == derive_lineage(SQL, always(("a", "b", "c")))
    assert (first.derived_count, second.derived_count) == (1, 0)


@pytest.mark.parametrize("change", ["columns", "types", "macros", "statement", "unknown"])
def test_whatever_lineage_depends_on_makes_it_derived_again(tmp_path: Path, change: str) -> None:
    path = tmp_path / "lineage.json"
    first = LineageCache(path)
    first.derive(SQL, always(("a", "b", "c")))
    first.save()
    again = LineageCache(path)
    columns = {"columns": ("a", "b", "c", "d"), "types": {"a": "INT", "b": "INT", "c": "INT"}, "unknown": None}.get(change, ("a", "b", "c"))
    sql = SQL + " AND b > 1" if change == "statement" else SQL
    lineage = again.derive(sql, always(columns), macros=["CREATE MACRO f(x) AS x"] if change == "macros" else ())
    assert lineage == derive_lineage(sql, always(columns))
    assert again.derived_count == 1


def test_a_conservative_lineage_is_kept_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "lineage.json"
    first = LineageCache(path)
    lineage = first.derive("PIVOT s.t ON b USING sum(c)", always(("a", "b", "c")))
    first.save()
    assert LineageCache(path).derive("PIVOT s.t ON b USING sum(c)", always(("a", "b", "c"))) == lineage
    assert not lineage.is_complete


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "0/0", "entries": {}}', '{"entries": 1}', "\x00"])
def test_a_file_that_is_not_ours_is_no_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "lineage.json"
    path.write_text(content)
    cache = LineageCache(path)
    assert cache.derive(SQL, always(("a", "b", "c"))).is_complete
    cache.save()
    assert LineageCache(path).derive(SQL, always(("a", "b", "c"))).is_complete


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = LineageCache(tmp_path / "file" / "lineage.json")
    assert cache.derive(SQL, always(("a", "b", "c"))).is_complete
    cache.save()


def test_entries_no_longer_used_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "lineage.json"
    first = LineageCache(path)
    first.derive(SQL, always(("a", "b", "c")))
    first.derive("SELECT 1 AS gone", always(None))
    first.save()
    before = path.stat().st_size
    second = LineageCache(path)
    second.derive(SQL, always(("a", "b", "c")))
    second.save()
    assert path.stat().st_size < before
