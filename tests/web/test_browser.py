"""The page in a real browser: Debian's Chromium, on a desktop and as a phone, by mouse, by touch and by the keyboard alone."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from doubles import web_pages
from doubles.browsers import DESKTOP, PHONE, RULES, ServedPage
from doubles.web_pages import lay_candidates, lay_in_review, small_png
from goldsmith.web.access import Visitor

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

Opener = Callable[..., Any]


@pytest.fixture
def root(site: ServedPage) -> Path:
    """Return the root, emptied."""
    root = Path(site.page.root.path)
    shutil.rmtree(root)
    web_pages.make_root(root)
    site.page.board.invalidate()
    return root


@pytest.fixture
def open_page(site: ServedPage) -> Iterator[Opener]:
    """Return a function that opens an address of the page, signed in. Afterwards no script may have failed and no rule been broken."""
    site.complaints.clear()
    with contextlib.ExitStack() as windows:

        def open_address(path: str = "/", device: dict[str, Any] = DESKTOP, **options: Any) -> Any:
            tab = windows.enter_context(site.window(**device, **options))
            if path != "/":
                tab.goto(site.address + path)
            return tab

        yield open_address
    # The browser itself remarks that a decision was refused, which the page says in its own words.
    assert [complaint for complaint in site.complaints if "409 (Conflict)" not in complaint] == []


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def until_gone(path: Path, tab: Any) -> None:
    """Wait for the answer to a decision, which loads another page; then the picture has moved."""
    tab.wait_for_url(lambda url: path.name not in url)
    assert not path.exists()


def test_the_keyboard_alone_leads_from_the_list_to_a_decision(root: Path, open_page: Opener) -> None:
    """Tab reaches the content and the picture; keys compare, zoom and decide; the next picture follows."""
    lay_in_review(root, "first", picture=saved(noise(900, 700)))
    lay_in_review(root, "second")
    tab = open_page("/?state=review")
    tab.keyboard.press("Tab")
    playwright.expect(tab.locator(".skip")).to_be_focused()
    tab.keyboard.press("Enter")
    for _ in range(30):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.textContent") == "first.png":
            break
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/look/review/acme/first.png")
    playwright.expect(tab.locator("#facts")).to_contain_text("900 x 700 px, 8 bit, PNG")
    for key, button in (("c", "#compare"), ("m", "#mask"), ("1", "[data-zoom='1']"), ("b", "#blink")):
        tab.keyboard.press(key)
        playwright.expect(tab.locator(button)).to_have_attribute("aria-pressed", "true")
    playwright.expect(tab.locator("#compare")).to_have_attribute("aria-pressed", "false")
    tab.keyboard.press("a")
    tab.wait_for_url("**/look/review/acme/second.png")
    assert (root / "review/approve/acme/first.png").exists()
    tab.keyboard.press("g")
    tab.keyboard.type("a warmer light")
    tab.keyboard.press("Enter")
    until_gone(root / "review/acme/second.png", tab)
    assert (root / "review/again/acme/second.txt").read_text() == "a warmer light\n"


def test_a_dialog_can_be_left_without_a_decision(root: Path, open_page: Opener) -> None:
    """By its button and by Escape; the picture stays."""
    path = lay_in_review(root)
    tab = open_page(f"/look/{path}")
    # The browser may close a dialog on Escape late, so that comes last.
    for leave in (lambda: tab.get_by_role("button", name="Cancel").click(), lambda: tab.keyboard.press("Escape")):
        tab.keyboard.press("x")
        playwright.expect(tab.locator("#remark")).to_be_focused()
        leave()
        playwright.expect(tab.locator("#ask")).to_be_hidden()
    assert (root / path).exists()


def test_a_phone_shows_and_decides_by_touch(root: Path, open_page: Opener) -> None:
    """At 390 px nothing sticks out, and the decision is in reach of the thumb."""
    path = lay_in_review(root, picture=saved(noise(900, 700)))
    tab = open_page("/", PHONE)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.locator(".name a").first.tap()
    tab.wait_for_url(f"**/look/{path}")
    playwright.expect(tab.locator("#facts")).to_contain_text("900 x 700 px")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    button = tab.get_by_role("button", name="Approve")
    box = button.bounding_box()
    assert box["height"] >= 44
    assert box["y"] + box["height"] <= 844
    button.tap()
    until_gone(root / path, tab)
    assert (root / "review/approve/acme/hero.png").exists()


def test_at_100_per_cent_the_screen_has_the_picture_s_own_pixels(root: Path, open_page: Opener) -> None:
    """Code by code, over the borders of the tiles; at 200 % each pixel is four."""
    pixels = noise(1100, 900)
    path = lay_in_review(root, picture=saved(pixels))
    tab = open_page(f"/look/{path}")
    playwright.expect(tab.locator("#facts")).to_contain_text("1100 x 900 px")
    for zoom in (1, 2):
        tab.keyboard.press(str(zoom))
        tab.evaluate("document.getElementById('viewer').scrollTo(400, 400)")
        playwright.expect(tab.locator("#after .tile")).not_to_have_count(0)
        _until_loaded(tab)
        frame = tab.locator("#viewer").bounding_box()
        left, top = (tab.evaluate(f"document.getElementById('viewer').{side}") for side in ("scrollLeft", "scrollTop"))
        clip = {"x": frame["x"] + 40, "y": frame["y"] + 40, "width": 300, "height": 300}
        screen = np.asarray(Image.open(io.BytesIO(tab.screenshot(clip=clip))).convert("RGB"))
        enlarged = pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)
        part = enlarged[int(top) + 40 : int(top) + 340, int(left) + 40 : int(left) + 340]
        assert np.array_equal(screen, part)


def _until_loaded(tab: Any) -> None:
    """Wait until every tile is decoded. The policy of the page forbids functions made of text, so the driver asks again itself."""
    code = "[...document.querySelectorAll('#after .tile')].every((tile) => tile.complete && tile.naturalWidth > 0)"
    while not tab.evaluate(code):
        tab.wait_for_timeout(50)


def test_the_slider_moves_the_edge_between_before_and_after(root: Path, open_page: Opener) -> None:
    """Left of it is before, right of it after; the arrow keys move it."""
    path = lay_in_review(root, picture=small_png(200, 400, 300))
    (root / "review/acme/hero.review.before.png").write_bytes(small_png(20, 400, 300))
    tab = open_page(f"/look/{path}")
    playwright.expect(tab.locator("#facts")).to_contain_text("400 x 300 px")
    tab.click("#compare")
    tab.locator("#slider").fill("250")
    content = tab.locator("#content").bounding_box()
    clip = {"x": content["x"], "y": content["y"] + 20, "width": 400, "height": 4}
    while True:
        row = np.asarray(Image.open(io.BytesIO(tab.screenshot(clip=clip))).convert("L"))[2].astype(int)
        if row[50] != row[200]:
            break
        tab.wait_for_timeout(50)
    assert (abs(row[50] - 20) <= 2, abs(row[200] - 200) <= 2) == (True, True)
    tab.locator("#slider").focus()
    tab.keyboard.press("End")
    assert tab.evaluate("document.getElementById('before').style.clipPath") == "inset(0px)"


def test_candidates_are_picked_by_keys(root: Path, open_page: Opener) -> None:
    """A number, an arrow with the space bar, and the button; what was chosen goes on."""
    paths = lay_candidates(root, 5)
    tab = open_page(f"/pick/{paths[0]}")
    tab.locator(".cell").first.focus()
    tab.keyboard.press("2")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press(" ")
    playwright.expect(tab.locator("[aria-selected=true]")).to_have_count(2)
    tab.get_by_role("button", name="Approve the chosen").press("Enter")
    tab.wait_for_url("**/?state=review")
    assert sorted(os.listdir(root / "review/approve/acme")) == ["hero_candidate002.png", "hero_candidate003.png"]


def test_the_list_renews_itself(root: Path, open_page: Opener) -> None:
    """A picture that arrives appears without a reload, and the focus stays where it was."""
    (root / "inbox/alone.png").write_bytes(small_png(1))
    tab = open_page("/")
    playwright.expect(tab.locator(".name")).to_have_count(1)
    tab.locator(".name a").focus()
    (root / "inbox/second.png").write_bytes(small_png(1))
    playwright.expect(tab.locator(".name")).to_have_count(2)
    playwright.expect(tab.get_by_role("link", name="alone.png")).to_be_focused()


def test_progress_is_shown_in_place(root: Path, open_page: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever signs a name has, also bytes that are no UTF-8."""
    names = ["gr\udcfcn.png", "hero (final)! it's.png"]
    for name in names:
        (root / "inbox" / name).write_bytes(small_png(1))
    jobs = [{"path": f"inbox/{name}", "sentence": "Being worked on: erase, 40%.", "progress": 0.4} for name in names]
    monkeypatch.setattr("goldsmith.web.events.read_progress", lambda _location: jobs)
    tab = open_page("/")
    playwright.expect(tab.locator(".sentence")).to_have_text(["Being worked on: erase, 40%."] * 2)
    for bar in tab.locator("progress").all():
        playwright.expect(bar).to_have_js_property("value", 0.4)


def test_single_keys_can_be_switched_off(root: Path, open_page: Opener) -> None:
    """For people whose voice types; the buttons go on working, and the choice is kept."""
    path = lay_in_review(root)
    tab = open_page(f"/look/{path}")
    tab.locator(".keys summary").click()
    tab.locator("#shortcuts").uncheck()
    tab.reload()
    tab.keyboard.press("m")
    playwright.expect(tab.locator("#mask")).to_have_attribute("aria-pressed", "false")
    tab.click("#mask")
    playwright.expect(tab.locator("#mask")).to_have_attribute("aria-pressed", "true")


def test_a_decision_of_somebody_else_is_said(root: Path, open_page: Opener) -> None:
    """The sentence stays until it is dismissed."""
    path = lay_in_review(root)
    tab = open_page(f"/look/{path}")
    playwright.expect(tab.locator("#facts")).to_contain_text("8 x 6 px")
    (root / path).rename(root / "review/approve/hero.png")
    with tab.expect_response("**/decide"):
        tab.keyboard.press("a")
    playwright.expect(tab.locator("#message")).to_contain_text("somebody may have decided already")


@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page_keeps_the_rules_of_accessibility(root: Path, open_page: Opener, device: dict[str, Any]) -> None:
    """Light and dark: names, labels, contrast, sizes for fingers, landmarks, headings; no name runs as code, and no long one sticks out."""
    evil = "<img src=x onerror=alert(1)>"
    path = lay_in_review(root)
    lay_candidates(root, 3, "set")
    (root / f"inbox/{evil}.png").write_bytes(small_png(1))
    long = f"selected/{'long_' * 20}name.png"
    (root / long).write_bytes(small_png(1))
    tab = open_page("/", device)
    address = tab.url.rstrip("/")
    pages = [f"look/{path}", "pick/review/acme/set_candidate001.png", "look/inbox/%3Cimg%20src=x%20onerror=alert(1)%3E.png"]
    for page in ("", "drop/inbox", "sign-in?next=/", *pages, *(f"{kind}/{long}" for kind in ("look", "paint", "ask"))):
        tab.goto(f"{address}/{page}")
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            assert tab.evaluate(RULES) == []
        assert tab.evaluate("document.documentElement.scrollWidth") == device["viewport"]["width"]


def test_nothing_moves_for_people_who_have_asked_for_it(open_page: Opener) -> None:
    """Whatever a part of the page would do, here a change that takes three seconds, it does at once."""
    tab = open_page("/")
    tab.evaluate("document.body.style.transition = 'opacity 3s'")
    for wish, duration in (("no-preference", "3s"), ("reduce", "0s")):
        tab.emulate_media(reduced_motion=wish)
        assert tab.evaluate("getComputedStyle(document.body).transitionDuration") == duration


def test_the_rules_notice_what_breaks_them(open_page: Opener) -> None:
    """The test above would also pass if they looked for nothing."""
    tab = open_page("/")
    for html, rule in (
        ('<img src="/static/icon.svg">', "has no alt"),
        ("<button></button>", "has no name"),
        ("<input>", "has no name"),
        ('<a href="/x">x</a>', "is too small"),
        ("<h1>a</h1><h5>b</h5>", "skips a level"),
        ('<i id="main">x</i>', "is there twice"),
        ('<p class="pale">pale words</p>', "contrast"),
    ):
        complaints = tab.evaluate(
            """([html, rules]) => {
                const box = document.createElement("div");
                box.append(...new DOMParser().parseFromString(html, "text/html").body.children);
                for (const pale of box.querySelectorAll(".pale")) pale.style.color = "#bbb";
                for (const link of box.querySelectorAll("a")) { link.style.display = "inline-block"; link.style.width = "6px"; }
                document.querySelector("main").append(box);
                return box;
            }""",
            [html, ""],
        )
        assert complaints is not None
        assert any(rule in complaint for complaint in tab.evaluate(RULES)), rule
        tab.evaluate("document.querySelector('main').lastElementChild.remove()")


def test_the_overview_says_that_the_session_has_ended(root: Path, site: ServedPage, open_page: Opener) -> None:
    """Else it would show an old list for ever. A picture that cannot be decoded has words in the place of its preview."""
    (root / "inbox/damaged.png").write_bytes(small_png(1)[:-20])
    tab = open_page("/")
    playwright.expect(tab.locator(".thumb .no-preview")).to_have_text("no preview")
    site.page.access.sign_out(Visitor("anna", "decide", ""), everywhere=True)
    playwright.expect(tab.locator("#message")).to_contain_text("your session has ended")
    site.complaints[:] = [text for text in site.complaints if "status of 40" not in text]


def test_signing_out_leads_to_the_sign_in_page(root: Path, open_page: Opener) -> None:
    """And the way back is closed."""
    assert root.is_dir()
    tab = open_page("/")
    tab.locator(".person summary").click()
    tab.get_by_role("button", name="Sign out", exact=True).click()
    tab.wait_for_url("**/sign-in")
    tab.goto(tab.url.replace("/sign-in", "/"))
    assert "/sign-in" in tab.url


def test_a_tab_that_nobody_sees_keeps_no_connection(root: Path, site: ServedPage, open_page: Opener) -> None:
    """Browsers have six to a server: with six such tabs, no other page would load. The tab that is seen again shows what it has missed."""
    tab = open_page("/")

    def show(*, is_seen: bool) -> None:
        tab.evaluate(
            "(isHidden) => { Object.defineProperty(document, 'hidden', { value: isHidden, configurable: true });"
            " document.dispatchEvent(new Event('visibilitychange')); }",
            not is_seen,
        )

    def until_listeners(count: int) -> None:
        while site.app.state.live_events.listener_count != count:
            tab.wait_for_timeout(50)

    playwright.expect(tab.locator(".assets")).to_have_count(0)
    until_listeners(1)
    show(is_seen=False)
    until_listeners(0)
    (root / "inbox/new.png").write_bytes(small_png(1))
    show(is_seen=True)
    until_listeners(1)
    playwright.expect(tab.locator(".name")).to_have_text(["new.png"])
