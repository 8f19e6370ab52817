"""References to what must not stand in files: `${env:NAME}`, `${env:NAME:-default}`, `${file:path}`, `${secret:NAME}`. Resolved when connecting."""

from headwater.secrets.references import redact, referenced, resolve

__all__ = ["redact", "referenced", "resolve"]
