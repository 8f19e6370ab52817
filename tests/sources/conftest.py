"""Opening the connector `files` on a folder, and servers that hold files: S3's protocol and the web's."""

from __future__ import annotations

import http.server
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

sys.path.insert(0, str(Path(__file__).parent))  # the kit beside us

from file_kit import Files


@pytest.fixture
def open_files(tmp_path: Path) -> Iterator[Callable[..., Files]]:
    opened: list[Files] = []

    def open_them(**context: Any) -> Files:
        opened.append(Files(tmp_path, **context))
        return opened[-1]

    yield open_them
    for files in opened:
        files.connector.close()


@pytest.fixture
def files(open_files: Callable[..., Files]) -> Files:
    return open_files()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_endpoint: str, request: pytest.FixtureRequest) -> Any:
    """An empty bucket of boto3's, named after the test."""
    store = boto3.resource("s3", endpoint_url=s3_endpoint, aws_access_key_id="testing", aws_secret_access_key="hunter22-s3", region_name="us-east-1")
    made = store.Bucket(f"hw-{abs(hash(request.node.nodeid))}")
    made.create()
    return made


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, with an ETag made of size and time; `/broken/..` breaks off midway."""

    protocol_version = "HTTP/1.0"

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        if self.path.startswith("/broken/"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"id,name\n1,one\n")
            return
        super().do_GET()

    def do_HEAD(self) -> None:
        if self.path.startswith("/no-head/"):
            self.send_error(405)
            return
        super().do_HEAD()

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.replace("/no-head/", "/"))

    def end_headers(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.is_file():
            status = path.stat()
            self.send_header("ETag", f'"{status.st_size}-{status.st_mtime_ns}"')
        super().end_headers()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the folder `web` of the test's own folder."""
    (tmp_path / "web").mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path / "web")))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
