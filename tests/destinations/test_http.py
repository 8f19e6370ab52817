"""The HTTP destination against a real server that fails at will."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from places import Endpoint, http_server

from headwater.destinations.destination import DestinationContext
from headwater.destinations.http import HttpDestination
from headwater.errors import DestinationRefused, DestinationUnreachable
from headwater.exporting.delivering import Delivery, Pace
from headwater.testing.destinations import ROWS, SHAPE, batch_of

SECRET = "hunter22-never-shown"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    with http_server(endpoint):
        yield endpoint


def opened(endpoint: Endpoint, **options: Any) -> HttpDestination:
    destination = HttpDestination(
        DestinationContext("crm", Path(), {"url": endpoint.url, "headers": {"Authorization": f"Bearer {SECRET}"}, **options})
    )
    destination.prepare(SHAPE)
    return destination


def test_a_batch_is_one_request_with_its_id_as_the_key(endpoint: Endpoint) -> None:
    destination = opened(endpoint)
    batch = batch_of(destination, ROWS[:2], "insert")
    destination.send(batch)
    destination.close()
    ((path, headers, body),) = endpoint.requests
    assert path == "/take"
    assert headers["idempotency-key"] == body["batch"] == batch.id
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert body["export"] == "crm"
    first = body["changes"][0]
    assert first["operation"] == "insert"
    assert first["row"] == {"id": 1, "name": "one", "amount": "1.25", "ratio": 0.5, "is_open": True, "happened_at": "2024-01-01T12:00:00Z"}


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_answers_that_mean_later_are_worth_another_try(endpoint: Endpoint, status: int) -> None:
    destination = opened(endpoint)
    endpoint.answers = [(status, {"Retry-After": "7"}, b"name: one, secret")]
    with pytest.raises(DestinationUnreachable) as caught:
        destination.send(batch_of(destination, ROWS[:1], "insert"))
    assert caught.value.wait_seconds == 7
    assert "one" not in str(caught.value).replace("503", "")
    assert destination.send(batch_of(destination, ROWS[:1], "insert")).because is None
    destination.close()


def test_retry_after_may_be_a_date(endpoint: Endpoint) -> None:
    destination = opened(endpoint)
    endpoint.answers = [(503, {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=60))}, b"")]
    with pytest.raises(DestinationUnreachable) as caught:
        destination.send(batch_of(destination, ROWS[:1], "insert"))
    assert caught.value.wait_seconds == pytest.approx(60, abs=5)
    destination.close()


@pytest.mark.parametrize("status", [401, 403, 404, 405, 501])
def test_answers_that_mean_never_stop_it(endpoint: Endpoint, status: int) -> None:
    destination = opened(endpoint)
    endpoint.answers = [(status, {}, SECRET.encode())]
    with pytest.raises(DestinationRefused) as caught:
        destination.send(batch_of(destination, ROWS[:1], "insert"))
    assert str(status) in str(caught.value)
    assert SECRET not in str(caught.value)
    destination.close()


def test_a_connection_that_breaks_off_is_tried_again(endpoint: Endpoint) -> None:
    destination = opened(endpoint)
    destination.send(batch_of(destination, ROWS[:1], "insert"))
    endpoint.answers = [(0, {}, b""), (0, {}, b"")]
    slept: list[float] = []
    delivery = Delivery(destination, Pace(None, sleep=slept.append), 60)
    assert list(delivery.deliver(batch_of(destination, ROWS[1:3], "insert"))) == []
    assert len(slept) == 1  # the first break is that of a connection kept open
    assert [row["id"] for _, row in endpoint.changes] == [1, 2, 3]
    keys = [headers["idempotency-key"] for _, headers, _ in endpoint.requests]
    assert len(set(keys[1:])) == 1
    destination.close()


def test_rows_that_the_answer_refuses_are_told_by_a_word_and_never_by_a_value(endpoint: Endpoint) -> None:
    destination = opened(endpoint)
    listed = '{"index": 0, "reason": "no_such_owner"}, {"index": 1, "reason": "Quoted"}, {"index": 2, "reason": "bad: 3"}, {"index": 99}, 5'
    endpoint.answers = [(207, {}, f'{{"rejected": [{listed}]}}'.encode())]
    sent = destination.send(batch_of(destination, ROWS, "insert"))
    assert [(one.index, one.reason) for one in sent.refused] == [(0, "refused (no_such_owner)"), (1, "refused"), (2, "refused")]
    destination.close()


@pytest.mark.parametrize("answer", [b"", b"OK", b"[]", b'{"rejected": 3}', b"\xff\xfe"])
def test_an_answer_of_another_form_says_nothing(endpoint: Endpoint, answer: bytes) -> None:
    destination = opened(endpoint)
    endpoint.answers = [(200, {}, answer)]
    assert destination.send(batch_of(destination, ROWS, "insert")).refused == ()
    destination.close()


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_a_refused_batch_is_halved_to_the_guilty_rows(endpoint: Endpoint, status: int) -> None:
    destination = opened(endpoint)
    endpoint.refuses = lambda row: row["name"] in ("one", "line\nbreak\ttab")
    refused = list(Delivery(destination, Pace(None), 60).deliver(batch_of(destination, ROWS, "insert")))
    assert [one.index for one in refused] == [0, 4]
    assert {one.reason for one in refused} <= {"HTTP 422 Unprocessable Entity", "HTTP 422 Unprocessable Content"}
    assert sorted(row["id"] for _, row in endpoint.changes) == [2, 3, 4, 6]
    destination.close()
    assert status in (400, 409, 413, 422)


def test_a_redirect_on_the_same_host_is_followed_and_no_other(endpoint: Endpoint) -> None:
    destination = opened(endpoint)
    endpoint.answers = [(308, {"Location": "/elsewhere?x=1"}, b"")]
    assert destination.send(batch_of(destination, ROWS[:1], "insert")).because is None
    assert [path for path, _, _ in endpoint.requests] == ["/take", "/elsewhere?x=1"]
    other = Endpoint()
    with http_server(other) as url:
        for location in (url, "http://localhost:1/take", "https://" + url.partition("://")[2], ""):
            endpoint.answers = [(307, {"Location": location} if location else {}, b"")]
            with pytest.raises(DestinationRefused, match="redirects"):
                destination.send(batch_of(destination, ROWS[:1], "insert"))
    assert other.requests == []
    endpoint.answers = [(302, {"Location": "/take"}, b"")]
    with pytest.raises(DestinationRefused, match="redirects"):
        destination.send(batch_of(destination, ROWS[:1], "insert"))
    endpoint.answers = [(307, {"Location": "/take"}, b"")] * 9
    with pytest.raises(DestinationRefused, match="circle"):
        destination.send(batch_of(destination, ROWS[:1], "insert"))
    destination.close()


def test_a_certificate_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=IP:127.0.0.1"],
        capture_output=True,
    )
    if made.returncode != 0:
        pytest.skip("no openssl here")
    endpoint = Endpoint()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http_server(endpoint, context):
        destination = opened(endpoint)
        with pytest.raises(DestinationUnreachable, match="SSLCertVerificationError"):
            destination.send(batch_of(destination, ROWS[:1], "insert"))
        destination.close()
        trusting = opened(endpoint, ca=str(certificate))
        assert trusting.send(batch_of(trusting, ROWS[:1], "insert")).because is None
        trusting.close()
    assert len(endpoint.requests) == 1


def test_a_header_that_would_be_two_is_refused(endpoint: Endpoint) -> None:
    with pytest.raises(DestinationRefused, match="X-One"):
        opened(endpoint, headers={"X-One": "a\r\nX-Two: b"})
