"""The operations: one file, one class, one word in a brief.

Nothing is registered anywhere: ``catalogue`` finds the modules of this package, and the module's name is the word.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from goldsmith.operation import Operation


@cache
def catalogue() -> Mapping[str, type[Operation]]:
    """Every operation by its word, in alphabetical order; the words are read once per process, a module when it is asked for.

    To ask raises TypeError where the module does not hold exactly one public operation that is called as it is.
    """
    return _Catalogue(sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_")))


class _Catalogue(Mapping[str, "type[Operation]"]):
    """To load them all takes a third of a second, which nobody should wait for who asks about one picture."""

    def __init__(self, words: list[str]) -> None:
        self._loaded: dict[str, type[Operation] | None] = dict.fromkeys(words)

    def __getitem__(self, word: str) -> type[Operation]:
        found = self._loaded[word]
        if found is None:
            module = import_module(f"{__name__}.{word}")
            if hasattr(module, "__path__"):
                module = import_module(f"{__name__}.{word}.operation")
            found = self._loaded[word] = _find_operation(module, word)
        return found

    def __contains__(self, word: object) -> bool:
        return word in self._loaded

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded)

    def __len__(self) -> int:
        return len(self._loaded)


def _find_operation(module: ModuleType, word: str) -> type[Operation]:
    """The one public operation that is defined in the module; its name is the word in CamelCase."""
    found = [
        thing
        for name, thing in vars(module).items()
        if inspect.isclass(thing) and issubclass(thing, Operation) and thing.__module__ == module.__name__ and not name.startswith("_")
    ]
    expected = "".join(part.capitalize() for part in word.split("_"))
    if [operation.__name__ for operation in found] != [expected]:
        names = ", ".join(operation.__name__ for operation in found) or "none"
        raise TypeError(f"ops/{word}.py must define exactly one public operation, called {expected}; it defines {names}.")
    return found[0]
