"""``goldsmith inspect`` says what a file is, who signed it, what was done to it, and what a generator has left in it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith
from doubles.commission import SHARPEN
from doubles.identities import picture_file, sign_file, write_identity
from doubles.pictures import png
from doubles.studio import studio_at
from goldsmith.credentials.content_credentials import Ingredient, embed_credentials
from goldsmith.credentials.signing_identity import IDENTITY_FOLDER, create_identity, read_identity

BRIEF = f"""
title = "Spring hero"
creator = "Jane Roe"
{SHARPEN}
[[deliver]]
op = "export"
name = "web"
format = "jpeg"
quality = 95
"""
CREATED = {
    "action": "c2pa.created",
    "softwareAgent": {"name": "DALL·E"},
    "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
}
DALL_E = {"claim_generator_info": [{"name": "ChatGPT"}], "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [CREATED]}}]}
LOGO = {"title": "logo.png", "format": "image/png", "instance_id": f"urn:sha256:{'ab' * 32}", "relationship": "componentOf"}
FACE = {"title": "face.png", "format": "image/png", "relationship": "inputTo"}
A1111 = (
    "a desk by a window\nNegative prompt: blurry\nSteps: 30, Sampler: Euler a, CFG scale: 6.5, Seed: 1234567, Size: 512x512, Model: sdxl"
)


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root of a studio that has delivered a signed picture."""
    place = tmp_path_factory.mktemp("inspected")
    with studio_at(place) as studio:
        create_identity(studio.state_dir / IDENTITY_FOLDER, "Acme")
        studio.put("inbox/hero.toml", BRIEF)
        studio.put("inbox/hero.png", png(1))
        studio.until_idle()
    return studio.root


@pytest.fixture
def at_home(delivered: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GOLDSMITH_STATE_DIR", str(delivered.parent / "state"))
    return delivered


def test_a_deliverable_tells_its_whole_story(goldsmith: Goldsmith, at_home: Path) -> None:
    """What it is, who made it, who signed it, what was done, and what Goldsmith's record has."""
    result = goldsmith("inspect", at_home / "delivered/hero_web.jpg")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "hero_web.jpg: JPEG, 24 x 16 px, 8 bits, RGB, no profile, no resolution.",
        "It says of itself: title “Spring hero”, creator “Jane Roe”.",
        "The signature holds. It is by Acme content credentials of Acme, and is trusted here.",
        "Written by Goldsmith 0.1.0.",
        "Made from hero.png.",
        "- 1. opened",
        "- 2. filtered (sharpen)",
        "- 3. converted (export)",
        "Goldsmith knows it by its bytes, and did this:",
        *(line for line in result.out.splitlines() if line.startswith(("- generate", "- edit", "- grade", "- deliver"))),
        next(line for line in result.out.splitlines() if line.startswith("Its metadata hold: ")),
    ]
    assert "- edit on selected/hero.png: sharpen (seed " in result.out


def test_a_program_gets_json(goldsmith: Goldsmith, at_home: Path) -> None:
    """It has the same facts, and the steps with their seeds."""
    facts = json.loads(goldsmith("inspect", "--json", at_home / "delivered/hero_web.jpg").out)
    assert (facts["picture"]["format"], facts["credentials"]["state"], facts["known_by"]) == ("jpeg", "trusted", "bytes")
    assert [stage["stage"] for stage in facts["record"]] == ["generate", "edit", "grade", "deliver"]
    assert facts["record"][1]["steps"][0]["op"] == "sharpen"


def test_a_changed_deliverable_is_known_by_its_id_and_does_not_hold(goldsmith: Goldsmith, at_home: Path, tmp_path: Path) -> None:
    """The file was sent elsewhere, and one bit of it was changed there."""
    data = bytearray((at_home / "delivered/hero_web.jpg").read_bytes())
    data[data.rfind(b"Goldsmith")] ^= 1
    (tmp_path / "copy.jpg").write_bytes(data)
    result = goldsmith("inspect", tmp_path / "copy.jpg", "--root", at_home)
    assert result.code == 0
    assert "The signature does not hold: the file was changed after Acme content credentials of Acme signed it (" in result.out
    assert "Goldsmith knows it by its id, and did this:" in result.out


def test_a_stranger_s_file_needs_no_root(goldsmith: Goldsmith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that leaves no settings signed it: its content credentials name the model. This installation does not know the signer."""
    monkeypatch.setattr("goldsmith.cli.location.resource_path", lambda *parts: Path("/nowhere/shipped", *parts))
    stranger = read_identity(write_identity(tmp_path / "keys"), [])
    plain = picture_file("image/webp")
    parts = [Ingredient(LOGO), Ingredient(FACE)]
    signed = embed_credentials(plain, "image/webp", DALL_E, parts, stranger.chain, stranger.algorithm, stranger.sign)
    (tmp_path / "bought.webp").write_bytes(signed)
    result = goldsmith("inspect", "bought.webp")
    assert result.code == 0
    assert "bought.webp: WEBP, 64 x 64 px" in result.out
    assert "The signature holds. It is by A studio, whom this installation does not know." in result.out
    assert "Written by ChatGPT.\n" in result.out
    assert f"Parts of it come from logo.png (SHA-256 {'ab' * 8}…).\nSteps also read face.png.\n" in result.out
    assert "- 1. created by DALL·E: trainedAlgorithmicMedia\n" in result.out
    assert "Goldsmith knows it" not in result.out


def test_what_a_generator_left_is_told(goldsmith: Goldsmith, tmp_path: Path, root: Path) -> None:
    """Prompt, seed and model, each on its line; and that nothing is signed."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("parameters", A1111)
    Image.new("RGB", (16, 16)).save(tmp_path / "made.png", pnginfo=info)
    lines = goldsmith("inspect", "made.png", "--root", root).out.splitlines()
    start = lines.index("A1111 has left in it how it was made:")
    assert lines[start + 1 : start + 4] == ["- prompt: a desk by a window", "- negative: blurry", "- seed: 1234567"]
    assert "- model: sdxl" in lines
    assert "It has no content credentials: nothing in it is signed." in lines
    assert lines[-1] == "Its metadata hold: PNG text “parameters”."


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.write_bytes(b"8BPS nothing else"), "x.png"),
        (lambda path: path.mkdir(), "is not an ordinary file"),
        (os.mkfifo, "is not an ordinary file"),
        (lambda path: None, "cannot be read"),
    ],
    ids=["no picture", "folder", "pipe", "nothing"],
)
def test_what_is_no_picture_gets_a_sentence(goldsmith: Goldsmith, tmp_path: Path, root: Path, make: object, sentence: str) -> None:
    """Nothing blocks, and no traceback is shown."""
    assert callable(make)
    make(tmp_path / "x.png")
    result = goldsmith("inspect", "x.png", "--root", root)
    assert (result.code in (2, 3), result.out) == (True, "")
    assert sentence in result.err


def test_a_damaged_picture_still_tells_its_signature(goldsmith: Goldsmith, tmp_path: Path, root: Path) -> None:
    """Half of it is missing, so that nobody can say whether the signature holds."""
    stranger = read_identity(write_identity(tmp_path / "keys"), [])
    signed = sign_file(stranger, picture_file("image/png", 256), "image/png")
    (tmp_path / "half.png").write_bytes(signed[: len(signed) // 2])
    result = goldsmith("inspect", "half.png", "--root", root)
    assert result.code == 0
    assert result.out.startswith("half.png: PNG, damaged: ")
    assert "There are content credentials, but they cannot be read: " in result.out
