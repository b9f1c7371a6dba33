"""Identities that sign: certificates of every kind that C2PA accepts, and some that it does not."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

from goldsmith.credentials.content_credentials import Ingredient, embed_credentials
from goldsmith.credentials.signing_identity import IdentityFiles, SigningIdentity

# Media type, and what Pillow calls the format.
SIX_FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
    "image/tiff": "TIFF",
    "application/pdf": "PDF",
}
PARENT: dict[str, object] = {
    "title": "hero.png",
    "format": "image/png",
    "instance_id": f"urn:sha256:{0:064x}",
    "relationship": "parentOf",
    "label": "parent",
}
KEYS: dict[str, Any] = {
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "es512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ps256": lambda: rsa.generate_private_key(65537, 3072),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


def definition(*actions: dict[str, object]) -> dict[str, object]:
    """Return a manifest that says that the parent was opened, and then these actions."""
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["parent"]}}
    assertion = {"label": "c2pa.actions.v2", "data": {"actions": [opened, *actions]}}
    return {"claim_generator_info": [{"name": "A program", "version": "1"}], "title": "hero", "assertions": [assertion]}


def picture_file(media_type: str, side: int = 64) -> bytes:
    """Return a file of noise in one of the six formats."""
    noise = np.random.default_rng(1).integers(0, 256, (side, side, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, SIX_FORMATS[media_type])
    return file.getvalue()


def sign_file(identity: SigningIdentity, data: bytes, media_type: str, ingredient: Ingredient | None = None) -> bytes:
    """Return the file with content credentials, made from one other file."""
    parent = ingredient or Ingredient(PARENT)
    return embed_credentials(data, media_type, definition(), [parent], identity.chain, identity.algorithm, identity.sign)


def write_identity(
    folder: Path,
    kind: str = "es256",
    *,
    days: tuple[float, float] = (-1, 300),
    purposes: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.EMAIL_PROTECTION,),
    is_self_signed: bool = False,
) -> IdentityFiles:
    """Write a certificate with its root behind it and a key, as a studio gets them from an issuer. ``days``: when it begins and ends."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    root_key, key = ec.generate_private_key(ec.SECP256R1()), KEYS[kind]()
    root_name, name = _name("An issuer"), _name("A studio")
    root = _builder(root_name, root_name, root_key.public_key(), (-1, 900)).add_extension(x509.BasicConstraints(True, 0), critical=True)
    root = root.add_extension(_usage(signs=False, certifies=True), critical=True)
    leaf = _builder(name, name if is_self_signed else root_name, key.public_key(), days)
    leaf = leaf.add_extension(x509.BasicConstraints(False, None), critical=True)
    leaf = leaf.add_extension(_usage(signs=True, certifies=False), critical=True)
    if purposes:
        leaf = leaf.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    certificates = [
        leaf.add_extension(authority, critical=False).sign(root_key, hashes.SHA256()),
        root.sign(root_key, hashes.SHA256()),
    ]
    files = IdentityFiles(folder / "studio.pem", folder / "studio-key.pem")
    files.certificate.write_bytes(b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates))
    files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    files.key.chmod(0o600)
    return files


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, text), x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, public_key: Any, days: tuple[float, float]) -> x509.CertificateBuilder:
    begins, ends = (datetime.now(UTC) + timedelta(days=each) for each in days)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(ends)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)


def _usage(*, signs: bool, certifies: bool) -> x509.KeyUsage:
    return x509.KeyUsage(signs, not signs and not certifies, False, False, False, certifies, certifies, False, False)
