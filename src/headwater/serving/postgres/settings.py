"""What a session can SET and SHOW: real where it means something here, remembered where it doesn't, refused where it can't be had."""

from __future__ import annotations

import re
from typing import Final

from headwater.serving.postgres.failures import WireError
from headwater.serving.postgres.statements import Words

#: The version whose catalog and behaviour clients can count on.
SERVER_VERSION: Final = "15.0"

_FIXED: Final = {
    "server_version": SERVER_VERSION,
    "server_version_num": "150000",
    "server_encoding": "UTF8",
    "integer_datetimes": "on",
    "is_superuser": "off",
    "in_hot_standby": "off",
    "lc_collate": "C",
    "lc_ctype": "C",
    "max_identifier_length": "63",
    "max_index_keys": "32",
    "block_size": "8192",
    "data_directory_mode": "0700",
    "wal_level": "replica",
}
_DEFAULTS: Final = {
    "headwater.purpose": "",
    "headwater.dialect": "postgres",
    "application_name": "",
    "statement_timeout": "0",
    "search_path": '"$user", public',
    "client_encoding": "UTF8",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "standard_conforming_strings": "on",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "transaction_isolation": "read committed",
    "default_transaction_isolation": "read committed",
    "transaction_read_only": "on",
    "default_transaction_read_only": "on",
    "transaction_deferrable": "off",
    "default_transaction_deferrable": "off",
    "client_min_messages": "notice",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "row_security": "on",
    "password_encryption": "scram-sha-256",
    "escape_string_warning": "on",
    "backslash_quote": "safe_encoding",
    "synchronize_seqscans": "on",
    "jit": "off",
    "work_mem": "4MB",
    "xmloption": "content",
    "session_authorization": "default",
    "role": "none",
    "synchronous_commit": "on",
    "geqo": "on",
    "enable_seqscan": "on",
    "random_page_cost": "4",
    "gssencmode": "disable",
    "default_tablespace": "",
    "default_table_access_method": "heap",
    "lc_messages": "C",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
}
#: Names as the server reports them, where they aren't in lower case.
_SPELLED: Final = {"datestyle": "DateStyle", "intervalstyle": "IntervalStyle", "timezone": "TimeZone"}
#: What is reported at the start, and when it changes.
REPORTED: Final = (
    "server_version",
    "server_encoding",
    "client_encoding",
    "application_name",
    "datestyle",
    "intervalstyle",
    "timezone",
    "integer_datetimes",
    "standard_conforming_strings",
    "is_superuser",
    "session_authorization",
    "default_transaction_read_only",
    "in_hot_standby",
)
#: Characters of one setting; settings of one session, those of clients' own names among them.
_MOST_CHARACTERS: Final = 65_536
_MOST_SETTINGS: Final = 1000
_UNITS: Final = {"": 1, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "us": 0.001}
_UTC: Final = frozenset({"utc", "etc/utc", "gmt", "etc/gmt", "zulu", "z", "0", "+00", "+00:00", "uct", "universal", "greenwich"})


class Settings:
    """The settings of one session, with what BEGIN .. ROLLBACK and SET LOCAL do to them."""

    def __init__(self, user: str, *, has_tls: bool = False) -> None:
        #: What the client is told when its session begins.
        self.notices: list[str] = []
        self._fixed = {**_FIXED, "ssl": "on" if has_tls else "off"}
        self._start = {**_DEFAULTS, "session_authorization": user}
        self._values = dict(self._start)
        self._before: dict[str, str] | None = None
        self._local: dict[str, str] = {}

    def start_with(self, name: str, value: str) -> None:
        """A setting of the start message; RESET goes back to it. TimeZone is passed over there, with a notice: drivers send their machine's
        unasked."""
        name = name.lower()
        if name == "timezone" and value.lower() not in _UTC:
            self.notices.append(f'the time zone is UTC here, not "{value}"')
            return
        self._start[name] = self._checked(name, value)
        self._values[name] = self._start[name]

    def show(self, name: str) -> str:
        """Raises WireError for a name nobody knows."""
        name = name.lower()
        if name in self._fixed:
            return self._fixed[name]
        if name not in self._values:
            raise WireError("42704", f'unrecognized configuration parameter "{name}"')
        return self._values[name]

    def get(self, name: str) -> str | None:
        """As `show`; None for a name nobody knows."""
        return self._fixed.get(name.lower(), self._values.get(name.lower()))

    def set(self, name: str, value: str | None, *, is_local: bool = False) -> None:
        """None means the default. Raises WireError for what can't be had."""
        name = name.lower()
        checked = self._start.get(name, "") if value is None else self._checked(name, value)
        if is_local:
            if self._before is None:
                return
            self._local.setdefault(name, self._values.get(name, ""))
        else:
            self._local.pop(name, None)
        self._values[name] = checked

    def reset_all(self) -> None:
        self._values = dict(self._start)

    def begin(self) -> None:
        self._before = dict(self._values)

    def end(self, *, is_commit: bool) -> None:
        """The end of a transaction: what was SET LOCAL is gone, and on a rollback everything that was SET in it."""
        if self._before is not None and not is_commit:
            self._values = self._before
        else:
            self._values.update(self._local)
        self._before = None
        self._local = {}

    def all(self) -> dict[str, str]:
        return dict(sorted({**self._fixed, **self._values}.items()))

    def spelled(self, name: str) -> str:
        return _SPELLED.get(name.lower(), name.lower())

    @property
    def timeout_seconds(self) -> float | None:
        milliseconds = int(self._values["statement_timeout"])
        return milliseconds / 1000 if milliseconds else None

    @property
    def search_path(self) -> list[str]:
        """Schemas in order, without `$user`."""
        words = Words(self._values["search_path"])
        path = []
        while not words.is_done:
            part = words.value()
            path.append(part)
            words.accept(",")
        return [part for part in path if part != "$user"]

    def _checked(self, name: str, value: str) -> str:
        if name in _FIXED:
            raise WireError("55P02", f'parameter "{name}" cannot be changed')
        low = value.strip().lower()
        if name not in _DEFAULTS and "." not in name:
            raise WireError("42704", f'unrecognized configuration parameter "{name}"')
        if len(name) + len(value) > _MOST_CHARACTERS or (name not in self._values and len(self._values) >= _MOST_SETTINGS):
            raise WireError("54000", "a session keeps no more settings, and no longer ones")
        if name == "statement_timeout" or name.endswith("_timeout"):
            return str(_milliseconds(name, low))
        if name == "headwater.dialect":
            return _one_of(name, value, {"postgres": "postgres", "duckdb": "duckdb"})
        if name == "client_encoding":
            return _one_of(name, value, dict.fromkeys(("utf8", "utf-8", "unicode", "'utf-8'"), "UTF8"))
        if name == "standard_conforming_strings":
            return _one_of(name, value, dict.fromkeys(("on", "true", "yes", "1"), "on"))
        if name == "datestyle":
            if not low.startswith("iso"):
                _refuse(name, value, "ISO")
            return "ISO, MDY"
        if name == "intervalstyle":
            return _one_of(name, value, {"postgres": "postgres"})
        if name == "bytea_output":
            return _one_of(name, value, {"hex": "hex"})
        if name == "timezone":
            return _one_of(name, value, {**dict.fromkeys(_UTC, "UTC"), "default": "UTC", "local": "UTC"})
        if name in ("transaction_read_only", "default_transaction_read_only"):
            return "on"
        if name in ("role", "session_authorization") and low not in ("none", "default", self._start["session_authorization"].lower()):
            raise WireError("42501", f"a session stays who it is: {name} can't be changed")
        if name == "search_path":
            self._check_path(value)
        return value

    def _check_path(self, value: str) -> None:
        words = Words(value)
        while not words.is_done:
            words.value()
            if not words.is_done:
                words.expect(",")


def _milliseconds(name: str, value: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?", value)
    if match is None or float(match[1]) * _UNITS[match[2] or ""] > 2**31 - 1:
        raise WireError("22023", f'invalid value for parameter "{name}": "{value}"', hint='Valid units are "us", "ms", "s", "min", "h" and "d".')
    return round(float(match[1]) * _UNITS[match[2] or ""])


def _one_of(name: str, value: str, allowed: dict[str, str]) -> str:
    """Raises WireError for a value that isn't among them, whatever its case."""
    low = value.strip().lower()
    if low not in allowed:
        _refuse(name, value, ", ".join(sorted(set(allowed.values()))))
    return allowed[low]


def _refuse(name: str, value: str, expected: str) -> None:
    raise WireError("22023", f'invalid value for parameter "{_SPELLED.get(name, name)}": "{value}"', hint=f"Here it can be {expected}.")


def options(text: str) -> dict[str, str]:
    """`options` of a start message: `-c name=value` and `--name=value`, a backslash before a space that belongs to a value."""
    parts = [re.sub(r"\\(.)", r"\1", part) for part in re.findall(r"(?:\\.|[^\s\\])+", text)]
    found: dict[str, str] = {}
    at = 0
    while at < len(parts):
        part = parts[at]
        if part == "-c" and at + 1 < len(parts):
            at += 1
            assignment = parts[at]
        elif part.startswith("-c"):
            assignment = part[2:]
        elif part.startswith("--"):
            assignment = part[2:].replace("-", "_")
        else:
            raise WireError("42601", f'invalid command-line argument "{part}"', hint="Settings are given as -c name=value.")
        name, mark, value = assignment.partition("=")
        if not mark:
            raise WireError("42601", f'"{assignment}" is no setting', hint="Settings are given as -c name=value.")
        found[name.strip()] = value
        at += 1
    return found
