"""The catalogue finds operations by itself, and refuses modules that break the rule of one operation per word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import ValidationError

from goldsmith import ops
from goldsmith.brief.parsing import MAX_STRING_LENGTH
from goldsmith.operation import MAX_PROMPT_CHARS, Operation, PictureOperation, check_prompt
from goldsmith.ops import catalogue


def _module(word: str, *operations: type[Operation]) -> ModuleType:
    module = ModuleType(f"goldsmith.ops.{word}")
    for operation in operations:
        vars(module)[operation.__name__] = type(operation.__name__, (operation,), {"__module__": module.__name__})
    return module


class _Blur(PictureOperation):
    pass


def test_every_module_of_the_package_is_a_word() -> None:
    """Words of the catalogue are exactly the files and folders in its package, so a new operation needs no other change."""
    folder = Path(ops.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")} | {
        path.parent.name for path in folder.glob("*/operation.py")
    }
    assert set(catalogue()) == files
    assert list(catalogue()) == sorted(files)


def test_a_word_leads_to_its_operation() -> None:
    """Operations are defined in the module of their word and have its name."""
    for word, operation in catalogue().items():
        assert operation.__module__ in (f"goldsmith.ops.{word}", f"goldsmith.ops.{word}.operation")
        assert operation.__name__.casefold() == word.replace("_", "")


def test_only_the_operation_looked_up_is_imported() -> None:
    """Looking up one operation imports no other one."""
    code = (
        "import sys; from goldsmith.ops import catalogue; operations = catalogue();"
        "assert 'grade' in operations and 'nonsense' not in operations;"
        "assert operations['resize'].__name__ == 'Resize';"
        "print([name for name in sys.modules if name.startswith('goldsmith.ops.')])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "['goldsmith.ops.resize']"
    )


def test_a_two_part_word_becomes_one_camel_case_name() -> None:
    """FaceSwap belongs to ``face_swap``."""
    swap = type("FaceSwap", (PictureOperation,), {})
    assert ops._find_operation(_module("face_swap", swap), "face_swap").__name__ == "FaceSwap"


@pytest.mark.parametrize("names", [(), ("Blurry",), ("Blur", "Sharpen")])
def test_a_module_must_define_exactly_its_operation(names: tuple[str, ...]) -> None:
    """TypeError names the file and the operation that it should define."""
    operations = [type(name, (PictureOperation,), {}) for name in names]
    with pytest.raises(TypeError, match=r"ops/blur\.py must define exactly one public operation, called Blur"):
        ops._find_operation(_module("blur", *operations), "blur")


def test_private_and_imported_operations_do_not_count() -> None:
    """Operations that a module imports or marks private are ignored."""
    module = _module("blur", type("Blur", (PictureOperation,), {}), type("_Half", (PictureOperation,), {}))
    vars(module)["Imported"] = _Blur
    assert ops._find_operation(module, "blur").__name__ == "Blur"


@pytest.mark.parametrize("setting", ["prompt", "negative"])
@pytest.mark.parametrize("word", ["regenerate", "inpaint", "outpaint"])
def test_prompts_have_one_limit_everywhere(word: str, setting: str) -> None:
    """It is the limit of every text of a brief."""
    assert MAX_PROMPT_CHARS == MAX_STRING_LENGTH
    more = {"aspect": "16:9"} if word == "outpaint" else {}
    catalogue()[word].model_validate({setting: "x" * MAX_PROMPT_CHARS, **more})
    with pytest.raises(ValidationError, match="at most 4000"):
        catalogue()[word].model_validate({setting: "x" * (MAX_PROMPT_CHARS + 1), **more})
    with pytest.raises(ValidationError, match="no meaning in a prompt"):
        catalogue()[word].model_validate({setting: "x <lora:film:0.8>", **more})


@pytest.mark.parametrize(
    ("prompt", "remedy"),
    [
        ("a chair <lora:film_grain:0.8>, red", 'loras = [{ name = "film_grain", weight = 0.8 }]'),
        ("<lyco:x>", 'loras = [{ name = "x" }]'),
        ("<LORA:x:0.5:0.2>", 'loras = [{ name = "x" }]'),
        ("<hypernet:old:1>", "there is no hypernet here"),
    ],
)
def test_words_for_other_programs_are_refused_with_what_to_write(prompt: str, remedy: str) -> None:
    """They would be read as words and spoil the picture."""
    with pytest.raises(ValueError, match="no meaning in a prompt") as caught:
        check_prompt(prompt)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("prompt", ["a TEA BREAK in the sun", "a chair <3", "x < y: z > 2", "a break, a cup", "BREAKFAST, eggs", ""])
def test_ordinary_words_are_no_words_for_other_programs(prompt: str) -> None:
    """They stay as they are."""
    assert check_prompt(prompt) == prompt
