"""``goldsmith init`` creates the folders of a root and changes no existing file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith
from doubles.mounted import NTFS_FOR_EVERYBODY, mounted
from doubles.pretended_mounts import pretend
from goldsmith.brief.settings import find_config
from goldsmith.files import resource_path
from goldsmith.library.library import LIBRARY_FOLDERS
from goldsmith.pipeline.intake.file_names import classify


def test_the_folders_are_created_with_a_one_line_readme_each(goldsmith: Goldsmith, tmp_path: Path) -> None:
    """The output has the command that starts the daemon. The library's folders and .goldsmith/work exist too."""
    result = goldsmith("init", tmp_path / "new")
    assert result.code == 0
    assert f"goldsmith run --root {tmp_path}/new" in result.out
    for folder in ("inbox", "selected", "masked", "graded", "delivered", "library", "archive"):
        (readme,) = (tmp_path / "new" / folder).glob("README*")
        assert readme.read_text().count("\n") == 1
        assert classify(readme.name).role == "other"
    assert {path.name for path in (tmp_path / "new" / "library").iterdir() if path.is_dir()} == set(LIBRARY_FOLDERS)
    assert (tmp_path / "new" / ".goldsmith" / "work").is_dir()


def test_the_configuration_is_a_commented_copy_that_only_its_owner_can_change(goldsmith: Goldsmith, tmp_path: Path) -> None:
    """The copy passes the check that rejects files that others may write, even with a umask of 002."""
    before = os.umask(0o002)
    try:
        goldsmith("init", tmp_path / "new")
    finally:
        os.umask(before)
    assert find_config(None, tmp_path / "new", {}).folder == tmp_path / "new" / "config"
    for name in ("goldsmith.toml", "pipeline.toml", "models.toml"):
        file = tmp_path / "new" / "config" / name
        assert file.read_bytes() == resource_path("config", name).read_bytes()
        assert not file.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def test_nobody_but_the_owner_can_write_to_what_is_created(goldsmith: Goldsmith, tmp_path: Path) -> None:
    """This holds with a umask of 002 too, which many systems have. Whoever may write to the root can rename its folders."""
    before = os.umask(0o002)
    try:
        goldsmith("init", tmp_path / "new")
    finally:
        os.umask(before)
    created = [tmp_path / "new", *(tmp_path / "new").rglob("*")]
    assert [path for path in created if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)] == []


def test_existing_files_stay_unchanged(goldsmith: Goldsmith, root: Path) -> None:
    """Configuration, READMEs and pictures stay; missing files are created."""
    (root / "config" / "goldsmith.toml").write_text("quiet = 5.0\n")
    (root / "inbox" / "README.txt").write_text("Ours.\n")
    (root / "inbox" / "hero.png").write_bytes(b"x")
    (root / "delivered" / "README.txt").unlink()
    assert goldsmith("init", root).code == 0
    assert (root / "config" / "goldsmith.toml").read_text() == "quiet = 5.0\n"
    assert (root / "inbox" / "README.txt").read_text() == "Ours.\n"
    assert (root / "inbox" / "hero.png").read_bytes() == b"x"
    assert (root / "delivered" / "README.txt").exists()


def test_an_added_stage_gets_its_folder(goldsmith: Goldsmith, root: Path) -> None:
    """The next ``init`` creates a folder that exists only in pipeline.toml."""
    pipeline = root / "config" / "pipeline.toml"
    pipeline.write_text(pipeline.read_text() + '\n[[stage]]\nname = "proof"\nfolder = "delivered"\nnext = "proofed"\n')
    assert "proofed/" in goldsmith("init", root).out
    assert (root / "proofed" / "README.txt").exists()


@pytest.mark.parametrize("name", ["two words", "it's", "한국"])
def test_the_command_to_copy_is_quoted_for_any_name(goldsmith: Goldsmith, tmp_path: Path, name: str) -> None:
    """The shell reads the name as one argument."""
    import shlex

    result = goldsmith("init", tmp_path / name)
    line = result.out.splitlines()[-1].partition(": ")[2]
    assert shlex.split(line) == ["goldsmith", "run", "--root", str(tmp_path / name)]


def test_a_root_that_cannot_be_created_is_an_error(goldsmith: Goldsmith, tmp_path: Path) -> None:
    """A file of the same name gives exit code 4."""
    (tmp_path / "file").write_bytes(b"")
    result = goldsmith("init", tmp_path / "file")
    assert result.code == 4
    assert "cannot be created" in result.err


def test_a_readme_names_a_mask_only_where_a_mask_has_an_effect(goldsmith: Goldsmith, tmp_path: Path) -> None:
    """A mask alone moves nothing in masked/ and graded/."""
    goldsmith("init", tmp_path / "hot")
    texts = {path.parent.name: path.read_text() for path in (tmp_path / "hot").glob("*/README.txt")}
    assert {folder for folder, text in texts.items() if "or a mask (hero.mask.png)" in text} == {"inbox", "selected"}
    assert {folder for folder, text in texts.items() if "With a brief (hero.toml)" in text} == {"inbox", "selected", "masked", "graded"}


def test_a_root_inside_another_is_refused_and_nothing_is_created(goldsmith: Goldsmith, root: Path) -> None:
    """The exit code is 2."""
    result = goldsmith("init", root / "inbox" / "acme")
    assert result.code == 2
    assert f"{root}/inbox/acme lies in {root}/inbox, a folder of another root" in result.err
    assert not (root / "inbox" / "acme").exists()


def test_a_root_above_another_is_refused_and_nothing_is_created(goldsmith: Goldsmith, tmp_path: Path) -> None:
    """The exit code is 2."""
    assert goldsmith("init", tmp_path / "studio" / "inbox").code == 0
    result = goldsmith("init", tmp_path / "studio")
    assert result.code == 2
    assert f"{tmp_path}/studio/inbox is a root of its own" in result.err
    assert [path.name for path in (tmp_path / "studio").iterdir()] == ["inbox"]


def test_init_and_run_agree_about_a_disk_without_permissions(goldsmith: Goldsmith, tmp_path: Path) -> None:
    """Both refuse it with the same remedy, which works there: chmod would change nothing. Nothing of a root is left but an empty folder."""
    root = tmp_path / "disk" / "root"
    with mounted(NTFS_FOR_EVERYBODY, tmp_path / "mount", tmp_path / "disk"):
        created = goldsmith("init", root)
        assert (created.code, [path.name for path in root.iterdir()]) == (4, [".goldsmith"])
        (root / "config").mkdir()
        started = goldsmith("run", "-r", root)
        assert started.code == 2
    options = f"uid={os.geteuid()},gid={os.getegid()},umask=077"
    assert f"mount it with the options {options} " in created.err
    assert f"mount it with the options {options} " in started.err


def test_init_and_run_accept_a_disk_that_is_mounted_as_they_say(goldsmith: Goldsmith, tmp_path: Path) -> None:
    """The options of the remedy are those with which ``mounted`` mounts the disk."""
    with mounted("ntfs-3g", tmp_path / "mount", tmp_path / "disk"):
        assert goldsmith("init", tmp_path / "disk" / "root").code == 0
        assert goldsmith("run", "-r", tmp_path / "disk" / "root", "--until-idle").code == 0


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("ext4", "Run chmod go-w "),
        ("vfat", "Files have no permissions of their own on FAT (vfat): mount it with the options uid="),
        ("cifs", "on SMB (cifs): mount it with the options uid="),
        ("fuse.new", "as its owner; if that changes nothing, mount it with the options uid="),
    ],
)
def test_the_remedy_for_a_configuration_that_others_can_change_fits_the_disk(
    kind: str, remedy: str, goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """chmod is named where it can work."""
    (root / "config" / "pipeline.toml").chmod(0o666)
    pretend(monkeypatch, root, kind)
    result = goldsmith("run", "-r", root)
    assert result.code == 2
    assert remedy in result.err
    assert "or keep the configuration elsewhere" in result.err


def test_an_identity_that_signs_is_made_outside_the_share(goldsmith: Goldsmith, tmp_path: Path) -> None:
    """It is in the state directory. A second call changes nothing, and an empty name is refused."""
    assert f"Deliverables are signed with {tmp_path}/state/credentials/certificate.pem" in goldsmith("init", tmp_path / "new").out
    before = {path.name: path.read_bytes() for path in (tmp_path / "state" / "credentials").iterdir()}
    assert sorted(before) == ["certificate.pem", "key.pem", "root-key.pem", "root.pem"]
    goldsmith("init", tmp_path / "new", "--identity", "--studio", "Another")
    assert {path.name: path.read_bytes() for path in (tmp_path / "state" / "credentials").iterdir()} == before
    assert list((tmp_path / "new").rglob("*.pem")) == []
    assert goldsmith("init", tmp_path / "new", "--identity", "--studio", " ").code == 2
