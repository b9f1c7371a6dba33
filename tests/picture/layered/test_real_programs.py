"""The documents of the real programs: what GIMP and Krita draw is what is read."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from doubles.layered_files import Codes, Layer, gradient, make_psd, make_xcf, mask_codes, png_bytes
from goldsmith.picture.codec import decode, decode_layers, decode_with_info, open_parts
from goldsmith.picture.layered import gimp_modes
from goldsmith.picture.picture import Picture

MAX_PIXELS, MAX_BYTES = 1_000_000, 1 << 26
WIDTH, HEIGHT = 96, 80
# The modes that are composed, without the one that passes through.
MODES = sorted(gimp_modes._BLENDINGS)
GIMP, KRITA = shutil.which("gimp-console"), shutil.which("krita")
needs_gimp = pytest.mark.skipif(GIMP is None, reason="gimp-console is not installed")
needs_krita = pytest.mark.skipif(KRITA is None or shutil.which("xvfb-run") is None, reason="krita or xvfb-run is not installed")
# Saves an image of two layers in one mode as XCF, and what GIMP shows of it as PNG.
ONE_MODE = """(define (one mode out)
 (let* ((image (car (gimp-image-new-with-precision 96 80 RGB PRECISION-U8-GAMMA)))
        (base (car (gimp-file-load-layer RUN-NONINTERACTIVE image "base.png")))
        (top (car (gimp-file-load-layer RUN-NONINTERACTIVE image "top.png"))))
  (gimp-image-insert-layer image base 0 -1) (gimp-image-insert-layer image top 0 -1)
  (gimp-layer-set-offsets top 15 10) (gimp-layer-set-mode top mode) (gimp-layer-set-opacity top 80)
  (gimp-xcf-save RUN-NONINTERACTIVE image top out out)
  (let ((flat (car (gimp-image-merge-visible-layers image CLIP-TO-IMAGE))))
   (file-png-save-defaults RUN-NONINTERACTIVE image flat (string-append out ".png") "x"))
  (gimp-image-delete image)))"""
# Saves a document as XCF and PSD, and what GIMP shows of it as PNG.
CONVERT = """(define (convert in out)
 (let* ((image (car (gimp-file-load RUN-NONINTERACTIVE in in))) (layer (car (gimp-image-get-active-drawable image))))
  (gimp-xcf-save RUN-NONINTERACTIVE image layer (string-append out ".xcf") "x")
  (file-psd-save RUN-NONINTERACTIVE image layer (string-append out ".psd") "x" 0 0)
  (let ((flat (car (gimp-image-merge-visible-layers image CLIP-TO-IMAGE))))
   (file-png-save-defaults RUN-NONINTERACTIVE image flat (string-append out ".png") "x"))
  (gimp-image-delete image)))"""


def run_gimp(folder: Path, script: str) -> None:
    """Run a script in a folder, which is GIMP's home too."""
    command = [str(GIMP), "-i", "-d", "-f", "-c", "-b", f"(begin {script} (gimp-quit 0))".replace("\n", " ")]
    environment = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config")}
    subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=600, check=False)


def run_krita(folder: Path, source: str, target: str) -> None:
    """Let Krita save a document under another name; it needs a screen."""
    (folder / "run").mkdir(mode=0o700, exist_ok=True)
    environment = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder / "run")}
    command = ["xvfb-run", "-a", str(KRITA), "--export", "--export-filename", str(folder / target), str(folder / source)]
    subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=600, check=False)


def read(path: Path) -> Picture:
    return decode(path.read_bytes(), path.name, MAX_PIXELS)


def largest_difference(picture: Picture, drawing: Picture) -> float:
    """Return the largest difference between two pictures in codes of 255, where they are visible."""
    ones = np.ones((picture.height, picture.width), np.float32)
    alphas = [ones if each.alpha is None else each.alpha for each in (picture, drawing)]
    colours = np.abs(picture.pixels - drawing.pixels) * alphas[1][:, :, None]
    return 255 * max(float(colours.max()), float(np.abs(alphas[0] - alphas[1]).max()))


def noise(channels: int) -> Codes:
    result = np.random.default_rng(3).integers(0, 256, (60, 70, channels)).astype(np.uint8)
    result[:, :, 3] = np.linspace(0, 255, 70).astype(np.uint8)
    return result


@needs_gimp
@pytest.mark.soak
@pytest.mark.parametrize("ground", ["opaque", "transparent"])
def test_every_mode_of_gimp_is_composed_as_gimp_draws_it(tmp_path: Path, ground: str) -> None:
    """Within one code of 255, over opaque and over half transparent ground."""
    base = gradient(WIDTH, HEIGHT, 3 if ground == "opaque" else 4)
    (tmp_path / "base.png").write_bytes(png_bytes(base))
    (tmp_path / "top.png").write_bytes(png_bytes(noise(4)))
    run_gimp(tmp_path, ONE_MODE + " ".join(f'(one {mode} "{mode}.xcf")' for mode in MODES))
    differences = {mode: largest_difference(read(tmp_path / f"{mode}.xcf"), read(tmp_path / f"{mode}.xcf.png")) for mode in MODES}
    assert {mode: value for mode, value in differences.items() if value > 1.01} == {}


@needs_gimp
@pytest.mark.parametrize("depth", [8, 16])
def test_a_document_comes_back_from_gimp_with_all_its_layers(tmp_path: Path, depth: int) -> None:
    """As XCF and as PSD: the picture that GIMP shows, names, groups, masks and codes."""
    top = gradient(40, 30, 4, depth)
    layers = [Layer("Original", gradient(WIDTH, HEIGHT, 3, depth)), Layer("Größe 한 🙂", top, 20, -10, 200 / 255)]
    mask = gradient(25, 20, 1, depth)[:, :, 0]
    data = make_psd(layers, size=(WIDTH, HEIGHT), groups={"Größe 한 🙂": "Edits"}, masks={"Größe 한 🙂": ((22, -5), mask)})
    (tmp_path / "hero.psd").write_bytes(data)
    run_gimp(tmp_path, CONVERT + '(convert "hero.psd" "out")')
    drawing = read(tmp_path / "out.png")
    for suffix in (".xcf", ".psd"):
        path = tmp_path / f"out{suffix}"
        assert largest_difference(read(path), drawing) <= 1.01
        file = decode_layers(path.read_bytes(), path.name, MAX_PIXELS, MAX_BYTES)
        assert [(layer.name, layer.group_path) for layer in file.layers] == [("Original", ()), ("Größe 한 🙂", ("Edits",))]
        assert np.array_equal(file.layers[0].pixels, layers[0].codes)
        visible = top[:, :, 3] > 0
        assert np.array_equal(file.layers[1].pixels[visible], top[visible][:, :3])
        assert file.layers[1].opacity == pytest.approx(200 / 255, abs=1e-3)


@needs_gimp
def test_gimp_opens_the_xcf_files_of_these_tests(tmp_path: Path) -> None:
    """They are documents like its own: GIMP shows what is read."""
    layers = [Layer("base", gradient(WIDTH, HEIGHT)), Layer("top", gradient(40, 30, 4), 20, 10, 0.5)]
    saved = {"mask": gradient(WIDTH, HEIGHT, 1)[:, :, 0]}
    data = make_xcf(layers, (WIDTH, HEIGHT), modes={"top": 28}, masks={"top": gradient(40, 30, 1)[:, :, 0]}, channels=saved)
    (tmp_path / "hero.xcf").write_bytes(data)
    run_gimp(tmp_path, CONVERT + '(convert "hero.xcf" "out")')
    assert largest_difference(read(tmp_path / "hero.xcf"), read(tmp_path / "out.png")) <= 1.01
    (part,) = open_parts((tmp_path / "out.xcf").read_bytes(), "out.xcf", MAX_PIXELS)
    assert np.array_equal(part.decode().to_codes()[:, :, 0], saved["mask"])


@needs_krita
@pytest.mark.soak
@pytest.mark.parametrize("depth", [8, 16])
def test_a_document_comes_back_from_krita_with_all_its_layers(tmp_path: Path, depth: int) -> None:
    """As Krita's own file and as OpenRaster; a hidden mask stays one."""
    top = gradient(40, 30, 4, depth)
    mask = Layer("mask", mask_codes() if depth == 8 else mask_codes().astype(np.uint16) * np.uint16(257), is_visible=False)
    layers = [Layer("Original", gradient(WIDTH, HEIGHT, 3, depth)), Layer("Größe 한 🙂", top, 20, -10, 200 / 255), mask]
    (tmp_path / "hero.psd").write_bytes(make_psd(layers, size=(WIDTH, HEIGHT), has_merge=False))
    expected = read(tmp_path / "hero.psd")
    run_krita(tmp_path, "hero.psd", "out.kra")
    picture, info = decode_with_info((tmp_path / "out.kra").read_bytes(), "out.kra", MAX_PIXELS)
    assert largest_difference(picture, expected) <= (1.01 if depth == 8 else 0.01)
    assert info.depth == depth
    file = decode_layers((tmp_path / "out.kra").read_bytes(), "out.kra", MAX_PIXELS, MAX_BYTES)
    assert [layer.name for layer in file.layers] == ["Original", "Größe 한 🙂", "mask"]
    assert np.array_equal(file.layers[0].pixels, layers[0].codes)
    (part,) = open_parts((tmp_path / "out.kra").read_bytes(), "out.kra", MAX_PIXELS)
    assert part.label == "mask"
    if depth == 8:
        run_krita(tmp_path, "hero.psd", "out.ora")
        assert largest_difference(read(tmp_path / "out.ora"), expected) <= 1.01
