"""Content credentials in files: six formats, chains of them, changed bytes, and boxes of strangers."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from doubles.identities import PARENT, SIX_FORMATS, definition, picture_file, sign_file, write_identity
from goldsmith.credentials.content_credentials import (
    MAX_BOXES,
    MAX_STORE_BYTES,
    CredentialsError,
    FileCredentials,
    Ingredient,
    embed_credentials,
    read_credentials,
)
from goldsmith.credentials.signing_identity import SigningIdentity, read_identity
from goldsmith.picture.codec import verify

_REST = bytes.fromhex("00110010800000aa00389b71")


@cache
def identity() -> SigningIdentity:
    return read_identity(write_identity(Path(mkdtemp())), [])


def read(data: bytes, media_type: str) -> FileCredentials:
    credentials = read_credentials(data, media_type, identity().anchors)
    assert credentials is not None
    return credentials


@pytest.mark.parametrize("media_type", SIX_FORMATS)
def test_a_signed_file_is_trusted_under_its_root(media_type: str) -> None:
    """It grows by less than 6 kB. Without the root the signature holds too, and nobody known stands behind it."""
    plain = picture_file(media_type)
    signed = sign_file(identity(), plain, media_type)
    assert len(signed) - len(plain) < 6000
    credentials = read(signed, media_type)
    assert (credentials.state, credentials.signer, credentials.organisation) == ("trusted", "A studio", "A studio")
    assert (credentials.generator, credentials.ingredients, credentials.manifests) == ("A program 1", ("hero.png",), 1)
    unknown = read_credentials(signed, media_type)
    assert unknown is not None
    assert (unknown.state, unknown.problems) == ("valid", ())


@pytest.mark.parametrize("media_type", SIX_FORMATS)
def test_one_flipped_bit_is_noticed(media_type: str) -> None:
    """Flip it in the picture, and in the manifest."""
    signed = sign_file(identity(), picture_file(media_type, 256), media_type)
    claim = signed.rfind(b"A program")
    for place in (len(signed) * 3 // 10, len(signed) // 2, len(signed) * 7 // 10, claim):
        changed = bytearray(signed)
        changed[place] ^= 1
        credentials = read(bytes(changed), media_type)
        assert credentials.state == "invalid", place
        assert credentials.problems
        assert "does not hold" not in credentials.remark()
        assert "do not hold" in credentials.remark()


def test_a_long_chain_stays_trusted() -> None:
    """Each file is the parent of the next."""
    plain = picture_file("image/jpeg")
    signed = sign_file(identity(), plain, "image/jpeg")
    for _ in range(2, 9):
        signed = sign_file(identity(), plain, "image/jpeg", Ingredient(PARENT, "image/jpeg", signed))
    credentials = read(signed, "image/jpeg")
    assert (credentials.state, credentials.manifests) == ("trusted", 8)
    assert len(signed) - len(plain) < 8 * 3000


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png"])
def test_credentials_that_no_segment_of_a_jpeg_holds_stay_whole(media_type: str) -> None:
    """A JPEG has them in several segments."""
    own, plain = identity(), picture_file(media_type)
    long: dict[str, object] = {"action": "c2pa.edited", "description": "long " * 30_000}
    signed = embed_credentials(plain, media_type, definition(long), [Ingredient(PARENT)], own.chain, own.algorithm, own.sign)
    assert len(signed) - len(plain) > 150_000
    assert read(signed, media_type).state == "trusted"
    assert verify(signed, "hero", 10**6).width == 64


@pytest.mark.parametrize("media_type", SIX_FORMATS)
def test_a_signed_parent_costs_its_own_manifest_and_little_more(media_type: str) -> None:
    """Both manifests with eight actions and two models take less than 6 kB, and that of the parent is there byte for byte."""
    own, plain = identity(), picture_file(media_type)
    agent = {"name": "migan", "version": "6f1f35aabbccddeeff0011223344556677889900"}
    erased: dict[str, object] = {"action": "c2pa.edited", "description": "erase", "softwareAgent": agent}
    erased["digitalSourceType"] = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
    enlarged: dict[str, object] = {"action": "c2pa.edited", "description": "upscale", "softwareAgent": {"name": "x4", "version": "1" * 40}}
    words = ("filtered", "cropped", "resized", "filtered", "converted")
    others: list[dict[str, object]] = [{"action": f"c2pa.{word}", "description": word} for word in words]
    say = definition(erased, enlarged, *others)
    parent = embed_credentials(plain, media_type, say, [Ingredient(PARENT)], own.chain, own.algorithm, own.sign)
    signed = embed_credentials(plain, media_type, say, [Ingredient(PARENT, media_type, parent)], own.chain, own.algorithm, own.sign)
    assert len(parent) - len(plain) < 3000
    assert len(signed) - len(plain) < 6000
    assert (read(signed, media_type).state, read(signed, media_type).manifests) == ("trusted", 2)


def test_a_broken_parent_stays_broken() -> None:
    """What had failed when the parent was carried is told, in the ingredient alone: the manifest on top of it holds."""
    spoilt = bytearray(sign_file(identity(), picture_file("image/jpeg"), "image/jpeg"))
    spoilt[spoilt.rfind(b"A program")] ^= 1
    signed = sign_file(identity(), picture_file("image/png"), "image/png", Ingredient(PARENT, "image/jpeg", bytes(spoilt)))
    credentials = read(signed, "image/png")
    assert (credentials.state, credentials.broken_ingredients, credentials.problems) == ("trusted", ("hero.png",), ())
    again = sign_file(identity(), picture_file("image/png"), "image/png", Ingredient(PARENT, "image/png", signed))
    assert (read(again, "image/png").state, read(again, "image/png").manifests) == ("trusted", 3)


def test_the_parent_s_own_manifest_is_carried_across_formats() -> None:
    """The parent is an AVIF, and the file is a PDF."""
    parent = sign_file(identity(), picture_file("image/avif"), "image/avif")
    signed = sign_file(identity(), picture_file("application/pdf"), "application/pdf", Ingredient(PARENT, "image/avif", parent))
    assert (read(signed, "application/pdf").state, read(signed, "application/pdf").manifests) == ("trusted", 2)


def test_actions_and_models_are_told() -> None:
    """Control characters and long words of a stranger are not repeated."""
    agent = {"name": "migan\u001b[2J", "version": "v" * 500}
    edited: dict[str, object] = {"action": "c2pa.edited", "description": "erase", "softwareAgent": agent}
    edited["digitalSourceType"] = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
    own, plain = identity(), picture_file("image/png")
    signed = embed_credentials(plain, "image/png", definition(edited), [Ingredient(PARENT)], own.chain, own.algorithm, own.sign)
    action = read(signed, "image/png").actions[1]
    assert (action["what"], action["source_type"]) == ("erase", "compositeWithTrainedAlgorithmicMedia")
    assert action["by"].startswith("migan")
    assert action["by"].isprintable()
    assert len(action["by"]) < 400


def test_a_file_without_credentials_has_none() -> None:
    """The word alone is no manifest."""
    assert read_credentials(picture_file("image/png"), "image/png") is None
    assert read_credentials(picture_file("image/png") + b"jumdc2pa", "image/png") is None


def test_what_cannot_be_signed_says_why() -> None:
    """A parent whose manifest is broken, a signature of another length, a file that is no picture."""
    own, plain = identity(), picture_file("image/png")
    with pytest.raises(CredentialsError):
        sign_file(own, plain, "image/png", Ingredient(PARENT, "image/png", _png(b"broken")))
    with pytest.raises(CredentialsError, match="signature"):
        embed_credentials(plain, "image/png", definition(), [Ingredient(PARENT)], own.chain, own.algorithm, lambda data: b"short")
    with pytest.raises(CredentialsError):
        sign_file(own, b"no picture", "image/png")


# ---------------------------------------------------------------------- strangers


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def _description(kind: bytes, label: bytes) -> bytes:
    return _box(b"jumd", kind + _REST + b"\x03" + label + b"\0")


def _store(content: bytes) -> bytes:
    return _box(b"jumb", _description(b"c2pa", b"c2pa") + content)


def _png(store: bytes) -> bytes:
    plain = picture_file("image/png")
    chunk = struct.pack(">I", len(store)) + b"caBX" + store + struct.pack(">I", zlib.crc32(b"caBX" + store))
    return plain[:33] + chunk + plain[33:]


def _nested(depth: int) -> bytes:
    head = _description(b"c2ma", b"x")
    size = 8 + len(head)
    return b"".join(struct.pack(">I", (depth - level) * size) + b"jumb" + head for level in range(depth))


@pytest.mark.parametrize(
    "store",
    [
        lambda: _store(b"\xaa" * 1000),
        lambda: _store(_nested(50_000)),
        lambda: _store(b"".join(_box(b"jumb", _description(b"c2ma", b"%d" % number)) for number in range(20_000))),
        lambda: _store(b"")[:4].replace(b"\0\0\0", b"\xff\xff\xff") + _store(b"")[4:],
        lambda: _store(b"\xaa" * MAX_STORE_BYTES),
        lambda: sign_file(identity(), picture_file("image/png"), "image/png")[41:2000],
    ],
    ids=["garbage", "nested", "many", "length beyond the file", "large", "cut off"],
)
def test_a_stranger_s_boxes_are_bounded(store: Callable[[], bytes]) -> None:
    """They are called unreadable or invalid in one short remark, and nothing is raised."""
    credentials = read(_png(store()), "image/png")
    assert credentials.state in ("unreadable", "invalid")
    assert 10 < len(credentials.remark()) < 800


def test_credentials_that_are_too_large_are_not_read() -> None:
    """c2pa needs several times their size. The remark has the size, whatever the file says of it."""
    large, pretended = _png(_store(b"\xaa" * MAX_STORE_BYTES)), _png(b"\x7f\xff\xff\xff" + _store(b"")[4:])
    for data in (large, pretended, _png(_store(_box(b"jumb", b"") * (MAX_BOXES + 1)))):
        (problem,) = read(data, "image/png").problems
        assert problem.endswith("which is not read")
