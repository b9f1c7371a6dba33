"""Deciding on the page: a picture moves into a tray, as if it were dragged there, and the name of the person is noted."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import threading
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from doubles.web_pages import client_of, lay_candidates, lay_in_review, make_page, signed_in_client, small_png, token_in, version_at
from goldsmith.files import FileSignature, Filesystem, PathAt
from goldsmith.web.asset_board import Board
from goldsmith.web.page import Page, url_path


def decide(client: TestClient, page: Page, path: str, decision: str = "approve", **changes: str) -> tuple[int, dict[str, str]]:
    wish = {"path": url_path(path), "version": version_at(page, path), "decision": decision, **changes}
    answer = client.post("/decide", json=wish)
    return answer.status_code, answer.json()


def person_of(page: Page, path: str) -> str:
    """Return who has put the picture there, as the daemon finds it out."""
    data = (Path(page.root.path) / path).read_bytes()
    handling = page.notes.handling_of(path, FileSignature.from_stat(page.root.lstat(path)), hashlib.sha256(data).hexdigest())
    return handling.person if handling is not None else ""


def files(root: Path, folder: str = "review") -> list[str]:
    return sorted(str(path.relative_to(root / folder)) for path in (root / folder).rglob("*") if path.is_file())


@pytest.mark.parametrize("tray", ["approve", "again", "reject"])
def test_a_decision_moves_the_picture_into_its_tray_in_its_campaign(root: Path, page: Page, client: TestClient, tray: str) -> None:
    """Its brief and its copies stay, as when it is dragged; the name of the person is noted for the very file."""
    path = lay_in_review(root, campaign="acme/spring")
    data = (root / path).read_bytes()
    status, answer = decide(client, page, path, tray)
    assert (status, answer["next"]) == (200, "")
    moved = f"review/{tray}/acme/spring/hero.png"
    assert (root / moved).read_bytes() == data
    assert not (root / path).exists()
    assert "acme/spring/hero.toml" in files(root)
    assert person_of(page, moved) == "anna"


def test_the_next_picture_that_waits_follows(root: Path, page: Page, client: TestClient) -> None:
    """So that a person can go through all of them with one key."""
    first, second = lay_in_review(root, "one"), lay_in_review(root, "two")
    assert decide(client, page, first)[1]["next"] == f"/look/{second}"
    assert decide(client, page, second)[1]["next"] == ""


def test_a_picture_that_somebody_else_has_decided_about_is_not_the_next(root: Path, page: Page, client: TestClient) -> None:
    """The list that the page has read a moment ago still has it; whoever was sent to it would see an error."""
    first, second, third = (lay_in_review(root, name) for name in ("one", "two", "xthree"))
    assert len(asyncio.run(page.board.current()).assets) == 3
    (root / second).rename(root / "review/approve/two.png")
    assert decide(client, page, first)[1]["next"] == f"/look/{third}"


def test_a_reading_that_began_before_a_decision_is_not_shown_after_it(root: Path, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks after the decision waits for a reading that began after it."""
    path, board = lay_in_review(root), page.board
    read, has_read, may_end = board._read_folders, threading.Event(), threading.Event()

    def slowly() -> Board:
        result = read()
        has_read.set()
        may_end.wait()
        return result

    async def look_decide_look() -> tuple[Board, Board]:
        before = asyncio.create_task(board.current())
        await asyncio.to_thread(has_read.wait)
        (root / path).unlink()
        board.invalidate()
        after = asyncio.create_task(board.current())
        await asyncio.sleep(0)
        may_end.set()
        return await before, await after

    monkeypatch.setattr(board, "_read_folders", slowly)
    before, after = asyncio.run(look_decide_look())
    assert [asset.picture for asset in before.assets] == [path]
    assert path not in [asset.picture for asset in after.assets]
    assert asyncio.run(board.current()) is after


def test_a_remark_lies_in_the_tray_before_the_picture(root: Path, page: Page, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon reads both together."""
    path = lay_in_review(root)
    renames = []
    rename = Filesystem.rename_noreplace

    def watched(self: Filesystem, source: PathAt, target: PathAt) -> None:
        renames.append((target.name, (root / "review/again/acme/hero.txt").exists()))
        rename(self, source, target)

    monkeypatch.setattr(Filesystem, "rename_noreplace", watched)
    assert decide(client, page, path, "again", remark="  a warmer light\nno ring ")[0] == 200
    assert (root / "review/again/acme/hero.txt").read_text() == "a warmer light\nno ring\n"
    assert renames[-1] == ("hero.png", True)


def test_a_picture_that_has_changed_is_not_decided_about(root: Path, page: Page, client: TestClient) -> None:
    """The person has seen another one."""
    path = lay_in_review(root)
    version = version_at(page, path)
    (root / "review/acme/new.png").write_bytes(small_png(7))
    os.replace(root / "review/acme/new.png", root / path)
    status, answer = decide(client, page, path, version=version)
    assert (status, answer["error"]) == (409, "hero.png has changed since you opened it.")
    assert (root / path).exists()


def test_a_picture_that_changes_at_the_last_moment_stays(
    root: Path, page: Page, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at its name and its opening."""
    path = lay_in_review(root)
    open_file = page.root.open_file

    def swap(name: str, max_bytes: int | None = None) -> int:
        (root / "review/acme/new.png").write_bytes(small_png(7))
        os.replace(root / "review/acme/new.png", root / path)
        return open_file(name, max_bytes)

    monkeypatch.setattr(page.root, "open_file", swap)
    assert decide(client, page, path)[0] == 409
    assert (root / path).read_bytes() == small_png(7)


def test_the_second_of_two_people_is_told(root: Path, page: Page, client: TestClient) -> None:
    """The picture is gone; nothing is moved and no name is noted."""
    path = lay_in_review(root)
    version = version_at(page, path)
    assert decide(client, page, path)[0] == 200
    answer = client.post("/decide", json={"path": path, "version": version, "decision": "reject"})
    assert answer.status_code == 409
    assert "somebody may have decided already" in answer.json()["error"]
    assert person_of(page, "review/approve/acme/hero.png") == "anna"


def test_a_name_that_is_taken_in_the_tray_is_never_replaced(root: Path, page: Page, client: TestClient) -> None:
    """The remark does not stay there either."""
    path = lay_in_review(root)
    (root / "review/again/acme").mkdir()
    (root / "review/again/acme/hero.png").write_bytes(b"another")
    assert decide(client, page, path, "again", remark="warmer")[0] == 409
    assert (root / "review/again/acme/hero.png").read_bytes() == b"another"
    assert files(root, "review/again") == ["acme/hero.png"]
    assert (root / path).exists()
    assert person_of(page, "review/again/acme/hero.png") == ""


def test_a_remark_that_lies_there_already_is_not_replaced(root: Path, page: Page, client: TestClient) -> None:
    """It is another person's; the picture stays."""
    path = lay_in_review(root)
    (root / "review/reject/acme").mkdir()
    (root / "review/reject/acme/hero.txt").write_text("mine")
    assert decide(client, page, path, "reject", remark="blurred")[0] == 409
    assert (root / "review/reject/acme/hero.txt").read_text() == "mine"
    assert (root / path).exists()


@pytest.mark.parametrize("path", ["inbox/hero.png", "review/approve/hero.png", "archive/hero.png", "delivered/hero.png"])
def test_only_what_waits_in_review_can_be_decided_about(root: Path, page: Page, client: TestClient, path: str) -> None:
    """Nobody moves other files with a request of his own."""
    (root / path).write_bytes(small_png(1))
    status, answer = decide(client, page, path)
    assert (status, answer["error"]) == (409, "hero.png does not wait for a decision in review/.")
    assert (root / path).exists()


def test_a_path_out_of_the_folders_moves_nothing(root: Path, client: TestClient) -> None:
    """However it is written."""
    (root.parent / "secret.png").write_bytes(small_png(1))
    for path in ("../secret.png", "review/../../secret.png", "%2e%2e/secret.png", "/etc/passwd", "review/\0.png"):
        assert client.post("/decide", json={"path": path, "version": "x", "decision": "approve"}).status_code == 409
    assert (root.parent / "secret.png").exists()


def test_a_tray_that_is_a_link_leads_nowhere(root: Path, page: Page, client: TestClient, tmp_path: Path) -> None:
    """Somebody with access to the share has swapped it."""
    path = lay_in_review(root)
    (tmp_path / "elsewhere").mkdir()
    os.rmdir(root / "review/approve")
    (root / "review/approve").symlink_to(tmp_path / "elsewhere")
    assert decide(client, page, path)[0] in (403, 409)
    assert (root / path).exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_tray_on_another_disk_gets_a_whole_copy(root: Path, page: Page, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a dot-name first; the picture leaves its place only when the copy is there, and the note is about the copy."""
    path = lay_in_review(root)
    data = (root / path).read_bytes()
    monkeypatch.setattr(Filesystem, "can_rename_between", lambda self, folder, other: False)
    assert decide(client, page, path)[0] == 200
    assert files(root, "review/approve") == ["acme/hero.png"]
    assert (root / "review/approve/acme/hero.png").read_bytes() == data
    assert person_of(page, "review/approve/acme/hero.png") == "anna"


def test_a_copy_that_fails_leaves_the_picture(root: Path, page: Page, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no half file and no name."""
    path = lay_in_review(root)

    def full(self: Filesystem, source: PathAt, target: PathAt, *options: object) -> str:
        self.create(target)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Filesystem, "can_rename_between", lambda self, folder, other: False)
    monkeypatch.setattr(Filesystem, "copy", full)
    status, answer = decide(client, page, path)
    assert (status, answer["remedy"]) == (503, "Check the disk and the mount of the folders, then try again.")
    assert files(root, "review/approve") == []
    assert (root / path).exists()


def test_without_a_note_nothing_is_decided(root: Path, page: Page, client: TestClient) -> None:
    """If the name cannot be noted, the person is told, and the picture stays."""
    path = lay_in_review(root)
    page.notes._folder.parent.mkdir(parents=True)
    page.notes._folder.write_text("in the way")
    assert decide(client, page, path)[0] >= 400
    assert (root / path).exists()


@pytest.fixture
def looker(root: Path) -> tuple[Page, TestClient]:
    """Return the browser of a person who may look, with the token of the session."""
    page = make_page(root, proxy_header="X-User", proxy_addresses=["10.0.0.2"])
    client = client_of(page, client=("10.0.0.2", 5), headers={"x-user": "bertha", "accept": "text/html"})
    client.headers["x-csrf-token"] = token_in(client.get("/no-such-page").text)
    return page, client


def test_a_person_who_may_look_cannot_decide(root: Path, looker: tuple[Page, TestClient]) -> None:
    """The request is refused with a sentence, whatever it says."""
    page, client = looker
    path = lay_in_review(root)
    client.headers["accept"] = "application/json"
    status, answer = decide(client, page, path)
    assert (status, answer["error"]) == (403, "bertha may look, but not decide.")
    assert client.post("/pick", json={"chosen": []}).status_code == 403
    assert (root / path).exists()


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "application/json", 400),
        (b'{"path": 1}', "application/json", 400),
        (b"[" * 5000, "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"path": "x", "version": "y", "decision": "burn"}', "application/json", 400),
        (b'{"path": "x", "version": "y", "decision": "approve", "tray": "../.."}', "application/json", 400),
        (b'{"path": "x", "version": "y", "decision": "approve"}', "text/plain", 415),
        (b"x" * 70_000, "application/json", 413),
    ],
)
def test_a_request_of_another_form_is_refused(client: TestClient, body: bytes, content_type: str, status: int) -> None:
    """With a sentence, not with a traceback."""
    answer = client.post("/decide", content=body, headers={"content-type": content_type})
    assert answer.status_code == status
    assert answer.json()["error"].endswith(".")


def test_a_long_remark_is_refused(root: Path, page: Page, client: TestClient) -> None:
    """With both numbers."""
    path = lay_in_review(root)
    status, answer = decide(client, page, path, "again", remark="x" * 2001)
    assert (status, answer["error"]) == (400, "Your remark has 2001 characters; a remark has at most 2000.")


def test_several_candidates_are_approved_together(root: Path, page: Page, client: TestClient) -> None:
    """The others stay, for the daemon to put away."""
    paths = lay_candidates(root, 4)
    chosen = [{"path": path, "version": version_at(page, path)} for path in paths[1:3]]
    assert client.post("/pick", json={"chosen": chosen}).status_code == 200
    assert files(root, "review/approve") == ["acme/hero_candidate002.png", "acme/hero_candidate003.png"]
    assert person_of(page, "review/approve/acme/hero_candidate002.png") == "anna"


def test_a_set_is_closed_by_putting_its_sheet_away(root: Path, page: Page, client: TestClient) -> None:
    """As when the sheet is dragged into a tray."""
    lay_candidates(root, 2)
    sheet = {"path": "review/acme/hero.candidates.jpg", "version": version_at(page, "review/acme/hero.candidates.jpg")}
    assert client.post("/pick", json={"chosen": [], "sheet": sheet}).status_code == 200
    assert files(root, "review/reject") == ["acme/hero.candidates.jpg"]


def test_nothing_chosen_is_said(client: TestClient) -> None:
    """An empty choice moves nothing."""
    answer = client.post("/pick", json={"chosen": []})
    assert (answer.status_code, answer.json()["error"]) == (400, "Choose a picture first.")


def test_the_remark_belongs_to_the_share(root: Path, page: Page, client: TestClient) -> None:
    """It gets the mode of its folder, as files of Goldsmith do."""
    path = lay_in_review(root)
    (root / "review/again/acme").mkdir()
    os.chmod(root / "review/again/acme", 0o2775)  # noqa: S103 - a share
    assert decide(client, page, path, "again", remark="warmer")[0] == 200
    assert stat.S_IMODE((root / "review/again/acme/hero.txt").stat().st_mode) & 0o060 == 0o060


def test_two_browsers_of_one_person_have_tokens_of_their_own(root: Path, page: Page) -> None:
    """The token of one does not act in the other."""
    first, other = signed_in_client(page), signed_in_client(page)
    path = lay_in_review(root)
    answer = first.post(
        "/decide",
        json={"path": path, "version": version_at(page, path), "decision": "approve"},
        headers={"x-csrf-token": other.headers["x-csrf-token"]},
    )
    assert answer.status_code == 403
    assert (root / path).exists()
