"""Painting a mask in a real browser: by mouse, touch, pen and keyboard. What arrives in the PNG is checked pixel by pixel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from doubles.browsers import PHONE, ServedPage
from goldsmith.errors import InputError
from goldsmith.picture.picture import freeze
from goldsmith.web.painting.mask_jobs import MaskJobs
from goldsmith.web.painting.mask_operation import tiles_file

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

WIDTH, HEIGHT = 600, 400
MASK = "hero.mask.png"


@pytest.fixture
def campaign(site: ServedPage, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return a folder in selected/ for each test, with a picture. No tab may complain, unless a test takes the complaint away."""
    folder = Path(site.page.root.path, "selected", re.sub(r"\W", "", request.node.name))
    folder.mkdir()
    Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 160)).save(folder / "hero.png")
    yield folder
    assert site.complaints == []


class Easel:
    """The tab that paints, at 100 %, with the picture in the middle."""

    def __init__(self, tab: Any, width: int = WIDTH, height: int = HEIGHT) -> None:
        self.tab = tab
        self.size = (width, height)
        tab.wait_for_selector("#paint-canvas[data-ready=true]")
        self.press("1")

    @property
    def corner(self) -> tuple[float, float]:
        """The top left corner of the picture, in CSS px of the screen."""
        box = self.tab.locator("#paint-canvas").bounding_box()
        return box["x"] + box["width"] / 2 - self.size[0] / 2, box["y"] + box["height"] / 2 - self.size[1] / 2

    def press(self, *keys: str) -> None:
        """Press keys, as somebody who has the picture before him."""
        for key in keys:
            self.tab.locator("#paint-canvas").press(key)

    def slide(self, name: str, value: int) -> None:
        """Set a slider."""
        self.tab.locator(f"#paint-{name}").fill(str(value))

    def drag(self, *points: tuple[float, float]) -> list[tuple[float, float]]:
        """Drag the mouse over points of the screen, relative to the picture; return them in px of the picture."""
        left, top = self.corner
        places = [(round(left + x), round(top + y)) for x, y in points]
        self.tab.mouse.move(*places[0])
        self.tab.mouse.down()
        for place in places[1:]:
            self.tab.mouse.move(*place, steps=5)
        self.tab.mouse.up()
        return [(x - left, y - top) for x, y in places]

    def save(self, folder: Path, name: str = MASK) -> NDArray[np.uint8]:
        """Save and return the codes (h, w) in the file."""
        self.press("Control+s")
        self.tab.get_by_text(f"Saved as {name}.").wait_for()
        image = Image.open(folder / name)
        assert image.mode == "L"
        return np.asarray(image)


def stroke(start: tuple[float, float], end: tuple[float, float], radius: float, softness: float) -> NDArray[np.float64]:
    """Return the values (h, w), 0..255, of a straight stroke: full inside, a smooth step over the soft edge, 0 outside."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = dx * dx + dy * dy
    along = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / length, 0, 1) if length else np.zeros_like(x)
    distance = np.hypot(x - start[0] - along * dx, y - start[1] - along * dy)
    share = np.clip((radius + 0.5 - distance) / max(1.0, radius * softness), 0, 1)
    return np.asarray(255 * share * share * (3 - 2 * share))


class Fingers:
    """Fingers on the screen of a tab."""

    def __init__(self, tab: Any) -> None:
        self.session = tab.context.new_cdp_session(tab)

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        """Send one touch event with these fingers, in CSS px of the screen."""
        fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})


@pytest.mark.parametrize("softness", [0, 60])
def test_a_stroke_of_the_mouse_is_in_the_file_pixel_for_pixel(site: ServedPage, campaign: Path, softness: int) -> None:
    """The size of the picture, 8-bit grey, the soft edge as set, and 0 outside the stroke."""
    with site.tab(f"paint/selected/{campaign.name}/hero.png") as tab:
        easel = Easel(tab)
        easel.slide("size", 50)
        easel.slide("softness", softness)
        start, end = easel.drag((120, 90), (430, 260))
        codes = easel.save(campaign)
    expected = stroke(start, end, 25, softness / 100)
    assert codes.shape == (HEIGHT, WIDTH)
    assert np.abs(codes - expected).max() <= 1
    assert not codes[expected == 0].any()
    assert codes.max() == 255


def test_a_reload_keeps_what_is_not_saved_and_forgets_what_is(site: ServedPage, campaign: Path) -> None:
    """The browser keeps the painting until it is saved."""
    with site.tab(f"paint/selected/{campaign.name}/hero.png") as tab:
        easel = Easel(tab)
        easel.slide("size", 40)
        easel.slide("softness", 0)
        start, end = easel.drag((200, 100), (300, 100))
        tab.get_by_text("Not saved yet.").wait_for()
        tab.reload()
        tab.get_by_text("Your unsaved painting is back.").wait_for()
        assert not (campaign / MASK).exists()
        codes = Easel(tab).save(campaign)
        tab.reload()
        Easel(tab)
        assert tab.locator("#paint-status").text_content() == ""
    assert np.abs(codes - stroke(start, end, 20, 0)).max() <= 1


# Presses both keys before the browser can keep the cleared mask.
CLEAR_AND_SAVE = """() => {
    const canvas = document.querySelector("#paint-canvas");
    for (const [key, ctrlKey] of [["Delete", false], ["s", true]]) {
        canvas.dispatchEvent(new KeyboardEvent("keydown", { key, ctrlKey, bubbles: true }));
    }
}"""
# Ends when the browser has done all that it was to do with the drafts before.
DRAFT_KEPT = """() => new Promise((resolve) => {
    const request = indexedDB.open("goldsmith-masks");
    request.onsuccess = () => {
        const transaction = request.result.transaction(["drafts", "tiles"]);
        transaction.oncomplete = resolve;
        transaction.objectStore("tiles").count();
    };
})"""


def test_undo_redo_invert_and_clear_go_back_and_forth(site: ServedPage, campaign: Path) -> None:
    """Each is one step, by keyboard. Why a mask cannot be saved stays to be read, although the browser keeps the draft after that."""
    with site.tab(f"paint/selected/{campaign.name}/hero.png") as tab:
        easel = Easel(tab)
        easel.slide("size", 30)
        easel.drag((100, 100), (200, 100))
        easel.drag((100, 300), (200, 300))
        easel.press("Control+z")
        single = easel.save(campaign)
        easel.press("Control+Shift+z")
        two = easel.save(campaign)
        easel.press("i")
        inverted = easel.save(campaign)
        easel.press("Control+z", "Delete", "Control+z")
        again = easel.save(campaign)
        tab.evaluate(CLEAR_AND_SAVE)
        tab.evaluate(DRAFT_KEPT)
        assert "The mask is all black" in tab.locator("#paint-status").text_content()
    assert (single[100, 150], single[300, 150]) == (255, 0)
    assert (two[100, 150], two[300, 150]) == (255, 255)
    assert np.array_equal(inverted, 255 - two)
    assert np.array_equal(again, two)


def test_the_eraser_works_on_the_mask_that_is_there_and_says_who_else_saves(site: ServedPage, campaign: Path) -> None:
    """A mask is opened with its greys; one that changes meanwhile is replaced only on demand."""
    codes = np.tile((np.arange(WIDTH) % 256).astype(np.uint8), (HEIGHT, 1))
    Image.fromarray(codes).save(campaign / MASK)
    with site.tab(f"paint/selected/{campaign.name}/hero.png") as tab:
        easel = Easel(tab)
        easel.press("e")
        easel.slide("size", 40)
        easel.slide("softness", 0)
        start, end = easel.drag((300, 50), (300, 350))
        Image.new("L", (WIDTH, HEIGHT), 9).save(campaign / MASK)
        easel.press("Control+s")
        tab.get_by_text("has been changed by somebody else").wait_for()
        tab.get_by_role("button", name="Save over it").click()
        tab.get_by_text("Saved as").wait_for()
    site.complaints.clear()  # the browser reports the refusal
    erased = stroke(start, end, 20, 0)
    assert np.abs(np.asarray(Image.open(campaign / MASK)) - np.minimum(codes, 255 - erased)).max() <= 1


def test_a_lasso_fills_its_outline_and_takes_away(site: ServedPage, campaign: Path) -> None:
    """A square with a square hole."""
    with site.tab(f"paint/selected/{campaign.name}/hero.png") as tab:
        easel = Easel(tab)
        easel.press("l")
        outer = easel.drag((100, 100), (300, 100), (300, 300), (100, 300))
        easel.press("x")
        inner = easel.drag((150, 150), (250, 150), (250, 250), (150, 250))
        codes = easel.save(campaign)
    (left, top), (right, bottom) = outer[0], outer[2]
    hole_left, hole_top = inner[0]
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    inside = (np.minimum(x - left, right - x) > 1) & (np.minimum(y - top, bottom - y) > 1)
    outside = (np.minimum(x - left, right - x) < -1) | (np.minimum(y - top, bottom - y) < -1)
    hole = (np.minimum(x - hole_left, hole_left + 100 - x) > 1) & (np.minimum(y - hole_top, hole_top + 100 - y) > 1)
    ring = inside & ((x < hole_left - 1) | (x > hole_left + 101) | (y < hole_top - 1) | (y > hole_top + 101))
    assert (codes[ring] == 255).all()
    assert not codes[outside].any()
    assert not codes[hole].any()


def test_one_finger_paints_and_two_fingers_zoom(site: ServedPage, campaign: Path) -> None:
    """On a phone; what the first of two fingers began is not painted."""
    with site.tab(f"paint/selected/{campaign.name}/hero.png", **PHONE) as tab:
        tab.wait_for_selector("#paint-canvas[data-ready=true]")
        assert tab.evaluate("document.documentElement.scrollWidth") == 390
        tab.locator("#paint-size").fill("60")
        tab.locator("#paint-canvas").scroll_into_view_if_needed()
        box = tab.locator("#paint-canvas").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        touch = Fingers(tab).touch
        touch("touchStart", (x - 60, y))
        touch("touchMove", (x + 60, y))
        touch("touchEnd")
        tab.get_by_text("Not saved yet.").wait_for()
        before = tab.locator("#paint-canvas").get_attribute("data-zoom")
        touch("touchStart", (x - 20, y + 50))
        touch("touchMove", (x - 20, y + 55))
        touch("touchStart", (x - 20, y + 55), (x + 20, y + 55))
        touch("touchMove", (x - 80, y + 55), (x + 80, y + 55))
        touch("touchEnd")
        tab.wait_for_selector(f"#paint-canvas:not([data-zoom='{before}'])")
        tab.get_by_role("button", name=f"Save {MASK}").tap()
        tab.get_by_text("Saved as").wait_for()
    codes = np.asarray(Image.open(campaign / MASK))
    scale = min((box["width"] - 32) / WIDTH, (box["height"] - 32) / HEIGHT)
    expected = stroke((WIDTH / 2 - 60 / scale, HEIGHT / 2), (WIDTH / 2 + 60 / scale, HEIGHT / 2), 30, 0.2)
    assert np.abs(codes - expected).max() <= 24  # the edge, where fingers have fractions of a pixel
    assert np.abs(codes - expected).mean() < 0.2
    assert not codes[stroke((WIDTH / 2 - 60 / scale, HEIGHT / 2), (WIDTH / 2 + 60 / scale, HEIGHT / 2), 33, 0.2) == 0].any()


def test_the_wheel_zooms_at_the_pointer(site: ServedPage, campaign: Path) -> None:
    """What is under the pointer stays there, and a stroke on the screen is shorter in the picture."""
    with site.tab(f"paint/selected/{campaign.name}/hero.png") as tab:
        easel = Easel(tab)
        easel.slide("size", 20)
        easel.slide("softness", 0)
        left, top = easel.corner
        x, y = round(left) + 400, round(top) + 150
        tab.mouse.move(x, y)
        tab.mouse.wheel(0, -400)
        easel.drag((x - left, y - top), (x - left + 91, y - top))
        codes = easel.save(campaign)
    start = (x - left, y - top)
    assert np.abs(codes - stroke(start, (start[0] + 91 / 1.0015**400, start[1]), 10, 0)).max() <= 64  # fractions of a pixel at the edge
    assert (codes > 127).any(axis=0).sum() == round(20 + 91 / 1.0015**400)


def test_a_pen_paints_by_its_pressure_and_fingers_then_only_move(site: ServedPage, campaign: Path) -> None:
    """Half the pressure is half the size; the palm beside the pen paints nothing."""
    with site.tab(f"paint/selected/{campaign.name}/hero.png", has_touch=True) as tab:
        easel = Easel(tab)
        easel.slide("size", 80)
        easel.slide("softness", 0)
        session = tab.context.new_cdp_session(tab)
        left, top = easel.corner
        x, y = round(left + 300), round(top + 200)
        for kind in ("mousePressed", "mouseReleased"):
            session.send(
                "Input.dispatchMouseEvent",
                {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1, "pointerType": "pen", "force": 0.5},
            )
        tab.get_by_text("Not saved yet.").wait_for()
        fingers = Fingers(tab)
        fingers.touch("touchStart", (x - 100, y))
        fingers.touch("touchEnd")
        codes = easel.save(campaign)
    expected = stroke((x - left, y - top), (x - left, y - top), 20, 0)
    assert np.abs(codes - expected).max() <= 1


def test_a_mask_is_painted_by_the_keyboard_alone(site: ServedPage, campaign: Path) -> None:
    """Arrows move the pointer, Enter puts the brush down and lifts it; what the page says is on the screen."""
    with site.tab(f"paint/selected/{campaign.name}/hero.png") as tab:
        tab.wait_for_selector("#paint-canvas[data-ready=true]")
        for _ in range(60):
            if tab.evaluate("document.activeElement.id") == "paint-canvas":
                break
            tab.keyboard.press("Tab")
        for key in ("Enter", "ArrowRight", "ArrowRight", "Shift+ArrowRight", "Enter", "ArrowDown", "Control+s"):
            tab.keyboard.press(key)
        playwright.expect(tab.get_by_text("Saved as")).to_be_in_viewport()
    codes = np.asarray(Image.open(campaign / MASK))
    radius = round(HEIGHT / 16) / 2
    expected = stroke((WIDTH / 2, HEIGHT / 2), (WIDTH / 2 + 2 * radius + 1, HEIGHT / 2), radius, 0.2)
    assert np.abs(codes - expected).max() <= 1


OBJECT = (slice(120, 260), slice(200, 380))


@pytest.fixture
def object_finder(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Stand for the engine: an object is found in its box and nothing elsewhere. Return the places that were asked for."""
    places: list[tuple[int, int]] = []

    async def find(_jobs: object, _picture: object, x: int, y: int) -> bytes:
        places.append((x, y))
        mask = np.zeros((HEIGHT, WIDTH), np.float32)
        mask[OBJECT] = 1
        if not mask[y, x]:
            raise InputError("No object that stands out was found there.", "Paint the mask by hand.")
        return tiles_file(freeze(mask)).data

    monkeypatch.setattr("goldsmith.web.painting.mask_pages.check_engine", lambda _weights, _need: None)
    monkeypatch.setattr(MaskJobs, "propose_object", find)
    return places


def object_codes() -> NDArray[np.uint8]:
    """Return the codes (h, w) of the mask of the object."""
    codes = np.zeros((HEIGHT, WIDTH), np.uint8)
    codes[OBJECT] = 255
    return codes


def test_a_click_on_an_object_selects_it(site: ServedPage, campaign: Path, object_finder: list[tuple[int, int]]) -> None:
    """By mouse and by keyboard, as a step that undo takes back. Where nothing is found, a sentence says so and the mask stays."""
    with site.tab(f"paint/selected/{campaign.name}/hero.png") as tab:
        easel = Easel(tab)
        easel.press("c")
        easel.drag((30, 40))
        tab.get_by_text("No object that stands out was found there.").wait_for()
        easel.drag((300, 200))
        tab.get_by_text("Not saved yet.").wait_for()
        assert np.array_equal(easel.save(campaign), object_codes())
        easel.press("x", "Enter")
        tab.locator("#paint-canvas[data-saved=false]").wait_for()
        easel.press("Control+s")
        tab.get_by_text("The mask is all black").wait_for()
        easel.press("Control+z")
        assert np.array_equal(easel.save(campaign), object_codes())
        assert tab.locator("#paint-canvas").get_attribute("aria-busy") == "false"
    site.complaints[:] = [text for text in site.complaints if "status of 400" not in text]
    (x, y), *inside = object_finder
    assert (abs(x - 30), abs(y - 40)) <= (1, 1)
    assert len(inside) == 2


def test_a_proposed_region_is_taken_into_the_mask(site: ServedPage, campaign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one step; with the switch it is taken away."""

    async def propose(_jobs: object, _picture: object, region: str) -> bytes:
        mask = np.zeros((HEIGHT, WIDTH), np.float32)
        mask[OBJECT] = region == "subject"
        return tiles_file(freeze(mask)).data

    monkeypatch.setattr("goldsmith.web.painting.mask_pages.check_engine", lambda _weights, _need: None)
    monkeypatch.setattr(MaskJobs, "propose_mask", propose)
    with site.tab(f"paint/selected/{campaign.name}/hero.png") as tab:
        easel = Easel(tab)
        tab.get_by_role("button", name="Subject").click()
        tab.get_by_text("Not saved yet.").wait_for()
        assert np.array_equal(easel.save(campaign), object_codes())
        easel.press("i", "x")
        tab.get_by_role("button", name="Subject").click()
        tab.locator("#paint-canvas[aria-busy=false]").wait_for()
        assert np.array_equal(easel.save(campaign), 255 - object_codes())


def test_a_tap_on_an_object_selects_it(site: ServedPage, campaign: Path, object_finder: list[tuple[int, int]]) -> None:
    """On a phone; two fingers still zoom, and find nothing."""
    with site.tab(f"paint/selected/{campaign.name}/hero.png", **PHONE) as tab:
        tab.wait_for_selector("#paint-canvas[data-ready=true]")
        tab.get_by_role("radio", name="Object").tap()
        box = tab.locator("#paint-canvas").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        fingers = Fingers(tab)
        fingers.touch("touchStart", (x, y))
        fingers.touch("touchStart", (x, y), (x + 40, y))
        fingers.touch("touchEnd")
        fingers.touch("touchStart", (x, y))
        fingers.touch("touchEnd")
        tab.get_by_text("Not saved yet.").wait_for()
        tab.get_by_role("button", name=f"Save {MASK}").tap()
        tab.get_by_text("Saved as").wait_for()
    assert len(object_finder) == 1
    assert np.array_equal(np.asarray(Image.open(campaign / MASK)), object_codes())


def test_24_megapixels_are_painted_in_tiles(site: ServedPage, campaign: Path) -> None:
    """A flood by colour goes across tiles, only the tiles on the screen are drawn, and each pixel of the file is right."""
    picture = Image.new("RGB", (6000, 4000), (30, 60, 90))
    picture.paste((200, 40, 40), (2700, 1800, 3500, 2400))
    picture.save(campaign / "hero.png", compress_level=1)
    with site.tab(f"paint/selected/{campaign.name}/hero.png") as tab:
        easel = Easel(tab, 6000, 4000)
        assert tab.evaluate("(c => c.width * c.height)(document.querySelector('#paint-canvas'))") < 1000 * 1000
        easel.press("f")
        easel.drag((3000, 2000))
        tab.get_by_text("Not saved yet.").wait_for()
        assert 0 < int(tab.locator("#paint-canvas").get_attribute("data-tiles")) <= 12
        codes = easel.save(campaign)
    expected = np.zeros((4000, 6000), np.uint8)
    expected[1800:2400, 2700:3500] = 255
    assert np.array_equal(codes, expected)
