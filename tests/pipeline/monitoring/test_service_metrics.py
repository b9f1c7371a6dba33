"""The figures for Prometheus are true, and no label holds a name of a file or a campaign."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from doubles.history_rows import history_row
from goldsmith.journal.journal import Journal
from goldsmith.pipeline.monitoring import service_metrics
from goldsmith.pipeline.monitoring.service_metrics import ServiceMetrics, Snapshot
from goldsmith.pipeline.status.daemon_state import DaemonState
from goldsmith.service.setup import Setup

DOCS = Path(__file__).parents[3] / "docs" / "monitoring"
NOW = 2_000_000_000.0
RUNNING = DaemonState(holder="process 1 on atelier")
_LINE = re.compile(r"^([a-z_]+)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)


class Figures:
    """The figures of one root, scrape by scrape."""

    def __init__(self, setup: Setup, journal: Journal) -> None:
        self.journal = journal
        self.metrics = ServiceMetrics(setup.root, setup.pipeline, {"root": setup.root, "gone": setup.root / "gone"}, journal.path)
        self.text = ""
        self.scrape()

    def scrape(self, daemon: DaemonState = RUNNING, fault: str = "", **fields: Any) -> dict[str, float]:
        """Return the figures by name and labels: ``goldsmith_jobs_total{outcome="passed",stage="edit"}``."""
        snapshot = Snapshot(daemon, fault, fields.get("journal", self.journal), NOW)
        self.text = self.metrics.render(snapshot).decode()
        return {f"{name}{{{labels}}}" if labels else name: float(value) for name, labels, value in _LINE.findall(self.text)}


@pytest.fixture
def figures(setup: Setup, journal: Journal) -> Figures:
    return Figures(setup, journal)


def test_jobs_and_steps_are_counted_from_the_start_of_the_program(figures: Figures, journal: Journal) -> None:
    """What was done before does not count; what was done between two scrapes counts once."""
    steps = [{"op": "erase", "seconds": 2.5}, {"op": "upscale", "seconds": 40.0}]
    journal.record_problem(history_row("selected/a.png", "masked/a.png", record={"steps": steps, "seconds": 44.0}))
    journal.record_problem(history_row("selected/b.png", outcome="problem", record={"sentence": "It is empty."}))
    for _ in range(2):
        scraped = figures.scrape()
        assert scraped['goldsmith_jobs_total{outcome="passed",stage="edit"}'] == 1
        assert scraped['goldsmith_jobs_total{outcome="problem",stage="edit"}'] == 1
        assert scraped['goldsmith_steps_total{operation="erase",stage="edit"}'] == 1
        assert scraped['goldsmith_step_seconds_sum{operation="upscale"}'] == 40.0
        assert scraped['goldsmith_job_seconds_sum{stage="edit"}'] == 44.0
        assert scraped['goldsmith_job_seconds_bucket{le="30.0",stage="edit"}'] == 0
        assert scraped['goldsmith_job_seconds_bucket{le="60.0",stage="edit"}'] == 1


def test_a_wait_begins_with_the_result_of_the_stage_before(figures: Figures, journal: Journal) -> None:
    """The wait ends with the start of the job, the hop with its result. A person's file has no known beginning."""
    first = history_row("inbox/a.png", "selected/a.png", stage="generate", started_at=1000.0, taken_at=1010.0)
    second = history_row("selected/a.png", "masked/a.png", parent_job_id=first.job_id, started_at=1030.0, taken_at=1100.0)
    journal.record_problem(first)
    journal.record_problem(second)
    scraped = figures.scrape()
    assert (scraped['goldsmith_wait_seconds_sum{stage="edit"}'], scraped['goldsmith_hop_seconds_sum{stage="edit"}']) == (20.0, 90.0)
    assert 'goldsmith_wait_seconds_sum{stage="generate"}' not in scraped


def test_queues_problems_and_reviews_are_those_of_the_moment(figures: Figures, journal: Journal, setup: Setup) -> None:
    """The oldest wait is that of a job that no worker has taken; what lies in a tray is decided."""
    journal.record_queued("one", "edit", "gpu", "selected/a.png", NOW - 90)
    journal.record_queued("two", "edit", "gpu", "selected/b.png", NOW - 300)
    journal.record_started("two", NOW - 200, NOW + 100)
    journal.record_hold("inbox/acme/c.png", "fp", "It is empty.", "", "", NOW)
    for path in ("review/acme/a.png", "review/acme/a.review.jpg", "review/acme/a.toml", "review/approve/b.png"):
        (setup.root / path).parent.mkdir(parents=True, exist_ok=True)
        (setup.root / path).write_bytes(b"x")
    scraped = figures.scrape()
    assert scraped['goldsmith_queued_jobs{queue="gpu"}'] == scraped['goldsmith_running_jobs{queue="gpu"}'] == 1
    assert scraped['goldsmith_oldest_wait_seconds{queue="gpu"}'] == 90.0
    assert scraped['goldsmith_oldest_wait_seconds{queue="cpu"}'] == 0.0
    assert scraped['goldsmith_held_pictures{folder="inbox"}'] == 1
    assert scraped["goldsmith_in_review_pictures"] == 1


def test_the_state_of_the_daemon_and_its_workers_is_shown(figures: Figures) -> None:
    """A campaign folder that cannot be read is no folder of the pipeline that is missing."""
    workers = [
        {"queue": "gpu", "device": "cuda:0", "loading": "premium", "jobs": ["a"]},
        {"queue": "gpu", "device": "cuda:1", "pause_reason": "It has failed."},
        {"queue": "cpu", "jobs": ["b"]},
        {"queue": "cpu"},
    ]
    daemon = DaemonState.model_validate(
        {
            "workers": workers,
            "queue_pauses": {"gpu": "Both have failed.", "cpu": ""},
            "pause_reason": "The disk is full.",
            "unavailable_folders": {"inbox": "It is gone.", "selected/acme": "It cannot be read."},
        }
    ).model_copy(update={"holder": "process 1 on atelier"})
    scraped = figures.scrape(daemon, "Everything waits.")
    states = {key: value for key, value in scraped.items() if key.startswith("goldsmith_workers") and value}
    assert states == {
        'goldsmith_workers{queue="gpu",state="loading"}': 1,
        'goldsmith_workers{queue="gpu",state="paused"}': 1,
        'goldsmith_workers{queue="cpu",state="working"}': 1,
        'goldsmith_workers{queue="cpu",state="idle"}': 1,
    }
    assert (scraped["goldsmith_up"], scraped["goldsmith_healthy"], scraped["goldsmith_paused"]) == (1, 0, 1)
    assert (scraped['goldsmith_queue_paused{queue="gpu"}'], scraped['goldsmith_queue_paused{queue="cpu"}']) == (1, 0)
    assert scraped["goldsmith_unavailable_folders"] == 1
    assert figures.scrape(DaemonState())["goldsmith_up"] == 0


def test_space_and_size_are_in_bytes(figures: Figures, setup: Setup, journal: Journal) -> None:
    """A folder that is gone has no figure, and ends nothing."""
    scraped = figures.scrape()
    assert scraped['goldsmith_free_bytes{place="root"}'] > 1e6
    assert 'goldsmith_free_bytes{place="gone"}' not in scraped
    assert scraped["goldsmith_journal_bytes"] >= journal.path.stat().st_size > 0


def test_without_a_journal_the_other_figures_are_there(figures: Figures) -> None:
    """Its disk has failed."""
    scraped = figures.scrape(journal=None)
    assert "goldsmith_up" in scraped
    assert not [key for key in scraped if key.startswith("goldsmith_queued")]


def test_no_label_holds_a_name_of_a_file_or_a_campaign(figures: Figures, journal: Journal) -> None:
    """Names on a share are private, and a new series for each would fill Prometheus."""
    journal.record_problem(history_row("selected/secretcampaign/hero.png", "review/secretcampaign/hero.png", record={"stem": "hero"}))
    journal.record_hold("inbox/secretcampaign/a.png", "fp", "secretcampaign is empty.", "", "", NOW)
    journal.record_queued("one", "edit", "gpu", "selected/secretcampaign/b.png", NOW)
    figures.scrape(
        RUNNING.model_copy(update={"unavailable_folders": {"inbox/secretcampaign": "secretcampaign is gone."}}), "secretcampaign"
    )
    assert "secretcampaign" not in figures.text
    assert "hero" not in figures.text


def test_a_flood_is_read_in_parts_and_a_new_journal_from_its_beginning(
    figures: Figures, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One scrape reads so many rows at most; the next goes on behind them."""
    monkeypatch.setattr(service_metrics, "_ROWS_AT_ONCE", 2)
    monkeypatch.setattr(service_metrics, "_MAX_ROWS", 4)
    key = 'goldsmith_jobs_total{outcome="passed",stage="edit"}'
    for number in range(7):
        journal.record_problem(history_row(f"selected/{number}.png", f"masked/{number}.png"))
    assert [figures.scrape()[key] for _ in range(3)] == [4, 7, 7]
    journal.replace_broken(NOW)
    journal.record_problem(history_row("selected/n.png", "masked/n.png"))
    assert figures.scrape()[key] == 8


def test_the_dashboard_and_the_alerts_of_the_manual_ask_for_figures_that_exist(figures: Figures, journal: Journal) -> None:
    """A query for a figure that nobody has shows an empty panel, and an alert on it never fires."""
    first = history_row("inbox/a.png", "selected/a.png", stage="generate")
    journal.record_problem(first)
    record = {"steps": [{"op": "erase", "seconds": 1.0}]}
    journal.record_problem(history_row("selected/a.png", "masked/a.png", parent_job_id=first.job_id, record=record))
    daemon = DaemonState.model_validate({"workers": [{"queue": "cpu"}], "queue_pauses": {"cpu": ""}})
    known = {key.partition("{")[0] for key in figures.scrape(daemon)}
    panels = json.loads((DOCS / "goldsmith-dashboard.json").read_text())["panels"]
    rules = yaml.safe_load((DOCS / "goldsmith-alerts.yml").read_text())["groups"][0]["rules"]
    queries = [*(target["expr"] for panel in panels for target in panel["targets"]), *(rule["expr"] for rule in rules)]
    assert [query for query in queries if "goldsmith" not in query] == []
    queried_names = {name for query in queries for name in re.findall(r"\bgoldsmith_[a-z_]+", query)}
    assert queried_names - known == set()
    displayed_names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in queried_names}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in known} - displayed_names == set()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian's package prometheus) is not installed")
def test_prometheus_itself_accepts_the_alerts_and_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """Each query becomes a rule, because promtool checks rules."""
    panels = json.loads((DOCS / "goldsmith-dashboard.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    files = [str(DOCS / "goldsmith-alerts.yml"), str(tmp_path / "queries.yml")]
    result = subprocess.run(["promtool", "check", "rules", *files], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
