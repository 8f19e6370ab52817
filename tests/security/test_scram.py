"""SCRAM-SHA-256: against the RFC's example, a client of somebody else's, libpq itself, and whoever tampers with the messages."""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import scramp
from people import GOOD, Clock, users

from headwater.errors import AuthenticationFailed, PasswordExpired
from headwater.security import scram
from headwater.security.users import Users
from headwater.state import StateStore

SECRET = "hw_abcdefghijkl_0123456789"
SALT = b"0123456789abcdef"


def secret(*texts: str) -> scram.ScramSecret:
    return scram.ScramSecret(SALT, tuple(scram.make_keys(str(number), text, SALT) for number, text in enumerate(texts)))


def client(password: str) -> scramp.core.ScramClient:
    return scramp.ScramClient(["SCRAM-SHA-256"], "ada", password)


def converse(exchange: scram.ScramExchange, one: scramp.core.ScramClient) -> None:
    one.set_server_first(exchange.first(one.get_client_first().encode()).decode())
    one.set_server_final(exchange.final(one.get_client_final().encode()).decode())


def test_the_example_of_rfc_7677() -> None:
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    known = scram.ScramSecret(salt, (scram.make_keys("password", "pencil", salt),))
    exchange = scram.ScramExchange(known, nonce="%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    first = exchange.first(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    assert first == b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    final = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert exchange.final(final) == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    assert exchange.credential == "password"


def test_another_implementation_is_let_in_and_told_which_secret_it_has() -> None:
    for number, text in enumerate((SECRET, "another", "a third")):
        exchange = scram.ScramExchange(secret(SECRET, "another", "a third"))
        converse(exchange, client(text))
        assert exchange.credential == str(number)


def test_a_wrong_secret_is_not() -> None:
    exchange = scram.ScramExchange(secret(SECRET))
    with pytest.raises(AuthenticationFailed):
        converse(exchange, client(SECRET + "x"))
    assert exchange.credential is None


@pytest.mark.parametrize(
    "message",
    [
        *(b"", b"n", b"n,,", b"n,,n=,", b"n,,r=abc", b"n,a=root,n=,r=abc", b"n,,m=x,n=,r=abc", b"y" * 9000, b"\xff,,n=,r=a"),
        *(b"n,,n=,r=", b"n,,n=,r=a\x01b", b"p=tls-unique,,n=,r=abc", b"x,,n=,r=abc"),
    ],
    ids=repr,
)
def test_a_first_message_that_is_none_is_refused(message: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        scram.ScramExchange(secret(SECRET)).first(message)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("c=biws", "c=eSws"),
        lambda text: text.replace("c=biws", "c=****"),
        lambda text: text.replace(",r=", ",r=x"),
        lambda text: text.rpartition(",p=")[0],
        lambda text: text.rpartition(",p=")[0] + ",p=",
        lambda text: text.rpartition(",p=")[0] + ",p=" + base64.b64encode(b"short").decode(),
        lambda text: text.rpartition(",p=")[0] + ",p=" + base64.b64encode(b"\0" * 32).decode(),
        lambda text: text.rpartition(",p=")[0] + ",x=1,p=" + text.rpartition(",p=")[2],
        lambda text: "",
    ],
)
def test_a_last_message_that_was_tampered_with_is_refused(spoil: Callable[[str], str]) -> None:
    exchange, one = scram.ScramExchange(secret(SECRET)), client(SECRET)
    one.set_server_first(exchange.first(one.get_client_first().encode()).decode())
    final = one.get_client_final()
    with pytest.raises(AuthenticationFailed):
        exchange.final(spoil(final).encode())
    with pytest.raises(AuthenticationFailed):
        exchange.final(final.encode())


def test_messages_out_of_turn_are_refused() -> None:
    with pytest.raises(AuthenticationFailed):
        scram.ScramExchange(secret(SECRET)).final(b"c=biws,r=x,p=AAAA")
    exchange = scram.ScramExchange(secret(SECRET))
    exchange.first(b"n,,n=,r=abc")
    with pytest.raises(AuthenticationFailed):
        exchange.first(b"n,,n=,r=abc")


def test_an_exchange_bound_to_a_channel_holds_on_that_channel_only() -> None:
    binding = hashlib.sha256(b"certificate").digest()
    one = scramp.ScramClient(["SCRAM-SHA-256-PLUS"], "ada", SECRET, channel_binding=("tls-server-end-point", binding))
    converse(scram.ScramExchange(secret(SECRET), mechanism=scram.MECHANISM_PLUS, binding=binding), one)
    one = scramp.ScramClient(["SCRAM-SHA-256-PLUS"], "ada", SECRET, channel_binding=("tls-server-end-point", b"somebody between"))
    with pytest.raises(AuthenticationFailed, match="failed"):
        converse(scram.ScramExchange(secret(SECRET), mechanism=scram.MECHANISM_PLUS, binding=binding), one)


def test_taking_the_offer_of_binding_away_is_found() -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        scram.ScramExchange(secret(SECRET), binding=b"certificate").first(b"y,,n=,r=abc")
    assert "between" in str(caught.value.found)
    scram.ScramExchange(secret(SECRET)).first(b"y,,n=,r=abc")
    with pytest.raises(AuthenticationFailed):
        scram.ScramExchange(secret(SECRET), mechanism=scram.MECHANISM_PLUS)


def test_tokens_and_generated_passwords_have_verifiers_and_a_persons_own_never(store: StateStore) -> None:
    who = users(store)
    made = str(who.add("made"))
    who.add("own", password=GOOD)
    token, info = who.token("made")
    other, _ = who.token("own")
    known = who.scram_verifier("MADE")
    assert known is not None
    for text, credential in ((made, "password"), (token, info.id)):
        exchange = scram.ScramExchange(known)
        converse(exchange, client(text))
        assert exchange.credential == credential
        principal = who.login_scram("made", credential, door="postgres")
        assert (principal.name, principal.token) == ("made", None if credential == "password" else info.id)
    assert who.scram_verifier("own") is None
    assert who.login("own", other, door="postgres").name == "own"
    with store._database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT scram FROM users WHERE name = 'own'").scalar() is None
        kept = connection.exec_driver_sql("SELECT scram FROM users WHERE name = 'made'").scalar()
    who.passwd("made", GOOD)
    assert who.scram_verifier("made") is None
    assert kept is not None
    with pytest.raises(AuthenticationFailed):
        who.login_scram("made", "password", door="postgres")


def test_a_password_that_must_be_changed_proves_nothing_and_a_token_still_does(store: StateStore) -> None:
    who = users(store)
    who.add("ada")
    _, info = who.token("ada")
    who.passwd("ada", must_rotate=True)
    with pytest.raises(PasswordExpired, match="must be changed first"):
        who.login_scram("ada", "password", door="postgres")
    assert who.login_scram("ada", info.id, door="postgres").name == "ada"


def test_where_nothing_may_be_asked_for_in_clear_people_prove_their_tokens(store: StateStore) -> None:
    who = users(store)
    who.add("own", password=GOOD)
    who.add("other", password=GOOD)
    token, info = who.token("own")
    known = who.scram_verifier("own", may_ask=False)
    assert known is not None
    exchange = scram.ScramExchange(known)
    converse(exchange, client(token))
    assert exchange.credential == info.id
    for name, secret in (("own", GOOD), ("other", GOOD), ("nobody1", "x"), ("nobody2", "x"), ("nobody3", "x")):
        verifier = who.scram_verifier(name, may_ask=False)
        assert verifier is not None, "else it would tell whose password is their own"
        with pytest.raises(AuthenticationFailed):
            converse(scram.ScramExchange(verifier), client(secret))


def test_what_was_revoked_or_ended_proves_nothing(store: StateStore, clock: Clock) -> None:
    from datetime import timedelta

    who = users(store)
    who.add("loader", kind="service", generate=False)
    token, info = who.token("loader")
    short, ended = who.token("loader", expires=timedelta(minutes=1))
    clock.move(minutes=2)
    who.revoke(info.id)
    for text in (token, short):
        known = who.scram_verifier("loader")
        assert known is not None
        with pytest.raises(AuthenticationFailed):
            converse(scram.ScramExchange(known), client(text))
    for credential in (info.id, ended.id, "password", "nothing"):
        with pytest.raises(AuthenticationFailed):
            who.login_scram("loader", credential, door="postgres")


def test_a_name_nobody_has_is_answered_like_a_users(store: StateStore) -> None:
    who = users(store)
    who.add("made")
    answers = {name: who.scram_verifier(name) for name in (f"name{number}" for number in range(40))}
    assert 5 < sum(answer is None for answer in answers.values()) < 35, "some are asked for a password, some for a proof"
    for name, answer in answers.items():
        again = who.scram_verifier(name.upper())
        assert (answer is None) == (again is None)
        if answer is not None and again is not None:
            assert (answer.salt, answer.iterations, len(answer.salt)) == (again.salt, again.iterations, 16)
            with pytest.raises(AuthenticationFailed):
                converse(scram.ScramExchange(answer), client(""))
    first, second = who.scram_verifier("made"), who.scram_verifier("made")
    assert first is not None
    assert second is not None
    assert first.salt == second.salt


@contextmanager
def door(who: Users) -> Iterator[int]:
    """As much of a Postgres server as a login takes; gives its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def receive(connection: socket.socket, has_type: bool = True) -> bytes:
        head = connection.recv(5 if has_type else 4, socket.MSG_WAITALL)
        length = struct.unpack("!i", head[-4:])[0] - 4
        return connection.recv(length, socket.MSG_WAITALL) if length else b""

    def send(connection: socket.socket, kind: bytes, body: bytes) -> None:
        connection.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                start = receive(connection, has_type=False)
                while start[:4] in (struct.pack("!i", 80877103), struct.pack("!i", 80877104)):
                    connection.sendall(b"N")
                    start = receive(connection, has_type=False)
                fields = start[4:].split(b"\0")
                name = fields[fields.index(b"user") + 1].decode()
                known = who.scram_verifier(name)
                assert known is not None
                exchange = scram.ScramExchange(known)
                try:
                    send(connection, b"R", struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0")
                    _, _, rest = receive(connection).partition(b"\0")
                    send(connection, b"R", struct.pack("!i", 11) + exchange.first(rest[4:]))
                    send(connection, b"R", struct.pack("!i", 12) + exchange.final(receive(connection)))
                    principal = who.login_scram(name, str(exchange.credential), door="postgres", address="127.0.0.1")
                    send(connection, b"R", struct.pack("!i", 0))
                    send(connection, b"S", b"application_name\0" + principal.name.encode() + b"\0")
                    send(connection, b"S", b"client_encoding\0UTF8\0")
                    send(connection, b"Z", b"I")
                    connection.recv(1)
                except AuthenticationFailed as error:
                    send(connection, b"E", b"SFATAL\0C28P01\0M" + error.what.encode() + b"\0\0")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


def test_libpq_which_sends_no_name_is_let_in_by_token_and_by_generated_password(tmp_path: Path) -> None:
    with StateStore.open("state.sqlite", tmp_path) as store:
        who = users(store)
        made = str(who.add("loader", kind="service"))
        token, _ = who.token("loader")
        with door(who) as port:
            for text in (token, made):
                with psycopg.connect(
                    host="127.0.0.1", port=port, user="loader", dbname="x", password=text, require_auth="scram-sha-256"
                ) as connection:
                    assert connection.info.parameter_status("application_name") == "loader"
            with pytest.raises(psycopg.OperationalError, match="login failed"):
                psycopg.connect(host="127.0.0.1", port=port, user="loader", dbname="x", password=token[:-1] + "!")
