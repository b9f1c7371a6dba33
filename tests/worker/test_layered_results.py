"""Jobs whose results have layers: what each stage hands on, what the next one makes of it, and what is exported."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from psd_tools import PSDImage

from doubles.jobs import Share, picture, png
from goldsmith.jobs.job import Outcome
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.ops.export import Export
from goldsmith.picture.codec import decode, decode_layers
from goldsmith.picture.layered.layered_file import LayerBox
from goldsmith.picture.layered.psd_write import write_layers as write_psd
from goldsmith.picture.metadata.identity import read_identity
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.job_runner import run_job

LIMIT = 10**6
SHARPEN = ("sharpen", {"where": "mask", "amount": 300})
GRADE = ("grade", {"saturation": 0.4})
EXPORT = ("export", {"format": "psd", "name": "layers"})


@pytest.fixture
def share(tmp_path: Path) -> Share:
    share = Share(tmp_path)
    share.put("models.toml", b"")
    share.put("selected/hero.png", png(picture(48, 64)))
    share.put("selected/hero.mask.png", png(box_mask(48, 64)))
    return share


def box_mask(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), np.float32)
    mask[10:20, 15:30] = 1
    return mask


PAIR = ("selected/hero.png", "selected/hero.mask.png")


def run(share: Share, *steps: tuple[str, dict[str, Any]], inputs: tuple[str, ...] = PAIR, **job: Any) -> Outcome:
    config = WorkerConfig(models_file=str(share.root / "models.toml"), weights_folder=str(share.root))
    provider = EngineProvider(config, WorkerSpec(queue="cpu", threads=1))
    roles = [share.job_input(name, "mask" if ".mask." in name else "picture") for name in inputs]
    outcome = run_job(share.job(*steps, inputs=roles, **{"working": "psd", **job}), provider, lambda progress: None, lambda: False)
    assert outcome.fault is None, outcome.fault
    return outcome


def file_of(outcome: Outcome, role: str = "picture") -> bytes:
    (output,) = [output for output in outcome.outputs if output.role == role]
    return Path(output.path).read_bytes()


def tree(data: bytes) -> list[tuple[str, str]]:
    return [(layer.name, layer.kind) for layer in PSDImage.open(io.BytesIO(data)).descendants()]


def test_a_stage_hands_on_the_original_with_its_steps_over_it(share: Share) -> None:
    """In one group, and no other file beside it."""
    outcome = run(share, SHARPEN, GRADE)
    assert [output.tail for output in outcome.outputs] == [".psd"]
    assert tree(file_of(outcome)) == [("Original", "pixel"), ("edit", "group"), ("Sharpen", "pixel"), ("Grade", "pixel")]


def test_the_flat_picture_is_that_of_a_png(share: Share) -> None:
    """Bit for bit, in both formats with layers."""
    flat = [decode(file_of(run(share, SHARPEN, GRADE, working=working)), "hero", LIMIT).pixels for working in ("png", "psd", "ora")]
    assert np.array_equal(flat[0], flat[1])
    assert np.array_equal(flat[0], flat[2])


def test_the_next_stage_lays_its_group_over_the_layers_that_it_got(share: Share) -> None:
    """A second run of a stage has a number."""
    share.put("masked/hero.psd", file_of(run(share, SHARPEN)))
    data = file_of(run(share, GRADE, inputs=("masked/hero.psd",), stage="grade"))
    assert [name for name, _ in tree(data)] == ["Original", "edit", "Sharpen", "grade", "Grade"]
    again = file_of(run(share, ("sharpen", {}), inputs=("masked/hero.psd",)))
    assert [name for name, _ in tree(again)] == ["Original", "edit", "Sharpen", "edit 2", "Sharpen"]


def test_a_file_goes_through_three_stages_and_its_layers_give_its_flat_picture(share: Share) -> None:
    """The last one exports it."""
    share.put("masked/hero.psd", file_of(run(share, SHARPEN)))
    share.put("graded/hero.psd", file_of(run(share, GRADE, inputs=("masked/hero.psd",), stage="grade")))
    data = file_of(run(share, EXPORT, inputs=("graded/hero.psd",), stage="deliver", deliver=True), "deliverable")
    document = PSDImage.open(io.BytesIO(data))
    assert [name for name, _ in tree(data)] == ["Original", "edit", "Sharpen", "grade", "Grade"]
    composed = np.asarray(document.composite(ignore_preview=True, apply_icc=False).convert("RGB")).astype(int)
    assert np.abs(composed - np.round(np.asarray(document.numpy("color")) * 255)).max() <= 1


def test_work_goes_on_on_the_flat_picture_of_a_file_that_was_painted_on(share: Share) -> None:
    """A person has changed the lowest layer and the flat picture: the new layers lie over hers."""
    from goldsmith.picture.codec import EncodingOptions, encode_layers
    from goldsmith.picture.layered.picture_layers import PictureLayers

    before = file_of(run(share, SHARPEN))
    layers = decode_layers(before, "hero.psd", LIMIT, 10**9).layers
    hers_flat = decode(before, "hero.psd", LIMIT)
    pixels = hers_flat.pixels.copy()
    pixels[30:40, 5:15] = 1
    hers_flat = hers_flat.with_pixels(pixels)
    hers = layers[0].pixels.copy()
    hers[30:40, 5:15] = 255
    layers = (replace(layers[0], pixels=hers, name="painted"), *layers[1:])
    share.put("masked/hero.psd", encode_layers(hers_flat, EncodingOptions("psd"), PictureLayers(layers)))
    after = file_of(run(share, ("sharpen", {"where": "box(0, 0, 0.2, 0.2)", "amount": 300}), inputs=("masked/hero.psd",)))
    assert [name for name, _ in tree(after)] == ["painted", "edit", "Sharpen", "edit 2", "Sharpen: box(0, 0, 0.2, 0.2)"]
    assert np.array_equal(decode(after, "hero.psd", LIMIT).pixels[20:], hers_flat.pixels[20:])
    assert np.array_equal(decode_layers(after, "hero.psd", LIMIT, 10**9).layers[0].pixels, hers)


@pytest.mark.parametrize("working", ["psd", "ora"])
def test_an_enlargement_keeps_the_layers_at_the_new_size(share: Share, working: str) -> None:
    """Decoded from the file, scaled, and written anew."""
    share.put(f"masked/hero.{working}", file_of(run(share, SHARPEN, working=working)))
    outcome = run(share, ("resize", {"factor": 2, "enlarge": True}), inputs=(f"masked/hero.{working}",), working=working, stage="grade")
    file = decode_layers(file_of(outcome), "hero", LIMIT, 10**9)
    assert [(layer.name, layer.group_path, layer.is_visible) for layer in file.layers] == [
        ("Original", (), True),
        ("Sharpen", ("edit",), True),
        ("Resize", ("grade",), True),
    ]
    assert (file.layers[0].box.width, file.layers[1].box) == (128, LayerBox(30, 20, 60, 40))


def test_a_crop_merges_the_layers_and_says_so(share: Share) -> None:
    """Whatever the step cuts away."""
    share.put("masked/hero.psd", file_of(run(share, SHARPEN)))
    outcome = run(share, ("resize", {"size": [20, 20], "mode": "fill"}), inputs=("masked/hero.psd",), stage="grade")
    assert tree(file_of(outcome)) == [("Resize", "pixel")]
    assert "its layers were merged by the step “Resize”, whose result they do not fit" in outcome.facts["notes"]  # type: ignore[operator]


def test_layers_of_one_format_go_on_in_the_other(share: Share) -> None:
    """Those of pixels, with their groups."""
    share.put("masked/hero.psd", file_of(run(share, SHARPEN)))
    data = file_of(run(share, GRADE, inputs=("masked/hero.psd",), stage="grade", working="ora"))
    names = [(layer.name, layer.group_path) for layer in decode_layers(data, "hero.ora", LIMIT, 10**9).layers]
    assert names == [("Original", ()), ("Sharpen", ("edit",)), ("Grade", ("grade",))]


def test_a_mask_that_no_step_has_used_stays_a_hidden_layer(share: Share) -> None:
    """No file beside the result repeats it."""
    layers = decode_layers(file_of(run(share, SHARPEN)), "hero.psd", LIMIT, 10**9)
    codes = np.zeros((48, 64, 3), np.uint8)
    codes[:20] = 255
    sky = replace(layers.layers[0], name="mask sky", pixels=codes)
    share.put("masked/hero.psd", write_psd(replace(layers, layers=(*layers.layers, sky))))
    outcome = run(share, GRADE, inputs=("masked/hero.psd",), stage="grade")
    assert [output.tail for output in outcome.outputs] == [".psd"]
    visible_by_name = {layer.name: layer.is_visible for layer in decode_layers(file_of(outcome), "hero.psd", LIMIT, 10**9).layers}
    assert visible_by_name == {"Original": True, "Sharpen": True, "mask sky": False, "Grade": True}


def test_a_mask_of_a_file_that_a_step_has_used_is_gone_from_its_layers(share: Share) -> None:
    """The archive has the file as it was."""
    layers = decode_layers(file_of(run(share, SHARPEN)), "hero.psd", LIMIT, 10**9)
    codes = np.zeros((48, 64, 3), np.uint8)
    codes[20:30, 20:30] = 255
    mask = replace(layers.layers[0], name="mask", pixels=codes, is_visible=False)
    share.put("masked/hero.psd", write_psd(replace(layers, layers=(*layers.layers, mask))))
    outcome = run(share, SHARPEN, inputs=("masked/hero.psd",))
    assert [name for name, _ in tree(file_of(outcome))] == ["Original", "edit", "Sharpen", "edit 2", "Sharpen"]


def test_a_stage_that_changes_nothing_hands_the_file_itself_on(share: Share) -> None:
    """Byte for byte, with everything in it."""
    share.put("masked/hero.psd", file_of(run(share, SHARPEN)))
    outcome = run(share, ("grade", {}), inputs=("masked/hero.psd",), stage="grade")
    assert (outcome.is_unchanged, outcome.outputs) == (True, ())


def test_a_transparent_picture_comes_through_a_psd_bit_for_bit(share: Share) -> None:
    """Photoshop keeps it over white; each of its codes comes back."""
    from goldsmith.picture.codec import EncodingOptions, encode
    from goldsmith.picture.picture import Picture, freeze

    codes = np.random.default_rng(5).integers(0, 256, (48, 64, 4)) / np.float32(255)
    source = Picture(freeze(codes[:, :, :3].astype(np.float32)), freeze(codes[:, :, 3].astype(np.float32)))
    share.put("selected/glass.png", encode(source, EncodingOptions()))
    results = [decode(file_of(run(share, GRADE, inputs=("selected/glass.png",), working=kind)), "hero", LIMIT) for kind in ("png", "psd")]
    assert np.array_equal(results[0].pixels, results[1].pixels)
    assert results[0].alpha is not None
    assert results[1].alpha is not None
    assert np.array_equal(results[0].alpha, results[1].alpha)


def test_the_id_of_a_file_is_in_its_xmp_and_the_next_stage_knows_it(share: Share) -> None:
    """So its history goes on."""
    first = run(share, SHARPEN)
    share.put("masked/hero.psd", file_of(first))
    second = run(share, GRADE, inputs=("masked/hero.psd",), stage="grade")
    (output,) = first.outputs
    assert output.document_id
    assert output.document_id in second.identity.ids[0]
    assert read_identity(decode(file_of(second), "hero.psd", LIMIT).metadata).ids != second.identity.ids


def test_the_same_job_gives_the_same_bytes(share: Share) -> None:
    """In both formats."""
    for working in ("psd", "ora"):
        assert file_of(run(share, SHARPEN, GRADE, working=working)) == file_of(run(share, SHARPEN, GRADE, working=working))


def test_an_export_of_another_size_has_one_layer_and_a_remark(share: Share) -> None:
    """The layers do not fit it."""
    share.put("graded/hero.psd", file_of(run(share, SHARPEN)))
    small = ("export", {"format": "psd", "name": "small", "size": [20, 20]})
    outcome = run(share, small, inputs=("graded/hero.psd",), stage="deliver", deliver=True)
    assert tree(file_of(outcome, "deliverable")) == [("Picture", "pixel")]
    assert outcome.steps[0].findings["remark"] == "its layers were merged, because the export changes its size"
    assert outcome.outputs[0].facts["layered"] is False


def test_an_export_of_a_picture_without_layers_has_the_layers_of_its_stage(share: Share) -> None:
    """They are collected for the export alone."""
    data = file_of(run(share, SHARPEN, EXPORT, stage="deliver", deliver=True, working="png"), "deliverable")
    assert [name for name, _ in tree(data)] == ["Original", "deliver", "Sharpen"]


@pytest.mark.parametrize("kind", ["psd", "ora"])
def test_a_merged_export_holds_nothing_but_the_picture(share: Share, kind: str) -> None:
    """Neither the layers of the file that came in nor those of the stage are in it."""
    share.put("graded/hero.psd", file_of(run(share, SHARPEN)))
    merged = ("export", {"format": kind, "name": "flat", "layers": "merged"})
    outcome = run(share, GRADE, merged, inputs=("graded/hero.psd",), stage="deliver", deliver=True, working="png")
    (output,) = outcome.outputs
    data = Path(output.path).read_bytes()
    file = decode_layers(data, f"hero.{kind}", LIMIT, 10**9)
    flat = decode(data, f"hero.{kind}", LIMIT).to_codes()
    assert [layer.name for layer in file.layers] == ["Picture"]
    assert np.array_equal(file.layers[0].pixels, flat)
    assert output.facts["layered"] is False
    assert "remark" not in outcome.steps[-1].findings


def test_only_files_with_layers_can_be_merged() -> None:
    """A PNG has none, and the sentence says which formats do."""
    with pytest.raises(ValueError, match="png has no layers, so layers = “merged” does nothing; it is for psd or ora"):
        Export(format="png", layers="merged")


def test_nothing_is_collected_if_no_file_has_layers(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would cost time and memory."""
    from goldsmith.worker import stage_layers

    monkeypatch.setattr(stage_layers, "StageLayers", None)
    assert [output.tail for output in run(share, SHARPEN, working="png").outputs] == [".png"]
    merged = ("export", {**EXPORT[1], "layers": "merged"})
    assert [output.tail for output in run(share, merged, working="png", deliver=True).outputs] == ["_layers.psd"]
