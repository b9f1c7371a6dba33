"""One daemon for each module of sequences."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("clients.watched")

from clients.watched import Watched, sequences_of  # noqa: E402 - what a failed assert says is put together when its module is imported


@pytest.fixture(scope="module")
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A running daemon, and all of this module's sequences begun."""
    running = Watched(tmp_path_factory.mktemp("clients"))
    try:
        running.run_all(sequences_of(request.session, request.module))
        yield running
    finally:
        running.close()
