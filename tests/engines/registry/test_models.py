"""The file models.toml is read completely or refused completely."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from goldsmith.engines.kinds import CONTROL_NET, INPAINTER, UPSCALER
from goldsmith.engines.protocols import EngineNeed
from goldsmith.engines.registry.models import Models, read_models
from goldsmith.engines.registry.pins import read_pins
from goldsmith.engines.registry.weights_sources import HubSource, NpmSource, PipSource, UrlSource
from goldsmith.errors import HostError, InputError, UsageError

SHIPPED = Path(__file__).parents[3] / "config" / "models.toml"
SHA = "0" * 64


def _faults(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "models.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_models(path)
    lines = caught.value.sentence.splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


def _file(name: str = "a.onnx", sha256: str = SHA, sources: str = "[]") -> str:
    return f'[[models.one.files]]\nname = "{name}"\nsha256 = "{sha256}"\nbytes = 3\nsources = {sources}\n'


ONE = '[models.one]\nkind = "inpaint"\ndriver = "migan"\nlicence = "MIT"\n'


def test_the_shipped_file_is_valid() -> None:
    """Check that it has an inpainting default without weights, and defaults for x2 and x4."""
    models = read_models(SHIPPED)
    assert models.models[models.defaults.candidates(EngineNeed(INPAINTER))[-1]].files == ()
    assert models.defaults.candidates(EngineNeed(UPSCALER, factor=2))
    assert models.defaults.candidates(EngineNeed(UPSCALER, factor=4))
    assert models.defaults.candidates(EngineNeed(UPSCALER, factor=5)) == ()


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_photographs_are_enlarged_by_nets_for_photographs(factor: int) -> None:
    """Check that the shipped defaults give a photograph no net for drawings, and a drawing one of those first."""
    defaults = read_models(SHIPPED).defaults
    photographs = defaults.candidates(EngineNeed(UPSCALER, factor=factor, is_drawing=False))
    assert photographs
    assert not any("anime" in name for name in photographs)
    drawings = defaults.candidates(EngineNeed(UPSCALER, factor=factor, is_drawing=True))
    assert drawings == (f"realesrgan-anime-x{factor}", *photographs)
    assert set(defaults.candidates(EngineNeed(UPSCALER, factor=factor))) == set(drawings)


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    """Check that a wrong kind, an unknown setting and a missing licence are one error with three lines."""
    faults = _faults(tmp_path, '[models.one]\nkind = "paint"\ndriver = "migan"\ncolour = 3\n')
    assert any(line.startswith("models.one.kind: 'paint' is not a kind of engine; the kinds are: inpaint, ") for line in faults)
    assert "models.one.colour: there is no such setting" in faults
    assert "models.one.licence: is missing" in faults
    assert len(faults) == 3


def test_a_default_must_exist_and_be_suitable(tmp_path: Path) -> None:
    """Check an unknown name, a wrong kind, a wrong factor, and a null engine."""
    text = (
        '[defaults]\ninpaint = ["ona", "big", "nothing"]\n[defaults.upscale]\nx4 = ["big"]\n'
        + ONE
        + '[models.big]\nkind = "upscale"\ndriver = "null"\nscale = 2\nlicence = "MIT"\n'
        + '[models.nothing]\nkind = "inpaint"\ndriver = "null"\nlicence = "MIT"\n'
    )
    assert _faults(tmp_path, text) == [
        "defaults.inpaint: there is no model 'ona'; the nearest is 'one'",
        "defaults.inpaint: 'big' is a model for upscale x2",
        "defaults.inpaint: 'nothing' cannot be a default, because the driver null generates nothing; "
        "remove it from this list (a step may still name it)",
        "defaults.upscale.x4: 'big' is a model for upscale x2",
    ]


@pytest.mark.parametrize(
    "name", ["../a.onnx", "/etc/passwd", "a/b.onnx", ".hidden", "", "a\\b", "é.onnx", "x" * 129], ids=lambda name: repr(name)[:12]
)
def test_a_weights_file_has_a_plain_name(tmp_path: Path, name: str) -> None:
    """Check that folders and hidden names are refused."""
    faults = _faults(tmp_path, ONE + _file(name.replace("\\", "\\\\")))
    assert [line.split(":")[0] for line in faults] == ["models.one.files.0.name"]


@pytest.mark.parametrize(
    "source",
    [
        '{ pip = "package", member = "a" }',
        '{ pip = "--index-url=x==1", member = "a" }',
        '{ npm = "name; rm -rf @1", member = "a" }',
        '{ npm = "-g@1.0", member = "a" }',
        '{ hub = "only-one", file = "a" }',
        '{ url = "file:///etc/passwd" }',
        '{ url = "ftp://host/a" }',
        '{ pip = "a==1" }',
        '{ pip = "a==1", npm = "a@1", member = "m" }',
        "{}",
    ],
)
def test_a_source_has_one_of_four_forms(tmp_path: Path, source: str) -> None:
    """Check that options, shell words, other schemes and mixed forms are refused in one sentence."""
    faults = _faults(tmp_path, ONE + _file(sources=f"[{source}]"))
    assert len(faults) == 1
    assert faults[0].startswith("models.one.files.0.sources.0: is none of {pip, member}")


def test_the_keys_of_a_source_decide_its_form(tmp_path: Path) -> None:
    """Check each of the four forms."""
    path = tmp_path / "models.toml"
    sources = (
        '[{ pip = "a-b==1.0.1", member = "a/b.bin" }, { npm = "@scope/name@1.0.0", member = "package/b" }, '
        '{ hub = "org/repo", file = "b.bin" }, { url = "https://host/b.zip", member = "b.bin" }]'
    )
    path.write_text(ONE + _file(sources=sources))
    kinds = [type(source) for source in read_models(path).models["one"].files[0].sources]
    assert kinds == [PipSource, NpmSource, HubSource, UrlSource]


def test_two_models_cannot_give_one_file_name_different_bytes(tmp_path: Path) -> None:
    """Check that models may share a file, and that letter case does not make another name."""
    other = _file("A.ONNX", "1" * 64).replace("models.one", "models.two")
    faults = _faults(tmp_path, ONE + _file() + ONE.replace("one", "two") + other)
    assert faults == ["models.two: its file A.ONNX has another sha256 than the file of that name in models.one"]


def test_only_upscalers_have_a_scale(tmp_path: Path) -> None:
    """Check an upscaler without a scale and an inpainter with one."""
    upscaler = '[models.two]\nkind = "upscale"\ndriver = "null"\nlicence = "MIT"\n'
    faults = _faults(tmp_path, ONE + "scale = 2\n" + upscaler)
    assert faults == [
        "models.one: only an upscaling model has a scale",
        "models.two: an upscaling model needs its scale, for example scale = 2",
    ]


def test_invalid_toml_is_reported(tmp_path: Path) -> None:
    """Check that the message has the line."""
    (fault,) = _faults(tmp_path, "[models\n")
    assert "not TOML" in fault
    assert "line 1" in fault


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    """Check that the message has its path and the reason of the system."""
    with pytest.raises(UsageError, match=r"absent\.toml cannot be read: No such file"):
        read_models(tmp_path / "absent.toml")


def test_a_failing_disk_is_a_fault_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's start waits for it; a wrong use would end the start."""

    def refuse(path: Path, encoding: str) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_text", refuse)
    for read in (read_models, read_pins):
        with pytest.raises(HostError, match="cannot be read: Input/output error"):
            read(tmp_path / "models.toml")


def test_an_unknown_model_gets_the_nearest_name() -> None:
    """Check that a typing error gets the nearest name, and other names a list of all models."""
    models = read_models(SHIPPED)
    with pytest.raises(InputError, match=r"There is no model called 'migam'\. The nearest is 'migan'\."):
        models.get("migam")
    with pytest.raises(InputError, match=r"The models are: .*migan, modnet, null-generate, null-inpaint, "):
        models.get("/etc/passwd")


def test_a_file_without_models_is_valid(tmp_path: Path) -> None:
    """Check that a request for a model then reports that there is none."""
    path = tmp_path / "models.toml"
    path.write_text("[models]\n")
    assert read_models(path) == Models(models={})


def test_reading_models_imports_no_runtime() -> None:
    """Check this because the scanner and the command line read models.toml."""
    code = (
        "import sys; from pathlib import Path; from goldsmith.engines import engine_loader; from goldsmith.engines.fetching import fetch;"
        "from goldsmith.engines.registry.models import read_models;"
        f"read_models(Path({str(SHIPPED)!r}));"
        "print([name for name in ('torch', 'onnxruntime', 'patchmatch', 'cv2', 'PIL', 'huggingface_hub') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_examples_in_the_manual_are_valid(tmp_path: Path) -> None:
    """Check the examples after filling in the hashes, and that every listed model exists."""
    manual = (SHIPPED.parents[1] / "docs" / "models.md").read_text()
    path = tmp_path / "models.toml"
    path.write_text("\n".join(re.findall(r"```toml\n(.*?)```", manual, re.DOTALL)).replace('"..."', f'"{SHA}"'))
    assert {"own-x4", "own-portraits", "own-single"} <= set(read_models(path).models)
    table = re.findall(r"^\| (`.*?) \|", manual, re.MULTILINE)
    stems = {name for row in table for name in re.findall(r"`([a-z][a-z0-9-]+)`", row)}
    assert stems <= set(read_models(SHIPPED).models)
    assert {"migan", "patchmatch", "realesrgan-x2", "realesrgan-x4plus"} <= stems


def test_the_table_of_generating_models_matches_the_file() -> None:
    """Check abilities, licence, paid work and steps: one row each, in the order of the file."""
    models = read_models(SHIPPED)
    manual = (SHIPPED.parents[1] / "docs" / "models.md").read_text()
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in manual.splitlines() if row.startswith("| `") and row.count("|") == 8]
    manual_rows = {row[0].strip("`"): (row[1], row[2], row[3], row[5]) for row in rows}
    file_rows = {
        name: (", ".join(model.diffusion.can), model.licence.removeprefix("LicenseRef-"), model.commercial, str(model.diffusion.steps))
        for name, model in models.models.items()
        if model.diffusion is not None and model.driver != "null"
    }
    assert list(manual_rows.items()) == list(file_rows.items())
    for name, model in models.names.items():
        assert f'{name} = "{model}"' in manual


CONTROL = '[models.one]\nkind = "control"\ndriver = "controlnet"\nlicence = "MIT"\n'
CONTROL_TABLE = '[models.one.control]\nfamily = "sdxl"\ncontrols = ["depth", "pose"]\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (CONTROL + 'folder = "/srv/x"\n', "a model of kind control, and only such a model, has a [control] table"),
        (ONE + CONTROL_TABLE, "a model of kind control, and only such a model, has a [control] table"),
        (
            CONTROL + 'folder = "/srv/x"\n' + CONTROL_TABLE + "modes = { depth = 1 }\n",
            "modes needs one number for each of controls: depth, pose",
        ),
        (CONTROL + CONTROL_TABLE, "a model of kind control is a repository or a folder"),
        (CONTROL + 'file = "/srv/x.safetensors"\n' + CONTROL_TABLE, "a model of kind control is a repository or a folder"),
    ],
)
def test_a_control_model_is_a_folder_with_its_table(tmp_path: Path, text: str, sentence: str) -> None:
    """Check a missing table, a table of another kind, numbers that do not fit, and weights that are no folder."""
    assert any(sentence in line for line in _faults(tmp_path, text))


def test_a_control_model_serves_its_family_and_its_controls(tmp_path: Path) -> None:
    """Check that any family and any control mean the same as its own, and that the entry can be a key."""
    path = tmp_path / "models.toml"
    path.write_text(CONTROL + 'folder = "/srv/x"\n' + CONTROL_TABLE + "modes = { depth = 1, pose = 0 }\n")
    model = read_models(path).models["one"]
    needs = [
        EngineNeed(CONTROL_NET, control=control, family=family) for control in ("", "depth", "tile") for family in ("", "sdxl", "flux")
    ]
    assert [(need.control, need.family) for need in needs if model.can_serve(need)] == [
        ("", ""), ("", "sdxl"), ("depth", ""), ("depth", "sdxl"),
    ]  # fmt: skip
    assert not model.can_serve(EngineNeed(INPAINTER))
    assert hash(model) == hash(read_models(path).models["one"])
