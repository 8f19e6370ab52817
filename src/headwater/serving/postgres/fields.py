"""The columns of an answer as they go out: their names, types and formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from headwater.serving.postgres.types import WireType, wire_type

Format = Literal[0, 1]
TEXT: Final = 0
BINARY: Final = 1


@dataclass(frozen=True, slots=True)
class Field:
    """One column as it goes out: its name, DuckDB type and format."""

    name: str
    type: str
    format: Format
    wire: WireType


def fields(names: Sequence[str], duckdb_types: Sequence[str], formats: Sequence[int]) -> list[Field]:
    """`formats` as Bind gives them: none (all text), one for all, or one for each. Raises ValueError for any other number or value."""
    if len(formats) not in (0, 1, len(names)) or any(code not in (TEXT, BINARY) for code in formats):
        raise ValueError("the formats don't fit the columns")
    each = list(formats) * len(names) if len(formats) == 1 else list(formats) or [TEXT] * len(names)
    return [
        Field(name, type, BINARY if code else TEXT, wire_type(type))
        for name, type, code in zip(names, duckdb_types, each, strict=True)
    ]  # fmt: skip
