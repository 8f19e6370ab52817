"""Parameters as clients send them: Arrow that nobody has looked at, of which one row is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa

from headwater.errors import UsageError

_PLAIN: Final[tuple[Callable[[Any], bool], ...]] = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_temporal,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
)

#: As Python's, a value takes a hundred times the room of a boolean in Arrow.
_MOST_VALUES: Final = 250_000


def rows_of(batch: pa.RecordBatch | None) -> list[list[Any]]:
    """The values of each row. Raises UsageError."""
    if batch is None:
        raise _unreadable()
    for field in batch.schema:
        of = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if not (pa.types.is_null(of) or pa.types.is_string_view(of) or pa.types.is_binary_view(of) or _takes_room(of)):
            raise UsageError("a parameter of this type isn't taken", expected="plain values, and lists, structs and maps of them", found=str(of))
    if sum(map(_count, batch.columns)) > _MOST_VALUES:
        raise UsageError("the parameters have too many values", expected=f"up to {_MOST_VALUES:,} in lists, structs and maps")
    return [[column[index].as_py() for column in batch.columns] for index in range(batch.num_rows)]


def check(batch: pa.RecordBatch | None) -> None:
    """Raises UsageError where what a client sent as Arrow isn't: nothing has compared it with its own buffers yet, and whoever took it at its word
    would read on in the server's memory."""
    if batch is None:
        raise _unreadable()
    try:
        batch.validate(full=True)
    except pa.ArrowException:
        raise _unreadable() from None


def _takes_room(type: Any) -> bool:
    """Whether values are as large as the bytes that they came in: a list of nulls takes none, and one of a dictionary's entries, of runs or of
    views repeats what came once."""
    if any(is_kind(type) for is_kind in _PLAIN):
        return True
    if pa.types.is_fixed_size_binary(type):
        return bool(type.byte_width > 0)
    if pa.types.is_list(type) or pa.types.is_large_list(type):
        return _takes_room(type.value_type)
    if pa.types.is_fixed_size_list(type):
        return type.list_size > 0 and _takes_room(type.value_type)
    if pa.types.is_map(type):
        return _takes_room(type.key_type) and _takes_room(type.item_type)
    if pa.types.is_struct(type):
        return type.num_fields > 0 and all(_takes_room(field.type) for field in type)
    return False


def _count(array: Any) -> int:
    """The values in it, and in what it holds."""
    if pa.types.is_map(array.type):
        inner = [array.keys, array.items]
    elif pa.types.is_nested(array.type):
        flat = array.flatten()
        inner = flat if isinstance(flat, list) else [flat]
    else:
        inner = []
    return len(array) + sum(map(_count, inner))


def _unreadable() -> UsageError:
    return UsageError("the parameters can't be read", expected="one row of Arrow")
