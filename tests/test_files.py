"""Files are written completely or not at all, never overwrite, never follow a link, and get the permissions of their folder."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat
import struct
import sys
import unicodedata
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles.attached import attached, make
from doubles.disk import Disk, Script
from goldsmith.errors import InputError
from goldsmith.files import (
    FileSignature,
    Filesystem,
    PathAt,
    display_name,
    display_text,
    fold_name,
    has_writer,
    hide_server_paths,
    inherit_folder_permissions,
    is_ignored_file,
    is_ignored_folder,
    open_input,
    resource_path,
    write_atomically,
    write_atomically_in,
)
from goldsmith.mounts import mount_device, mount_id
from goldsmith.pipeline.scheduler.problem_notes import write_note, write_preview
from goldsmith.root_folder import RootFolder

KINDS = {"flag": {}, "links": {"flags": False}, "neither": {"flags": False, "links": False}}


@pytest.fixture(params=KINDS)
def disk(request: pytest.FixtureRequest) -> Disk:
    """Return a disk with RENAME_NOREPLACE, one that has only hard links, and one that has neither."""
    return Disk(Script(), **KINDS[request.param])


def test_a_rename_never_overwrites(disk: Disk, tmp_path: Path) -> None:
    """Rename to a taken name: both files stay as they are, whatever the filesystem can do."""
    source, target = tmp_path / "one", tmp_path / "two"
    source.write_bytes(b"1")
    target.write_bytes(b"2")
    with pytest.raises(FileExistsError):
        disk.rename_noreplace(PathAt.from_path(source), PathAt.from_path(target))
    assert (source.read_bytes(), target.read_bytes()) == (b"1", b"2")


def test_a_rename_keeps_the_inode(disk: Disk, tmp_path: Path) -> None:
    """Rename between open folders."""
    (tmp_path / "a").mkdir()
    source, target = tmp_path / "one", tmp_path / "a" / "two"
    source.write_bytes(b"1")
    inode = source.stat().st_ino
    folders = [os.open(folder, os.O_RDONLY) for folder in (tmp_path, tmp_path / "a")]
    disk.rename_noreplace(PathAt(folders[0], "one"), PathAt(folders[1], "two"))
    assert str(PathAt(folders[1], "two")) == str(target)
    assert target.stat().st_ino == inode
    assert not source.exists()
    for folder in folders:
        os.close(folder)


def test_a_rename_of_a_missing_file_creates_nothing(disk: Disk, tmp_path: Path) -> None:
    """Rename a missing file: no empty file is left."""
    with pytest.raises(FileNotFoundError):
        disk.rename_noreplace(PathAt.from_path(tmp_path / "one"), PathAt.from_path(tmp_path / "two"))
    assert list(tmp_path.iterdir()) == []


def test_an_atomic_write_writes_every_byte(tmp_path: Path) -> None:
    """Write to a disk that takes only half of the bytes at a time; no other file is left in the folder."""
    write_atomically(Disk(Script()), tmp_path / "note.txt", b"0123456789" * 1000)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
    assert (tmp_path / "note.txt").read_bytes() == b"0123456789" * 1000


@pytest.mark.parametrize("is_durable", [True, False])
def test_an_atomic_write_is_flushed_unless_it_need_not_be_durable(tmp_path: Path, is_durable: bool) -> None:
    """The folders' status files are written often and are no loss: they wait for no disk."""
    script, folder = Script(), os.open(tmp_path, os.O_RDONLY)
    write_atomically_in(Disk(script), folder, "note.txt", b"text", replace=True, is_durable=is_durable)
    os.close(folder)
    assert (tmp_path / "note.txt").read_bytes() == b"text"
    assert [name for name in script.calls if "fsync" in name] == (["fsync", "fsync_dir"] if is_durable else [])


def test_an_atomic_write_replaces_a_file_only_if_asked_to(tmp_path: Path) -> None:
    """Write to an existing path without and with ``replace``."""
    write_atomically(Filesystem(), tmp_path / "note.txt", b"old")
    with pytest.raises(FileExistsError):
        write_atomically(Filesystem(), tmp_path / "note.txt", b"new")
    assert (tmp_path / "note.txt").read_bytes() == b"old"
    write_atomically(Filesystem(), tmp_path / "note.txt", b"new", replace=True)
    assert (tmp_path / "note.txt").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_atomic_write_leaves_the_old_or_the_new_file_when_the_disk_fails(tmp_path: Path) -> None:
    """Fail each call in turn: there is never an incomplete file, and no dot-name is left."""
    calls = Script()
    write_atomically(Disk(calls), tmp_path / "dry", b"0123456789")
    (tmp_path / "dry").unlink()
    for at, call in enumerate(calls.calls, 1):
        path = tmp_path / "note.txt"
        path.write_bytes(b"old")
        with pytest.raises(OSError, match="No space"):
            write_atomically(Disk(Script(at, lambda _: OSError(errno.ENOSPC, "No space left"))), path, b"0123456789", replace=True)
        assert path.read_bytes() in (b"old", b"0123456789"), call
        assert [entry.name for entry in tmp_path.iterdir()] == ["note.txt"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EIO, errno.ERANGE, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY])
def test_any_refusal_of_hard_links_leads_to_a_checked_rename(tmp_path: Path, number: int) -> None:
    """vfat says EPERM, rclone EIO, cryfs ERANGE. A taken name stays taken."""
    disk = Disk(Script(), flags=False, links=number)
    source, target, free = (PathAt.from_path(tmp_path / name) for name in ("one", "two", "three"))
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "two").write_bytes(b"2")
    with pytest.raises(FileExistsError):
        disk.rename_noreplace(source, target)
    disk.rename_noreplace(source, free)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"two": b"2", "three": b"1"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EXDEV, errno.ESTALE])
def test_a_fault_of_the_disk_is_no_refusal_of_hard_links(tmp_path: Path, number: int) -> None:
    """It is reported, and no other way is tried."""
    (tmp_path / "one").write_bytes(b"1")
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        Disk(Script(), flags=False, links=number).rename_noreplace(PathAt.from_path(tmp_path / "one"), PathAt.from_path(tmp_path / "two"))
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_file_with_two_names_keeps_its_permissions(tmp_path: Path) -> None:
    """The second name may be outside the share. Nothing is reported as refused."""
    tmp_path.chmod(0o777)
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "one").chmod(0o600)
    os.link(tmp_path / "one", tmp_path / "two")
    assert _inherit(tmp_path / "one", tmp_path) == ""
    assert stat.S_IMODE((tmp_path / "two").stat().st_mode) == 0o600


def test_a_bind_mount_has_its_own_number(tmp_path: Path) -> None:
    """Its device is the one of the filesystem that it shows."""
    folder, other = make(tmp_path / "folder"), make(tmp_path / "other")
    with attached("--bind", other, folder), _opened(tmp_path) as parent, _opened(folder) as inside, _opened(other) as beside:
        assert os.fstat(inside).st_dev == os.fstat(parent).st_dev
        assert mount_id(parent) == mount_id(beside) != mount_id(inside)
        assert mount_device(mount_id(inside)) == mount_device(mount_id(parent))
        assert RootFolder(tmp_path).mount_id("folder") == mount_id(inside)
        assert RootFolder(tmp_path).mount_id("") == mount_id(parent)


def test_a_copy_keeps_the_times_and_returns_its_hash(tmp_path: Path) -> None:
    """Copy a file, then copy it to the same name again: the taken name is refused."""
    (tmp_path / "one").write_bytes(b"abc")
    os.utime(tmp_path / "one", ns=(1, 1_234_567_890_123_456_789))
    digest = Filesystem().copy(PathAt.from_path(tmp_path / "one"), PathAt.from_path(tmp_path / "two"))
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (tmp_path / "two").stat().st_mtime_ns == 1_234_567_890_123_456_789
    with pytest.raises(FileExistsError):
        Filesystem().copy(PathAt.from_path(tmp_path / "one"), PathAt.from_path(tmp_path / "two"))


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    "make", [Path.mkdir, os.mkfifo, _socket, partial(os.symlink, "/etc/passwd")], ids=["folder", "fifo", "socket", "symlink"]
)
def test_only_ordinary_files_are_opened(make: object, tmp_path: Path) -> None:
    """Open a folder, a FIFO, a socket and a link called x.png: each is refused at once."""
    assert callable(make)
    make(tmp_path / "x.png")
    with pytest.raises(InputError, match=r"x\.png is not an ordinary file"):
        open_input(tmp_path / "x.png")


def test_a_missing_input_is_an_os_error(tmp_path: Path) -> None:
    """Open a missing file."""
    with pytest.raises(FileNotFoundError):
        open_input(tmp_path / "x.png")


def test_another_writer_is_detected(tmp_path: Path) -> None:
    """Check while the file is open for writing and afterwards; no lease is left behind."""
    path = tmp_path / "x.png"
    path.write_bytes(b"x")
    fd = open_input(path)
    if has_writer(fd) is None:
        pytest.skip("this filesystem gives no leases")
    with path.open("ab"):
        assert has_writer(fd) is True
    assert has_writer(fd) is False
    with path.open("ab"):
        pass
    os.close(fd)


def test_there_is_no_answer_without_leases() -> None:
    """Ask about a pipe, for which the kernel grants no lease."""
    ends = os.pipe()
    assert has_writer(ends[0]) is None
    for end in ends:
        os.close(end)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


def _inherit(file: Path, folder: Path) -> str:
    """Call ``inherit_folder_permissions`` with descriptors."""
    with _opened(file) as file_fd, _opened(folder) as folder_fd:
        return inherit_folder_permissions(file_fd, folder_fd)


def test_a_file_gets_the_mode_of_its_folder(tmp_path: Path) -> None:
    """Check that the file gets the folder's mode without the execute bits."""
    tmp_path.chmod(0o2775)
    (tmp_path / "x").write_bytes(b"")
    (tmp_path / "x").chmod(0o600)
    _inherit(tmp_path / "x", tmp_path)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o664


def test_a_file_gets_the_default_acl_of_its_folder(tmp_path: Path) -> None:
    """Compare with a file that was created in the folder: named users keep their rights, and nobody may execute it."""
    acl = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", *entry)
        for entry in [(1, 7, 2**32 - 1), (2, 7, 4321), (4, 5, 2**32 - 1), (16, 7, 2**32 - 1), (32, 0, 2**32 - 1)]
    )
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", acl)
    except OSError:
        pytest.skip("this filesystem keeps no ACLs")
    (tmp_path / "made").touch(0o666)
    (tmp_path.parent / "moved").write_bytes(b"")
    _inherit(tmp_path.parent / "moved", tmp_path)
    actual, expected = (os.getxattr(path, "system.posix_acl_access") for path in (tmp_path.parent / "moved", tmp_path / "made"))
    assert struct.unpack_from("<HHI", actual, 12) == (2, 7, 4321)
    assert actual == expected


@pytest.mark.parametrize(("call", "refused"), [("chown", "group"), ("chmod", "mode"), ("setxattr", "ACL")])
def test_a_refused_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, refused: str) -> None:
    """Each change in turn is refused, as by a filter of system calls. ``on_refused`` hears of it, and nothing is raised."""

    def refuse(*arguments: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o2770)
    # A group of this process for which a change of the group is needed; root may take any.
    others = [gid for gid in os.getgroups() if gid != os.getegid()]
    os.chown(folder, -1, 7001 if os.geteuid() == 0 else (others or [os.getegid()])[0])
    if call == "chown" and folder.stat().st_gid == os.getegid():
        pytest.skip("this user has a single group")
    (tmp_path / "x").write_bytes(b"")
    (tmp_path / "x").chmod(0o600)
    monkeypatch.setattr(os, call, refuse)
    monkeypatch.setattr(os, "getxattr", lambda *arguments: struct.pack("<I", 2))
    if call != "setxattr":
        monkeypatch.setattr(os, "setxattr", lambda *arguments: None)
    refusals: list[str] = []
    fs = Filesystem()
    fs.on_refused = lambda folder, what: refusals.append(what)
    descriptors = os.open(tmp_path / "x", os.O_RDONLY), os.open(folder, os.O_RDONLY)
    fs.inherit_permissions(*descriptors)
    for fd in descriptors:
        os.close(fd)
    assert refusals == [refused]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of another user")
def test_a_file_of_another_user_is_left_as_it_is_without_a_report(tmp_path: Path) -> None:
    """A service may not change the mode of a file that a designer dropped, and nobody can help that."""
    tmp_path.chmod(0o2777)
    (tmp_path / "x").write_bytes(b"")
    os.chown(tmp_path / "x", 5002, 5002)
    descriptors = os.open(tmp_path / "x", os.O_RDONLY), os.open(tmp_path, os.O_RDONLY)

    os.seteuid(5001)
    try:
        refused = inherit_folder_permissions(*descriptors)
    finally:
        os.seteuid(0)
    assert refused == ""
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o644
    for fd in descriptors:
        os.close(fd)


def test_permissions_never_fail_a_job(tmp_path: Path) -> None:
    """Pass a pipe, which takes no permissions."""
    folder, ends = os.open(tmp_path, os.O_RDONLY), os.pipe()
    os.close(ends[0])
    inherit_folder_permissions(ends[0], folder)
    inherit_folder_permissions(ends[1], folder)
    for fd in (ends[1], folder):
        os.close(fd)


class PermissionRecorder:
    """Records every change of permissions and every rename that makes a name visible, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[str] = []
        for name in ("chmod", "fchmod", "lchmod", "chown", "fchown", "lchown", "setxattr"):
            if hasattr(os, name):
                monkeypatch.setattr(os, name, partial(self._change, name, getattr(os, name)))

    def _change(self, name: str, call: Callable[..., None], file: object, *arguments: object, **options: object) -> None:
        self.events.append(f"{name} by {'descriptor' if isinstance(file, int) else 'path'}")
        call(file, *arguments, **options)


class RecordingFilesystem(Filesystem):
    """A filesystem whose renames note the mode of the file at that moment."""

    def __init__(self, recorder: PermissionRecorder) -> None:
        self.recorder = recorder

    def rename_flagged(self, source: PathAt, target: PathAt) -> None:
        """Note the rename, and do it."""
        self._note(source, target)
        super().rename_flagged(source, target)

    def replace(self, source: PathAt, target: PathAt) -> None:
        """Note the rename, and do it."""
        self._note(source, target)
        super().replace(source, target)

    def _note(self, source: PathAt, target: PathAt) -> None:
        mode = stat.S_IMODE(os.stat(source.name, dir_fd=source.dir_fd).st_mode)
        self.recorder.events.append(f"rename to {target.name} with mode {mode:o}")


def _write(fs: Filesystem, path: Path) -> None:
    write_atomically(fs, path, b"new")


def _replace(fs: Filesystem, path: Path) -> None:
    path.write_bytes(b"old")
    write_atomically(fs, path, b"new", replace=True)


def _note(fs: Filesystem, path: Path) -> None:
    write_note(fs, RootFolder(path.parent), path.name, "It is broken.", "Send it again.")


def _preview(fs: Filesystem, path: Path) -> None:
    write_preview(fs, RootFolder(path.parent), path.with_suffix("").name + ".txt", b"new")


@pytest.mark.parametrize(
    ("publish", "name"),
    [(_write, "x.txt"), (_replace, "x.txt"), (_note, "x.problem.txt"), (_preview, "x.problem.jpg")],
    ids=["a new file", "a replacement", "a note", "a preview"],
)
def test_a_file_has_its_permissions_before_it_is_visible(
    publish: Callable[[Filesystem, Path], None], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Record the order: the mode is set through the descriptor, then comes the rename, and the published name is not changed."""
    tmp_path.chmod(0o2770)
    recorder = PermissionRecorder(monkeypatch)
    publish(RecordingFilesystem(recorder), tmp_path / name)
    assert "chmod by descriptor" in recorder.events
    assert recorder.events[-1] == f"rename to {name} with mode 660"
    assert not [event for event in recorder.events if event.endswith("by path")]
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o660


def test_shipped_files_are_found() -> None:
    """Find them in a checkout, where people edit them."""
    assert resource_path("config", "pipeline.toml").parent.name == "config"
    assert resource_path("samples").parent.name == "hotfolders"
    assert resource_path("config").parent == resource_path("systemd").parent


def test_names_are_compared_without_case_and_in_one_unicode_form() -> None:
    """Fold names to NFC and to one case; undecodable bytes survive."""
    assert fold_name("Grün.PNG") == fold_name("GRU\u0308N.png")
    assert fold_name("a\udcff") == "a\udcff"


@pytest.mark.parametrize(
    "name", [".x", "._hero.png", "~$a.doc", "a.part", "Thumbs.db", "x.tmp", "hero (conflicted copy).png", "a.sync-conflict-1.png"]
)
def test_temporary_files_are_ignored(name: str) -> None:
    """Check names that programs leave behind."""
    assert is_ignored_file(name)


def test_pictures_and_ordinary_folders_are_not_ignored() -> None:
    """Check a picture, an ordinary folder and a folder of a NAS."""
    assert not is_ignored_file("hero.png")
    assert is_ignored_folder("@eaDir")
    assert not is_ignored_folder("acme")


def test_a_signature_changes_with_the_file(tmp_path: Path) -> None:
    """Check that a rename keeps the signature's content part, and that a write changes it."""
    path = tmp_path / "x"
    path.write_bytes(b"1")
    first = FileSignature.from_stat(path.stat())
    path.rename(tmp_path / "y")
    assert FileSignature.from_stat((tmp_path / "y").stat()).same_content(first)
    (tmp_path / "y").write_bytes(b"22")
    assert not FileSignature.from_stat((tmp_path / "y").stat()).same_content(first)


def test_the_files_module_imports_no_picture_library() -> None:
    """Look for decoders among the module's names."""
    assert "goldsmith.files" in sys.modules
    assert not {"PIL", "cv2", "torch"} & set(vars(sys.modules["goldsmith.files"]))


JOINERS = "\u200c\u200d"
# Number marks of Arabic, Syriac and Kaithi: format characters that are seen.
VISIBLE_FORMAT_CHARACTERS = {*map(chr, range(0x600, 0x606)), *"\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"}
ANY_CHARACTER = st.characters(exclude_categories=())
# Letters, joiners, marks, emoji and what joins them, close together.
JOINED = st.sampled_from("aé\u06cc\u0645\u0915\u094d\u0937\U0001f469\U0001f3fd\ufe0f\u2764\u200c\u200d\u200b\u202e\U000e0041")


def is_hidden(character: str) -> bool:
    """Return whether Unicode says that the character is a control, a format character, half of a pair or a separator of lines."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in VISIBLE_FORMAT_CHARACTERS


def test_every_hidden_character_is_replaced() -> None:
    """This holds for all of Unicode, so a new version of Unicode that adds one is noticed."""
    everything = map(chr, range(sys.maxunicode + 1))
    assert [f"{ord(char):04X}" for char in everything if is_hidden(char) and display_name(f"a{char}b") != "a\ufffdb"] == []


@pytest.mark.parametrize(
    "hidden",
    [
        *("\x1b]0;t\x07", "\x9b31m", "\u061c", "\u200b", "\u200e", "\u202e", "\u2066", "\u2060", "\u2064", "\ufeff", "\xad"),
        *("\U000e0001", "\U000e0041", "\U000e007f", "\u3164", "\u180e", "\u2028", "\u034f", "\ufff9", "\udc80", "\r", "\t", "\n"),
    ],
)
def test_a_name_that_hides_something_shows_that_it_does(hidden: str) -> None:
    """There is a mark for each hidden character, so the two names below do not look alike."""
    displayed = display_name(f"hero{hidden}.png")
    assert "\ufffd" in displayed
    assert not any(map(is_hidden, displayed))
    assert display_name("hero.png") == "hero.png"


@pytest.mark.parametrize(
    "name",
    [
        *("hero.png", "Grüße 금.png", "한국어.png", "中文.png", "\u0623\u0647\u0644\u0627.png", "naïve ☃.png"),
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.png",  # Persian: "I want", with a non-joiner
        "\u0915\u094d\u200d\u0937.png",  # Hindi: half a letter
        "\U0001f469\u200d\U0001f3a8.png",  # an artist
        "\U0001f469\U0001f3fd\u200d\u2764\ufe0f\u200d\U0001f468\U0001f3fe.png",  # a couple with skin tones and a heart
        "\u2764\ufe0f.png",  # a heart with a variation selector
        "葛\U000e0100.png",  # a letter in one of its forms
    ],
)
def test_a_name_that_hides_nothing_is_shown_as_it_is(name: str) -> None:
    """Joiners stay where they change what is seen, and variation selectors stay everywhere."""
    assert display_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "he\u200cro",
        "he\u200dro",
        "\u200dhero",
        "hero\u200c",
        "ж\u200dж",
        "\u0645\u200c.png",
        "\U0001f469\u200c\U0001f3a8",
        "\U0001f469\u200d\ufffd",
    ],
)
def test_a_joiner_that_joins_nothing_is_replaced(name: str) -> None:
    """Between other letters, or at an end, it only makes two names look alike."""
    assert display_name(name) == name.replace("\u200c", "\ufffd").replace("\u200d", "\ufffd")


@given(st.text(ANY_CHARACTER) | st.text(JOINED))
def test_what_is_shown_has_no_hidden_character_but_joiners_in_their_place(name: str) -> None:
    """No character is lost, the result is shown as it is, and it is one line that every encoding of Unicode can hold."""
    displayed = display_name(name)
    assert len(displayed) == len(name)
    assert display_name(displayed) == displayed
    assert len(f"a{displayed}a".splitlines()) == 1
    displayed.encode()
    assert not any(is_hidden(char) for char in displayed if char not in JOINERS)
    for before, char, after in zip(displayed, displayed[1:], displayed[2:], strict=False):
        assert char not in JOINERS or not (before.isascii() or after.isascii())
    assert all(old == new for old, new in zip(name, displayed, strict=True) if new != "\ufffd")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_is_shown_as_it_is(name: str) -> None:
    """ASCII without control characters is never changed."""
    assert display_name(name) == name


@given(st.lists(st.text(ANY_CHARACTER)))
def test_a_text_keeps_its_lines(lines: list[str]) -> None:
    """Only LF is a line break; everything else is as in a name."""
    text = "\n".join(line.replace("\n", "") for line in lines)
    assert display_text(text).split("\n") == [display_name(line) for line in text.split("\n")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/var/lib/goldsmith/models/sdxl/unet/config.json: this is not JSON.", "config.json: this is not JSON."),
        ("Check /srv/hot folders/inbox/hero.png, please.", "Check inbox/hero.png, please."),
        ("The folder /srv/other/inbox/ is missing.", "The folder inbox is missing."),
        ("(see /opt/models/a.onnx)", "(see a.onnx)"),
        ("where = “/etc/x/passwd” is a path.", "where = “/etc/x/passwd” is a path."),
        ("library/looks/warm.cube is 16:9, 1/2 and and/or; https://example.org/a/b stays", None),
        ("~/goldsmith/models and ./config/models.toml stay", None),
    ],
)
def test_a_note_does_not_show_where_files_lie_on_the_server(text: str, expected: str | None) -> None:
    """Paths below the root stay, relative to it; of every other absolute path the file's name stays. What a person wrote stays."""
    assert hide_server_paths(text, "/srv/hot folders") == (text if expected is None else expected)


def test_a_librarys_message_hides_quoted_paths_too() -> None:
    """It quotes no words of the brief."""
    text = "[Errno 2] No such file or directory: '/usr/lib/python3/x.so'"
    assert hide_server_paths(text, is_echo=False) == "[Errno 2] No such file or directory: 'x.so'"


@given(st.lists(st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True), min_size=2, max_size=6))
def test_no_folder_of_a_path_is_left(parts: list[str]) -> None:
    """Its last part is all that remains, wherever it stands in the sentence."""
    path = "/" + "/".join(parts)
    for sentence in (f"{path}: is wrong", f"It is in {path}, says ({path})", path):
        assert "/" not in hide_server_paths(sentence)
