"""Reads the content credentials of a file, and writes them, with c2pa. Only worker processes call this: the bytes are a stranger's.

Nothing is fetched: neither manifests that lie elsewhere nor the state of a certificate.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from goldsmith.credentials.manifest_boxes import BrokenManifest, measure_store, replace_store
from goldsmith.credentials.manifest_compaction import MIN_PADDING, open_manifest, read_binding
from goldsmith.files import display_name

if TYPE_CHECKING:
    import c2pa

# Bytes of a manifest store that are read: a chain of a hundred deliveries has about half a megabyte, with thumbnails some more.
MAX_STORE_BYTES = 16 * 2**20
# Boxes of a store that is read: c2pa's time grows with the square of their number, two seconds for so many. A delivery in a chain has 15.
MAX_BOXES = 2000
# Bytes of a file whose store is read: c2pa hashes all of it, and holds it in memory.
MAX_FILE_BYTES = 512 * 2**20
# Purposes of certificates (C2PA 2.2, 14.5.1) that a trusted one may have.
_TRUSTED_PURPOSES = "1.3.6.1.5.5.7.3.4\n1.3.6.1.5.5.7.3.36\n1.3.6.1.4.1.62558.2.1"
# Entries and letters of a record of a stranger's manifest.
_MAX_ACTIONS, _MAX_INGREDIENTS, _MAX_COMPONENTS, _MAX_TEXT, _MAX_CODES = 40, 10, 40, 120, 5

# A picture of one pixel.
_ONE_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a49444154789c636800000082008177cd72b60000000049454e44ae426082"
)

CredentialState = Literal["trusted", "valid", "invalid", "unreadable"]


class CredentialsError(Exception):
    """Content credentials cannot be written. The text completes "… because"."""


@dataclass(frozen=True, slots=True)
class FileCredentials:
    """What the content credentials of a file say.

    state: trusted, the signature holds and a known root stands behind it; valid, it holds, and nobody known stands behind it; invalid, the
    file was changed or the signature is wrong; unreadable. signer, organisation: of the certificate. generator: the program. manifests: how
    many the file has, with those of its ingredients. ingredients: the titles of what it was made from; components: title, relationship
    and, if it is told, sha256 of the other pictures that went into it; broken_ingredients: the titles of those whose own credentials did
    not hold. actions: what was done, in order. problems: C2PA's codes, or why it is unreadable.
    store_bytes: the size of all manifests.
    """

    state: CredentialState
    signer: str = ""
    organisation: str = ""
    generator: str = ""
    title: str = ""
    signed_at: str = ""
    manifests: int = 0
    ingredients: tuple[str, ...] = ()
    components: tuple[Mapping[str, str], ...] = ()
    broken_ingredients: tuple[str, ...] = ()
    actions: tuple[Mapping[str, str], ...] = ()
    problems: tuple[str, ...] = ()
    store_bytes: int = 0

    def to_record(self) -> dict[str, object]:
        """Return what is known, as plain JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value}

    def remark(self) -> str:
        """Return what a person should know of broken content credentials; "" if they hold."""
        if self.state == "unreadable":
            return f"its content credentials cannot be read: {', '.join(self.problems)}"
        if self.state == "invalid":
            return f"its content credentials do not hold: it was changed after it was signed ({', '.join(self.problems)})"
        return ""


@dataclass(frozen=True, slots=True)
class Ingredient:
    """A file from which another one was made. ``data``: its bytes if its own manifest is carried, else b""."""

    description: Mapping[str, object]
    media_type: str = ""
    data: bytes = field(default=b"", repr=False)


def read_credentials(data: bytes, media_type: str, anchors: str = "") -> FileCredentials | None:
    """Return what the content credentials of a file say; None if it has none. ``anchors``: the trusted roots, as PEM."""
    size, boxes = measure_store(data)
    if not size:
        return None
    if size > MAX_STORE_BYTES or boxes > MAX_BOXES or len(data) > MAX_FILE_BYTES:
        problem = f"they have {size:,} bytes and {boxes:,} boxes in a file of {len(data):,} bytes, which is not read"
        return FileCredentials("unreadable", problems=(problem,))
    import c2pa

    try:
        with c2pa.Reader(media_type, io.BytesIO(data), context=_context(anchors)) as reader:
            return replace(_summarise(json.loads(reader.json())), store_bytes=size)
    except (c2pa.C2paError, ValueError, RecursionError) as error:
        return FileCredentials("unreadable", problems=(_short(str(error)),))


def embed_credentials(
    data: bytes,
    media_type: str,
    definition: Mapping[str, object],
    ingredients: Sequence[Ingredient],
    chain: str,
    algorithm: str,
    sign: Callable[[bytes], bytes],
) -> bytes:
    """Return the file with a signed manifest.

    definition: the manifest as c2pa's Builder takes it, without ingredients. chain: the certificates, as PEM. ``sign`` returns the
    signature of the identity. Raises CredentialsError if the manifest of an ingredient or the file cannot be used.
    """
    import c2pa

    identity = (chain, algorithm)
    try:
        written = _embed(_ONE_PIXEL, "image/png", definition, ingredients, identity)
        manifest, binding = open_manifest(written.store), read_binding(written.store)
        room = manifest.size_with(binding) + MIN_PADDING - _size_of_empty_manifest(identity)
        holder = _embed(data, media_type, _filled_with(room), (), identity)
        store = manifest.close(read_binding(holder.store), len(holder.store), sign)
        return replace_store(holder.file, media_type, holder.store, store)
    except (c2pa.C2paError, BrokenManifest) as error:
        raise CredentialsError(_short(str(error))) from error


class _Embedded(NamedTuple):
    """A file with a manifest that a passing key has signed, and its manifest store."""

    file: bytes
    store: bytes


def _embed(
    data: bytes, media_type: str, definition: Mapping[str, object], ingredients: Sequence[Ingredient], identity: tuple[str, str]
) -> _Embedded:
    """Return the file with a manifest. identity: the certificates, as PEM, and the algorithm. Raises C2paError."""
    import c2pa

    chain, algorithm = identity
    described = [dict(each.description) for each in ingredients if not each.data]
    signed = io.BytesIO()
    with c2pa.Builder({**definition, "ingredients": described}, context=_context()) as builder:
        for each in ingredients:
            if each.data:
                builder.add_ingredient(dict(each.description), each.media_type, io.BytesIO(each.data))
        info = c2pa.C2paSignerInfo(alg=algorithm.encode(), sign_cert=chain.encode(), private_key=_passing_key(chain), ta_url=None)
        with c2pa.Signer.from_info(info) as signer:
            store = builder.sign(signer, media_type, io.BytesIO(data), signed)
    return _Embedded(signed.getvalue(), store)


def _filled_with(room: int) -> dict[str, object]:
    """Return the definition of a manifest that says nothing, in at least so many bytes more than an empty one has.

    A name fills the room, since it takes any number of bytes: an assertion takes at least 181.
    """
    return {"claim_generator_info": [{"name": "-" * (1 + max(0, room))}], "assertions": []}


@lru_cache(maxsize=4)
def _size_of_empty_manifest(identity: tuple[str, str]) -> int:
    return len(_embed(_ONE_PIXEL, "image/png", _filled_with(0), (), identity).store)


@lru_cache(maxsize=4)
def _context(anchors: str = "") -> c2pa.Context:
    """Return c2pa's settings: no thumbnails, nothing from the network, and these roots as the only trusted ones."""
    import c2pa

    trust = {"user_anchors": anchors, "trust_config": _TRUSTED_PURPOSES} if anchors else {}
    verify = {"verify_trust": bool(anchors), "remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False}
    return c2pa.Context(c2pa.Settings.from_dict({"builder": {"thumbnail": {"enabled": False}}, "verify": verify, "trust": trust}))


@lru_cache(maxsize=4)
def _passing_key(chain: str) -> bytes:
    """Return a key (PEM) of the kind that the certificate has: its signature, which is replaced, is as long as that of the identity."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    public_key = x509.load_pem_x509_certificates(chain.encode())[0].public_key()
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        key = ec.generate_private_key(public_key.curve)
    elif isinstance(public_key, rsa.RSAPublicKey):
        key = rsa.generate_private_key(65537, public_key.key_size)
    else:
        key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


# ---------------------------------------------------------------------- the words of a manifest


def _summarise(report: Mapping[str, Any]) -> FileCredentials:
    """Return what c2pa's report says, with limits on everything: the words are a stranger's."""
    manifests = _as_mapping(report.get("manifests"))
    active = _as_mapping(manifests.get(str(report.get("active_manifest"))))
    signature = _as_mapping(active.get("signature_info"))
    generators = [_agent(each) for each in _as_list(active.get("claim_generator_info"))[:1]]
    results = _as_mapping(_as_mapping(report.get("validation_results")).get("activeManifest"))
    ingredients = [_as_mapping(each) for each in _as_list(active.get("ingredients"))]
    parents = [each for each in ingredients if each.get("relationship") in (None, "parentOf")][:_MAX_INGREDIENTS]
    others = [each for each in ingredients if each.get("relationship") not in (None, "parentOf")][:_MAX_COMPONENTS]
    return FileCredentials(
        state=_state(report, results),
        signer=_text(signature.get("common_name")),
        organisation=_text(signature.get("issuer")),
        generator=next(iter(generators), "") or _text(active.get("claim_generator")),
        title=_text(active.get("title")),
        signed_at=_text(signature.get("time")),
        manifests=len(manifests),
        ingredients=tuple(_text(each.get("title")) for each in parents),
        components=tuple(map(_component, others)),
        broken_ingredients=tuple(_text(each.get("title")) for each in (*parents, *others) if _is_broken(each)),
        actions=tuple(_actions(active))[:_MAX_ACTIONS],
        problems=_failures(results)[:_MAX_CODES],
    )


def _state(report: Mapping[str, Any], results: Mapping[str, Any]) -> CredentialState:
    """Return the state of the file's own manifest. That of its ingredients is another matter: a stranger may have signed them."""
    if report.get("validation_state") not in ("Trusted", "Valid") or _failures(results):
        return "invalid"
    return "trusted" if "signingCredential.trusted" in _codes(results, "success") else "valid"


def _component(ingredient: Mapping[str, Any]) -> dict[str, str]:
    scheme, _, sha256 = _text(ingredient.get("instance_id")).rpartition("urn:sha256:")
    words = {"title": _text(ingredient.get("title")), "relationship": _text(ingredient.get("relationship"))}
    return words | ({"sha256": sha256} if sha256 and not scheme and sha256.isalnum() else {})


def _is_broken(ingredient: Mapping[str, Any]) -> bool:
    """Return whether an ingredient's own manifest did not hold when it was carried."""
    return bool(_failures(_as_mapping(_as_mapping(ingredient.get("validation_results")).get("activeManifest"))))


def _failures(results: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the codes of what does not hold. That nobody known stands behind a signature is no such thing."""
    return tuple(code for code in _codes(results, "failure") if code != "signingCredential.untrusted")


def _codes(results: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (_text(_as_mapping(each).get("code")) for each in _as_list(results.get(kind))))))


def _actions(manifest: Mapping[str, Any]) -> list[dict[str, str]]:
    actions: list[dict[str, str]] = []
    for assertion in map(_as_mapping, _as_list(manifest.get("assertions"))):
        if str(assertion.get("label", "")).startswith("c2pa.actions"):
            for action in map(_as_mapping, _as_list(_as_mapping(assertion.get("data")).get("actions"))[:_MAX_ACTIONS]):
                words = {
                    "action": _text(action.get("action")),
                    "what": _text(action.get("description")),
                    "by": _agent(action.get("softwareAgent")),
                    "source_type": _text(action.get("digitalSourceType")).rpartition("/")[2],
                }
                actions.append({name: word for name, word in words.items() if word})
    return actions


def _agent(value: object) -> str:
    """Return the name and the version of a program, which older manifests have as one text."""
    if not isinstance(value, Mapping):
        return _text(value)
    return " ".join(filter(None, (_text(value.get("name")), _text(value.get("version")))))


def _as_mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return _short(value) if isinstance(value, str) else ""


def _short(text: str) -> str:
    return display_name(" ".join(text.split()))[:_MAX_TEXT]
