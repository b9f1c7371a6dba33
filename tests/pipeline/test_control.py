"""Control and reference pictures in the pipeline, on real models with tiny random weights."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from doubles import ncnn, tiny, tiny_adapters, tiny_control
from doubles.commission import PIPELINE
from doubles.forked_workers import fork_diffusion_worker
from doubles.pictures import mask, png
from doubles.studio import Studio, studio_at

BRIEF = 'prompt = "a red chair"\nseed = 7\n[[generate]]\nop = "regenerate"\n'
INPAINT = 'prompt = "a red chair"\nseed = 7\n[[edit]]\nop = "inpaint"\nmodel = "sdxl"\n'
NETS = ("sdxl-depth", "sdxl-union", "flux-depth")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Yield one daemon for all tests, since importing the libraries takes most of the time."""
    folder = tmp_path_factory.mktemp("studio")
    with studio_at(folder, models_dir=str(folder / "models")) as studio:
        studio.spawn = fork_diffusion_worker
        studio.write_pipeline(PIPELINE)
        models = tiny.models_toml(
            {"sdxl": "sdxl", "flux": "flux", "kontext": "flux-kontext", "klein": "flux2-klein", "split": "qwen-image-layered"}
        )
        models = models.replace("[defaults]\n", f'[defaults]\ncontrol = {json.dumps(NETS)}\nreference = ["sdxl-likeness"]\n')
        studio.put(
            "config/models.toml",
            "\n".join([models, *map(tiny_control.entry, NETS), tiny_adapters.entry("sdxl"), ncnn.plain_enlargement(folder / "models")]),
        )
        yield studio


def encoded(pixels: np.ndarray[Any, Any]) -> bytes:
    """Return 8-bit pixels as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def pixels_of(data: bytes) -> bytes:
    return Image.open(io.BytesIO(data)).tobytes()


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
    assert "cannot follow a control picture to make pictures from words alone; models of its" in wait_for_note(studio, "inbox/blind.toml")


def test_a_fill_follows_the_part_of_the_control_picture_that_belongs_to_the_hole(studio: Studio) -> None:
    """Check that control pictures that differ only far from the hole give the same fill, and those that differ in the hole do not."""
    far, near = np.full((128, 256, 3), 100, np.uint8), np.full((128, 256, 3), 100, np.uint8)
    far[:, 220:] = 220
    near[40:56, 70:100] = 220
    for name, control in (("even", np.full((128, 256, 3), 100, np.uint8)), ("far", far), ("near", near), ("none", None)):
        studio.put(f"selected/{name}.png", png(5, 256, 128))
        studio.put(f"selected/{name}.mask.png", mask(256, 128))
        if control is not None:
            studio.put(f"selected/{name}.control.depth.png", encoded(control))
        studio.put(f"selected/{name}.toml", INPAINT + ('control = "depth"\n' if control is not None else ""))
    studio.until_idle()
    assert [studio.note(f"selected/{name}.png") for name in ("even", "far", "near", "none")] == [""] * 4
    even, far_fill, near_fill, plain = (studio.read(f"masked/{name}.png") for name in ("even", "far", "near", "none"))
    assert pixels_of(even) == pixels_of(far_fill)
    assert len({pixels_of(each) for each in (even, near_fill, plain)}) == 3
    step = studio.first_step("selected/near.png")
    assert step["engine"]["fills"][0]["control"]["model"] == "sdxl-depth"
    assert step["findings"]["outside_changed"] == 0
    assert "selected/near.control.depth.png" in studio.archived()


def test_a_picture_and_a_fill_follow_the_reference_picture_with_a_strength(studio: Studio) -> None:
    """Check two strengths from a picture, and a hole; the record has the adapter, and the reference picture is archived."""
    for name, folder, brief in (
        ("alike", "inbox", BRIEF + 'model = "sdxl"\nstrength = 0.8\nreference_strength = 0.9\n'),
        ("faintly", "inbox", BRIEF + 'model = "sdxl"\nstrength = 0.8\nreference_strength = 0.2\n'),
        ("filled", "selected", INPAINT + "reference_strength = 0.9\n"),
    ):
        studio.put(f"{folder}/{name}.png", png(3, 64, 64))
        studio.put(f"{folder}/{name}.ref.png", png(9, 64, 64))
        if folder == "selected":
            studio.put(f"{folder}/{name}.mask.png", mask(64, 64))
        studio.put(f"{folder}/{name}.toml", brief)
    studio.until_idle()
    assert [studio.note(path) for path in ("inbox/alike.png", "inbox/faintly.png", "selected/filled.png")] == [""] * 3
    assert studio.read("selected/alike.png") != studio.read("selected/faintly.png")
    likeness = studio.first_step("inbox/alike.png")["findings"]["made"]["likeness"]
    assert (likeness["model"], likeness["strength"], likeness["pictures"]) == ("sdxl-likeness", 0.9, 1)
    assert studio.first_step("selected/filled.png")["engine"]["fills"][0]["likeness"]["model"] == "sdxl-likeness"
    assert "selected/filled.ref.png" in studio.archived()


def test_a_model_looks_at_the_reference_picture_in_a_hole_itself(studio: Studio) -> None:
    """Check FLUX.2 klein with two reference pictures and without; a model that looks at none is refused by name."""
    for name, reference in (("seen", 9), ("other", 10), ("unseen", 0)):
        studio.put(f"selected/{name}.png", png(3, 64, 64))
        studio.put(f"selected/{name}.mask.png", mask(64, 64))
        if reference:
            studio.put(f"selected/{name}.ref.png", png(reference, 64, 64))
        line = "references = true\n" if reference else ""
        studio.put(f"selected/{name}.toml", INPAINT.replace("sdxl", "klein") + line)
    studio.until_idle()
    assert [studio.note(f"selected/{name}.png") for name in ("seen", "other", "unseen")] == [""] * 3
    assert len({pixels_of(studio.read(f"masked/{name}.png")) for name in ("seen", "other", "unseen")}) == 3
    studio.put("selected/blind.png", png(3, 64, 64))
    studio.put("selected/blind.mask.png", mask(64, 64))
    studio.put("selected/blind.ref.png", png(9, 64, 64))
    studio.put("selected/blind.toml", INPAINT + "references = true\n")
    assert "it cannot use reference pictures" in wait_for_note(studio, "selected/blind.png")


def test_the_second_pass_follows_the_control_picture_if_asked(studio: Studio) -> None:
    """Check a control picture in both passes, and a tile, which is the enlarged picture itself."""
    for name, control in (
        ("once", 'control = "depth"'),
        ("twice", 'control = { kind = "depth", refine = true }'),
        ("edged", 'control = { kind = "edges", refine = true }'),
    ):
        studio.put(f"inbox/{name}.png", png(3, 64, 64))
        if name != "edged":
            studio.put(f"inbox/{name}.control.depth.png", png(4, 64, 64))
        studio.put(f"inbox/{name}.toml", BRIEF + f'model = "sdxl"\nstrength = 0.8\nrefine = 2\n{control}\n')
    studio.until_idle()
    assert [studio.note(f"inbox/{name}.png") for name in ("once", "twice", "edged")] == [""] * 3
    assert studio.read("selected/once.png") != studio.read("selected/twice.png")
    tiles = {name: studio.first_step(f"inbox/{name}.png")["findings"]["refined_by"][0] for name in ("once", "twice", "edged")}
    assert ("control" in tiles["once"], tiles["twice"]["control"]["control"], tiles["edged"]["control"]["control"]) == (
        False,
        "depth",
        "edges",
    )


def test_a_reference_strength_that_cannot_be_used_is_refused_at_once(studio: Studio) -> None:
    """Check a family without adapters, one whose adapter is not here, and a step without a reference picture, also by ``check``."""
    for name, brief, sentence in (
        ("without-way", 'model = "klein"\nreference_strength = 0.5\n', "cannot follow reference pictures with a strength"),
        (
            "without-adapter",
            'model = "flux"\nreference_strength = 0.5\n',
            "no default model for reference pictures with a strength for the",
        ),
        ("without-picture", 'model = "sdxl"\nreference_strength = 0.5\n', "no reference picture beside the brief"),
    ):
        studio.put(f"inbox/{name}.png", png(3, 64, 64))
        if name != "without-picture":
            studio.put(f"inbox/{name}.ref.png", png(9, 64, 64))
        studio.put(f"inbox/{name}.toml", BRIEF + brief)
        assert sentence in wait_for_note(studio, f"inbox/{name}.png")


def test_the_layers_of_a_picture_lie_beside_the_result_as_its_sidecars(studio: Studio) -> None:
    """Check their names, sizes and alpha, that the result is the picture under them, and that the next stage uses one by name."""
    studio.put("inbox/cup.png", png(3, 96, 64))
    steps = '[[generate]]\nop = "regenerate"\nmodel = "split"\nlayers = 2\n[[edit]]\nop = "composite"\nlayers = [{ from = "part2" }]\n'
    studio.put("inbox/cup.toml", 'prompt = "a cup"\nseed = 7\n' + steps)
    studio.until_idle()
    assert [studio.note(path) for path in ("inbox/cup.png", "selected/cup.png")] == ["", ""]
    findings = studio.first_step("inbox/cup.png")["findings"]
    assert (findings["layers"], findings["made"]["family"]) == (["part1", "part2"], "qwen-image-layered")
    assert {"cup.png", "cup.layer.part1.png"} <= set(studio.folder("masked"))
    [path] = [path for path in studio.folder("archive") if path.endswith("cup.layer.part2.png")]
    layer = Image.open(io.BytesIO(studio.read(f"archive/{path}")))
    assert (layer.mode, layer.size) == ("RGBA", (96, 64))
