"""Without Ray, Goldsmith finds the head of a cluster, asks it whether it wants a token, and sees where this computer listens."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from goldsmith.brief.cluster_settings import ClusterSettings
from goldsmith.cluster import head_probe
from goldsmith.cluster.head_probe import (
    ClusterHead,
    ClusterToken,
    ask_head,
    connection_fault,
    exposed_addresses,
    find_head,
    find_token,
    local_addresses,
    node_address_file,
    token_fault,
)

TITLE = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105 - of a pretended head


def table(path: Path, *rows: str) -> Path:
    """Write a file like /proc/net/tcp with the given local addresses and states."""
    path.write_text(TITLE + "".join(f"   {number}: {row} 00000000:00000000 00:00000000 00000000\n" for number, row in enumerate(rows)))
    return path


@pytest.mark.parametrize(
    ("address", "head", "text"),
    [
        ("10.0.0.5:6379", ClusterHead("10.0.0.5", 6379), "10.0.0.5:6379"),
        ("ray://gpu1:10001", ClusterHead("gpu1", 10001, is_client=True), "gpu1:10001"),
        ("[::1]:6379", ClusterHead("::1", 6379), "[::1]:6379"),
    ],
)
def test_the_head_is_where_the_settings_say(address: str, head: ClusterHead, text: str) -> None:
    """The environment has no say then."""
    result = find_head(ClusterSettings(address=address), {"RAY_ADDRESS": "10.9.9.9:1"})
    assert result == head
    assert str(result) == text


def test_auto_is_the_address_that_a_node_has_left_here(tmp_path: Path) -> None:
    """RAY_ADDRESS wins, as it does for Ray. What is no address counts as none."""
    environ, auto = {"RAY_TMPDIR": str(tmp_path)}, ClusterSettings(address="auto")
    assert find_head(auto, environ) is None
    (tmp_path / "ray").mkdir()
    assert node_address_file(environ) == tmp_path / "ray/ray_current_cluster"
    node_address_file(environ).write_text("10.0.0.5:6379\n")
    assert find_head(auto, environ) == ClusterHead("10.0.0.5", 6379)
    assert find_head(auto, {**environ, "RAY_ADDRESS": "ray://gpu1:10001"}) == ClusterHead("gpu1", 10001, is_client=True)
    node_address_file(environ).write_text("somewhere")
    assert find_head(auto, environ) is None


def test_a_connection_is_tried() -> None:
    """The port is closed after the first try."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert connection_fault("127.0.0.1", port) == ""
    assert connection_fault("127.0.0.1", port) == "Connection refused"


def test_a_head_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall may drop what arrives."""

    def wait(place: tuple[str, int], seconds: float) -> None:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", wait)
    assert connection_fault("10.0.0.5", 6379) == "no answer within 3 s"


def test_the_token_is_found_where_ray_finds_it(tmp_path: Path) -> None:
    """The variable wins over the named file, and that over the file in the home folder."""
    (tmp_path / ".ray").mkdir()
    own, named_file = tmp_path / ".ray/auth_token", tmp_path / "token"
    home = {"HOME": str(tmp_path)}
    assert find_token({}) is None
    assert find_token(home) is None
    own.write_text("own\n")
    own.chmod(0o600)
    named_file.write_text("named")
    named_file.chmod(0o644)
    assert find_token(home) == ClusterToken("own", str(own))
    with_path = {**home, "RAY_AUTH_TOKEN_PATH": str(named_file)}
    assert find_token(with_path) == ClusterToken("named", str(named_file), is_readable_by_others=True)
    assert find_token({**with_path, "RAY_AUTH_TOKEN": "direct"}) == ClusterToken("direct", "RAY_AUTH_TOKEN")
    assert find_token({**home, "RAY_AUTH_TOKEN_PATH": str(tmp_path / "gone")}) is None


def test_the_addresses_beyond_loopback_are_read_from_the_kernel(tmp_path: Path) -> None:
    """Rows of other states and other ports do not count. An IPv4 address can be in the table of IPv6."""
    tcp = table(tmp_path / "tcp", "0100007F:18EB 00000000:0000 0A", "0500000A:2049 00000000:0000 0A", "0500000A:18EB 00000000:0000 01")
    tcp6 = table(
        tmp_path / "tcp6",
        "00000000000000000000000000000000:18EB 00000000000000000000000000000000:0000 0A",
        "0000000000000000FFFF00000500000A:2711 00000000000000000000000000000000:0000 0A",
        "0000000000000000FFFF00000100007F:2711 00000000000000000000000000000000:0000 0A",
        "00000000000000000000000001000000:2712 00000000000000000000000000000000:0000 0A",
        "B80D01200000000000000000670000AB:2712 00000000000000000000000000000000:0000 0A",
    )
    assert exposed_addresses((6379, 8265, 10001, 10002), [tcp, tcp6]) == {
        8265: ("10.0.0.5",),
        6379: ("*",),
        10001: ("10.0.0.5",),
        10002: ("2001:db8::ab00:67",),
    }
    assert exposed_addresses((6379,), [tcp]) == {}
    assert exposed_addresses((6379,), [tcp, tmp_path / "gone"]) == {}
    with pytest.raises(FileNotFoundError):
        exposed_addresses((6379,), [tmp_path / "gone"])


def test_the_kernel_of_this_computer_is_understood() -> None:
    """A port on loopback is not exposed; one on all addresses is."""
    with socket.create_server(("127.0.0.1", 0)) as inner, socket.create_server(("0.0.0.0", 0)) as outer:  # noqa: S104 - for a moment
        ports = [server.getsockname()[1] for server in (inner, outer)]
        assert exposed_addresses(ports) == {ports[1]: ("*",)}


def test_only_addresses_of_this_computer_are_local() -> None:
    """A name can have several."""
    assert local_addresses("127.0.0.1") == ("127.0.0.1",)
    assert "127.0.0.1" in local_addresses("localhost")
    assert local_addresses("192.0.2.199") == ()
    assert local_addresses("nowhere.invalid") == ()


@pytest.mark.parametrize("is_client", [False, True])
def test_a_head_is_asked_whether_it_wants_a_token(is_client: bool) -> None:
    """A server answers as the head of Ray 2.60 does, with and without tokens."""
    grpc = pytest.importorskip("grpc", reason="grpcio comes with the extra ray")
    expected_token = ""
    method = "/ray.rpc.RayletDriver/ClusterInfo" if is_client else "/ray.rpc.NodeInfoGcsService/CheckAlive"

    def answer(request: bytes, context: object) -> bytes:
        header = dict(context.invocation_metadata()).get("authorization", "")  # type: ignore[attr-defined]
        if expected_token and header != f"Bearer {expected_token}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is missing or incorrect")  # type: ignore[attr-defined]
        if is_client:
            context.abort(grpc.StatusCode.NOT_FOUND, "Failed to serialize response!")  # type: ignore[attr-defined]
        return b""

    class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, call: object) -> object:
            return grpc.unary_unary_rpc_method_handler(answer) if call.method == method else None  # type: ignore[attr-defined]

    server = grpc.server(ThreadPoolExecutor(2), handlers=(Handlers(),))
    head = ClusterHead("127.0.0.1", server.add_insecure_port("127.0.0.1:0"), is_client)
    other_kind = ClusterHead(head.host, head.port, not is_client)
    server.start()
    try:
        assert (ask_head(head, seconds=60), ask_head(head, SECRET, seconds=60)) == ("taken", "taken")
        assert ask_head(other_kind, seconds=60) == "silent"
        expected_token = SECRET
        assert (ask_head(head, seconds=60), ask_head(head, "x", seconds=60), ask_head(head, SECRET, seconds=60)) == (
            "refused",
            "refused",
            "taken",
        )
    finally:
        server.stop(None)


def test_a_head_that_refuses_this_service_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is missing, and what to do: the mode, the file, or the right token."""
    monkeypatch.setattr(head_probe, "ask_head", lambda head, token="": "taken" if token == SECRET else "refused")
    head = ClusterHead("10.0.0.5", 10001, is_client=True)
    path = tmp_path / "ray-token"
    environ = {"RAY_AUTH_TOKEN_PATH": str(path)}
    demand = "The cluster's head at 10.0.0.5:10001 takes requests with its token only"
    assert token_fault(head, environ) == f"{demand}: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH for this service."
    environ["RAY_AUTH_MODE"] = "token"
    assert token_fault(head, environ) == f"{demand}, and this service can read none: name its file in RAY_AUTH_TOKEN_PATH."
    path.write_text("0" * 32)
    sentence = (
        f"The cluster's head at 10.0.0.5:10001 does not take the token of {path}. Copy the file with the token of the head's host here."
    )
    assert token_fault(head, environ) == sentence
    path.write_text(SECRET)
    assert token_fault(head, environ) == ""
    monkeypatch.setattr(head_probe, "ask_head", lambda head, token="": "silent")
    assert token_fault(head, environ) == ""
