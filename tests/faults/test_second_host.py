"""A node on a second host, with its own network and mounts: the root is at another path there, it vanishes, and the cable is cut."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.cluster_runs import assets, require_each_done_once
from doubles.commission import PIPELINE, drop, undisturbed, visible_files
from doubles.jobs import FAULTY, Share, events_until, import_first_from, outcomes, worker_folders
from doubles.second_host import NODE_NAME, TwoHosts, missing
from doubles.studio import Studio
from goldsmith.cli.cluster_checks import check_cluster
from goldsmith.jobs.job import JobRequeued
from goldsmith.jobs.names import SCRATCH_FOLDER
from goldsmith.jobs.protocol import WorkerSpec
from goldsmith.pipeline.status.daemon_state import STATE_FILE
from goldsmith.pipeline.workers.worker_pools import WorkerPools
from goldsmith.service.location import open_setup

pytest.importorskip("ray", reason="Ray is not installed: pip install 'goldsmith[ray]'")
TESTS = Path(__file__).parents[1]
REASON = missing()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoHosts]:
    """Both hosts want the token of the cluster, and this process has it."""
    folder = tmp_path_factory.mktemp("hosts")
    token = folder / "ray-token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        hosts = TwoHosts(folder, token)
        yield hosts
        hosts.close()


@pytest.fixture
def studio(hosts: TwoHosts, request: pytest.FixtureRequest) -> Iterator[Studio]:
    """A studio on the share whose queue works on the second host."""
    place = hosts.share / request.node.name
    cluster = {"address": hosts.address, "root_on_nodes": str(hosts.on_node(place / "root"))}
    studio = Studio(place, cluster=cluster, queues={"cpu": {"runner": "ray", "workers": 2}})
    studio.write_pipeline(PIPELINE)
    yield studio
    studio.stop()


def sentences(studio: Studio, path: str) -> tuple[str, list[str]]:
    """Return what `why` says of a file, and the remarks of `status`."""
    assert studio.runtime is not None
    # As the main loop of the service does it each second.
    (studio.journal.path.parent / STATE_FILE).write_bytes(studio.runtime.state().to_json())
    with open_setup(studio.runtime.setup) as location:
        return location.explain().explain_file(path), list(location.remarks())


def test_a_node_with_the_root_at_another_path_does_all_jobs_although_its_plug_is_pulled(
    hosts: TwoHosts, studio: Studio, tmp_path: Path
) -> None:
    """The pictures wait while there is no node, nothing is counted against them, and the results are those of a run on this host."""
    pictures = assets(6)
    reference = undisturbed(Studio(tmp_path / "local"), pictures)
    for picture in pictures:
        drop(studio, picture)
    studio.until_event("committed", count=2, stage="edit")
    hosts.kill_node()
    hosts.start_node()
    studio.until_idle()
    require_each_done_once(studio, reference, len(pictures))


def test_a_daemon_with_another_token_or_none_is_told_so_in_one_sentence(
    hosts: TwoHosts, studio: Studio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the pause of the queue and by `doctor`. With the right one, work goes on."""
    right = os.environ["RAY_AUTH_TOKEN_PATH"]
    monkeypatch.delenv("RAY_AUTH_MODE")
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    monkeypatch.setenv("HOME", str(tmp_path))
    drop(studio, assets(1)[0])
    runtime = studio.start()
    studio.until(lambda: "with its token only" in (runtime.workers.pause_reason("cpu") or ""), "the pause without a token")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    (tmp_path / "token").write_text(secrets.token_hex(32))
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    studio.until(lambda: "does not take the token" in (runtime.workers.pause_reason("cpu") or ""), "the pause with another token")
    findings = [each for each in check_cluster(studio.setup().settings, os.environ) if each.severity == "fault"]
    assert [("token" in each.sentence, bool(each.remedy)) for each in findings] == [(True, True)]
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", right)
    studio.until_idle()
    assert studio.events_of("fault") == []
    (finding,) = check_cluster(studio.setup().settings, os.environ)
    assert (finding.severity, "takes that of" in finding.sentence) == ("ok", True)


def test_a_root_that_vanishes_on_the_node_is_no_fault_of_a_picture(hosts: TwoHosts, studio: Studio) -> None:
    """The node gets no jobs, `status` and `why` say what happened and what to do, and the work goes on when the share is mounted again."""
    first, second = assets(2)
    drop(studio, first)
    studio.until_event("committed", count=1, stage="edit")
    runtime = studio.runtime
    assert runtime is not None
    hosts.unmount_share()
    try:
        drop(studio, second)
        root = hosts.on_node(studio.root)
        first_words = f"No node of the cluster may work. The node {NODE_NAME} "
        studio.until(lambda: (runtime.workers.pause_reason("cpu") or "").startswith(first_words), "the pause of the queue")
        reason = runtime.workers.pause_reason("cpu") or ""
        assert reason.count(str(root)) == 1
        assert "has lost the root" in reason or "does not see the root" in reason
        why, remarks = sentences(studio, "selected/picture1.png")
        assert why == f"Waiting: {reason}"
        assert any(reason in remark for remark in remarks)
    finally:
        hosts.mount_share()
    studio.until_idle()
    assert len(studio.events_of("committed", stage="edit")) == 2
    assert studio.events_of("fault") == []
    assert "masked/picture1.png" in visible_files(studio.root)


def test_a_cut_cable_gives_the_job_to_another_process_and_what_comes_late_is_thrown_away(
    hosts: TwoHosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """The worker beyond the cut ends its job, and nobody takes it. When the cable is mended, the job runs anew, and has one outcome."""
    import_first_from(TESTS, monkeypatch)
    share = Share(hosts.share / request.node.name)
    share.put("inbox/.keep", b"")
    spec = WorkerSpec(queue="cpu", runner="ray")
    pools = WorkerPools([spec], FAULTY, worker_folders(share.root, FAULTY), runners={"ray": hosts.runner(share.root)})
    job = share.job(("linger", {}))
    try:
        pools.submit(job)
        events_until(pools, lambda events: any(getattr(event, "op", "") == "linger" for event in events))
        first_scratch = Path(pools.running_jobs()[job.id].job.scratch)
        hosts.cut_cable()
        events = events_until(pools, lambda events: any(isinstance(event, JobRequeued) for event in events))
        assert outcomes(events) == []
        assert "lost" in next(event.sentence for event in events if isinstance(event, JobRequeued))
        assert "The jobs of queue cpu stay queued, and go on by themselves." in (pools.pause_reason("cpu") or "")
        share.put("go", b"")
        hosts.mend_cable()
        hosts.restart_lost_node()
        events += events_until(pools, lambda later: len(outcomes(later)) == 1)
        assert [(outcome.job_id, outcome.fault) for outcome in outcomes(events)] == [(job.id, None)]
        assert not first_scratch.exists()
    finally:
        hosts.mend_cable()
        pools.stop(0)
    assert [path for path in (share.root / SCRATCH_FOLDER).rglob("*") if path.is_file() and "worker" not in str(path)] == []
