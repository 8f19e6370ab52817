"""Who may do what, as written in `policies/*.yaml`: roles with their grants, groups, masks, denials, networks."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from headwater.spec._base import Resource, Size, Strings
from headwater.spec.names import SYSTEM_SCHEMA, ColumnName, TableName

Action = Literal["select", "export", "run", "publish", "quarantine", "audit", "detokenize", "approve", "admin"]
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
#: What is done with cells; the others are done with whole tables.
CELL_ACTIONS: Final[frozenset[Action]] = frozenset({"select", "export", "quarantine", "detokenize"})
Door = Literal["local", "postgres", "flight", "http"]

MaskKind = Literal["null", "redact", "hash", "token", "generalise", "noise", "partial"]
#: The masks from the strictest on.
MASK_KINDS: Final[tuple[MaskKind, ...]] = get_args(MaskKind)
_NEEDS_ARGUMENT = frozenset({"generalise", "noise"})
#: What dates are generalised to, from the finest on.
DATE_PARTS: Final = ("hour", "day", "week", "month", "quarter", "year", "decade", "century")
_DOMAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}", re.ASCII)
#: Bytes: with less, the lake itself can hardly be read.
LEAST_MEMORY: Final = 32 * 2**20
PARTIAL_FORMS: Final = ("email", "phone", "card")


class Mask(Resource):
    """What a reader sees instead of a value.

    `argument` is a part of a date, the width of a number's bucket, or {"prefix": n} for `generalise`; the share of the value for `noise`;
    `email`, `phone` or `card` for `partial` (left out: the value itself tells); the domain for `token` (left out: the label's, else the column's).
    """

    kind: MaskKind
    argument: str | float | int | None = None

    @property
    def strictness(self) -> int:
        """The lower, the stricter."""
        return MASK_KINDS.index(self.kind)

    @property
    def rank(self) -> tuple[int, float]:
        """The lower, the stricter; within one kind, what blurs more is stricter (a year before a month, a wider bucket, a shorter prefix)."""
        match self.argument:
            case str() as word if word in DATE_PARTS:
                return self.strictness, -DATE_PARTS.index(word)
            case str() as word if word.startswith("prefix:"):
                return self.strictness, int(word.removeprefix("prefix:"))
            case int() | float() as number:
                return self.strictness, -number
            case _:
                return self.strictness, 0

    def __str__(self) -> str:
        return self.kind if self.argument is None else f"{self.kind}({self.argument})"


def parse_mask(value: Any) -> Any:
    """A mask from `redact`, from YAML's own null, or from `{generalise: year}`. Raises ValueError for what isn't one."""
    if isinstance(value, Mask):
        return value
    if value is None:
        return Mask(kind="null")
    kind, argument = (next(iter(value.items()))) if isinstance(value, dict) and len(value) == 1 else (value, None)
    if not isinstance(kind, str) or kind not in MASK_KINDS:
        raise ValueError(f"there is no mask {kind!r}; expected one of {', '.join(MASK_KINDS)}")
    if kind in _NEEDS_ARGUMENT and argument is None:
        raise ValueError(f"the mask {kind} says how far; expected {{{kind}: {'year' if kind == 'generalise' else 0.1}}}")
    if isinstance(argument, dict):
        length = argument.get("prefix")
        if kind != "generalise" or set(argument) != {"prefix"} or not isinstance(length, int) or isinstance(length, bool) or length < 0:
            raise ValueError(f"the mask {kind} can't be told from {argument!r}; expected a prefix's length, as in {{generalise: {{prefix: 2}}}}")
        argument = f"prefix:{length}"
    elif kind == "generalise":
        is_width = isinstance(argument, int | float) and not isinstance(argument, bool) and argument > 0 and math.isfinite(argument)
        if not is_width and argument not in DATE_PARTS:
            raise ValueError(f"the mask generalise knows no {argument!r}; expected one of {', '.join(DATE_PARTS)}, a bucket's width, or a prefix")
    elif kind == "noise":
        if not isinstance(argument, int | float) or isinstance(argument, bool) or not 0 < argument <= 1:
            raise ValueError(f"the mask noise takes a share of the value; expected a number up to 1, found {argument!r}")
    elif kind == "partial":
        if argument is not None and argument not in PARTIAL_FORMS:
            raise ValueError(f"the mask partial knows no {argument!r}; expected one of {', '.join(PARTIAL_FORMS)}")
    elif kind == "token":
        if argument is not None and not (isinstance(argument, str) and _DOMAIN.fullmatch(argument)):
            raise ValueError(f"the mask token takes the name of a domain; expected letters, digits and . _ -, found {argument!r}")
    elif argument is not None:
        raise ValueError(f"the mask {kind} takes no argument")
    return Mask(kind=kind, argument=argument)


AnyMask = Annotated[Mask, BeforeValidator(parse_mask), WithJsonSchema({"anyOf": [{"enum": [*MASK_KINDS, None]}, {"type": "object"}]})]


class TablePattern(Resource):
    """Tables by name: each of the two parts may hold `*`. A pattern never means the system tables unless it names their schema."""

    schema_: str = Field(alias="schema")
    name: str

    def matches(self, table: TableName) -> bool:
        if table.schema.lower() == SYSTEM_SCHEMA and self.schema_.lower() != SYSTEM_SCHEMA:
            return False
        return _matches(self.schema_, table.schema) and _matches(self.name, table.name)

    def __str__(self) -> str:
        return f"{self.schema_}.{self.name}"


def _matches(pattern: str, text: str) -> bool:
    """`*` stands for any characters; case doesn't count."""
    first, *rest = pattern.lower().split("*")
    text = text.lower()
    if not rest:
        return text == first
    if not text.startswith(first):
        return False
    position = len(first)
    for part in rest[:-1]:
        found = text.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    return len(text) - len(rest[-1]) >= position and text.endswith(rest[-1])


class LabelPattern(Resource):
    """Columns that carry a label, or one under it: `pii` means `pii.email` too."""

    label: str

    def matches(self, label: str) -> bool:
        return covers(self.label, label)

    def __str__(self) -> str:
        return f"label {self.label}"


def covers(label: str, other: str) -> bool:
    """Whether `label` is `other` or above it: `pii` covers `pii.email`."""
    return other == label or other.startswith(f"{label}.")


def parse_pattern(value: Any) -> Any:
    """`marts.*`, `*` for all tables, or `{label: pii.email}`. Raises ValueError."""
    if isinstance(value, TablePattern | LabelPattern):
        return value
    if isinstance(value, dict) and set(value) == {"label"} and isinstance(value["label"], str):
        return LabelPattern(label=value["label"])
    if isinstance(value, str):
        if value == "*":
            return TablePattern(schema="*", name="*")
        schema, dot, name = value.partition(".")
        if dot and schema and name and "." not in name:
            return TablePattern(schema=schema, name=name)
    raise ValueError(f"{value!r} is no pattern of tables; expected schema.table, schema.*, or {{label: pii.email}}")


Pattern = TablePattern | LabelPattern
Patterns = Annotated[
    tuple[Pattern, ...],
    BeforeValidator(lambda value: tuple(parse_pattern(item) for item in (value if isinstance(value, list | tuple) else [value]))),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}, {"type": "array"}]}),
]


def _take_action(value: Any) -> Any:
    """`{select: marts.*}` as `{action: select, on: marts.*}`."""
    if not isinstance(value, dict) or "action" in value:
        return value
    actions = [key for key in value if key in ACTIONS]
    if len(actions) != 1:
        raise ValueError(f"expected one of {', '.join(ACTIONS)} with what it is on, found {', '.join(actions) or 'none'}")
    rest = {key: item for key, item in value.items() if key not in ACTIONS}
    return {**rest, "action": actions[0], "on": value[actions[0]]}


def instant(value: date | datetime) -> datetime:
    """A moment of a policy as an aware instant: a date's midnight, and times without a zone, are UTC."""
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


class Grant(Resource):
    """One right. `columns` empty means all; `where` is SQL over its own columns; `from_` and `until` are instants (a date's midnight, UTC)."""

    action: Action
    on: Patterns
    columns: Strings = ()
    where: str | None = None
    from_: date | datetime | None = Field(default=None, alias="from")
    until: date | datetime | None = None
    purpose: Strings = ()
    unmask: Strings = ()

    @model_validator(mode="before")
    @classmethod
    def _shape(cls, value: Any) -> Any:
        return _take_action(value)

    @model_validator(mode="after")
    def _agrees(self) -> Grant:
        if self.action not in CELL_ACTIONS and (self.columns or self.where is not None or self.unmask):
            raise ValueError(f"a grant of {self.action} is on whole tables: it has neither columns, where nor unmask")
        if self.action == "detokenize" and (self.where is not None or self.unmask):
            raise ValueError("a grant of detokenize is on columns: a token says nothing of its row, so it has neither where nor unmask")
        if self.from_ is not None and self.until is not None and instant(self.from_) >= instant(self.until):
            raise ValueError("a grant ends after it begins; expected `from` before `until`")
        return self


def _enough(memory: int) -> int:
    if memory < LEAST_MEMORY:
        raise ValueError("expected 32MiB at least")
    return memory


class Limits(Resource):
    """What one query, or one principal at a time, may take; left out: no limit of its own."""

    rows: int | None = Field(default=None, ge=1)
    bytes: Size | None = Field(default=None, ge=1)
    memory: Annotated[Size, AfterValidator(_enough)] | None = None
    seconds: float | None = Field(default=None, gt=0)
    concurrency: int | None = Field(default=None, ge=1)


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError(f"{text!r} is no address or network; expected 10.0.0.0/8 or 2001:db8::/32") from None


class Role(Resource):
    """A bundle of rights."""

    description: str | None = None
    grants: tuple[Grant, ...] = ()
    limits: Limits = Limits()


def turns_passed(roles: Iterable[Role], at: datetime) -> int:
    """How many grants of the roles have begun by then, and how many have ended: while the number stays, every decision stays."""
    turns = (turn for role in roles for grant in role.grants for turn in (grant.from_, grant.until) if turn is not None)
    return sum(instant(turn) <= at for turn in turns)


class Group(Resource):
    """People and service accounts that share roles."""

    roles: Strings = ()
    members: Strings = ()

    def has(self, name: str) -> bool:
        """Whether somebody of the name is in it, whatever its case, as for whoever logs in."""
        return any(member.lower() == name.lower() for member in self.members)


class Deny(Resource):
    """What nobody of a role, a group, or one user may do, whatever is granted."""

    action: Action
    on: Patterns
    columns: Strings = ()
    role: str | None = None
    group: str | None = None
    user: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _shape(cls, value: Any) -> Any:
        return _take_action(value)

    @model_validator(mode="after")
    def _agrees(self) -> Deny:
        if sum(one is not None for one in (self.role, self.group, self.user)) != 1:
            raise ValueError("a denial is for one of role, group or user")
        if self.columns and self.action not in CELL_ACTIONS:
            raise ValueError(f"a denial of {self.action} is of whole tables: it has no columns")
        return self


class Declassifier(Resource):
    """Says that a column computed from labelled ones doesn't carry those labels, nor ones under them: what was done to them, and why that is
    enough. Labels that the column's own definition gives it stay."""

    column: str
    labels: Strings = Field(min_length=1)
    by: Literal["hash", "token", "count", "aggregate", "review"]
    reason: str = Field(min_length=1)

    @field_validator("column")
    @classmethod
    def _names_a_column(cls, value: str) -> str:
        ColumnName.parse(value)
        return value


class Network(Resource):
    """From where one may come: addresses by door, by user, by role. What isn't named may come from anywhere."""

    doors: dict[Door, Strings] = Field(default_factory=dict)
    users: dict[str, Strings] = Field(default_factory=dict)
    roles: dict[str, Strings] = Field(default_factory=dict)

    @field_validator("doors", "users", "roles")
    @classmethod
    def _networks(cls, value: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        return {key: tuple(_network(item) for item in items) for key, items in value.items()}


class PolicyFile(Resource):
    """One file of `policies/`."""

    roles: dict[str, Role] = Field(default_factory=dict)
    groups: dict[str, Group] = Field(default_factory=dict)
    masks: dict[str, AnyMask] = Field(default_factory=dict)
    deny: tuple[Deny, ...] = ()
    declassify: tuple[Declassifier, ...] = ()
    #: Whether labels also come from columns that only decided which rows there are.
    influence: bool = False
    network: Network = Network()


class Policies(PolicyFile):
    """All files of `policies/` together. `version` is a hash of what they say: it changes whenever a decision may come out otherwise."""

    version: str = ""
