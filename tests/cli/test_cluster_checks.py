"""``goldsmith doctor`` says whether a cluster can be used, and warns if strangers can use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith
from goldsmith.brief.settings import read_settings
from goldsmith.cli import cluster_checks, diagnostics
from goldsmith.cli.findings import Finding

SECRET = "0123456789abcdef"  # noqa: S105 - of a pretended head
QUEUE = '[queues.gpu]\nrunner = "ray"\n'


class PretendedHead:
    """A head as the checks see it: whether it can be reached, whether it wants a token, and where its host listens."""

    def __init__(self) -> None:
        self.reason = ""
        self.wanted_token = ""
        self.is_ray = True
        self.has_grpc = True
        self.local: tuple[str, ...] = ()
        self.exposed: dict[int, tuple[str, ...]] = {}
        self.open_ports = {6379}
        self.table_error: OSError | None = None

    def connection_fault(self, host: str, port: int) -> str:
        return self.reason or ("" if port in self.open_ports else "Connection refused")

    def ask_head(self, head: object, token: str = "") -> str:
        if not self.has_grpc:
            raise ImportError("grpc")
        if not self.is_ray:
            return "silent"
        return "refused" if self.wanted_token and token != self.wanted_token else "taken"

    def exposed_addresses(self, ports: object) -> dict[int, tuple[str, ...]]:
        if self.table_error is not None:
            raise self.table_error
        return self.exposed


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> PretendedHead:
    """Return a head without tokens on another computer, with Ray installed here."""
    head = PretendedHead()
    monkeypatch.setattr(cluster_checks, "is_ray_installed", lambda: True)
    monkeypatch.setattr(cluster_checks, "connection_fault", head.connection_fault)
    monkeypatch.setattr(cluster_checks, "ask_head", head.ask_head)
    monkeypatch.setattr(cluster_checks, "local_addresses", lambda host: head.local)
    monkeypatch.setattr(cluster_checks, "exposed_addresses", head.exposed_addresses)
    return head


def findings(address: str = "10.0.0.5:6379", queue: str = QUEUE, **environ: str) -> list[Finding]:
    settings = read_settings(f'[cluster]\naddress = "{address}"\n{queue}'.encode(), "goldsmith.toml")
    return list(cluster_checks.check_cluster(settings, environ))


def finding(**environ: str) -> Finding:
    (only,) = findings(**environ)
    return only


def test_without_a_cluster_nothing_is_said() -> None:
    """Most installations have none."""
    assert list(cluster_checks.check_cluster(read_settings(b"", "goldsmith.toml"), {})) == []


def test_a_missing_extra_is_a_fault(head: PretendedHead, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is the command that installs it."""
    monkeypatch.setattr(cluster_checks, "is_ray_installed", lambda: False)
    assert finding() == ("fault", "cluster", "Ray, which runs jobs on the cluster, is not installed.", "pip install 'goldsmith[ray]'")


def test_a_cluster_that_no_queue_uses_is_noted(head: PretendedHead) -> None:
    """Somebody has forgotten the other table."""
    assert findings(queue="")[0][:3] == ("note", "cluster", "It has an address, and no queue uses it.")


def test_a_head_that_does_not_answer_is_a_fault(head: PretendedHead) -> None:
    """The sentence says what waits."""
    head.reason = "Connection refused"
    severity, _, sentence, remedy = finding()
    assert severity == "fault"
    assert sentence == "The head 10.0.0.5:6379 does not answer: Connection refused. The jobs of the queue gpu wait."
    assert "ray start --head" in remedy
    both = f'{QUEUE}[queues.cpu]\nrunner = "ray"\n'
    assert findings(queue=both)[0].sentence.endswith("The jobs of the queues gpu, cpu wait.")


def test_auto_without_a_node_here_is_a_fault(head: PretendedHead, tmp_path: Path) -> None:
    """The sentence names the file in which a node leaves the address."""
    (only,) = findings("auto", RAY_TMPDIR=str(tmp_path))
    assert only.severity == "fault"
    assert f"no node of Ray has left its address in {tmp_path}/ray/ray_current_cluster" in only.sentence


def test_a_head_elsewhere_without_tokens_is_a_warning(head: PretendedHead) -> None:
    """It was just reached over the network. Its other ports are tried."""
    head.open_ports = {6379, 8265}
    severity, _, sentence, remedy = finding()
    assert severity == "note"
    assert sentence == (
        "The head 10.0.0.5:6379 answers, and takes requests without a token at 10.0.0.5:6379, 10.0.0.5:8265: whoever reaches it can run "
        "programs on every node and read the root. Whether a firewall keeps others out cannot be seen from here."
    )
    assert "ray get-auth-token --generate" in remedy
    assert "RAY_AUTH_MODE=token" in remedy


def test_a_head_here_without_tokens_is_a_warning_if_it_listens_beyond_loopback(head: PretendedHead) -> None:
    """The kernel says where it listens."""
    head.local = ("10.0.0.5",)
    assert finding().severity == "ok"
    assert finding().sentence == (
        "The head 10.0.0.5:6379 answers. It takes requests without a token, and listens on this computer's loopback only."
    )
    head.exposed = {6379: ("*",), 10001: ("10.0.0.5", "fd00::5")}
    assert finding().severity == "note"
    assert "without a token at *:6379, 10.0.0.5:10001, [fd00::5]:10001: whoever" in finding().sentence
    head.table_error = PermissionError(13, "Permission denied")
    assert finding().severity == "note"
    assert finding().sentence.endswith("takes requests without a token. Where it listens is not known: Permission denied.")


def test_a_head_with_a_token_takes_that_of_this_user(head: PretendedHead, tmp_path: Path) -> None:
    """No token, a wrong one, one that others may read, and the right one."""
    head.wanted_token = SECRET
    assert finding().severity == "fault"
    assert finding().sentence == "The head 10.0.0.5:6379 takes requests with its token only, and this user has none."
    assert finding(RAY_AUTH_TOKEN=SECRET[:1]).sentence == "The head 10.0.0.5:6379 does not take the token of RAY_AUTH_TOKEN."
    right = finding(RAY_AUTH_TOKEN=SECRET)
    assert (right.severity, right.sentence) == (
        "ok",
        "The head 10.0.0.5:6379 answers. It takes requests with its token only, and takes that of RAY_AUTH_TOKEN.",
    )
    file = tmp_path / "token"
    file.write_text(SECRET)
    file.chmod(0o644)
    token_findings = findings(RAY_AUTH_TOKEN_PATH=str(file))
    assert [each.severity for each in token_findings] == ["note", "ok"]
    assert token_findings[0].remedy == f"Run: chmod 600 {file}"
    assert SECRET not in str(token_findings)


def test_what_cannot_be_known_is_said(head: PretendedHead) -> None:
    """Something else answers there; or the package that asks is missing."""
    head.is_ray = False
    assert finding().severity == "fault"
    assert "is no head of Ray" in finding().sentence
    head.has_grpc = False
    assert finding().severity == "note"
    assert "Whether it wants a token is not known, since the package grpcio is not installed." in finding().sentence


def test_doctor_checks_the_cluster_and_not_the_gpus_of_this_computer(
    goldsmith: Goldsmith, root: Path, head: PretendedHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue gpu works elsewhere."""
    monkeypatch.setattr(diagnostics, "check_gpu", lambda: pytest.fail("the GPUs of this computer were checked"))
    (root / "config/goldsmith.toml").write_text(f'[cluster]\naddress = "10.0.0.5:6379"\n{QUEUE}')
    head.reason = "No route to host"
    result = goldsmith("doctor", "-r", root, "--json")
    assert result.code == 4
    by_subject = {each["subject"]: each for each in json.loads(result.out)}
    assert by_subject["cluster"]["sentence"].startswith("The head 10.0.0.5:6379 does not answer: No route to host.")
    assert not [subject for subject in by_subject if subject.startswith("models on")]
