"""The catalogue finds operations by itself and refuses files that break the one-file, one-word rule."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from goldsmith import ops
from goldsmith.operation import Operation, PictureOperation
from goldsmith.ops import catalogue


def _module(word: str, *operations: type[Operation]) -> ModuleType:
    module = ModuleType(f"goldsmith.ops.{word}")
    for operation in operations:
        vars(module)[operation.__name__] = type(operation.__name__, (operation,), {"__module__": module.__name__})
    return module


class _Blur(PictureOperation):
    pass


def test_every_file_beside_the_catalogue_is_a_word_in_it() -> None:
    """A new operation is one new file: the catalogue lists exactly the files that lie there."""
    folder = Path(ops.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")} | {
        path.parent.name for path in folder.glob("*/operation.py")
    }
    assert set(catalogue()) == files
    assert list(catalogue()) == sorted(files)


def test_a_word_leads_to_its_operation() -> None:
    """The class behind a word is defined in the file of that name and called like it."""
    for word, operation in catalogue().items():
        assert operation.__module__ in (f"goldsmith.ops.{word}", f"goldsmith.ops.{word}.operation")
        assert operation.__name__.casefold() == word.replace("_", "")


def test_only_what_is_asked_for_is_loaded() -> None:
    """Who asks about one picture, and a lane with one step to do, do not wait for every operation there is."""
    code = (
        "import sys; from goldsmith.ops import catalogue; found = catalogue(); assert 'grade' in found and 'nonsense' not in found;"
        "assert found['resize'].__name__ == 'Resize';"
        "print([name for name in sys.modules if name.startswith('goldsmith.ops.')])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "['goldsmith.ops.resize']"
    )


def test_a_two_part_word_is_one_camel_case_name() -> None:
    """``face_swap.py`` holds FaceSwap."""
    swap = type("FaceSwap", (PictureOperation,), {})
    assert ops._operation_in(_module("face_swap", swap), "face_swap").__name__ == "FaceSwap"


@pytest.mark.parametrize("names", [(), ("Blurry",), ("Blur", "Sharpen")])
def test_a_file_with_another_number_or_name_of_operations_is_refused(names: tuple[str, ...]) -> None:
    """None, one of a wrong name, or two in one file: the sentence names the file and what it should hold."""
    operations = [type(name, (PictureOperation,), {}) for name in names]
    with pytest.raises(TypeError, match=r"ops/blur\.py must define exactly one public operation, called Blur"):
        ops._operation_in(_module("blur", *operations), "blur")


def test_private_and_imported_operations_do_not_count() -> None:
    """What a module imports or keeps to itself is not its operation."""
    module = _module("blur", type("Blur", (PictureOperation,), {}), type("_Half", (PictureOperation,), {}))
    vars(module)["Imported"] = _Blur
    assert ops._operation_in(module, "blur").__name__ == "Blur"
