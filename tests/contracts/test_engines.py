"""Every model in config/models.toml keeps the contract of its protocol. A model whose weights are not on this machine is skipped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from skimage.data import astronaut

from doubles.fenced import run_fenced
from goldsmith.engines.diffusion.families import FAMILIES
from goldsmith.engines.engine_loader import driver_names, open_engine
from goldsmith.engines.kinds import GENERATOR, INPAINTER, UPSCALER
from goldsmith.engines.protocols import Device, EngineDescriptor, EngineNeed, EngineT, Inpainter, Upscaler
from goldsmith.engines.registry.models import read_models
from goldsmith.engines.registry.weights_registry import WeightsRegistry, default_models_folder, fetch_command
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.tiling import Tiling, upscale_by_tiles

CONFIG = Path(__file__).parents[2] / "config"
WEIGHTS = WeightsRegistry(read_models(CONFIG / "models.toml"), default_models_folder())
INPAINTERS = [name for name, model in WEIGHTS.models.models.items() if model.kind == "inpaint"]
UPSCALERS = [name for name, model in WEIGHTS.models.models.items() if model.kind == "upscale"]


def _require_weights(name: str) -> str:
    if not WEIGHTS.is_available(name):
        pytest.skip(f"the weights of {name} are not here; run: {fetch_command(name)}")
    return name


def _open(need: EngineNeed[EngineT], scratch: Path) -> EngineT:
    """Open an engine behind the fence of a worker process."""
    return run_fenced(lambda: open_engine(WEIGHTS, need, Device(threads=1))[0], scratch)


@pytest.fixture(params=INPAINTERS)
def inpainter(request: pytest.FixtureRequest, scratch: Path) -> Inpainter:
    return _open(EngineNeed(INPAINTER, _require_weights(request.param)), scratch)


@pytest.fixture(params=UPSCALERS)
def upscaler(request: pytest.FixtureRequest, scratch: Path) -> Upscaler:
    return _open(EngineNeed(UPSCALER, _require_weights(request.param), factor=2), scratch)


@pytest.fixture(params=[*INPAINTERS, *UPSCALERS])
def descriptor(request: pytest.FixtureRequest, scratch: Path) -> EngineDescriptor:
    name = _require_weights(request.param)
    engine: Inpainter | Upscaler
    if name in INPAINTERS:
        engine = _open(EngineNeed(INPAINTER, name), scratch)
    else:
        engine = _open(EngineNeed(UPSCALER, name, factor=2), scratch)
    return engine.descriptor


def _picture(height: int, width: int) -> Pixels:
    """Return a red-to-blue gradient with a little texture, (h, w, 3), display-encoded 0..1, which an engine can continue."""
    rng = np.random.default_rng(7)
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    slope = np.stack([across / width, np.full_like(across, 0.4), 1 - across / width], axis=2)
    texture = 0.05 * np.sin(down / 3)[..., None] + rng.normal(0, 0.01, (height, width, 1))
    pixels = np.clip(slope * 0.8 + 0.1 + texture, 0, 1).astype(np.float32)
    pixels.flags.writeable = False
    return cast("Pixels", pixels)


def _photograph(height: int, width: int) -> Pixels:
    """Return a face, hair and a soft background, (h, w, 3), display-encoded 0..1, as upscaling models expect."""
    pixels = astronaut()[40 : 40 + height, 130 : 130 + width].astype(np.float32) / np.float32(255)
    return cast("Pixels", pixels)


def _hole(height: int, width: int) -> Mask:
    hole = np.zeros((height, width), np.float32)
    hole[height // 3 : height // 2, width // 3 : width // 2] = 1
    hole.flags.writeable = False
    return hole


def _size(engine: Inpainter) -> tuple[int, int]:
    side = engine.descriptor.side
    return (side, side) if side else (90, 131)


def test_an_inpainter_returns_pixels_of_the_same_size(inpainter: Inpainter) -> None:
    """The pixels are float32, finite and within 0..1."""
    size = _size(inpainter)
    filled = inpainter.fill(_picture(*size), _hole(*size), 3)
    assert filled.dtype == np.float32
    assert filled.shape == (*size, 3)
    assert np.isfinite(filled).all()
    assert filled.min() >= 0
    assert filled.max() <= 1


def test_an_inpainter_ignores_the_pixels_inside_the_hole(inpainter: Inpainter) -> None:
    """A magenta blot in the hole gives the same filling, and the filling is not magenta."""
    size = _size(inpainter)
    hole = _hole(*size)
    picture = _picture(*size)
    blotted = picture.copy()
    blotted[hole > 0.5] = (1.0, 0.0, 1.0)
    filled = inpainter.fill(blotted, hole, 3)[hole > 0.5]
    assert np.array_equal(filled, inpainter.fill(picture, hole, 3)[hole > 0.5])
    assert np.abs(filled - picture[hole > 0.5]).mean() < np.abs(blotted - picture)[hole > 0.5].mean() / 2


def test_an_inpainter_gives_the_same_pixels_for_the_same_seed(inpainter: Inpainter) -> None:
    """A call with another seed in between makes no difference, and the input is not changed."""
    size = _size(inpainter)
    picture, hole = _picture(*size), _hole(*size)
    before = picture.copy()
    first = inpainter.fill(picture, hole, 3)
    inpainter.fill(picture, hole, 4)
    assert np.array_equal(first, inpainter.fill(picture, hole, 3))
    assert np.array_equal(picture, before)


def test_an_upscaler_enlarges_by_its_scale(upscaler: Upscaler) -> None:
    """The result is float32, within 0..1 and exactly ``scale`` times as high and wide, also for oblong tiles."""
    multiple, scale = upscaler.descriptor.multiple, upscaler.descriptor.scale
    tile = _picture(12 * multiple, 17 * multiple)
    enlarged = upscaler.enlarge(tile)
    assert enlarged.dtype == np.float32
    assert enlarged.shape == (tile.shape[0] * scale, tile.shape[1] * scale, 3)
    assert np.isfinite(enlarged).all()
    assert enlarged.min() >= 0
    assert enlarged.max() <= 1


def test_an_upscaler_keeps_position_and_colours(upscaler: Upscaler) -> None:
    """Averaged down to its old size, a photograph is neither shifted nor mirrored and has the same colours."""
    scale = upscaler.descriptor.scale
    tile = _photograph(64, 80)
    enlarged = upscaler.enlarge(tile)
    reduced = enlarged.reshape(64, scale, 80, scale, 3).mean(axis=(1, 3))
    difference = np.abs(reduced - tile)[4:-4, 4:-4].mean()
    assert difference < 0.04
    assert difference < np.abs(tile[:, 1:] - tile[:, :-1]).mean()


def test_an_upscaler_gives_the_same_pixels_for_the_same_tile(upscaler: Upscaler) -> None:
    """The tile is not changed."""
    tile = _picture(24, 32)
    before = tile.copy()
    assert np.array_equal(upscaler.enlarge(tile), upscaler.enlarge(tile))
    assert np.array_equal(tile, before)


def test_tiles_with_the_required_context_meet_without_a_seam(upscaler: Upscaler) -> None:
    """A tile with ``pad`` px of context equals the same part of the whole picture within two codes of 255 on average."""
    descriptor, scale = upscaler.descriptor, upscaler.descriptor.scale
    pad, core = descriptor.pad, 32
    picture = _photograph(core, core + 4 * (pad + 8))
    start = (picture.shape[1] - core) // 4 * 2
    whole = upscaler.enlarge(picture)[:, start * scale : (start + core) * scale]
    tile = upscaler.enlarge(picture[:, start - pad : start + core + pad])[:, pad * scale : (pad + core) * scale]
    assert np.abs(whole - tile).mean() * 255 < 2


def test_joined_tiles_show_no_step(upscaler: Upscaler) -> None:
    """No seam adds to the whole picture a step larger than the picture's own steps, or a line of one code."""
    descriptor = upscaler.descriptor
    side = 2 * descriptor.pad + 64
    picture = _photograph(32, side + 64)
    whole = upscaler.enlarge(picture)
    joined = upscale_by_tiles(
        picture, upscaler.enlarge, Tiling(side, descriptor.pad, descriptor.multiple, descriptor.scale), lambda fraction: None
    )
    own_steps, added_steps = np.diff(whole, axis=1) * 255, np.diff(joined - whole, axis=1) * 255
    assert np.abs(added_steps).max() < np.percentile(np.abs(own_steps), 99)
    assert np.abs(added_steps.mean(axis=(0, 2))).max() < 1


def test_an_engine_describes_itself_completely(descriptor: EngineDescriptor) -> None:
    """Name, kind, scale, licence and the hash of every weights file are those of models.toml; the threads are on record."""
    model = WEIGHTS.models.models[descriptor.name]
    assert (descriptor.kind, descriptor.scale, descriptor.licence) == (model.kind, model.scale, model.licence)
    assert descriptor.weights == tuple((file.name, file.sha256) for file in model.files)
    assert descriptor.multiple >= 1
    assert descriptor.side % descriptor.multiple == 0
    assert descriptor.pad % descriptor.multiple == 0
    assert re.match(r"cpu", descriptor.device)
    assert not descriptor.weights or descriptor.device.endswith("1 thread")


def test_every_driver_has_a_model() -> None:
    """A driver that no model in models.toml or in the manual's examples uses is dead code."""
    documented = set(re.findall(r'^driver = "(\w+)"', (CONFIG.parent / "docs" / "models.md").read_text(), re.MULTILINE))
    configured = {model.driver for model in WEIGHTS.models.models.values()}
    assert configured | documented == set(driver_names())
    assert set(driver_names()) - configured == {"birefnet", "swapper"}, "only the weights of these come from the user"


# The licences whose text, with the makers' names, must come with the weights: by driver, the text and the makers.
LICENCE_TEXTS = {
    "migan": ("MI-GAN.txt", "Picsart AI Research"),
    "esrgan_onnx": ("Real-ESRGAN.txt", "Xintao Wang"),
    "esrgan_ncnn": ("Real-ESRGAN.txt", "Xintao Wang"),
    "yunet": ("YuNet.txt", "Shiqi Yu"),
    "sface": ("SFace.txt", "Yaoyao Zhong"),
}


def test_every_weights_file_has_two_sources() -> None:
    """One source may disappear."""
    for name, model in WEIGHTS.models.models.items():
        assert all(len(file.sources) >= 2 for file in model.files), name


def test_weights_come_with_the_licence_text_that_names_their_makers() -> None:
    """MIT and BSD require the notice; every model with such a licence has its text beside models.toml, and no text is without a model."""
    drivers = {model.driver for model in WEIGHTS.models.models.values() if model.files and model.licence in ("MIT", "BSD-3-Clause")}
    assert drivers <= LICENCE_TEXTS.keys()
    for file, makers in LICENCE_TEXTS.values():
        assert makers in (CONFIG / "licences" / file).read_text()
    assert {path.name for path in (CONFIG / "licences").iterdir()} == {file for file, _ in LICENCE_TEXTS.values()}


GENERATORS = [name for name, model in WEIGHTS.models.models.items() if model.kind == "generate" and model.driver != "null"]


def test_every_promised_model_family_has_an_entry() -> None:
    """The names in [names] stand for models that may be used commercially."""
    families = {WEIGHTS.models.models[name].diffusion.family for name in GENERATORS}  # type: ignore[union-attr]
    assert families >= {"sdxl", "sdxl-inpaint", "sd3", "flux", "flux-fill", "flux-kontext", "flux2-klein", "z-image", "krea2"}
    assert families >= {"qwen-image", "qwen-image-edit-plus"}
    assert set(WEIGHTS.models.names) == {"premium", "fill", "fast"}
    assert {WEIGHTS.models.get(name).commercial for name in WEIGHTS.models.names} == {"yes"}


@pytest.mark.parametrize("name", GENERATORS)
def test_an_entry_has_a_family_that_the_driver_runs(name: str) -> None:
    """It claims no ability that the family lacks."""
    diffusion = WEIGHTS.models.models[name].diffusion
    assert diffusion is not None
    assert diffusion.family in FAMILIES
    assert set(diffusion.can) <= set(FAMILIES[diffusion.family].calls)
    for ability in diffusion.can:
        assert WEIGHTS.models.models[name].can_serve(EngineNeed(INPAINTER if ability == "inpaint" else GENERATOR, can=frozenset({ability})))


@pytest.mark.parametrize("name", GENERATORS)
def test_an_entry_states_its_terms(name: str) -> None:
    """A licence of the maker's own has its terms in a sentence; a well-known free licence needs none."""
    model = WEIGHTS.models.models[name]
    assert bool(model.terms) == model.licence.startswith("LicenseRef-")
    assert model.commercial == "yes" or model.terms
    assert model.repository is not None
    assert model.diffusion is not None
    assert model.diffusion.tried == "tiny random weights"
    smallest = 640 * 640 if model.diffusion.can == ("layers",) else 1280 * 720
    assert smallest <= model.diffusion.pixels <= 2048 * 2048


def test_every_entry_that_allows_paid_work_is_in_the_defaults() -> None:
    """Any downloaded model serves steps that name no model, unless paid work with it needs another licence."""
    defaults = WEIGHTS.models.defaults
    generators = {name for name in GENERATORS if set(WEIGHTS.models.models[name].diffusion.can) & {"text", "image", "edit", "layers"}}  # type: ignore[union-attr]
    inpainters = {name for name in GENERATORS if WEIGHTS.models.models[name].can_serve(EngineNeed(INPAINTER, needs_prompt=True))}
    forbidden = {name for name in GENERATORS if WEIGHTS.models.models[name].commercial in ("no", "not said")}
    assert {"flux-dev", "flux2-klein-9b"} <= forbidden
    assert set(defaults.candidates(EngineNeed(GENERATOR))) == generators - forbidden
    assert set(defaults.inpaint_words) == inpainters - forbidden
