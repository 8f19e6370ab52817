"""What a physical table looks like, and its types."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """A column as it is stored. `type` is a DuckDB type name as DESCRIBE prints it."""

    name: str
    type: str
    nullable: bool = True
    description: str | None = None
    labels: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "type": self.type, "nullable": self.nullable, "description": self.description, "labels": list(self.labels)}


_SCALAR_STORAGE = {
    "HUGEINT": "DECIMAL(38,0)",
    "UHUGEINT": "DECIMAL(38,0)",
    "BIGNUM": "VARCHAR",
    "BIT": "VARCHAR",
    "TIME WITH TIME ZONE": "VARCHAR",
    '"NULL"': "INTEGER",
    "NULL": "INTEGER",
}
_FIXED_ARRAY = re.compile(r"\[\d+\]")


def storage_type(type_name: str) -> str:
    """The type the lake keeps a DuckDB type as.

    Most are kept as they are. HUGEINT (what `sum(bigint)` gives) becomes DECIMAL(38,0), since Parquet would round it to a double silently;
    ENUM, BIT, BIGNUM, UNION and TIME WITH TIME ZONE (which would lose its zone) become VARCHAR; fixed arrays become lists. Applied inside
    structs, lists and maps too.
    """
    if type_name.startswith(("ENUM(", "UNION(")) and type_name.endswith(")"):
        return "VARCHAR"
    if type_name in _SCALAR_STORAGE:
        return _SCALAR_STORAGE[type_name]
    if not any(mark in type_name for mark in ("HUGEINT", "ENUM(", "BIT", "BIGNUM", "UNION(", "NULL", "TIME WITH")) and not _FIXED_ARRAY.search(
        type_name
    ):
        return type_name
    text = _FIXED_ARRAY.sub("[]", type_name)
    if text.endswith("[]"):
        return storage_type(text[:-2]) + "[]"
    if text.startswith(("STRUCT(", "MAP(")):
        head = text[: text.index("(") + 1]
        parts = split_type_arguments(text[len(head) : -1])
        if head == "MAP(":
            return "MAP(" + ", ".join(storage_type(part) for part in parts) + ")"
        fields = []
        for part in parts:
            name, rest = _split_field(part)
            fields.append(f"{name} {storage_type(rest)}")
        return "STRUCT(" + ", ".join(fields) + ")"
    return text


def split_type_arguments(text: str) -> list[str]:
    """`a INTEGER, b STRUCT(x INTEGER, y VARCHAR)` at its top-level commas; quotes and brackets are respected."""
    parts, depth, start, quoted = [], 0, 0, ""
    for index, character in enumerate(text):
        if quoted:
            if character == quoted:
                quoted = ""
        elif character in "\"'":
            quoted = character
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def _split_field(part: str) -> tuple[str, str]:
    if part.startswith('"'):
        end = 1
        while True:
            end = part.index('"', end)
            if part[end : end + 2] != '""':
                break
            end += 2
        return part[: end + 1], part[end + 1 :].strip()
    name, _, rest = part.partition(" ")
    return name, rest.strip()
