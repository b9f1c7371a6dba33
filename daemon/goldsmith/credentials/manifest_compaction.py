"""Takes out of a manifest that c2pa has written what need not be in it: room that it keeps for a signature, and words about an original.

c2pa leaves about 1 kB of zeros beside a signature, and writes a sentence and an address for each check that the manifest of an original has
passed. A manifest is therefore written for a file of one pixel (``open_manifest``), made smaller, and put into the real file in place of
another one of its size, which c2pa has made for that file and which is nothing but room: so c2pa alone writes into the formats of files.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cbor2

from goldsmith.credentials.manifest_boxes import BrokenManifest, read_boxes

# The type of a store, of the assertions, a claim and a signature: four letters, then the rest that ISO 19566-5 gives all of them.
_UUID_REST = bytes.fromhex("00110010800000aa00389b71")
_ASSERTIONS, _CLAIM, _SIGNATURE = (kind + _UUID_REST for kind in (b"c2as", b"c2cl", b"c2cs"))
# The toggles of a description box (ISO 19566-5, A.3).
_REQUESTABLE_WITH_LABEL = b"\x03"
# The assertion that binds a manifest to the bytes of its file: c2pa.hash.data, c2pa.hash.bmff.v3.
_BINDING_PREFIX, _INGREDIENT_PREFIX, _ACTIONS_PREFIX = "c2pa.hash.", "c2pa.ingredient", "c2pa.actions"
_SIGN1_TAG = 18
# The algorithm of every hash in a claim that c2pa writes, and the addresses of a carried manifest in its ingredient.
_CLAIM_ALGORITHM, _MANIFEST_ADDRESSES = "sha256", ("activeManifest", "claimSignature")
_ADDRESS_OF_SIGNATURE = "self#jumbf=c2pa.signature"
# The least that the header of a signature can be padded with, in bytes: an entry “pad” without zeros.
MIN_PADDING = 5
_LISTS_OF_ASSERTIONS = ("created_assertions", "gathered_assertions")


class _Part(NamedTuple):
    """A superbox of a manifest: its type, its label, its description box, and what is in its CBOR box."""

    kind: bytes
    label: str
    description: bytes
    value: Any


class Binding(NamedTuple):
    """The assertion that binds a manifest to a file."""

    label: str
    box: bytes


@dataclass(frozen=True, slots=True)
class OpenManifest:
    """A manifest that is bound to no file and not signed.

    before: the store up to the manifest, with those of its ingredients, without the head of the box. assertions: their boxes, by label.
    """

    before: bytes
    description: bytes
    assertions_description: bytes
    assertions: Mapping[str, bytes]
    claim: _Part
    signature_description: bytes
    protected: bytes
    signature_bytes: int

    def size_with(self, binding: Binding) -> int:
        """Return the size of the store in bytes, bound to a file and signed, without padding."""
        return len(self._store(binding, bytes(self.signature_bytes), {}))

    def close(self, binding: Binding, size: int, sign: Callable[[bytes], bytes]) -> bytes:
        """Return the store with the manifest, bound to a file and signed, of exactly ``size`` bytes. Raises BrokenManifest."""
        claim = cbor2.dumps(self._bound_claim(binding))
        signature = sign(cbor2.dumps(["Signature1", self.protected, b"", claim]))
        if len(signature) != self.signature_bytes:
            raise BrokenManifest("the signature has another length than expected")
        spare = size - self.size_with(binding)
        for padding in _paddings(spare):
            store = self._store(binding, signature, padding, claim)
            if len(store) == size:
                return store
        raise BrokenManifest(f"there is no room for the manifest: {spare} bytes are left")

    def _bound_claim(self, binding: Binding) -> dict[str, Any]:
        entry = {"url": f"self#jumbf=c2pa.assertions/{binding.label}", "hash": _digest(binding.box)}
        claim = dict(self.claim.value)
        claim["created_assertions"] = [entry, *claim.get("created_assertions", ())]
        return claim

    def _store(self, binding: Binding, signature: bytes, padding: Mapping[str, bytes], claim: bytes = b"") -> bytes:
        signed = cbor2.dumps(cbor2.CBORTag(_SIGN1_TAG, [self.protected, padding, None, signature]))
        assertions = b"".join(self.assertions.values()) + binding.box
        manifest = self.description + _box(b"jumb", self.assertions_description + assertions)
        manifest += _superbox(self.claim.description, claim or cbor2.dumps(self._bound_claim(binding)))
        manifest += _superbox(self.signature_description, signed)
        return _box(b"jumb", self.before + _box(b"jumb", manifest))


def _paddings(spare: int) -> Iterator[dict[str, bytes]]:
    """Yield what may fill so many bytes of a header. The head of an entry grows with it, so a second one fills what the first cannot."""
    if not spare:
        yield {}
    for second in ({}, {"pad2": b"\0"}):
        for zeros in range(max(0, spare - 16), max(0, spare)):
            yield {"pad": bytes(zeros), **second}


def open_manifest(store: bytes) -> OpenManifest:
    """Return the last manifest of a store, which is the active one, without what need not be in it. Raises BrokenManifest."""
    try:
        (_, content), *rest = read_boxes(store)
        manifests = list(read_boxes(content))
        before = content[: len(content) - 8 - len(manifests[-1][1])]
        parts = [box for _, box in read_boxes(manifests[-1][1])]
        description = _box(b"jumd", parts[0])
        by_kind = {part[8:24]: part for part in parts[1:]}
        claim, signature = (_read_part(by_kind[kind]) for kind in (_CLAIM, _SIGNATURE))
        listed = [box for _, box in read_boxes(by_kind[_ASSERTIONS])]
        if rest:
            raise BrokenManifest("something follows the manifest store")
        assertions, claim_value = _shorten([_read_part(each) for each in listed[1:]], listed[1:], claim.value)
        return OpenManifest(
            before=before,
            description=description,
            assertions_description=_box(b"jumd", listed[0]),
            assertions=assertions,
            claim=claim._replace(value=claim_value),
            signature_description=signature.description,
            protected=signature.value.value[0],
            signature_bytes=len(signature.value.value[3]),
        )
    except (IndexError, KeyError, ValueError, AttributeError, TypeError, struct.error) as error:
        raise BrokenManifest("the manifest store has no claim or no signature where they belong") from error


def read_binding(store: bytes) -> Binding:
    """Return the assertion that binds the last manifest of a store to its file. Raises BrokenManifest."""
    try:
        (_, content), *_ = read_boxes(store)
        *_, (_, manifest) = read_boxes(content)
        assertions = next(box for _, box in read_boxes(manifest) if box[8:24] == _ASSERTIONS)
        for kind, box in read_boxes(assertions):
            if kind == b"jumb" and _label_of(box).startswith(_BINDING_PREFIX):
                part = _read_part(box)
                # The name is for people and optional. The padding stays: with it, the box has the same size wherever the store lies.
                value = {name: each for name, each in part.value.items() if name != "name"}
                return Binding(part.label, _superbox(_description(part.kind, part.label), cbor2.dumps(value)))
    except (IndexError, StopIteration, ValueError, struct.error) as error:
        raise BrokenManifest("the manifest store has no assertions") from error
    raise BrokenManifest("the manifest is bound to no file")


def _shorten(parts: Sequence[_Part], boxes: Sequence[bytes], claim: Mapping[str, Any]) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the boxes of the assertions without their binding, by label, and the claim; the hashes in both are those of the new boxes."""
    assertions: dict[str, bytes] = {}
    # By the hash of an assertion as c2pa wrote it, that of the shorter one.
    renewed: dict[bytes, bytes] = {}
    # Actions name ingredients by their hashes, so they come behind them.
    for part, box in sorted(zip(parts, boxes, strict=True), key=lambda pair: pair[0].label.startswith(_ACTIONS_PREFIX)):
        if part.label.startswith(_BINDING_PREFIX):
            continue
        value = _without_details(part.value) if part.label.startswith(_INGREDIENT_PREFIX) else _with_hashes(part.value, renewed)
        assertions[part.label] = _superbox(_description(part.kind, part.label), cbor2.dumps(value))
        renewed[hashlib.sha256(box).digest()] = _digest(assertions[part.label])
    kept = {
        name: [entry for entry in value if not entry["url"].rpartition("/")[2].startswith(_BINDING_PREFIX)]
        if name in _LISTS_OF_ASSERTIONS
        else value
        for name, value in claim.items()
    }
    # The signature lies in the same manifest, and its address there is enough.
    return assertions, {**_with_hashes(kept, renewed), "signature": _ADDRESS_OF_SIGNATURE}


def _without_details(ingredient: Mapping[str, Any]) -> dict[str, Any]:
    """Return an ingredient without the sentences and addresses of the checks that its manifest has passed (C2PA 2.2, 15.2.2: optional).

    What has failed keeps its address: by it a verifier knows that the failure was known when the manifest was carried.
    The addresses of its manifest do not repeat the algorithm, which the claim names. A manifest that holds is known by its label, so the id
    of its file is left out (C2PA 2.4, 18.16.2: optional).
    """
    results = ingredient.get("validationResults")
    if not isinstance(results, Mapping):
        return dict(ingredient)
    ingredient = {name: _without_algorithm(value) if name in _MANIFEST_ADDRESSES else value for name, value in ingredient.items()}
    shorter = {name: value for name, value in results.items() if name not in ("activeManifest", "ingredientDeltas")}
    shorter["activeManifest"] = _codes_alone(results.get("activeManifest", {}))
    deltas = [
        {**delta, "validationDeltas": _codes_alone(delta["validationDeltas"])}
        for delta in results.get("ingredientDeltas", ())
        if delta.get("validationDeltas", {}).get("failure")
    ]
    if "activeManifest" in ingredient and not shorter["activeManifest"]["failure"]:
        ingredient.pop("instanceID", None)
    return {**ingredient, "validationResults": shorter | ({"ingredientDeltas": deltas} if deltas else {})}


def _without_algorithm(address: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in address.items() if (name, value) != ("alg", _CLAIM_ALGORITHM)}


def _codes_alone(statuses: Mapping[str, Any]) -> dict[str, Any]:
    """Return the codes of checks, each once; with their addresses if they have failed."""
    passed = {kind: [{"code": code} for code in dict.fromkeys(each["code"] for each in entries)] for kind, entries in statuses.items()}
    failed = [{name: each[name] for name in ("code", "url") if name in each} for each in statuses.get("failure", ())]
    return {**passed, "failure": failed}


def _with_hashes(value: Any, renewed: Mapping[bytes, bytes]) -> Any:
    """Return a value of CBOR in which each hash of an assertion is that of the assertion as it is now."""
    if isinstance(value, Mapping):
        return {name: _with_hashes(each, renewed) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_with_hashes(each, renewed) for each in value]
    return renewed.get(value, value) if isinstance(value, bytes) else value


def _read_part(superbox: bytes) -> _Part:
    """Return a superbox, given its content."""
    (_, description), *boxes = read_boxes(superbox)
    value = next(cbor2.loads(content) for kind, content in boxes if kind == b"cbor")
    return _Part(superbox[8:24], _label_of(superbox), _box(b"jumd", description), value)


def _label_of(superbox: bytes) -> str:
    _, description = next(iter(read_boxes(superbox)))
    return description[17:].split(b"\0", 1)[0].decode()


def _description(kind: bytes, label: str) -> bytes:
    """Return the description box of an assertion, without the salt that c2pa adds: nothing is ever taken out of these manifests later."""
    return _box(b"jumd", kind + _REQUESTABLE_WITH_LABEL + label.encode() + b"\0")


def _superbox(description: bytes, content: bytes) -> bytes:
    return _box(b"jumb", description + _box(b"cbor", content))


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def _digest(box: bytes) -> bytes:
    """Return the hash of an assertion: that of its superbox without the head (C2PA 2.2, 8.4.2.3)."""
    return hashlib.sha256(box[8:]).digest()
