"""A picture waits for its layers, which lie beside it or in the library; used layers are archived and recorded."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from doubles.jobs import Share, picture, png
from doubles.studio import Studio, studio_at
from goldsmith.brief.brief import Availability
from goldsmith.brief.pipeline import missing_layer, read_pipeline
from goldsmith.brief.resolve import Resolver
from goldsmith.errors import InputError
from goldsmith.files import resource_path
from goldsmith.jobs.job import Outcome
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.library.layers import find_layer
from goldsmith.library.library import Library
from goldsmith.picture import profiles
from goldsmith.picture.codec import decode
from goldsmith.pipeline.intake.bundle import group_bundles
from goldsmith.pipeline.scheduler.readiness import Readiness, ReadinessResult, Waiting
from goldsmith.pipeline.stage_work import Ready
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.job_runner import run_job

COMP = '[[grade]]\nop = "composite"\nlayers = [{ from = "Logo" }, { element = "rain" }]\n'
ENGINES = EngineProvider(WorkerConfig(), WorkerSpec(queue="cpu"))
RED = np.full((4, 6, 3), (1.0, 0.0, 0.0), np.float32)
GREEN = np.full((4, 6, 3), (0.0, 1.0, 0.0), np.float32)


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as new_studio:
        yield new_studio


def check_readiness(*names: str, library: tuple[str, ...] = ()) -> ReadinessResult:
    """Return the readiness of hero.png in masked/ with a comp as its brief; ``library`` lists the existing files, as folder/name."""
    pipeline = read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "pipeline.toml")
    availability = Availability(None, lambda folder, name, suffixes: f"{folder}/{name}" in library, lambda folder, suffixes: [])

    def recipe(name: str) -> tuple[bytes, str]:
        raise InputError(f"There is no recipe {name}.")

    bundle = group_bundles("masked", "", ["hero.png", "hero.toml", *names])[0]
    return Readiness(pipeline, Resolver(pipeline, recipe, availability), lambda path: COMP.encode()).check(bundle)


def comp(share: Share, *layers: dict[str, Any], sidecars: dict[str, bytes] | None = None) -> Outcome:
    """Return the outcome of a comp on inbox/hero.png with these layers."""
    share.put("inbox/hero.png", png(picture()))
    inputs = [share.job_input("inbox/hero.png")]
    for name, data in (sidecars or {}).items():
        share.put(f"inbox/hero.layer.{name}.png", data)
        inputs.append(share.job_input(f"inbox/hero.layer.{name}.png", "layer", name))
    return run_job(share.job(("composite", {"layers": list(layers)}), inputs=inputs), ENGINES, lambda progress: None, lambda: False)


def result_pixels(outcome: Outcome) -> np.ndarray:
    """Return the pixels of the resulting picture, (height, width, channels), 0..1."""
    (output,) = [output for output in outcome.outputs if output.role == "picture"]
    return decode(Path(output.path).read_bytes(), "hero.png", 10_000).pixels


def test_a_picture_waits_for_a_missing_layer_by_name() -> None:
    """Check that the sentence names the step and both places for the layer."""
    result = check_readiness()
    assert result == Waiting(
        "Waiting for the layer “Logo” (step 1 of grade needs it): put “hero.layer.Logo.png” beside it, "
        "or a picture called “Logo” into library/plates/ or library/logos/.",
        depends_on_library=True,
    )


def test_a_layer_of_another_name_does_not_end_the_wait() -> None:
    """Put other layers beside the picture and into the library."""
    assert isinstance(check_readiness("hero.layer.other.png", library=("logos/other",)), Waiting)


@pytest.mark.parametrize("layer_files", [(("hero.layer.logo.png",), ()), ((), ("plates/Logo",)), ((), ("logos/Logo",))])
def test_a_layer_beside_the_picture_or_in_the_library_ends_the_wait(layer_files: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    """Check that case does not matter."""
    names, library = layer_files
    assert isinstance(check_readiness(*names, library=library), Ready)


def test_the_first_step_that_lacks_a_layer_is_named() -> None:
    """Check two steps that both need the layer."""
    ready = check_readiness("hero.layer.logo.png")
    assert isinstance(ready, Ready)
    steps = (*ready.steps, *ready.steps)
    assert missing_layer("grade", steps, lambda name: False) == ("Logo", "waiting for the layer “Logo” (step 1 of grade needs it)")
    assert missing_layer("grade", steps, lambda name: True) == ("", "")


def test_the_picture_s_own_layer_has_precedence_and_is_archived(share: Share) -> None:
    """Check that the layer replaces the library's layer, that it is consumed, and that its hash is recorded."""
    layer = png(RED)
    share.put("library/logos/logo.png", png(GREEN))
    outcome = comp(share, {"from": "LOGO"}, sidecars={"logo": layer})
    assert outcome.fault is None
    assert np.array_equal(result_pixels(outcome)[2:6, 3:9], RED)
    assert outcome.consumed_files == ("inbox/hero.layer.logo.png",)
    findings = outcome.steps[0].findings
    assert findings["references"] == {"hero.layer.logo.png": hashlib.sha256(layer).hexdigest()}
    assert findings["layers"] == [{"layer": 1, "source": "LOGO", "mode": "normal", "box": [3, 2, 6, 4], "coverage": 0.25}]


def test_plates_have_precedence_over_logos(share: Share) -> None:
    """Check that a library file is not consumed, and that its folder and hash are recorded."""
    share.put("library/logos/mark.png", png(GREEN))
    share.put("library/plates/mark.png", png(RED))
    outcome = comp(share, {"from": "mark"})
    assert np.array_equal(result_pixels(outcome)[2:6, 3:9], RED)
    assert outcome.consumed_files == ()
    assert outcome.steps[0].findings["references"] == {"plates/mark.png": hashlib.sha256(png(RED)).hexdigest()}


def test_a_layer_that_is_not_a_picture_is_a_problem(share: Share) -> None:
    """Check that the sentence names the file."""
    outcome = comp(share, {"from": "logo"}, sidecars={"logo": b"not a picture at all"})
    assert outcome.fault is not None
    assert outcome.fault.kind == "problem"
    assert "hero.layer.logo.png" in outcome.fault.sentence


def test_no_pixel_changes_outside_the_masks_of_all_layers(share: Share) -> None:
    """Give each layer its own mask and read the worker's findings."""
    layers = ({"element": "haze", "mask": "left", "density": 4}, {"from": "logo", "mask": "box(0, 0, 0.5, 0.5)"})
    outcome = comp(share, *layers, sidecars={"logo": png(RED)})
    findings = outcome.steps[0].findings
    assert (findings["outside_pixels"], findings["outside_changed"]) == (48, 0)


def test_the_nearest_layer_in_the_library_is_suggested(tmp_path: Path) -> None:
    """Ask for a misspelt name, then for one that resembles no layer."""
    (tmp_path / "library/logos").mkdir(parents=True)
    (tmp_path / "library/logos/acme-mark.png").write_bytes(b"")
    with pytest.raises(InputError, match="no layer “acme-mrak”") as misspelt:
        find_layer(Library(tmp_path), "acme-mrak")
    assert misspelt.value.remedy == "Did you mean “acme-mark”?"
    with pytest.raises(InputError) as unknown:
        find_layer(Library(tmp_path), "moon")
    assert "moon.png into library/plates/ or library/logos/" in unknown.value.remedy


def test_large_layers_and_links_are_refused(tmp_path: Path) -> None:
    """Refuse both, because the library is as untrusted as a brief."""
    library, large = Library(tmp_path), tmp_path / "library/plates/large.png"
    large.parent.mkdir(parents=True)
    large.write_bytes(bytes(1001))
    assert len(library.read_file(large, 1001)) == 1001
    assert len(library.read_file(large, 1 << 50)) == 1001  # a high limit allocates no more memory than the file needs
    with pytest.raises(InputError, match=r"library/plates/large\.png has 1,001 bytes; a file of this kind has at most 1,000 bytes"):
        library.read_file(large, 1000)
    large.with_name("link.png").symlink_to(large)
    with pytest.raises(InputError, match=r"link\.png is not an ordinary file"):
        library.read_file(large.with_name("link.png"), 10_000)


def test_a_layer_that_arrives_later_starts_the_job(studio: Studio) -> None:
    """Check that no note is written before, and that the layer is in the archive afterwards."""
    studio.put("masked/hero.png", png(picture()))
    studio.put("masked/hero.toml", COMP)
    studio.until_idle()
    assert studio.folders() == {"masked": ["hero.png", "hero.toml"]}
    studio.put("masked/hero.layer.logo.png", png(RED))
    studio.until(lambda: "hero.png" in studio.folder("graded"), "the comp")
    studio.until_idle()
    assert "masked/hero.layer.logo.png" in studio.archived()
    assert studio.folder("masked") == []


def test_a_layer_that_arrives_in_the_library_starts_the_job(studio: Studio) -> None:
    """Add the layer to the library while the picture's folder does not change."""
    studio.put("masked/hero.png", png(picture()))
    studio.put("masked/hero.toml", COMP)
    studio.until_idle()
    studio.put("library/logos/logo.png", png(RED))
    studio.until(lambda: "hero.png" in studio.folder("graded"), "the comp")
    assert (studio.root / "library/logos/logo.png").exists()


def test_what_was_unusual_about_a_layer_is_on_record(share: Share) -> None:
    """A layer's remarks stand under its name; a layer whose colours are unknown holds the picture."""
    srgb = profiles.builtin_profile("srgb")
    out = io.BytesIO()
    Image.new("L", (6, 4), 90).save(out, "PNG", icc_profile=srgb)
    step = comp(share, {"from": "logo"}, sidecars={"logo": out.getvalue()}).steps[0]
    assert step.findings["notes"] == {"hero.layer.logo.png": ["its grey has the RGB profile “sRGB IEC61966-2.1” and is read by it"]}
    assert "notes" not in comp(share, {"from": "logo"}, sidecars={"logo": png(RED)}).steps[0].findings
    out = io.BytesIO()
    Image.new("RGB", (6, 4)).save(out, "PNG", icc_profile=srgb[:200])
    fault = comp(share, {"from": "logo"}, sidecars={"logo": out.getvalue()}).fault
    assert fault is not None
    assert "hero.layer.logo.png has a colour profile that is cut off" in fault.sentence
