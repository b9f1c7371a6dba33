"""The catalogue finds operations by itself, and refuses modules that break the rule of one operation per word."""

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
