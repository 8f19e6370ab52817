"""Secrets from a server that speaks Vault's HTTP: one that stands here, over TLS with an authority of its own, and plainly."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import SecretsUnavailable, UnresolvedReference, UsageError
from headwater.secrets import resolve
from headwater.spec.project import SecurityConfig
from services import self_signed

TOKEN = "s.token-of-the-vault"
KEPT = {"shop/db": {"value": "plain-value", "password": "hush", "port": 5432}}


@dataclass
class Vault:
    address: str
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    answer: tuple[int, dict[str, str], bytes] | None = None


def _serve(context: ssl.SSLContext | None) -> Iterator[Vault]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            vault.asked.append((self.path, dict(self.headers)))
            status, headers, body = vault.answer or self._found()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _found(self) -> tuple[int, dict[str, str], bytes]:
            if self.headers["X-Vault-Token"] != TOKEN:
                return 403, {}, b'{"errors": ["permission denied"]}'
            found = KEPT.get(self.path.removeprefix("/v1/secret/data/"))
            return (404, {}, b"{}") if found is None else (200, {}, json.dumps({"data": {"data": found, "metadata": {"version": 1}}}).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up on our certificate is what we want
    vault = Vault(f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield vault
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def plain() -> Iterator[Vault]:
    yield from _serve(None)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1, and its key, signed by itself."""
    return self_signed(tmp_path)


@pytest.fixture
def secure(certificate: Path) -> Iterator[Vault]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    yield from _serve(context)


def look_up(folder: Path, reference: str, vault: dict[str, Any], **environ: str) -> str:
    security = SecurityConfig.model_validate({"secrets": {"providers": ["vault"], "vault": vault}})
    return resolve(reference, project_dir=folder, environ={"VAULT_TOKEN": TOKEN, **environ}, security=security)


def test_a_path_and_its_field_are_read(plain: Vault, tmp_path: Path) -> None:
    at = {"address": plain.address, "namespace": "team"}
    assert look_up(tmp_path, "${secret:shop/db#password}", at) == "hush"
    assert look_up(tmp_path, "${secret:shop/db}", at) == "plain-value"
    assert look_up(tmp_path, "${secret:shop/db#port}", at) == "5432"
    path, headers = plain.asked[0]
    assert path == "/v1/secret/data/shop/db"
    assert (headers["X-Vault-Token"], headers["X-Vault-Namespace"]) == (TOKEN, "team")


@pytest.mark.parametrize("reference", ["${secret:absent}", "${secret:shop/db#absent}"])
def test_what_is_not_there_has_no_value(plain: Vault, tmp_path: Path, reference: str) -> None:
    with pytest.raises(UnresolvedReference):
        look_up(tmp_path, reference, {"address": plain.address})
    assert look_up(tmp_path, reference.replace("}", ":-none}"), {"address": plain.address}) == "none"


def test_a_token_without_the_right_is_told_without_itself(plain: Vault, tmp_path: Path) -> None:
    with pytest.raises(UnresolvedReference, match="403") as caught:
        look_up(tmp_path, "${secret:shop/db}", {"address": plain.address}, VAULT_TOKEN="s.wrong-one")
    assert "wrong-one" not in str(caught.value)


def test_its_certificate_is_verified(secure: Vault, certificate: Path, tmp_path: Path) -> None:
    assert look_up(tmp_path, "${secret:shop/db#password}", {"address": secure.address, "ca": str(certificate)}) == "hush"
    with pytest.raises(SecretsUnavailable, match="self-signed certificate"):
        look_up(tmp_path, "${secret:shop/db}", {"address": secure.address})
    with pytest.raises(SecretsUnavailable):  # the certificate is for another name
        look_up(tmp_path, "${secret:shop/db}", {"address": secure.address.replace("127.0.0.1", "localhost"), "ca": str(certificate)})
    assert len(secure.asked) == 1


def test_nothing_is_sent_in_clear_to_another_machine(tmp_path: Path) -> None:
    for address in ("http://vault.example.com:8200", "ftp://127.0.0.1", "vault.example.com"):
        with pytest.raises(UsageError, match="TLS"):
            look_up(tmp_path, "${secret:x}", {"address": address})


def test_a_redirect_does_not_take_the_token_elsewhere(plain: Vault, tmp_path: Path) -> None:
    plain.answer = (307, {"Location": f"{plain.address}/v1/elsewhere"}, b"")
    with pytest.raises(SecretsUnavailable, match="307"):
        look_up(tmp_path, "${secret:shop/db}", {"address": plain.address})
    assert len(plain.asked) == 1


@pytest.mark.parametrize(
    ("answer", "says"),
    [((500, {}, b"hush"), "500"), ((200, {}, b"hush"), "JSONDecodeError"), ((429, {}, b"hush"), "429")],
    ids=["500", "no json", "too many"],
)
def test_an_answer_that_is_none_is_not_repeated(plain: Vault, tmp_path: Path, answer: Any, says: str) -> None:
    plain.answer = answer
    with pytest.raises(SecretsUnavailable, match=says) as caught:
        look_up(tmp_path, "${secret:shop/db}", {"address": plain.address})
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("body", [b"[]", b"3", b"{}", b'{"data": null}', b'{"data": {"data": null}}', b'{"data": {"data": []}}'])
def test_an_answer_of_another_shape_holds_nothing(plain: Vault, tmp_path: Path, body: bytes) -> None:
    plain.answer = (200, {}, body)
    assert look_up(tmp_path, "${secret:shop/db:-none}", {"address": plain.address}) == "none"


def test_a_server_that_is_gone_and_a_token_that_can_be_none_are_told(plain: Vault, tmp_path: Path) -> None:
    with pytest.raises(SecretsUnavailable):
        look_up(tmp_path, "${secret:x}", {"address": "http://127.0.0.1:1"})
    with pytest.raises(SecretsUnavailable) as caught:
        look_up(tmp_path, "${secret:x}", {"address": plain.address}, VAULT_TOKEN="hush\nhush: x")
    assert "hush" not in str(caught.value)
    with pytest.raises(UnresolvedReference, match="of its own"):
        look_up(tmp_path, "${secret:x}", {"address": plain.address, "token": "${secret:y}"})


def test_the_provider_needs_its_address() -> None:
    with pytest.raises(ValueError, match="no address"):
        SecurityConfig.model_validate({"secrets": {"providers": ["vault"]}})
