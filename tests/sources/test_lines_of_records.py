"""The lines that a second look tells: where the records begin, as a plain model has it, and the rows as the engine reads them."""

from __future__ import annotations

import io
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from file_kit import Files
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.sources import Reading, Scan
from headwater.sources.files.records import Allowance, Dialect, lines_of, records
from headwater.testing import read_rejects, read_rows

_PIECES = st.text(st.sampled_from("ab1;, #\"'\n\r\té🙂"), max_size=6)
#: Of a file: records and what may stand between them.
_BODY = st.lists(st.one_of(st.tuples(_PIECES, _PIECES, st.booleans()), st.just("blank"), st.just("comment")), max_size=25)


def _quoted(value: str, always: bool, end: str) -> str:
    plain = value and not always and not value.startswith(" ") and not any(mark in value for mark in ',#"\n\r')
    return value if plain else '"' + value.replace('"', '""').replace("\n", end) + '"'


def reread(reading: Reading, place: str | None = None) -> list[tuple[str, int, Any]]:
    """What a second look gives, of all portions."""
    found = []
    for portion in reading.portions:
        assert isinstance(portion.data, Scan)
        assert portion.data.reread is not None
        part = portion.data.reread(place)
        found += list(part.rows) if part else []
    return found


@settings(max_examples=150, deadline=None)
@given(
    body=_BODY,
    end=st.sampled_from(["\n", "\r\n"]),
    has_header=st.booleans(),
    mark=st.booleans(),
    has_comments=st.booleans(),
    skip=st.integers(0, 2),
    ends=st.booleans(),
)
def test_a_record_begins_where_a_plain_model_says_and_holds_what_the_engine_reads(
    body: list[Any], end: str, has_header: bool, mark: bool, has_comments: bool, skip: int, ends: bool
) -> None:
    text = "".join(f'skipped "{number}{end}' for number in range(skip)) + (f"x,y{end}" if has_header else "")
    model: list[tuple[int, tuple[str | None, ...]]] = []
    for item in [("first", "row", False), *body]:
        line = text.count("\n") + 1
        if item == "blank":
            text += end
        elif item == "comment":
            text += f'# a "comment{end}' if has_comments else ""
        else:
            *values, always = item
            text += ",".join(_quoted(value, always, end) for value in values) + end
            model.append((line, tuple(value.replace("\n", end) or None for value in values)))
    text = text if ends else text.rstrip("\r\n")
    options = {
        "header": has_header,
        "skip": skip,
        "delim": ",",
        **({"comment": "#"} if has_comments else {}),
        **({} if has_header else {"names": ["x", "y"]}),
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.csv").write_bytes(("\ufeff" if mark else "").encode() + text.encode())
        files = Files(Path(folder))
        try:
            reading = files.read("a.csv", options=options)
            found = [(line, values) for _, line, values in reread(reading)]
            rows = read_rows(reading, cast=False)
            rejects = read_rejects(reading)
        finally:
            files.connector.close()
    assert found == model
    assert not rejects
    assert Counter(tuple(row.values()) for row in rows) == Counter(values for _, values in model)


@settings(max_examples=300, deadline=None)
@given(
    text=st.text(st.sampled_from('ab,"\n\r# '), max_size=60),
    width=st.integers(1, 3),
    quote=st.sampled_from(['"', "", "'"]),
    comment=st.sampled_from(["", "#"]),
)
def test_any_text_comes_apart_or_is_refused_and_lines_only_grow(text: str, width: int, quote: str, comment: str) -> None:
    lines = lines_of(io.BytesIO(text.encode()), "utf-8", longest=1000, allowance=Allowance(1000))
    found = list(records(lines, Dialect(width, ",", quote, quote, comment, has_header=False), longest=1000))
    starts = [line for line, _ in found]
    assert starts == sorted(set(starts))
    end = "\n" if "\n" in text else "\r"
    split = text.split(end)
    for line, fields in found:
        if isinstance(fields, str):
            assert split[line - 1].rstrip("\r").startswith(fields.rstrip("\r\n").split(end)[0].rstrip("\r"))
        else:
            assert len(fields) == width
            assert all((quote and quote in text) or field in split[line - 1] for field in fields)


@settings(max_examples=150, deadline=None)
@given(
    text=st.lists(st.sampled_from(["a", "b", ",", ",", '"', '"', '""', "\n", "\n", '"\n', " ", "#"]), max_size=50).map("".join),
    width=st.integers(1, 3),
    comment=st.sampled_from(["", "#"]),
)
def test_of_any_broken_text_the_rows_that_are_found_stand_in_the_order_the_engine_reads_them(text: str, width: int, comment: str) -> None:
    """Rows found as often as the engine gives them are told lines: were one of these another row's, it would stand before or after its place."""
    header = ",".join("xyz"[:width])
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.csv").write_text(f"{header}\n{text}\n", encoding="utf-8", newline="")
        files = Files(Path(folder))
        try:
            reading = files.read("a.csv", options={"delim": ",", **({"comment": comment} if comment else {})})
            rows = [tuple(row.values()) for row in read_rows(reading, cast=False)]
            again = reread(reading)
        finally:
            files.connector.close()
    stands: dict[Any, list[int]] = {}
    for _, line, values in again:
        stands.setdefault(values, []).append(line)
    told = {values: iter(stands[values]) for values, times in Counter(rows).items() if times == len(stands.get(values, []))}
    lines = [next(told[values]) for values in rows if values in told]
    assert lines == sorted(set(lines))
