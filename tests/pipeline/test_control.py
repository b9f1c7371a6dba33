"""Control pictures in the pipeline, on real models with tiny random weights."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from doubles import tiny, tiny_control
from doubles.commission import PIPELINE
from doubles.pictures import png
from doubles.studio import Studio, studio_at

BRIEF = 'prompt = "a red chair"\nseed = 7\n[[generate]]\nop = "regenerate"\n'
NETS = ("sdxl-depth", "sdxl-union", "flux-depth")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Yield one daemon for all tests, since importing the libraries takes most of the time."""
    with studio_at(tmp_path_factory.mktemp("studio")) as studio:
        studio.write_pipeline(PIPELINE)
        models = tiny.models_toml({"sdxl": "sdxl", "flux": "flux", "kontext": "flux-kontext"})
        models = models.replace("[defaults]\n", f"[defaults]\ncontrol = {json.dumps(NETS)}\n")
        studio.put("config/models.toml", "\n".join([models, *map(tiny_control.entry, NETS)]))
        yield studio


def wait_for_note(studio: Studio, asset: str) -> str:
    studio.until(lambda: studio.note(asset) or studio.events_of("committed", picture=asset), f"a note on {asset}")
    return studio.note(asset)


def test_a_control_picture_is_followed_and_goes_into_the_archive(studio: Studio) -> None:
    """Check words alone: two control pictures give two results, of their shape; the record has the model that read them."""
    for name, number in (("plain", 0), ("one", 1), ("two", 2)):
        if number:
            studio.put(f"inbox/{name}.control.depth.png", png(number, 96, 48))
        studio.put(f"inbox/{name}.toml", BRIEF + ('control = { kind = "depth", strength = 0.9 }\n' if number else ""))
    studio.until_idle()
    assert [studio.note(f"inbox/{path}") for path in ("one.toml", "two.toml", "plain.toml") if studio.note(f"inbox/{path}")] == []
    assert len({studio.read(f"selected/{name}.png") for name in ("plain", "one", "two")}) == 3
    assert "inbox/one.control.depth.png" in studio.archived()
    step = studio.first_step("inbox/one.toml")
    assert step["engine"]["name"] == "sdxl"
    control = step["findings"]["made"]["control"]
    assert (control["model"], control["control"], control["strength"]) == ("sdxl-depth", "depth", 0.9)
    assert "one.control.depth.png" in step["findings"]["references"]
    assert step["findings"]["native"][0] > step["findings"]["native"][1]


def test_the_control_model_fits_the_family_of_the_model(studio: Studio) -> None:
    """Check that flux gets its own control model although others come first, and that a named one of another family is refused."""
    studio.put("inbox/other.control.depth.png", png(1, 64, 64))
    studio.put("inbox/other.toml", BRIEF + 'model = "flux"\ncontrol = "depth"\n')
    studio.until_idle()
    assert studio.first_step("inbox/other.toml")["findings"]["made"]["control"]["model"] == "flux-depth"
    studio.put("inbox/wrong.control.depth.png", png(1, 64, 64))
    studio.put("inbox/wrong.toml", BRIEF + 'model = "flux"\ncontrol = { kind = "depth", model = "sdxl-depth" }\n')
    assert "guides models of the family sdxl" in wait_for_note(studio, "inbox/wrong.toml")


def test_edges_are_drawn_from_the_picture_itself(studio: Studio) -> None:
    """Check that the result follows them: another strength gives another picture; a file of edges is used if there is one."""
    for name, line in (
        ("lines", 'control = "edges"\n'),
        ("faint", 'control = { kind = "edges", strength = 0.2 }\n'),
        ("given", 'control = "edges"\n'),
    ):
        studio.put(f"inbox/{name}.png", png(3, 64, 64))
        if name == "given":
            studio.put("inbox/given.control.edges.png", png(4, 64, 64))
        studio.put(f"inbox/{name}.toml", BRIEF + 'model = "sdxl"\nstrength = 0.8\n' + line)
    studio.until_idle()
    assert [studio.note(f"inbox/{path}") for path in ("lines.png", "faint.png", "given.png") if studio.note(f"inbox/{path}")] == []
    assert len({studio.read(f"selected/{name}.png") for name in ("lines", "faint", "given")}) == 3
    assert studio.first_step("inbox/lines.png")["findings"]["made"]["control"]["control"] == "edges"


def test_a_control_picture_that_no_step_uses_travels_on(studio: Studio) -> None:
    """Check that it lies beside the result under its name."""
    studio.put("inbox/later.png", png(1, 64, 64))
    studio.put("inbox/later.control.pose.png", png(2, 64, 64))
    studio.put("inbox/later.toml", BRIEF + "strength = 0.5\n")
    studio.until_idle()
    assert "later.control.pose.png" in studio.folder("selected")


def test_what_cannot_be_followed_is_held_with_a_sentence(studio: Studio) -> None:
    """Check a missing control picture, one of another shape, and a model that follows none."""
    studio.put("inbox/lacking.control.pose.png", png(1, 64, 64))
    studio.put("inbox/lacking.toml", BRIEF + 'control = "depth"\n')
    assert "there is no picture of it beside the brief, such as NAME.control.depth.png" in wait_for_note(studio, "inbox/lacking.toml")
    studio.put("inbox/shape.png", png(1, 64, 64))
    studio.put("inbox/shape.control.depth.png", png(1, 64, 32))
    studio.put("inbox/shape.toml", BRIEF + 'control = "depth"\nstrength = 0.5\n')
    assert "shape.control.depth.png has another shape" in wait_for_note(studio, "inbox/shape.png")
    studio.put("inbox/blind.control.depth.png", png(1, 64, 64))
    studio.put("inbox/blind.toml", BRIEF + 'model = "kontext"\ncontrol = { kind = "depth", model = "flux-depth" }\n')
    assert "flux-kontext" in wait_for_note(studio, "inbox/blind.toml")
