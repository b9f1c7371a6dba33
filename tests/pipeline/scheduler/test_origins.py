"""A picture is known again wherever a person moves it, under any name, and after work in an editor: one chain leads to its delivery."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from doubles.commission import EXPORT, PIPELINE, SHARPEN
from doubles.pictures import png
from doubles.studio import Studio, studio_at
from goldsmith.picture.codec import read_metadata
from goldsmith.picture.metadata.identity import read_identity
from goldsmith.pipeline.archive.restoration import Restoration, restorable_files
from goldsmith.pipeline.scheduler import scheduler
from goldsmith.service.one_off import run_replay

DELIVER = f"edit = []\ngrade = []\n{EXPORT}"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with studio_at(tmp_path_factory.mktemp("studio")) as studio:
        studio.write_pipeline(PIPELINE)
        yield studio


def _waiting(studio: Studio, stem: str, number: int) -> str:
    """Return the path of a picture that was edited and waits for a person."""
    studio.put(f"inbox/{stem}.png", png(number))
    studio.put(f"inbox/{stem}.toml", SHARPEN)
    studio.until_idle()
    assert studio.at(f"masked/{stem}.png").exists()
    studio.at(f"masked/{stem}.toml").unlink()
    return f"masked/{stem}.png"


def _deliver(studio: Studio, path: str) -> list[dict[str, Any]]:
    """Give a picture in ``masked`` or ``graded`` a brief, and return the stages of its manifest."""
    stem = os.path.splitext(path)[0]
    studio.put(f"{stem}.toml", DELIVER)
    studio.until_idle()
    stages = studio.manifest(f"delivered/{stem.rpartition('/')[2]}.manifest.json")["stages"]
    assert isinstance(stages, list)
    return stages


def paint_over(data: bytes, xmp: bytes = b"") -> bytes:
    """Return a picture as an editor saves it after a stroke, with an XMP packet or without metadata."""
    image = Image.open(io.BytesIO(data))
    image.load()
    image.paste((255, 0, 0), (2, 2, 6, 5))
    buffer, chunks = io.BytesIO(), PngImagePlugin.PngInfo()
    if xmp:
        chunks.add_itxt("XML:com.adobe.xmp", xmp.decode())
    image.save(buffer, "png", pnginfo=chunks)
    return buffer.getvalue()


def test_a_picture_that_is_moved_and_renamed_keeps_its_chain(studio: Studio) -> None:
    """Its bytes tell which job made it."""
    path = _waiting(studio, "moved", 1)
    studio.at(path).rename(studio.at("graded/final name.png"))
    stages = _deliver(studio, "graded/final name.png")
    assert [stage["stage"] for stage in stages] == ["generate", "edit", "deliver"]
    assert [stage.get("known_by") for stage in stages] == [None, "bytes", "bytes"]
    assert stages[0]["picture"]["path"] == "inbox/moved.png"


def test_a_picture_that_an_editor_saves_under_another_name_is_known_by_its_id(studio: Studio) -> None:
    """The work by hand is a stage of its own between the one that made the picture and the one that took the new file."""
    path = _waiting(studio, "kept", 2)
    data = studio.read(path)
    xmp = Image.open(io.BytesIO(data)).info["xmp"]
    studio.at(path).unlink()
    program = b'<xmp:CreatorTool xmlns:xmp="http://ns.adobe.com/xap/1.0/">GIMP 2.10</xmp:CreatorTool></rdf:Description>'
    studio.put("graded/another.png", paint_over(data, xmp.replace(b"</rdf:Description>", program, 1)))
    stages = _deliver(studio, "graded/another.png")
    assert [stage["stage"] for stage in stages] == ["generate", "edit", "by-hand", "deliver"]
    assert stages[2]["by_hand"]["known_by"] == stages[3]["known_by"] == "id"
    assert stages[2]["by_hand"]["program"] == "GIMP 2.10"
    assert stages[2]["picture"] == {"path": path, "sha256": stages[1]["outputs"][0]["sha256"]}
    assert stages[2]["by_hand"]["after"] == stages[3]["picture"]["sha256"]
    figures = {name: stages[2]["by_hand"].get(name) for name in ("changed_pixels", "box", "tolerance", "incomparable")}
    assert figures == {"changed_pixels": 12, "box": [2, 2, 4, 3], "tolerance": 0.0, "incomparable": None}
    (entry,) = stages[2]["archive_only"]
    mask = Image.open(io.BytesIO(studio.read(entry["archived"])))
    assert mask.getbbox() == (2, 2, 6, 5)
    report = run_replay(studio.setup(), studio.at("delivered/another.manifest.json"), lambda *_: None)
    assert [each.verdict for each in report.deliverables] == ["identical", "identical"]
    assert report.hand_work[0].startswith(f"{path} was changed by hand (GIMP 2.10, ")


@pytest.mark.parametrize(("stem", "name"), [("over", "over.png"), ("beside", "beside_v002.png")])
def test_a_picture_that_is_saved_without_its_id_is_known_by_its_place(studio: Studio, stem: str, name: str) -> None:
    """It lies where a job put the version before, or is called a later version of it."""
    path = _waiting(studio, stem, 3 if stem == "over" else 4)
    data = studio.read(path)
    studio.at(path).unlink()
    studio.put(f"masked/{name}", paint_over(data))
    stages = _deliver(studio, f"masked/{name}")
    assert [stage["stage"] for stage in stages] == ["generate", "edit", "by-hand", "grade", "deliver"]
    assert (stages[2]["by_hand"]["known_by"], stages[2]["picture"]["path"]) == ("path", path)


def test_the_bytes_that_a_person_saved_over_can_be_restored(studio: Studio) -> None:
    """A picture that waits for a person has a copy in the archive; the copy is that of the file, to the byte."""
    path = _waiting(studio, "restored", 9)
    data = studio.read(path)
    studio.put(path, paint_over(data))
    _deliver(studio, path)
    files = restorable_files(studio.journal.related_rows([path]))
    file = next(each for each in files if each.sha256 == hashlib.sha256(data).hexdigest())
    assert file.archived
    restored = Restoration(studio.root, studio.setup().pipeline.folders, studio.journal).restore(file)
    assert studio.read(restored) == data


def test_another_picture_in_the_place_of_one_that_was_taken_is_new(studio: Studio) -> None:
    """So is an original that is dropped a second time: its bytes are known, but no job made them."""
    studio.put("inbox/again.png", png(5))
    studio.put("inbox/again.toml", SHARPEN + "[[grade]]\nop = 'grade'\nsaturation = 0.8\n")
    studio.until_idle()
    studio.put("selected/again.png", png(6))
    studio.put("selected/again.toml", SHARPEN)
    studio.put("inbox/twice.png", png(5))
    studio.put("inbox/twice.toml", SHARPEN)
    studio.until_idle()
    rows = {row.path: row for row in studio.history() if row.path in ("selected/again.png", "inbox/twice.png")}
    assert [row.parent_job_id for row in rows.values()] == ["", ""]
    assert [row.record.get("known_by") for row in rows.values()] == [None, None]


def test_a_result_carries_its_id_and_that_of_the_file_before(studio: Studio) -> None:
    """The ids are derived, so that a second run writes the same ones; a file that goes on unchanged gets none."""
    studio.put("inbox/same one.png", png(7))
    studio.put("inbox/same two.png", png(7))
    for stem in ("same one", "same two"):
        studio.put(f"inbox/{stem}.toml", "seed = 3\n" + SHARPEN)
    studio.put("inbox/plain.png", png(8))
    studio.put("inbox/plain.toml", "generate = []\n")
    studio.until_idle()
    assert studio.read("masked/same one.png") == studio.read("masked/same two.png")
    assert studio.read("selected/plain.png") == png(8)
    ids = read_identity(read_metadata(studio.read("masked/same one.png"), "x.png", 10**6)).ids
    row = next(row for row in studio.history() if row.path == "selected/same one.png")
    outputs: Any = row.record["outputs"]
    assert ids[0] == outputs[0]["document_id"]
    assert len(ids) == 2


def test_comparisons_begin_while_as_many_results_wait_as_may(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """No job starts while too many results wait for their commit; these wait for the jobs that compare the versions."""
    monkeypatch.setattr(scheduler, "MAX_UNCOMMITTED", 1)
    stems = ["first", "second", "third"]
    for number, path in enumerate([_waiting(studio, stem, 96 + number) for number, stem in enumerate(stems)]):
        studio.put(path, paint_over(png(96 + number)))
        studio.put(f"masked/{stems[number]}.toml", DELIVER)
    studio.until_idle()
    for stem in stems:
        stages = studio.manifest(f"delivered/{stem}.manifest.json")["stages"]
        assert "by-hand" in [stage["stage"] for stage in stages]
