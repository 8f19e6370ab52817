"""What is asked of passwords, and how they are checked."""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from people import CHEAP, GOOD

from headwater.errors import PasswordRefused
from headwater.security.passwords import Cost, Passwords
from headwater.spec.project import PasswordConfig


def passwords(directory: Path | None = None, **settings: object) -> Passwords:
    return Passwords(PasswordConfig.model_validate(settings), directory, CHEAP)


def test_it_is_argon2id_at_what_the_rfc_recommends() -> None:
    kept = Passwords().hash(GOOD)
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert Cost() == Cost(3, 65_536, 4)


def test_the_same_password_is_kept_differently_each_time() -> None:
    some = passwords()
    assert some.hash(GOOD) != some.hash(GOOD)


def test_only_the_password_itself_is_right() -> None:
    some = passwords()
    kept = some.hash(GOOD)
    for _ in range(2):
        assert some.verify(kept, GOOD)
        for wrong in (GOOD + " ", GOOD.upper(), "", GOOD[:-1], "x" * 5000, "\ud800"):
            assert not some.verify(kept, wrong)
    assert not some.verify("not a hash", GOOD)


def test_letters_composed_in_another_way_are_the_same_password() -> None:
    some = passwords()
    assert some.verify(some.hash("blåbærsyltetøy"), "bla\N{COMBINING RING ABOVE}bærsyltetøy")


def test_a_known_password_is_quick_and_only_as_long_as_its_hash_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    some = passwords()
    kept = some.hash(GOOD)
    calls: list[str] = []
    real = some._is_right
    monkeypatch.setattr(some, "_is_right", lambda *a: calls.append("hash") or real(*a))
    assert some.verify(kept, GOOD)
    assert some.verify(kept, GOOD)
    assert calls == ["hash"]
    assert not some.verify(kept, "wrong")
    assert not some.verify(some.hash("something else"), GOOD)
    assert len(calls) == 3
    assert GOOD not in str(vars(some))


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("a brief 1", "too short"),
        ("x" * 1025, "too long"),
        ("aaaaaaaaaaaaaaaa", "too simple"),
        ("AbAbAbAbAbAbAbAb", "too simple"),
        ("i am Lovelace myself", "the user's name"),
        ("with\na line break", "typed"),
        ("with\0nothing in it", "typed"),
        ("half a pair \ud800 here", "typed"),
    ],
)
def test_bad_passwords_are_refused_with_the_reason_and_without_themselves(password: str, why: str) -> None:
    with pytest.raises(PasswordRefused, match=why) as caught:
        passwords().refuse_bad(password, name="lovelace")
    assert password not in str(caught.value)


def test_length_is_a_setting() -> None:
    passwords(min_length=8).refuse_bad("eight ch", name="ada")
    with pytest.raises(PasswordRefused):
        passwords(min_length=20).refuse_bad("nineteen characters", name="ada")


def test_a_list_of_passwords_refuses_what_stands_in_it(tmp_path: Path) -> None:
    (tmp_path / "known.txt").write_text("123456789012\ncorrect horse battery staple\r\npassword1234\n")
    some = passwords(tmp_path, breach_list="known.txt")
    for known in ("correct horse battery staple", "Correct Horse Battery Staple", "password1234", "123456789012"):
        with pytest.raises(PasswordRefused, match="known passwords"):
            some.refuse_bad(known, name="ada")
    some.refuse_bad("correct horse battery stapler", name="ada")


@pytest.mark.parametrize("count", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("has_counts", [True, False])
def test_a_list_of_sorted_hashes_is_searched_not_read(tmp_path: Path, count: int, has_counts: bool) -> None:
    generator = random.Random(count)
    known = [f"known password {number}" for number in range(count)]
    digests = sorted(hashlib.sha1(text.encode()).hexdigest().upper() for text in known)
    lines = [f"{digest}:{generator.randrange(10 ** generator.randrange(1, 8))}" if has_counts else digest for digest in digests]
    (tmp_path / "hashes.txt").write_text("\r\n".join(lines) + "\r\n")
    some = passwords(tmp_path, breach_list=str(tmp_path / "hashes.txt"))
    for text in known:
        with pytest.raises(PasswordRefused, match="known passwords"):
            some.refuse_bad(text, name="ada")
    for number in range(200):
        some.refuse_bad(f"unknown password {number}", name="ada")


def test_a_list_that_is_not_there_lets_no_password_through(tmp_path: Path) -> None:
    with pytest.raises(PasswordRefused, match="can't be checked"):
        passwords(tmp_path, breach_list="nowhere.txt").refuse_bad(GOOD, name="ada")


def test_waits_double_up_to_a_bound() -> None:
    some = passwords(lockout_after=2, lockout="1 minute", lockout_max="10 minutes")
    minutes = [wait and wait.total_seconds() / 60 for wait in map(some.lockout, range(1, 8))]
    assert minutes == [None, 1, 2, 4, 8, 10, 10]
    assert some.lockout(10_000) == timedelta(minutes=10)


def test_a_password_grows_old_where_that_is_asked_for() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert not passwords().is_expired(now - timedelta(days=10_000), now)
    some = passwords(rotate_after="90 days")
    assert some.is_expired(now - timedelta(days=90), now)
    assert some.is_expired(None, now)
    assert not some.is_expired(now - timedelta(days=89), now)
