"""The daemon signs for a signing job only, only claims of C2PA, and no more often than the job has files."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.fake_workers import KILLED, FakeProcess, FakeWorkers, kinds
from doubles.jobs import Share
from goldsmith.credentials.manifest_boxes import CLAIM_START
from goldsmith.jobs.job import SIGNING_QUEUE, Job, SigningRequest
from goldsmith.jobs.protocol import MessageType, SignMessage, WorkerSpec, decode_message, encode_message

CLAIM = CLAIM_START + b"\x43\xa1\x01\x26\x40\x41x"
REQUEST = SigningRequest(chain="", algorithm="es256", definition={})


@pytest.fixture
def workers() -> Iterator[FakeWorkers]:
    workers = FakeWorkers(specs=(WorkerSpec(queue="cpu"), WorkerSpec(queue=SIGNING_QUEUE)))
    yield workers
    workers.close()


def signing_job(tmp_path: Path) -> Job:
    """Return a job that signs one file, with the picture that it was made from."""
    share = Share(tmp_path)
    inputs = [share.put(name, b"a file") for name in ("out.jpg", "hero.jpg")]
    roles = ("unsigned", "ingredient")
    return share.job(
        queue=SIGNING_QUEUE,
        signing=REQUEST,
        inputs=[share.job_input(path.name, role) for path, role in zip(inputs, roles, strict=True)],
    )


def ask(process: FakeProcess, job: Job, data: bytes) -> None:
    process.send(MessageType.SIGN, encode_message(SignMessage(job_id=job.id, data=b64encode(data).decode())))


def test_a_signing_job_gets_a_signature(workers: FakeWorkers, tmp_path: Path) -> None:
    """It may ask twice for a file: once more without what could not be carried."""
    workers.pools.submit(signing_job(tmp_path))
    process = workers.ready()
    job = process.start_job()
    for _ in range(2):
        ask(process, job, CLAIM)
        assert workers.collect()[1:] == []
        kind, payload = process.receive()
        assert (kind, b64decode(decode_message(SignMessage, payload).data)) == (MessageType.SIGNATURE, b"signature")
    assert workers.signed == [CLAIM, CLAIM]


@pytest.mark.parametrize("lie", ["third time", "no claim", "very long", "another job"])
def test_nothing_else_is_signed(workers: FakeWorkers, tmp_path: Path, lie: str) -> None:
    """The process is killed, and nothing it has said counts."""
    workers.pools.submit(Share(tmp_path).job() if lie == "another job" else signing_job(tmp_path))
    process = workers.ready()
    job = process.start_job()
    for _ in range(2 if lie == "third time" else 0):
        ask(process, job, CLAIM)
    data = {"no claim": b"30820122 a certificate", "very long": CLAIM + bytes(65_536)}.get(lie, CLAIM)
    ask(process, job, data)
    assert (kinds(workers.collect())[-1:], process.status) == (["crash"], KILLED)
    assert len(workers.signed) == (2 if lie == "third time" else 0)


def test_a_request_that_is_no_base64_is_refused(workers: FakeWorkers, tmp_path: Path) -> None:
    """Nothing is raised in the daemon."""
    workers.pools.submit(signing_job(tmp_path))
    process = workers.ready()
    job = process.start_job()
    process.send(MessageType.SIGN, encode_message(SignMessage(job_id=job.id, data="§§")))
    assert (kinds(workers.collect())[-1:], process.status) == (["crash"], KILLED)
