"""Certificates of the doors: people's own, or one made here, which can vouch for this server's names and addresses only."""

from __future__ import annotations

import ipaddress
import os
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headwater.errors import DoorClosed

if TYPE_CHECKING:
    from cryptography import x509

#: How long a made certificate is good, and how long before its end a new one is made.
_GOOD_FOR: Final = timedelta(days=397)
_RENEWED_BEFORE: Final = timedelta(days=30)
_HINT: Final = "serve: certificate and key in headwater.yaml are PEM files, the certificate with its chain"


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files: the certificate with its chain, its private key, and what clients are given to trust it (None for one of people's own).

    `fingerprint` is the SHA-256 of the certificate, as browsers and openssl show it.
    """

    chain: Path
    key: Path
    authority: Path | None
    fingerprint: str
    ends: datetime


def own_certificate(chain: Path, key: Path) -> Certificate:
    """A certificate that somebody else made. Raises DoorClosed when the files can't be read, don't belong together or have ended."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        certificate = x509.load_pem_x509_certificates(chain.read_bytes())[0]
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        what = f"{getattr(error, 'filename', None) or 'a file'}: {error.strerror}" if isinstance(error, OSError) else "no PEM, or an encrypted key"
        raise DoorClosed("the certificate or its key can't be read", found=what, hint=_HINT) from None
    if _public_bytes(private.public_key()) != _public_bytes(certificate.public_key()):
        raise DoorClosed("the key isn't the certificate's", hint=_HINT)
    if certificate.not_valid_after_utc < datetime.now(UTC):
        raise DoorClosed("the certificate has ended", found=f"{certificate.not_valid_after_utc:%Y-%m-%d}", hint=_HINT)
    return Certificate(chain, key, None, _fingerprint(certificate), certificate.not_valid_after_utc)


def made_certificate(folder: Path, names: Sequence[str]) -> Certificate:
    """The certificate kept in `folder` (server.pem, server.key, authority.pem), made where there is none, it ends soon, or serves other names.

    Its authority is made for it alone: its key is thrown away once it has signed, and name constraints keep it to `names` (host names and addresses).
    So whoever trusts authority.pem trusts this server and nothing else.
    """
    wanted = sorted({_normal(name) for name in names})
    files = (folder / "server.pem", folder / "server.key", folder / "authority.pem")
    kept = _kept(*files, wanted)
    if kept is not None:
        return kept
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make(*files, wanted)
    except OSError as error:
        raise DoorClosed(
            "no certificate can be made", found=f"{error.filename}: {error.strerror}", hint="look at the folder's permissions"
        ) from error
    made = _kept(*files, wanted)
    if made is None:
        raise DoorClosed("the certificate that was made can't be read back", found=str(folder))
    return made


def served_names(host: str, extra: Sequence[str] = ()) -> list[str]:
    """The names and addresses under which a server listening on `host` is reached, as far as this machine knows them."""
    names = ["localhost", "127.0.0.1", "::1", *extra]
    if host in ("0.0.0.0", "::", ""):
        own = socket.gethostname()
        names += [own, socket.getfqdn()]
        try:
            names += [str(info[4][0]).partition("%")[0] for info in socket.getaddrinfo(own, None)]
        except OSError:
            pass  # a machine that doesn't know its own name has the others
    else:
        names.append(host)
    return list(dict.fromkeys(name for name in names if name))


def _kept(chain: Path, key: Path, authority: Path, names: Sequence[str]) -> Certificate | None:
    from cryptography import x509

    try:
        found = own_certificate(chain, key)
        certificate = x509.load_pem_x509_certificates(chain.read_bytes())[0]
        x509.load_pem_x509_certificate(authority.read_bytes())
        served = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, DoorClosed, x509.ExtensionNotFound):
        return None
    if sorted(str(name.value) for name in served) != list(names) or found.ends < datetime.now(UTC) + _RENEWED_BEFORE:
        return None
    if key.stat().st_mode & 0o077:
        key.chmod(0o600)
    return Certificate(chain, key, authority, found.fingerprint, found.ends)


def _make(chain: Path, key: Path, authority: Path, names: Sequence[str]) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    begins = datetime.now(UTC) - timedelta(hours=1)
    ends = begins + _GOOD_FOR
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Headwater, this server only ({x509.random_serial_number():x})"[:64])])
    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Headwater")])

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(authority_name).public_key(public)
        made = made.serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(ends)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        return made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)

    permitted = [_general(name, is_constraint=True) for name in names]
    # a constraint on one kind of name leaves the other open: forbid it whole where none is served
    excluded: list[x509.GeneralName] = []
    if not any(isinstance(one, x509.IPAddress) for one in permitted):
        excluded = [x509.IPAddress(ipaddress.ip_network(network)) for network in ("0.0.0.0/0", "::/0")]
    authority_certificate = (
        builder(authority_name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(permitted, excluded or None), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    server_certificate = (
        builder(server_name, server_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(key, secret, 0o600)
    _write(authority, authority_certificate.public_bytes(pem), 0o644)
    _write(chain, server_certificate.public_bytes(pem) + authority_certificate.public_bytes(pem), 0o644)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography.x509 import KeyUsage

    return KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others in between."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _normal(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        found = name.rstrip(".").encode("idna").decode().lower()
    except UnicodeError:
        found = ""
    if not found or not all(character.isalnum() or character in "-._" for character in found):
        raise DoorClosed(
            f"a certificate can't be made for {name!r}", expected="host names and addresses", hint="look at serve: names in headwater.yaml"
        )
    return found


def _general(name: str, *, is_constraint: bool = False) -> x509.GeneralName:
    from cryptography import x509

    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return x509.DNSName(name)
    return x509.IPAddress(ipaddress.ip_network(address) if is_constraint else address)


def _public_bytes(key: object) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    found: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return found


def _fingerprint(certificate: x509.Certificate) -> str:
    from cryptography.hazmat.primitives import hashes

    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()
