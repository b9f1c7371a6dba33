"""Files that are dropped on the page: whole or not at all, and only what the stages take."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from doubles.web_pages import AS_BROWSER, signed_in_client
from goldsmith.web.page import Page


def picture(kind: str = "PNG") -> bytes:
    """Return a picture file."""
    file = BytesIO()
    Image.effect_noise((200, 100), 50).convert("RGB").save(file, kind)
    return file.getvalue()


PNG = picture()


def drop(client: TestClient, path: str, content: bytes | Iterator[bytes] = PNG, **headers: str) -> Any:
    return client.put(f"/upload/{path}", content=content, headers=headers)


def files(root: Path) -> list[str]:
    """Return all files below a root, dot-names too."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def test_a_picture_lies_in_its_campaign_byte_for_byte(client: TestClient, root: Path) -> None:
    """The campaign is made; nothing else is left."""
    answer = drop(client, "inbox/acme/spring/hero.png")
    assert (answer.status_code, answer.json()) == (
        201,
        {"path": "inbox/acme/spring/hero.png", "sentence": "hero.png is in its folder."},
    )
    assert (root / "inbox/acme/spring/hero.png").read_bytes() == PNG
    assert files(root) == ["inbox/acme/spring/hero.png"]


def test_a_large_picture_arrives_in_pieces_under_a_dot_name(client: TestClient, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its name only when all of it is on the disk."""
    listings: list[list[str]] = []
    fsync = os.fsync

    def watched_fsync(descriptor: int) -> None:
        listings.append(files(root))
        fsync(descriptor)

    monkeypatch.setattr("goldsmith.files.os.fsync", watched_fsync)
    data = PNG + os.urandom(3 << 20)
    assert drop(client, "inbox/hero.png", data).status_code == 201
    assert (root / "inbox/hero.png").read_bytes() == data
    assert [name.startswith("inbox/.") for name in listings[0]] == [True]
    # The folder, and outside the root the note of who has dropped it.
    assert listings[1:] == [["inbox/hero.png"]] * 3


def test_the_file_gets_the_group_and_the_mode_of_its_folder(client: TestClient, root: Path) -> None:
    """Else nobody else on the share could move it."""
    (root / "inbox").chmod(0o2770)
    drop(client, "inbox/hero.png")
    assert (root / "inbox/hero.png").stat().st_mode & 0o777 == 0o660


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "WEBP", "AVIF"])
def test_each_kind_of_picture_is_taken_by_its_content(client: TestClient, root: Path, kind: str) -> None:
    """A wrong suffix is a remark of the stages, not a refusal."""
    assert drop(client, f"inbox/hero.{kind.lower()}", picture(kind)).status_code == 201
    assert drop(client, "inbox/other.png", picture(kind)).status_code == 201


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("hero.mask.png", PNG),
        ("hero.mask.gif", picture("GIF")),
        ("hero.layer.logo.png", PNG),
        ("hero.toml", b'prompt = "x"\n'),
        ("brief.toml", b'prompt = "x"\n'),
        ("hero.txt", b"Eiche"),
        ("hero.cube", b"LUT_3D_SIZE 2\n"),
        ("hero.xmp", b"<x:xmpmeta/>"),
    ],
)
def test_what_belongs_beside_a_picture_is_taken(client: TestClient, root: Path, name: str, content: bytes) -> None:
    """Masks, layers, briefs, prompts, looks and metadata."""
    assert drop(client, f"selected/{name}", content).status_code == 201
    assert (root / "selected" / name).read_bytes() == content


@pytest.mark.parametrize(
    ("name", "content", "status", "word"),
    [
        ("hero.png", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", 400, "SVG drawing"),
        ("hero.png", b"<!doctype html><script>alert(1)</script>", 400, "HTML page"),
        ("hero.png", b"PK\x03\x04" + b"\0" * 60, 400, "zip archive"),
        ("hero.png", b"\x1f\x8b" + zlib.compress(b"\0" * 9999), 400, "gzip archive"),
        ("hero.png", b"\x7fELF" + b"\0" * 60, 400, "program"),
        ("hero.png", b"#!/bin/sh\nrm -rf ~\n# and so on", 400, "text"),
        ("hero.png", picture("GIF"), 400, "GIF"),
        ("hero.png", b"", 400, "empty"),
        ("hero.png", b"\0" * 400, 400, "zeros"),
        ("hero.svg", b"<svg/>", 415, "SVG"),
        ("hero.psd.exe", PNG, 415, "no picture"),
        ("page.html", b"<html>", 415, "no picture"),
        ("hero", PNG, 415, "no picture"),
        ("hero.png.problem.txt", b"lies", 415, "no picture"),
        ("hero.review.jpg", picture("JPEG"), 415, "no picture"),
        (".hero.png", PNG, 400, "ignored"),
        ("Thumbs.db", PNG, 400, "ignored"),
        ("hero.png.part", PNG, 400, "ignored"),
        ("he\u202egnp.ro.png", PNG, 400, "cannot be seen"),
        ("x" * 250 + ".png", PNG, 400, "too long"),
        ("hero.toml", b"\xff\xfe" + "prompt".encode("utf-16-le"), 400, "UTF-16"),
        ("hero.toml", b"ab\0cd", 400, "plain text"),
        ("hero.toml", b"#" * (256 * 1024 + 1), 400, "at most"),
    ],
)
def test_what_no_stage_takes_is_refused_with_a_sentence(
    client: TestClient, root: Path, name: str, content: bytes, status: int, word: str
) -> None:
    """By its name or by its first bytes, and nothing of it is on the disk."""
    refused = drop(client, f"inbox/{name}", content)
    assert (refused.status_code, word in refused.json()["error"]) == (status, True), refused.text
    assert files(root) == []


@pytest.mark.parametrize(
    "path",
    [
        "delivered/hero.png",
        "review/approve/hero.png",
        "archive/hero.png",
        "library/logos/hero.png",
        ".goldsmith/work/hero.png",
        "hero.png",
        "elsewhere/hero.png",
        "inbox/%2e%2e/selected/hero.png",
        "inbox/.hidden/hero.png",
        "inbox/@eaDir/hero.png",
        "inbox/a%00b/hero.png",
        "inbox/ spaced /hero.png",
        "inbox/" + "deep/" * 70 + "hero.png",
    ],
)
def test_a_file_goes_nowhere_else(client: TestClient, root: Path, path: str) -> None:
    """Only into the folder of a stage, or a campaign that is searched."""
    refused = drop(client, path)
    assert refused.status_code in (400, 409)
    assert "mask" not in refused.json()["error"]
    assert files(root) == []


def test_a_file_that_is_there_is_never_replaced(client: TestClient, root: Path) -> None:
    """Also one that comes while the other is still arriving."""
    (root / "inbox/hero.png").write_bytes(b"theirs")
    assert drop(client, "inbox/hero.png").status_code == 409

    def slow() -> Iterator[bytes]:
        yield PNG
        (root / "inbox/late.png").write_bytes(b"theirs")
        yield b"rest"

    refused = drop(client, "inbox/late.png", slow(), **{"content-length": str(len(PNG) + 4)})
    assert (refused.status_code, "already a file called late.png" in refused.json()["error"]) == (409, True)
    assert [(root / "inbox" / name).read_bytes() for name in ("hero.png", "late.png")] == [b"theirs", b"theirs"]
    assert files(root) == ["inbox/hero.png", "inbox/late.png"]


@pytest.mark.parametrize("promised", [len(PNG) + 1, len(PNG) + (1 << 20)])
def test_a_file_that_was_cut_off_leaves_nothing(client: TestClient, root: Path, promised: int) -> None:
    """Fewer bytes came than were promised."""
    refused = drop(client, "inbox/hero.png", PNG, **{"content-length": str(promised)})
    assert (refused.status_code, "did not arrive completely" in refused.json()["error"]) == (400, True)
    assert files(root) == []


def test_a_file_without_a_length_is_refused(client: TestClient, root: Path) -> None:
    """Nobody could tell whether all of it came."""
    assert drop(client, "inbox/hero.png", iter([PNG])).status_code == 411
    assert files(root) == []


def test_a_file_larger_than_a_job_can_read_is_refused_before_it_arrives(client: TestClient, root: Path) -> None:
    """Half of a job's memory is the limit of the stages."""
    refused = drop(client, "inbox/hero.png", PNG, **{"content-length": str(1 << 36)})
    assert (refused.status_code, "has 65,536 MiB" in refused.json()["error"]) == (400, True)
    assert files(root) == []


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_disk_that_fails_leaves_nothing(client: TestClient, root: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At whatever call; the person is told why."""
    methods = {"write": "write_all", "fsync": "fsync", "rename": "rename_noreplace"}

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"goldsmith.files.Filesystem.{methods[call]}", fail)
    refused = drop(client, "inbox/hero.png")
    assert (refused.status_code, "No space left" in refused.json()["error"]) == (503, True)
    assert files(root) == []


def test_a_link_in_the_place_of_a_campaign_is_not_followed(client: TestClient, root: Path, tmp_path: Path) -> None:
    """It could lead out of the share."""
    (tmp_path / "outside").mkdir()
    (root / "inbox" / "link").symlink_to(tmp_path / "outside")
    assert drop(client, "inbox/link/hero.png").status_code == 409
    assert os.listdir(tmp_path / "outside") == []


def test_the_page_offers_the_folders_of_the_stages_and_their_campaigns(client: TestClient, root: Path) -> None:
    """Names from the share are text."""
    (root / "inbox" / "acme" / "<b>spring").mkdir(parents=True)
    (root / "inbox" / "hid\u202eden").mkdir()
    html = client.get("/drop/inbox/acme", headers=AS_BROWSER).text
    assert "<option selected>inbox</option>" in html
    assert 'value="acme"' in html
    assert '<option value="acme/&lt;b&gt;spring">' in html
    assert "hid" not in html
    assert "review</option>" not in html
    assert client.get("/drop/", headers=AS_BROWSER).status_code == 200
    assert client.get("/drop/delivered", headers=AS_BROWSER).status_code == 409


def test_somebody_who_may_only_look_drops_nothing(page: Page, root: Path) -> None:
    """Nor paints, nor asks."""
    with signed_in_client(page) as client:
        object.__setattr__(page.access, "_role_of", lambda _name: "look")
        Image.new("RGB", (60, 40)).save(root / "selected" / "hero.png")
        assert drop(client, "inbox/hero.png").status_code == 403
        assert client.put("/paint-mask/selected/hero.png", content=b"").status_code == 403
        assert client.put("/ask/selected/hero.png", json={}).status_code == 403
        assert client.get("/paint/selected/hero.png").status_code == 403
    assert files(root) == ["selected/hero.png"]


def test_a_request_without_the_token_of_the_session_changes_nothing(client: TestClient, root: Path) -> None:
    """Another site cannot know it."""
    del client.headers["x-csrf-token"]
    assert drop(client, "inbox/hero.png").status_code == 403
    assert client.put("/ask/inbox", json={"head": {"title": "x"}}).status_code == 403
    assert files(root) == []
