"""Topics with columns of the key in them: `customers/{id}`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from headwater.destinations.destination import Batch, Shape
from headwater.errors import DestinationRefused

_PLACE: Final = re.compile(r"\{([^{}]*)\}")


class Topic:
    """A topic, or a routing key, as an export words it. Only columns of the key may stand in it: a delete has no others, and a row whose topic
    could change would leave its old self where it was.

    A value keeps its characters but `%`, control characters and those `reserved`, which become `%` and two hexadecimal digits a byte: two values
    never make one topic, and none makes a level of its own.
    """

    def __init__(self, text: str, *, reserved: str) -> None:
        self.text = text
        self._reserved = frozenset(reserved + "%\x7f") | {chr(number) for number in range(32)}

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_PLACE.findall(self.text)))

    def check(self, shape: Shape, *, setting: str) -> None:
        """Raises DestinationRefused for a column that isn't of the key."""
        wrong = [name for name in self.columns if name not in shape.key]
        if wrong:
            raise DestinationRefused(
                f"`{setting}:` names {wrong[0]}, which isn't a column of the key there",
                expected=f"columns of the key, {', '.join(shape.key)}, in braces",
                state="nothing was sent",
            )

    def with_each(self, mark: str) -> str:
        """The text with `mark` wherever a value comes."""
        return _PLACE.sub(lambda match: mark, self.text)

    def of(self, batch: Batch) -> Iterator[str]:
        """The topic of each row. A value that is none is an empty one."""
        names = self.columns
        if not names:
            yield from [self.text] * len(batch)
            return
        at = {column.name: index for index, column in enumerate(batch.columns)}
        columns = {name: batch.rows.column(at[name]).to_pylist() for name in names}
        parts = _PLACE.split(self.text)  # text and names by turns
        for index in range(len(batch)):
            yield "".join(self._safe(columns[part][index]) if number % 2 else part for number, part in enumerate(parts))

    def _safe(self, value: str | None) -> str:
        return "".join(f"%{ord(sign):02X}" if sign in self._reserved else sign for sign in value or "")
