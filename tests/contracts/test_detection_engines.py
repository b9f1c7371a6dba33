"""Every detection engine in config/models.toml detects the content of photographs. An engine without its weights is skipped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from skimage import data, io

from goldsmith.engines.engine_loader import open_engine
from goldsmith.engines.kinds import FACE_DETECTOR, FACE_EMBEDDER, FACE_LANDMARKER, HAND_LANDMARKER, MATTE_ESTIMATOR, TEXT_READER
from goldsmith.engines.protocols import Device, EngineKind, EngineNeed, EngineT
from goldsmith.engines.registry.models import read_models
from goldsmith.engines.registry.weights_registry import WeightsRegistry, default_models_folder, fetch_command
from goldsmith.engines.vision import Points
from goldsmith.picture.picture import Pixels

WEIGHTS = WeightsRegistry(read_models(Path(__file__).parents[2] / "config" / "models.toml"), default_models_folder())


def _model_names(kind: EngineKind[Any]) -> list[str]:
    return [name for name, model in WEIGHTS.models.models.items() if model.kind == kind.name and model.driver != "null"]


def _open_or_skip(kind: EngineKind[EngineT], name: str) -> EngineT:
    if not WEIGHTS.is_available(name):
        pytest.skip(f"the weights of {name} are not here; run: {fetch_command(name)}")
    return open_engine(WEIGHTS, EngineNeed(kind, name), Device(threads=1))[0]


@cache
def photograph(name: str) -> Pixels:
    """Return one of scikit-image's pictures, (h, w, 3), display-encoded 0..1."""
    codes = io.imread(str(Path(data.__file__).parent / f"{name}.png")) if name == "page" else getattr(data, name)()
    codes = np.repeat(codes[:, :, None], 3, axis=2) if codes.ndim == 2 else codes[:, :, :3]
    pixels = codes.astype(np.float32) / np.float32(255)
    pixels.flags.writeable = False
    return cast("Pixels", pixels)


@pytest.mark.parametrize(
    "kind", [MATTE_ESTIMATOR, FACE_DETECTOR, FACE_LANDMARKER, HAND_LANDMARKER, TEXT_READER, FACE_EMBEDDER], ids=lambda kind: kind.name
)
def test_each_descriptor_matches_models_toml(kind: EngineKind[Any]) -> None:
    """The descriptor has the name, the kind, the licence and the weights' hashes."""
    for name in _model_names(kind):
        descriptor = _open_or_skip(kind, name).descriptor
        assert (descriptor.name, descriptor.kind, descriptor.licence) == (name, kind.name, WEIGHTS.models.models[name].licence)
        assert dict(descriptor.weights) == {file.name: file.sha256 for file in WEIGHTS.models.models[name].files}


@pytest.mark.parametrize("name", _model_names(MATTE_ESTIMATOR))
def test_a_matte_covers_the_person_and_not_the_wall(name: str) -> None:
    """The matte has the picture's size, is within 0..1 and is the same at every call."""
    estimator = _open_or_skip(MATTE_ESTIMATOR, name)
    matte = estimator.matte(photograph("astronaut"))
    assert (matte.shape, matte.dtype) == ((512, 512), np.float32)
    assert 0 <= matte.min() <= matte.max() <= 1
    assert matte[150:400, 180:260].mean() > 0.95  # face and chest
    assert matte[20:150, 300:360].mean() < 0.05  # the wall beside her
    assert np.array_equal(matte, estimator.matte(photograph("astronaut")))


@pytest.mark.parametrize("name", [name for name in _model_names(MATTE_ESTIMATOR) if name != "modnet"])
def test_a_matte_covers_the_cup_and_not_the_table(name: str) -> None:
    """Models for objects detect more than people; the short side may be odd."""
    matte = _open_or_skip(MATTE_ESTIMATOR, name).matte(photograph("coffee")[:399])
    assert matte.shape == (399, 600)
    assert matte[100:300, 220:380].mean() > 0.95
    assert matte[:60, :150].mean() < 0.05


@pytest.mark.parametrize("name", _model_names(FACE_DETECTOR))
def test_the_only_face_in_a_picture_is_detected(name: str) -> None:
    """Its eyes, nose and mouth are in the right places, at any size of the picture."""
    detector = _open_or_skip(FACE_DETECTOR, name)
    [face] = detector.detect(photograph("astronaut"))
    x, y, wide, high = face.box
    assert (x, y, x + wide, y + high) == pytest.approx((178, 63, 268, 176), abs=12)
    (left_eye, right_eye, nose, left_mouth, right_mouth) = face.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_eye[1] < nose[1] < left_mouth[1]
    assert left_mouth[0] < right_mouth[0]
    assert 0.8 <= face.score <= 1
    [large] = detector.detect(np.repeat(np.repeat(photograph("astronaut"), 6, axis=0), 6, axis=1))
    assert np.array(large.box) / 6 == pytest.approx(np.array(face.box), abs=6)


@pytest.mark.parametrize("name", _model_names(FACE_DETECTOR))
@pytest.mark.parametrize("side", [300, 800, 1600, 3200])
def test_a_face_that_fills_the_picture_is_detected(name: str, side: int) -> None:
    """It is detected once, in the right place, at every size."""
    import cv2

    close_up = photograph("astronaut")[50:190, 155:295]
    [face] = _open_or_skip(FACE_DETECTOR, name).detect(cv2.resize(close_up, (side, side), interpolation=cv2.INTER_LINEAR))
    x, y, wide, high = (number * 140 / side for number in face.box)
    assert (x + 155, y + 50, x + wide + 155, y + high + 50) == pytest.approx((178, 63, 268, 176), abs=14)


@pytest.mark.parametrize("name", _model_names(FACE_DETECTOR))
@pytest.mark.parametrize("picture", ["chelsea", "coffee", "rocket", "page"])
def test_no_face_is_detected_in_a_picture_without_people(name: str, picture: str) -> None:
    """A cat's face does not count."""
    assert _open_or_skip(FACE_DETECTOR, name).detect(photograph(picture)) == ()


@pytest.mark.parametrize("name", _model_names(FACE_LANDMARKER))
def test_a_mesh_lies_on_its_face(name: str) -> None:
    """The tip of the nose and the corners of the eyes among the 478 points are where the detector places them; a wall has no mesh."""
    pixels = photograph("astronaut")
    [face] = _open_or_skip(FACE_DETECTOR, "yunet").detect(pixels)
    landmarker = _open_or_skip(FACE_LANDMARKER, name)
    mesh = landmarker.mesh(pixels, face)
    assert mesh is not None
    assert (mesh.shape, mesh.dtype) == ((478, 2), np.float32)
    assert mesh[4] == pytest.approx(face.landmarks[2], abs=8)
    assert mesh[[33, 133]].mean(axis=0) == pytest.approx(face.landmarks[0], abs=5)
    assert mesh[[263, 362]].mean(axis=0) == pytest.approx(face.landmarks[1], abs=5)
    assert landmarker.mesh(photograph("coffee"), face) is None


@pytest.mark.parametrize("name", _model_names(FACE_LANDMARKER))
def test_a_mesh_follows_a_rotated_face(name: str) -> None:
    """The rotated picture gives the same points, rotated."""
    pixels = photograph("astronaut")
    [face] = _open_or_skip(FACE_DETECTOR, "yunet").detect(pixels)
    landmarker = _open_or_skip(FACE_LANDMARKER, name)
    upright = landmarker.mesh(pixels, face)
    x, y, wide, high = face.box
    rotated_face = type(face)((512 - y - high, x, high, wide), _clockwise(face.landmarks), face.score)
    rotated = landmarker.mesh(np.ascontiguousarray(np.rot90(pixels, -1)), rotated_face)
    assert upright is not None
    assert rotated is not None
    assert np.abs(rotated - _clockwise(upright)).max() < 2


def _clockwise(points: Points) -> Points:
    return np.stack([512 - points[:, 1], points[:, 0]], axis=1)


@pytest.mark.parametrize("name", _model_names(HAND_LANDMARKER))
@pytest.mark.parametrize("picture", ["astronaut", "chelsea", "coffee", "page"])
def test_no_hand_is_detected_in_a_picture_without_hands(name: str, picture: str) -> None:
    """Sleeves, paws and cups are not taken for hands."""
    assert _open_or_skip(HAND_LANDMARKER, name).detect(photograph(picture)) == ()


@pytest.mark.parametrize("name", _model_names(TEXT_READER))
def test_the_lines_of_a_page_are_read_in_order(name: str) -> None:
    """The lines come from top to bottom, each with its position."""
    lines = _open_or_skip(TEXT_READER, name).read(photograph("page"))
    texts = [line.text for line in lines]
    assert texts[0] == "Region-based segmentation"
    assert texts[2].startswith("background. These markers are pixels")
    assert all(line.score > 0.9 for line in lines)
    tops = [float(line.corners[0, 1]) for line in lines]
    assert tops == sorted(tops)
    assert lines[0].corners[:, 0].min() < 20
    assert lines[0].corners[:, 1].max() < 45


@pytest.mark.parametrize("name", _model_names(TEXT_READER))
@pytest.mark.parametrize("picture", ["astronaut", "chelsea", "coffee"])
def test_no_text_is_read_in_a_picture_without_text(name: str, picture: str) -> None:
    """Fur and stripes are not read as letters."""
    assert _open_or_skip(TEXT_READER, name).read(photograph(picture)) == ()


@pytest.mark.parametrize("name", _model_names(FACE_EMBEDDER))
def test_an_embedding_distinguishes_faces(name: str) -> None:
    """The same person in another light, size and rotation has a similar embedding; a cat's face has not."""
    pixels = photograph("astronaut")
    [face] = _open_or_skip(FACE_DETECTOR, "yunet").detect(pixels)
    embedder = _open_or_skip(FACE_EMBEDDER, name)
    embedding = embedder.embed(pixels, face)
    assert float(embedding @ embedding) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(embedding, embedder.embed(pixels, face))
    rotated_face = type(face)(face.box, _clockwise(face.landmarks), face.score)
    assert float(embedding @ embedder.embed(np.ascontiguousarray(np.rot90(pixels, -1)), rotated_face)) > 0.98
    assert float(embedding @ embedder.embed(pixels**1.4, face)) > 0.9
    large_face = type(face)(face.box, face.landmarks * 3, face.score)
    assert float(embedding @ embedder.embed(np.repeat(np.repeat(pixels, 3, axis=0), 3, axis=1), large_face)) > 0.95
    cat = np.array([(157, 110), (222, 110), (190, 146), (170, 175), (208, 175)], np.float32)
    assert float(embedding @ embedder.embed(photograph("chelsea"), type(face)(face.box, cat, 1.0))) < 0.3


@pytest.mark.parametrize("name", ["sface"])
def test_an_embedding_agrees_with_opencv(name: str) -> None:
    """OpenCV's own code for the same model gives nearly the same vector."""
    import cv2

    pixels = photograph("astronaut")
    [face] = _open_or_skip(FACE_DETECTOR, "yunet").detect(pixels)
    embedding = _open_or_skip(FACE_EMBEDDER, name).embed(pixels, face)
    opencv = cv2.FaceRecognizerSF.create(str(WEIGHTS.path_of(WEIGHTS.models.get(name).files[0])), "")
    row = np.array([*face.box, *face.landmarks.reshape(-1), face.score], np.float32)
    codes = np.ascontiguousarray((pixels[:, :, ::-1] * 255).round().astype(np.uint8))
    expected = opencv.feature(opencv.alignCrop(codes, row))[0]
    assert float(embedding @ expected / np.linalg.norm(expected)) > 0.98
