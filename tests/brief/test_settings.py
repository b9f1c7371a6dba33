"""Settings come from a file, the environment and flags; the configuration folder has a fixed search order."""

from __future__ import annotations

import ast
import errno
import inspect
import itertools
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from goldsmith.brief.cluster_settings import ClusterSettings, QueueSettings
from goldsmith.brief.parsing import ConfigError
from goldsmith.brief.settings import (
    CONFIG_FILES,
    ConfigDir,
    CredentialSettings,
    MetricsSettings,
    NotifyChannel,
    Settings,
    find_config,
    read_config,
    read_settings,
)
from goldsmith.brief.web_settings import WebSettings
from goldsmith.errors import HostError, UsageError
from goldsmith.files import resource_path

# Fields that are tables, which the shipped file shows at its end, with examples.
TABLES: dict[str, tuple[str, type[BaseModel]]] = {
    "credentials": ("[credentials]", CredentialSettings),
    "notify": ("[[notify]]", NotifyChannel),
    "metrics": ("[metrics]", MetricsSettings),
    "web": ("[web]", WebSettings),
    "cluster": ("[cluster]", ClusterSettings),
    "queues": ("[queues.gpu]", QueueSettings),
}
# Fields whose default depends on the machine: the shipped file shows an example.
MACHINE_SETTINGS = {"root", "state_dir", "models_dir", "cpu_workers", "threads", "worker_memory_mb"}
CREDENTIAL_FILES = ("certificate", "key", "trusted")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GOLDSMITH_")]:
        monkeypatch.delenv(name)


def shipped_text() -> str:
    return resource_path("config", "goldsmith.toml").read_text()


def shipped_settings() -> str:
    """Return the shipped file without its tables."""
    text = shipped_text()
    return text[: min(text.index(f"\n#{heading}\n") for heading, _ in TABLES.values())].rpartition("\n\n")[0] + "\n"


def field_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the string below each field of a model, which Python itself does not keep."""
    (body,) = [node.body for node in ast.parse(textwrap.dedent(inspect.getsource(model))).body if isinstance(node, ast.ClassDef)]
    docstrings = {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }
    assert list(docstrings) == list(model.model_fields)
    return docstrings


def test_the_shipped_file_sets_only_defaults() -> None:
    """Compare it with an empty file: all its lines are comments."""
    assert read_settings(shipped_text().encode(), "config/goldsmith.toml") == read_settings(b"", "config/goldsmith.toml")


def test_the_commented_values_are_the_defaults() -> None:
    """Remove every # and compare with the code."""
    shipped_values = tomllib.loads(re.sub(r"^#([a-z_]+ = )", r"\1", shipped_settings(), flags=re.MULTILINE))
    fields = {name: field for name, field in Settings.model_fields.items() if name not in TABLES}
    assert list(shipped_values) == list(fields)
    assert {name: value for name, value in shipped_values.items() if name not in MACHINE_SETTINGS} == {
        name: field.default.model_dump(exclude_defaults=True) if isinstance(field.default, BaseModel) else field.default
        for name, field in fields.items()
        if name not in {*MACHINE_SETTINGS, "credentials"}
    }
    assert read_settings(shipped_settings().replace("\n#", "\n").replace("\n ", "\n#").encode(), "f").quiet == 2.0


def test_the_shipped_file_explains_every_setting() -> None:
    """Compare its comments with the descriptions in the code."""
    descriptions = field_docstrings(Settings)
    lines = [(descriptions[name], f"{name} = ") for name in Settings.model_fields if name not in TABLES]
    for name, (heading, model) in TABLES.items():
        lines.append((descriptions[name], f"{heading}\n"))
        lines += [(description, f"{key} = ") for key, description in field_docstrings(model).items()]
    for description, line in lines:
        comment = "\n".join(f"# {line}" for line in textwrap.wrap(description, 118))
        assert f"\n{comment}\n#{line}" in shipped_text()


def test_the_commented_tables_are_valid_and_show_the_defaults() -> None:
    """Remove every # from them. Of `url` and `credential`, only one may be given."""
    tables = shipped_text().removeprefix(shipped_settings())
    uncommented = re.sub(r"^#(\[|[a-z_]+ = )", r"\1", tables, flags=re.MULTILINE)
    settings = read_settings(re.sub(r"^credential = .*", "", uncommented, flags=re.MULTILINE).encode(), "f")
    (channel,) = settings.notify
    assert channel == NotifyChannel(url=channel.url)
    assert settings.credentials.model_copy(update=dict.fromkeys(CREDENTIAL_FILES)) == CredentialSettings()
    assert settings.web == WebSettings()
    assert settings.cluster == ClusterSettings(address="auto", root_on_nodes=Path("/srv/hotfolders"))
    assert settings.queues == {"gpu": QueueSettings()}
    assert settings.metrics == MetricsSettings(token_file=Path("/etc/goldsmith/metrics-token"))
    assert read_settings(re.sub(r"^url = .*", "", uncommented, flags=re.MULTILINE).encode(), "f").notify[0].credential == "ntfy"


def test_flags_override_the_environment_which_overrides_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set values in all three places; a missing flag is None."""
    monkeypatch.setenv("GOLDSMITH_QUIET", "5")
    monkeypatch.setenv("GOLDSMITH_POLL", "4")
    settings = read_settings(b"quiet = 3\npoll = 3\ngather = 1", "goldsmith.toml", poll=6.0, sweep=None)
    assert (settings.quiet, settings.poll, settings.gather, settings.sweep) == (5.0, 6.0, 1.0, 600.0)


@pytest.mark.parametrize("value", ["auto", "cpu", '["cuda:1", "cuda:0"]'])
def test_devices_are_a_word_or_a_list(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Set devices in the file and in the environment."""
    toml_value = value if value.startswith("[") else f'"{value}"'
    expected = tomllib.loads(f"devices = {toml_value}")["devices"]
    expected = tuple(expected) if isinstance(expected, list) else expected
    assert read_settings(f"devices = {toml_value}".encode(), "goldsmith.toml").devices == expected
    monkeypatch.setenv("GOLDSMITH_DEVICES", value)
    assert read_settings(b"", "goldsmith.toml").devices == expected


@pytest.mark.parametrize(
    ("toml_value", "sentence"),
    [
        ('"gpu"', 'devices is "gpu", but must be "auto" or "cpu" or must be a list in [brackets].'),
        ('["cuda:0", "cpu"]', 'devices.2 is "cpu": it must be a GPU by its number, like cuda:0.'),
    ],
)
def test_an_invalid_device_is_refused(toml_value: str, sentence: str) -> None:
    """Check the message for a wrong word and a wrong list."""
    with pytest.raises(ConfigError) as caught:
        read_settings(f"devices = {toml_value}".encode(), "goldsmith.toml")
    assert [str(fault) for fault in caught.value.problems] == [sentence]


def test_every_problem_names_its_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write problems into the file, a variable and a flag."""
    monkeypatch.setenv("GOLDSMITH_GATHER", "soon")
    monkeypatch.setenv("GOLDSMITH_STATE_DIR", "state")
    with pytest.raises(ConfigError) as caught:
        read_settings(b'quiett = 1\nquiet = -3\nlog_format = "xml"', "config/goldsmith.toml", poll=0)
    assert sorted(map(str, caught.value.problems)) == [
        "--poll is 0, but must be at least 0.2.",
        'GOLDSMITH_GATHER is "soon", but must be a number from 0 to 86400.',
        'GOLDSMITH_STATE_DIR is "state": it must be an absolute path, starting with / or ~.',
        'log_format is "xml", but must be "auto", "json" or "console".',
        "quiet is -3, but must be at least 0.1.",
        "quiett is not a setting here; did you mean quiet?",
    ]
    assert caught.value.exit_code == 2


def test_settings_that_are_not_toml_are_refused() -> None:
    """Check that the message has the line and the column."""
    with pytest.raises(ConfigError, match=r"goldsmith\.toml: line 1: a text needs quotes"):
        read_settings(b"quiet = soon", "goldsmith.toml")


def test_defaults_that_depend_on_the_machine_are_reasonable() -> None:
    """Check the number of workers, threads and the memory."""
    settings = read_settings(b"", "goldsmith.toml")
    assert 1 <= settings.cpu_workers <= 4
    assert settings.threads >= 1
    assert settings.worker_memory_mb >= 2048


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expand a path as a shell does."""
    monkeypatch.setenv("HOME", "/home/mary")
    assert read_settings(b'root = "~/hotfolders"', "goldsmith.toml").root == Path("/home/mary/hotfolders")


def test_the_configuration_comes_from_flag_environment_or_root(tmp_path: Path) -> None:
    """Check the order, and that without any of them the shipped configuration is used."""
    flag_dir, environ_dir, root = tmp_path / "one", tmp_path / "two", tmp_path / "root"
    for folder in (flag_dir, environ_dir, root / "config"):
        folder.mkdir(parents=True, mode=0o755)
    environ = {"GOLDSMITH_CONFIG": str(environ_dir)}
    assert find_config(flag_dir, root, environ) == ConfigDir(flag_dir)
    assert find_config(None, root, environ) == ConfigDir(environ_dir)
    assert find_config(None, root, {}) == ConfigDir(root / "config")
    assert find_config(None, tmp_path, {}) == find_config(None, None, {}) == ConfigDir(None)


def test_a_missing_configuration_file_is_the_shipped_one(tmp_path: Path) -> None:
    """Ask for a file that the folder has and one that it lacks."""
    (tmp_path / "pipeline.toml").write_text("")
    assert ConfigDir(tmp_path).path_of("pipeline.toml") == tmp_path / "pipeline.toml"
    assert ConfigDir(tmp_path).path_of("models.toml") == resource_path("config", "models.toml")
    assert all(ConfigDir(None).path_of(name).is_file() for name in CONFIG_FILES)


def test_a_named_configuration_folder_must_exist(tmp_path: Path) -> None:
    """Pass a missing folder as the flag."""
    with pytest.raises(UsageError, match="does not exist"):
        find_config(tmp_path / "gone", None, {})


@pytest.mark.parametrize("writable_path", ["config", "config/pipeline.toml"])
@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_a_configuration_that_others_may_change_is_refused(tmp_path: Path, writable_path: str, mode: int) -> None:
    """Make the folder or a file of it writable for others."""
    (tmp_path / "config").mkdir(mode=0o755)
    (tmp_path / "config/pipeline.toml").write_text("")
    (tmp_path / "config/pipeline.toml").chmod(0o644)
    assert find_config(None, tmp_path, {}).folder == tmp_path / "config"
    (tmp_path / writable_path).chmod(mode)
    with pytest.raises(UsageError, match="can be changed by others") as caught:
        find_config(None, tmp_path, {})
    assert "--config" in caught.value.remedy
    assert find_config(tmp_path / "config", tmp_path, {}).folder == tmp_path / "config"


def test_a_configuration_on_the_share_must_not_be_a_link(tmp_path: Path) -> None:
    """Link config/ to another folder."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "config").symlink_to("elsewhere")
    with pytest.raises(UsageError, match="is a link"):
        find_config(None, tmp_path, {})


def test_a_configuration_file_is_read_within_limits(tmp_path: Path) -> None:
    """Read a file that is too large, a missing one, and a folder."""
    (tmp_path / "goldsmith.toml").write_bytes(b"#" * 300_000)
    with pytest.raises(ConfigError, match="has 292 KiB"):
        read_config(tmp_path / "goldsmith.toml")
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_config(tmp_path / "gone.toml")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_config(tmp_path)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_a_configuration_that_cannot_be_seen_is_not_replaced_by_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Raise HostError: with another pipeline, pictures would go other ways."""
    (tmp_path / "config").mkdir()
    config_folder = find_config(root=tmp_path, environ={})

    def refuse(path: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "lstat", refuse)
    with pytest.raises(HostError, match="config cannot be looked at"):
        find_config(root=tmp_path, environ={})
    with pytest.raises(HostError, match=r"pipeline\.toml cannot be looked at"):
        config_folder.path_of("pipeline.toml")


def test_a_configuration_on_a_failing_disk_is_a_fault_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start waits for it instead of ending with the exit code of a wrong configuration."""

    def refuse(path: Path, mode: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(HostError, match="cannot be read: Input/output error"):
        read_config(tmp_path / "pipeline.toml")


def test_reading_briefs_imports_no_picture_library() -> None:
    """Check the modules that are loaded after the import."""
    heavy = ["torch", "onnxruntime", "cv2", "imagecodecs", "PyOpenColorIO", "tifffile", "PIL", "sqlite3"]
    code = "import sys, goldsmith.brief.resolve, goldsmith.brief.settings\n"
    code += f"from goldsmith.ops import catalogue; catalogue(); print([n for n in {heavy!r} if n in sys.modules])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("table", "sentences"),
    [
        (
            '[[notify]]\nurl = "SECRET"',
            ['notify.1.url is "…": it has no ://, so it is no address of Apprise.'],
        ),
        (
            '[[notify]]\nurl = "json://SECRET"\ncredential = "x"',
            ["notify.1: url or credential must say where the notices go, and not both."],
        ),
        ('[[notify]]\non = ["review"]', ["notify.1: url or credential must say where the notices go, and not both."]),
        (
            '[[notify]]\ncredential = "../x"',
            ['notify.1.credential is "../x": it must be a name of letters, digits, dots, dashes and underscores.'],
        ),
        (
            '[[notify]]\nurl = "json://SECRET"\non = ["revue"]',
            ['notify.1.on.1 is "revue", but must be "review", "problem", "campaign done" or "machine"'],
        ),
        ('[[notify]]\nurl = "json://SECRET"\nto = "json://SECRET"', ["notify.1.to is not a setting here"]),
        ('[[notify]]\nurl = ["json://SECRET"]', ["notify.1.url is "]),
        ('notify = "json://SECRET"', ['notify is "…", but must be a list in [brackets]']),
        ('notify = ["json://SECRET"]', ['notify.1 is "…", but must be a table in { braces }']),
        ('notify = { url = "json://SECRET" }', ["notify is "]),
    ],
)
def test_a_fault_in_a_channel_is_told_without_its_address(table: str, sentences: list[str]) -> None:
    """The address may hold a password, and messages go into logs."""
    with pytest.raises(ConfigError) as caught:
        read_settings(table.encode(), "goldsmith.toml")
    assert [fault for fault, start in zip(map(str, caught.value.problems), sentences, strict=True) if not fault.startswith(start)] == []
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("address", ["localhost:9464", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", ":9464", "[::1:9464x"])
def test_an_address_to_listen_at_is_a_number(address: str) -> None:
    """A name could mean another address tomorrow."""
    with pytest.raises(ConfigError, match="it must be an IP address with a port"):
        read_settings(f'[metrics]\nlisten = "{address}"'.encode(), "goldsmith.toml")
    assert read_settings(b'[metrics]\nlisten = "[::1]:9464"', "goldsmith.toml").metrics.listen == "[::1]:9464"


def test_the_text_of_the_settings_has_no_address() -> None:
    """A traceback or a log may show it."""
    assert "SECRET" not in repr(read_settings(b'[[notify]]\nurl = "json://SECRET"', "goldsmith.toml"))


@pytest.mark.parametrize(
    "line",
    [
        "url = json://SECRET",
        'url = "json://SECRET',
        "url = “json://SECRET”",
        "url 'json://SECRET'",
        'url = "json://SECRET\\d"',
        'url = "json://SECRET"\nurl = "json://SECRET"',
        "url: json://SECRET",
        'url = "json://SECRET" x',
        'Url = "json://SECRET"',
        'url = "JSON://user:SECRET@host/?key=SECRET"\non = []',
    ],
)
def test_a_line_that_is_not_toml_is_quoted_without_its_address(line: str) -> None:
    """A person forgets a quote, and the log goes to another person."""
    with pytest.raises(ConfigError) as caught:
        read_settings(f"[[notify]]\n{line}".encode(), "goldsmith.toml")
    assert "SECRET" not in str(caught.value)


CLUSTER = '[cluster]\naddress = "auto"\n'


@pytest.mark.parametrize(
    ("address", "head"),
    [
        ("auto", None),
        ("10.0.0.5:6379", ("10.0.0.5", 6379)),
        ("gpu-1.studio.lan:6379", ("gpu-1.studio.lan", 6379)),
        ("ray://gpu1:10001", ("gpu1", 10001)),
        ("ray://[::1]:10001", ("::1", 10001)),
    ],
)
def test_a_cluster_has_an_address_that_ray_can_connect_to(address: str, head: tuple[str, int] | None) -> None:
    """Without an address there is no cluster."""
    cluster = read_settings(f'[cluster]\naddress = "{address}"'.encode(), "goldsmith.toml").cluster
    assert (cluster.address, cluster.head) == (address, head)
    assert read_settings(b"", "goldsmith.toml").cluster.address == ""


def test_a_queue_without_a_table_works_on_this_computer() -> None:
    """Give one of two queues to the cluster."""
    settings = read_settings(f'{CLUSTER}[queues.gpu]\nrunner = "ray"\nworkers = 4'.encode(), "goldsmith.toml")
    assert (settings.queue("gpu"), settings.queue("cpu")) == (QueueSettings(runner="ray", workers=4), QueueSettings())
    assert settings.queue("cpu").runner == "local"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            '[queues.gpu]\nrunner = "ray"',
            'queues.gpu.runner is "ray", but [cluster] has no address: set it to the head of your Ray cluster.',
        ),
        (
            f"{CLUSTER}[queues.cpu]\nworkers = 3",
            'queues.cpu.workers is 3, but the queue works on this computer: set runner = "ray", or use cpu_workers or devices.',
        ),
        (
            f'devices = ["cuda:1"]\n{CLUSTER}[queues.gpu]\nrunner = "ray"',
            'devices names GPUs of this computer, but the queue gpu works on the cluster: set "auto" or "cpu".',
        ),
        ('[queues.gpu]\nrunner = "rayy"', 'queues.gpu.runner is "rayy", but must be "local" or "ray": write runner = "ray".'),
        (f'{CLUSTER}[queues.gpu]\nrunner = "ray"\nworkers = 0', "queues.gpu.workers is 0, but must be at least 1."),
        (
            '[cluster]\naddress = "gpu1"',
            'cluster.address is "gpu1": it must be "auto", or the host and port of the head like 10.0.0.5:6379, with ray:// before it for '
            "Ray Client.",
        ),
        (
            '[cluster]\nroot_on_nodes = "~/hotfolders"',
            'cluster.root_on_nodes is "~/hotfolders": it must be an absolute path on the nodes, starting with /.',
        ),
        ("[cluster]\nmax_clock_difference_seconds = 0", "cluster.max_clock_difference_seconds is 0, but must be at least 0.1."),
    ],
)
def test_a_cluster_that_cannot_work_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    """Queues and the cluster must agree."""
    with pytest.raises(ConfigError) as caught:
        read_settings(text.encode(), "goldsmith.toml")
    assert [str(problem) for problem in caught.value.problems] == [sentence]


@pytest.mark.parametrize("address", ["me:SECRET@gpu1:6379", "ray://me:SECRET@gpu1:10001", "gpu1:6379?password=SECRET", "SECRET@gpu1"])
def test_an_address_with_a_password_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """It is written into the file, into the environment, in place of the table, and without quotes."""
    for text in (f'[cluster]\naddress = "{address}"', f'cluster = "{address}"', f"[cluster]\naddress = {address}"):
        with pytest.raises(ConfigError) as caught:
            read_settings(text.encode(), "goldsmith.toml")
        assert "SECRET" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"cluster\.address is .* it holds a password or options; .* RAY_AUTH_TOKEN_PATH"):
        read_settings(f'[cluster]\naddress = "{address}"'.encode(), "goldsmith.toml")
    monkeypatch.setenv("GOLDSMITH_CLUSTER", f'{{"address": "{address}"}}')
    with pytest.raises(ConfigError, match=r"GOLDSMITH_CLUSTER is .* it holds a password") as caught:
        read_settings(b"", "goldsmith.toml")
    assert "SECRET" not in str(caught.value)


def test_a_table_in_the_environment_is_json_and_replaces_only_what_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable says nothing; upper and lower case of a name do not matter; a flag wins over both."""
    monkeypatch.setenv("GOLDSMITH_METRICS", '{"listen": "127.0.0.1:9000"}')
    monkeypatch.setenv("GOLDSMITH_DEVICES", '["cuda:1"]')
    monkeypatch.setenv("GOLDSMITH_POLL", "")
    monkeypatch.setenv("goldsmith_quiet", "7")
    file = b'poll = 9\n[metrics]\nlisten = "127.0.0.1:1"\ntoken_file = "/etc/token"\n'
    settings = read_settings(file, "goldsmith.toml", breath=0.5)
    assert (settings.metrics.listen, str(settings.metrics.token_file)) == ("127.0.0.1:9000", "/etc/token")
    assert (settings.devices, settings.poll, settings.quiet, settings.breath) == (("cuda:1",), 9.0, 7.0, 0.5)


def test_a_table_in_the_environment_that_is_no_json_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable."""
    monkeypatch.setenv("GOLDSMITH_METRICS", "{listen}")
    with pytest.raises(ConfigError) as caught:
        read_settings(b"", "goldsmith.toml")
    assert "GOLDSMITH_METRICS" in str(caught.value)
