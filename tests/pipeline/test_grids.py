"""The whole daemon with lists of settings: one sheet, everything on record, and a replay that makes the same files."""

from __future__ import annotations

from typing import Any

from doubles.deliveries import Delivery
from doubles.gated_generator import GatedGenerator
from doubles.studio import Studio

pytest_plugins = ("doubles.gated_generator",)

BRIEF = """seed = 3
edit = []
grade = []
[[generate]]
op = "regenerate"
model = ["one", "two"]
prompt = "a {red|blue} __thing__"
guidance = [3, 7.5]
[[deliver]]
op = "export"
"""


def recorded_steps(studio: Studio) -> list[dict[str, Any]]:
    """Return the record of the steps of the stage ``generate``."""
    steps = studio.manifest("delivered/hero.manifest.json")["stages"][0]["steps"]
    assert isinstance(steps, list)
    return steps


def test_a_grid_is_made_chosen_recorded_and_repeated(studio: Studio, generator: GatedGenerator) -> None:
    """It waits for its wildcard. Eight pictures are made model by model, one is kept, and the replay's file is identical."""
    studio.put("inbox/hero.toml", BRIEF)
    note = studio.until_event("held")
    assert "library/wildcards" in note["sentence"] + note["remedy"]
    studio.put("library/wildcards/thing.txt", "chair\ntable\n")
    studio.until_event("committed", stage="deliver")
    assert [model for _, model, _, _ in generator.calls] == ["one"] * 4 + ["two"] * 4
    regenerate, select = recorded_steps(studio)
    candidates = regenerate["findings"]["candidates"]
    assert [(each["number"], each["model"], each["guidance"]) for each in candidates] == [
        (number, model, guidance)
        for number, (model, guidance) in enumerate([(model, guidance) for model in ("one", "two") for guidance in (3, 7.5) * 2], 1)
    ]
    assert {each["prompt"] for each in candidates} <= {f"a {colour} {thing}" for colour in ("red", "blue") for thing in ("chair", "table")}
    assert len({each["seed"] for each in candidates}) == 1
    assert regenerate["findings"]["references"].keys() == {"wildcards/thing.txt"}
    assert [each["name"] for each in (regenerate["engine"], *regenerate["engine"]["other_engines"])] == ["one", "two"]
    assert {each["model"] for each in select["findings"]["candidates"]} == {"one", "two"}
    assert any(name.endswith("hero_candidates.jpg") for name in studio.archived())
    report = Delivery(studio.root, "delivered/hero.manifest.json").again()
    assert [deliverable.verdict for deliverable in report.deliverables] == ["identical"]
