"""The running service prunes by itself if ``keep_days`` is set, and never otherwise."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doubles.commission import PIPELINE, SHARPEN
from doubles.pictures import png
from doubles.studio import studio_at
from goldsmith.journal.journal import Journal
from goldsmith.pipeline.archive import daily_pruning

OLD = "archive/2001-02-03/inbox/old.png"


@pytest.mark.parametrize("keep_days", [0, 90])
def test_the_service_prunes_between_its_work(tmp_path: Path, keep_days: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old file that nothing names goes; a picture is worked on meanwhile, and its own original stays."""
    monkeypatch.setattr(daily_pruning, "_FIRST_RUN_SECONDS", 0.0)
    with studio_at(tmp_path, keep_days=keep_days) as studio:
        studio.write_pipeline(PIPELINE)
        journal = Journal.open(studio.journal_path)
        journal._db.execute("UPDATE migration SET at = 0")
        journal.close()
        studio.put(OLD, b"old")
        studio.put("selected/hero.png", png())
        studio.put("selected/hero.toml", SHARPEN)
        studio.until_idle()
        if keep_days:
            studio.until(lambda: studio.events_of("pruned"), "a pruning")
            (event,) = studio.events_of("pruned")
            assert (event["files"], event["refused"]) == (1, 0)
        assert os.path.exists(studio.at(OLD)) is (keep_days == 0)
        assert studio.folder("masked") == ["hero.png", "hero.toml"]
        assert "selected/hero.png" in studio.archived()
