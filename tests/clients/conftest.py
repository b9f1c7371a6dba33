"""Each module of sequences has its own daemon."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("clients.watched")

from clients.watched import Watched, sequences_of  # noqa: E402 - assertions are rewritten when their module is imported


@pytest.fixture(scope="module")
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Yield a running daemon, after the start of all sequences of this module."""
    daemon = Watched(tmp_path_factory.mktemp("clients"))
    try:
        daemon.run_all(sequences_of(request.session, request.module))
        yield daemon
    finally:
        daemon.close()
