"""The masks and the layers in a picture's own file, and a mask in its alpha: steps use them as they use files beside the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doubles.jobs import FAULTY, Share
from doubles.layered_files import (
    LAYERED_FORMATS,
    SUFFIXES,
    Layer,
    LayeredFormat,
    gradient,
    make_file,
    make_psd,
    mask_codes,
    plain,
    png_bytes,
)
from goldsmith.jobs.job import Job, Outcome, OutputFile
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.picture.codec import decode
from goldsmith.picture.picture import PixelCodes
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.job_runner import run_job

BASE = Layer("base", gradient())
MASK = Layer("mask", mask_codes(), is_visible=False)
LOGO = Layer("layer logo", np.dstack([plain(250, 6, 5), plain(255, 6, 5, 1)]), 15, 9)
INSIDE = mask_codes()[:, :, 0] > 0


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


def run(share: Share, *steps: tuple[str, dict[str, Any]], name: str = "inbox/hero.psd", data: bytes = b"", **more: Any) -> Outcome:
    """Run steps on a picture; the operations are those of the doubles."""
    return _run(_job(share, name, data, *steps, **more), FAULTY)


def _job(share: Share, name: str, data: bytes, *steps: tuple[str, dict[str, Any]], **more: Any) -> Job:
    share.put(name, data)
    beside = more.pop("beside", {})
    inputs = [share.job_input(name)]
    for role, (file, content) in beside.items():
        share.put(f"inbox/{file}", content)
        inputs.append(share.job_input(f"inbox/{file}", role, "mask" if role == "mask" else ""))
    return share.job(*steps, inputs=inputs, **more)


def _run(job: Job, config: WorkerConfig) -> Outcome:
    return run_job(job, EngineProvider(config, WorkerSpec(queue="cpu")), lambda progress: None, lambda: False)


def output(outcome: Outcome, tail: str) -> OutputFile:
    assert outcome.fault is None, outcome.fault
    return next(each for each in outcome.outputs if each.tail == tail)


def codes(outcome: Outcome, tail: str = ".png") -> PixelCodes:
    """Return the codes of an output file."""
    return decode(Path(output(outcome, tail).path).read_bytes(), tail, 10_000).to_codes()


@pytest.mark.parametrize("kind", LAYERED_FORMATS)
def test_a_step_changes_the_picture_inside_the_mask_of_its_own_file(share: Share, kind: LayeredFormat) -> None:
    """Outside it not one code changes; the result is a PNG, and the mask is used up."""
    data = make_file(kind, [BASE, MASK])
    outcome = run(share, ("fill", {}), name=f"inbox/hero{SUFFIXES[kind]}", data=data)
    result = codes(outcome)
    assert np.array_equal(result[~INSIDE], BASE.codes[~INSIDE])
    assert (result[INSIDE] != BASE.codes[INSIDE]).mean() > 0.9
    assert outcome.steps[0].findings["outside_changed"] == 0
    assert [each.tail for each in outcome.outputs] == [".png"]
    assert outcome.consumed_masks == ()


def test_a_named_mask_is_found_by_its_name(share: Share) -> None:
    """In a layer as in a file."""
    data = make_psd([BASE, Layer("hero.mask.Sky", mask_codes(), is_visible=False)])
    assert np.array_equal(codes(run(share, ("fill", {"mask": "sky"}), data=data))[~INSIDE], BASE.codes[~INSIDE])


def test_a_mask_in_the_file_and_one_beside_it_are_united(share: Share) -> None:
    """As several files are; the file beside it is consumed."""
    right = mask_codes((18, 2, 22, 14))
    outcome = run(share, ("fill", {}), data=make_psd([BASE, MASK]), beside={"mask": ("hero.mask.png", png_bytes(right))})
    both = INSIDE | (right[:, :, 0] > 0)
    result = codes(outcome)
    assert np.array_equal(result[~both], BASE.codes[~both])
    assert (result[both] != BASE.codes[both]).mean() > 0.9
    assert (outcome.consumed_masks, outcome.consumed_files) == (("mask",), ("inbox/hero.mask.png",))


def test_a_mask_that_is_missing_is_asked_for_as_a_file_or_a_layer(share: Share) -> None:
    """Only a file that can have layers is told of one."""
    fault = run(share, ("fill", {"mask": "sky"}), data=make_psd([BASE, MASK])).fault
    assert fault is not None
    assert "needs the mask hero.mask.sky.png, which is missing" in fault.sentence
    assert fault.remedy == "Paint it, white where the picture is to change, or as a layer called “mask sky” in hero.psd."


def test_a_layer_that_cannot_be_a_mask_is_refused_like_a_file(share: Share) -> None:
    """A photograph that was called mask by mistake."""
    noise = np.random.default_rng(0).integers(0, 256, (600, 800, 3)).astype(np.uint8)
    base = Layer("base", gradient(800, 600))
    fault = run(share, ("fill", {}), data=make_psd([base, Layer("mask", noise, is_visible=False)], size=(800, 600))).fault
    assert fault is not None
    assert "the layer “mask” of hero.psd" in fault.sentence


def test_masks_and_layers_that_no_step_used_move_on_as_files(share: Share) -> None:
    """The result cannot hold them."""
    data = make_psd([BASE, LOGO, Layer("mask sky", mask_codes(), is_visible=False)])
    outcome = run(share, ("invert", {}), data=data)
    assert [(each.role, each.tail) for each in outcome.outputs] == [
        ("mask", ".mask.sky.png"),
        ("layer", ".layer.logo.png"),
        ("picture", ".png"),
    ]
    assert np.array_equal(codes(outcome, ".mask.sky.png")[:, :, 0] > 0, INSIDE)
    assert np.array_equal(codes(outcome, ".layer.logo.png")[9:14, 15:21], LOGO.codes[:, :, :3])


def test_a_file_that_no_step_changes_goes_on_with_everything_in_it(share: Share) -> None:
    """Byte for byte, and nothing beside it."""
    outcome = run(share, ("pass", {}), data=make_psd([BASE, LOGO, MASK]))
    assert outcome.is_unchanged
    assert outcome.outputs == ()


def test_composite_takes_a_layer_from_the_picture_s_own_file(share: Share) -> None:
    """At its place; then it is used up."""
    step = ("composite", {"layers": [{"from": "logo"}]})
    outcome = _run(_job(share, "inbox/hero.psd", make_psd([BASE, LOGO], gradient()), step), WorkerConfig())
    expected = BASE.codes.copy()
    expected[9:14, 15:21] = 250
    assert np.array_equal(codes(outcome), expected)
    assert [each.tail for each in outcome.outputs] == [".png"]


def test_remarks_about_the_layers_are_on_record(share: Share) -> None:
    """From there they reach the manifest and the status file."""
    outcome = run(share, ("invert", {}), data=make_psd([BASE, Layer("old", plain(3), is_visible=False)]))
    assert outcome.facts["notes"] == ["it has a hidden layer (“old”), which the picture is without"]


def hole() -> bytes:
    """Return a PNG that is transparent inside the mask."""
    return png_bytes(np.dstack([gradient(), np.where(INSIDE, 0, 255).astype(np.uint8)]))


def test_the_hole_in_the_alpha_can_be_the_mask(share: Share) -> None:
    """The result is opaque, and outside the hole it is the picture."""
    outcome = run(share, ("fill", {}), name="inbox/hero.png", data=hole(), mask_from="alpha")
    assert outcome.facts["alpha"] is True
    result = codes(outcome)
    assert result.shape[2] == 3
    assert np.array_equal(result[~INSIDE], BASE.codes[~INSIDE])
    assert decode(Path(output(outcome, ".png").path).read_bytes(), "hero.png", 10_000).alpha is None


def test_the_alpha_stays_if_no_step_needs_a_mask(share: Share) -> None:
    """The setting travels with the brief through all stages."""
    outcome = run(share, ("invert", {}), name="inbox/hero.png", data=hole(), mask_from="alpha")
    assert decode(Path(output(outcome, ".png").path).read_bytes(), "hero.png", 10_000).alpha is not None


@pytest.mark.parametrize(
    ("alpha", "words"), [(255, "is to come from its alpha, but it has no transparent part"), (0, "is transparent all over")]
)
def test_an_alpha_without_a_hole_is_no_mask(share: Share, alpha: int, words: str) -> None:
    """Nor is a picture that is nothing but a hole."""
    data = png_bytes(np.dstack([gradient(), plain(alpha, channels=1)]))
    fault = run(share, ("fill", {}), name="inbox/hero.png", data=data, mask_from="alpha").fault
    assert fault is not None
    assert words in fault.sentence
