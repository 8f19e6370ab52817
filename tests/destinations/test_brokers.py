"""RabbitMQ and MQTT where they differ: topics by row, what nobody takes, what is too long, who isn't let in, TLS, a server that goes away."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pytest
from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel
from middleman import middleman
from places import Place, Rabbit, Subscriber, mqtt_place, rabbitmq_place, retained_place

from headwater.destinations import Batch, Column, Destination, DestinationContext, Shape
from headwater.destinations.mqtt import MqttDestination
from headwater.destinations.rabbitmq import RabbitMqDestination
from headwater.destinations.topics import Topic
from headwater.errors import DestinationRefused, DestinationUnreachable
from headwater.exporting.delivering import Delivery, Pace
from headwater.spec.exports import MqttTarget, RabbitMqTarget
from headwater.testing.destinations import ROWS, SHAPE, batch_of
from services import require_mqtt, require_program, require_rabbitmq, self_signed

SECRET = "hunter22-never-shown"
KINDS: dict[str, type[Destination]] = {"rabbitmq": RabbitMqDestination, "mqtt": MqttDestination}


def made(place: Place, folder: Path = Path(), **changes: Any) -> Destination:
    ((kind, options),) = place.to.items()
    return KINDS[kind](DestinationContext("crm", folder, {**options, **changes}))


@pytest.fixture
def rabbit_place() -> Iterator[Place]:
    with rabbitmq_place() as place:
        yield place


@pytest.fixture(params=["rabbitmq", "mqtt"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with rabbitmq_place() if request.param == "rabbitmq" else mqtt_place() as one:
        yield one


def address(place: Place) -> tuple[str, int]:
    parts = urlsplit(place.options["url"])
    return parts.hostname or "", parts.port or 0


def through(place: Place, port: int, *, tls: bool = False) -> str:
    """The place's URL by way of another port."""
    parts = urlsplit(place.options["url"])
    login = f"{parts.username}:{parts.password}@" if parts.username else ""
    return f"{parts.scheme}{'s' if tls else ''}://{login}127.0.0.1:{port}{parts.path}"


# -- what a topic may be ---------------------------------------------------------------------------------------------


def test_a_value_makes_no_level_of_its_own_and_no_two_make_one_topic() -> None:
    topic = Topic("crm/{id}/{part}", reserved="/+#$")
    shape = Shape((Column("id", "VARCHAR"), Column("part", "VARCHAR")), ("id", "part"))
    values = ["a", "a/b", "a%2Fb", "+", "#", "", "$SYS", "é 漢", "a\nb\0", "%"]
    rows = pa.table({"id": values, "part": values[::-1]})
    topics = list(topic.of(Batch("b", tuple(values), 0, "1", ("insert",) * len(values), shape.columns, rows)))
    assert topics[:3] == ["crm/a/%25", "crm/a%2Fb/a%0Ab%00", "crm/a%252Fb/é 漢"]
    assert len(set(topics)) == len(values)
    assert all(one.count("/") == 2 and not set(one) & set("+#$\0\n") for one in topics)


def test_only_columns_of_the_key_may_stand_in_a_topic(place: Place) -> None:
    setting = "topic" if "topic" in place.options else "routing_key"
    destination = made(place, **{setting: "things.{name}"})
    with pytest.raises(DestinationRefused, match=f"`{setting}:` names name"):
        destination.prepare(SHAPE)
    destination.close()


@pytest.mark.parametrize("topic", ["", "a/+/b", "#", "a\0"])
def test_a_topic_is_one_that_can_be_published_to(topic: str) -> None:
    with pytest.raises(ValueError, match="can't be published to"):
        MqttTarget(url="mqtt://h", topic=topic)


def test_where_messages_of_rabbitmq_go_is_said_once() -> None:
    with pytest.raises(ValueError, match="where messages go isn't said"):
        RabbitMqTarget(url="amqp://h")
    with pytest.raises(ValueError, match="to the queue itself"):
        RabbitMqTarget(url="amqp://h", queue="q", routing_key="k")


# -- RabbitMQ --------------------------------------------------------------------------------------------------------


def test_messages_are_kept_on_disk_with_their_ids(rabbit_place: Place) -> None:
    destination = made(rabbit_place)
    destination.prepare(SHAPE)
    batch = batch_of(destination, ROWS[:2], "insert")
    destination.send(batch)
    destination.close()
    found = rabbit_place.extra.messages()
    assert [message.message_id for message in found] == list(batch.row_ids)
    assert {(message.delivery_mode, message.content_type, message.type) for message in found} == {(2, "application/json", "insert")}
    assert json.loads(found[0].body)["row"]["amount"] == "1.25"


def _topic_exchange(rabbit: Rabbit, *bindings: tuple[str, str]) -> None:
    async def make(channel: AbstractChannel) -> None:
        exchange = await channel.declare_exchange(rabbit.name, ExchangeType.TOPIC, durable=True)
        for queue, key in bindings:
            await (await channel.declare_queue(queue)).bind(exchange, key)

    rabbit.do(make)


def test_a_queue_is_made_and_bound_for_keys_by_row(rabbit_place: Place) -> None:
    rabbit = rabbit_place.extra
    _topic_exchange(rabbit)
    destination = made(rabbit_place, exchange=rabbit.name, routing_key="things.{id}")
    destination.prepare(SHAPE, dry_run=True)
    assert rabbit_place.read() == []
    destination.prepare(SHAPE)
    destination.prepare(SHAPE)
    destination.send(batch_of(destination, ROWS[:2], "insert"))
    destination.close()
    assert [message.routing_key for message in rabbit.messages()] == ["things.1", "things.2"]


def test_what_no_queue_takes_is_refused(rabbit_place: Place) -> None:
    rabbit = rabbit_place.extra
    _topic_exchange(rabbit, (rabbit.name, "things.2"))
    by_row = made(rabbit_place, exchange=rabbit.name, queue=None, routing_key="things.{id}")
    by_row.prepare(SHAPE)
    sent = by_row.send(batch_of(by_row, ROWS[:3], "insert"))
    by_row.close()
    assert [(one.index, one.reason) for one in sent.refused] == [(0, "no queue takes its routing key"), (2, "no queue takes its routing key")]
    assert [message.routing_key for message in rabbit.messages()] == ["things.2"]
    for_all = made(rabbit_place, exchange=rabbit.name, queue=None, routing_key="elsewhere")
    for_all.prepare(SHAPE)
    with pytest.raises(DestinationRefused, match="no queue takes what is sent to"):
        for_all.send(batch_of(for_all, ROWS[:3], "insert"))
    for_all.close()


def test_what_is_not_there_is_said_before_anything_is_sent(rabbit_place: Place) -> None:
    for options, what in (({"exchange": "nowhere", "routing_key": "k"}, "no exchange nowhere"), ({"routing_key": "nobody"}, "no queue nobody")):
        destination = made(rabbit_place, **{"queue": None, **options})
        with pytest.raises(DestinationRefused, match=what):
            destination.prepare(SHAPE, dry_run=True)
        destination.close()


def test_a_full_queue_is_worth_another_try(rabbit_place: Place) -> None:
    rabbit = rabbit_place.extra

    async def make(channel: AbstractChannel) -> None:
        await channel.declare_queue(rabbit.name, arguments={"x-max-length": 2, "x-overflow": "reject-publish"})

    rabbit.do(make)
    destination = made(rabbit_place)
    destination.prepare(SHAPE)
    with pytest.raises(DestinationUnreachable, match="DeliveryError"):
        destination.send(batch_of(destination, ROWS, "insert"))
    destination.close()


def test_what_is_longer_than_the_server_takes_is_refused_alone(rabbit_place: Place) -> None:
    rows = [ROWS[0], (7, "x" * (129 << 20), None, None, None, None), ROWS[1]]  # the server's limit is 128 MiB, of later ones 16
    destination = made(rabbit_place)
    destination.prepare(SHAPE)
    sent = destination.send(batch_of(destination, rows, "insert"))
    destination.close()
    assert [(one.index, one.reason) for one in sent.refused] == [(1, "longer than a message may be")]
    assert sorted(row["id"] for row in rabbit_place.read()) == [1, 2]


def test_a_routing_key_too_long_is_a_refusal_of_its_row(rabbit_place: Place) -> None:
    _topic_exchange(rabbit_place.extra)
    destination = made(rabbit_place, exchange=rabbit_place.extra.name, routing_key=f"{'x' * 250}.{{id}}")
    destination.prepare(SHAPE)
    sent = destination.send(batch_of(destination, [ROWS[0], ROWS[4]], "insert"))
    destination.close()
    assert [(one.index, one.reason) for one in sent.refused] == [(1, "its routing key is longer than one may be")]


# -- MQTT ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def strict_broker(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A broker that knows one user, lets them write below `ours/`, and takes no packet longer than 2,000 bytes."""
    program, password = require_program("mosquitto"), require_program("mosquitto_passwd")
    folder = tmp_path / "broker"
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    subprocess.run([password, "-b", "-c", folder / "users", "ada", "pass word/1"], check=True, capture_output=True)
    (folder / "rights").write_text("user ada\ntopic readwrite ours/#\n")
    (folder / "broker.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {folder}/users\nacl_file {folder}/rights\n"
        "max_packet_size 2000\nmax_inflight_messages 3\nuser root\npersistence false\nlog_dest none\n"
    )
    with subprocess.Popen([program, "-c", folder / "broker.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as broker:
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
            yield "127.0.0.1", port
        finally:
            broker.terminate()


def _mqtt(broker: tuple[str, int], login: str, **options: Any) -> MqttDestination:
    return MqttDestination(DestinationContext("crm", Path(), {"url": f"mqtt://{login}@{broker[0]}:{broker[1]}", "topic": "ours/t", **options}))


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_wrong_login_is_refused(strict_broker: tuple[str, int], version: str) -> None:
    destination = _mqtt(strict_broker, f"ada:{SECRET}", version=version)
    for _ in range(2):
        with pytest.raises(DestinationRefused) as caught:
            destination.check()
        assert SECRET not in str(caught.value)
    destination.close()
    right = _mqtt(strict_broker, "ada:pass%20word%2F1", version=version)
    assert right.check() == f"a broker that speaks MQTT {version}"
    right.close()


def test_a_topic_without_the_right_to_it_is_refused(strict_broker: tuple[str, int]) -> None:
    destination = _mqtt(strict_broker, "ada:pass%20word%2F1", topic="theirs/t")
    destination.prepare(SHAPE)
    with pytest.raises(DestinationRefused, match="Not authorized"):
        destination.send(batch_of(destination, ROWS[:1], "insert"))
    destination.close()


def test_a_message_too_long_is_refused_alone_and_the_broker_is_not_hurried(strict_broker: tuple[str, int]) -> None:
    subscriber = Subscriber(f"mqtt://ada:pass%20word%2F1@{strict_broker[0]}:{strict_broker[1]}", "ours")
    destination = _mqtt(strict_broker, "ada:pass%20word%2F1")
    destination.prepare(SHAPE)
    rows = [ROWS[0], (7, "x" * 1900, None, None, None, None), *((number, "y", None, None, None, None) for number in range(10, 60))]
    sent = destination.send(batch_of(destination, rows, "insert"))
    destination.close()
    found = [json.loads(message.payload)["row"]["id"] for message in subscriber.messages()]
    subscriber.close()
    assert [(one.index, one.reason) for one in sent.refused] == [(1, "longer than a message may be")]
    assert found == [1, *range(10, 60)]


def test_what_nobody_subscribed_to_is_refused() -> None:
    with mqtt_place() as place:
        for_all = made(place, topic=f"unheard/{place.extra.prefix}")
        for_all.prepare(SHAPE)
        with pytest.raises(DestinationRefused, match="nobody subscribed"):
            for_all.send(batch_of(for_all, ROWS[:2], "insert"))
        for_all.close()
        by_row = made(place, topic=f"unheard/{place.extra.prefix}/{{id}}")
        by_row.prepare(SHAPE)
        assert [one.reason for one in by_row.send(batch_of(by_row, ROWS[:2], "insert")).refused] == ["nobody subscribed to its topic"] * 2
        by_row.close()


def test_a_retained_topic_holds_the_newest_of_its_row_and_no_deleted_one() -> None:
    with retained_place() as place:
        destination = made(place)
        destination.prepare(SHAPE)
        destination.send(batch_of(destination, ROWS, "insert"))
        destination.send(batch_of(destination, [(1, "changed", None, None, None, None)], "update"))
        destination.send(batch_of(destination, ROWS[1:], "delete"))
        destination.close()
        assert [(row["id"], row["name"]) for row in place.read()] == [(1, "changed")]


def test_a_retained_message_needs_a_topic_for_each_row() -> None:
    destination = MqttDestination(DestinationContext("crm", Path(), {"url": require_mqtt(), "topic": "all", "retain": True}))
    with pytest.raises(DestinationRefused, match="several rows would have one topic"):
        destination.prepare(SHAPE)
    destination.close()


# -- both ------------------------------------------------------------------------------------------------------------


def test_a_wrong_login_at_rabbitmq_is_refused() -> None:
    parts = urlsplit(require_rabbitmq())
    url = f"amqp://guest:{SECRET}@{parts.hostname}:{parts.port}/"
    destination = RabbitMqDestination(DestinationContext("crm", Path(), {"url": url, "queue": "q"}))
    with pytest.raises(DestinationRefused) as caught:
        destination.check()
    destination.close()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1", "nonsense", "amqp://h:port", "mqtt://h:port", "mqtt://"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_url_that_is_none_is_refused(kind: str, url: str) -> None:
    destination = KINDS[kind](DestinationContext("crm", Path(), {"url": url, "queue": "q", "topic": "t"}))
    with pytest.raises((DestinationRefused, DestinationUnreachable)):
        destination.check()
    destination.close()


def test_tls_is_checked_against_the_authority_that_is_named(place: Place, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, tmp_path / "key.pem")
    with middleman(*address(place), tls) as between:
        url = through(place, between.port, tls=True)
        trusted = made(place, tmp_path, url=url, ca=certificate.name)
        trusted.prepare(SHAPE)
        trusted.send(batch_of(trusted, ROWS[:2], "insert"))
        trusted.close()
        strange = made(place, url=url)
        with pytest.raises(DestinationUnreachable):
            strange.check()
        strange.close()
    assert sorted(row["id"] for row in place.read()) == [1, 2]


def test_a_server_that_goes_away_in_the_midst_loses_nothing(place: Place) -> None:
    rows = [(number, "a row", None, None, None, None) for number in range(400)]
    with middleman(*address(place)) as between:
        destination = made(place, url=through(place, between.port))
        destination.prepare(SHAPE)
        between.hangs_up_after = 20_000
        batch = batch_of(destination, rows, "insert")
        with pytest.raises(DestinationUnreachable):
            destination.send(batch)
        between.is_away = True
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            between.is_away = len(slept) < 3

        assert list(Delivery(destination, Pace(None, sleep=sleep), 60).deliver(batch)) == []
        destination.close()
    assert len(slept) == 3
    assert sorted(row["id"] for row in place.read()) == list(range(400))


def test_a_server_that_was_restarted_between_batches_is_found_again(place: Place) -> None:
    with middleman(*address(place)) as between:
        destination = made(place, url=through(place, between.port))
        destination.prepare(SHAPE)
        destination.send(batch_of(destination, ROWS[:1], "insert"))
        between.hangs_up_after = 0
        delivery = Delivery(destination, Pace(None, sleep=lambda seconds: None), 60)
        assert list(delivery.deliver(batch_of(destination, ROWS[1:3], "insert"))) == []
        destination.close()
    assert len(place.read()) == 3
