"""The ids in a file: derived, readable in every form that programs write, and those of the source in ``DerivedFrom``."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.metadata_blocks import read_with_exiftool
from goldsmith.picture.codec import EncodingOptions, encode, read_metadata
from goldsmith.picture.metadata.identity import FileIdentity, derive_id, read_identity, with_identity
from goldsmith.picture.picture import Metadata, Picture, freeze

FIRST, SECOND = derive_id(["first"]), derive_id(["second"])


def _packet(body: str) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:stRef="http://ns.adobe.com/xap/1.0/sType/ResourceRef#">'
        f"{body}</rdf:RDF></x:xmpmeta>"
    ).encode()


def test_an_id_follows_from_its_parts() -> None:
    """The same parts give the same UUID of version 5; parts are not run together."""
    assert derive_id(["a", "b"]) == derive_id(["a", "b"]) != derive_id(["ab"])
    assert derive_id(["a"])[14] == "5"


def test_a_chain_of_two_files_names_its_source_and_its_original() -> None:
    """The first file has no source with an id, so that the hash of the source gives one."""
    first = with_identity(Metadata(), FIRST, Metadata(), "aa")
    assert read_identity(first).ids == (FIRST, derive_id(["aa"]))
    second = with_identity(first, SECOND, first, "bb")
    assert read_identity(second).ids == (SECOND, FIRST)
    original = f"xmp.did:{derive_id(['aa'])}".encode()
    assert second.xmp is not None
    assert b"OriginalDocumentID>" + original in second.xmp


def test_a_picture_without_a_source_has_its_own_id_alone() -> None:
    """A generated picture is the original of what follows."""
    assert read_identity(with_identity(Metadata(), FIRST, Metadata(), "")).ids == (FIRST,)


@pytest.mark.parametrize(
    "body",
    [
        f'<rdf:Description xmpMM:DocumentID="xmp.did:{FIRST}"><xmpMM:DerivedFrom stRef:documentID="xmp.did:{SECOND}"/></rdf:Description>',
        f"<rdf:Description><xmpMM:DocumentID>{FIRST.upper()}</xmpMM:DocumentID><xmpMM:DerivedFrom><rdf:Description>"
        f"<stRef:documentID>uuid:{SECOND}</stRef:documentID></rdf:Description></xmpMM:DerivedFrom></rdf:Description>",
    ],
)
def test_the_ids_are_read_in_every_form_of_rdf(body: str) -> None:
    """Programs write attributes, elements and nested descriptions, with prefixes of their own."""
    assert read_identity(Metadata(xmp=_packet(body))).ids == (FIRST, SECOND)


def test_what_is_no_id_is_left_out() -> None:
    """An id without a UUID is another program's; a packet that cannot be read has none."""
    body = '<rdf:Description xmpMM:DocumentID="adobe:docid:photoshop:12"/>'
    assert read_identity(Metadata(xmp=_packet(body))) == FileIdentity()
    assert read_identity(Metadata(xmp=b"<x")) == FileIdentity()


@pytest.mark.parametrize("file_format", ["png", "jpeg", "tiff", "webp", "avif"])
def test_exiftool_reads_the_ids_in_every_format(file_format: str) -> None:
    """ExifTool is another reader than ours."""
    metadata = with_identity(Metadata(), FIRST, Metadata(), "aa")
    data = encode(Picture(freeze(np.full((8, 8, 3), 0.5, np.float32)), metadata=metadata), EncodingOptions(format=file_format))
    assert read_identity(read_metadata(data, "x", 10**6)).ids[0] == FIRST
    facts = read_with_exiftool(data, f".{file_format}")
    assert facts["XMP-xmpMM:DocumentID"] == f"xmp.did:{FIRST}"
    assert facts["XMP-xmpMM:InstanceID"] == f"xmp.iid:{FIRST}"
    assert facts["XMP-xmpMM:DerivedFrom"]["DocumentID"] == f"xmp.did:{derive_id(['aa'])}"
