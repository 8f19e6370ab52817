"""`${var:name}` in YAML and SQL. References to secrets (`${env:..}`, `${file:..}`, `${secret:..}`) pass through YAML untouched."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from headwater.project.problems import nearest

VarValue = str | int | float | bool

_REFERENCE = re.compile(r"\$\{(var|env|file|secret):([^}]*)\}")


def render(value: VarValue) -> str:
    """A var as text: `true` and `false` in SQL's and YAML's way, others as they are."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def vars_named(text: str) -> list[str]:
    """Names of the vars a text refers to, sorted."""
    return sorted({match[2].partition(":-")[0].strip() for match in _REFERENCE.finditer(text) if match[1] == "var"}) if "${var:" in text else []


@dataclass(frozen=True, slots=True)
class Substituted:
    """A text with its vars put in. `original(offset)` is where a place in it stood before."""

    text: str
    #: (start in the new text, end in the new text, start in the old, length in the old), in order
    spans: tuple[tuple[int, int, int, int], ...] = ()

    def original(self, offset: int) -> int:
        shift = 0
        for start, end, old_start, old_length in self.spans:
            if offset < start:
                break
            if offset < end:
                return old_start
            shift = old_start + old_length - end
        return offset + shift


#: Called for a reference that can't be put in: offset, message, did you mean.
Complain = Callable[[int, str, str | None], None]


def substitute(text: str, values: Mapping[str, VarValue], complain: Complain, *, allow_secrets: bool) -> Substituted:
    """Puts vars in; `${var:name:-default}` has a default. With `allow_secrets` other references stay as they are, else each is complained of."""
    if "${" not in text:
        return Substituted(text)
    parts: list[str] = []
    spans: list[tuple[int, int, int, int]] = []
    position = length = 0
    for match in _REFERENCE.finditer(text):
        if match[1] != "var":
            if not allow_secrets:
                complain(match.start(), f"${{{match[1]}:..}} can't stand here: SQL is stored and shown, so it takes ${{var:..}} only", None)
            continue
        name, has_default, default = match[2].partition(":-")
        name = name.strip()
        if name in values:
            value = render(values[name])
        elif has_default:
            value = default
        else:
            guess = nearest(name, values)
            complain(match.start(), f"there is no var {name!r}", guess)
            continue  # it stays as it is
        before = text[position : match.start()]
        parts += [before, value]
        length += len(before)
        spans.append((length, length + len(value), match.start(), match.end() - match.start()))
        length += len(value)
        position = match.end()
    parts.append(text[position:])
    return Substituted("".join(parts), tuple(spans))


def whole_var(text: str, values: Mapping[str, VarValue]) -> VarValue | None:
    """The var's own value, with its type, when the text is nothing but one reference to it; else None."""
    match = _REFERENCE.fullmatch(text.strip())
    return values.get(match[2].partition(":-")[0].strip()) if match is not None and match[1] == "var" else None
