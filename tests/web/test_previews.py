"""Previews: decoded in a process behind a fence, in sRGB, exact at 100 %, and kept within a bound."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from doubles.web_pages import small_png, version_at
from goldsmith.errors import HostError, InputError, UsageError
from goldsmith.files import FileSignature
from goldsmith.jobs.preview import PreviewFacts, PreviewReply, PreviewRequest, version_of
from goldsmith.picture.profiles import builtin_profile
from goldsmith.pipeline.previews.preview_server import PreviewServer
from goldsmith.root_folder import RootFolder
from goldsmith.web.page import Page
from goldsmith.web.previews.preview_cache import PreviewCache, default_cache_folder
from goldsmith.web.previews.preview_pool import PreviewPool, open_preview_pool
from goldsmith.worker.landlock import landlock_version
from goldsmith.worker.preview_process import FilePreviews

Result = TypeVar("Result")
Run = Callable[[Awaitable[Result]], Result]


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    """Return a picture of noise that needs four tiles: uint8 (520, 600, 3)."""
    return np.random.default_rng(7).integers(0, 256, (520, 600, 3), dtype=np.uint8)


def saved(pixels: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", **options)
    return out.getvalue()


def preview_of(data: bytes, request: PreviewRequest, tmp_path: Path, maker: FilePreviews | None = None) -> tuple[PreviewReply, bytes]:
    """Return the reply and the result for a file, made in this process."""
    (tmp_path / "picture").write_bytes(data)
    picture, result = os.open(tmp_path / "picture", os.O_RDONLY), os.open(tmp_path / "result", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        reply = (maker or FilePreviews(10**8)).answer(request, picture, result)
    finally:
        os.close(picture)
        os.close(result)
    return reply, (tmp_path / "result").read_bytes()


def test_a_tile_has_the_picture_s_own_pixels(noise: np.ndarray, tmp_path: Path) -> None:
    """Each code, also in the smaller tiles at the edges."""
    for column, row in ((0, 0), (1, 0), (0, 1), (1, 1)):
        _, data = preview_of(saved(noise), PreviewRequest(kind="tile", column=column, row=row), tmp_path)
        part = np.asarray(Image.open(io.BytesIO(data)))
        assert np.array_equal(part, noise[row * 512 : row * 512 + 512, column * 512 : column * 512 + 512])


def test_a_tile_that_the_picture_does_not_have_is_refused(noise: np.ndarray, tmp_path: Path) -> None:
    """With a sentence."""
    reply, data = preview_of(saved(noise), PreviewRequest(kind="tile", column=2, row=0), tmp_path)
    assert (reply.sentence, data) == ("The picture has no part in column 2, row 0.", b"")


def test_a_picture_in_a_wide_space_is_shown_in_srgb_and_says_so(tmp_path: Path) -> None:
    """Red of Display P3 has other codes in sRGB."""
    red = np.full((4, 4, 3), (200, 60, 50), np.uint8)
    reply, data = preview_of(saved(red, icc_profile=builtin_profile("display-p3")), PreviewRequest(kind="tile"), tmp_path)
    assert reply.facts is not None
    assert reply.facts.is_converted
    assert "P3" in reply.facts.profile
    pixels = np.asarray(Image.open(io.BytesIO(data)))[0, 0].astype(int)
    assert pixels[0] > 210
    assert pixels[1] < 60
    plain, _ = preview_of(saved(red), PreviewRequest(kind="tile"), tmp_path)
    assert plain.facts is not None
    assert (plain.facts.is_converted, plain.facts.profile) == (False, "")


def test_a_fitting_preview_is_reduced_and_never_enlarged(noise: np.ndarray, tmp_path: Path) -> None:
    """It is a JPEG of the side that was asked for; the facts have the size of the picture itself."""
    reply, data = preview_of(saved(noise), PreviewRequest(kind="fit", side=160), tmp_path)
    assert Image.open(io.BytesIO(data)).size == (160, 139)
    assert reply.facts is not None
    assert (reply.facts.width, reply.facts.height) == (600, 520)
    _, data = preview_of(saved(noise[:20, :30]), PreviewRequest(kind="fit", side=160), tmp_path)
    assert Image.open(io.BytesIO(data)).size == (30, 20)


def test_a_mask_is_red_and_as_transparent_as_it_is_dark(tmp_path: Path) -> None:
    """White covers, grey partly, black not at all."""
    mask = np.array([[0, 128, 255]], np.uint8)
    for kind in ("mask", "mask_tile"):
        _, data = preview_of(saved(mask), PreviewRequest(kind=kind, side=1600), tmp_path)
        pixels = np.asarray(Image.open(io.BytesIO(data)))
        assert pixels.shape == (1, 3, 4)
        assert pixels[0, :, 3].tolist() == [0, 75, 150]


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\nxxxx", small_png(1)[:-20], b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_a_broken_file_gets_a_sentence(data: bytes, tmp_path: Path) -> None:
    """The maker goes on with the next one."""
    maker = FilePreviews(10**8)
    reply, result = preview_of(data, PreviewRequest(kind="fit", name="hero.png", side=160), tmp_path, maker)
    assert (reply.facts, reply.fault, result) == (None, "", b"")
    assert "hero.png" in reply.sentence
    assert preview_of(small_png(1), PreviewRequest(kind="fit", side=160), tmp_path, maker)[0].facts is not None


def test_a_picture_with_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    """The limit is that of the settings: a file of a few bytes can claim billions."""
    reply, _ = preview_of(small_png(1, 200, 100), PreviewRequest(kind="facts", name="bomb.png"), tmp_path, FilePreviews(10_000))
    assert "bomb.png" in reply.sentence
    assert reply.facts is None


def test_a_bug_of_a_decoder_is_a_sentence_for_the_person_and_a_traceback_for_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it reaches the browser."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("deep inside")

    monkeypatch.setattr("goldsmith.picture.codec.decode_with_info", fail)
    reply, _ = preview_of(small_png(1), PreviewRequest(kind="fit", name="hero.png", side=160), tmp_path)
    assert reply.sentence == "hero.png cannot be shown."
    assert "deep inside" in reply.fault


def test_the_decoded_picture_is_kept_for_its_next_tiles(noise: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tiles, one decoding; a file with other times is decoded again."""
    import goldsmith.picture.codec as codec

    decode, count = codec.decode_with_info, []
    monkeypatch.setattr("goldsmith.picture.codec.decode_with_info", lambda *values: (count.append(1), decode(*values))[1])
    maker = FilePreviews(10**8)
    (tmp_path / "p.png").write_bytes(saved(noise))
    with (tmp_path / "p.png").open("rb") as picture, (tmp_path / "r").open("wb") as result:
        for column in (0, 1):
            maker.answer(PreviewRequest(kind="tile", column=column), picture.fileno(), result.fileno())
        assert len(count) == 1
        os.utime(tmp_path / "p.png", (1, 1))
        maker.answer(PreviewRequest(kind="tile"), picture.fileno(), result.fileno())
    assert len(count) == 2


# ---------------------------------------------------------------------- the process


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, PreviewPool, Run[object]]]:
    """Return a root, its pool with one process, and what runs a coroutine: starting the process takes a second."""
    folder = tmp_path_factory.mktemp("previews")
    (folder / "root/inbox").mkdir(parents=True)
    pool = PreviewPool(RootFolder(folder / "root"), PreviewCache(folder / "cache", 10**7), 10**8, 1024, process_count=1)
    with asyncio.Runner() as runner:
        yield folder / "root", pool, runner.run
        runner.run(asyncio.to_thread(pool.close))


def test_the_process_makes_a_preview_and_the_cache_keeps_it(shared: tuple[Path, PreviewPool, Run[object]]) -> None:
    """The second time the process is not asked; a changed file has another version and is made anew."""
    root, pool, run = shared
    (root / "inbox/hero.png").write_bytes(small_png(200))
    request = PreviewRequest(kind="tile")
    first = run(pool.preview("inbox/hero.png", "one", request))
    (root / "inbox/hero.png").write_bytes(small_png(10))
    assert run(pool.preview("inbox/hero.png", "one", request)) == first
    assert run(pool.preview("inbox/hero.png", "two", request)) != first


def test_what_the_process_says_is_not_believed_beyond_its_form(shared: tuple[Path, PreviewPool, Run[object]]) -> None:
    """It decodes a stranger's file and may have been taken over: an answer of another form ends it, and the next one is made."""
    root, pool, run = shared
    (root / "inbox/next.png").write_bytes(small_png(1))
    run(pool.preview("inbox/next.png", "v", PreviewRequest(kind="facts")))
    (slot,) = pool._slots
    first = slot._process
    assert first is not None
    own_end, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    own_end.setblocking(False)
    other_end.send(json.dumps({"facts": {"width": -5, "height": 1}, "owner": "eve"}).encode())
    kept_open = first.connection  # else the process would end, and the next one would be asked
    first.connection = own_end
    with pytest.raises(InputError, match="has answered wrongly"):
        run(pool.preview("inbox/next.png", "v", PreviewRequest(kind="tile")))
    kept_open.close()
    other_end.close()
    assert slot._process is None
    assert isinstance(run(pool.preview("inbox/next.png", "v", PreviewRequest(kind="tile"))), tuple)


def test_a_process_that_dies_costs_one_preview_at_most(shared: tuple[Path, PreviewPool, Run[object]]) -> None:
    """The person gets a sentence, and the next picture is shown."""
    root, pool, run = shared
    (root / "inbox/killer.png").write_bytes(small_png(1))
    run(pool.preview("inbox/killer.png", "a", PreviewRequest(kind="facts")))
    (slot,) = pool._slots
    assert slot._process is not None
    slot._process.connection.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(InputError, HostError):  # a process that is known to have ended is not asked
        run(pool.preview("inbox/killer.png", "a", PreviewRequest(kind="tile")))
    assert isinstance(run(pool.preview("inbox/killer.png", "a", PreviewRequest(kind="tile"))), tuple)


def test_each_file_has_a_process_of_its_own(shared: tuple[Path, PreviewPool, Run[object]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiles of one picture come from one; another picture, and the same after a change, from another."""
    root, pool, run = shared
    opened: list[int] = []
    real = PreviewServer.open_process
    monkeypatch.setattr(PreviewServer, "open_process", lambda server: (opened.append(1), real(server))[1])
    for name in ("one", "two"):
        (root / f"inbox/{name}.png").write_bytes(small_png(1, 600, 10))
    for column in (0, 1):
        run(pool.preview("inbox/one.png", "v", PreviewRequest(kind="tile", column=column)))
    assert len(opened) == 1
    run(pool.preview("inbox/two.png", "v", PreviewRequest(kind="tile")))
    assert len(opened) == 2
    run(pool.preview("inbox/two.png", "w", PreviewRequest(kind="tile")))
    assert len(opened) == 3


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")
def test_the_process_can_open_no_picture_by_itself(shared: tuple[Path, PreviewPool, Run[object]]) -> None:
    """Behind its fence it has the descriptor that it was given, and nothing of the share, the journal or the home folder."""
    root, _, _ = shared
    (root / "inbox/private.png").write_bytes(small_png(1))
    (root.parent / "scratch").mkdir()
    code = (
        "import sys, os\n"
        "from goldsmith.jobs.protocol import WorkerFolders\n"
        "from goldsmith.worker.fence import raise_fence\n"
        "raise_fence(sys.argv[1], WorkerFolders(work=sys.argv[1]))\n"
        "for path, flags in ((sys.argv[2], os.O_RDONLY), (sys.argv[3], os.O_WRONLY | os.O_CREAT)):\n"
        "    try: os.open(path, flags); print('opened', path)\n"
        "    except PermissionError: print('refused')\n"
    )
    arguments = [str(root.parent / "scratch"), str(root / "inbox/private.png"), str(root / "inbox/planted.png")]
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["refused", "refused"]


def test_the_process_imports_no_library_before_its_fence_is_up() -> None:
    """Libraries start threads, which would stay outside."""
    heavy = ["numpy", "cv2", "imagecodecs", "PIL", "scipy", "torch", "starlette"]
    code = f"import os, sys, goldsmith.worker.preview_process; print([name for name in {heavy!r} if name in sys.modules])"
    code += "; print(len(os.listdir('/proc/self/task')))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["[]", "1"]


# ---------------------------------------------------------------------- the cache


def test_the_cache_stays_within_its_bound_and_forgets_what_was_used_longest_ago(tmp_path: Path) -> None:
    """What was looked at since then stays."""
    cache = PreviewCache(tmp_path, 10_000)
    for number in range(5):
        cache.put(f"k{number}", PreviewFacts(), b"x" * 1500)
        for file in tmp_path.iterdir():
            status = file.stat()
            os.utime(file, (status.st_atime - 100, status.st_mtime - 100))
    assert cache.find("k0") is not None
    for number in range(5, 8):
        cache.put(f"k{number}", PreviewFacts(), b"x" * 1500)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 10_000
    assert cache.find("k0") is not None
    assert cache.find("k1") is None


def test_a_damaged_preview_is_made_again(tmp_path: Path) -> None:
    """nothing half is shown; files that a crash has left are removed."""
    cache = PreviewCache(tmp_path, 10_000)
    cache.put("k", PreviewFacts(), b"data")
    next(tmp_path.iterdir()).write_bytes(b"no facts")
    (tmp_path / "left.new").write_bytes(b"half")
    assert PreviewCache(tmp_path, 10_000).find("k") is None
    assert not (tmp_path / "left.new").exists()


def test_previews_are_never_kept_in_the_folders(tmp_path: Path) -> None:
    """They would be taken for pictures."""
    with pytest.raises(UsageError, match="inside"):
        open_preview_pool(tmp_path, tmp_path / "inbox", 10**8, 1024, 16)


def test_the_cache_folder_is_that_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or that of the user."""
    monkeypatch.setenv("CACHE_DIRECTORY", "/var/cache/goldsmith")
    assert default_cache_folder() == Path("/var/cache/goldsmith/previews")
    monkeypatch.delenv("CACHE_DIRECTORY")
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/anna/.c")
    assert default_cache_folder() == Path("/home/anna/.c/goldsmith/previews")


def test_a_version_depends_on_everything_that_a_save_changes() -> None:
    """Inode, size and times."""
    sig = FileSignature(1, 2, 3, 4, 5)
    versions = {version_of(sig), *(version_of(sig._replace(**{name: 9})) for name in ("ino", "size", "mtime_ns", "ctime_ns"))}
    assert len(versions) == 5


# ---------------------------------------------------------------------- the addresses


def test_the_browser_keeps_a_preview_whose_address_has_its_version(root: Path, page: Page, client: TestClient) -> None:
    """One without, or with an old one, is asked for again."""
    (root / "inbox/hero.png").write_bytes(small_png(200))
    version = version_at(page, "inbox/hero.png")
    answer = client.get(f"/fit/160/inbox/hero.png?v={version}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert "immutable" in answer.headers["cache-control"]
    assert client.get("/fit/160/inbox/hero.png?v=old").headers["cache-control"] == "no-store"
    assert client.get("/facts/inbox/hero.png").json()["width"] == 8
    (root / "inbox/bad.png").write_bytes(b"<html><script>alert(1)</script>")
    refused = client.get("/fit/160/inbox/bad.png")
    assert (refused.status_code, refused.headers["content-type"]) == (400, "application/json")
    assert "<script>" not in refused.text


@pytest.mark.parametrize(
    "address", ["/fit/161/inbox/hero.png", "/fit/x/inbox/hero.png", "/tile/5000/0/inbox/hero.png", "/tile/-1/0/inbox/hero.png"]
)
def test_sizes_and_places_that_nobody_offers_are_not_found(root: Path, client: TestClient, address: str) -> None:
    """Otherwise the cache would fill with them."""
    (root / "inbox/hero.png").write_bytes(small_png(200))
    assert client.get(address).status_code == 404
