"""A node that loses its root in the middle of a job: the node is to blame, and nothing that the process says of its job counts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

from doubles.jobs import DEADLINE, FAULTY, Share, import_first_from, worker_folders
from goldsmith.cluster.remote_worker import RemoteWorker, WorkerNews
from goldsmith.cluster.root_watch import RootLost, RootWatch
from goldsmith.jobs.job import Outcome
from goldsmith.jobs.protocol import FrameDecoder, HelloMessage, MessageType, WorkerSpec, decode_message, encode_message, frame_message
from goldsmith.pipeline.workers.process_folder import ProcessFolder

TESTS = Path(__file__).parents[1]
SPEC = WorkerSpec(queue="cpu", runner="ray")


class NodeWorker:
    """A worker process behind an actor, without Ray between them."""

    def __init__(self, share: Share) -> None:
        self.share = share
        self.folders = worker_folders(share.root, FAULTY)
        self.folder = ProcessFolder(self.folders)
        self.actor = RemoteWorker(SPEC.model_dump_json(), str(share.root), "")
        self.pid = self.actor.start().pid
        self.messages: list[tuple[MessageType, bytes]] = []
        self.news: WorkerNews | None = None
        self._decoder = FrameDecoder()

    def greet(self) -> None:
        hello = HelloMessage(spec=SPEC, config=FAULTY, folders=self.folders, scratch=self.folder.path)
        self.actor.send(frame_message(MessageType.HELLO, encode_message(hello)))

    def until(self, done: Callable[[], bool]) -> None:
        end = monotonic() + DEADLINE
        while not done():
            assert monotonic() < end
            self.news = self.actor.receive()
            self.messages += self._decoder.feed(self.news.data)

    def has(self, kind: MessageType) -> bool:
        return any(each == kind for each, _ in self.messages)

    def end(self) -> WorkerNews:
        """Return the news of the end of the process."""
        self.until(lambda: self.news is not None and self.news.status is not None)
        assert self.news is not None
        return self.news

    def close(self) -> None:
        self.actor.kill()
        self.end()


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NodeWorker]:
    import_first_from(TESTS, monkeypatch)
    share = Share(tmp_path / "root")
    share.put("inbox/.keep", b"")
    worker = NodeWorker(share)
    yield worker
    worker.close()


def replace_root(root: Path) -> None:
    """Put another folder in the place of the root, as an unmount does with the folder below the mount."""
    root.rename(root.with_name("gone"))
    root.mkdir()


def test_a_root_that_is_there_is_not_lost(tmp_path: Path) -> None:
    """Whatever happens in it."""
    watch = RootWatch(str(tmp_path))
    (tmp_path / "inbox").mkdir()
    watch.require()
    assert watch.fault == ""


def test_a_root_that_was_lost_stays_lost(tmp_path: Path) -> None:
    """A fence does not follow a root that comes back. The sentence names the node, the root, the reason and the remedy."""
    (tmp_path / "root").mkdir()
    watch = RootWatch(str(tmp_path / "root"))
    replace_root(tmp_path / "root")
    with pytest.raises(RootLost):
        watch.require()
    assert watch.fault == (
        f"The node {os.uname().nodename} has lost the root {tmp_path / 'root'}: it was unmounted, or mounted anew. "
        "Mount the share there again."
    )
    (tmp_path / "root").rmdir()
    (tmp_path / "gone").rename(tmp_path / "root")
    with pytest.raises(RootLost):
        watch.require()


def test_a_root_that_was_never_there_is_lost(tmp_path: Path) -> None:
    """The reason is that of the operating system."""
    assert "No such file or directory" in RootWatch(str(tmp_path / "nowhere")).fault


def test_the_process_ends_when_its_root_is_unmounted(worker: NodeWorker) -> None:
    """Although nothing has failed yet: no job should be given to it."""
    worker.greet()
    worker.until(lambda: worker.has(MessageType.READY))
    replace_root(worker.share.root)
    assert "it was unmounted" in worker.end().root_fault


def test_a_failed_job_counts_only_where_the_root_is_still_there(worker: NodeWorker) -> None:
    """The outcome of a job that fails on a lost root is not passed on, and the end of the process is the fault of the node."""
    worker.greet()
    worker.until(lambda: worker.has(MessageType.READY))
    failing = worker.folder.with_scratch(worker.share.job(("raise", {})))
    worker.actor.send(frame_message(MessageType.JOB, encode_message(failing)))
    worker.until(lambda: worker.has(MessageType.OUTCOME))
    outcome = next(decode_message(Outcome, payload) for kind, payload in worker.messages if kind is MessageType.OUTCOME)
    assert outcome.fault is not None
    worker.messages.clear()
    replace_root(worker.share.root)
    worker.actor.send(frame_message(MessageType.JOB, encode_message(failing.model_copy(update={"id": "job9"}))))
    assert "it was unmounted" in worker.end().root_fault
    assert not worker.has(MessageType.OUTCOME)


def test_a_node_that_does_not_see_the_folder_of_its_process_has_lost_the_root(worker: NodeWorker) -> None:
    """The daemon has made the folder just before, so an older look at the root says nothing."""
    worker.folder.remove_if_empty()
    worker.greet()
    assert "it does not see what this daemon writes there" in worker.end().root_fault
