"""The pipeline is read from TOML, and a stage waits for the masks of its steps."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping

import pytest

from goldsmith.brief.parsing import BriefProblem, ConfigError
from goldsmith.brief.pipeline import Pipeline, missing_mask_sentence, read_pipeline
from goldsmith.brief.steps import StepReader
from goldsmith.files import resource_path
from goldsmith.operation import Operation
from goldsmith.ops import catalogue as all_operations

Catalogue = Mapping[str, type[Operation]]


def problems(text: str, catalogue: Catalogue) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_pipeline(text.encode(), "pipeline.toml", catalogue)
    return [str(fault) for fault in caught.value.problems]


def test_the_shipped_pipeline_has_five_folders() -> None:
    """Check the order of the folders, and that a mask in selected/ asks for inpainting."""
    pipeline = read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "config/pipeline.toml")
    assert pipeline.folders == ("inbox", "selected", "masked", "graded", "delivered")
    assert [stage.name for stage in pipeline.stages] == ["generate", "edit", "grade", "deliver"]
    assert [(stage.default_steps != (), stage.mask_steps != ()) for stage in pipeline.stages] == [
        (True, False),
        (False, True),
        (False, False),
        (False, False),
    ]
    edit = next(stage for stage in pipeline.stages if stage.name == "edit")
    assert edit is not None
    assert [(step.op, dict(step.settings)) for step in edit.mask_steps] == [("inpaint", {"where": "mask"})]
    assert [[step.op for step in stage.look_steps] for stage in pipeline.stages] == [[], [], ["grade"], []]


def test_steps_for_a_look_must_take_one(catalogue: Catalogue) -> None:
    """A step that takes no look would ignore it in silence."""
    row = '[[stage]]\nname = "edit"\nfolder = "selected"\nnext = "masked"\n'
    assert problems(f'{row}with_look = [{{ op = "fill" }}]\n', catalogue) == [
        "stage.1.with_look has no step with a setting `look`, so the look would do nothing."
    ]


def test_a_stage_may_name_the_format_of_its_results(catalogue: Catalogue) -> None:
    """PNG by default; a word that is no working format is refused."""
    row = '[[stage]]\nname = "edit"\nfolder = "selected"\nnext = "masked"\n'
    formats = [read_pipeline((row + line).encode(), "pipeline.toml", catalogue).stages[0].working for line in ("", 'working = "psd"\n')]
    assert formats == ["png", "psd"]
    assert problems(f'{row}working = "gif"\n', catalogue) == ['stage.1.working is "gif", but must be "png", "tiff", "psd" or "ora".']


def test_stages_are_found_by_their_folder(pipeline: Pipeline) -> None:
    """Check the final folder and the index of each stage too."""
    assert pipeline.stage_of_folder("masked") is pipeline.stages[2]
    assert pipeline.stage_of_folder("delivered") is None
    assert pipeline.final_folder == "delivered"
    assert (pipeline.index_of("sort"), pipeline.index_of("deliver"), pipeline.index_of("conform")) == (0, 3, -1)


def test_a_pipeline_may_have_more_folders(catalogue: Catalogue) -> None:
    """Read a pipeline of four stages with other names."""
    text = '[[stage]]\nname="a"\nfolder="one"\nnext="two"\n[[stage]]\nname="b"\nfolder="two"\nnext="three"\ndefault=[{op="enlarge"}]\n'
    more_stages = "".join(
        f'[[stage]]\nname="{name}"\nfolder="{folder}"\nnext="{next_folder}"\n'
        for name, folder, next_folder in [("c", "three", "four"), ("d", "four", "Fünf")]
    )
    assert read_pipeline((text + more_stages).encode(), "pipeline.toml", catalogue).folders == ("one", "two", "three", "four", "Fünf")


@pytest.mark.parametrize(
    "folder",
    [
        "a/b",
        "..",
        ".hidden",
        "library",
        "Archive",
        "review",
        ".goldsmith",
        "",
        " x",
        "x\\\\y",
        "C:",
        "lost+found",
        "a.tmp",
        "x" * 201,
        "a\\u0000b",
    ],
)
def test_invalid_folder_names_are_refused(folder: str, catalogue: Catalogue) -> None:
    """Refuse slashes, hidden and ignored folders, and reserved names."""
    assert problems(f'[[stage]]\nname = "edit"\nfolder = "{folder}"\nnext = "y"\n', catalogue)


def test_every_problem_of_a_pipeline_is_reported_at_once(catalogue: Catalogue) -> None:
    """Check unknown keys, operations, names and folders."""
    assert problems(
        """
        colour = 1
        [[stage]]
        name = "mask"
        folder = "in/box"
        next = "two"
        steps = ["enlrge"]
        [[stage]]
        name = "edit"
        folder = "two"
        nxt = "three"
        [[stage]]
        name = "grade"
        folder = "three"
        next = "four"
        steps = "tone"
        default = [{ op = "enlarge", factor = 9 }]
        """,
        catalogue,
    ) == [
        "colour is not a setting here; there is: stage.",
        "stage.2.next is missing and has no default.",
        "stage.2.nxt is not a setting here; did you mean next?",
        'stage.1.name is "mask", which already has another meaning in a brief.',
        'stage.1.folder is "in/box": a stage\'s folder is directly in the root, so its name has no slashes.',
        'stage.1.steps has "enlrge", but there is no such operation; did you mean enlarge?',
        'stage.3.steps is "tone", but must be a list of operations, or "*" for all.',
        "stage.3.default.1.factor is 9, but must be at most 4.",
    ]


def stage_tables(*stages: tuple[str, str, str]) -> str:
    return "".join(f'[[stage]]\nname="{name}"\nfolder="{folder}"\nnext="{next_folder}"\n' for name, folder, next_folder in stages)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (stage_tables(("a", "x", "y"), ("b", "z", "w")), 'stage.1.next is "y", but the stage below it reads "z"'),
        (stage_tables(("a", "x", "y"), ("b", "y", "x")), 'stage.2.next is "x", which stage.1 reads: the pipeline would run in a circle.'),
        (stage_tables(("a", "x", "x")), "the pipeline would run in a circle"),
        (stage_tables(("a", "x", "y"), ("a", "y", "z")), 'stage.2.name is "a", which stage.1 already has.'),
        (stage_tables(("a", "x", "X")), "the pipeline would run in a circle"),
        (stage_tables(("a", "x", "y"), ("b", "y", "z"), ("c", "Y", "w")), 'stage.3.folder is "Y", which stage.2 already has.'),
        ("", "stage is missing"),
        ("stage = 3", "stage is missing"),
        ("[stage]\nname = 'a'", "stage is missing"),
        (stage_tables(("A B", "x", "y")), 'stage.1.name is "A B", but must'),
        ("a = [1", "a [ has no closing ]"),
    ],
)
def test_a_pipeline_must_lead_from_folder_to_folder(text: str, expected: str, catalogue: Catalogue) -> None:
    """Refuse gaps, circles and duplicates."""
    assert any(expected in problem for problem in problems(text, catalogue))


def test_the_sentence_about_a_missing_mask_names_the_step(pipeline: Pipeline, catalogue: Catalogue) -> None:
    """Check the sentences for an unnamed and a named mask."""
    text = PIPELINE_WITH_MASKS.encode()
    steps = read_pipeline(text, "pipeline.toml", catalogue).stages[0].default_steps
    assert missing_mask_sentence("edit", steps, []) == "waiting for a mask (step 2 of edit needs one)"
    assert missing_mask_sentence("edit", steps, ["mask"]) == "waiting for the mask “sky” (step 3 of edit needs it)"
    assert missing_mask_sentence("edit", steps, ["Mask", "SKY"]) == ""


PIPELINE_WITH_MASKS = """
[[stage]]
name = "edit"
folder = "a"
next = "b"
default = [{ op = "enlarge" }, { op = "fill", where = "mask" }, { op = "fill", where = "sky" }]
"""


def steps_of(*step_texts: str) -> tuple[list[str], list[str]]:
    """Return the operations of a stage with these steps, and their problems."""
    brief_problems: list[BriefProblem] = []
    tables = [tomllib.loads(text.replace("; ", "\n")) for text in step_texts]
    steps = StepReader(all_operations(), brief_problems).read_steps("generate", tables, None)
    return [step.op for step in steps], [str(fault) for fault in brief_problems]


OPENS_SET = 'op = "regenerate"; candidates = 8'
CLOSES_SET = 'op = "select"'


@pytest.mark.parametrize(
    ("step_texts", "operations"),
    [
        ([OPENS_SET], ["regenerate", "select"]),
        ([OPENS_SET, CLOSES_SET], ["regenerate", "select"]),
        (['op = "regenerate"'], ["regenerate"]),
        ([OPENS_SET, 'op = "denoise"'], ["regenerate", "select", "denoise"]),
        ([OPENS_SET, 'op = "denoise"', CLOSES_SET], ["regenerate", "denoise", "select"]),
        ([OPENS_SET, 'op = "export"'], ["regenerate", "select", "export"]),
        ([OPENS_SET, CLOSES_SET + "; keep = 3", CLOSES_SET], ["regenerate", "select", "select"]),
        ([CLOSES_SET + "; keep = 3"], ["select"]),
        ([OPENS_SET, CLOSES_SET, OPENS_SET], ["regenerate", "select", "regenerate", "select"]),
        ([OPENS_SET, OPENS_SET, CLOSES_SET], ["regenerate", "regenerate", "select"]),
    ],
)
def test_a_select_step_is_added_if_a_brief_leaves_a_set_open(step_texts: list[str], operations: list[str]) -> None:
    """Check that the added step follows the step that opens the set, and that steps which close their set stay unchanged."""
    assert steps_of(*step_texts) == (operations, [])


@pytest.mark.parametrize(
    ("step_texts", "message"),
    [
        ([OPENS_SET, CLOSES_SET + "; keep = 3"], "generate.2.keep leaves 3 pictures, but only 1 can move on."),
        ([OPENS_SET, 'op = "regenerate"; candidates = 90', CLOSES_SET], "makes 720 pictures in all; the limit is 100."),
    ],
)
def test_too_many_pictures_are_refused_when_the_brief_is_read(step_texts: list[str], message: str) -> None:
    """Check that the message names the setting."""
    _, messages = steps_of(*step_texts)
    assert message in messages[0]


def test_a_set_that_no_allowed_step_can_close_is_refused() -> None:
    """Allow only the operation that opens the set."""
    brief_problems: list[BriefProblem] = []
    StepReader(all_operations(), brief_problems).read_steps("generate", [{"op": "regenerate", "candidates": 4}], {"regenerate"})
    assert "makes 4 pictures, and no operation that is allowed here chooses one: ask for 1." in str(brief_problems[0])


_WITH_A_MISTAKE = b"""
[[stage]]
name = "edit"
folder = "selected"
next = "masked"
default = [{ op = "nonsense" }]
with_mask = [{ op = "fill", where = "mask" }]
"""


def test_steps_are_read_when_they_are_needed(catalogue: Catalogue) -> None:
    """Whether a stage has steps is known before; the mistakes in a list are raised when the list is used, and not before."""
    stage = read_pipeline(_WITH_A_MISTAKE, "pipeline.toml", catalogue, reads_steps=False).stages[0]
    assert (bool(stage.default_steps), bool(stage.mask_steps), bool(stage.look_steps)) == (True, True, False)
    assert [(step.op, dict(step.settings)) for step in stage.mask_steps] == [("fill", {"where": "mask"})]
    assert (len(stage.mask_steps), stage.mask_steps[0].op, len(stage.look_steps)) == (1, "fill", 0)
    with pytest.raises(ConfigError) as caught:
        len(stage.default_steps)
    assert [str(fault) for fault in caught.value.problems] == problems(_WITH_A_MISTAKE.decode(), catalogue)


def test_steps_that_are_read_later_are_the_same() -> None:
    """The shipped pipeline, both ways."""
    data = resource_path("config", "pipeline.toml").read_bytes()
    both = [read_pipeline(data, "pipeline.toml", reads_steps=reads_steps) for reads_steps in (True, False)]
    now, later = (
        [(tuple(each.default_steps), tuple(each.mask_steps), tuple(each.look_steps)) for each in pipeline.stages] for pipeline in both
    )
    assert now == later
