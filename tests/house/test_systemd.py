"""The unit files, checked with systemd's own tools."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from doubles import unit_filters
from doubles.unit_filters import UNIT

TEMPLATE = UNIT.with_name("goldsmith@.service")
UNITS = sorted(path for path in UNIT.parent.iterdir() if path.suffix in (".service", ".timer"))
SERVICES = [path for path in UNITS if path.suffix == ".service" and path != TEMPLATE]

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """Return copies of all units except the template, with an existing program in ExecStart."""
    copies = []
    for path in UNITS:
        if path != TEMPLATE:
            copies.append(tmp_path / path.name)
            copies[-1].write_text(re.sub("/opt/goldsmith/bin/[a-z]+", "/bin/true", path.read_text()))
    return copies


@needs_systemd
def test_systemd_analyze_verify_finds_no_error(units: list[Path]) -> None:
    """Its output has no line about the units."""
    result = subprocess.run(["systemd-analyze", "verify", "--man=no", *map(str, units)], capture_output=True, text=True)
    assert (result.returncode, [line for line in result.stderr.splitlines() if "goldsmith" in line]) == (0, [])


@needs_systemd
@pytest.mark.parametrize("name", [path.name for path in SERVICES])
def test_the_exposure_is_below_two(units: list[Path], name: str) -> None:
    """``systemd-analyze security`` rates each service below 2.0."""
    unit = next(path for path in units if path.name == name)
    result = subprocess.run(["systemd-analyze", "security", "--offline=true", str(unit)], capture_output=True, text=True)
    rating = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
    assert rating is not None, result.stdout + result.stderr
    assert float(rating[1]) < 2.0


@needs_systemd
def test_the_system_calls_that_the_program_needs_are_allowed() -> None:
    """The change of a file's group, leases and renames for results; Landlock for the fence; page placement and affinity for torch."""
    needed = {
        *("fchown", "chown", "fchmod", "fsetxattr", "setxattr", "fcntl", "renameat2", "flock", "copy_file_range", "inotify_add_watch"),
        *("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "prctl", "pidfd_open", "pidfd_send_signal"),
        *("prlimit64", "setrlimit", "setpriority", "sched_setaffinity", "mbind", "get_mempolicy", "set_mempolicy", "memfd_create"),
        *("madvise", "mremap", "mlock", "ioctl", "socketpair", "sendmsg", "recvmsg", "clone", "clone3", "execve", "membarrier", "rseq"),
    }
    assert needed - unit_filters.allowed_calls(UNIT.read_text()) == set()


@needs_systemd
def test_the_system_calls_that_need_privileges_are_refused() -> None:
    """@chown is the only group of @privileged that is allowed again."""
    refused = {"setuid", "setresuid", "setgroups", "capset", "chroot", "mount", "bpf", "ptrace", "init_module", "kexec_load", "reboot"}
    assert refused & unit_filters.allowed_calls(UNIT.read_text()) == set()


def test_the_weights_are_outside_every_folder_of_the_service() -> None:
    """systemd gives these folders, and all that is in them, to the service's user, who could then replace the weights."""
    settings = _settings()
    (models,) = (word.partition("=")[2] for word in settings["Environment"] if word.startswith("GOLDSMITH_MODELS_DIR="))
    own = [f"/var/{kind}/{name}" for kind, key in (("lib", "StateDirectory"), ("cache", "CacheDirectory")) for name in settings[key]]
    assert len(own) == 2
    assert [folder for folder in (*own, *settings["ReadWritePaths"]) if Path(models).is_relative_to(folder)] == []
    assert f"-{models}" in settings["ReadOnlyPaths"]


def test_the_nvidia_modules_are_loaded_before_the_devices_are_admitted() -> None:
    """DeviceAllow with a pattern admits only what /proc/devices lists when the unit starts (systemd.resource-control(5))."""
    settings = _settings()
    assert "modprobe@nvidia_uvm.service" in settings["Wants"]
    assert {"modprobe@nvidia_uvm.service", "nvidia-persistenced.service"} <= set(settings["After"])
    assert settings["ExecStartPre"] == ["+-/usr/bin/nvidia-modprobe", "-c", "0", "-u"]


def _settings() -> dict[str, list[str]]:
    """Return the words of each setting, of all its lines together."""
    settings: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            settings.setdefault(key, []).extend(value.split())
    return settings


@needs_systemd
def test_an_instance_of_the_template_takes_its_root_from_its_name(tmp_path: Path) -> None:
    """`systemd-escape --path /srv/acme` gives the name; systemd finds no error in the unit."""
    name = subprocess.run(["systemd-escape", "--path", "/srv/acme folder"], capture_output=True, text=True, check=True).stdout.strip()
    instance = tmp_path / f"goldsmith@{name}.service"
    instance.write_text(TEMPLATE.read_text().replace("/opt/goldsmith/bin/goldsmith", "/bin/true"))
    result = subprocess.run(["systemd-analyze", "verify", "--man=no", str(instance)], capture_output=True, text=True)
    assert (result.returncode, [line for line in result.stderr.splitlines() if "goldsmith@" in line]) == (0, [])


def test_the_template_differs_from_the_unit_in_the_root_only() -> None:
    """A setting that is changed in one of them is changed in the other."""
    unit, template = ([line for line in path.read_text().splitlines() if line and not line.startswith("#")] for path in (UNIT, TEMPLATE))
    (description,) = (line for line in unit if line.startswith("Description="))
    expected = [f"{line}, in %f" if line == description else line.replace("/srv/hotfolders", "%f") for line in unit]
    assert template == expected
    assert "/srv/" not in TEMPLATE.read_text().replace("/srv/acme", "")


@pytest.mark.parametrize("file", UNITS, ids=[path.name for path in UNITS])
def test_every_setting_of_a_unit_has_a_comment(file: Path) -> None:
    """Each line is in a paragraph that begins with a comment, except for the names of the unit."""
    self_explanatory = {"Description", "Documentation", "WantedBy"}
    unexplained, explained = [], False
    for line in file.read_text().splitlines():
        if line.startswith("#"):
            explained = True
        elif not line or line.startswith("["):
            explained = False
        elif not explained and line.partition("=")[0] not in self_explanatory:
            unexplained.append(line)
    assert unexplained == []


def test_the_unit_allows_access_to_the_gpu() -> None:
    """It has no hardening option that hides or breaks a GPU."""
    settings = [line for line in UNIT.read_text().splitlines() if not line.startswith("#")]
    assert "DeviceAllow=char-nvidia* rwm" in settings
    assert not any(line.startswith(("PrivateDevices=yes", "MemoryDenyWriteExecute=yes", "ProcSubset=pid")) for line in settings)
