"""Which files an address can name: pictures of the pipeline's folders, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from doubles.web_pages import small_png
from goldsmith.web.access import PageError
from goldsmith.web.page import Page, url_path
from goldsmith.web.pictures import find_picture, path_from_address

OUTSIDE = [
    *("../secret.png", "inbox/../../secret.png", "/etc/passwd", "//etc/passwd", "inbox//hero.png", "./inbox/hero.png", "inbox/./hero.png"),
    *("inbox/..", "", "/", "inbox", "inbox/", "hero.png", "config/hero.png", ".goldsmith/hero.png", "library/hero.png", "inbox\0/hero.png"),
    *("inbox/.hero.png", "inbox/.hidden/hero.png", "inbox/__MACOSX/hero.png", "inbox/hero.png/hero.png", "inbox/" + "a/" * 80 + "hero.png"),
    *("inbox/" + "x" * 5000 + ".png", "inbox/notes.txt", "inbox/page.html", "inbox/drawing.svg", "inbox/hero.toml", "INBOX/hero.png"),
    *("inbox/link.png", "inbox/folder.png", "inbox/pipe.png", "inbox/linked/hero.png", "inbox/gone.png"),
]


@pytest.fixture
def crowded(root: Path) -> Path:
    """Return the root with a picture in the inbox, and everything beside it that is none."""
    (root.parent / "secret.png").write_bytes(small_png(9))
    for name in ("inbox/hero.png", "inbox/.hero.png", "library/hero.png", "inbox/notes.txt", "inbox/page.html", "inbox/drawing.svg"):
        (root / name).write_bytes(small_png(1))
    for folder in ("config", ".goldsmith", "inbox/.hidden", "inbox/__MACOSX", "inbox/folder.png"):
        (root / folder).mkdir()
        (root / folder / "hero.png").write_bytes(small_png(1))
    (root / "inbox" / "link.png").symlink_to(root.parent / "secret.png")
    (root / "inbox" / "linked").symlink_to(root / "selected")
    (root / "selected" / "hero.png").write_bytes(small_png(1))
    os.mkfifo(root / "inbox" / "pipe.png")
    return root


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_is_no_picture_of_the_folders_is_not_found(crowded: Path, page: Page, path: str) -> None:
    """Whatever it leads to, the answer is the same sentence."""
    assert crowded.is_dir()
    with pytest.raises(PageError, match="There is no picture at") as refused:
        find_picture(page, path)
    assert refused.value.status == 404


@pytest.mark.parametrize("prefix", ["/look/", "/pick/", "/facts/", "/fit/160/", "/mask/160/", "/tile/0/0/", "/mask-tile/0/0/"])
def test_every_address_with_a_path_is_checked(crowded: Path, client: TestClient, prefix: str) -> None:
    """Also if its dots and slashes are hidden from proxies and browsers."""
    assert crowded.is_dir()
    for address in ("%2e%2e%2fsecret.png", "inbox/%2e%2e/%2e%2e/secret.png", "%2Fetc%2Fpasswd", "inbox/link.png", "inbox/x%00.png"):
        answer = client.get(prefix + address)
        assert (answer.status_code, answer.json()["error"].startswith("There is no picture at")) == (404, True)


def test_a_picture_is_found_wherever_the_pipeline_keeps_it(root: Path, page: Page) -> None:
    """In a stage's folder, a campaign, review/, a tray, the last folder and the archive."""
    for folder in ("inbox", "selected/acme/spring", "review/acme", "review/approve", "delivered", "archive/2026-11-30/inbox"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "hero.PNG").write_bytes(small_png(1))
        assert find_picture(page, f"{folder}/hero.PNG").name == "hero.PNG"


def test_a_name_survives_its_way_through_an_address() -> None:
    """With spaces, signs of addresses, umlauts, and bytes that are no UTF-8."""
    for name in ("a b.png", "50%_#1?.png", "grün & weiß.png", os.fsdecode(b"caf\xe9.png"), "a+b.png", '"<script>.png'):
        assert path_from_address(url_path(f"inbox/{name}")) == f"inbox/{name}"
        assert url_path(name).isascii()


def test_a_changed_file_has_another_version(root: Path, page: Page) -> None:
    """So that nobody decides about a picture that he has not seen."""
    (root / "inbox" / "hero.png").write_bytes(small_png(1))
    first = find_picture(page, "inbox/hero.png").version
    assert find_picture(page, "inbox/hero.png").version == first
    (root / "inbox" / "other.png").write_bytes(small_png(2))
    os.replace(root / "inbox" / "other.png", root / "inbox" / "hero.png")
    assert find_picture(page, "inbox/hero.png").version != first
