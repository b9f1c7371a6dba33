"""The command line uses the settings of the service, so that ``goldsmith status`` needs no variables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from doubles.commandline import Goldsmith
from goldsmith.cli import environment_file
from goldsmith.cli.environment_file import ENVIRONMENT_FILE, read_environment_file
from goldsmith.errors import UsageError
from goldsmith.journal.journal import Journal

UNITS = Path(__file__).parents[2] / "systemd"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield the file that the commands read. Their process keeps its variables, so they are put back for the tests that follow."""
    monkeypatch.setattr(environment_file, "ENVIRONMENT_FILE", tmp_path / "default")
    with mock.patch.dict(os.environ):
        yield tmp_path / "default"


def test_a_command_finds_the_service_by_the_file(
    goldsmith: Goldsmith, root: Path, journal: Journal, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root, journal and models are those of the service, whatever folder the command is called in."""
    monkeypatch.delenv("GOLDSMITH_STATE_DIR")
    file.write_text(f"# The service\nGOLDSMITH_ROOT={root}\nGOLDSMITH_STATE_DIR='{tmp_path / 'state'}'\n")
    result = goldsmith("status", "--json")
    assert result.code == 0, result.err
    assert f'"root": "{root}"' in result.out
    assert '"journal_error": ""' in result.out


def test_a_variable_that_is_set_wins_over_the_file(
    goldsmith: Goldsmith, root: Path, journal: Journal, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And an option wins over both."""
    file.write_text("GOLDSMITH_ROOT=/srv/nowhere\n")
    monkeypatch.setenv("GOLDSMITH_ROOT", str(root))
    assert f'"root": "{root}"' in goldsmith("status", "--json").out
    monkeypatch.setenv("GOLDSMITH_ROOT", "/srv/elsewhere")
    assert f'"root": "{root}"' in goldsmith("status", "--json", "--root", root).out


def test_the_lines_of_the_file_are_read_as_systemd_reads_them(file: Path) -> None:
    """With quotes, spaces and comments; variables of other programs are left out."""
    file.write_text("\n# a comment\n;another\n  GOLDSMITH_QUIET = 3\nPATH=/evil\n".replace(" = ", "="))
    with file.open("a") as stream:
        stream.write("GOLDSMITH_ROOT=\"/srv/hot folders\"\nCUDA_VISIBLE_DEVICES=0,1\nGOLDSMITH_LOG_LEVEL='debug'\nGOLDSMITH_POLL=\n")
    environment: dict[str, str] = {"GOLDSMITH_LOG_LEVEL": "error"}
    read_environment_file(file, environment)
    assert environment == {
        "GOLDSMITH_LOG_LEVEL": "error",
        "GOLDSMITH_QUIET": "3",
        "GOLDSMITH_ROOT": "/srv/hot folders",
        "CUDA_VISIBLE_DEVICES": "0,1",
        "GOLDSMITH_POLL": "",
    }


@pytest.mark.parametrize("line", ["GOLDSMITH_ROOT /srv/hotfolders", "GOLDSMITH_ROOT = /srv/hotfolders"])
def test_a_line_that_is_no_setting_is_refused_with_its_place(goldsmith: Goldsmith, file: Path, line: str) -> None:
    """systemd would skip it with a line in its own log, where nobody looks for it."""
    file.write_text(f"# The service\n{line}\n")
    result = goldsmith("ops")
    assert result.code == 2
    assert f"{file}, line 2: '{line}' is no setting." in result.err
    assert "Write NAME=value" in result.err
    with pytest.raises(UsageError):
        read_environment_file(file, {})


def test_a_file_that_cannot_be_read_is_told_and_the_command_goes_on(goldsmith: Goldsmith, file: Path) -> None:
    """A command that needs the service's settings then says what it lacks."""
    file.mkdir()
    result = goldsmith("ops")
    assert result.code == 0
    assert f"{file} cannot be read (Is a directory), so its settings do not apply here." in result.err


def test_the_demo_does_not_use_the_service_s_settings(goldsmith: Goldsmith, file: Path) -> None:
    """It keeps everything in a folder of its own. A broken file would stop every other command."""
    file.write_text("GOLDSMITH_ROOT\n")
    assert goldsmith("demo", "--help").code == 0
    assert goldsmith("ops").code == 2


def test_the_units_read_the_same_file() -> None:
    """A missing file is no error for systemd either."""
    for name in ("goldsmith.service", "goldsmith@.service", "goldsmith-verify.service"):
        assert f"\nEnvironmentFile=-{ENVIRONMENT_FILE}\n" in (UNITS / name).read_text()
    variables: dict[str, str] = {}
    read_environment_file(UNITS / "goldsmith.default", variables)
    assert variables == {
        "GOLDSMITH_ROOT": "/srv/hotfolders",
        "GOLDSMITH_CONFIG": "/etc/goldsmith",
        "GOLDSMITH_STATE_DIR": "/var/lib/goldsmith",
        "GOLDSMITH_MODELS_DIR": "/var/lib/goldsmith-models",
    }
