"""Masks that a worker process opens, behind its fence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from goldsmith.web.painting.mask_tiles import read_size


@pytest.fixture
def mask(root: Path) -> Path:
    """Return the mask of a picture in selected/."""
    Image.new("RGB", (600, 40)).save(root / "selected" / "hero.png")
    file = root / "selected" / "hero.mask.png"
    Image.new("L", (600, 40), 77).save(file)
    return file


def test_one_worker_process_opens_masks_and_says_what_is_wrong_with_others(client: TestClient, root: Path, mask: Path) -> None:
    """It opens the mask that is there, refuses one of another size and one that is none, and goes on. Nothing is left in its folder."""
    answer = client.get("/paint-mask/selected/hero.png")
    assert (answer.status_code, read_size(answer.content)) == (200, (600, 40))
    assert answer.content[12:] == b"\0\115\0\115"
    Image.new("L", (300, 20), 255).save(mask)
    refused = client.get("/paint-mask/selected/hero.png")
    assert (refused.status_code, "is 300 x 20 px; its picture is 600 x 40 px" in refused.json()["error"]) == (400, True)
    mask.write_bytes(b"<html>" * 40)
    assert "HTML page" in client.get("/paint-mask/selected/hero.png").json()["error"]
    mask.unlink()
    assert client.get("/paint-mask/selected/hero.png").content[12:] == b"\0\0\0\0"
    (root / "selected" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + np.random.default_rng(1).bytes(400))
    assert client.get("/paint-mask/selected/broken.png").status_code == 400
