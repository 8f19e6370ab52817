"""Tokens that stand for values: made and turned back in SQL, with nothing kept but a key.

A token is `tok_VERSION_DOMAIN_PAYLOAD`: the version of the key, a mark of the domain, and the value encrypted deterministically. So within a domain a
value has the same token in every table, and in another domain another. The construction is SIV (Rogaway and Shrimpton, 2006) with SHA-256 as the one
primitive: the first 16 bytes are a keyed digest of the value and at the same time the initial vector of the stream that hides it; a token that wasn't
made with the key is noticed. The key fills one block of SHA-256; what is hashed behind it begins with a letter that says what for.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from headwater.security.decisions import Resource, decide, denied_columns
from headwater.security.domains import domains_of
from headwater.security.principals import Principal
from headwater.spec.names import quote, quote_literal
from headwater.spec.policies import Action, Policies

#: What a token of any kind begins with.
PREFIX: Final = "tok_"
#: The function that turns tokens back in people's queries.
FUNCTION: Final[Action] = "detokenize"
#: Counts on one connection the tokens that were turned back.
COUNTER: Final = "hw_turned_back"
_MARK_LETTERS: Final = 6
#: Of the digest that is also the initial vector, in hexadecimal letters.
_IV_LETTERS: Final = 32
#: What a token is written with.
_LETTERS: Final = "[A-Za-z0-9_-]+"


@dataclass(frozen=True, slots=True, repr=False)
class TokenKeys:
    """The keys of tokens by version. Only the newest makes tokens; all turn them back."""

    by_version: Mapping[int, str]

    @property
    def newest(self) -> int:
        return max(self.by_version)

    def key_of(self, version: int, domain: str) -> str:
        """64 hexadecimal letters: one block of SHA-256."""
        return self._digest(version, "key", domain)

    def prefix_of(self, version: int, domain: str) -> str:
        return f"{PREFIX}{version}_{self._digest(version, 'mark', domain)[:_MARK_LETTERS]}_"

    def _digest(self, version: int, what: str, domain: str) -> str:
        return hmac.digest(self.by_version[version].encode(), f"{what} {domain.lower()}".encode(), "sha256").hex()


def token_sql(text: str, keys: TokenKeys, domain: str) -> str:
    """SQL for the token of a text (SQL); null for a null.

    A text is filled up with 0xFF, which stands nowhere in UTF-8, to 8, 32, 56 .. bytes: a token tells no more of its length, and needs no `=`.
    """
    key, prefix = keys.key_of(keys.newest, domain), keys.prefix_of(keys.newest, domain)
    vector = f"left({_digest(key, 'o', _digest(key, 'i', text))}, {_IV_LETTERS})"
    length = f"octet_length(encode({text}))"
    filled = f"((({length} + 16) // 24) * 24 + 8)"
    plain = f"(encode({text}) || unhex(repeat('FF', {filled} - {length})))"
    hidden = f"CAST(xor(CAST({plain} AS BIT), CAST({_stream(key, vector, filled)} AS BIT)) AS BLOB)"
    return f"{quote_literal(prefix)} || translate(base64(unhex({vector}) || {hidden}), '+/', '-_')"


def detokenizing_macros(keys: TokenKeys, domains: Iterable[str]) -> tuple[str, ...]:
    """Statements that make `detokenize(token)` on a connection, for tokens of these domains and every version; all else comes out as null.

    It counts what it turned back in the sequence `COUNTER`. Nothing that it is given makes it fail.
    """
    known = {keys.prefix_of(version, domain): keys.key_of(version, domain) for domain in sorted(domains) for version in sorted(keys.by_version)}

    def by_prefix(what: Callable[[str], str]) -> str:
        return f"CASE {' '.join(f'WHEN starts_with(t, {quote_literal(prefix)}) THEN {what(prefix)}' for prefix in known)} END"

    payload = f"lower(hex(TRY(from_base64(translate(substr(t, {by_prefix(lambda prefix: str(len(prefix) + 1))}), '-_', '+/')))))"
    size = f"((length(b) - {_IV_LETTERS}) // 2)"
    hidden = f"CAST(unhex(substr(b, {_IV_LETTERS + 1})) AS BIT)"
    plain = f"hex(CAST(xor({hidden}, CAST({_stream_of('k', 'i', size)} AS BIT)) AS BLOB))"
    text = f"CASE WHEN {size} > 0 THEN TRY(decode(unhex(regexp_replace({plain}, '(FF)+$', '')))) END"
    counted = f"CASE WHEN nextval('{COUNTER}') > 0 THEN v END"
    checked = f"CASE WHEN left({_digest_of('k', 'o', _digest_of('k', 'i', 'v'))}, {_IV_LETTERS}) = i THEN {counted} END"
    opened = _let("b", payload, _let("i", f"left(b, {_IV_LETTERS})", _let("v", text, checked)))
    # from_base64 takes `+` for what a token writes as `-`, and a `=` in the middle for an `A`
    is_whole = f"k IS NOT NULL AND regexp_full_match(t, {quote_literal(_LETTERS)})"
    whole = _let("k", by_prefix(lambda prefix: quote_literal(known[prefix])), f"CASE WHEN {is_whole} THEN {opened} END")
    return (
        f"CREATE TEMP SEQUENCE IF NOT EXISTS {COUNTER}",
        f"CREATE OR REPLACE TEMP MACRO {quote(FUNCTION)}(t) AS {whole if known else 'CAST(NULL AS VARCHAR)'}",
    )


def detokenizable(policies: Policies, principal: Principal, tables: Iterable[Resource], *, at: datetime) -> frozenset[str]:
    """The domains whose tokens `principal` may turn back, with the purpose they state.

    A domain's tokens are the same in all tables, so the right on one column of a domain is the right on it; and a denial on one column of it takes
    the whole domain away. Without a purpose there is none.
    """
    if principal.purpose is None:
        return frozenset()
    open_, closed = set[str](), set[str]()
    for table in tables:
        decision = decide(policies, principal, FUNCTION, table, at=at)
        denied = denied_columns(policies, principal, FUNCTION, table, at=at)
        for column in table.columns:
            domains = domains_of(policies, table, column)
            if column.name.lower() in denied:
                closed |= domains
            elif decision.is_allowed and column.name in decision.columns:
                open_ |= domains
    return frozenset(open_ - closed)


# -- pieces of SQL ---------------------------------------------------------------------------------------------------


def _let(name: str, value: str, body: str) -> str:
    """`body` with a name for a value, which is computed once: inside a CASE the engine doesn't share what is written twice."""
    return f"list_transform([{value}], lambda {name}: {body})[1]"


def _digest(key: str, what: str, text: str) -> str:
    return _digest_of(quote_literal(key), what, text)


def _digest_of(key: str, what: str, text: str) -> str:
    return f"sha256({key} || '{what}' || {text})"


def _stream(key: str, vector: str, size: str) -> str:
    return _stream_of(quote_literal(key), vector, size)


def _stream_of(key: str, vector: str, size: str) -> str:
    """As many bytes as `size` (SQL) says, 32 of them a digest; most values need one."""
    first = f"sha256({key} || 's0:' || {vector})"
    more = f"array_to_string(list_transform(range(1, ({size} + 31) // 32), lambda hw_j: sha256({key} || 's' || hw_j || ':' || {vector})), '')"
    return f"unhex(left(CASE WHEN {size} <= 32 THEN {first} ELSE {first} || {more} END, 2 * {size}))"
