"""The identity that signs content credentials: a certificate and its private key, in files outside the share.

Only the daemon reads the key. The process that writes a manifest asks it for one signature (``jobs.protocol``) and never sees the key.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from goldsmith.errors import HostError, UsageError
from goldsmith.files import Filesystem, write_atomically

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

# The folder of the identity that ``goldsmith init`` makes, in the state directory, and its files.
IDENTITY_FOLDER = "credentials"
CERTIFICATE_NAME, KEY_NAME, ROOT_NAME, ROOT_KEY_NAME = "certificate.pem", "key.pem", "root.pem", "root-key.pem"
# How long the certificates last that ``goldsmith init`` makes. A signature without a time stamp ends with its certificate.
_LEAF_DAYS, _ROOT_DAYS = 3650, 7300
# Before the expiry, ``goldsmith doctor`` warns for so many seconds.
WARNING_SECONDS = 30 * 86_400
_MAX_FILE_BYTES = 256 * 1024
# The purposes of a certificate that C2PA accepts: e-mail protection, document signing, and its own claim signing.
_PURPOSES = frozenset({"1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.36", "1.3.6.1.4.1.62558.2.1"})
_MAX_NAME_CHARS = 64
# Bytes of an organisation and of a common name in a certificate (RFC 5280, appendix A.1).
_MAX_ATTRIBUTE_BYTES = 64


class IdentityFiles(NamedTuple):
    """Where an identity is: the certificate (PEM, with those between it and the root behind it), and its key (PEM, without password)."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class SigningIdentity:
    """A certificate with its key.

    chain:     the certificate and those between it and its root, as PEM. anchors: the roots by which its signatures are trusted, as PEM.
    algorithm: C2PA's name of it, such as "es256".
    subject:   who signs, for people. issuer: who says so.
    starts_at, expires_at: Unix seconds.
    """

    files: IdentityFiles
    chain: str
    anchors: str
    algorithm: str
    subject: str
    issuer: str
    starts_at: float
    expires_at: float
    _key: PrivateKeyTypes = field(repr=False)

    def sign(self, data: bytes) -> bytes:
        """Return the signature of ``data`` in the form of COSE (RFC 9053, 2.1)."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        key = self._key
        if isinstance(key, ec.EllipticCurvePrivateKey):
            width = (key.curve.key_size + 7) // 8
            digests: dict[int, hashes.HashAlgorithm] = {32: hashes.SHA256(), 48: hashes.SHA384(), 66: hashes.SHA512()}
            first, second = decode_dss_signature(key.sign(data, ec.ECDSA(digests[width])))
            return first.to_bytes(width, "big") + second.to_bytes(width, "big")
        if isinstance(key, rsa.RSAPrivateKey):
            salted = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256().digest_size)
            return key.sign(data, salted, hashes.SHA256())
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(data)
        raise TypeError(type(key).__name__)

    def problem_at(self, now: float) -> str:
        """Return why nothing can be signed at this moment (Unix seconds), as a sentence; "" if it can."""
        if now >= self.expires_at:
            return f"The certificate {self.files.certificate} has expired on {day_of(self.expires_at)}."
        return f"The certificate {self.files.certificate} begins on {day_of(self.starts_at)}." if now < self.starts_at else ""


def day_of(seconds: float) -> str:
    """Return the day of a moment in Unix seconds, in UTC, as 2031-05-04."""
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def read_identity(files: IdentityFiles, untrusted_folders: Sequence[Path]) -> SigningIdentity:
    """Return the identity in these files.

    ``untrusted_folders``: what strangers may write, or what worker processes may read; the key must be in none of them. Raises UsageError
    if a file is missing, wrong or open to others, and HostError if a disk fails.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    _require_private_key_file(files.key, untrusted_folders)
    chain_data, key_data = _read(files.certificate), _read(files.key)
    try:
        chain = x509.load_pem_x509_certificates(chain_data)
        key = serialization.load_pem_private_key(key_data, password=None)
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{files.certificate} or {files.key} is no certificate or no key without a password, in PEM.",
            "Write the certificate and those between it and its root into one file, and the key into the other.",
        ) from error
    leaf = chain[0]
    _require_matching(files, leaf, key)
    _require_purpose(files, leaf)
    root_file = files.certificate.with_name(ROOT_NAME)
    anchors = _pem(chain[-1:]) + (_read(root_file).decode("ascii", "replace") if root_file.is_file() else "")
    return SigningIdentity(
        files=files,
        # A verifier has the root from elsewhere, or does not trust it: in each file it would be 0.4 kB of nothing (RFC 9360, 2: x5chain).
        chain=_pem([each for each in chain if each.subject != each.issuer]),
        anchors=anchors,
        algorithm=_algorithm_of(files, key),
        subject=_name_of(leaf.subject),
        issuer=_name_of(leaf.issuer),
        starts_at=leaf.not_valid_before_utc.timestamp(),
        expires_at=leaf.not_valid_after_utc.timestamp(),
        _key=key,
    )


def create_identity(folder: Path, studio: str) -> IdentityFiles:
    """Make a root and a certificate (P-256) for a start, and return the files of the certificate. Files that exist stay as they are.

    ``studio``: the name that the certificates bear. An existing root signs a new certificate. Raises HostError if the disk refuses.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    files = IdentityFiles(folder / CERTIFICATE_NAME, folder / KEY_NAME)
    if os.path.lexists(files.certificate) or os.path.lexists(files.key):
        return files
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        root, root_key = _root_at(folder, studio)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _issue_leaf(studio, key, root, root_key)
        _write_key(files.key, key)
        write_atomically(Filesystem(), files.certificate, _pem([certificate]).encode())
    except OSError as error:
        raise HostError(f"{error.filename or folder} cannot be written: {error.strerror}.", "Check the state directory.") from error
    return files


def _root_at(folder: Path, studio: str) -> tuple[x509.Certificate, PrivateKeyTypes]:
    """Return the root in the folder with its key; a new one if there is none."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    certificate_file, key_file = folder / ROOT_NAME, folder / ROOT_KEY_NAME
    if certificate_file.exists() and key_file.exists():
        known_key = serialization.load_pem_private_key(_read(key_file), password=None)
        return x509.load_pem_x509_certificate(_read(certificate_file)), known_key
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject(studio, "content credentials root")
    builder = _certificate_builder(name, name, key.public_key(), _ROOT_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    certificate = builder.add_extension(_key_usage(signs_certificates=True), critical=True).sign(key, hashes.SHA256())
    _write_key(key_file, key)
    write_atomically(Filesystem(), certificate_file, _pem([certificate]).encode(), replace=True)
    return certificate, key


def _issue_leaf(studio: str, key: ec.EllipticCurvePrivateKey, root: x509.Certificate, root_key: PrivateKeyTypes) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    if not isinstance(root_key, ec.EllipticCurvePrivateKey):
        raise UsageError("The key of the root is no key of an elliptic curve.", "Move the files of the identity away, and run this again.")
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    builder = _certificate_builder(_subject(studio, "content credentials"), root.subject, key.public_key(), _LEAF_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.add_extension(authority, critical=False).sign(root_key, hashes.SHA256())


def _certificate_builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    from cryptography import x509

    # A day earlier, because the clocks of those who check it differ.
    begins = datetime.fromtimestamp(time.time(), UTC) - timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(begins + timedelta(days=days))
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
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


def _subject(studio: str, role: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    # Verifiers show the organisation.
    organisation, common_name = _cut(studio, _MAX_ATTRIBUTE_BYTES), f"{_cut(studio, _MAX_ATTRIBUTE_BYTES - 1 - len(role))} {role}"
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation), x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _cut(text: str, max_bytes: int) -> str:
    return text.encode()[:max_bytes].decode(errors="ignore")


def _write_key(file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    from cryptography.hazmat.primitives import serialization

    data = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    temporary = file.with_name(f".{file.name}-{secrets.token_hex(8)}")
    # The mode is that of the file from its first moment on, whatever the folder and the umask are.
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(fd)
    os.rename(temporary, file)


def _pem(certificates: Sequence[x509.Certificate]) -> str:
    from cryptography.hazmat.primitives import serialization

    return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in certificates)


# ---------------------------------------------------------------------- what an identity must be


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(_MAX_FILE_BYTES)
    except (FileNotFoundError, PermissionError) as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.", "Check its path in [credentials], and its permissions.") from error
    except OSError as error:
        raise HostError(f"{file} cannot be read: {error.strerror}.", "Check its disk.") from error


def _require_private_key_file(file: Path, untrusted_folders: Sequence[Path]) -> None:
    """Raise UsageError if others can read the key, or if it lies where strangers write or worker processes read."""
    try:
        status = file.stat()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.", "Check its path in [credentials], and its permissions.") from error
    # A key of root may be readable for the service's group.
    open_bits = 0o037 if status.st_uid == 0 else 0o077
    if not stat.S_ISREG(status.st_mode) or status.st_mode & open_bits:
        raise UsageError(f"{file}, the key of the content credentials, can be read by other users.", f"Run: chmod 600 {file}")
    real_file = Path(os.path.realpath(file))
    for folder in untrusted_folders:
        if real_file.is_relative_to(os.path.realpath(folder)):
            raise UsageError(
                f"{file}, the key of the content credentials, is in {folder}, where worker processes or people of the share can read it.",
                "Keep it elsewhere, for example in the state directory.",
            )


def _require_matching(files: IdentityFiles, leaf: x509.Certificate, key: PrivateKeyTypes) -> None:
    if leaf.public_key() != key.public_key():
        raise UsageError(
            f"{files.key} is not the key of the first certificate in {files.certificate}.",
            "Put the certificate that signs first in its file, and name its own key.",
        )


def _require_purpose(files: IdentityFiles, leaf: x509.Certificate) -> None:
    """Raise UsageError if C2PA does not accept what the certificate is for (C2PA 2.2, 14.5.1)."""
    from cryptography import x509

    try:
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        is_wrong = not _PURPOSES & {purpose.dotted_string for purpose in purposes} or leaf.subject == leaf.issuer
    except (x509.ExtensionNotFound, ValueError):
        is_wrong = True
    if is_wrong:
        raise UsageError(
            f"{files.certificate} is not for content credentials: it must be issued by a root, for e-mail protection or document signing.",
            "Ask the issuer for a certificate that signs documents (S/MIME), or let goldsmith init make one.",
        )


def _algorithm_of(files: IdentityFiles, key: PrivateKeyTypes) -> str:
    """Return C2PA's name of the algorithm that fits the key (C2PA 2.2, 13.2.1)."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return "ps256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise UsageError(f"{files.key} has a kind of key that content credentials do not have.", "Use a key on P-256.")


_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


def _name_of(name: x509.Name) -> str:
    """Return a name for people: the common name and the organisation."""
    from cryptography.x509.oid import NameOID

    parts = [str(each.value) for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME) for each in name.get_attributes_for_oid(oid)[:1]]
    return ", ".join(part[:_MAX_NAME_CHARS] for part in parts) or "somebody without a name"
