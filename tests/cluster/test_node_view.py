"""What a worker process on a node is told of paths and files, and what of it the daemon hears."""

from __future__ import annotations

from pathlib import Path

import pytest

from doubles.fake_workers import unchanged_outcome
from doubles.jobs import Share
from goldsmith.cluster.node_view import NodeView
from goldsmith.cluster.remote_worker import Translation
from goldsmith.files import FileSignature
from goldsmith.jobs.job import Job, JobFault, Outcome, OutputFile
from goldsmith.jobs.protocol import (
    BatchMessage,
    FrameDecoder,
    HelloMessage,
    MessageType,
    WorkerConfig,
    WorkerFolders,
    WorkerSpec,
    decode_message,
    encode_message,
    frame_message,
)

DAEMON = "/srv/goldsmith"


@pytest.fixture
def node(tmp_path: Path) -> Share:
    """The root as the node sees it."""
    return Share(tmp_path / "mount")


@pytest.fixture
def view(node: Share) -> NodeView:
    return NodeView(DAEMON, str(node.root))


def job_of_the_daemon(node: Share) -> tuple[Job, FileSignature]:
    """Return a job as the daemon sends it, whose mount has another number there, and the node's own signature of its input."""
    job = node.job()
    own = job.inputs[0].sig
    changed = job.inputs[0].model_copy(update={"sig": own._replace(dev=own.dev + 1, ctime_ns=0)})
    return job.model_copy(update={"root": DAEMON, "scratch": f"{DAEMON}/.goldsmith/work/worker-1/job1", "inputs": (changed,)}), own


def test_a_job_has_the_nodes_paths_and_signatures_and_the_outcome_the_daemons(view: NodeView, node: Share) -> None:
    """The worker compares the files with the node's own signatures; the daemon gets back what it has sent."""
    job, own = job_of_the_daemon(node)
    on_node = decode_message(Job, view.to_node(MessageType.JOB, encode_message(job)))
    assert (on_node.root, on_node.scratch) == (str(node.root), f"{node.root}/.goldsmith/work/worker-1/job1")
    assert on_node.inputs[0].sig == own
    outcome = unchanged_outcome(on_node).model_copy(
        update={
            "outputs": (OutputFile(role="picture", tail=".png", path=f"{on_node.scratch}/a.png", sha256="0" * 64, size=1),),
            "fault": JobFault(kind="problem", sentence="No.", preview_path=f"{on_node.scratch}/preview.jpg"),
        }
    )
    on_daemon = decode_message(Outcome, view.to_daemon(MessageType.OUTCOME, encode_message(outcome)))
    assert on_daemon.reads[0].sig == job.inputs[0].sig
    assert (on_daemon.original_copy, on_daemon.outputs[0].path) == (f"{job.scratch}/original", f"{job.scratch}/a.png")
    assert on_daemon.fault is not None
    assert on_daemon.fault.preview_path == f"{job.scratch}/preview.jpg"


def test_the_jobs_of_a_batch_are_told_alike(view: NodeView, node: Share) -> None:
    """Each job has its own signatures."""
    job, own = job_of_the_daemon(node)
    batch = BatchMessage(jobs=(job, job.model_copy(update={"id": "job2"})))
    on_node = decode_message(BatchMessage, view.to_node(MessageType.BATCH, encode_message(batch)))
    assert [each.inputs[0].sig for each in on_node.jobs] == [own, own]


@pytest.mark.parametrize("change", ["another size", "another time", "removed"])
def test_another_file_keeps_the_daemons_signature(view: NodeView, node: Share, change: str) -> None:
    """The worker then says that the input has changed, as on the daemon's host."""
    job, own = job_of_the_daemon(node)
    source = job.inputs[0]
    if change == "removed":
        (node.root / source.path).unlink()
    else:
        other = own._replace(size=own.size + 1) if change == "another size" else own._replace(mtime_ns=own.mtime_ns + 5_000_000)
        job = job.model_copy(update={"inputs": (source.model_copy(update={"sig": other}),)})
    on_node = decode_message(Job, view.to_node(MessageType.JOB, encode_message(job)))
    assert on_node.inputs[0].sig == job.inputs[0].sig


def test_a_link_in_the_share_is_not_followed(view: NodeView, node: Share) -> None:
    """A link that somebody has put in place of an input gets no signature of the node."""
    job, _ = job_of_the_daemon(node)
    target = node.put("inbox/other.png", (node.root / job.inputs[0].path).read_bytes())
    (node.root / job.inputs[0].path).unlink()
    (node.root / job.inputs[0].path).symlink_to(target)
    on_node = decode_message(Job, view.to_node(MessageType.JOB, encode_message(job)))
    assert on_node.inputs[0].sig == job.inputs[0].sig


def test_only_paths_below_the_root_are_changed(view: NodeView, node: Share) -> None:
    """The models of a node are at the same path as the daemon's, unless they are in the root."""
    folders = WorkerFolders(
        work=f"{DAEMON}/work", inputs=(f"{DAEMON}/inbox",), models=("/opt/models", f"{DAEMON}-old"), kept=f"{DAEMON}/kept"
    )
    config = WorkerConfig(models_file=f"{DAEMON}/config/models.toml", weights_folder="/opt/models")
    hello = HelloMessage(spec=WorkerSpec(queue="cpu"), config=config, folders=folders, scratch=f"{DAEMON}/work/worker-1")
    on_node = decode_message(HelloMessage, view.to_node(MessageType.HELLO, encode_message(hello)))
    root = str(node.root)
    assert on_node.folders == WorkerFolders(
        work=f"{root}/work", inputs=(f"{root}/inbox",), models=("/opt/models", f"{DAEMON}-old"), kept=f"{root}/kept"
    )
    assert (on_node.scratch, on_node.config.models_file, on_node.config.weights_folder) == (
        f"{root}/work/worker-1",
        f"{root}/config/models.toml",
        "/opt/models",
    )


def test_messages_are_translated_however_the_bytes_arrive_and_rubbish_passes_as_it_is() -> None:
    """The daemon refuses what is no message; the node does not hide it."""
    stream = Translation(lambda kind, payload: payload.upper())
    data = frame_message(MessageType.CANCEL, b"job1") + frame_message(MessageType.CANCEL, b"job2")
    passed = b"".join(stream.feed(data[i : i + 1]) for i in range(len(data)))
    assert FrameDecoder().feed(passed) == [(MessageType.CANCEL, b"JOB1"), (MessageType.CANCEL, b"JOB2")]
    assert stream.feed(data[:3]) == b""
    assert stream.feed(b"\xff" * 40) == data[:3] + b"\xff" * 40
    assert stream.feed(b"more") == b"more"
