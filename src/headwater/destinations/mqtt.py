"""A topic of an MQTT broker: one message a row, with quality of service 1."""

from __future__ import annotations

import ssl
import threading
import time
from typing import Any, ClassVar, Final
from urllib.parse import SplitResult, unquote, urlsplit

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from headwater.destinations.destination import Batch, DestinationContext, Refusal, Sent, Shape
from headwater.destinations.topics import Topic
from headwater.destinations.values import json_changes
from headwater.errors import DestinationRefused, DestinationUnreachable

_CONNECT_SECONDS: Final = 15.0
_SECONDS: Final = 60.0
#: Messages handed to the client at once, and how many of them it leaves unanswered.
_AT_ONCE: Final = 1_000
_UNANSWERED: Final = 20
#: What the protocol can say of a packet's length.
_LONGEST_PACKET: Final = 268_435_455
_LONGEST_TOPIC_BYTES: Final = 65_535
_FIRST_FAILURE: Final = 0x80
_NOBODY_LISTENS: Final = 0x10
#: Reasons for not taking a connection that pass: the server is unavailable, busy, or asks for patience.
_LATER: Final = frozenset({0x88, 0x89, 0x97, 0x9F})


class MqttDestination:
    """Messages are JSON: `{"id", "operation", "row" or "key"}`; with MQTT 5 `id` and `operation` are user properties, too. With `retain` a delete is
    an empty message, by which the broker forgets the topic's. Otherwise one that nobody subscribed to is an error where the broker tells (MQTT 5):
    it would be gone."""

    type: ClassVar[str] = "mqtt"
    takes_text: ClassVar[bool] = True

    def __init__(self, context: DestinationContext) -> None:
        options = context.options
        self._url = str(options["url"])
        self._topic = Topic(str(options["topic"]), reserved="/+#$")
        self._is_retained = bool(options.get("retain", False))
        self._version = str(options.get("version", "5"))
        self._client_id = str(options.get("client_id") or "")
        ca = options.get("ca")
        self._ca = str(context.project_dir / str(ca)) if ca else None
        self._line: _Line | None = None

    @property
    def identity(self) -> str:
        _, host, port = self._address()
        return f"mqtt {host}:{port} {self._topic.text}"

    def check(self) -> str:
        self._open()
        return f"a broker that speaks MQTT {self._version}"

    def prepare(self, shape: Shape, *, dry_run: bool = False) -> None:
        self._topic.check(shape, setting="topic")
        left_out = [name for name in shape.key if name not in self._topic.columns]
        if self._is_retained and left_out:
            raise DestinationRefused(
                "a retained message takes the place of its topic's last, and several rows would have one topic",
                expected=f"{', '.join(f'{{{name}}}' for name in left_out)} in `topic:`",
                state="nothing was sent",
            )
        self._open()

    def send(self, batch: Batch) -> Sent:
        line = self._open()
        refused: list[Refusal] = []
        wanted: list[tuple[int, str, bytes, Any]] = []
        for index, (row_id, topic, change) in enumerate(zip(batch.row_ids, self._topic.of(batch), json_changes(batch), strict=True)):
            body = b"" if self._is_retained and batch.is_delete else change.encode()
            properties = _properties(row_id, batch.operations[index]) if self._version == "5" else None
            topic_bytes = len(topic.encode())
            if topic_bytes > _LONGEST_TOPIC_BYTES:
                refused.append(Refusal(index, "its topic is longer than one may be"))
            elif _packet_bytes(topic_bytes, len(body), properties) > line.longest_packet:
                refused.append(Refusal(index, "longer than a message may be"))
            else:
                wanted.append((index, topic, body, properties))
        try:
            for start in range(0, len(wanted), line.at_once):
                refused += self._publish(line, wanted[start : start + line.at_once])
        except (OSError, ValueError, RuntimeError) as error:
            raise self._unreachable(type(error).__name__) from None
        return Sent(tuple(sorted(refused, key=lambda one: one.index)))

    def _publish(self, line: _Line, wanted: list[tuple[int, str, bytes, Any]]) -> list[Refusal]:
        index_of: dict[int, int] = {}
        for index, topic, body, properties in wanted:
            info = line.client.publish(topic, body, qos=1, retain=self._is_retained, properties=properties)
            if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise self._unreachable(info.rc.name)
            index_of[info.mid] = index
        answers = line.wait_for(set(index_of))
        if answers is None:
            raise self._unreachable(line.farewell or "no answer")
        return [refusal for mid, code in answers.items() if (refusal := self._refusal(index_of[mid], code)) is not None]

    def _refusal(self, index: int, code: ReasonCode) -> Refusal | None:
        """What the broker's answer means for a row; None: it was taken. Raises what is wrong with more than the row."""
        value = int(code.value)
        if value == _NOBODY_LISTENS and not self._is_retained:
            if self._topic.columns:
                return Refusal(index, "nobody subscribed to its topic")
            raise DestinationRefused(
                f"nobody subscribed to {self._topic.text}",
                state="the message was kept nowhere",
                hint="subscribe with a session that lasts, or set `retain: true`",
            )
        if value < _FIRST_FAILURE:
            return None
        if value in _LATER:
            raise self._unreachable(str(code))
        if value in (0x87, 0x90) and not self._topic.columns:
            raise self._refused(str(code))
        return Refusal(index, str(code))

    # -- the connection ----------------------------------------------------------------------------------------------

    def _open(self) -> _Line:
        if self._line is not None and self._line.is_up:
            return self._line
        self.close()
        parts, host, port = self._address()
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if self._version == "5" else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages = _UNANSWERED
        if parts.username is not None:
            client.username_pw_set(unquote(parts.username), None if parts.password is None else unquote(parts.password))
        line = _Line(client)
        try:
            if parts.scheme == "mqtts":
                tls = ssl.create_default_context(cafile=self._ca)
                tls.sslsocket_class = _Socket
                client.tls_set_context(tls)
            client.connect_timeout = _CONNECT_SECONDS
            client.connect(host, port)
        except (OSError, ValueError) as error:
            raise self._unreachable(type(error).__name__) from None
        client.loop_start()
        answer = line.wait_for_connection()
        if answer is not None and not answer.is_failure:
            self._line = line
            return line
        line.end()
        if answer is None or int(answer.value) in _LATER:
            raise self._unreachable(line.farewell or "no answer" if answer is None else str(answer))
        raise self._refused(str(answer))

    def _address(self) -> tuple[SplitResult, str, int]:
        try:
            parts = urlsplit(self._url)
            if parts.scheme in ("mqtt", "mqtts") and parts.hostname:
                return parts, parts.hostname, parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        except ValueError:  # a port that is none
            pass
        raise DestinationRefused("`url:` isn't an address of an MQTT broker", expected="mqtt://host:1883 or mqtts://host:8883")

    def _unreachable(self, found: str) -> DestinationUnreachable:
        return DestinationUnreachable(
            f"the broker of {self._topic.text} doesn't answer as it should", found=found, hint="check `url:`, and that the broker is up"
        )

    def _refused(self, found: str) -> DestinationRefused:
        return DestinationRefused(
            f"the broker of {self._topic.text} refuses it", found=found, hint="check `url:`, its user's rights, `client_id:` and `version:`"
        )

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.end()


class _Socket(ssl.SSLSocket):
    """Closed when the server isn't who it should be; the client would leave it open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class _Line:
    """A client's connection, with what came back on it. Callbacks run on the client's thread."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.longest_packet = _LONGEST_PACKET
        self.at_once = _AT_ONCE
        #: Why it ended, in the broker's words; None while it hasn't.
        self.farewell: str | None = None
        self._connected: ReasonCode | None = None
        self._answers: dict[int, ReasonCode] = {}
        self._changed = threading.Condition()
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish

    @property
    def is_up(self) -> bool:
        return self._connected is not None and self.farewell is None

    def end(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def wait_for_connection(self) -> ReasonCode | None:
        """The broker's answer; None where none came."""
        with self._changed:
            self._changed.wait_for(lambda: self._connected is not None or self.farewell is not None, _CONNECT_SECONDS)
            return self._connected

    def wait_for(self, mids: set[int]) -> dict[int, ReasonCode] | None:
        """The answers to messages; None where the line ended, or nothing came of it for a minute."""
        with self._changed:
            until, before = time.monotonic() + _SECONDS, -1
            while not mids <= self._answers.keys():
                if len(self._answers) > before:
                    until, before = time.monotonic() + _SECONDS, len(self._answers)
                if self.farewell is not None or time.monotonic() > until:
                    return None
                self._changed.wait(1)
            return {mid: self._answers.pop(mid) for mid in mids}

    def _on_connect(self, client: Client, _: Any, flags: Any, reason: ReasonCode, properties: Properties | None) -> None:
        with self._changed:
            # both are of MQTT 5, and there only where the broker has a limit
            self.longest_packet = min(getattr(properties, "MaximumPacketSize", _LONGEST_PACKET), _LONGEST_PACKET)
            patience = getattr(properties, "ReceiveMaximum", _UNANSWERED)
            self.at_once = _AT_ONCE if patience >= _UNANSWERED else patience
            self._connected = reason
            self._changed.notify_all()

    def _on_disconnect(self, client: Client, _: Any, flags: Any, reason: ReasonCode, properties: Properties | None) -> None:
        with self._changed:
            self.farewell = str(reason)
            self._changed.notify_all()

    def _on_publish(self, client: Client, _: Any, mid: int, reason: ReasonCode, properties: Properties | None) -> None:
        with self._changed:
            self._answers[mid] = reason
            self._changed.notify_all()


def _properties(row_id: str, operation: str) -> Any:
    """Any: the client's own class of them has no types."""
    make: Any = Properties
    made = make(PacketTypes.PUBLISH)
    made.ContentType = "application/json"
    made.UserProperty = [("id", row_id), ("operation", operation)]
    return made


def _packet_bytes(topic_bytes: int, body_bytes: int, properties: Any) -> int:
    """How long a message's packet is, to a few bytes above."""
    return 5 + 2 + topic_bytes + 2 + (0 if properties is None else len(properties.pack())) + body_bytes
