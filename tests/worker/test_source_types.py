"""Every file that a job writes says how the picture came to be, from what was really done to it (IPTC's DigitalSourceType)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doubles import ncnn
from doubles.commission import EXPORT, PIPELINE
from doubles.metadata_blocks import read_with_exiftool
from doubles.pictures import mask, png
from doubles.studio import Studio, studio_at
from goldsmith.brief.settings import find_config
from goldsmith.picture.codec import EncodingOptions, decode, encode
from goldsmith.picture.metadata.source_type import VOCABULARY, with_source_type
from goldsmith.picture.picture import Metadata

GENERATED = "[[generate]]\nop = 'regenerate'\nmodel = 'null-generate'\ncandidates = 2\n[[generate]]\nop = 'select'\n"
GRADED = "[[grade]]\nop = 'grade'\nsaturation = 0.5\n"
FILLED = "[[edit]]\nop = 'inpaint'\nwhere = 'mask'\nmodel = 'null-inpaint'\n"
ENLARGED = "[[edit]]\nop = 'upscale'\nfactor = 2\nmodel = 'plain-x2'\n"
PLAINLY_ENLARGED = "[[edit]]\nop = 'upscale'\nfactor = 2\nmodel = 'null-x2'\n"
LAYERED = "[[edit]]\nop = 'composite'\nlayers = [{ from = 'sky' }]\n"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("studio")
    with studio_at(folder, models_dir=str(folder / "models")) as studio:
        studio.write_pipeline(PIPELINE)
        shipped = find_config(None, studio.root).path_of("models.toml").read_text()
        studio.put("config/models.toml", shipped + ncnn.plain_enlargement(folder / "models").split("\n", 2)[2])
        yield studio


def photograph(word: str = "digitalCapture", number: int = 1) -> bytes:
    """Return a picture that says what it is."""
    metadata = with_source_type(Metadata(), word)
    return encode(decode(png(number), "x.png", 10**6).with_metadata(metadata), EncodingOptions(format="png"))


def type_of(studio: Studio, path: str) -> str:
    """Return the word of a file's type as ExifTool reads it; "" = none."""
    facts = read_with_exiftool(studio.read(path), f".{path.rpartition('.')[2]}", "-n")
    return str(facts.get("XMP-iptcExt:DigitalSourceType", "")).removeprefix(VOCABULARY)


@pytest.mark.parametrize(
    ("stem", "brief", "word"),
    [
        ("graded", GRADED, "digitalCapture"),
        ("filled", FILLED, "composite"),
        ("enlarged", ENLARGED, "algorithmicallyEnhanced"),
        ("plainly", PLAINLY_ENLARGED, "digitalCapture"),
        ("drawn", GENERATED, "trainedAlgorithmicMedia"),
        ("both", GENERATED + FILLED + ENLARGED + GRADED, "trainedAlgorithmicMedia"),
    ],
)
def test_a_delivered_photograph_says_what_was_done(studio: Studio, stem: str, brief: str, word: str) -> None:
    """Through every stage: what one stage has done is not forgotten by the next."""
    studio.put(f"inbox/{stem}.png", photograph())
    studio.put(f"inbox/{stem}.mask.png", mask())
    studio.put(f"inbox/{stem}.toml", brief + EXPORT)
    studio.until_idle()
    assert type_of(studio, f"delivered/{stem}_print.png") == type_of(studio, f"delivered/{stem}_web.jpg") == word


@pytest.mark.parametrize(
    ("layer", "word"), [("digitalCapture", "composite"), ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia")]
)
def test_a_composite_says_whether_a_layer_was_generated(studio: Studio, layer: str, word: str) -> None:
    """The layers' own types count."""
    stem = f"comp {layer}"
    studio.put(f"inbox/{stem}.png", photograph())
    studio.put(f"inbox/{stem}.layer.sky.png", photograph(layer, 2))
    studio.put(f"inbox/{stem}.toml", LAYERED + EXPORT)
    studio.until_idle()
    assert type_of(studio, f"delivered/{stem}_print.png") == word


def test_a_picture_that_says_nothing_is_given_no_type_by_a_grade(studio: Studio) -> None:
    """Nobody knows where it comes from."""
    studio.put("inbox/silent.png", png(3))
    studio.put("inbox/silent.toml", GRADED + EXPORT)
    studio.until_idle()
    assert type_of(studio, "delivered/silent_print.png") == ""
