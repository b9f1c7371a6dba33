"""The operations: one file or folder, one class, one word in a brief.

No list names them: ``catalogue`` finds the modules of this package, and the module's name is the word.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # see ``_Catalogue``
    from goldsmith.operation import Operation


@cache
def catalogue() -> Mapping[str, type[Operation]]:
    """Return every operation by its word, in alphabetical order. The words are read once per process; a lookup imports the module.

    A lookup raises TypeError if the module does not define exactly one public operation with the expected name.
    """
    return _Catalogue(sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_")))


class _Catalogue(Mapping[str, "type[Operation]"]):
    """Operations by word, imported on first use: to import all takes a third of a second, too long for a command about one picture.

    The words alone are known without any of them, and without numpy.
    """

    def __init__(self, words: list[str]) -> None:
        self._loaded: dict[str, type[Operation] | None] = dict.fromkeys(words)

    def __getitem__(self, word: str) -> type[Operation]:
        operation = self._loaded[word]
        if operation is None:
            module = import_module(f"{__name__}.{word}")
            if hasattr(module, "__path__"):
                module = import_module(f"{__name__}.{word}.operation")
            operation = self._loaded[word] = _find_operation(module, word)
        return operation

    def __contains__(self, word: object) -> bool:
        return word in self._loaded

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded)

    def __len__(self) -> int:
        return len(self._loaded)


def _find_operation(module: ModuleType, word: str) -> type[Operation]:
    """Return the one public operation that the module defines; its name is the word in CamelCase."""
    from goldsmith.operation import Operation

    operations = [
        member
        for name, member in vars(module).items()
        if inspect.isclass(member) and issubclass(member, Operation) and member.__module__ == module.__name__ and not name.startswith("_")
    ]
    expected = "".join(part.capitalize() for part in word.split("_"))
    if [operation.__name__ for operation in operations] != [expected]:
        names = ", ".join(operation.__name__ for operation in operations) or "none"
        raise TypeError(f"ops/{word}.py must define exactly one public operation, called {expected}; it defines {names}.")
    return operations[0]
