"""What lies below the root is opened by ``root_folder`` and ``jobs/work_folder`` alone: every other use of a path has its reason here."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "daemon" / "goldsmith"
# The packages and modules that touch a root.
PLACES = ("cli", "jobs", "library", "pipeline", "worker", "service", "web")

# Functions that open, list or remove what a path names. Given a descriptor (``dir_fd``), ``os.open`` follows no path.
OS_FUNCTIONS = {"open", "scandir", "walk", "fwalk", "listdir", "makedirs", "removedirs"}
SHUTIL_FUNCTIONS = {"rmtree", "copy", "copy2", "copyfile", "copytree", "move"}
PATH_METHODS = {"read_bytes", "read_text", "write_bytes", "write_text", "open", "iterdir", "glob", "rglob"}
# Their own ``open`` is another one.
OTHER_RECEIVERS = {"fs", "_fs", "Filesystem", "Journal", "Image", "pikepdf"}

ALLOWED = {
    "cli/brief.py": "a person names the file, and reads it and writes beside it with that person's rights",
    "cli/check.py": "a person names the file, and reads it with that person's rights",
    "cli/demo.py": "makes a root of its own, which nobody shares",
    "cli/diagnostics.py": "reads /proc",
    "cli/dry_run.py": "reads the root's texts through the text files",
    "cli/environment_file.py": "reads the administrator's file in /etc",
    "cli/gpu_checks.py": "lists /dev",
    "cli/init.py": "makes the root and its config/, which belongs to the administrator",
    "cli/measured_models.py": "changes the administrator's models.toml",
    "cli/notice_checks.py": "looks at the mode of goldsmith.toml, which belongs to the administrator",
    "cli/report.py": "a person names the file, and reads and writes it with that person's rights",
    "cli/restore.py": "writes a manifest to a temporary folder outside the root",
    "cli/review_demo.py": "works in the root that the demo has made, which nobody shares",
    "cli/system_checks.py": "reads /proc",
    "jobs/folder_removal.py": "lists open folders",
    "jobs/worker_start.py": "reads /proc",
    "jobs/work_folder.py": "one of the two: it opens the root itself, and lists open folders",
    "library/library.py": "lists the fonts that ship with the program",
    "pipeline/commit/open_folders.py": "opens the root itself, and lists open folders",
    "pipeline/commit/root_lock.py": "reads /proc",
    "pipeline/monitoring/loop_probe.py": "opens the journal's folder, which is outside the root",
    "pipeline/notices/channels.py": "reads a credential of systemd",
    "pipeline/notices/sender.py": "writes to a temporary folder outside the root",
    "pipeline/notices/sender_launcher.py": "reads the answer of a message, which lies beside the journal",
    "pipeline/previews/preview_maker.py": "reads an open file",
    "pipeline/previews/preview_server.py": "removes the scratch folders of processes that have ended",
    "pipeline/replay/compare_operation.py": "reads the worker's private copy of a file",
    "pipeline/replay/comparison.py": "writes to a temporary folder outside the root; lists the folder of a manifest that a person names",
    "pipeline/replay/replay.py": "writes to a temporary folder outside the root",
    "pipeline/replay/sources.py": "writes to a temporary folder outside the root; reads a font that ships with the program",
    "pipeline/status/daemon_state.py": "reads the state file, which is outside the root",
    "pipeline/workers/memory_kills.py": "reads /proc and /sys",
    "pipeline/workers/process_folder.py": "makes .goldsmith/work for a replay; opens its own folder, and checks that it is its own",
    "pipeline/workers/worker_specs.py": "lists the folders of models, which belong to the administrator",
    "service/metrics_service.py": "reads the file of the token, which belongs to the administrator",
    "service/notify_service.py": "opens the lock beside the journal",
    "service/one_off.py": "makes the folder, outside the root, that a person names for the results of a replay",
    "service/signing.py": "reads the administrator's file of roots",
    "web/hands.py": "reads an open file",
    "worker/preview_process.py": "reads open files, and /proc",
    "web/previews/preview_cache.py": "keeps previews in a folder outside the root",
    "web/previews/preview_pool.py": "reads an open file",
    "web/painting/mask_jobs.py": "reads and removes what a worker process has written, in a temporary folder outside the root",
    "web/painting/mask_operation.py": "reads the worker's private copy of a file",
    "worker/fence.py": "opens the folders that the fence lets through; links to inputs are refused",
    "worker/main.py": "reads and writes /proc",
    "worker/scratch_folder.py": "writes its own scratch folder, behind the fence",
    "worker/trace.py": "reads /proc",
}


def _uses_path(call: ast.Call) -> bool:
    """Return whether a call opens, lists or removes what a path names."""
    if isinstance(call.func, ast.Name):
        return call.func.id in ("open", "open_input")
    if not isinstance(call.func, ast.Attribute):
        return False
    name, receiver = call.func.attr, _last_name(call.func.value)
    if receiver == "os":
        return name in OS_FUNCTIONS and "dir_fd" not in {keyword.arg for keyword in call.keywords}
    if receiver == "shutil":
        return name in SHUTIL_FUNCTIONS
    return name in PATH_METHODS and receiver not in OTHER_RECEIVERS


def _last_name(node: ast.expr) -> str:
    """Return ``c`` of ``a.b.c`` and of ``a.b.c()``."""
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _modules_that_use_paths() -> set[str]:
    modules = set()
    for place in PLACES:
        for path in (PACKAGE / place).rglob("*.py") if (PACKAGE / place).is_dir() else [PACKAGE / place]:
            if any(isinstance(node, ast.Call) and _uses_path(node) for node in ast.walk(ast.parse(path.read_text()))):
                modules.add(path.relative_to(PACKAGE).as_posix())
    return modules


def test_only_listed_modules_use_a_path() -> None:
    """A module that is missing here opens from the root (``RootFolder``, ``WorkFolder``), or gives its reason. No entry is left over."""
    assert _modules_that_use_paths() == set(ALLOWED)


def test_every_way_to_use_a_path_is_noticed() -> None:
    """The test above would also pass if it looked for nothing."""
    uses = (
        "open(p)",
        "open_input(p)",
        "os.open(p, 0)",
        "os.walk(p)",
        "p.read_bytes()",
        "Path(p).open()",
        "shutil.rmtree(p)",
        "(p / q).iterdir()",
    )
    others = ("os.open(n, 0, dir_fd=fd)", "self.fs.open(at)", "root.open_file(p)", "Journal.open(p)", "os.fdopen(fd)")
    calls = [next(node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)) for text in (*uses, *others)]
    assert [_uses_path(call) for call in calls] == [True] * len(uses) + [False] * len(others)
