"""The line as data, and what a stage waits for."""

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


def faults(text: str, catalogue: Catalogue) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_pipeline(text.encode(), "pipeline.toml", catalogue)
    return [str(fault) for fault in caught.value.problems]


def test_the_line_that_is_shipped_is_the_five_folders() -> None:
    """With the real operations: the folders in order, a mask in selected/ means inpaint where it is white."""
    line = read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "config/pipeline.toml")
    assert line.folders == ("inbox", "selected", "masked", "graded", "delivered")
    assert [stage.name for stage in line.stages] == ["generate", "edit", "grade", "deliver"]
    assert [(stage.default_steps != (), stage.mask_steps != ()) for stage in line.stages] == [
        (True, False),
        (False, True),
        (False, False),
        (False, False),
    ]
    edit = next(stage for stage in line.stages if stage.name == "edit")
    assert edit is not None
    assert [(step.op, dict(step.settings)) for step in edit.mask_steps] == [("inpaint", {"where": "mask"})]


def test_stages_are_found_by_folder_and_by_name(line: Pipeline) -> None:
    """And their place down the line is known."""
    assert line.stage_of_folder("masked") is line.stages[2]
    assert line.stage_of_folder("delivered") is None
    assert line.final_folder == "delivered"
    assert (line.index_of("sort"), line.index_of("deliver"), line.index_of("conform")) == (0, 3, -1)


def test_a_sixth_folder_is_a_few_lines_of_toml(catalogue: Catalogue) -> None:
    """No code knows a stage by name."""
    text = '[[stage]]\nname="a"\nfolder="one"\nnext="two"\n[[stage]]\nname="b"\nfolder="two"\nnext="three"\ndefault=[{op="enlarge"}]\n'
    more = "".join(
        f'[[stage]]\nname="{name}"\nfolder="{here}"\nnext="{there}"\n'
        for name, here, there in [("c", "three", "four"), ("d", "four", "Fünf")]
    )
    assert read_pipeline((text + more).encode(), "pipeline.toml", catalogue).folders == ("one", "two", "three", "four", "Fünf")


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
def test_folders_that_cannot_be_are_refused(folder: str, catalogue: Catalogue) -> None:
    """Slashes, hidden ones, litter, and names that mean something else."""
    assert faults(f'[[stage]]\nname = "edit"\nfolder = "{folder}"\nnext = "y"\n', catalogue)


def test_everything_wrong_with_a_line_is_said_at_once(catalogue: Catalogue) -> None:
    """Unknown keys, operations, names and folders, each with its place."""
    assert faults(
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


def rows(*named: tuple[str, str, str]) -> str:
    return "".join(f'[[stage]]\nname="{name}"\nfolder="{here}"\nnext="{there}"\n' for name, here, there in named)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rows(("a", "x", "y"), ("b", "z", "w")), 'stage.1.next is "y", but the stage below it reads "z"'),
        (rows(("a", "x", "y"), ("b", "y", "x")), 'stage.2.next is "x", which stage.1 reads: the pipeline would run in a circle.'),
        (rows(("a", "x", "x")), "the pipeline would run in a circle"),
        (rows(("a", "x", "y"), ("a", "y", "z")), 'stage.2.name is "a", which stage.1 already has.'),
        (rows(("a", "x", "X")), "the pipeline would run in a circle"),
        (rows(("a", "x", "y"), ("b", "y", "z"), ("c", "Y", "w")), 'stage.3.folder is "Y", which stage.2 already has.'),
        ("", "stage is missing"),
        ("stage = 3", "stage is missing"),
        ("[stage]\nname = 'a'", "stage is missing"),
        (rows(("A B", "x", "y")), 'stage.1.name is "A B", but must'),
        ("a = [1", "a [ has no closing ]"),
    ],
)
def test_a_line_must_lead_from_folder_to_folder(text: str, expected: str, catalogue: Catalogue) -> None:
    """No gap, no circle, nothing twice."""
    assert any(expected in fault for fault in faults(text, catalogue))


def test_the_wait_for_a_mask_names_the_step_that_needs_it(line: Pipeline, catalogue: Catalogue) -> None:
    """``why`` says which mask, and which step of which stage."""
    text = LINE_WITH_MASKS.encode()
    steps = read_pipeline(text, "pipeline.toml", catalogue).stages[0].default_steps
    assert missing_mask_sentence("edit", steps, []) == "waiting for a mask (step 2 of edit needs one)"
    assert missing_mask_sentence("edit", steps, ["mask"]) == "waiting for the mask “sky” (step 3 of edit needs it)"
    assert missing_mask_sentence("edit", steps, ["Mask", "SKY"]) == ""


LINE_WITH_MASKS = """
[[stage]]
name = "edit"
folder = "a"
next = "b"
default = [{ op = "enlarge" }, { op = "fill", where = "mask" }, { op = "fill", where = "sky" }]
"""


def steps_of(*written: str) -> tuple[list[str], list[str]]:
    """The operations of a stage with these steps, and what is wrong with them."""
    found: list[BriefProblem] = []
    tables = [tomllib.loads(text.replace("; ", "\n")) for text in written]
    steps = StepReader(all_operations(), found).read_steps("generate", tables, None)
    return [step.op for step in steps], [str(fault) for fault in found]


MANY = 'op = "regenerate"; candidates = 8'
ONE = 'op = "select"'


@pytest.mark.parametrize(
    ("written", "run"),
    [
        ([MANY], ["regenerate", "select"]),
        ([MANY, ONE], ["regenerate", "select"]),
        (['op = "regenerate"'], ["regenerate"]),
        ([MANY, 'op = "denoise"'], ["regenerate", "select", "denoise"]),
        ([MANY, 'op = "denoise"', ONE], ["regenerate", "denoise", "select"]),
        ([MANY, 'op = "export"'], ["regenerate", "select", "export"]),
        ([MANY, ONE + "; keep = 3", ONE], ["regenerate", "select", "select"]),
        ([ONE + "; keep = 3"], ["select"]),
        ([MANY, ONE, MANY], ["regenerate", "select", "regenerate", "select"]),
        ([MANY, MANY, ONE], ["regenerate", "regenerate", "select"]),
    ],
)
def test_a_set_that_is_left_open_is_closed(written: list[str], run: list[str]) -> None:
    """Right behind the step that opened it, so that nothing is done to pictures that do not go on; one that is closed stays as written."""
    assert steps_of(*written) == (run, [])


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ([MANY, ONE + "; keep = 3"], "generate.2.keep leaves 3 pictures, but only 1 can move on."),
        ([MANY, 'op = "regenerate"; candidates = 90', ONE], "makes 720 pictures in all; the limit is 100."),
    ],
)
def test_more_pictures_than_can_go_on_are_told_early(written: list[str], said: str) -> None:
    """When the brief is read, at the setting that asks for them."""
    _, told = steps_of(*written)
    assert said in told[0]


def test_a_set_that_nothing_here_can_close_is_refused() -> None:
    """Where the stage allows no step that chooses."""
    found: list[BriefProblem] = []
    StepReader(all_operations(), found).read_steps("generate", [{"op": "regenerate", "candidates": 4}], {"regenerate"})
    assert "makes 4 pictures, and no operation that is allowed here chooses one: ask for 1." in str(found[0])
