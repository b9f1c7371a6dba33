"""The command line as a whole: help, exit codes, completion and start-up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from doubles.commandline import Goldsmith
from goldsmith.cli.app import build_app
from goldsmith.cli.replay import EXIT_DIFFERS
from goldsmith.errors import AlreadyRunningError, GoldsmithError, HostError, InputError, UsageError
from goldsmith.journal.journal import Journal

COMMANDS = [
    "init",
    "run",
    "status",
    "why",
    "check",
    "brief",
    "retry",
    "history",
    "inspect",
    "replay",
    "report",
    "restore",
    "verify",
    "prune",
    "web",
    "ops",
    "notify",
    "metrics",
    "doctor",
    "demo",
]
HEAVY = ["torch", "PIL", "cv2", "onnxruntime", "imagecodecs", "PyOpenColorIO", "tifffile", "transformers"]


def _program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    call = "import sys; sys.argv[0] = 'goldsmith'; from goldsmith.cli import main; main()"
    return subprocess.run([sys.executable, "-c", call, *arguments], capture_output=True, text=True, env=env, check=False)


@pytest.mark.parametrize("command", [*COMMANDS, "models list", "models fetch", "models verify"])
def test_every_command_has_help_with_an_example(goldsmith: Goldsmith, command: str) -> None:
    """--help describes the command and shows an example to copy."""
    result = goldsmith(*command.split(), "--help")
    assert result.code == 0
    assert f"Example: goldsmith {command}" in " ".join(result.out.split())


@pytest.mark.parametrize(
    "command",
    [
        *("run", "status", "why", "check", "brief", "retry", "history", "replay", "report", "restore", "verify", "prune", "ops", "doctor"),
        *("notify", "metrics"),
        *("models list", "models fetch"),
    ],
)
def test_every_command_takes_root_and_config_in_the_same_way(goldsmith: Goldsmith, command: str) -> None:
    """The options are -r, --root and -c, --config; GOLDSMITH_ROOT can replace the first."""
    result = goldsmith(*command.split(), "--help").out
    assert "-r, --root" in result
    assert "-c, --config" in result
    assert "GOLDSMITH_ROOT" in result


def test_the_help_lists_the_exit_codes_of_the_errors(goldsmith: Goldsmith) -> None:
    """The list in the help and the codes of the exceptions agree."""
    result = " ".join(goldsmith("--help").out.split())
    codes = {GoldsmithError: 1, UsageError: 2, InputError: 3, HostError: 4, AlreadyRunningError: 5}
    assert {kind: kind.exit_code for kind in codes} == codes
    assert all(f"{code} " in result.partition("Exit codes:")[2] for code in (*codes.values(), EXIT_DIFFERS))


def test_every_command_is_in_the_manual_with_the_exit_codes() -> None:
    """docs/commands.md has a heading for each command and a row for each exit code."""
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
    names = {command.name or command.callback.__name__ for command in build_app().registered_commands if command.callback} | {"models"}
    assert names == {*COMMANDS, "models"}
    assert [name for name in names if f"## {name}" not in page] == []
    assert [code for code in range(7) if f"| {code} |" not in page] == []


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("goldsmith st", "status"),
        ("goldsmith ops sh", "sharpen"),
        ("goldsmith models fetch mig", "migan"),
        ("goldsmith models v", "verify"),
    ],
)
def test_the_shell_completes_commands_operations_and_models(typed: str, expected: str, tmp_path: Path) -> None:
    """Tab completes the possible words in bash."""
    result = _program(_GOLDSMITH_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(typed.count(" ")))
    assert expected in result.stdout.split()


def test_completion_can_be_installed() -> None:
    """The options are --install-completion and --show-completion."""
    names = {name for parameter in typer.main.get_command(build_app()).params for name in parameter.opts}
    assert {"--install-completion", "--show-completion"} <= names


def test_help_imports_no_heavy_modules() -> None:
    """A command's modules are imported only when the command runs."""
    code = (
        "import sys; sys.argv = ['goldsmith', '--help']\nfrom goldsmith.cli import main\n"
        f"try: main()\nexcept SystemExit: pass\n"
        f"print('loaded', [name for name in {[*HEAVY, 'rich', 'numpy', 'pydantic', 'sqlite3']!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "loaded []"


@pytest.mark.parametrize("words", [("status",), ("why", "inbox/a.png"), ("history",), ("retry", "inbox/a.png"), ("check", "inbox/a.png")])
def test_read_only_commands_never_import_models_or_codecs(root: Path, journal: Journal, words: tuple[str, ...]) -> None:
    """Read-only commands respond at once because they import no torch, no codec and no picture library."""
    (root / "inbox" / "a.png").write_bytes(b"x")
    code = (
        f"import sys; sys.argv = ['goldsmith', *{words!r}, '--root', {str(root)!r}]\nfrom goldsmith.cli import main\n"
        f"try: main()\nexcept SystemExit: pass\nprint('loaded', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "loaded []"


def test_an_error_is_two_sentences_without_a_traceback(tmp_path: Path) -> None:
    """stderr has the problem and the remedy; the exit code is the error's."""
    result = _program("status", "--root", str(tmp_path / "nowhere"))
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [f"goldsmith: {tmp_path}/nowhere does not exist.", f"Run: goldsmith init {tmp_path}/nowhere"]


def test_names_that_a_terminal_cannot_show_do_not_break_the_output(root: Path, journal: Journal) -> None:
    """In a Latin-1 locale, a Korean name is shown with replacement characters."""
    (root / "inbox" / "한국.png").write_bytes(b"x")
    result = _program("status", "--root", str(root), PYTHONIOENCODING="latin-1")
    assert result.returncode == 0
    assert "inbox/??.png" in result.stdout


def test_the_version_is_printed(goldsmith: Goldsmith) -> None:
    """--version prints one line."""
    assert goldsmith("--version").out.startswith("goldsmith ")


def test_an_unexpected_operating_system_error_is_a_sentence(goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails during a command gives exit code 4 and no traceback."""

    def failing(*_: object) -> None:
        raise OSError(5, "Input/output error", "/mnt/share")

    monkeypatch.setattr("goldsmith.cli.overview.collect_overview", failing)
    result = goldsmith("status", "-r", root)
    assert (result.code, result.err.splitlines()[0]) == (4, "goldsmith: /mnt/share: Input/output error.")
