"""Files on web servers. Imported when a stream has one: what speaks HTTP and TLS takes a tenth of a second to import."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from headwater.errors import SourceUnreachable, StreamNotFound
from headwater.sources.files.listing import FoundFile, without_query

#: Seconds to wait for a web server's answer.
HTTP_TIMEOUT_SECONDS = 30.0


def look_at_url(url: str) -> FoundFile:
    """What a HEAD request says of a URL (of a GET, where HEAD isn't allowed). Raises SourceUnreachable, StreamNotFound."""
    for method in ("HEAD", "GET"):
        try:
            with open_url(url, method) as answer:
                headers = answer.headers
                stamp = {"etag": headers.get("ETag"), "modified": headers.get("Last-Modified"), "size": headers.get("Content-Length")}
                return FoundFile(url, url, {k: int(v) if k == "size" else v for k, v in stamp.items() if v is not None})
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (403, 405, 501) and method == "HEAD":
                continue
            raise answer_error(url, error.code) from None
    raise AssertionError("a GET either answers or fails")


def open_url(url: str, method: str = "GET") -> Any:
    """The open answer. Raises SourceUnreachable when none comes; urllib's HTTPError for a status of failure."""
    try:
        return urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=HTTP_TIMEOUT_SECONDS)
    except urllib.error.HTTPError:
        raise
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise SourceUnreachable(
            f"{without_query(url)} can't be reached", found=str(reason), hint="check the address and the network, then run again"
        ) from None


def download(url: str, target: Path, chunk_bytes: int) -> tuple[str | None, int]:
    """Writes what the URL answers to `target`; gives the length it announced and the bytes that came. Raises OSError when it breaks off."""
    try:
        with open_url(url) as answer, target.open("wb") as out:
            shutil.copyfileobj(answer, out, chunk_bytes)
            return answer.headers.get("Content-Length"), out.tell()
    except urllib.error.HTTPError as error:
        error.close()
        raise answer_error(url, error.code) from None


def answer_error(url: str, status: int) -> StreamNotFound | SourceUnreachable:
    if status in (404, 410):
        return StreamNotFound(f"there is nothing at {without_query(url)}", found=f"the server answered {status}", hint="check the stream's path")
    return SourceUnreachable(f"{without_query(url)} can't be read", found=f"the server answered {status}", hint="check the address and the rights")
