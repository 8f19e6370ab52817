"""People and service accounts: made, let in, kept out; on both kinds of state store."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from people import GOOD, Clock, policies, users

from headwater.errors import AuthenticationFailed, PasswordExpired, PasswordRefused, UsageError
from headwater.security.audit import AuditLog
from headwater.security.principals import OWNER, Membership
from headwater.state import StateStore

RULES = policies(
    roles={"analyst": {"grants": [{"select": "marts.*"}]}, "steward": {"grants": [{"approve": "*"}]}},
    groups={"analysts": {"roles": ["analyst"], "members": ["ada"]}, "stewards": {"roles": ["steward"]}},
)


def test_a_lake_without_users_lets_nobody_in(store: StateStore) -> None:
    who = users(store)
    assert not who.has_any()
    for name in ("owner", "ada", "", "root", "a b", "x" * 500, "ad\x00a"):
        with pytest.raises(AuthenticationFailed):
            who.login(name, "", door="postgres")


def test_a_generated_password_is_given_once_and_lets_in(store: StateStore, clock: Clock) -> None:
    who = users(store, RULES)
    made = who.add("ada", groups=["stewards", "unheard of"])
    assert made is not None
    assert len(made) == 24
    principal = who.login("ada", made, door="postgres", address="10.0.0.1")
    assert (principal.name, principal.kind, principal.is_admin) == ("ada", "user", False)
    assert principal.roles == {"analyst", "steward"}
    assert set(principal.memberships) == {Membership("analysts", "policy"), Membership("stewards", "user"), Membership("unheard of", "user")}
    assert (principal.door, principal.address, principal.scope) == ("postgres", "10.0.0.1", None)
    [info] = who.list()
    assert (info.password, info.last_login_at, info.tokens) == ("generated", clock(), 0)
    with store._database.engine.connect() as connection:
        text = str(connection.exec_driver_sql("SELECT * FROM users").all())
    assert made not in text
    assert "argon2id" in text


def test_names_are_plain_taken_once_whatever_their_case_and_never_the_owners(store: StateStore) -> None:
    who = users(store)
    who.add("Ada", password=GOOD)
    for taken in ("Ada", "ada", "ADA"):
        with pytest.raises(UsageError, match="already"):
            who.add(taken, password=GOOD)
    for wrong in ("owner", "OWNER", "", "a b", "-a", "аda", "a\n", "x" * 129, "approved/1", "public", "(unknown)"):
        with pytest.raises(UsageError):
            who.add(wrong, password=GOOD)
    assert who.login("aDA", GOOD, door="http").name == "Ada"


def test_a_group_of_an_approved_request_cannot_be_joined_by_name(store: StateStore) -> None:
    who = users(store)
    with pytest.raises(UsageError, match="group"):
        who.add("ada", groups=["approved/abc"])
    with pytest.raises(UsageError, match="group"):
        who.add("ada", groups=[""])


def test_several_who_add_the_same_name_at_once_make_one_user(store: StateStore, url: str, tmp_path: Path, clock: Clock) -> None:
    def attempt(_: int) -> bool:
        with StateStore.open(url, tmp_path, clock=clock) as mine:
            try:
                users(mine).add("ada", password=GOOD)
            except UsageError:
                return False
            return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, range(8))) == 1
    assert len(users(store).list()) == 1


@pytest.mark.parametrize(
    ("name", "password"),
    [("ada", "wrong"), ("ada", ""), ("nobody", GOOD), ("ada", "x" * 5000), ("ada", "\ud800"), ("service", GOOD), ("gone", GOOD), ("ada", "hw_x")],
)
def test_what_is_wrong_cannot_be_told_from_the_answer(store: StateStore, name: str, password: str) -> None:
    who = users(store)
    who.add("ada", password=GOOD)
    who.add("service", kind="service", generate=False)
    who.add("gone", password=GOOD)
    who.disable("gone")
    with pytest.raises(AuthenticationFailed) as caught:
        who.login(name, password, door="postgres")
    with pytest.raises(AuthenticationFailed) as other:
        who.login("nobody at all", "", door="postgres")
    assert str(caught.value) == str(other.value)


def test_a_name_nobody_has_costs_a_hash_too(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    who = users(store)
    who.add("ada", password=GOOD)
    who.add("off", password=GOOD)
    who.disable("off")
    checked: list[str] = []
    real = who._passwords._is_right
    monkeypatch.setattr(who._passwords, "_is_right", lambda kept, text: checked.append(kept[:10]) or real(kept, text))
    for name in ("ada", "nobody", "off", "not a name"):
        with pytest.raises(AuthenticationFailed):
            who.login(name, "wrong", door="http")
    assert len(checked) == 4


def test_failures_lock_out_for_longer_and_longer_and_the_right_password_does_not_open(store: StateStore, clock: Clock) -> None:
    who = users(store, lockout_after=3, lockout="1 minute", lockout_max="5 minutes")
    who.add("ada", password=GOOD)

    def fails(password: str) -> None:
        with pytest.raises(AuthenticationFailed):
            who.login("ada", password, door="http")

    for _ in range(3):
        fails("wrong")
    assert who.list()[0].locked_until == clock() + timedelta(minutes=1)
    fails(GOOD)
    clock.move(seconds=59)
    fails(GOOD)
    clock.move(seconds=2)
    fails("wrong")
    assert who.list()[0].locked_until == clock() + timedelta(minutes=2), "the wait doubles"
    for _ in range(5):
        clock.move(minutes=6)
        fails("wrong")
    assert who.list()[0].locked_until == clock() + timedelta(minutes=5), "up to its bound"
    clock.move(minutes=6)
    assert who.login("ada", GOOD, door="http").name == "ada"
    assert who.list()[0].locked_until is None
    fails("wrong")
    assert who.list()[0].locked_until is None, "it begins anew after a success"


def test_guesses_at_once_are_counted_each(store: StateStore) -> None:
    who = users(store, lockout_after=3)
    who.add("ada", password=GOOD)

    def guess(number: int) -> None:
        with pytest.raises(AuthenticationFailed):
            who.login("ada", f"guess {number}", door="http")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(guess, range(20)))
    with store._database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT failed_attempts FROM users").scalar() == 3, "the others found the door locked"


def test_fifty_connections_of_a_pool_are_let_in(store: StateStore) -> None:
    who = users(store, lockout_after=3)
    who.add("ada", password=GOOD)
    with ThreadPoolExecutor(16) as pool:
        assert {one.name for one in pool.map(lambda _: who.login("ada", GOOD, door="postgres"), range(50))} == {"ada"}


def test_enabling_unlocks_and_a_new_password_does_too(store: StateStore) -> None:
    who = users(store, lockout_after=1, lockout="1 hour")
    who.add("ada", password=GOOD)
    for mend in (lambda: who.enable("ada"), lambda: who.passwd("ada", GOOD)):
        with pytest.raises(AuthenticationFailed):
            who.login("ada", "wrong", door="http")
        with pytest.raises(AuthenticationFailed):
            who.login("ada", GOOD, door="http")
        mend()
        assert who.login("ada", GOOD, door="http").name == "ada"


def test_an_old_password_must_be_changed_by_people_not_by_services(store: StateStore, clock: Clock) -> None:
    who = users(store, rotate_after="90 days")
    who.add("ada", password=GOOD)
    who.add("loader", kind="service", password=GOOD)
    clock.move(days=90)
    with pytest.raises(PasswordExpired):
        who.login("ada", GOOD, door="http")
    with pytest.raises(AuthenticationFailed):
        who.login("ada", "wrong", door="http")
    assert who.login("loader", GOOD, door="http").kind == "service"
    with pytest.raises(PasswordRefused, match="you have"):
        who.change_password("ada", GOOD, GOOD, door="http")
    who.change_password("ada", GOOD, "another good one", door="http")
    assert who.login("ada", "another good one", door="http").name == "ada"
    with pytest.raises(AuthenticationFailed):
        who.login("ada", GOOD, door="http")


def test_a_password_marked_so_must_be_changed_first(store: StateStore) -> None:
    who = users(store)
    who.add("ada", password=GOOD)
    made = who.passwd("ada", must_rotate=True)
    assert made is not None
    with pytest.raises(PasswordExpired):
        who.login("ada", made, door="http")
    who.change_password("ada", made, "another good one", door="http")
    assert who.login("ada", "another good one", door="http")
    assert who.list()[0].password == "own"


def test_who_comes_by_a_token_has_come(store: StateStore, clock: Clock) -> None:
    who = users(store)
    who.add("bot", kind="service", generate=False)
    token, _ = who.token("bot")
    assert who.list()[0].last_login_at is None
    who.login(name="bot", password=token, door="http")
    assert who.list()[0].last_login_at == clock()


def test_a_token_is_shown_once_and_lets_in_until_it_ends(store: StateStore, clock: Clock) -> None:
    who = users(store, RULES)
    who.add("ada", password=GOOD)
    token, info = who.token("ADA", expires=timedelta(days=30), scope=["select", "select"])
    assert token.startswith(f"hw_{info.id}_")
    assert (info.user, info.scope, info.expires_at) == ("ada", ("select",), clock() + timedelta(days=30))
    for principal in (who.login_token(token, door="http"), who.login("ada", token, door="postgres")):
        assert (principal.name, principal.scope, principal.token, principal.until) == ("ada", {"select"}, info.id, info.expires_at)
        assert principal.roles == {"analyst"}
    assert who.tokens("ada")[0].last_used_at == clock()
    with store._database.engine.connect() as connection:
        assert token.rpartition("_")[2] not in str(connection.exec_driver_sql("SELECT * FROM tokens").all())
    assert who.list()[0].tokens == 1
    clock.move(days=30)
    with pytest.raises(AuthenticationFailed):
        who.login_token(token, door="http")
    assert who.list()[0].tokens == 0


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-1], lambda t: t[:-1] + ("a" if t[-1] != "a" else "b"), lambda t: t.upper(), lambda t: "hw_", lambda t: t + " "]
)
def test_a_spoilt_token_lets_nobody_in(store: StateStore, spoil: object) -> None:
    who = users(store)
    who.add("ada", password=GOOD)
    token, _ = who.token("ada")
    with pytest.raises(AuthenticationFailed):
        who.login_token(spoil(token), door="http")  # type: ignore[operator]


def test_a_token_is_its_users_alone_and_ends_with_them(store: StateStore) -> None:
    who = users(store)
    who.add("ada", password=GOOD)
    who.add("bo", password=GOOD)
    token, info = who.token("ada")
    with pytest.raises(AuthenticationFailed):
        who.login("bo", token, door="postgres")
    who.disable("ada")
    with pytest.raises(AuthenticationFailed):
        who.login_token(token, door="http")
    with pytest.raises(UsageError, match="disabled"):
        who.token("ada")
    who.enable("ada")
    assert who.login_token(token, door="http")
    assert who.revoke(info.id).revoked_at is not None
    assert who.revoke(info.id).revoked_at is not None
    with pytest.raises(AuthenticationFailed):
        who.login_token(token, door="http")
    with pytest.raises(UsageError, match="no token"):
        who.revoke("nothing")


def test_a_token_for_nobody_nothing_or_no_time_is_refused(store: StateStore) -> None:
    who = users(store)
    who.add("ada", password=GOOD)
    with pytest.raises(UsageError, match="no user"):
        who.token("bo")
    with pytest.raises(UsageError, match="slect"):
        who.token("ada", scope=["slect"])
    with pytest.raises(UsageError, match="at least one"):
        who.token("ada", scope=[])
    with pytest.raises(UsageError, match="ends after"):
        who.token("ada", expires=timedelta())


def test_lockout_by_password_leaves_tokens_alone(store: StateStore) -> None:
    who = users(store, lockout_after=1)
    who.add("ada", password=GOOD)
    token, _ = who.token("ada")
    with pytest.raises(AuthenticationFailed):
        who.login("ada", "wrong", door="http")
    assert who.login_token(token, door="http")


def test_the_address_is_looked_at_before_the_password_and_does_not_count_as_a_failure(store: StateStore) -> None:
    rules = policies(
        roles={"admin": {}},
        groups={"admins": {"roles": ["admin"], "members": ["bo"]}},
        network={"users": {"ada": ["10.0.0.0/8", "2001:db8::/32"]}, "roles": {"admin": "192.168.1.5"}, "doors": {"flight": ["127.0.0.0/8"]}},
    )
    who = users(store, rules, lockout_after=1)
    for name in ("ada", "bo", "cy"):
        who.add(name, password=GOOD)
    for name, door, address in [
        ("ada", "http", "11.0.0.1"),
        ("ada", "http", None),
        ("ada", "http", "rubbish"),
        ("bo", "http", "192.168.1.6"),
        ("cy", "flight", "10.0.0.1"),
        ("ada", "flight", "10.0.0.1"),
    ]:
        with pytest.raises(AuthenticationFailed):
            who.login(name, GOOD, door=door, address=address)  # type: ignore[arg-type]
    for name, door, address in [
        ("ada", "http", "10.9.9.9"),
        ("ada", "http", "::ffff:10.1.1.1"),
        ("ada", "http", "2001:db8::1%eth0"),
        ("bo", "http", "192.168.1.5"),
        ("cy", "flight", "127.0.0.1"),
        ("cy", "http", None),
    ]:
        assert who.login(name, GOOD, door=door, address=address)  # type: ignore[arg-type]
    token, _ = who.token("ada")
    with pytest.raises(AuthenticationFailed):
        who.login_token(token, door="http", address="11.0.0.1")


def test_a_session_goes_on_until_its_user_token_or_password_does_not(store: StateStore, clock: Clock) -> None:
    who = users(store, RULES)
    who.add("ada", password=GOOD)
    who.add("bo", password=GOOD)
    by_password = who.login("ada", GOOD, door="http")
    token, info = who.token("ada", expires=timedelta(hours=1))
    by_token = who.login_token(token, door="http")
    assert who.renew(OWNER) is OWNER
    assert who.renew(by_password) == by_password
    assert who.renew(by_token) == by_token
    clock.move(minutes=1)
    who.passwd("ada", "another good one")
    assert who.renew(by_token).token == info.id
    with pytest.raises(AuthenticationFailed, match="has ended"):
        who.renew(by_password)
    clock.move(hours=1)
    with pytest.raises(AuthenticationFailed):
        who.renew(by_token)
    bo = who.login("bo", GOOD, door="http")
    later = users(store, policies(groups={"g": {"roles": ["r"], "members": ["bo"]}}, roles={"r": {}}))
    assert later.renew(bo).roles == {"r"}, "with the roles of today"
    who.disable("bo")
    with pytest.raises(AuthenticationFailed):
        who.renew(bo)


def test_every_login_is_audited_with_its_reason_and_no_name_that_nobody_has(store: StateStore) -> None:
    audit = AuditLog(store, "prod")
    who = users(store, RULES, audit=audit)
    who.add("ada", password=GOOD)
    who.login("ada", GOOD, door="postgres", address="10.0.0.1")
    for name, password in [("ada", "wrong"), ("my secret passphrase", "x"), ("secret0", "x")]:
        with pytest.raises(AuthenticationFailed):
            who.login(name, password, door="http")
    rows = [row.record for row in audit.rows()]
    assert [(one.principal, one.decision, one.error) for one in rows] == [
        ("ada", "allowed", None),
        ("ada", "refused", "the password is wrong"),
        ("(unknown)", "refused", "there is no such user"),
        ("(unknown)", "refused", "there is no such user"),
    ]
    assert (rows[0].action, rows[0].door, rows[0].address, rows[0].policy_version) == ("login", "postgres", "10.0.0.1", "v1")
    assert "secret" not in str(rows)
    assert audit.verify().is_sound


def test_without_an_audit_that_can_be_written_nobody_comes_in(tmp_path: Path, clock: Clock) -> None:
    from headwater.errors import AuditUnwritable

    with StateStore.open("state.sqlite", tmp_path, clock=clock) as store:
        who = users(store, audit=AuditLog(store, "prod"))
        who.add("ada", password=GOOD)
        with store._database.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE audit")
        with pytest.raises(AuditUnwritable):
            who.login("ada", GOOD, door="http")


def test_users_come_back_with_a_restored_store(store: StateStore, tmp_path: Path) -> None:
    who = users(store)
    made = who.add("ada")
    token, _ = who.token("ada")
    store.backup_to(tmp_path / "copy.sqlite")
    who.disable("ada")
    store.restore_from(tmp_path / "copy.sqlite")
    assert who.login("ada", str(made), door="http")
    assert who.login_token(token, door="http")
    assert who.scram_verifier("ada") is not None


def test_sessions_of_one_user_that_ask_at_once_share_one_look_and_each_is_judged_by_its_own_login(
    store: StateStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = users(store, RULES)
    who.add("ada", password=GOOD)
    old = who.login("ada", GOOD, door="postgres")
    clock.move(minutes=1)
    who.passwd("ada", GOOD + "2")
    new = []
    for _ in range(7):
        clock.move(minutes=1)
        new.append(who.login("ada", GOOD + "2", door="postgres"))
    looks, waiting = [], threading.Event()
    read = store.read

    def slow(work: Callable[[sa.Connection], object]) -> object:
        looks.append(1)
        waiting.wait(60)
        return read(work)

    monkeypatch.setattr(store, "read", slow)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(who.renew, session) for session in (old, *new)]
        while len(looks) < 1:
            time.sleep(0.01)
        time.sleep(0.2)
        waiting.set()
        with pytest.raises(AuthenticationFailed):
            asked[0].result(60)
        assert [one.result(60) for one in asked[1:]] == new
    assert len(looks) == 2, "the first for itself, and one for all who came meanwhile"


def test_a_hash_at_another_cost_is_renewed_at_the_next_login(store: StateStore) -> None:
    from headwater.security.passwords import Cost, Passwords
    from headwater.security.users import Users

    users(store).add("ada", password=GOOD)
    dearer = Users(store, policies(), environment="prod", passwords=Passwords(cost=Cost(time=2, memory=128, lanes=1)))
    dearer.login("ada", GOOD, door="http")
    with store._database.engine.connect() as connection:
        assert "m=128,t=2,p=1" in str(connection.exec_driver_sql("SELECT password_hash FROM users").scalar())
    assert dearer.login("ada", GOOD, door="http")


def test_users_are_seen_by_other_processes_at_once(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from headwater.security.users import Users
from headwater.spec.policies import Policies
from headwater.state import StateStore
with StateStore.open("state.sqlite", Path(sys.argv[1])) as store:
    print(Users(store, Policies(), environment="prod").add("bo", is_admin=True))
"""
    with StateStore.open("state.sqlite", tmp_path) as store:
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
        principal = users(store).login("bo", done.stdout.strip(), door="http")
    assert principal.is_admin
