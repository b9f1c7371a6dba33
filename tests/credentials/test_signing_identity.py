"""The identity that signs: what ``goldsmith init`` makes, and which certificates and keys of a studio are accepted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from doubles.identities import KEYS, picture_file, sign_file, write_identity
from goldsmith.credentials.content_credentials import read_credentials
from goldsmith.credentials.signing_identity import IdentityFiles, create_identity, day_of, read_identity
from goldsmith.errors import UsageError


def test_nobody_else_can_read_what_init_makes(tmp_path: Path) -> None:
    """This holds with a umask of 0, and in a folder that was there before."""
    (tmp_path / "state" / "credentials").mkdir(parents=True, mode=0o777)
    before = os.umask(0)
    try:
        create_identity(tmp_path / "state" / "credentials", "Acme")
    finally:
        os.umask(before)
    keys = sorted((tmp_path / "state" / "credentials").glob("*key.pem"))
    assert [(key.name, key.stat().st_mode & 0o777) for key in keys] == [("key.pem", 0o600), ("root-key.pem", 0o600)]


def test_the_name_of_the_studio_is_in_the_certificate(tmp_path: Path) -> None:
    """The common name has at most 64 characters, as X.509 demands."""
    identity = read_identity(create_identity(tmp_path, "Größe " + "x" * 54), [])
    assert identity.subject.startswith("Größe ")
    assert identity.issuer.partition(",")[0].endswith("root")
    assert identity.expires_at > time.time() + 3000 * 86_400
    assert identity.algorithm == "es256"


def test_an_identity_that_is_there_stays(tmp_path: Path) -> None:
    """A certificate that the studio has put there is not replaced, even without its key."""
    (tmp_path / "certificate.pem").write_text("ours")
    create_identity(tmp_path, "Acme")
    assert [path.name for path in tmp_path.iterdir()] == ["certificate.pem"]


def test_a_new_certificate_comes_from_the_root_that_clients_know(tmp_path: Path) -> None:
    """Move the old certificate and its key away, as doctor says before they expire."""
    files = create_identity(tmp_path, "Acme")
    signed = sign_file(read_identity(files, []), picture_file("image/png"), "image/png")
    root = (tmp_path / "root.pem").read_text()
    for file in files:
        file.unlink()
    create_identity(tmp_path, "Acme")
    assert (tmp_path / "root.pem").read_text() == root
    credentials = read_credentials(signed, "image/png", read_identity(files, []).anchors)
    assert credentials is not None
    assert credentials.state == "trusted"


@pytest.mark.parametrize("kind", KEYS)
def test_every_kind_of_key_signs(tmp_path: Path, kind: str) -> None:
    """The certificate comes from an issuer, whose root lies behind it in the file."""
    identity = read_identity(write_identity(tmp_path, kind), [])
    assert identity.algorithm == kind
    credentials = read_credentials(sign_file(identity, picture_file("image/jpeg"), "image/jpeg"), "image/jpeg", identity.anchors)
    assert credentials is not None
    assert (credentials.state, credentials.signer, credentials.problems) == ("trusted", "A studio", ())


def _open_to_others(files: IdentityFiles) -> None:
    files.key.chmod(0o640 if os.geteuid() else 0o644)


def _another_key(files: IdentityFiles) -> None:
    files.key.write_bytes(write_identity(files.key.parent / "other").key.read_bytes())


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_open_to_others, "can be read by other users"),
        (_another_key, "is not the key of the first certificate"),
        (lambda files: files.key.write_text("-----BEGIN PRIVATE KEY-----\n"), "is no certificate or no key"),
        (lambda files: files.certificate.write_bytes(b"\xff"), "is no certificate or no key"),
        (lambda files: files.key.unlink(), "cannot be read"),
        (lambda files: files.certificate.unlink(), "cannot be read"),
    ],
)
def test_an_unusable_identity_is_refused(tmp_path: Path, spoil: Callable[[IdentityFiles], object], sentence: str) -> None:
    """The sentence names the file, and the remedy says what to do."""
    files = write_identity(tmp_path)
    spoil(files)
    with pytest.raises(UsageError, match=sentence) as caught:
        read_identity(files, [])
    assert str(tmp_path) in caught.value.sentence
    assert caught.value.remedy


@pytest.mark.parametrize("purposes", [(), (ExtendedKeyUsageOID.SERVER_AUTH,)])
def test_a_certificate_for_something_else_is_refused(tmp_path: Path, purposes: tuple[x509.ObjectIdentifier, ...]) -> None:
    """C2PA's verifiers would call every file invalid that such a certificate has signed."""
    with pytest.raises(UsageError, match="is not for content credentials"):
        read_identity(write_identity(tmp_path, purposes=purposes), [])
    with pytest.raises(UsageError, match="is not for content credentials"):
        read_identity(write_identity(tmp_path, is_self_signed=True), [])


def test_a_key_where_strangers_or_workers_read_is_refused(tmp_path: Path) -> None:
    """A link to a key elsewhere counts as the key itself, and so does a link to the folder."""
    files = write_identity(tmp_path / "share" / "keys")
    (tmp_path / "link").symlink_to(tmp_path / "share")
    linked = IdentityFiles(files.certificate, tmp_path / "link" / "keys" / files.key.name)
    for each in (files, linked):
        with pytest.raises(UsageError, match="where worker processes or people of the share can read it"):
            read_identity(each, [tmp_path / "share"])
    assert read_identity(files, [tmp_path / "other"]).algorithm == "es256"


def test_a_certificate_signs_only_while_it_is_valid(tmp_path: Path) -> None:
    """The sentence has the day."""
    identity = read_identity(write_identity(tmp_path, days=(1, 2)), [])
    assert identity.problem_at(identity.starts_at + 1) == ""
    assert identity.problem_at(time.time()).endswith(f"begins on {day_of(identity.starts_at)}.")
    assert identity.problem_at(identity.expires_at).endswith(f"has expired on {day_of(identity.expires_at)}.")
