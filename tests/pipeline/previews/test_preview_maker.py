"""Each preview is made by a process of its own; a file that cannot be shown has a reason and holds nothing up."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import Saver
from goldsmith.cli.init import make_root
from goldsmith.errors import HostError
from goldsmith.jobs.preview import PreviewFacts, PreviewReply
from goldsmith.pipeline.previews import preview_server
from goldsmith.pipeline.previews.preview_maker import PreviewMaker
from goldsmith.pipeline.previews.preview_server import FileDecoder, PreviewServer
from goldsmith.service.one_off import opened_preview_maker
from goldsmith.service.setup import load_setup
from goldsmith.worker.landlock import landlock_version
from goldsmith.worker.preview_process import mean_lab


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("previews") / "root"
    make_root(root)
    return root


@pytest.fixture(scope="module")
def maker(root: Path) -> Iterator[PreviewMaker]:
    setup = load_setup(root, None, state_dir=str(root.parent / "state"), cpu_workers=2)
    with opened_preview_maker(setup) as maker:
        yield maker


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[FileDecoder]:
    """Return the processes that are opened during a test."""
    opened: list[FileDecoder] = []
    real = PreviewServer.open_process

    def open_process(server: PreviewServer) -> FileDecoder:
        opened.append(real(server))
        return opened[-1]

    monkeypatch.setattr(PreviewServer, "open_process", open_process)
    return opened


def test_a_picture_becomes_a_small_jpeg_with_its_mean_colour(maker: PreviewMaker, root: Path, saved: Saver) -> None:
    """Its size, depth and hash are those of the file."""
    red = np.zeros((60, 90, 3), np.uint8) + np.array([200, 30, 30], np.uint8)
    (root / "delivered" / "a.png").write_bytes(saved(red, "PNG"))
    result = maker.make(["delivered/a.png"], 32)["delivered/a.png"]
    with Image.open(io.BytesIO(result.jpeg)) as jpeg:
        assert (jpeg.format, jpeg.size, jpeg.mode) == ("JPEG", (32, 21), "RGB")
    assert (result.facts, result.reason, len(result.sha256)) == ("90 x 60 px, 8 bit", "", 64)
    assert result.mean_lab == pytest.approx(mean_lab(red), abs=0.2)
    assert result.mean_lab is not None
    assert result.mean_lab[1] > 50


def test_what_cannot_be_shown_has_a_reason_and_the_others_are_made(maker: PreviewMaker, root: Path, saved: Saver) -> None:
    """A broken file, a link out of the root, a folder, a missing file and a PDF."""
    good = saved(np.zeros((8, 8, 3), np.uint8), "PNG")
    (root / "delivered" / "good.png").write_bytes(good)
    (root / "delivered" / "broken.png").write_bytes(good[:40])
    (root.parent / "secret.png").write_bytes(good)
    (root / "delivered" / "link.png").symlink_to(root.parent / "secret.png")
    (root / "delivered" / "folder.png").mkdir()
    names = ("broken.png", "link.png", "folder.png", "gone.png", "a.pdf", "good.png")
    results = maker.make([f"delivered/{name}" for name in names], 32)
    assert {path: bool(result.jpeg) for path, result in results.items()} == {f"delivered/{name}": name == "good.png" for name in names}
    assert all(result.reason.endswith(".") for path, result in results.items() if path != "delivered/good.png")


def test_each_file_has_a_process_of_its_own_which_ends_with_it(
    maker: PreviewMaker, root: Path, saved: Saver, processes: list[FileDecoder]
) -> None:
    """So a file that takes its process over falsifies no other preview. Nothing of its scratch folder stays."""
    for name in "abc":
        (root / f"delivered/{name}.png").write_bytes(saved(np.zeros((8, 8, 3), np.uint8), "PNG"))
    results = maker.make([f"delivered/{name}.png" for name in "abc"], 32)
    assert all(result.jpeg for result in results.values())
    assert len({process._scratch for process in processes}) == 3
    assert not any(process._scratch.exists() for process in processes)
    assert all(process._pidfd == -1 for process in processes)


def test_a_process_that_does_not_answer_is_ended(
    maker: PreviewMaker, root: Path, saved: Saver, processes: list[FileDecoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time of a preview. The next file is shown."""
    (root / "delivered/slow.png").write_bytes(saved(np.zeros((8, 8, 3), np.uint8), "PNG"))
    monkeypatch.setattr("goldsmith.pipeline.previews.preview_maker.REQUEST_SECONDS", 0.0)
    assert "to decode" in maker.make(["delivered/slow.png"], 32)["delivered/slow.png"].reason
    assert processes[0].connection.fileno() == -1
    monkeypatch.setattr("goldsmith.pipeline.previews.preview_maker.REQUEST_SECONDS", 600.0)
    assert maker.make(["delivered/slow.png"], 32)["delivered/slow.png"].jpeg


def test_without_a_process_that_is_the_reason(root: Path, saved: Saver) -> None:
    """Nobody waits."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    (root / "delivered" / "c.png").write_bytes(saved(np.zeros((8, 8, 3), np.uint8), "PNG"))
    maker = PreviewMaker(root, PreviewServer(10**8, 1024, refuse))  # type: ignore[arg-type]
    reason = maker.make(["delivered/c.png"], 32)["delivered/c.png"].reason
    assert reason == "The process that makes previews cannot be started: Cannot allocate memory."
    with pytest.raises(HostError):
        PreviewServer(10**8, 1024, refuse).open_process()  # type: ignore[arg-type]


def test_a_file_that_changes_during_its_preview_is_not_shown(
    maker: PreviewMaker, root: Path, saved: Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hash would be that of other bytes."""
    path = root / "delivered/moving.png"
    path.write_bytes(saved(np.zeros((8, 8, 3), np.uint8), "PNG"))
    real = FileDecoder.send

    def send(process: FileDecoder, *values: object) -> None:
        os.utime(path, (1, 1))
        real(process, *values)  # type: ignore[arg-type]

    monkeypatch.setattr(FileDecoder, "send", send)
    assert "was changed" in maker.make(["delivered/moving.png"], 32)["delivered/moving.png"].reason


@pytest.mark.parametrize(
    "answer",
    [
        b'{"facts": {"width": -5, "height": 1}}',
        b'{"facts": {"mean_lab": [NaN, 0, 0]}}',
        b'{"owner": "eve"}',
        b"nonsense",
        b"",
        PreviewReply(facts=PreviewFacts()).model_dump_json().encode(),
    ],
)
def test_what_a_process_says_is_not_believed_beyond_its_form(maker: PreviewMaker, root: Path, saved: Saver, answer: bytes) -> None:
    """It decodes strangers' files and may have been taken over: then the file has a reason, also if no preview was written."""
    (root / "delivered/evil.png").write_bytes(saved(np.zeros((8, 8, 3), np.uint8), "PNG"))
    own_end, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    own_end.setblocking(False)
    socket.send_fds(other_end, [b"ready"], [os.pidfd_open(os.getpid())])
    other_end.send(answer) if answer else other_end.shutdown(socket.SHUT_WR)
    process = FileDecoder(own_end, root.parent / "no-scratch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreviewServer, "open_process", lambda server: process)
        patch.setattr(preview_server.signal, "pidfd_send_signal", lambda *_: None)
        result = maker.make(["delivered/evil.png"], 32)["delivered/evil.png"]
    other_end.close()
    assert result.jpeg == b""
    assert result.reason


@pytest.mark.skipif(landlock_version() < 6, reason="this kernel's Landlock keeps no signals back")
def test_the_process_of_a_file_reaches_neither_the_server_nor_another_file(tmp_path: Path) -> None:
    """It is behind a second fence: it may write its own scratch folder only, and send no signals."""
    code = (
        "import os, sys\n"
        "from goldsmith.jobs.protocol import WorkerFolders\n"
        "from goldsmith.worker.fence import raise_fence\n"
        "work = sys.argv[1]\n"
        "raise_fence(work, WorkerFolders(work=work))\n"
        "for name in ('own', 'other'): os.mkdir(f'{work}/{name}')\n"
        "server = os.getpid()\n"
        "if os.fork(): os.wait(); sys.exit()\n"
        "raise_fence(f'{work}/own', WorkerFolders(work=f'{work}/own'))\n"
        "for act in (lambda: os.kill(server, 0), lambda: open(f'{work}/other/x', 'w'), lambda: open(f'{work}/own/x', 'w')):\n"
        "    try: act(); print('done')\n"
        "    except PermissionError: print('refused')\n"
    )
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["refused", "refused", "done"]
