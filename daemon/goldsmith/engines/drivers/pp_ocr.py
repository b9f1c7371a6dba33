"""PP-OCR (Li et al., "PP-OCRv3: More Attempts for the Improvement of Ultra Lightweight OCR System", 2022; here the networks of v6).

One network gives the probability that a px lies in the core of a line of text (Liao et al., "Real-time Scene Text Detection with
Differentiable Binarization", AAAI 2020); another reads each line, cropped upright. Upside-down lines are not rotated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from goldsmith.engines.drivers._onnx import describe_threads, open_session, weights_hashes
from goldsmith.engines.protocols import Device, EngineDescriptor, ModelFiles
from goldsmith.engines.registry.models import Model
from goldsmith.engines.vision import Points, TextLine, TextReader
from goldsmith.errors import InputError
from goldsmith.picture.picture import Mask, Pixels

if TYPE_CHECKING:
    import onnxruntime

# For detection: px to which a longer side is reduced, and px to which a shorter side is enlarged.
_MAX_LONG_SIDE, _MIN_SHORT_SIDE = 1600, 480
_MULTIPLE = 32
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)
# Minimum probability of a px in a core, and minimum mean over a core.
_MIN_CORE_PROBABILITY, _MIN_LINE_SCORE = 0.3, 0.6
# A line extends beyond its core by this factor times the core's area over its perimeter.
_UNCLIP_RATIO = 1.6
# Maximum number of lines in one picture.
_MAX_LINES = 500
# For recognition: the height of a line and its maximum width, in px.
_LINE_HEIGHT, _MAX_LINE_WIDTH = 48, 3200
# Minimum mean confidence of a line's letters.
_MIN_TEXT_SCORE = 0.5


class PpOcr:
    """A text reader: one network detects the lines, another reads each of them."""

    def __init__(
        self,
        descriptor: EngineDescriptor,
        detector: onnxruntime.InferenceSession,
        recogniser: onnxruntime.InferenceSession,
        charset: list[str],
    ) -> None:
        self.descriptor = descriptor
        self._detector = detector
        self._recogniser = recogniser
        self._charset = charset

    def read(self, pixels: Pixels) -> tuple[TextLine, ...]:
        """Return the lines of text in the picture, (h, w, 3), 0..1, sRGB, in reading order."""
        lines = []
        for corners in self._detect_lines(pixels):
            text, score = self._recognise(_crop_upright(pixels, corners))
            if text.strip() and score >= _MIN_TEXT_SCORE:
                lines.append(TextLine(corners, text, score))
        return tuple(_reading_order(lines))

    def _detect_lines(self, pixels: Pixels) -> Iterator[Points]:
        import cv2

        height, width = pixels.shape[:2]
        scale = min(_MAX_LONG_SIDE / max(height, width), max(1.0, _MIN_SHORT_SIDE / min(height, width)))
        wide, high = (max(_MULTIPLE, round(side * scale / _MULTIPLE) * _MULTIPLE) for side in (width, height))
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        probability = _run_net(
            self._detector, (np.asarray(cv2.resize(pixels, (wide, high), interpolation=interpolation), np.float32) - _MEAN) / _STD
        )[0]
        for corners in _line_boxes(probability.reshape(high, wide)):
            yield (corners * [width / wide, height / high]).astype(np.float32)

    def _recognise(self, line: Pixels) -> tuple[str, float]:
        """Return the text and its confidence by greedy CTC decoding: a repeated letter counts once, index 0 is blank."""
        import cv2

        width = min(_MAX_LINE_WIDTH, max(_LINE_HEIGHT, math.ceil(_LINE_HEIGHT * line.shape[1] / line.shape[0])))
        interpolation = cv2.INTER_AREA if line.shape[0] > _LINE_HEIGHT else cv2.INTER_LINEAR
        steps = _run_net(
            self._recogniser, np.asarray(cv2.resize(line, (width, _LINE_HEIGHT), interpolation=interpolation), np.float32) * 2 - 1
        )
        symbols, confidence = steps.argmax(axis=1), steps.max(axis=1)
        is_new_letter = (symbols > 0) & np.concatenate([[True], symbols[1:] != symbols[:-1]])
        if not is_new_letter.any():
            return "", 0.0
        return "".join(self._charset[number] for number in symbols[is_new_letter]), float(confidence[is_new_letter].mean())


def _run_net(session: onnxruntime.InferenceSession, pixels: Pixels) -> NDArray[np.float32]:
    """Return the network's output for (h, w, 3), in the BGR order it was trained with."""
    [entry] = session.get_inputs()
    blob = np.ascontiguousarray(pixels[:, :, ::-1].transpose(2, 0, 1)[None], dtype=np.float32)
    output: NDArray[np.float32] = session.run(None, {entry.name: blob})[0][0]
    return output


def _line_boxes(probability: Mask) -> Iterator[Points]:
    """Yield the corners of every line in a probability map."""
    import cv2

    outlines, _ = cv2.findContours((probability > _MIN_CORE_PROBABILITY).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    for outline in outlines[:_MAX_LINES]:
        centre, (width, height), angle = cv2.minAreaRect(outline)
        if min(width, height) < 3 or _mean_inside(probability, outline.reshape(-1, 2)) < _MIN_LINE_SCORE:
            continue
        grow = 2 * _UNCLIP_RATIO * width * height / (2 * (width + height))
        yield _order_corners(cv2.boxPoints((centre, (width + grow, height + grow), angle)) + 0.5)


def _mean_inside(probability: Mask, outline: NDArray[np.int32]) -> float:
    import cv2

    left, top = outline.min(axis=0)
    right, bottom = outline.max(axis=0) + 1
    core = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillPoly(core, [outline - [left, top]], 1)
    return float(probability[top:bottom, left:right][core > 0].mean())


def _order_corners(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return four corners in order, the upper left one first."""
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    (upper_left, lower_left), (upper_right, lower_right) = (half[np.argsort(half[:, 1])] for half in (by_x[:2], by_x[2:]))
    return np.stack([upper_left, upper_right, lower_right, lower_left])


def _crop_upright(pixels: Pixels, corners: Points) -> Pixels:
    """Return the line cropped upright, (h, w, 3), 0..1, sRGB. A line much higher than wide is rotated counter-clockwise."""
    import cv2

    width = max(1, round(float(max(np.linalg.norm(corners[1] - corners[0]), np.linalg.norm(corners[2] - corners[3])))))
    height = max(1, round(float(max(np.linalg.norm(corners[3] - corners[0]), np.linalg.norm(corners[2] - corners[1])))))
    target = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    transform = cv2.getPerspectiveTransform(corners - np.float32(0.5), target - np.float32(0.5))
    line = np.asarray(
        cv2.warpPerspective(pixels, transform, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.float32
    )
    return np.ascontiguousarray(np.rot90(line)) if height >= 1.5 * width else line


def _reading_order(lines: list[TextLine]) -> list[TextLine]:
    """Return the lines from top to bottom, and from left to right at about the same height."""
    rows: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda line: float(line.corners[:, 1].mean())):
        height = float(np.linalg.norm(line.corners[3] - line.corners[0]))
        if rows and abs(float(line.corners[:, 1].mean()) - float(rows[-1][-1].corners[:, 1].mean())) < 0.5 * height:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: float(line.corners[:, 0].min()))]


def _file_containing(name: str, files: Mapping[str, Path], part: str) -> Path:
    matches = [path for file, path in files.items() if part in file.lower()]
    if len(matches) != 1:
        raise InputError(f"models.{name}.files: this driver needs one file with {part!r} in its name, {len(matches)} are listed.")
    return matches[0]


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> TextReader:
    detector, recogniser = (open_session(_file_containing(name, model_files.files, part), device.threads) for part in ("_det", "_rec"))
    charset = recogniser.get_modelmeta().custom_metadata_map.get("character", "")
    if not charset:
        raise InputError(f"models.{name}: its recognition network lacks the list of characters.", "Use a network that contains it.")
    device_label = f"cpu float32, {describe_threads(device.threads)}"
    descriptor = EngineDescriptor(name=name, kind="reader", licence=model.licence, weights=weights_hashes(model), device=device_label)
    return PpOcr(descriptor, detector, recogniser, ["", *charset.splitlines(), " "])
