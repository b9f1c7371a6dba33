"""The addresses that open, save and propose a mask: which file is written, what it replaces, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from doubles.two_people import winner_of
from doubles.web_pages import AS_BROWSER, lay_in_review, signed_in_client
from goldsmith.picture.picture import freeze
from goldsmith.web.page import Page
from goldsmith.web.painting import mask_files, mask_pages
from goldsmith.web.painting.mask_operation import ProposedRegion, tiles_file
from goldsmith.web.painting.mask_tiles import MaskReader
from goldsmith.web.pictures import PictureFile

WIDTH, HEIGHT = 600, 40


def tiles(codes: NDArray[np.uint8]) -> bytes:
    """Return the tiles of a mask of 8-bit codes (h, w)."""
    return tiles_file(freeze(codes.astype(np.float32) / 255)).data


def bar(value: int = 255) -> NDArray[np.uint8]:
    """Return the codes (h, w) of a mask with one bar."""
    codes = np.zeros((HEIGHT, WIDTH), np.uint8)
    codes[4:9, 20:555] = value
    return codes


class MaskJobsDouble:
    """Opens every mask as black, without a worker process, and keeps the files that it was to open."""

    def __init__(self) -> None:
        self.opened: list[list[str]] = []
        self.proposed: list[str] = []

    async def open_masks(self, picture: PictureFile, masks: Sequence[PictureFile]) -> bytes:
        self.opened.append([mask.path for mask in masks])
        return tiles(np.zeros((HEIGHT, WIDTH), np.uint8))

    async def propose_mask(self, picture: PictureFile, region: ProposedRegion) -> bytes:
        self.proposed.append(region)
        return tiles(bar())

    async def propose_object(self, picture: PictureFile, x: int, y: int) -> bytes:
        self.proposed.append(f"object at {x}, {y}")
        return tiles(bar())


@pytest.fixture
def client(page: Page, root: Path) -> Iterator[TestClient]:
    """Return the browser of Anna, a picture in selected/, and no worker process."""
    with signed_in_client(page) as browser:
        browser.app.state.mask_jobs = MaskJobsDouble()
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / "selected" / "hero.png")
        yield browser


def jobs(client: TestClient) -> MaskJobsDouble:
    double: MaskJobsDouble = client.app.state.mask_jobs
    return double


def save(client: TestClient, path: str = "selected/hero.png", replaces: str = "", body: bytes | None = None, **query: str) -> Any:
    return client.put(f"/paint-mask/{path}", params={"replaces": replaces, **query}, content=tiles(bar()) if body is None else body)


def stamp_of(client: TestClient, path: str = "selected/hero.png") -> str:
    return str(client.get(f"/paint-mask/{path}").headers["x-mask-stamp"])


def archived(root: Path) -> list[str]:
    """Return the files in the archive, below the folder of their day."""
    return sorted(str(path.relative_to(root / "archive")).partition("/")[2] for path in (root / "archive").rglob("*") if path.is_file())


def test_a_mask_is_written_beside_its_picture_pixel_for_pixel(client: TestClient, root: Path) -> None:
    """8-bit grey, at the picture's own size; the answer says where it is."""
    answer = save(client)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"sentence": "Saved as hero.mask.png.", "stamp": stamp_of(client)}
    image = Image.open(root / "selected" / "hero.mask.png")
    assert (image.mode, image.size) == ("L", (WIDTH, HEIGHT))
    assert np.array_equal(np.asarray(image), bar())
    assert sorted(os.listdir(root / "selected")) == ["hero.mask.png", "hero.png"]


def test_saving_again_replaces_the_mask_and_keeps_the_old_one_in_the_archive(client: TestClient, root: Path) -> None:
    """What a person has painted is not lost by painting over it, however often."""
    for value in (255, 128, 64):
        save(client, replaces=stamp_of(client), body=tiles(bar(value)))
    assert np.asarray(Image.open(root / "selected" / "hero.mask.png")).max() == 64
    assert archived(root) == ["selected/hero.mask.png", "selected/hero.mask~2.png"]
    assert not [path for path in root.rglob(".*") if path.is_file()]


def test_a_mask_that_somebody_else_has_saved_meanwhile_is_not_replaced(client: TestClient, root: Path) -> None:
    """Only after a second, deliberate step."""
    Image.new("L", (WIDTH, HEIGHT), 9).save(root / "selected" / "hero.mask.png")
    refused = save(client)
    assert refused.status_code == 409
    assert refused.json()["error"] == "The mask has been changed by somebody else since you opened it."
    assert np.asarray(Image.open(root / "selected" / "hero.mask.png")).max() == 9
    assert save(client, replaces="*").status_code == 200
    assert np.array_equal(np.asarray(Image.open(root / "selected" / "hero.mask.png")), bar())
    assert archived(root) == ["selected/hero.mask.png"]


def test_a_mask_that_somebody_saves_while_this_one_arrives_is_not_replaced(client: TestClient, root: Path) -> None:
    """A slow connection leaves time for that."""
    data = tiles(bar())
    Image.new("L", (WIDTH, HEIGHT), 5).save(root / "selected" / "hero.mask.png")
    stamp = stamp_of(client)

    def slow() -> Iterator[bytes]:
        yield data[:100]
        Image.new("L", (WIDTH, HEIGHT), 9).save(root / "selected" / "hero.mask.png")
        yield data[100:]

    refused = client.put(
        "/paint-mask/selected/hero.png", params={"replaces": stamp}, content=slow(), headers={"content-length": str(len(data))}
    )
    assert refused.status_code == 409
    assert np.asarray(Image.open(root / "selected" / "hero.mask.png")).max() == 9


def test_a_png_mask_of_another_name_keeps_its_name(client: TestClient, root: Path) -> None:
    """As if a person had saved over it."""
    Image.new("L", (WIDTH, HEIGHT), 9).save(root / "selected" / "hero_mask001.png")
    assert save(client, replaces=stamp_of(client)).json()["sentence"] == "Saved as hero_mask001.png."
    assert sorted(os.listdir(root / "selected")) == ["hero.png", "hero_mask001.png"]


def test_several_masks_become_one_and_stay_in_the_archive(client: TestClient, root: Path) -> None:
    """The page opens their union and says which files it takes away."""
    for name in ("hero_mask.jpg", "hero.mask.png"):
        Image.new("L", (WIDTH, HEIGHT), 9).save(root / "selected" / name)
    html = client.get("/paint/selected/hero.png", headers=AS_BROWSER).text
    assert "Saving writes hero.mask.png and takes hero_mask.jpg away; a copy of it stays in the archive." in html
    stamp = stamp_of(client)
    assert sorted(jobs(client).opened[-1]) == ["selected/hero.mask.png", "selected/hero_mask.jpg"]
    assert save(client, replaces=stamp).status_code == 200
    assert sorted(os.listdir(root / "selected")) == ["hero.mask.png", "hero.png"]
    assert archived(root) == ["selected/hero.mask.png", "selected/hero_mask.jpg"]


def test_the_mask_of_one_of_two_pictures_of_a_name_belongs_to_it_alone(client: TestClient, root: Path) -> None:
    """hero.mask.png could belong to either."""
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / "selected" / "hero.jpg")
    save(client)
    assert (root / "selected" / "hero.png.mask.png").exists()


def test_a_named_mask_has_its_name_in_the_file(client: TestClient, root: Path) -> None:
    """Steps call it by that name; the mask without a name is another one."""
    save(client, name="sky")
    assert sorted(os.listdir(root / "selected")) == ["hero.mask.sky.png", "hero.png"]
    assert stamp_of(client) == ""


@pytest.mark.parametrize("name", ["subject", "../up", "a b", "", "9", "x" * 41, "sky.png"])
def test_a_name_that_no_mask_can_have_is_refused(client: TestClient, root: Path, name: str) -> None:
    """Words for regions would hide them; the others are no names."""
    assert save(client, name=name).status_code == 400
    assert os.listdir(root / "selected") == ["hero.png"]


def test_a_keep_file_is_named_on_the_page(client: TestClient, root: Path) -> None:
    """It takes something out of the mask, whatever is painted."""
    Image.new("L", (WIDTH, HEIGHT), 9).save(root / "selected" / "hero.keep.png")
    html = client.get("/paint/selected/hero.png", headers=AS_BROWSER).text
    assert "hero.keep.png is there too: what is white in it stays unchanged" in html


@pytest.mark.parametrize("folder", ["delivered", "archive", "review/approve"])
def test_pictures_that_are_not_worked_on_get_no_mask(client: TestClient, root: Path, folder: str) -> None:
    """A mask there would do nothing."""
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / folder / "hero.png")
    refused = save(client, path=f"{folder}/hero.png")
    assert refused.status_code == 409
    assert "inbox/, selected/, masked/, graded/" in refused.json()["remedy"]
    assert os.listdir(root / folder) != []
    assert not list((root / folder).glob("*.mask.png"))


def test_a_mask_that_waits_in_review_is_painted_over(client: TestClient, root: Path) -> None:
    """The page says what to do then. A mask that nobody waits for is none, because no step would use it."""
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / "review" / "hero.png")
    refused = save(client, "review/hero.png")
    assert (refused.status_code, refused.json()["error"]) == (409, "No mask waits with hero.png in review/.")
    for name in ("hero.mask.png", "hero.mask.sky.png"):
        Image.new("L", (WIDTH, HEIGHT), 9).save(root / "review" / name)
        query = {"name": "sky"} if "sky" in name else {}
        stamp = client.get("/paint-mask/review/hero.png", params=query).headers["x-mask-stamp"]
        assert save(client, "review/hero.png", stamp, **query).status_code == 200
        assert np.array_equal(np.asarray(Image.open(root / "review" / name)), bar())
    assert archived(root) == ["review/hero.mask.png", "review/hero.mask.sky.png"]
    html = client.get("/paint/review/hero.png", headers=AS_BROWSER).text
    assert "then go back and approve" in html
    assert 'href="/look/review/hero.png"' in html


def test_the_mask_of_a_result_in_review_is_painted_for_the_next_try(client: TestClient, root: Path) -> None:
    """Over the picture before, in the copy from which the result is made again; the way back leads to the result."""
    path = lay_in_review(root)
    original = path.replace("hero.png", "hero.review.before.png")
    for file in (path, original):
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / file)
    assert save(client, path).status_code == 409
    mask = root / original.replace(".png", ".mask.png")
    assert save(client, original, stamp_of(client, original)).status_code == 200
    assert np.array_equal(np.asarray(Image.open(mask)), bar())
    html = client.get(f"/paint/{original}", headers=AS_BROWSER).text
    assert "choose “Make again”" in html
    assert f'href="/look/{path}"' in html
    assert sorted(os.listdir(root / "review/acme")) == sorted(
        ["hero.png", "hero.toml", "hero.review.jpg", "hero.review.before.png", "hero.review.before.mask.png"]
    )


@pytest.mark.parametrize("path", ["selected/none.png", "selected/../selected/hero.png", "selected/hero.toml", "config/hero.png"])
def test_only_a_picture_that_is_there_gets_a_mask(client: TestClient, path: str) -> None:
    """Paths out of the folders lead nowhere."""
    assert save(client, path=path.replace("..", "%2e%2e")).status_code == 404


def test_a_link_in_the_place_of_the_picture_is_not_followed(client: TestClient, root: Path, tmp_path: Path) -> None:
    """Somebody on the share may have put it there."""
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "outside.png")
    (root / "selected" / "link.png").symlink_to(tmp_path / "outside.png")
    assert save(client, path="selected/link.png").status_code == 404
    (root / "selected" / "hero.mask.png").symlink_to(tmp_path / "outside.png")
    before = (tmp_path / "outside.png").read_bytes()
    save(client, replaces="*")
    assert (tmp_path / "outside.png").read_bytes() == before


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (tiles(np.zeros((HEIGHT, WIDTH), np.uint8)), "The mask is all black"),
        (tiles(bar())[:-40], "has not arrived completely"),
        (tiles(bar().T), "no mask of this picture"),
        (b"<svg onload=alert(1)>", "no mask of this picture"),
    ],
    ids=["black", "cut off", "another size", "a drawing"],
)
def test_what_is_no_mask_is_not_written(client: TestClient, root: Path, body: bytes, sentence: str) -> None:
    """All or nothing, and a sentence about it."""
    refused = save(client, body=body)
    assert (refused.status_code, sentence in refused.json()["error"]) == (400, True)
    assert os.listdir(root / "selected") == ["hero.png"]
    assert archived(root) == []


def test_a_full_disk_leaves_the_old_mask(client: TestClient, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file is whole, the new one is not there, and the person is told."""
    Image.new("L", (WIDTH, HEIGHT), 9).save(root / "selected" / "hero.mask.png")

    def no_space(*_: object) -> int:
        raise OSError(28, "No space left on device")

    stamp = stamp_of(client)
    monkeypatch.setattr("goldsmith.files.os.write", no_space)
    refused = save(client, replaces=stamp)
    monkeypatch.undo()
    assert (refused.status_code, "No space left" in refused.json()["error"]) == (503, True)
    assert np.asarray(Image.open(root / "selected" / "hero.mask.png")).max() == 9
    assert sorted(os.listdir(root / "selected")) == ["hero.mask.png", "hero.png"]


def test_the_size_of_a_picture_is_asked_once(client: TestClient) -> None:
    """A worker process decodes the picture for that."""
    client.get("/paint-mask/selected/hero.png")
    save(client)
    assert len(jobs(client).opened) == 1


def test_a_proposal_needs_an_engine_that_is_there(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one there is neither a button nor an answer."""
    monkeypatch.setattr("goldsmith.web.painting.mask_pages.check_engine", lambda _weights, need: None if "face" in need.kind.name else "no")
    html = client.get("/paint/selected/hero.png", headers=AS_BROWSER).text
    assert [word for word in ("subject", "face", "hands", "text") if f'data-region="{word}"' in html] == ["face"]
    assert client.post("/paint-proposal/selected/hero.png", params={"region": "hands"}).status_code == 404
    assert client.post("/paint-proposal/selected/hero.png", params={"region": "left"}).status_code == 404
    answer = client.post("/paint-proposal/selected/hero.png", params={"region": "face"})
    reader = MaskReader(WIDTH, HEIGHT)
    reader.feed(answer.content)
    assert np.array_equal(np.asarray(Image.open(BytesIO(reader.finish()))), bar())
    assert jobs(client).proposed == ["face"]


def test_the_object_at_a_place_needs_the_engine_that_finds_subjects(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it there is neither the tool nor an answer; a place that is none is refused."""
    kinds = {"matte"}
    monkeypatch.setattr("goldsmith.web.painting.mask_pages.check_engine", lambda _weights, need: None if need.kind.name in kinds else "no")

    def ask(**place: str) -> int:
        return client.post("/paint-proposal/selected/hero.png", params={"region": "object", **place}).status_code

    assert 'value="object"' in client.get("/paint/selected/hero.png", headers=AS_BROWSER).text
    assert [ask(x="7", y="39"), ask(x="7"), ask(x="-1", y="2"), ask(x="1.5", y="2"), ask(x="9" * 20, y="2")] == [200, 400, 400, 400, 400]
    kinds.clear()
    assert 'value="object"' not in client.get("/paint/selected/hero.png", headers=AS_BROWSER).text
    assert ask(x="7", y="39") == 404
    assert jobs(client).proposed == ["object at 7, 39"]


def test_a_name_with_markup_is_text_on_the_page(client: TestClient, root: Path) -> None:
    """The name of a picture comes from whoever writes to the share."""
    name = '"><img src=x onerror=alert(1)>.png'
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / "selected" / name)
    html = client.get("/paint/selected/" + name.replace("/", "%2F"), headers=AS_BROWSER).text
    assert "<img src=x" not in html
    assert "&lt;img src=x" in html


def test_of_two_people_who_save_at_once_one_is_told_so(client: TestClient, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has opened the same mask; the second save is compared with the mask of the first."""
    Image.fromarray(bar(9)).save(root / "selected" / "hero.mask.png")
    stamp = stamp_of(client)

    def save_bar(value: int) -> Any:
        return save(client, replaces=stamp, body=tiles(bar(value)))

    saved = winner_of(monkeypatch, mask_pages, "replace_mask", save_bar, (100, 200))
    assert np.asarray(Image.open(root / "selected" / "hero.mask.png")).max() == saved
    assert archived(root) == ["selected/hero.mask.png"]


def test_a_mask_that_an_editor_saves_during_the_save_is_not_taken_away(
    client: TestClient, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was to be replaced, but what the editor has written is nowhere else."""
    other = root / "selected" / "hero_mask.png"
    Image.fromarray(bar(9)).save(other)
    Image.fromarray(bar(9)).save(root / "selected" / "hero.mask.png")
    stamp = stamp_of(client)
    real = mask_files.put_file

    def write(*values: Any, **options: Any) -> None:
        Image.fromarray(bar(50)).save(other)
        real(*values, **options)

    monkeypatch.setattr(mask_files, "put_file", write)
    assert save(client, replaces=stamp).status_code == 200
    assert np.asarray(Image.open(other)).max() == 50
