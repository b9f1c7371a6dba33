"""What a job's fault says, and to whom: the note is for designers, the detail for the log."""

from __future__ import annotations

import zlib
from pathlib import Path

from doubles.jobs import Share, picture, png
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.job_runner import run_job


def test_the_words_of_a_decoder_go_to_the_log_and_not_into_the_note(tmp_path: Path) -> None:
    """Break the compressed data of a picture: its note says that it makes no sense, and the detail has the library's message."""
    share = Share(tmp_path)
    data = bytearray(png(picture(64, 64)))
    start = data.index(b"IDAT") + 4
    size = int.from_bytes(data[start - 8 : start - 4], "big")
    data[start + 2 : start + size] = b"\xff" * (size - 2)
    share.put("inbox/hero.png", _with_checksum(bytes(data), start, size))
    models = share.put("models.toml", b"")
    provider = EngineProvider(WorkerConfig(models_file=str(models), weights_folder=str(tmp_path)), WorkerSpec(queue="cpu", threads=1))
    job = share.job(("sharpen", {}), inputs=[share.job_input("inbox/hero.png")])
    fault = run_job(job, provider, lambda progress: None, lambda: False).fault
    assert fault is not None
    assert fault.sentence.endswith("hero.png is damaged: the data of its picture makes no sense.")
    assert fault.detail
    assert fault.detail not in fault.sentence


def _with_checksum(data: bytes, start: int, size: int) -> bytes:
    return data[: start + size] + zlib.crc32(data[start - 4 : start + size]).to_bytes(4, "big") + data[start + size + 4 :]
