"""Flight's messages written by hand: tickets kept across what takes rights away, Arrow that lies about itself, handshakes without end."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.flight as flight
import pytest

from headwater import api
from headwater.api.serving import Server
from headwater.serving import logins
from headwater.serving.flight.protobuf import pack, unpack, write
from headwater.serving.logins import Basic, Logins
from serving.doors_service import PlainService

POLICIES = """
roles:
  analyst:
    grants:
      - {select: m.orders, unmask: [pii]}
      - {select: m.orders, purpose: [churn]}
groups:
  analysts: {roles: [analyst], members: [ada, eve]}
"""
FILES = {
    "headwater.yaml": "name: shop\n",
    "orders.csv": "id,email\n" + "".join(f"{i},u{i}@s3cr3t.no\n" for i in range(100)),
    "sources/raw.yaml": "type: files\nstreams:\n  orders:\n    path: orders.csv\n    columns: {id: bigint, email: {labels: [pii.email]}}\n",
    "models/m/orders.sql": "SELECT id, email FROM raw.orders\n",
    "policies/all.yaml": POLICIES,
}


class Shop:
    """A running server, and who may call its Flight door."""

    def __init__(self, folder: Path, project: api.Project, server: Server) -> None:
        self.folder, self.project, self._server = folder, project, server
        port = next(urlsplit(door.url).port for door in server.doors if door.door == "flight")
        self.client = flight.connect(f"grpc://127.0.0.1:{port}")
        self.tokens: dict[str, str] = {}

    def options(self, user: str, **headers: str) -> flight.FlightCallOptions:
        given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {self.tokens[user]}".encode()), *given])

    def renew(self, user: str, **rights: Any) -> None:
        self.tokens[user] = self.project.users.token(user, **rights)[0]

    def rules(self, text: str) -> None:
        (self.folder / "policies" / "all.yaml").write_text(text)
        assert self.project.reload_definitions(self._server)

    def prepare(self, sql: str, user: str) -> flight.FlightDescriptor:
        request = flight.Action("CreatePreparedStatement", pack("ActionCreatePreparedStatementRequest", write({1: sql.encode()})))
        made = unpack(next(iter(self.client.do_action(request, self.options(user)))).body.to_pybytes())[1]
        return flight.FlightDescriptor.for_command(pack("CommandPreparedStatementQuery", write({1: made.data(1) or b""})))

    def bind(self, prepared: flight.FlightDescriptor, batch: pa.RecordBatch, user: str) -> None:
        writer, reader = self.client.do_put(prepared, batch.schema, self.options(user))
        with writer:
            writer.write_batch(batch)
            writer.done_writing()
            reader.read()


def query(sql: str) -> flight.FlightDescriptor:
    return flight.FlightDescriptor.for_command(pack("CommandStatementQuery", write({1: sql.encode()})))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("flight")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with api.open(folder) as project:
        project.run()
        for user in ("ada", "eve"):
            project.users.add(user, oidc=True)
        with project.serve(pg_port=None, http_port=None, flight_port=0) as server:
            shop = Shop(folder, project, server)
            for user in ("ada", "eve"):
                shop.renew(user)
            yield shop
            shop.client.close()


@pytest.mark.parametrize("take", ["policies", "disable", "revoke", "purpose", "scope"])
def test_a_ticket_gives_no_rows_once_the_rights_it_began_by_are_gone(shop: Shop, take: str) -> None:
    def narrowed() -> None:
        shop.renew("ada", scope=["run"])

    doing: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "policies": (lambda: shop.rules(POLICIES.replace(", unmask: [pii]", "")), lambda: shop.rules(POLICIES)),
        "disable": (lambda: shop.project.users.disable("ada"), lambda: shop.project.users.enable("ada")),
        "revoke": (lambda: shop.project.users.revoke(shop.tokens["ada"][3:15]), lambda: shop.renew("ada")),
        "purpose": (lambda: None, lambda: None),
        "scope": (narrowed, lambda: shop.renew("ada")),
    }
    take_away, give_back = doing[take]
    began = {"x_headwater_purpose": "churn"} if take == "purpose" else {}
    info = shop.client.get_flight_info(query("SELECT email FROM m.orders"), shop.options("ada", **began))
    prepared = shop.prepare("SELECT email FROM m.orders", "ada")
    take_away()
    try:
        gone = flight.FlightUnauthenticatedError if take in ("disable", "revoke") else pa.ArrowInvalid
        with pytest.raises(gone, match="HW-U001" if take in ("disable", "revoke") else "has changed since"):
            shop.client.do_get(info.endpoints[0].ticket, shop.options("ada")).read_all()
        if take not in ("policies", "purpose"):
            with pytest.raises(pa.ArrowException):
                shop.client.get_schema(prepared, shop.options("ada"))
    finally:
        give_back()
    again = shop.client.get_flight_info(query("SELECT email FROM m.orders"), shop.options("ada", **began))
    assert shop.client.do_get(again.endpoints[0].ticket, shop.options("ada", **began)).read_all().num_rows == 100


def lying(kind: str) -> pa.RecordBatch:
    """A row of parameters that is right when it is made, and says of itself what isn't so when it leaves."""
    if kind == "text":
        buffer = np.array([0, 4], dtype=np.int32)
        column = pa.Array.from_buffers(pa.binary(), 1, [None, pa.py_buffer(buffer), pa.py_buffer(b"abcd")])
    elif kind == "list":
        buffer = np.array([0, 1], dtype=np.int32)
        column = pa.Array.from_buffers(pa.list_(pa.int64()), 1, [None, pa.py_buffer(buffer)], children=[pa.array([7])])
    else:
        buffer = np.array([0], dtype=np.int32)
        column = pa.DictionaryArray.from_arrays(pa.Array.from_buffers(pa.int32(), 1, [None, pa.py_buffer(buffer)]), pa.array(["one"]))
    batch = pa.record_batch([column], ["p"])
    buffer[-1] = 4000
    return batch


@pytest.mark.parametrize(("kind", "type"), [("text", "BLOB"), ("list", "BIGINT[]"), ("dictionary", "VARCHAR")])
def test_parameters_that_claim_more_than_was_sent_are_refused(shop: Shop, kind: str, type: str) -> None:
    """Taken at their word, they would be answered with what lies behind them in the server's memory."""
    prepared = shop.prepare(f"SELECT $1::{type} AS v", "eve")
    with pytest.raises(pa.ArrowInvalid, match="parameters can't be read"):
        shop.bind(prepared, lying(kind), "eve")
    shop.bind(prepared, pa.record_batch([pa.array([struct.pack("<i", 7)])], ["p"]) if kind == "text" else whole(kind), "eve")
    info = shop.client.get_flight_info(prepared, shop.options("eve"))
    assert shop.client.do_get(info.endpoints[0].ticket, shop.options("eve")).read_all().num_rows == 1


def whole(kind: str) -> pa.RecordBatch:
    return pa.record_batch([pa.array([[7]]) if kind == "list" else pa.array(["one"]).dictionary_encode()], ["p"])


@pytest.mark.parametrize(
    "column",
    [
        pa.ListArray.from_arrays(pa.array([0, 50_000_000], pa.int32()), pa.nulls(50_000_000)),
        pa.ListArray.from_arrays(pa.array([0, 9000], pa.int32()), pa.DictionaryArray.from_arrays(pa.array([0] * 9000, pa.int8()), ["x" * 10_000])),
        pa.ListArray.from_arrays(pa.array([0, 9000], pa.int32()), pa.array(["x" * 10_000] * 9000, pa.string_view())),
        pa.ListViewArray.from_arrays(pa.array([0], pa.int32()), pa.array([3], pa.int32()), pa.array([1, 2, 3])),
        pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int32()), pa.array([1])),
    ],
    ids=lambda column: str(column.type)[:20],
)
def test_parameters_are_no_larger_than_what_was_sent(shop: Shop, column: Any) -> None:
    prepared = shop.prepare("SELECT 1 AS v WHERE $1 IS NULL", "eve")
    with pytest.raises(pa.ArrowInvalid, match=r"isn't taken|takes one row"):
        shop.bind(prepared, pa.record_batch([column], ["p"]), "eve")


def test_parameters_of_many_types_are_taken(shop: Shop) -> None:
    prepared = shop.prepare("SELECT $1::VARCHAR AS a, $2::VARCHAR AS b, $3 IS NULL AS c, $4::VARCHAR AS d, $5::VARCHAR AS e", "eve")
    columns = [pa.array([[[1], [2]]]), pa.array(["u"]).dictionary_encode(), pa.nulls(1), pa.array([{"x": 1.5}]), pa.array(["v"], pa.string_view())]
    shop.bind(prepared, pa.record_batch(columns, list("abcde")), "eve")
    info = shop.client.get_flight_info(prepared, shop.options("eve"))
    found = shop.client.do_get(info.endpoints[0].ticket, shop.options("eve")).read_all().to_pylist()
    assert found == [{"a": "[[1], [2]]", "b": "u", "c": True, "d": "{'x': 1.5}", "e": "v"}]


def test_metadata_alone_is_no_row_of_parameters(shop: Shop) -> None:
    prepared = shop.prepare("SELECT $1::INTEGER AS v", "eve")
    writer, _ = shop.client.do_put(prepared, pa.schema([("p", pa.int32())]), shop.options("eve"))
    writer.write_metadata(b"x")
    writer.done_writing()
    with pytest.raises(pa.ArrowInvalid, match="parameters can't be read"):
        writer.close()


@pytest.mark.parametrize("name", ["authorization", "x-headwater-purpose"])
def test_who_asks_and_why_is_said_once(shop: Shop, name: str) -> None:
    """A proxy may let one of two pass, and the door go by the other."""
    twice = [(name.encode(), b"Bearer " + shop.tokens[user].encode() if name == "authorization" else user.encode()) for user in ("ada", "eve")]
    more = [] if name == "authorization" else [(b"authorization", b"Bearer " + shop.tokens["ada"].encode())]
    with pytest.raises(pa.ArrowException, match="given twice"):
        shop.client.get_flight_info(query("SELECT 1"), flight.FlightCallOptions(headers=[*twice, *more]))


def test_handshakes_that_nobody_follows_up_put_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "MOST_KEPT", 10)
    service = PlainService()
    kept = Logins(service, "flight")
    mine = f"Bearer {kept.open_session(Basic('ada', 'correct horse'))}"
    assert kept.principal(mine, "127.0.0.1").name == "ada"
    for number in range(25):
        kept.open_session(Basic(f"nobody{number}", "x"))
    assert kept.principal(mine, "127.0.0.1").name == "ada"
    assert len(service.logins) == 1
    service.close()
