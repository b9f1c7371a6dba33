"""What the content credentials of a delivery say, from the record of its stages."""

from __future__ import annotations

from typing import Any

import pytest

from goldsmith.jobs.job import JobFault, Outcome, OutputFile
from goldsmith.pipeline.scheduler.credential_components import components_of
from goldsmith.pipeline.scheduler.delivery_signing import StagePart, build_actions, not_carried_remark, unsigned_remark, with_notes

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MIGAN = {"name": "migan", "revision": "6f1f35", "weights": [["migan.onnx", "ab" * 32]]}


def step(op: str, **record: Any) -> dict[str, Any]:
    return {"op": op, "settings": {"prompt": "a secret"}, "findings": {"prompt": "a secret"}, "seed": 7, **record}


def actions(*parts: StagePart) -> list[dict[str, Any]]:
    built: list[Any] = build_actions(parts)
    return built


def part(*steps: dict[str, Any], **fields: Any) -> StagePart:
    return StagePart("inbox/hero.png", "00", "archive/hero.png", None, steps, **fields)


def test_a_step_by_a_trained_model_names_the_model_and_what_it_made() -> None:
    """The revision of the weights is its version; without one, the hash of the first file is."""
    unpinned = {"name": "flux", "weights": [["flux.safetensors", "cd" * 32]]}
    done = actions(
        part(step("inpaint", engine=MIGAN, source_type="compositeWithTrainedAlgorithmicMedia"), step("upscale", engine=unpinned))
    )
    assert [action["action"] for action in done] == ["c2pa.opened", "c2pa.edited", "c2pa.resized", "c2pa.converted"]
    assert done[1]["softwareAgent"] == {"name": "migan", "version": "6f1f35"}
    assert done[1]["digitalSourceType"] == f"{VOCABULARY}compositeWithTrainedAlgorithmicMedia"
    assert done[2]["softwareAgent"] == {"name": "flux", "version": ("cd" * 32)[:40]}


def test_an_algorithm_is_no_model() -> None:
    """An engine without weights is part of Goldsmith, and its source type is what the step has made."""
    done = actions(part(step("erase", engine={"name": "patchmatch", "weights": []}, source_type="composite")))
    assert done[1] == {"action": "c2pa.edited", "description": "erase", "digitalSourceType": f"{VOCABULARY}composite"}


def test_settings_and_prompts_are_not_told() -> None:
    """A client reads the credentials."""
    assert "secret" not in str(actions(part(step("inpaint", engine=MIGAN), step("text"))))


def test_steps_that_make_no_picture_are_left_out() -> None:
    """Choosing, checking and each single export are no actions."""
    done = actions(part(step("select"), step("grade"), step("check"), step("export"), step("export")))
    assert [action["action"] for action in done] == ["c2pa.opened", "c2pa.color_adjustments", "c2pa.converted"]


def test_layers_are_placed_and_other_pictures_are_inputs() -> None:
    """A layer beside the picture and one in the library are parts of it. A hero, a reference and a portrait are only read."""
    layer, logo, ref, hero, face = (f"{number}" * 64 for number in range(5))
    composite = step("composite", findings={"references": {"hero.layer.sun.png": layer, "logos/acme.png": logo, "luts/a.cube": "9" * 64}})
    swap = step("face_swap", findings={"references": {"faces/anna.png": face, "faces/anna.toml": "8" * 64}})
    look = step("regenerate", findings={"references": {"hero.ref.png": ref, "heroes/spring.png": hero, "logos/acme.png": logo}})
    done = actions(part(composite, swap, look, roles={layer: "layer", ref: "ref"}))
    assert [action["action"] for action in done[1:4]] == ["c2pa.placed", "c2pa.edited", "c2pa.placed"]
    ingredient_ids = [action["parameters"]["ingredientIds"] for action in done[1:4]]
    assert ingredient_ids[0] == [f"componentOf-{layer[:16]}", f"componentOf-{logo[:16]}"]
    assert ingredient_ids[1] == [f"inputTo-{face[:16]}"]
    assert ingredient_ids[2] == [f"inputTo-{ref[:16]}", f"inputTo-{hero[:16]}", f"componentOf-{logo[:16]}"]
    assert "anna" not in str([each.to_description() for each in components_of(swap, {})])


def test_a_look_is_no_picture() -> None:
    """It is a table of colours, even as a PNG."""
    graded = step("grade", findings={"references": {"hero.look.png": "1" * 64, "looks/warm.png": "2" * 64}})
    assert components_of(graded, {"1" * 64: "look"}) == []


def test_the_ingredients_of_a_long_list_are_those_that_actions_name() -> None:
    """Forty are named."""
    references = {f"hero.layer.{number}.png": f"{number:064d}"[::-1] for number in range(60)}
    done = actions(part(step("composite", findings={"references": references}), roles=dict.fromkeys(references.values(), "layer")))
    assert len(done[1]["parameters"]["ingredientIds"]) == 40


def test_work_by_hand_is_an_action_of_its_program() -> None:
    """It stands between the steps before it and those behind it."""
    done = actions(part(step("sharpen")), part(hand_program="GIMP 2.10"), part(hand_program=""), part(step("grade")))
    assert [action.get("description") for action in done[1:-1]] == ["sharpen", "changed by hand", "changed by hand", "grade"]
    assert (done[2]["softwareAgent"], done[2]["digitalSourceType"]) == ({"name": "GIMP 2.10"}, f"{VOCABULARY}humanEdits")
    assert "softwareAgent" not in done[3]


def test_a_picture_without_an_original_is_created() -> None:
    """The step that made it is the first action. A word that is no operation any more is an edit."""
    generated = step("regenerate", engine=MIGAN, source_type="trainedAlgorithmicMedia")
    done = actions(part(generated, has_picture=False), part(step("no-such-operation")))
    assert [action["action"] for action in done] == ["c2pa.created", "c2pa.edited", "c2pa.converted"]
    assert done[0]["softwareAgent"]["name"] == "migan"
    assert done[0]["digitalSourceType"] == f"{VOCABULARY}trainedAlgorithmicMedia"


@pytest.mark.parametrize(("kind", "reason"), [("crash", "has crashed"), ("timeout", "too long"), ("problem", "the reason")])
def test_the_remark_has_the_reason_in_words(kind: Any, reason: str) -> None:
    """What the worker's own sentence would call the picture is a file in its scratch folder."""
    fault = JobFault(kind=kind, sentence="the reason.")
    assert unsigned_remark(fault).startswith("the deliverables have no content credentials: ")
    assert reason in unsigned_remark(fault)
    assert reason in not_carried_remark(fault)


def test_remarks_join_those_that_are_known() -> None:
    """The facts of the picture keep theirs, and no remark is there twice."""
    output = OutputFile(role="deliverable", tail="_web.jpg", path="/x", sha256="00", size=1)
    outcome = Outcome(job_id="1", outputs=(output,), facts={"notes": ["it has 2 frames"], "width": 5})
    assert with_notes(outcome, ["a", "a"]).facts == {"notes": ["it has 2 frames", "a"], "width": 5}
    assert with_notes(outcome, []) is outcome
