"""IPTC's ``DigitalSourceType``: how a picture came to be, from what it says of itself and from what was done to it.

The words are those of the vocabulary http://cv.iptc.org/newscodes/digitalsourcetype/ (IPTC NewsCodes, CC BY 4.0).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from goldsmith.picture.metadata.xmp_packet import IPTC_EXT, UnreadableXmp, XmpName, XmpPacket, read_xmp
from goldsmith.picture.picture import Metadata

# What a step has made of a picture: all of it by a trained model, a part of it by one, a composite, or an enhancement by a trained model.
SourceTypeChange = Literal["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "composite", "algorithmicallyEnhanced"]

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_PROPERTY = XmpName(IPTC_EXT, "DigitalSourceType")
_URI = re.compile(r"https?://cv\.iptc\.org/newscodes/digitalsourcetype/([A-Za-z]{1,64})/?")
# The order in which a type says more of what did not come from a camera or a hand. A type of the same rank stays.
_RANKS = {
    **dict.fromkeys(("digitalCapture", "computationalCapture", "multiFrameComputationalCapture", "screenCapture", "virtualRecording"), 1),
    **dict.fromkeys(("negativeFilm", "positiveFilm", "print"), 1),
    **dict.fromkeys(("minorHumanEdits", "humanEdits"), 2),
    "algorithmicallyEnhanced": 3,
    **dict.fromkeys(("compositeCapture", "composite"), 4),
    **dict.fromkeys(("digitalArt", "digitalCreation", "dataDrivenMedia", "softwareImage", "algorithmicMedia"), 5),
    **dict.fromkeys(("compositeSynthetic", "compositeWithTrainedAlgorithmicMedia"), 6),
    "trainedAlgorithmicMedia": 7,
}
# Of a word that is newer than this table: only work by a trained model replaces it.
_UNKNOWN_RANK = 5
_CAPTURE_RANK, _GENERATED_RANK = 1, 6


def read_source_type(metadata: Metadata) -> str:
    """Return the word of a picture's type, whether its URI has http or https; "" if it has none that can be read."""
    match = _URI.fullmatch(_read_packet(metadata.xmp).text(_PROPERTY))
    return "" if match is None else match[1]


def combine_source_types(before: str, changes: Sequence[SourceTypeChange]) -> str:
    """Return the type of a picture after these changes. It is never one that says less than the type before; "" = unknown."""
    return max((before, *changes), key=_rank)


def retouched_type(before: str) -> str:
    """Return the type of a picture that a person has changed by hand: a capture has human edits then, and any other keeps its type."""
    return "humanEdits" if _rank(before) == _CAPTURE_RANK else before


def composite_type(layer_types: Sequence[str]) -> SourceTypeChange:
    """Return the type of a composite with layers of these types: one with a generated layer has parts of a trained model."""
    is_generated = any(_rank(layer) >= _GENERATED_RANK for layer in layer_types)
    return "compositeWithTrainedAlgorithmicMedia" if is_generated else "composite"


def change_by_step(change: SourceTypeChange | None, layer_types: Sequence[str], *, has_trained_model: bool) -> SourceTypeChange | None:
    """Return what a step has made of a picture, if with a trained model it makes ``change``; None if the picture stays what it was.

    A hole that is filled from the picture itself makes a composite. ``layer_types``: those of the layers that were laid over it.
    """
    if change == "composite":
        return composite_type(layer_types)
    if change == "trainedAlgorithmicMedia" or has_trained_model:
        return change
    return "composite" if change == "compositeWithTrainedAlgorithmicMedia" else None


def with_source_type(metadata: Metadata, word: str) -> Metadata:
    """Return the metadata with this type; "" leaves what they have."""
    if not word:
        return metadata
    packet = _read_packet(metadata.xmp)
    packet.set_text(_PROPERTY, VOCABULARY + word)
    return replace(metadata, xmp=packet.to_bytes())


def _rank(word: str) -> int:
    return _RANKS.get(word, _UNKNOWN_RANK) if word else 0


def _read_packet(data: bytes | None) -> XmpPacket:
    try:
        return XmpPacket() if data is None else read_xmp(data)
    except UnreadableXmp:
        return XmpPacket()
