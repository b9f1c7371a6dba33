"""Layers from file to file: waited for, found beside the picture or in the library, used up, on record."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doubles.jobs import Share, picture, png
from doubles.studio import Studio, studio_at
from goldsmith.brief.brief import Availability
from goldsmith.brief.pipeline import missing_layer, read_pipeline
from goldsmith.brief.resolve import Resolver
from goldsmith.errors import InputError
from goldsmith.files import resource_path
from goldsmith.jobs.job import Outcome
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.library.layers import find_layer, read_layer
from goldsmith.library.library import Library
from goldsmith.picture.codec import decode
from goldsmith.pipeline.intake.bundle import group_bundles
from goldsmith.pipeline.scheduler.readiness import Readiness, ReadinessResult, Ready, Waiting
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.job_runner import run_job

COMP = '[[grade]]\nop = "composite"\nlayers = [{ from = "Logo" }, { element = "rain" }]\n'
SHOP = EngineProvider(WorkerConfig(), WorkerSpec(queue="cpu"))
RED = np.full((4, 6, 3), (1.0, 0.0, 0.0), np.float32)
GREEN = np.full((4, 6, 3), (0.0, 1.0, 0.0), np.float32)


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as made:
        yield made


def verdict(*names: str, library: tuple[str, ...] = ()) -> ReadinessResult:
    """On hero.png in masked/ with a comp for its brief; ``library`` are shelf/name pairs that are there."""
    line = read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "pipeline.toml")
    stock = Availability(None, lambda shelf, name, suffixes: f"{shelf}/{name}" in library, lambda shelf, suffixes: [])

    def recipe(name: str) -> tuple[bytes, str]:
        raise InputError(f"There is no recipe {name}.")

    bundle = group_bundles("masked", "", ["hero.png", "hero.toml", *names])[0]
    return Readiness(line, Resolver(line, recipe, stock), lambda path: COMP.encode()).check(bundle)


def comp(share: Share, *layers: dict[str, Any], sidecars: dict[str, bytes] | None = None) -> Outcome:
    """The outcome of a comp on inbox/hero.png, with these layers beside it."""
    share.put("inbox/hero.png", png(picture()))
    inputs = [share.given("inbox/hero.png")]
    for name, data in (sidecars or {}).items():
        share.put(f"inbox/hero.layer.{name}.png", data)
        inputs.append(share.given(f"inbox/hero.layer.{name}.png", "layer", name))
    return run_job(share.job(("composite", {"layers": list(layers)}), inputs=inputs), SHOP, lambda progress: None, lambda: False)


def laid(outcome: Outcome) -> np.ndarray:
    (output,) = [output for output in outcome.outputs if output.role == "picture"]
    return decode(Path(output.path).read_bytes(), "hero.png", 10_000).pixels


def test_a_missing_layer_is_waited_for_with_its_name() -> None:
    """The step, what to put where, and that the library would do as well."""
    found = verdict()
    assert found == Waiting(
        "Waiting for the layer “Logo” (step 1 of grade needs it): put “hero.layer.Logo.png” beside it, "
        "or a picture called “Logo” into library/plates/ or library/logos/.",
        depends_on_library=True,
    )


def test_another_layer_is_not_the_one() -> None:
    """Only its own name ends the wait."""
    assert isinstance(verdict("hero.layer.other.png", library=("logos/other",)), Waiting)


@pytest.mark.parametrize("there", [(("hero.layer.logo.png",), ()), ((), ("plates/Logo",)), ((), ("logos/Logo",))])
def test_a_layer_beside_the_picture_or_in_the_library_is_there(there: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    """Names are compared as file names are, without case."""
    names, library = there
    assert isinstance(verdict(*names, library=library), Ready)


def test_the_first_step_that_lacks_one_is_named() -> None:
    """In the order of the steps, and of names within one."""
    found = verdict("hero.layer.logo.png")
    assert isinstance(found, Ready)
    steps = (*found.steps, *found.steps)
    assert missing_layer("grade", steps, lambda name: False) == ("Logo", "waiting for the layer “Logo” (step 1 of grade needs it)")
    assert missing_layer("grade", steps, lambda name: True) == ("", "")


def test_the_picture_s_own_layer_is_laid_used_up_and_on_record(share: Share) -> None:
    """It stands before the library's, goes to the archive with the step, and its hash is in the record."""
    own = png(RED)
    share.put("library/logos/logo.png", png(GREEN))
    outcome = comp(share, {"from": "LOGO"}, sidecars={"logo": own})
    assert outcome.fault is None
    assert np.array_equal(laid(outcome)[2:6, 3:9], RED)
    assert outcome.consumed_files == ("inbox/hero.layer.logo.png",)
    findings = outcome.steps[0].findings
    assert findings["references"] == {"hero.layer.logo.png": hashlib.sha256(own).hexdigest()}
    assert findings["layers"] == [{"layer": 1, "of": "LOGO", "mode": "normal", "box": [3, 2, 6, 4], "coverage": 0.25}]


def test_plates_stand_before_logos_and_stay(share: Share) -> None:
    """What lies in the library is not used up; its shelf and its hash are on record."""
    share.put("library/logos/mark.png", png(GREEN))
    share.put("library/plates/mark.png", png(RED))
    outcome = comp(share, {"from": "mark"})
    assert np.array_equal(laid(outcome)[2:6, 3:9], RED)
    assert outcome.consumed_files == ()
    assert outcome.steps[0].findings["references"] == {"plates/mark.png": hashlib.sha256(png(RED)).hexdigest()}


def test_a_layer_that_is_no_picture_is_the_bundle_s_problem(share: Share) -> None:
    """The sentence names the file."""
    outcome = comp(share, {"from": "logo"}, sidecars={"logo": b"not a picture at all"})
    assert outcome.fault is not None
    assert outcome.fault.kind == "problem"
    assert "hero.layer.logo.png" in outcome.fault.sentence


def test_the_lane_counts_that_nothing_changed_outside_a_layer_s_mask(share: Share) -> None:
    """Law 4 for layers that have one each: outside of all of them, not one pixel."""
    layers = ({"element": "haze", "mask": "left", "density": 4}, {"from": "logo", "mask": "box(0, 0, 0.5, 0.5)"})
    outcome = comp(share, *layers, sidecars={"logo": png(RED)})
    findings = outcome.steps[0].findings
    assert (findings["outside_pixels"], findings["outside_changed"]) == (48, 0)


def test_the_nearest_name_in_the_library_is_offered(tmp_path: Path) -> None:
    """On either shelf; where nothing is near, what to put where."""
    (tmp_path / "library/logos").mkdir(parents=True)
    (tmp_path / "library/logos/acme-mark.png").write_bytes(b"")
    with pytest.raises(InputError, match="no layer “acme-mrak”") as near:
        find_layer(Library(tmp_path), "acme-mrak")
    assert near.value.remedy == "Did you mean “acme-mark”?"
    with pytest.raises(InputError) as far:
        find_layer(Library(tmp_path), "moon")
    assert "moon.png into library/plates/ or library/logos/" in far.value.remedy


def test_a_file_too_large_or_a_link_is_not_read(tmp_path: Path) -> None:
    """A library is as untrusted as a brief."""
    large = tmp_path / "large.png"
    large.write_bytes(bytes(1001))
    assert len(read_layer(large, 1001)) == 1001
    assert len(read_layer(large, 1 << 50)) == 1001  # no more memory than the file needs
    with pytest.raises(InputError, match=r"large\.png has more than"):
        read_layer(large, 1000)
    (tmp_path / "link.png").symlink_to(large)
    with pytest.raises(InputError, match="not an ordinary file"):
        read_layer(tmp_path / "link.png", 10_000)


def test_a_layer_that_comes_later_sets_the_picture_going(studio: Studio) -> None:
    """Beside the picture: no note meanwhile, and the layer is in the archive afterwards."""
    studio.put("masked/hero.png", png(picture()))
    studio.put("masked/hero.toml", COMP)
    studio.until_idle()
    assert studio.folders() == {"masked": ["hero.png", "hero.toml"]}
    studio.put("masked/hero.layer.logo.png", png(RED))
    studio.until(lambda: "hero.png" in studio.folder("graded"), "the comp")
    studio.until_idle()
    assert "masked/hero.layer.logo.png" in studio.archived()
    assert studio.folder("masked") == []


def test_a_layer_that_comes_into_the_library_does_so_too(studio: Studio) -> None:
    """Nothing beside the picture has changed."""
    studio.put("masked/hero.png", png(picture()))
    studio.put("masked/hero.toml", COMP)
    studio.until_idle()
    studio.put("library/logos/logo.png", png(RED))
    studio.until(lambda: "hero.png" in studio.folder("graded"), "the comp")
    assert (studio.root / "library/logos/logo.png").exists()
