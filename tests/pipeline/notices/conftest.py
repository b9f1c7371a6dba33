"""Fixtures: a root with a journal that tests write, the record of notices, and a channel."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith.cli.init import make_root
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import prepare_journal_folder
from goldsmith.journal.notice_record import NOTICE_RECORD_FILE, NoticeRecord
from goldsmith.service.setup import Setup, load_setup


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    make_root(tmp_path / "root")
    return load_setup(tmp_path / "root", None, state_dir=str(tmp_path / "state"))


@pytest.fixture
def journal(setup: Setup, tmp_path: Path) -> Iterator[Journal]:
    with contextlib.closing(Journal.open(prepare_journal_folder(setup.root, tmp_path / "state"))) as journal:
        yield journal


@pytest.fixture
def record(journal: Journal) -> Iterator[NoticeRecord]:
    with contextlib.closing(NoticeRecord.open(journal.path.parent / NOTICE_RECORD_FILE)) as record:
        yield record
