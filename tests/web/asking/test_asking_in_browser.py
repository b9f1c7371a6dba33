"""Asking and dropping in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from doubles.browsers import PHONE, ServedPage


@pytest.fixture
def folder(site: ServedPage) -> Iterator[Path]:
    """Return selected/, with a picture. No tab may complain, unless a test takes the complaint away."""
    folder = Path(site.page.root.path, "selected")
    Image.new("RGB", (60, 40)).save(folder / "hero.png")
    yield folder
    assert site.complaints == []


def test_a_form_is_checked_as_one_types_and_written_as_a_brief(site: ServedPage, folder: Path) -> None:
    """A mistake stands beside its field; steps change places; a row of a table is added."""
    with site.tab("ask/selected/hero.png", **PHONE) as tab:
        tab.locator("#ask-form[data-checked]").wait_for()
        for choice in ("edit upscale", "edit erase", "grade composite"):
            tab.locator("#ask-choice").select_option(choice)
            tab.get_by_role("button", name="Add a step").click()
            tab.locator(f".ask-step[data-op={choice.split()[1]}]").wait_for()
        upscale = tab.locator(".ask-step[data-op=upscale]")
        upscale.locator("[name=factor]").fill("9")
        upscale.locator(".ask-problem", has_text="edit.1.factor is 9, but must be at most 4.").wait_for()
        assert upscale.locator("[name=factor]").get_attribute("aria-invalid") == "true"
        assert tab.locator("#ask-write").is_disabled()
        assert tab.evaluate("document.documentElement.scrollWidth") == 390
        upscale.locator("[name=factor]").fill("3")
        tab.locator(".ask-step[data-op=erase]").get_by_role("button", name="Earlier").click()
        tab.get_by_role("button", name="Add another").click()
        tab.locator("[name='layers.0.opacity']").fill("7")
        tab.locator("[data-field='layers.0.opacity'] .ask-problem", has_text="must be at most 1").wait_for()
        tab.locator("[name='layers.0.opacity']").fill("0.5")
        tab.locator("[name='layers.0.element']").select_option("rain")
        tab.locator("#ask-write:not([disabled])").click()
        tab.get_by_text("hero.toml is written.").wait_for()
    assert (folder / "hero.toml").read_text() == (
        '[[edit]]\nop = "erase"\n\n[[edit]]\nop = "upscale"\nfactor = 3\n\n'
        '[[grade]]\nop = "composite"\nlayers = [{ element = "rain", opacity = 0.5 }]\n'
    )


def test_dropped_files_arrive_with_the_brief_last(site: ServedPage, folder: Path) -> None:
    """Chosen or dropped; what is refused says why, and the others go on."""
    png = BytesIO()
    Image.new("RGB", (60, 40)).save(png, "PNG")
    files = {"hero.toml": b'prompt = "x"\n', "hero.png": png.getvalue(), "hero.mask.png": png.getvalue(), "page.html": b"<html>"}
    inbox = folder.parent / "inbox" / "acme"
    with site.tab("drop/inbox") as tab:
        tab.locator("#drop-campaign").fill("acme")
        payload = [{"name": name, "mimeType": "application/octet-stream", "buffer": data} for name, data in files.items()]
        tab.locator("#drop-files").set_input_files(payload)
        tab.locator("#drop-list li.done").nth(2).wait_for()
        tab.locator("#drop-list li.problem", has_text="page.html is no picture").wait_for()
        order = tab.locator("#drop-list li").all_text_contents()
    assert [line.split()[0] for line in order] == ["hero.mask.png", "hero.png", "hero.toml", "page.html"]
    assert {path.name: path.read_bytes() for path in inbox.iterdir()} == {name: files[name] for name in files if name != "page.html"}
    site.complaints.clear()  # the browser reports the refusal


def test_a_file_is_dropped_with_the_mouse(site: ServedPage, folder: Path) -> None:
    """Anywhere on the page."""
    with site.tab("drop/inbox") as tab:
        transfer = tab.evaluate_handle(
            "() => { const files = new DataTransfer(); files.items.add(new File(['prompt = \"x\"'], 'chair.toml')); return files; }"
        )
        tab.dispatch_event("#drop-zone", "drop", {"dataTransfer": transfer})
        tab.get_by_text("chair.toml is in its folder.").wait_for()
    assert (folder.parent / "inbox" / "chair.toml").read_text() == 'prompt = "x"'
