"""The daemon with its queue on a Ray cluster on this host: nodes and the head are killed, and each picture is done once, as without Ray."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.cluster_runs import assets, require_each_done_once
from doubles.commission import PIPELINE, drop, undisturbed
from doubles.ray_cluster import LocalCluster
from doubles.studio import Studio
from goldsmith.errors import AlreadyRunningError
from goldsmith.pipeline.commit.root_lock import RootLock

pytest.importorskip("ray", reason="Ray is not installed: pip install 'goldsmith[ray]'")

SEED = 16


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    cluster = LocalCluster(tmp_path, nodes=2)
    yield cluster
    cluster.close()


def cluster_studio(place: Path, cluster: LocalCluster, workers: int, address: str = "") -> Studio:
    """Return a studio whose queue works on the cluster."""
    studio = Studio(place, cluster={"address": address or cluster.address}, queues={"cpu": {"runner": "ray", "workers": workers}})
    studio.write_pipeline(PIPELINE)
    return studio


def test_forty_pictures_are_done_once_although_a_node_is_killed(tmp_path: Path, cluster: LocalCluster) -> None:
    """The jobs of the dead node are done by the other one, and the results are those of a run on this host."""
    pictures = assets(40)
    reference = undisturbed(Studio(tmp_path / "local"), pictures)
    studio = cluster_studio(tmp_path / "cluster", cluster, workers=4)
    for picture in pictures:
        drop(studio, picture)
    studio.until_event("committed", count=8, stage="edit")
    with pytest.raises(AlreadyRunningError):
        RootLock.acquire(studio.root)
    cluster.kill_node()
    studio.until_idle()
    require_each_done_once(studio, reference, len(pictures))


def test_a_daemon_that_is_no_part_of_the_cluster_reaches_it_through_the_client(tmp_path: Path, cluster: LocalCluster) -> None:
    """As with a daemon in a unit that sees none of Ray's sockets. A node is killed here too."""
    pictures = assets(8)
    reference = undisturbed(Studio(tmp_path / "local"), pictures)
    studio = cluster_studio(tmp_path / "cluster", cluster, workers=2, address=cluster.client_address)
    for picture in pictures:
        drop(studio, picture)
    studio.until_event("committed", count=2, stage="edit")
    cluster.kill_node()
    studio.until_idle()
    require_each_done_once(studio, reference, len(pictures))


def test_jobs_wait_for_a_dead_head_and_go_on_by_themselves(tmp_path: Path, cluster: LocalCluster) -> None:
    """While there is no head, the queue says so and a queue on this host goes on."""
    pictures = assets(6)
    reference = undisturbed(Studio(tmp_path / "local"), pictures)
    studio = cluster_studio(tmp_path / "cluster", cluster, workers=2)
    for picture in pictures[:3]:
        drop(studio, picture)
    studio.until_event("committed", count=3, stage="edit")
    cluster.kill_head()
    for picture in pictures[3:]:
        drop(studio, picture)
    runtime = studio.runtime
    assert runtime is not None
    studio.until(lambda: "does not answer" in (runtime.workers.pause_reason("cpu") or ""), "the pause of the queue")
    assert "since" in (runtime.workers.pause_reason("cpu") or "")
    cluster.start(nodes=1)
    studio.until_idle()
    require_each_done_once(studio, reference, len(pictures))


@pytest.mark.soak
def test_two_hundred_pictures_are_done_once_although_nodes_and_head_are_killed(tmp_path: Path, cluster: LocalCluster) -> None:
    """Three nodes; a node, or one time in four the head, is killed at twenty random moments and comes back."""
    kill_at_random(tmp_path, cluster, count=200, kills=20, seed=SEED)


def kill_at_random(tmp_path: Path, cluster: LocalCluster, count: int, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    cluster.add_node()
    pictures = assets(count)
    reference = undisturbed(Studio(tmp_path / "local"), pictures)
    studio = cluster_studio(tmp_path / "cluster", cluster, workers=6)
    for kill in range(kills):
        for picture in pictures[kill * count // kills : (kill + 1) * count // kills]:
            drop(studio, picture)
        done = len(studio.events_of("committed"))
        studio.until(lambda done=done: len(studio.events_of("committed")) > done, "work on the cluster")  # type: ignore[misc]
        end = time.monotonic() + rng.uniform(0, 1)
        with contextlib.suppress(AssertionError):
            studio.until(lambda end=end: time.monotonic() >= end, "", 2.0)  # type: ignore[misc]
        if rng.random() < 0.25:
            cluster.kill_head()
            cluster.start(nodes=3)
        else:
            cluster.kill_node()
            cluster.add_node()
    studio.until_idle()
    require_each_done_once(studio, reference, count)
