"""Work as another user: a forked child of a test that runs as root."""

from __future__ import annotations

import codecs
import os
import pickle
import traceback
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def as_user(uid: int, work: Callable[[], T], *, gid: int | None = None, groups: Sequence[int] = ()) -> T:
    """Return what ``work`` returns in a child process that runs as this user. Raises AssertionError with the child's traceback.

    Result and traceback come back through a pipe. Only root may call this.
    """
    codecs.lookup("ascii")  # the other user may not be able to read the standard library
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(list(groups))
            os.setresgid(*[uid if gid is None else gid] * 3)
            os.setresuid(uid, uid, uid)
            answer: tuple[bool, object] = (True, work())
        except BaseException:  # noqa: BLE001 - the child must never return into pytest
            answer = (False, traceback.format_exc())
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    is_done, result = pickle.loads(data)  # noqa: S301 - from this program's own child
    assert is_done, result
    return result  # type: ignore[no-any-return]
