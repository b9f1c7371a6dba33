"""Asking for work: which file a form writes, what it keeps of the old one, and the sentences of its check."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from doubles.two_people import winner_of
from doubles.web_pages import AS_BROWSER
from goldsmith.cli import main
from goldsmith.ops import catalogue
from goldsmith.web.asking import ask_pages

UPSCALE = {"stage": "edit", "op": "upscale", "texts": {"factor": "2"}}


@pytest.fixture(autouse=True)
def picture(root: Path) -> Path:
    """Return a picture in selected/, and lay a recipe into the library."""
    Image.new("RGB", (60, 40)).save(root / "selected" / "hero.png")
    (root / "library" / "recipes").mkdir()
    (root / "library" / "recipes" / "spring.toml").write_text('[[grade]]\nop = "grade"\nexposure = 1\n')
    return root / "selected" / "hero.png"


def form(*steps: dict[str, Any], **head: str) -> dict[str, Any]:
    return {"head": head, "steps": list(steps)}


def check(client: TestClient, *steps: dict[str, Any], path: str = "selected/hero.png", **head: str) -> dict[str, Any]:
    answer = client.post(f"/ask-check/{path}", json=form(*steps, **head))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def write(client: TestClient, *steps: dict[str, Any], path: str = "selected/hero.png", replaces: str = "", **head: str) -> Any:
    return client.put(f"/ask/{path}", params={"replaces": replaces}, json=form(*steps, **head))


def stamp_on(html: str) -> str:
    """Return the stamp of the brief that a page was opened with."""
    return html.partition('data-stamp="')[2].partition('"')[0]


def show(client: TestClient, path: str = "selected/hero.png") -> str:
    answer = client.get(f"/ask/{path}", headers=AS_BROWSER)
    assert answer.status_code == 200, answer.text
    return str(answer.text)


def test_a_filled_form_becomes_the_brief_beside_the_picture(client: TestClient, root: Path) -> None:
    """As people write one; what would run is said before."""
    steps = [UPSCALE, {"stage": "grade", "op": "grade", "texts": {"shadows.temperature": "-12", "exposure": ""}}]
    answer = check(client, *steps, title="Spring", prompt="An oak desk")
    assert answer["plan"] == ["edit: upscale", "grade: grade", "Then the picture is in graded/."]
    assert (answer["problems"], answer["others"], answer["valid"]) == ([], [], True)
    written = write(client, *steps, title="Spring", prompt="An oak desk")
    assert written.json()["sentence"] == "hero.toml is written. Goldsmith takes it from here."
    assert (
        (root / "selected" / "hero.toml").read_text()
        == answer["toml"]
        == (
            'title = "Spring"\nprompt = "An oak desk"\n\n[[edit]]\nop = "upscale"\nfactor = 2\n\n'
            '[[grade]]\nop = "grade"\nshadows = { temperature = -12 }\n'
        )
    )


def test_steps_come_by_stage_and_within_a_stage_in_their_order(client: TestClient) -> None:
    """The order of the form decides only within a stage."""
    sharpen = {"stage": "deliver", "op": "sharpen", "texts": {}}
    erase = {"stage": "edit", "op": "erase", "texts": {}}
    toml = check(client, sharpen, UPSCALE, erase)["toml"]
    assert [line for line in toml.splitlines() if line.startswith("op")] == ['op = "upscale"', 'op = "erase"', 'op = "sharpen"']


@pytest.mark.parametrize(
    ("step", "location"),
    [
        ({"stage": "edit", "op": "upscale", "texts": {"factor": "9"}}, "edit.1.factor"),
        ({"stage": "edit", "op": "upscale", "texts": {"factor": "much"}}, "edit.1.factor"),
        ({"stage": "grade", "op": "grade", "texts": {"look": "wram"}}, "grade.1.look"),
        ({"stage": "grade", "op": "grade", "texts": {"shadows.temperature": "hot"}}, "grade.1.shadows.temperature"),
        ({"stage": "edit", "op": "inpaint", "texts": {"where": "left &"}}, "edit.1.where"),
        ({"stage": "edit", "op": "upscale", "texts": {"model": "none"}}, "edit.1.model"),
        ({"stage": "grade", "op": "composite", "texts": {"layers.0.opacity": "2"}}, "grade.1.layers.1.opacity"),
        ({"stage": "deliver", "op": "export", "texts": {"format": "bmp"}}, "deliver.1.format"),
        ({"stage": "deliver", "op": "text", "texts": {}}, "deliver.1.string"),
    ],
)
def test_a_problem_has_the_sentence_of_goldsmith_check(
    client: TestClient, root: Path, step: dict[str, Any], location: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Word for word, with its place; such a brief is not written."""
    answer = check(client, step)
    assert [problem["location"] for problem in answer["problems"]] == [location]
    assert answer["valid"] is False
    assert write(client, step).status_code == 400
    assert not (root / "selected" / "hero.toml").exists()
    (root / "selected" / "hero.toml").write_text(answer["toml"])
    monkeypatch.setattr(sys, "argv", ["goldsmith", "check", str(root / "selected" / "hero.toml")])
    with pytest.raises(SystemExit):
        main()
    output = capsys.readouterr()
    assert answer["problems"][0]["sentence"] in " ".join((output.out + output.err).split())


def test_a_recipe_of_the_library_is_offered_and_merged(client: TestClient) -> None:
    """A recipe that is not there has a sentence."""
    assert "<option>spring</option>" in show(client)
    assert check(client, recipe="spring")["plan"] == ["edit: passes unchanged", "grade: grade", "Then the picture is in graded/."]
    missing = check(client, recipe="sprig")
    assert missing["others"] == ["There is no “sprig” in library/recipes/ (.toml). Did you mean “spring”?"]
    assert missing["valid"] is False


def test_an_empty_form_is_not_written(client: TestClient, root: Path) -> None:
    """It says that it asks for nothing."""
    answer = check(client)
    assert (answer["plan"], answer["valid"]) == (["The brief asks for nothing yet: add a step or choose a recipe."], False)


def test_weights_that_are_missing_do_not_hinder_a_brief(client: TestClient, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture waits for them, and the page says so."""
    from goldsmith.brief.brief import EngineUnavailable

    missing = EngineUnavailable("This step needs weights that are not here.", is_transient=True)
    monkeypatch.setattr("goldsmith.library.availability.check_engine", lambda _weights, _need: missing)
    answer = check(client, UPSCALE)
    assert (answer["problems"][0]["later"], answer["valid"]) == (True, True)
    assert answer["problems"][0]["sentence"].endswith(". Until it is there, Goldsmith holds the picture with a note.")
    assert write(client, UPSCALE).status_code == 200


def test_the_brief_that_is_there_is_shown_and_keeps_what_the_form_has_no_field_for(client: TestClient, root: Path) -> None:
    """Rights, a seed and the steps of an earlier stage stay; the old file is in the archive."""
    brief = root / "selected" / "hero.toml"
    brief.write_text(
        '# by hand\nrights = "© Acme"\nseed = 7\nmask = { fit = "scale" }\n[[generate]]\nop = "select"\n'
        '[[edit]]\nop = "upscale"\nfactor = 3\n[[deliver]]\nop = "export"\nsize = [1920, 1080]\n'
    )
    html = show(client)
    assert 'name="factor" value="3"' in html
    assert 'name="size" value="[1920, 1080]"' in html
    steps = [{"stage": "edit", "op": "upscale", "texts": {"factor": "4"}}]
    assert write(client, *steps, replaces=stamp_on(html)).status_code == 200
    assert brief.read_text() == (
        'rights = "© Acme"\nseed = 7\nmask = { fit = "scale" }\n\n[[generate]]\nop = "select"\n\n[[edit]]\nop = "upscale"\nfactor = 4\n'
    )
    assert [path.read_text()[:9] for path in (root / "archive").rglob("hero.toml")] == ["# by hand"]


def test_a_brief_that_somebody_else_has_changed_is_not_replaced(client: TestClient, root: Path) -> None:
    """Also one that was not there when the form was opened."""
    assert stamp_on(show(client)) == ""
    (root / "selected" / "hero.toml").write_text('prompt = "theirs"\n')
    refused = write(client, UPSCALE)
    assert (refused.status_code, refused.json()["error"]) == (409, "The brief has been changed by somebody else since you opened it.")
    assert (root / "selected" / "hero.toml").read_text() == 'prompt = "theirs"\n'


def test_a_brief_that_is_wrong_is_shown_as_it_is_with_its_problems(client: TestClient, root: Path) -> None:
    """And the form begins empty."""
    (root / "selected" / "hero.toml").write_text('[[edit]]\nop = "upscal"\n<script>alert(1)</script>')
    html = show(client)
    assert "cannot be shown as a form" in html
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html
    assert 'class="ask-step card"' not in html


def test_a_campaign_has_a_brief_of_its_own(client: TestClient, root: Path) -> None:
    """It is called brief.toml, and pictures of the campaign are asked with it in mind."""
    (root / "selected" / "acme").mkdir()
    Image.new("RGB", (60, 40)).save(root / "selected" / "acme" / "chair.png")
    assert write(client, UPSCALE, path="selected/acme").json()["sentence"].startswith("brief.toml is written.")
    assert (root / "selected" / "acme" / "brief.toml").read_text() == '[[edit]]\nop = "upscale"\nfactor = 2\n'
    assert check(client, title="Chair", path="selected/acme/chair.png")["plan"][0] == "edit: upscale"


def test_one_of_two_pictures_of_a_name_gets_its_own_brief(client: TestClient, root: Path) -> None:
    """hero.toml could belong to either."""
    Image.new("RGB", (60, 40)).save(root / "selected" / "hero.jpg")
    write(client, UPSCALE)
    assert (root / "selected" / "hero.png.toml").exists()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("delivered/hero.png", 409),
        ("review/approve/hero.png", 409),
        ("library/recipes", 409),
        ("selected/none.png", 404),
        ("selected/none", 404),
        ("selected/%2e%2e/selected", 404),
        ("", 409),
    ],
)
def test_a_brief_goes_nowhere_else(client: TestClient, root: Path, path: str, status: int) -> None:
    """Only beside a picture or into a campaign of a folder that takes briefs."""
    assert write(client, UPSCALE, path=path).status_code == status
    assert sorted(path.name for path in root.rglob("*.toml")) == ["spring.toml"]


def test_a_link_in_the_place_of_a_campaign_is_not_followed(client: TestClient, root: Path, tmp_path: Path) -> None:
    """It could lead out of the share."""
    (tmp_path / "outside").mkdir()
    (root / "selected" / "link").symlink_to(tmp_path / "outside")
    assert write(client, UPSCALE, path="selected/link").status_code == 404
    assert os.listdir(tmp_path / "outside") == []


@pytest.mark.parametrize("body", [b"", b"[]", b'{"steps": [{"stage": 1}]}', b'{"head": {}, "steps": [], "more": 1}'])
def test_what_is_no_form_is_refused(client: TestClient, body: bytes) -> None:
    """With a sentence, not with a fault."""
    assert client.post("/ask-check/selected/hero.png", content=body).status_code == 400


@pytest.mark.parametrize("word", catalogue())
def test_every_operation_has_its_form_on_the_page(client: TestClient, word: str) -> None:
    """In a stage that allows it."""
    stage = next(
        stage
        for stage in client.app.state.page.pipeline.stages
        if stage.allowed_ops is None or word in stage.allowed_ops  # type: ignore[attr-defined]
    )
    html = client.get("/ask-step", params={"stage": stage.name, "op": word}, headers=AS_BROWSER).text
    assert f'data-op="{word}"' in html
    assert html.count('class="ask-field"') >= len(catalogue()[word].model_fields) - html.count("ask-table") - html.count("ask-rows")


def test_a_stage_offers_only_the_operations_that_it_allows(client: TestClient) -> None:
    """And a folder only its own stage and later ones."""
    html = show(client)
    assert 'value="edit inpaint"' in html
    assert 'value="edit export"' not in html
    assert 'value="generate regenerate"' not in html
    assert client.get("/ask-step", params={"stage": "edit", "op": "export"}).status_code == 404


def test_of_two_people_who_write_at_once_one_is_told_so(client: TestClient, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has opened the same brief; the second is compared with that of the first."""
    (root / "selected" / "hero.toml").write_text('title = "old"\n')
    stamp = stamp_on(show(client))

    def save(title: str) -> Any:
        return write(client, UPSCALE, replaces=stamp, title=title)

    title = winner_of(monkeypatch, ask_pages, "_write_brief", save, ("anna", "bertha"))
    assert f'title = "{title}"' in (root / "selected" / "hero.toml").read_text()
