"""A manifest is made smaller: every hash in it is that of what it names, what has failed stays named, and it fits into any room."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import cbor2
import pytest

from goldsmith.credentials.manifest_boxes import BrokenManifest
from goldsmith.credentials.manifest_compaction import Binding, OpenManifest, open_manifest, read_binding

_REST = bytes.fromhex("00110010800000aa00389b71")
BINDING = Binding("c2pa.hash.data", b"\0\0\0\x0cjumbXXXX")
RESULTS = {
    "activeManifest": {
        "success": [
            {"code": "assertion.hashedURI.match", "url": "self#a", "explanation": "a matches"},
            {"code": "assertion.hashedURI.match", "url": "self#b", "explanation": "b matches"},
        ],
        "informational": [],
        "failure": [{"code": "assertion.dataHash.mismatch", "url": "self#c", "explanation": "c differs"}],
    },
    "ingredientDeltas": [
        {"ingredientAssertionURI": "self#d", "validationDeltas": {"success": [{"code": "x", "url": "self#e"}], "failure": []}},
        {"ingredientAssertionURI": "self#f", "validationDeltas": {"failure": [{"code": "y", "url": "self#g"}]}},
    ],
}


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def superbox(kind: bytes, label: str, *boxes: bytes, salt: bytes = b"") -> bytes:
    return box(b"jumb", box(b"jumd", kind + _REST + b"\x13" + label.encode() + b"\0" + salt) + b"".join(boxes))


def assertion(label: str, value: Any) -> bytes:
    return superbox(b"cbor", label, box(b"cbor", cbor2.dumps(value)), salt=box(b"c2sh", bytes(16)))


def digest(superbox: bytes) -> bytes:
    return hashlib.sha256(superbox[8:]).digest()


def store_of(*, claim: dict[str, Any] | None = None, failures: bool = True) -> bytes:
    """Return a store as c2pa writes it: an ingredient whose manifest has failed, an action that names it, a binding, and 1 kB of zeros.

    With ``failures`` false, the manifest of the ingredient holds.
    """
    results = RESULTS if failures else {"activeManifest": {**RESULTS["activeManifest"], "failure": []}}  # type: ignore[dict-item]
    address = {"url": "self#jumbf=/c2pa/urn:c2pa:0", "alg": "sha256", "hash": b"1" * 32}
    other = {"url": "self#jumbf=/c2pa/urn:c2pa:0/c2pa.signature", "alg": "sha512", "hash": b"2" * 64}
    entries = {"dc:title": "hero", "instanceID": "urn:sha256:1", "validationResults": results}
    ingredient = assertion("c2pa.ingredient.v3", {**entries, "activeManifest": address, "claimSignature": other})
    ingredient_entry = {"url": "self#jumbf=c2pa.assertions/c2pa.ingredient.v3", "hash": digest(ingredient)}
    actions = assertion("c2pa.actions.v2", {"actions": [{"action": "c2pa.opened", "parameters": {"ingredients": [ingredient_entry]}}]})
    binding = assertion("c2pa.hash.data", {"hash": b"0" * 32, "name": "jumbf manifest", "pad": b"000"})
    entries = [(label, digest(each)) for label, each in (("c2pa.actions.v2", actions), ("c2pa.ingredient.v3", ingredient))]
    gathered = [{"url": f"self#jumbf=c2pa.assertions/{label}", "hash": value} for label, value in entries]
    bound = {"url": "self#jumbf=c2pa.assertions/c2pa.hash.data", "hash": digest(binding)}
    claim_value = {"created_assertions": [bound], "gathered_assertions": gathered} if claim is None else claim
    signed = cbor2.CBORTag(18, [b"protected", {"pad": bytes(1000)}, None, bytes(64)])
    manifest = superbox(
        b"c2ma",
        "urn:c2pa:1",
        superbox(b"c2as", "c2pa.assertions", actions, ingredient, binding),
        superbox(b"c2cl", "c2pa.claim.v2", box(b"cbor", cbor2.dumps(claim_value))),
        superbox(b"c2cs", "c2pa.signature", box(b"cbor", cbor2.dumps(signed))),
    )
    return superbox(b"c2pa", "c2pa", superbox(b"c2ma", "urn:c2pa:0"), manifest)


def ingredient_in(store: bytes) -> dict[str, Any]:
    """Return what is said of the ingredient in the manifest that is made of this store."""
    ingredient = open_manifest(store).assertions["c2pa.ingredient.v3"]
    entries: dict[str, Any] = cbor2.loads(ingredient[ingredient.index(b"cbor", 40) + 4 :])
    return entries


def test_every_hash_is_that_of_what_it_names() -> None:
    """The action names the ingredient by its hash, and the claim names both. The zeros and the salts are gone."""
    manifest = open_manifest(store_of())
    ingredient, actions = manifest.assertions["c2pa.ingredient.v3"], manifest.assertions["c2pa.actions.v2"]
    assert digest(ingredient) in actions
    assert [entry["hash"] for entry in manifest.claim.value["gathered_assertions"]] == [digest(actions), digest(ingredient)]
    assert manifest.claim.value["created_assertions"] == []
    assert b"c2sh" not in b"".join(manifest.assertions.values())
    assert manifest.size_with(read_binding(store_of())) < len(store_of()) - 1000


def test_what_has_passed_is_told_once_and_what_has_failed_keeps_its_address() -> None:
    """Sentences are told nowhere."""
    results = ingredient_in(store_of())["validationResults"]
    assert results["activeManifest"] == {
        "success": [{"code": "assertion.hashedURI.match"}],
        "informational": [],
        "failure": [{"code": "assertion.dataHash.mismatch", "url": "self#c"}],
    }
    (delta,) = results["ingredientDeltas"]
    assert delta == {"ingredientAssertionURI": "self#f", "validationDeltas": {"failure": [{"code": "y", "url": "self#g"}]}}


def test_what_is_said_elsewhere_is_left_out() -> None:
    """The algorithm that the claim names, the name of the binding, the way to the signature in the same manifest."""
    ingredient = ingredient_in(store_of())
    assert ingredient["activeManifest"] == {"url": "self#jumbf=/c2pa/urn:c2pa:0", "hash": b"1" * 32}
    assert ingredient["claimSignature"]["alg"] == "sha512"
    assert open_manifest(store_of()).claim.value["signature"] == "self#jumbf=c2pa.signature"
    binding = read_binding(store_of()).box
    assert cbor2.loads(binding[binding.index(b"cbor", 40) + 4 :]) == {"hash": b"0" * 32, "pad": b"000"}


def test_the_id_of_an_ingredient_s_file_stays_unless_its_manifest_holds() -> None:
    """A manifest that holds has a label, and the hash of the file is in it."""
    assert ingredient_in(store_of())["instanceID"] == "urn:sha256:1"
    assert "instanceID" not in ingredient_in(store_of(failures=False))


def test_it_fits_into_any_room_that_is_large_enough() -> None:
    """The signature covers the claim with the hash of the binding. Manifests before it are there byte for byte."""
    manifest = open_manifest(store_of())
    least = manifest.size_with(BINDING)
    for size in (least, *range(least + 5, least + 700)):
        signed: list[bytes] = []
        store = manifest.close(BINDING, size, lambda data, signed=signed: signed.append(data) or bytes(64))  # type: ignore[misc]
        assert len(store) == size
        assert signed[0].startswith(b"\x84\x6aSignature1")
        assert digest(BINDING.box) in signed[0]
        assert superbox(b"c2ma", "urn:c2pa:0") in store


@pytest.mark.parametrize("spare", [-200, -1, 1, 4])
def test_room_that_does_not_fit_is_refused(spare: int) -> None:
    """Nothing is cut off."""
    manifest = open_manifest(store_of())
    with pytest.raises(BrokenManifest, match="room"):
        manifest.close(BINDING, manifest.size_with(BINDING) + spare, lambda data: bytes(64))


def test_a_signature_of_another_length_is_refused() -> None:
    """It comes from another process."""
    manifest: OpenManifest = open_manifest(store_of())
    with pytest.raises(BrokenManifest, match="length"):
        manifest.close(BINDING, manifest.size_with(BINDING) + 5, lambda data: bytes(63))


@pytest.mark.parametrize(
    "store",
    [
        b"",
        b"garbage of some length",
        superbox(b"c2pa", "c2pa"),
        store_of()[:-9],
        store_of() + store_of(),
        store_of(claim={"created_assertions": [1]}),
    ],
)
def test_what_is_no_store_is_refused(store: bytes) -> None:
    """The sentence says what is missing."""
    with pytest.raises(BrokenManifest):
        open_manifest(store)
    with pytest.raises(BrokenManifest):
        read_binding(superbox(b"c2pa", "c2pa"))
