"""The whole daemon with many candidates, which are kept as they are made: after a killed worker, a restart or a pause, work goes on."""

from __future__ import annotations

import hashlib
import os
import signal

import pytest

from doubles.gated_generator import GatedGenerator, null_models
from doubles.studio import Studio, studio_at
from goldsmith.jobs.names import KEPT_FOLDER
from goldsmith.pipeline.workers import worker_pool

pytest_plugins = ("doubles.gated_generator",)

BRIEF = """prompt = "a red chair"
seed = 3
[[generate]]
op = "regenerate"
model = "MODEL"
candidates = {count}
[[generate]]
op = "select"
{limits}
"""


def drop(studio: Studio, stem: str, count: int, model: str = "one", limits: str = "") -> None:
    studio.put(f"inbox/{stem}.toml", BRIEF.format(count=count, limits=limits).replace("MODEL", model))


def results(studio: Studio, stem: str) -> dict[str, str]:
    """Return the hash of every picture that the work on a brief has made, by its name."""
    folders = (studio.root / "selected", studio.root / "archive")
    # The result that moves on lies in the archive a second time.
    files = [path for top in folders for path in top.rglob(f"{stem}*.png") if not path.stem.endswith("_result")]
    return {path.name.replace(stem, ""): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def kept(studio: Studio) -> list[str]:
    return os.listdir(studio.root / KEPT_FOLDER)


def kill_at(studio: Studio, generator: GatedGenerator, call: int) -> None:
    """Kill the worker process that has stopped before this call."""
    studio.until(lambda: len(generator.calls) == call, "the call at the gate")
    works = studio.runtime
    assert works is not None
    studio.until(lambda: len(kept(studio)) == 16, "the candidates before it")
    os.kill(generator.calls[-1][0], signal.SIGKILL)
    generator.remove(call)


def test_a_killed_worker_goes_on_where_it_was(studio: Studio, generator: GatedGenerator) -> None:
    """After 16 of 20 candidates only the last call is made again; every byte is that of an undisturbed run, and nothing stays behind."""
    generator.shut(3)
    drop(studio, "hero", 20)
    kill_at(studio, generator, 3)
    studio.until_idle()
    assert [count for _, _, count, _ in generator.calls] == [8, 8, 4, 4]
    assert (kept(studio), studio.journal.all_kept_keys()) == ([], set())
    record = studio.first_step("inbox/hero.toml")
    assert (record["findings"]["made_before"], record["findings"]["made"]["batch"]) == (16, 8)
    undisturbed = Studio(studio.root.parent / "undisturbed")
    with studio_at(undisturbed.root.parent) as other:
        other.put("config/models.toml", null_models("one", "two"))
        drop(other, "hero", 20)
        other.until_idle()
        reference = other.first_step("inbox/hero.toml")
        assert len(results(other, "hero")) == 20
        assert results(other, "hero") == results(studio, "hero")
    del record["findings"]["made_before"]
    assert (record["findings"], record["picture_hash"], record["engine"]) == (
        reference["findings"],
        reference["picture_hash"],
        reference["engine"],
    )


def test_a_candidate_is_not_trusted_without_its_hash(studio: Studio, generator: GatedGenerator) -> None:
    """One kept file is damaged and another is missing: the calls that made them run again, and the damage is in no result."""
    generator.shut(3)
    drop(studio, "hero", 20)
    studio.until(lambda: len(generator.calls) == 3 and len(kept(studio)) == 16, "the call at the gate")
    folder = studio.root / KEPT_FOLDER
    keys = [part.key for part in studio.journal.kept_parts("inbox/hero.toml")]
    (folder / keys[0]).write_bytes((folder / keys[0]).read_bytes()[:-1] + b"\x00")
    (folder / keys[1]).unlink()
    os.kill(generator.calls[-1][0], signal.SIGKILL)
    generator.remove(3)
    studio.until_idle()
    assert [count for _, _, count, _ in generator.calls] == [8, 8, 4, 8, 4]
    assert len(set(results(studio, "hero").values())) == 20
    assert studio.first_step("inbox/hero.toml")["findings"]["made_before"] == 14


def test_a_restarted_daemon_goes_on_where_it_was(studio: Studio, generator: GatedGenerator) -> None:
    """The daemon ends in the middle, with its workers. A file that the journal does not know is removed at the start."""
    generator.shut(3)
    drop(studio, "hero", 20)
    studio.until(lambda: len(generator.calls) == 3 and len(kept(studio)) == 16, "the call at the gate")
    (studio.root / KEPT_FOLDER / "stray").write_bytes(b"x")
    studio.stop()
    generator.remove(3)
    studio.start()
    assert len(kept(studio)) == 16
    studio.until_idle()
    assert [count for _, _, count, _ in generator.calls] == [8, 8, 4, 4]
    assert kept(studio) == []


def test_relaxed_limits_of_select_need_no_new_candidates(studio: Studio, generator: GatedGenerator) -> None:
    """Every candidate is rejected, and stays. The relaxed brief chooses among the same pictures; another seed makes new ones."""
    drop(studio, "hero", 4, limits="min_side = 5000")
    studio.until_event("held")
    assert (len(generator.calls), len(kept(studio))) == (1, 4)
    drop(studio, "hero", 4)
    studio.until_idle()
    assert len(generator.calls) == 1
    assert len(results(studio, "hero")) == 4
    drop(studio, "other", 4, limits="min_side = 5000")
    studio.until_event("held", picture="inbox/other.toml")
    studio.put("inbox/other.toml", BRIEF.format(count=4, limits="").replace("MODEL", "one").replace("seed = 3", "seed = 4"))
    studio.until_idle()
    assert len(generator.calls) == 3
    assert kept(studio) == []


def test_a_long_job_lets_others_go_first_between_candidates(
    studio: Studio, generator: GatedGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A single picture arrives during the second of four calls and is done before the third. Nothing is made twice."""
    monkeypatch.setattr(worker_pool, "GIVE_WAY_SECONDS", 0.0)
    generator.shut(2)
    drop(studio, "long", 30)
    studio.until(lambda: len(generator.calls) == 2, "the call at the gate")
    works = studio.runtime
    assert works is not None
    drop(studio, "short", 1)
    studio.until(lambda: any(run.is_asked_to_give_way for slot in works.workers._pools["gpu"].slots for run in slot.runs), "the request")
    generator.shut(3)
    generator.open(2)
    studio.until(lambda: len(generator.calls) == 3, "the call of the single picture")
    assert works.state().gave_way == {"inbox/long.toml": 16}
    generator.open(3)
    studio.until_idle()
    assert works.state().gave_way == {}
    assert [count for _, _, count, _ in generator.calls] == [8, 8, 1, 8, 6]
    assert len({pid for pid, *_ in generator.calls}) == 1
    assert [event["picture"] for event in studio.events_of("committed", stage="generate")] == ["inbox/short.toml", "inbox/long.toml"]
    assert [event["parts"] for event in studio.events_of("gave way")] == [16]
    assert studio.events_of("fault") == []
    assert studio.journal.attempt_count("inbox/long.toml", "") == 0
