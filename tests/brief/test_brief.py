"""Briefs are read into settings and steps, and each problem has its own message."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from goldsmith.brief.brief import Availability, Brief, EngineUnavailable, read_brief
from goldsmith.brief.parsing import BriefError
from goldsmith.brief.pipeline import read_pipeline
from goldsmith.files import resource_path

Problems = Callable[..., list[str]]
Read = Callable[..., Brief]


def test_a_brief_holds_its_settings_and_steps(read: Read) -> None:
    """Read settings and steps; each step keeps its settings as written."""
    brief = read(
        'title = "T"\nprompt = "P"\nseed = 7\nworking = "tiff"\n[mask]\nfit = "scale"\n'
        '[[edit]]\nop = "fill"\n[[edit]]\nop = "enlarge"\nfactor = 3'
    )
    assert (brief.title, brief.prompt, brief.seed, brief.working, brief.mask_fit) == ("T", "P", 7, "tiff", "scale")
    assert [(step.op, dict(step.settings), step.location) for step in brief.steps_by_stage["edit"]] == [
        ("fill", {}, "edit.1"),
        ("enlarge", {"factor": 3}, "edit.2"),
    ]


def test_a_brief_says_how_its_pictures_are_read(read: Read, problems: Problems) -> None:
    """HDR is tone-mapped and floating-point values are scaled only if the brief asks for it, with values that can be."""
    brief = read('hdr = "tonemap"\nfloat_range = 255\n')
    assert (brief.hdr, brief.float_range) == ("tonemap", 255)
    assert problems('hdr = "yes"\n') == ['hdr is "yes", but must be "refuse" or "tonemap".']
    for value in ("0", "-1", "1e12", '"255"'):
        (problem,) = problems(f"float_range = {value}\n")
        assert problem.startswith("float_range is ")


def test_a_missing_setting_is_none(read: Read) -> None:
    """Read an empty brief."""
    assert read("") == Brief()


def test_a_setting_that_its_operation_expands_is_kept_as_written(read: Read) -> None:
    """Write one number for two channels: it is valid and stays one number."""
    step = read('[[grade]]\nop = "tone"\ngain = 2\namount = [1, 2]\nshadows = { temperature = 3 }').steps_by_stage["grade"][0]
    assert step.settings == {"gain": 2, "amount": [1, 2], "shadows": {"temperature": 3}}


def test_an_empty_stage_is_kept(read: Read) -> None:
    """Read ``edit = []``, a stage that does nothing."""
    assert read("edit = []").steps_by_stage == {"edit": ()}


def test_every_problem_is_reported_at_once(problems: Problems) -> None:
    """Check the location, value and rule of each problem."""
    assert problems(
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
        'title is 3, but must be a text in "quotes": write title = "3".',
        "seed is -1, but must be at least 0.",
        'working is "jpg", but must be "png", "tiff", "psd" or "ora".',
        'mask.fit is "stretch", but must be "refuse" or "scale".',
        "edit.1.factor is 9, but must be at most 4.",
        "edit.2.fctor is not a setting here; did you mean factor?",
        'edit.3.op is "enlrge", but there is no such operation: write op = "enlarge".',
        'edit.4.op is "save", which is not allowed in this stage: write it under [[deliver]].',
        'edit.5 has no `op`: write op = "enlarge" in it.',
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
        ('[[edit]]\nop = "enlarge"\nfactor = "2"', 'edit.1.factor is "2", but must be a number: write factor = 2, the number alone'),
        ('[[edit]]\nop = "enlarge"\nfactor = true', "edit.1.factor is true, but must be a number."),
        ('[[edit]]\nop = "enlarge"\nfactor = 2.5', "edit.1.factor is 2.5, but must be a whole number."),
        ('[[edit]]\nop = "enlarge"\nfactor = [2]', "edit.1.factor is [2], but must be a whole number from 1 to 4."),
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
        (
            '[[grade]]\nop = "tone"\nshadows = 3',
            "grade.1.shadows is 3, but must be a table in { braces }: write shadows = { temperature = … }.",
        ),
        (
            '[[grade]]\nop = "tone"\namount = [1, "2"]',
            'grade.1.amount.2 is "2", but must be a number: write 2, the number alone and without quotes.',
        ),
        ('[[grade]]\nop = "tone"\namount = [1, "x"]', 'grade.1.amount.2 is "x", but must be a whole number.'),
        ('[[grade]]\nop = "tone"\namount = "x"', 'grade.1.amount is "x", but must be a whole number or must be a list in [brackets].'),
        ('[[grade]]\nop = "tone"\ngain = true', "grade.1.gain is true, but must be a number."),
        ('[[grade]]\nop = "tone"\ngain = "2"', 'grade.1.gain is "2", but must be a list in [brackets].'),
        ('[[grade]]\nop = "tone"\nquick = 1', "grade.1.quick is 1, but must be true or false: write quick = true."),
        ('[[grade]]\nop = "tone"\nquick = "yes"', 'grade.1.quick is "yes", but must be true or false: write quick = true, without quotes.'),
        (
            '[[grade]]\nop = "tone"\nshadows = { temperature = "3" }',
            'grade.1.shadows.temperature is "3", but must be a number: write temperature = 3, the number',
        ),
        ('[[grade]]\nop = "tone"\nlook = "../../etc/passwd"', 'grade.1.look is "../../etc/passwd": that is a path'),
        ('[[grade]]\nop = "tone"\nlook = "/etc/passwd"', 'grade.1.look is "/etc/passwd": that is an absolute path'),
        ('recipe = "https://example.org/x"', 'recipe is "https://example.org/x": that is an address'),
        ('recipe = "a"\nresolved = true', "recipe cannot stand beside `resolved = true`"),
        ("seed = 4294967296", "seed is 4294967296, but must be less than 4294967296."),
        ("mask = 3", "mask is 3, but must be a table in { braces }; write mask = { fit = … } (its settings: fit, from)."),
        (b"[[edit]]\nop='fill'\n" * 65, "edit has 65 steps; a stage has at most 64."),
        (b"[[edit]]\nop='fill'\n" * 100_000, "has 1.9 MB"),
        (b"edit=[" + b"{}," * 80_000 + b"]", "edit has more than 5000 values"),
        (b"\xff" * 50, "line 1 has bytes that are not UTF-8"),
        (b"k" * 5000 + b" = 1", "k" * 59 + "… is not a setting of a brief"),
    ],
)
def test_each_mistake_has_its_own_message(problems: Problems, text: str | bytes, expected: str) -> None:
    """Check that the message gives the value and the rule."""
    messages = problems(text)
    assert len(messages) == 1
    assert expected in messages[0]


def test_an_error_begins_with_the_file_and_ends_with_the_remedy(read: Read) -> None:
    """Check the sentence and the remedy of one problem."""
    with pytest.raises(BriefError) as caught:
        read('[[edit]]\nop = "enlarge"\nfactor = 9')
    assert caught.value.sentence == "hero.toml: edit.1.factor is 9, but must be at most 4."
    assert caught.value.remedy == "Correct it and save it: it is read again at once."


def test_long_values_are_shortened(problems: Problems) -> None:
    """Write a value of 3000 characters."""
    assert len(problems(f'working = "{"y" * 3000}"')[0]) < 150


@pytest.mark.parametrize("head", ["", '[[edit]]\nop = "fill"\n', '[[grade]]\nop = "tone"\n'])
def test_thousands_of_unknown_names_are_reported_quickly(read: Read, head: str) -> None:
    """Check that the search for similar names takes linear time."""
    start = time.process_time()
    with pytest.raises(BriefError) as caught:
        read(head + "".join(f"k{number} = 1\n" for number in range(4900)))
    assert time.process_time() - start < 1
    assert len(caught.value.problems) == 4900
    assert len(caught.value.sentence) < 4000


AVAILABLE = Availability(
    model_names={"inpaint": ["migan", "patchmatch"]},
    has_file=lambda folder, name, suffixes: (folder, name) == ("looks", "warm-amber"),
    list_names=lambda folder, suffixes: ["warm-amber"],
)


def test_missing_models_and_looks_are_problems(problems: Problems) -> None:
    """Misspell a model and a look: each gets the nearest name."""
    assert problems(
        '[[edit]]\nop = "fill"\nmodel = "mygan"\n[[grade]]\nop = "tone"\nname = "x"\nlook = "warm-ambr"', availability=AVAILABLE
    ) == [
        'edit.1.model is "mygan", but config/models.toml has no such model; did you mean migan?',
        'grade.1.look is "warm-ambr", but library/looks/ has no such .cube or .cdl file; did you mean warm-amber?',
    ]


def test_available_models_and_looks_are_no_problem(read: Read) -> None:
    """Read with and without an availability."""
    assert read(
        '[[edit]]\nop = "fill"\nmodel = "migan"\n[[grade]]\nop = "tone"\nlook = "warm-amber"', availability=AVAILABLE
    ).steps_by_stage
    assert read('[[edit]]\nop = "fill"\nmodel = "mygan"').steps_by_stage


def test_an_unavailable_engine_is_a_problem_at_its_setting(problems: Problems) -> None:
    """Check a named engine, a default engine, and a model of another kind."""
    availability = replace(
        AVAILABLE,
        model_names={"inpaint": ["migan"], "upscale": ["big"]},
        why_unavailable=lambda need: EngineUnavailable(f"No {need.kind.name} here. Run: x"),
    )
    assert problems('[[edit]]\nop = "fill"\nmodel = "migan"\n[[edit]]\nop = "fill"\n', availability=availability) == [
        "edit.1.model cannot be done here: No inpaint here. Run: x",
        "edit.2 cannot be done here: No inpaint here. Run: x",
    ]
    assert problems('[[edit]]\nop = "fill"\nmodel = "big"\n', availability=replace(availability, why_unavailable=None)) == [
        'edit.1.model is "big", which is not a model for this step; there is: migan.'
    ]


def test_missing_weights_need_no_correction(read: Read) -> None:
    """Check the remedy if only weights are missing, and if the brief has another problem too."""
    availability = replace(AVAILABLE, why_unavailable=lambda need: EngineUnavailable("This step waits for weights.", is_transient=True))
    with pytest.raises(BriefError, match=r"edit\.1 waits for weights") as caught:
        read('[[edit]]\nop = "fill"\n', availability=availability)
    assert caught.value.remedy == "It continues by itself once that is there."
    with pytest.raises(BriefError) as caught:
        read('[[edit]]\nop = "fill"\n[[edit]]\nop = "fill"\nmodel = "mygan"\n', availability=availability)
    assert caught.value.remedy.startswith("Correct it")


def test_two_exports_of_the_same_name_are_refused() -> None:
    """Export twice with the same name and format, then with two formats."""
    export = '[[deliver]]\nop = "export"\nname = "{}"\nformat = "{}"\n'
    shipped = read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "pipeline.toml")
    with pytest.raises(BriefError) as caught:
        read_brief((export.format("web", "jpeg") + export.format("WEB", "jpeg")).encode(), "hero.toml", shipped)
    assert str(caught.value).startswith("hero.toml: deliver.2 makes NAME_WEB.jpg, and so does deliver.1")
    read_brief((export.format("web", "jpeg") + export.format("web", "avif")).encode(), "hero.toml", shipped)
