"""Invalid face detection networks are refused, and OpenCV's log level is restored."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from goldsmith.engines.drivers.yunet import open_engine
from goldsmith.engines.protocols import Device, ModelFiles
from goldsmith.engines.registry.models import Model
from goldsmith.errors import InputError


def test_an_invalid_file_is_refused_with_a_remedy(tmp_path: Path) -> None:
    """Check that the message has the file and that the log level is restored."""
    (tmp_path / "faces.onnx").write_bytes(b"no net")
    before = cv2.utils.logging.getLogLevel()
    with pytest.raises(InputError, match=r"faces\.onnx: OpenCV cannot open this model"):
        open_engine(
            "own", Model(kind="faces", driver="yunet", licence="MIT"), ModelFiles({"f": tmp_path / "faces.onnx"}, tmp_path), Device()
        )
    assert cv2.utils.logging.getLogLevel() == before


def test_a_model_has_one_file(tmp_path: Path) -> None:
    """Check that two files are refused."""
    with pytest.raises(InputError, match=r"needs exactly one \.onnx file, 2 are listed"):
        open_engine(
            "own", Model(kind="faces", driver="yunet", licence="MIT"), ModelFiles({"a": tmp_path, "b": tmp_path}, tmp_path), Device()
        )
