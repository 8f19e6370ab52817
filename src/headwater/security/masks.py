"""Masks as SQL over one column: what a reader sees instead of its value, in the column's own type wherever the mask leaves one.

A null stays null in all of them; nothing else comes out as it was, but for what the mask itself leaves (a date that is the first of its year).
None of them can fail on a value: what can't be told comes out as null.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from headwater.security.tokenizing import TokenKeys, token_sql
from headwater.spec.names import quote_literal
from headwater.spec.policies import Mask

_WHOLE_NUMBERS: Final = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "DECIMAL"}
)
_NUMBERS: Final = _WHOLE_NUMBERS | {"FLOAT", "DOUBLE"}
_TIMES: Final = frozenset({"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"})
_OTHERS: Final = frozenset({"VARCHAR", "BOOLEAN", "TIME", "BLOB", "UUID", "INTERVAL"})
#: What stands for a text, or the part of one, that isn't shown. Its length says nothing of the text's.
_STARS: Final = "***"


@dataclass(frozen=True, slots=True, repr=False)
class MaskKeys:
    """Secrets of keyed masks, one a purpose: they make the same value come out alike in every table of a lake, and unlike in any other lake.

    `token` makes tokens; `former_tokens` are (version, secret) of those that made them before, which still turn them back.
    """

    hash: str
    token: str
    noise: str
    token_version: int = 1
    former_tokens: tuple[tuple[int, str], ...] = ()

    @property
    def tokens(self) -> TokenKeys:
        return TokenKeys({**dict(self.former_tokens), self.token_version: self.token})


def mask_sql(mask: Mask, column: str, type_name: str, keys: MaskKeys) -> str:
    """SQL for what is seen instead of `column` (quoted SQL) of DuckDB type `type_name`. Its type may be another: a hash is text.

    What a mask can't do to a type, it hides: the result is null.
    """
    hidden = f"CAST(NULL AS {type_name})"
    base = _base(type_name)
    match mask.kind:
        case "null":
            return hidden
        case "redact":
            return _unless_null(column, quote_literal(_STARS)) if base == "VARCHAR" else hidden
        case "hash":
            return _keyed(keys.hash, column, base)
        case "token":
            return token_sql(_text(column, base), keys.tokens, str(mask.argument or ""))
        case "generalise":
            return _generalised(mask.argument, column, type_name, base) or hidden
        case "noise":
            return _noisy(mask.argument, column, type_name, base, keys) if base in _NUMBERS else hidden
        case "partial":
            return _partial(mask.argument, column) if base == "VARCHAR" else hidden


def hides(mask: Mask, type_name: str) -> bool:
    """Whether a mask can do nothing to a type but hide it; nothing is claimed of a type that goes by another name than the engine's own."""
    return _base(type_name) in _NUMBERS | _TIMES | _OTHERS and mask_sql(mask, "x", type_name, MaskKeys("", "", "")) == f"CAST(NULL AS {type_name})"


def _base(type_name: str) -> str:
    """A type without its arguments, in capitals; a list's or a struct's is no scalar's."""
    text = type_name.upper().strip()
    return text if text.endswith("]") else text.partition("(")[0].strip()


def _unless_null(column: str, sql: str) -> str:
    return f"CASE WHEN {column} IS NULL THEN NULL ELSE {sql} END"


def _keyed(key: str, column: str, base: str) -> str:
    """A keyed digest as hexadecimal text: half of the key goes in before the value, half behind it, so that nobody extends one they saw.

    One digest, over as few blocks as that allows: it is what such a mask costs.
    """
    half = (len(key) + 1) // 2
    return f"sha256({quote_literal(key[:half] + '|')} || {_text(column, base)} || {quote_literal('|' + key[half:])})"


def _text(column: str, base: str) -> str:
    """A value's text, which doesn't hang on the session: an instant is written as it is in UTC."""
    if base == "TIMESTAMP WITH TIME ZONE":
        return f"CAST(CAST({column} AT TIME ZONE 'UTC' AS TIMESTAMP) AS VARCHAR)"
    return f"CAST({column} AS VARCHAR)"


def _generalised(argument: object, column: str, type_name: str, base: str) -> str | None:
    """A date's beginning of its year, a number's bucket, a text's first characters; None where the argument is for another type."""
    if isinstance(argument, str) and argument.startswith("prefix:"):
        if base != "VARCHAR":
            return None
        # at least one character is always hidden
        shown = f"greatest(least({int(argument.removeprefix('prefix:'))}, length({column}) - 1), 0)"
        return _unless_null(column, f"left({column}, {shown}) || repeat('*', greatest(length({column}) - {shown}, 1))")
    if isinstance(argument, str):
        if base not in _TIMES or (argument == "hour" and base == "DATE"):
            return None
        truncated = f"TRY_CAST(date_trunc({quote_literal(argument)}, {_far_times_as_null(column, type_name, base)}) AS {type_name})"
        if argument == "year" and base in ("DATE", "TIMESTAMP"):
            # looking a year up among those that most dates are of takes a fourth of the time that cutting a date off takes; asked by the
            # column itself, the other case is left out where the table's statistics say that there is none
            years = f"list_transform(range(200), lambda y: CAST(make_date(1900 + y, 1, 1) AS {type_name}))"
            is_near = f"{column} >= CAST('1900-01-01' AS {type_name}) AND {column} < CAST('2100-01-01' AS {type_name})"
            return f"CASE WHEN {is_near} THEN {years}[year({column}) - 1899] ELSE {truncated} END"
        return truncated
    if isinstance(argument, int | float) and base in _NUMBERS:
        bucket = f"floor(CAST({column} AS DOUBLE) / {argument}) * {argument}"
        return f"TRY_CAST(CASE WHEN isfinite(CAST({column} AS DOUBLE)) THEN {bucket} END AS {type_name})"
    return None


def _far_times_as_null(column: str, type_name: str, base: str) -> str:
    """The beginning of a century may lie before what a type can hold, and DuckDB says so by failing: times so far away aren't shown."""
    zone = "+00" if base == "TIMESTAMP WITH TIME ZONE" else ""
    first, last = ("1700-01-01", "2200-01-01") if base == "TIMESTAMP_NS" else ("0001-01-01", "9999-12-31")
    time = "" if base == "DATE" else f" 00:00:00{zone}"
    between = f"{column} BETWEEN CAST('{first}{time}' AS {type_name}) AND CAST('{last}{time}' AS {type_name})"
    return f"CASE WHEN {between} THEN {column} END"


def _noisy(share: object, column: str, type_name: str, base: str, keys: MaskKeys) -> str:
    """The value give or take a share of it. The same value gets the same noise, so that asking again averages nothing away.

    The noise is never nothing: at least a tenth of the share, and one at least where numbers are whole. (A floating zero stays zero.)
    """
    digest = f"hash({quote_literal(keys.noise)}, {column})"
    sign = f"CASE WHEN {digest} % 2 = 0 THEN 1 ELSE -1 END"
    factor = f"(0.1 + 0.9 * ((({digest} >> 1) % 1000001)::DOUBLE / 1000000)) * ({sign})"
    value = f"CAST({column} AS DOUBLE)"
    noisy = f"TRY_CAST(CASE WHEN isfinite({value}) THEN {value} * (1 + {share} * {factor}) END AS {type_name})"
    if base not in _WHOLE_NUMBERS:
        return noisy
    return f"CASE WHEN {noisy} = {column} THEN TRY_CAST({value} + 1 AS {type_name}) ELSE {noisy} END"


def _partial(form: object, column: str) -> str:
    """An address keeps its first letter and its top-level domain, a phone number two digits, a card four; anything else its first letter.

    `form` None: told by the value itself.
    """
    # the expression is looked for in the last characters alone: in the whole text it takes eight times as long
    ending = f"CASE WHEN contains({column}, '@') THEN regexp_extract(right({column}, 7), '\\.\\pL{{2,6}}$') ELSE '' END"
    forms = {
        "email": f"left({column}, 1) || '***@***' || {ending}",
        "phone": _last(column, 2),
        "card": _last(column, 4),
    }
    if isinstance(form, str):
        return _unless_null(column, forms[form])
    is_phone = f"regexp_full_match({column}, '[+0-9() ./-]{{6,}}')"
    is_card = f"regexp_full_match(replace(replace({column}, ' ', ''), '-', ''), '[0-9]{{13,19}}')"
    return (
        f"CASE WHEN {column} IS NULL THEN NULL WHEN contains({column}, '@') THEN {forms['email']} WHEN {is_card} THEN {forms['card']} "
        f"WHEN {is_phone} THEN {forms['phone']} ELSE left({column}, 1) || '***' END"
    )


def _last(column: str, count: int) -> str:
    """The last characters, a third of the text at most, after stars."""
    shown = f"least({count}, length({column}) // 3)"
    return f"repeat('*', greatest(length({column}) - {shown}, 1)) || right({column}, {shown})"
