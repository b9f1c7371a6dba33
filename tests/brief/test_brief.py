"""What stands in a brief, and how it is said that it is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from goldsmith.brief.brief import Availability, Brief, EngineUnavailable, read_brief
from goldsmith.brief.parsing import BriefError
from goldsmith.brief.pipeline import read_pipeline
from goldsmith.files import resource_path as shipped_file

Faults = Callable[..., list[str]]
Read = Callable[..., Brief]


def test_a_brief_holds_what_was_written(read: Read) -> None:
    """Head and steps, each step checked and with its settings as they stand there."""
    brief = read(
        'title = "T"\nprompt = "P"\nseed = 7\nworking = "tiff"\n[mask]\nfit = "scale"\n'
        '[[edit]]\nop = "fill"\n[[edit]]\nop = "enlarge"\nfactor = 3'
    )
    assert (brief.title, brief.prompt, brief.seed, brief.working, brief.mask_fit) == ("T", "P", 7, "tiff", "scale")
    assert [(step.op, dict(step.settings), step.location) for step in brief.steps_by_stage["edit"]] == [
        ("fill", {}, "edit.1"),
        ("enlarge", {"factor": 3}, "edit.2"),
    ]


def test_what_is_not_said_is_none(read: Read) -> None:
    """An empty brief says nothing; another file may."""
    assert read("") == Brief()


def test_what_an_operation_spreads_out_itself_is_taken_as_it_was_written(read: Read) -> None:
    """One number for both channels is no mistake, and it travels as one number."""
    step = read('[[grade]]\nop = "tone"\ngain = 2\namount = [1, 2]\nshadows = { temperature = 3 }').steps_by_stage["grade"][0]
    assert step.settings == {"gain": 2, "amount": [1, 2], "shadows": {"temperature": 3}}


def test_an_empty_stage_is_spoken_of(read: Read) -> None:
    """``edit = []`` asks for nothing to be done there."""
    assert read("edit = []").steps_by_stage == {"edit": ()}


def test_everything_that_is_wrong_is_said_at_once(faults: Faults) -> None:
    """The head, the names and every step, with place, value and rule."""
    assert faults(
        """
        title = 3
        seeed = 1
        seed = -1
        working = "jpg"
        [mask]
        fit = "stretch"
        [[edti]]
        op = "fill"
        [[edit]]
        op = "enlarge"
        factor = 9
        [[edit]]
        op = "enlarge"
        fctor = 2
        [[edit]]
        op = "enlrge"
        [[edit]]
        op = "save"
        [[edit]]
        factor = 2
        [[deliver]]
        op = "save"
        """
    ) == [
        "seeed is not a setting of a brief; did you mean seed?",
        "edti is not a stage of the pipeline; did you mean edit?",
        'title is 3, but must be a text in "quotes".',
        "seed is -1, but must be at least 0.",
        'working is "jpg", but must be "png" or "tiff".',
        'mask.fit is "stretch", but must be "refuse" or "scale".',
        "edit.1.factor is 9, but must be at most 4.",
        "edit.2.fctor is not a setting here; did you mean factor?",
        'edit.3.op is "enlrge", but there is no such operation; did you mean enlarge?',
        'edit.4.op is "save", which is not allowed in this stage; there is: enlarge, fill.',
        "edit.5 has no `op`: each step names its operation; there is: enlarge, fill.",
        "deliver.1.format is missing and has no default.",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('edit = "fill"', 'edit is "fill", but a stage is written as [[edit]] with op = "fill" on the next line.'),
        ('[edit]\nop = "fill"', "edit is written as [edit]; a step begins with two brackets: [[edit]]."),
        ("edit = 3", 'edit is 3, but a stage is written as [[edit]] with op = "…" on the next line.'),
        ('edit = [{ op = "fill" }, 3]', 'edit is [{ op = "fill" }, 3], but a stage is written as [[edit]]'),
        ("[[edit]]\nop = 3", "edit.1 has op = 3, which is not a text"),
        ('[[edit]]\nop = "enlarge"\nfactor = "2"', 'edit.1.factor is "2", but must be a number.'),
        ('[[edit]]\nop = "enlarge"\nfactor = true', "edit.1.factor is true, but must be a number."),
        ('[[edit]]\nop = "enlarge"\nfactor = 2.5', "edit.1.factor is 2.5, but must be a whole number."),
        ('[[edit]]\nop = "enlarge"\nfactor = [2]', "edit.1.factor is [2], but must be a whole number."),
        ('[[edit]]\nop = "enlarge"\nsize = [-3, 5]', "edit.1.size.1 is -3, but must be at least 1."),
        ('[[edit]]\nop = "enlarge"\nsize = [1000000000, 5]', "edit.1.size.1 is 1000000000, but must be at most 100000."),
        ('[[edit]]\nop = "enlarge"\nsize = [5]', "edit.1.size.2 is missing"),
        (
            '[[edit]]\nop = "fill"\nwhere = "subject"',
            'edit.1.where is "subject": the region “subject” is not available yet in this version.',
        ),
        (
            '[[grade]]\nop = "tone"\nshadows = { temprature = 3 }',
            "grade.1.shadows.temprature is not a setting here; did you mean temperature?",
        ),
        ('[[grade]]\nop = "tone"\nshadows = 3', "grade.1.shadows is 3, but must be a table in { braces }."),
        ('[[grade]]\nop = "tone"\namount = [1, "2"]', 'grade.1.amount.2 is "2", but must be a number.'),
        ('[[grade]]\nop = "tone"\namount = [1, "x"]', 'grade.1.amount.2 is "x", but must be a whole number.'),
        ('[[grade]]\nop = "tone"\namount = "x"', 'grade.1.amount is "x", but must be a whole number or must be a list in [brackets].'),
        ('[[grade]]\nop = "tone"\ngain = true', "grade.1.gain is true, but must be a number."),
        ('[[grade]]\nop = "tone"\ngain = "2"', 'grade.1.gain is "2", but must be a list in [brackets].'),
        ('[[grade]]\nop = "tone"\nquick = 1', "grade.1.quick is 1, but must be true or false."),
        ('[[grade]]\nop = "tone"\nquick = "yes"', 'grade.1.quick is "yes", but must be true or false.'),
        ('[[grade]]\nop = "tone"\nshadows = { temperature = "3" }', 'grade.1.shadows.temperature is "3", but must be a number.'),
        ('[[grade]]\nop = "tone"\nlook = "../../etc/passwd"', 'grade.1.look is "../../etc/passwd": that is a path'),
        ('[[grade]]\nop = "tone"\nlook = "/etc/passwd"', 'grade.1.look is "/etc/passwd": that is an absolute path'),
        ('recipe = "https://example.org/x"', 'recipe is "https://example.org/x": that is an address'),
        ('recipe = "a"\nresolved = true', "recipe cannot stand beside `resolved = true`"),
        ("seed = 4294967296", "seed is 4294967296, but must be less than 4294967296."),
        ("mask = 3", "mask is 3, but must be a table in { braces }."),
        (b"[[edit]]\nop='fill'\n" * 65, "edit has 65 steps; a stage has at most 64."),
        (b"[[edit]]\nop='fill'\n" * 100_000, "has 1.9 MB"),
        (b"edit=[" + b"{}," * 80_000 + b"]", "edit has more than 5000 values"),
        (b"\xff" * 50, "line 1 has bytes that are not UTF-8"),
        (b"k" * 5000 + b" = 1", "k" * 59 + "… is not a setting of a brief"),
    ],
)
def test_each_mistake_has_its_sentence(faults: Faults, text: str | bytes, expected: str) -> None:
    """What was read, and what is allowed in plain words."""
    found = faults(text)
    assert len(found) == 1
    assert expected in found[0]


def test_a_problem_begins_with_the_file_and_ends_with_what_to_do(read: Read) -> None:
    """The note beside the picture can be understood without this program at hand."""
    with pytest.raises(BriefError) as caught:
        read('[[edit]]\nop = "enlarge"\nfactor = 9')
    assert caught.value.sentence == "hero.toml: edit.1.factor is 9, but must be at most 4."
    assert caught.value.remedy == "Correct it and save it: it is read again at once."


def test_long_values_are_shortened(faults: Faults) -> None:
    """A value of thousands of characters does not become a note of thousands."""
    assert len(faults(f'working = "{"y" * 3000}"')[0]) < 150


@pytest.mark.parametrize("head", ["", '[[edit]]\nop = "fill"\n', '[[grade]]\nop = "tone"\n'])
def test_thousands_of_unknown_names_are_told_in_a_short_time(read: Read, head: str) -> None:
    """Nothing in the search for the nearest name grows faster than the brief."""
    begun = time.process_time()
    with pytest.raises(BriefError) as caught:
        read(head + "".join(f"k{number} = 1\n" for number in range(4900)))
    assert time.process_time() - begun < 1
    assert len(caught.value.problems) == 4900
    assert len(caught.value.sentence) < 4000


STOCK = Availability(
    model_names={"inpaint": ["migan", "patchmatch"]},
    has_file=lambda shelf, name, suffixes: (shelf, name) == ("looks", "warm-amber"),
    list_names=lambda shelf, suffixes: ["warm-amber"],
)


def test_models_and_looks_that_are_not_there_are_faults_where_the_stock_is_known(faults: Faults) -> None:
    """With the nearest name that is."""
    assert faults('[[edit]]\nop = "fill"\nmodel = "mygan"\n[[grade]]\nop = "tone"\nname = "x"\nlook = "warm-ambr"', availability=STOCK) == [
        'edit.1.model is "mygan", but config/models.toml has no such model; did you mean migan?',
        'grade.1.look is "warm-ambr", but library/looks/ has no such .cube or .cdl file; did you mean warm-amber?',
    ]


def test_models_and_looks_that_are_there_are_no_faults(read: Read) -> None:
    """And without a stock nobody asks."""
    assert read('[[edit]]\nop = "fill"\nmodel = "migan"\n[[grade]]\nop = "tone"\nlook = "warm-amber"', availability=STOCK).steps_by_stage
    assert read('[[edit]]\nop = "fill"\nmodel = "mygan"').steps_by_stage


def test_an_engine_that_is_not_to_be_had_is_a_fault_at_its_place(faults: Faults) -> None:
    """Named or by default, in the words of whoever knows the machine; a model of another kind is said to be one."""
    stock = replace(
        STOCK,
        model_names={"inpaint": ["migan"], "upscale": ["big"]},
        why_unavailable=lambda need: EngineUnavailable(f"No {need.kind.name} here. Run: x"),
    )
    assert faults('[[edit]]\nop = "fill"\nmodel = "migan"\n[[edit]]\nop = "fill"\n', availability=stock) == [
        "edit.1.model cannot be done here: No inpaint here. Run: x",
        "edit.2 cannot be done here: No inpaint here. Run: x",
    ]
    assert faults('[[edit]]\nop = "fill"\nmodel = "big"\n', availability=replace(stock, why_unavailable=None)) == [
        'edit.1.model is "big", which is not a model for this step; there is: migan.'
    ]


def test_what_may_still_come_needs_no_correction(read: Read) -> None:
    """Where only weights are missing the brief is right as it is; where something is wrong as well, it is not."""
    absent = replace(STOCK, why_unavailable=lambda need: EngineUnavailable("This waits for weights.", is_transient=True))
    with pytest.raises(BriefError, match=r"edit\.1 waits for weights") as caught:
        read('[[edit]]\nop = "fill"\n', availability=absent)
    assert caught.value.remedy == "It continues by itself once that is there."
    with pytest.raises(BriefError) as caught:
        read('[[edit]]\nop = "fill"\n[[edit]]\nop = "fill"\nmodel = "mygan"\n', availability=absent)
    assert caught.value.remedy.startswith("Correct it")


def test_two_exports_of_one_name_are_refused_before_anything_runs() -> None:
    """The second file would take the first one's place; other formats and other names stand side by side."""
    export = '[[deliver]]\nop = "export"\nname = "{}"\nformat = "{}"\n'
    shipped = read_pipeline(shipped_file("config", "pipeline.toml").read_bytes(), "pipeline.toml")
    with pytest.raises(BriefError) as caught:
        read_brief((export.format("web", "jpeg") + export.format("WEB", "jpeg")).encode(), "hero.toml", shipped)
    assert str(caught.value).startswith("hero.toml: deliver.2 makes NAME_WEB.jpg, and so does deliver.1")
    read_brief((export.format("web", "jpeg") + export.format("web", "avif")).encode(), "hero.toml", shipped)
