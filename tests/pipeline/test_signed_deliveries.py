"""Deliveries with content credentials: six formats are signed behind the export, chains hold, and nothing is signed or lost in silence."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doubles.pictures import mask, png
from doubles.studio import Studio, studio_at
from goldsmith.credentials.content_credentials import FileCredentials, read_credentials
from goldsmith.credentials.signing_identity import IDENTITY_FOLDER, SigningIdentity, create_identity, read_identity
from goldsmith.picture.formats.table import FORMATS, signable_format

SIX = ("jpeg", "png", "webp", "avif", "tiff", "pdf")
EXPORTS = "".join(
    f'[[deliver]]\nop = "export"\nname = "{name}"\nformat = "{name}"\n' + ("trim = [20, 15]\n" if name == "pdf" else "") for name in SIX
)


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as studio:
        create_identity(studio.state_dir / IDENTITY_FOLDER, "Acme")
        yield studio


def identity_of(studio: Studio) -> SigningIdentity:
    folder = studio.state_dir / IDENTITY_FOLDER
    return read_identity(create_identity(folder, "Acme"), [])


def credentials(studio: Studio, path: str) -> FileCredentials | None:
    row = signable_format(Path(path).suffix)
    assert row is not None
    return read_credentials(studio.read(path), row.media_type, identity_of(studio).anchors)


def test_all_six_formats_are_signed(studio: Studio) -> None:
    studio.put("inbox/hero.toml", 'title = "Spring"\n[[edit]]\nop = "sharpen"\n' + EXPORTS)
    studio.put("inbox/hero.png", png(1))
    studio.until_idle()
    names = studio.folder("delivered")
    print(names, studio.report())
    for name in names:
        if not name.endswith(".json"):
            print(name, credentials(studio, f"delivered/{name}"))
    import json
    print(json.dumps(studio.manifest("delivered/hero.manifest.json"), indent=1)[:6000])
    assert False
