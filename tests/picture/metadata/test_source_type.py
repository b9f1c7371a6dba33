"""The type of a picture follows from its own and from what was done, and never says less than before."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest

from goldsmith.picture.metadata.source_type import (
    _RANKS,
    VOCABULARY,
    SourceTypeChange,
    combine_source_types,
    composite_type,
    read_source_type,
    retouched_type,
    with_source_type,
)
from goldsmith.picture.picture import Metadata

CHANGES: tuple[SourceTypeChange, ...] = get_args(SourceTypeChange)


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        ("", [], ""),
        ("digitalCapture", [], "digitalCapture"),
        ("digitalCapture", ["algorithmicallyEnhanced"], "algorithmicallyEnhanced"),
        ("digitalCapture", ["composite"], "composite"),
        ("digitalCapture", ["compositeWithTrainedAlgorithmicMedia", "algorithmicallyEnhanced"], "compositeWithTrainedAlgorithmicMedia"),
        ("trainedAlgorithmicMedia", ["composite", "algorithmicallyEnhanced"], "trainedAlgorithmicMedia"),
        ("compositeSynthetic", ["compositeWithTrainedAlgorithmicMedia"], "compositeSynthetic"),
        ("digitalCreation", ["composite"], "digitalCreation"),
        ("somethingNew", ["composite"], "somethingNew"),
        ("somethingNew", ["compositeWithTrainedAlgorithmicMedia"], "compositeWithTrainedAlgorithmicMedia"),
        ("", ["trainedAlgorithmicMedia"], "trainedAlgorithmicMedia"),
    ],
)
def test_the_type_is_that_of_the_strongest(before: str, changes: list[SourceTypeChange], after: str) -> None:
    """A grade or a crop is no change and leaves the type as it is."""
    assert combine_source_types(before, changes) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("digitalCapture", "humanEdits"),
        ("negativeFilm", "humanEdits"),
        ("humanEdits", "humanEdits"),
        ("", ""),
        ("digitalArt", "digitalArt"),
    ],
)
def test_work_by_hand_makes_human_edits_of_a_capture(before: str, after: str) -> None:
    """Nobody knows what a picture without a type was, and a generated one stays generated."""
    assert retouched_type(before) == after
    assert retouched_type("trainedAlgorithmicMedia") == "trainedAlgorithmicMedia"


def test_no_type_is_ever_weakened() -> None:
    """Whatever is done, in whatever order."""
    for before, change in itertools.product(_RANKS, CHANGES):
        after = combine_source_types(before, [change])
        assert _RANKS[after] >= max(_RANKS[before], _RANKS[change])
        assert combine_source_types(after, [change]) == after


def test_a_composite_with_a_generated_layer_has_parts_of_a_model() -> None:
    """Layers that say nothing are taken for photographs."""
    assert composite_type([]) == composite_type(["", "digitalCapture"]) == "composite"
    assert composite_type(["digitalCapture", "trainedAlgorithmicMedia"]) == "compositeWithTrainedAlgorithmicMedia"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_type_is_read_with_http_and_https(scheme: str) -> None:
    """The vocabulary has http; programs write both. Anything else is no type."""
    written = with_source_type(Metadata(), "digitalCapture")
    assert written.xmp is not None
    assert VOCABULARY.encode() + b"digitalCapture" in written.xmp
    assert read_source_type(Metadata(xmp=written.xmp.replace(b"http://cv", scheme.encode() + b"://cv"))) == "digitalCapture"
    assert read_source_type(Metadata(xmp=written.xmp.replace(b"cv.iptc.org", b"example.org"))) == ""
    assert read_source_type(Metadata()) == ""
    assert with_source_type(Metadata(), "") == Metadata()
