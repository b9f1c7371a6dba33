"""Two people who save at the same moment: both have opened the same file, and one of them is told so."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, TypeVar

import pytest

Content = TypeVar("Content")


def winner_of(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, writer: str, save: Callable[[Content], Any], contents: tuple[Content, Content]
) -> Content:
    """Let two people ``save`` these contents at once, and return that which was written; the other person got the status 409.

    ``writer`` is the function of ``module`` that writes the file: it waits there until both have come as far, if both are let so far.
    """
    both, real = threading.Barrier(2), getattr(module, writer)

    def slow(*values: Any) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.3)
        real(*values)

    monkeypatch.setattr(module, writer, slow)
    with ThreadPoolExecutor(2) as people:
        answers = list(people.map(save, contents))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    return contents[0] if answers[0].status_code == 200 else contents[1]
