"""The operations: one file, one class, one word in a brief.

Nothing is registered anywhere: ``catalogue`` finds the modules of this package, and the module's name is the word.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType, ModuleType

from goldsmith.operation import Operation


@cache
def catalogue() -> Mapping[str, type[Operation]]:
    """Every operation by its word, in alphabetical order; read once per process.

    Raises TypeError where a module of this package does not hold exactly one public operation that is called as it is.
    """
    words = sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
    return MappingProxyType({word: _operation_in(import_module(f"{__name__}.{word}"), word) for word in words})


def _operation_in(module: ModuleType, word: str) -> type[Operation]:
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
