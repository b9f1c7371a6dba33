"""``goldsmith check`` prints every error at once, or the steps that would run."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from doubles import tiny
from doubles.commandline import Goldsmith
from goldsmith.files import resource_path

GOOD = """
title = "Spring"
[[generate]]
op = "select"
[[edit]]
op = "inpaint"
where = "sky"
[[deliver]]
op = "export"
name = "web"
format = "jpeg"
"""
BAD = """
titel = "Spring"
[[edit]]
op = "inpant"
[[edit]]
op = "upscale"
factor = 9
[[grade]]
op = "grade"
look = "warm"
"""


def _put(root: Path, path: str, text: str = "x") -> Path:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
    return root / path


def test_a_valid_brief_is_shown_stage_by_stage(goldsmith: Goldsmith, root: Path) -> None:
    """The output has the steps, the stages that pass the picture unchanged, the last folder, and the masks that are missing."""
    _put(root, "inbox/hero.png")
    result = goldsmith("check", _put(root, "inbox/hero.toml", GOOD))
    assert result.code == 0
    assert result.out.startswith("hero.toml: no errors. It was read as a brief.")
    assert [row[:3] for row in result.rows[2:6]] == [
        ["generate", "1. select", ""],
        ["edit", "1. inpaint", 'where = "sky"'],
        ["grade", "-", "passes unchanged"],
        ["deliver", "1. export", 'name = "web", format = "jpeg"'],
    ]
    assert "Then the picture is in delivered/, finished." in result.out
    assert "It waits for a mask: “hero.mask.sky.png” beside the picture." in result.out


def test_a_brief_with_a_hidden_windows_extension_is_a_brief(goldsmith: Goldsmith, root: Path) -> None:
    """hero.toml.txt is read like hero.toml, as in the folders."""
    result = goldsmith("check", _put(root, "inbox/hero.toml.txt", GOOD))
    assert result.out.startswith("hero.toml.txt: no errors. It was read as a brief.")


def test_a_missing_layer_is_reported(goldsmith: Goldsmith, root: Path) -> None:
    """A layer beside the picture or in the library counts, whatever its case."""
    brief = '[[grade]]\nop = "composite"\nlayers = [{ from = "logo" }]\n'
    sentence = "It waits for a layer: “hero.layer.logo.png” beside the picture, or “logo” in library/plates/ or library/logos/."
    _put(root, "masked/hero.png")
    _put(root, "masked/hero.toml", brief)
    assert sentence in goldsmith("check", root / "masked/hero.toml").out
    beside = _put(root, "masked/hero.layer.LOGO.png")
    assert "waits for a layer" not in goldsmith("check", root / "masked/hero.toml").out
    beside.unlink()
    _put(root, "library/logos/logo.png")
    assert "waits for a layer" not in goldsmith("check", root / "masked/hero.toml").out


def test_all_errors_are_listed_at_once(goldsmith: Goldsmith, root: Path) -> None:
    """Each error has its place; the exit code is 3 and stdout is empty."""
    result = goldsmith("check", _put(root, "inbox/hero.toml", BAD))
    assert (result.code, result.out) == (3, "")
    for place in ("titel", "edit.1.op", "edit.2.factor", "grade.1.look"):
        assert f"- {place} " in result.err or f"- {place}:" in result.err


def test_the_campaign_brief_and_the_recipe_are_checked_too(goldsmith: Goldsmith, root: Path) -> None:
    """Each error names its file."""
    _put(root, "inbox/acme/hero.png")
    _put(root, "inbox/acme/brief.toml", '[[edit]]\nop = "upscale"\nfactor = 7\n')
    _put(root, "library/recipes/spring.toml", '[[grade]]\nop = "grade"\nsaturation = 9\n')
    result = goldsmith("check", _put(root, "inbox/acme/hero.toml", 'recipe = "spring"\n[[generate]]\nop = "select"\nkeep = 0\n'))
    assert result.code == 3
    assert "hero.toml: generate.1.keep" in result.err
    assert "brief.toml: edit.1.factor" in result.err
    result = goldsmith("check", _put(root, "inbox/acme/hero.toml", 'recipe = "spring"\n[[generate]]\nop = "select"\n'))
    assert "library/recipes/spring.toml: grade.1.saturation" in result.err
    assert "brief.toml: edit.1.factor" in result.err


def test_each_step_names_its_source_file(goldsmith: Goldsmith, root: Path) -> None:
    """The source is the picture's own brief, the recipe, the campaign's brief, or the pipeline's defaults."""
    _put(root, "inbox/acme/brief.toml", '[[deliver]]\nop = "export"\n')
    _put(root, "library/recipes/spring.toml", '[[grade]]\nop = "grade"\nsaturation = 0.5\n')
    _put(root, "inbox/acme/hero.png")
    result = goldsmith("check", _put(root, "inbox/acme/hero.toml", 'recipe = "spring"\n'))
    sources = {row[0]: row[3] for row in result.rows[2:6]}
    assert sources == {"generate": "config/pipeline.toml", "edit": "", "grade": "library/recipes/spring.toml", "deliver": "brief.toml"}


def test_a_missing_recipe_is_an_error(goldsmith: Goldsmith, root: Path) -> None:
    """The message names the library folder."""
    result = goldsmith("check", _put(root, "inbox/hero.toml", 'recipe = "sprng"\n'))
    assert result.code == 3
    assert "There is no “sprng” in library/recipes/" in result.err


def test_a_look_beside_the_picture_is_found(goldsmith: Goldsmith, root: Path) -> None:
    """The check finds the look like a real run."""
    _put(root, "masked/hero.png")
    brief = _put(root, "masked/hero.toml", '[[grade]]\nop = "grade"\nlook = "hero"\n')
    assert goldsmith("check", brief).code == 3
    _put(root, "masked/hero.cube")
    assert goldsmith("check", brief).code == 0
    assert goldsmith("check", root / "masked/hero.cube").code == 0


def test_a_picture_is_checked_with_its_sidecars(goldsmith: Goldsmith, root: Path) -> None:
    """A picture alone has no instructions. With a mask, the stage's own steps are shown. Two pictures with one mask are an error."""
    picture = _put(root, "selected/hero.png")
    assert "no instructions" in goldsmith("check", picture).out
    _put(root, "selected/hero.mask.png")
    assert ["edit", "1. inpaint", 'where = "mask"', "config/pipeline.toml"] in goldsmith("check", picture).rows
    _put(root, "selected/hero.jpg")
    result = goldsmith("check", picture)
    assert result.code == 3
    assert "could belong to" in result.err


@pytest.mark.parametrize("path", ["library/recipes/spring.toml", "elsewhere/recipes/spring.toml"])
def test_a_recipe_is_recognised_by_its_folder(goldsmith: Goldsmith, root: Path, tmp_path: Path, path: str) -> None:
    """The folder is the library's, or any other folder with the name recipes."""
    base = root if path.startswith("library") else tmp_path
    result = goldsmith("check", _put(base, path, '[[grade]]\nop = "grade"\nsaturation = 0.5\n'), "-r", root)
    assert result.code == 0
    assert "It was read as a recipe." in result.out


def test_a_prompt_is_checked_as_a_prompt(goldsmith: Goldsmith, root: Path) -> None:
    """The prompt must be UTF-8."""
    _put(root, "selected/hero.png")
    assert goldsmith("check", _put(root, "selected/hero.txt", "a desk")).code == 0
    (root / "selected/hero.txt").write_bytes("Bäume".encode("latin-1"))
    assert goldsmith("check", root / "selected/hero.txt").code == 3


@pytest.mark.parametrize(
    ("name", "kind"), [("pipeline.toml", "a pipeline file"), ("goldsmith.toml", "a settings file"), ("models.toml", "a models file")]
)
@pytest.mark.parametrize("renamed", [False, True], ids=["by name", "by content"])
def test_a_configuration_file_is_recognised_by_name_or_content(
    goldsmith: Goldsmith, tmp_path: Path, name: str, kind: str, renamed: bool
) -> None:
    """The supplied files have no errors, under any name."""
    text = resource_path("config", name).read_text()
    if name == "goldsmith.toml":
        text += "quiet = 5.0\n"
    result = goldsmith("check", _put(tmp_path, f"new-{name}" if renamed else name, text))
    assert result.code == 0
    assert f"It was read as {kind}." in result.out


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("pipeline.toml", '[[stage]]\nname = "edit"\nfolder = "a/b"\nnext = "c"\n', "stage.1.folder"),
        ("goldsmith.toml", 'quiet = "soon"\nquite = 1\n', "quite"),
        ("models.toml", "[models.x]\nkind = 1\n", "models.x.kind"),
    ],
)
def test_errors_in_a_configuration_file_give_code_2(goldsmith: Goldsmith, tmp_path: Path, name: str, text: str, place: str) -> None:
    """The administrator must correct these errors, not the designer."""
    result = goldsmith("check", _put(tmp_path, name, text))
    assert result.code == 2
    assert place in result.err


def test_a_brief_outside_the_root_is_checked(goldsmith: Goldsmith, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supplied configuration applies. With --root, that root's library applies."""
    brief = _put(tmp_path, "desk/hero.toml", '[[grade]]\nop = "grade"\nlook = "warm"\n')
    monkeypatch.setattr("goldsmith.cli.location.resource_path", lambda *parts: tmp_path / "installed" / "shipped" / "samples")
    assert goldsmith("check", brief).code == 0
    assert goldsmith("check", brief, "--root", root).code == 3


@pytest.mark.parametrize("case", ["gone", "folder", "pipe", "huge", "deep", "binary", "other"])
def test_every_kind_of_file_gets_a_sentence(goldsmith: Goldsmith, root: Path, case: str) -> None:
    """A missing, huge, deeply nested or binary file, a folder, a pipe or another type causes no hang and no traceback."""
    path = root / "inbox" / ("file.doc" if case == "other" else "file.toml")
    if case == "folder":
        path.mkdir()
    elif case == "pipe":
        os.mkfifo(path)
    elif case == "huge":
        with path.open("wb") as file:
            file.truncate(100_000_000)
    elif case != "gone":
        path.write_bytes({"deep": b"a = " + b"[" * 10_000, "binary": b"\0\xff\xfe" * 10, "other": b"x"}[case])
    result = goldsmith("check", path, "-r", root)
    assert result.code == (2 if case in ("gone", "other") else 3)
    assert result.err.startswith("goldsmith: ")
    assert len(result.err) < 2000


def test_missing_weights_are_reported(goldsmith: Goldsmith, root: Path) -> None:
    """The output has the command that fetches the weights. The brief is still valid."""
    result = goldsmith("check", _put(root, "selected/hero.toml", '[[edit]]\nop = "upscale"\nfactor = 4\nmodel = "realesrgan-x4plus"\n'))
    assert result.code == 0
    assert "goldsmith models fetch realesrgan-x4plus" in result.out


def test_a_brief_that_ends_before_its_folder_is_reported(goldsmith: Goldsmith, root: Path) -> None:
    """The sentence names the missing stage."""
    _put(root, "graded/hero.png")
    result = goldsmith("check", _put(root, "graded/hero.toml", '[[edit]]\nop = "denoise"\n'))
    assert result.code == 0
    assert "It ends with edit: in graded/ a picture waits until you add [[deliver]]" in result.out


@pytest.mark.parametrize("file", ["/nowhere/hero.toml", "hero.toml", "selected/hero.toml"])
def test_a_missing_file_is_called_missing_wherever_it_is_named(goldsmith: Goldsmith, root: Path, file: str) -> None:
    """The message does not ask for a file inside the folders: a brief may lie anywhere."""
    result = goldsmith("check", file, "-r", root)
    assert result.code == 2
    assert f"{file} does not exist." in result.err
    assert "inside the folders" not in result.err


def test_a_picture_where_a_mask_moves_nothing_is_told_of_a_brief_only(goldsmith: Goldsmith, root: Path) -> None:
    """The sentence depends on the folder."""
    for folder in ("selected", "graded"):
        (root / folder / "hero.png").write_bytes(b"x")
    assert "put a brief or a mask beside it" in goldsmith("check", "selected/hero.png", "-r", root).out
    assert "no instructions: put a brief beside it" in goldsmith("check", "graded/hero.png", "-r", root).out


def test_a_size_far_above_that_of_the_model_is_remarked(goldsmith: Goldsmith, root: Path) -> None:
    """The remark has the place, the factor, and what to write instead."""
    brief = 'prompt = "x"\n[[generate]]\nop = "regenerate"\nmodel = "null-generate"\nsize = [2000, 1704]\n'
    result = goldsmith("check", _put(root, "inbox/hero.toml", brief))
    assert result.code == 0
    expected = "generate.1: size = [2000, 1704] is 52 times the size at which the model draws (0.1 MP): the picture is enlarged without"
    assert expected in " ".join(result.out.split())


def test_what_a_model_will_not_read_of_a_prompt_is_remarked(goldsmith: Goldsmith, root: Path) -> None:
    """A long prompt with weights, for a model without CLIP and for one with it, whose weights are both here."""
    words = " ".join(["(moss:1.3)", *["stone"] * 400])
    models = tiny.models_toml({"words": "z-image", "clip": "sdxl"})
    _put(root, "config/models.toml", models)
    for model, is_read in (("words", False), ("clip", True)):
        brief = f'prompt = "{words}"\n[[generate]]\nop = "regenerate"\nmodel = "{model}"\n'
        out = " ".join(goldsmith("check", _put(root, "inbox/hero.toml", brief)).out.split())
        assert (f"generate.1: the brief's prompt has 401 words, and the model {model} reads about 380" in out) is not is_read, out
        assert (f"the brief's prompt has weights such as (word:1.3), which the model {model} reads as words" in out) is not is_read


@pytest.mark.parametrize(
    ("folder", "step", "remarked"),
    [
        ("inbox", 'op = "regenerate"\nprompts = ["a chair", "LONG"]\nnegative = "LONG"', ["generate.1.prompts.2", "generate.1.negative"]),
        ("selected", 'op = "inpaint"\nwhere = "box(0.1, 0.1, 0.2, 0.2)"\nprompt = "LONG"', ["edit.1.prompt"]),
        ("selected", 'op = "inpaint"\nwhere = "box(0.1, 0.1, 0.2, 0.2)"\nprompt = "short"\nnegative = "LONG"', ["edit.1.negative"]),
        ("selected", 'op = "outpaint"\nright = "50%"\nprompt = "LONG"', ["edit.1.prompt"]),
        ("selected", 'op = "outpaint"\nright = "50%"\nprompt = "short"\nnegative = "LONG"', ["edit.1.negative"]),
    ],
)
def test_every_setting_with_words_is_remarked(goldsmith: Goldsmith, root: Path, folder: str, step: str, remarked: list[str]) -> None:
    """Lists of prompts and negative prompts too, in every step that takes them; a short text is not remarked."""
    _put(root, "config/models.toml", tiny.models_toml({"words": "z-image"}))
    stage = {"inbox": "generate", "selected": "edit"}[folder]
    brief = f'[[{stage}]]\n{step}\nmodel = "words"\n'.replace("LONG", " ".join(["stone"] * 400))
    out = " ".join(goldsmith("check", _put(root, f"{folder}/hero.toml", brief)).out.split())
    places = re.findall(r"(\S+) has 400 words, and the model words reads about 380: it will ignore the rest", out)
    assert sorted(places) == sorted(remarked), out


def test_the_brief_prompt_is_remarked_where_a_step_reads_it(goldsmith: Goldsmith, root: Path) -> None:
    """An inpaint step without a prompt of its own reads that of the brief, and then takes a model with words."""
    models = tiny.models_toml({"words": "z-image"}).replace("inpaint = []", 'inpaint = ["patchmatch"]')
    patchmatch = '[models.patchmatch]\nkind = "inpaint"\ndriver = "patchmatch"\nlicence = "MIT"\n'
    _put(root, "config/models.toml", f"{models}\n{patchmatch}")
    brief = f'prompt = "{" ".join(["stone"] * 400)}"\n[[edit]]\nop = "inpaint"\nwhere = "box(0.1, 0.1, 0.2, 0.2)"\n'
    out = " ".join(goldsmith("check", _put(root, "selected/hero.toml", brief)).out.split())
    assert "edit.1: the brief's prompt has 400 words, and the model words reads about 380" in out


def test_a_negative_prompt_that_the_model_does_not_use_is_not_called_too_long(goldsmith: Goldsmith, root: Path) -> None:
    """FLUX.2 klein has no negative prompt."""
    _put(root, "config/models.toml", tiny.models_toml({"words": "flux2-klein"}))
    brief = f'[[generate]]\nop = "regenerate"\nprompt = "short"\nnegative = "{" ".join(["stone"] * 400)}"\nmodel = "words"\n'
    assert "400 words" not in goldsmith("check", _put(root, "inbox/hero.toml", brief)).out


def test_what_the_model_cannot_do_with_the_files_beside_the_brief_is_an_error(goldsmith: Goldsmith, root: Path) -> None:
    """A strength beside a reference picture is refused, and a brief alone waits for a picture if its model needs one."""
    brief = 'prompt = "x"\n[[generate]]\nop = "regenerate"\nmodel = "null-generate"\nstrength = 0.4\n'
    _put(root, "inbox/hero.png")
    _put(root, "inbox/hero.ref.png")
    result = goldsmith("check", _put(root, "inbox/hero.toml", brief))
    assert result.code == 3
    assert "generate.1.strength is 0.4, but there is a reference picture beside it" in " ".join(result.err.split())
    words = brief.replace("null-generate", "sdxl-inpaint").replace("strength = 0.4\n", "")
    result = goldsmith("check", _put(root, "inbox/other.toml", words))
    assert "generate.1: it waits for its picture: The model 'sdxl-inpaint' can fill a hole" in " ".join(result.out.split())


ENTRY = """
[models.own]
kind = "generate"
driver = "diffusers"
licence = "LicenseRef-ours"
[models.own.diffusion]
family = "sdxl"
can = ["text"]
pixels = 1_048_576
multiple = 8
steps = 30
guidance = 5.0
memory_mb = 7000
picture_mb = 6000
"""


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (('"diffusers"', '"difusers"'), "models.own.driver: there is no driver 'difusers' (did you mean 'diffusers'?); the drivers are: "),
        (('"sdxl"', '"sdlx"'), "models.own.diffusion.family: there is no family 'sdlx' (did you mean 'sdxl'?)"),
        (
            ('["text"]', '["text", "references"]'),
            "models.own.diffusion.can: a model of the family 'sdxl' cannot 'references'. It can: text",
        ),
        (('"LicenseRef-ours"', '"MIT"\nfolder = "/srv/nowhere"'), "models.own.folder: /srv/nowhere is no folder on this machine"),
        (('"LicenseRef-ours"', '"MIT"\nfile = "/srv/no.safetensors"'), "models.own.file: /srv/no.safetensors is no file on this machine"),
        (("models.own", "models.Own"), "has a form that is not allowed; a name has up to 64 small letters, digits, dots and hyphens"),
        (('"diffusers"', '"Diffusers!"'), "a driver is named with small letters, digits and underscores"),
        (('"sdxl"', '"SDXL"'), "'SDXL' has a form that is not allowed; a family is named with small letters, digits and hyphens"),
    ],
)
def test_a_fault_of_a_model_entry_is_said_in_words(goldsmith: Goldsmith, tmp_path: Path, change: tuple[str, str], fault: str) -> None:
    """Check that a driver, a family, an ability, a missing folder and a name are reported before any job meets them."""
    result = goldsmith("check", _put(tmp_path, "models.toml", ENTRY.replace(*change)))
    assert result.code == 2
    assert fault in " ".join(result.err.split())
    assert "^" not in result.err


def test_an_entry_with_an_unknown_family_or_licence_is_remarked(goldsmith: Goldsmith, tmp_path: Path) -> None:
    """Check that it is valid, and what follows from it."""
    result = goldsmith("check", _put(tmp_path, "models.toml", ENTRY.replace('"sdxl"', '"of-tomorrow"')))
    assert result.code == 0
    output = " ".join(result.out.split())
    assert "the family 'of-tomorrow' is not known, so diffusers chooses its pipelines for text, image and inpaint" in output
    assert "it does not say whether LicenseRef-ours allows paid work: add commercial" in output


def test_the_queues_of_the_settings_are_those_of_the_pipeline_beside_them(goldsmith: Goldsmith, tmp_path: Path) -> None:
    """Without a pipeline.toml beside the settings, the shipped one counts."""
    text = '[cluster]\naddress = "auto"\n[queues.{}]\nrunner = "ray"\nworkers = 2\n'
    result = goldsmith("check", _put(tmp_path, "goldsmith.toml", text.format("gpu")))
    assert (result.code, result.rows[-1]) == (0, ["queues", "gpu: runner = ray, workers = 2"])
    result = goldsmith("check", _put(tmp_path, "goldsmith.toml", text.format("gpus")))
    assert result.code == 2
    assert "queues.gpus is not a queue of a stage in pipeline.toml; did you mean gpu?" in result.err
    _put(tmp_path, "pipeline.toml", '[[stage]]\nname = "edit"\nfolder = "inbox"\nnext = "done"\nqueue = "gpus"\n')
    assert goldsmith("check", tmp_path / "goldsmith.toml").code == 0
