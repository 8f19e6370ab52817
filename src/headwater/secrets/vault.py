"""Secrets from a server that speaks the HTTP of Vault's key-value store, version 2: `GET /v1/MOUNT/data/PATH`."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import quote, urlsplit

from headwater.errors import SecretsUnavailable, UnresolvedReference, UsageError
from headwater.spec.addresses import is_this_machine
from headwater.spec.project import VaultConfig

#: The field that is meant where a name says none.
DEFAULT_FIELD: Final = "value"
_MOST_BYTES: Final = 1 << 20


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to whatever host it names."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def read_vault(config: VaultConfig, name: str) -> str | None:
    """The secret `path` or `path#field` of a server whose settings are resolved; None where it has none. TLS is verified.

    Raises UsageError (an address without TLS that isn't this machine), UnresolvedReference (the token may not read it), SecretsUnavailable.
    """
    path, _, field = name.partition("#")
    _refuse_clear(config.address)
    url = f"{config.address.rstrip('/')}/v1/{quote(config.mount.strip('/'))}/data/{quote(path.strip('/'))}"
    headers = {"X-Vault-Token": config.token.strip(), "X-Vault-Request": "true"}
    if config.namespace is not None:
        headers["X-Vault-Namespace"] = config.namespace
    where = urlsplit(config.address).hostname
    try:
        context = ssl.create_default_context(cafile=config.ca)
        opener = urllib.request.build_opener(_NoRedirects, urllib.request.HTTPSHandler(context=context))
        with opener.open(urllib.request.Request(url, headers=headers), timeout=config.timeout.total_seconds()) as answer:
            body = json.loads(answer.read(_MOST_BYTES))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 404:
            return None
        if error.code in (400, 401, 403):
            raise UnresolvedReference(
                f"${{secret:{name}}} may not be read", found=f"{where} answered {error.code}", hint="check the token of security.secrets.vault"
            ) from None
        raise _unavailable(where, f"it answered {error.code}") from None
    except ssl.SSLError as error:
        raise _unavailable(where, error.reason or "TLS") from None
    except urllib.error.URLError as error:
        reason = error.reason
        found = getattr(reason, "verify_message", None) or getattr(reason, "strerror", None) or type(reason).__name__
        raise _unavailable(where, str(found)) from None
    except (OSError, HTTPException, ValueError) as error:  # a header that can't be one would be told with its value
        raise _unavailable(where, type(error).__name__) from None
    values = body.get("data", {}).get("data") if isinstance(body, dict) and isinstance(body.get("data"), dict) else None
    if not isinstance(values, dict):
        return None
    found_value = values.get(field or DEFAULT_FIELD)
    return None if found_value is None else found_value if isinstance(found_value, str) else json.dumps(found_value)


def _unavailable(where: str | None, found: str) -> SecretsUnavailable:
    return SecretsUnavailable(
        f"the secrets at {where} can't be reached",
        found=found,
        hint="check security.secrets.vault: its address and ca, and that it runs",
    )


def _refuse_clear(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme != "http" or not is_this_machine(parts.hostname or ""):
        raise UsageError("secrets are fetched over TLS alone", expected="security.secrets.vault.address: https://..", found=f"{parts.scheme}://..")
