"""What can be learnt about the head of a Ray cluster without Ray: where it is, whether it answers, and whether it wants a token.

Ray's servers speak gRPC. A request without a token shows whether they run with tokens, whatever the environment of this process says.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from goldsmith.brief.cluster_settings import ClusterSettings, read_head

# Ray's defaults: the cluster's store, Ray Client, the dashboard.
HEAD_PORTS = {6379: "the head itself", 10001: "Ray Client", 8265: "the dashboard"}
CLIENT_SCHEME = "ray://"
# An empty request, which changes nothing, to the server of each kind of address.
_STORE_METHOD = "/ray.rpc.NodeInfoGcsService/CheckAlive"
_CLIENT_METHOD = "/ray.rpc.RayletDriver/ClusterInfo"
_CONNECT_SECONDS = 3.0
_ANSWER_SECONDS = 8.0
_LISTENING = "0A"
_MAX_TOKEN_BYTES = 4096
_PROC_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))

# "refused": it wants another token; "taken": it works without one, or with this one; "silent": no answer of a head of Ray.
TokenAnswer = Literal["refused", "taken", "silent"]


@dataclass(frozen=True, slots=True)
class ClusterHead:
    """Where the head is: its host and port, and whether the port is that of Ray Client."""

    host: str
    port: int
    is_client: bool = False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ClusterToken:
    """The token of this user, the place where it was found, and whether other users may read that."""

    text: str
    place: str
    is_readable_by_others: bool = False


def find_head(cluster: ClusterSettings, environ: Mapping[str, str] = os.environ) -> ClusterHead | None:
    """Return where the head is; None for "auto" if no node of Ray has left its address on this computer."""
    written = cluster.address if cluster.address != "auto" else environ.get("RAY_ADDRESS") or _read_node_address(environ)
    head = read_head(written)
    return None if head is None else ClusterHead(*head, is_client=written.startswith(CLIENT_SCHEME))


def node_address_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the file in which a node of Ray leaves the address of its head."""
    return Path(environ.get("RAY_TMPDIR") or "/tmp") / "ray" / "ray_current_cluster"  # noqa: S108 - Ray's own place


def _read_node_address(environ: Mapping[str, str]) -> str:
    try:
        with node_address_file(environ).open("rb") as file:
            return file.read(300).decode("ascii", "replace").strip()
    except OSError:
        return ""


def connection_fault(host: str, port: int, seconds: float = _CONNECT_SECONDS) -> str:
    """Return why no connection to a port comes about; "" if one does."""
    try:
        socket.create_connection((host, port), seconds).close()
    except TimeoutError:
        return f"no answer within {seconds:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def ask_head(head: ClusterHead, token: str = "", seconds: float = _ANSWER_SECONDS) -> TokenAnswer:
    """Return what the head answers to a request with this token, or without one. Raises ImportError without the package grpcio."""
    import grpc

    method = _CLIENT_METHOD if head.is_client else _STORE_METHOD
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(str(head), options=(("grpc.enable_http_proxy", 0),)) as channel:
        try:
            channel.unary_unary(method)(b"", timeout=seconds, metadata=metadata)
        except grpc.RpcError as error:
            # Ray Client finds an empty request unusable, once it has let it in.
            codes = {grpc.StatusCode.UNAUTHENTICATED: "refused", grpc.StatusCode.NOT_FOUND: "taken"}
            return codes.get(error.code(), "silent")  # type: ignore[return-value]
    return "taken"


def find_token(environ: Mapping[str, str] = os.environ) -> ClusterToken | None:
    """Return the token that Ray would use here, from where Ray looks for it; None if there is none or it cannot be read."""
    if environ.get("RAY_AUTH_TOKEN"):
        return ClusterToken(environ["RAY_AUTH_TOKEN"], "RAY_AUTH_TOKEN")
    named_path = environ.get("RAY_AUTH_TOKEN_PATH")
    if not named_path and not environ.get("HOME"):
        return None
    path = Path(named_path) if named_path else Path(environ["HOME"]) / ".ray" / "auth_token"
    try:
        with path.open("rb") as file:
            is_open = bool(os.fstat(file.fileno()).st_mode & (stat.S_IRGRP | stat.S_IROTH))
            text = file.read(_MAX_TOKEN_BYTES).decode("ascii", "replace").strip()
    except OSError:
        return None
    return ClusterToken(text, str(path), is_open) if text else None


def token_fault(head: ClusterHead, environ: Mapping[str, str] = os.environ) -> str:
    """Return why the head refuses a program with these variables, as a sentence with its remedy; "" if it does not, or does not answer.

    Ray itself waits half a minute for a head that refuses it, and then says that the time is over.
    """
    is_token_mode = environ.get("RAY_AUTH_MODE") == "token"
    token = find_token(environ) if is_token_mode else None
    try:
        if ask_head(head, "" if token is None else token.text) != "refused":
            return ""
    except ImportError:  # Ray says then that it needs the package
        return ""
    demand = f"The cluster's head at {head} takes requests with its token only"
    if not is_token_mode:
        return f"{demand}: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH for this service."
    if token is None:
        return f"{demand}, and this service can read none: name its file in RAY_AUTH_TOKEN_PATH."
    return f"The cluster's head at {head} does not take the token of {token.place}. Copy the file with the token of the head's host here."


def local_addresses(host: str) -> tuple[str, ...]:
    """Return the addresses of ``host`` that belong to this computer; () if it is another computer, or its name is unknown."""
    addresses = []
    with contextlib.suppress(OSError):
        for family, _, _, _, place in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
            # Only an own address can be bound. Nothing is sent.
            with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.bind(place)
                addresses.append(str(place[0]))
    return tuple(dict.fromkeys(addresses))


def exposed_addresses(ports: Iterable[int], tables: Iterable[Path] = _PROC_TABLES) -> dict[int, tuple[str, ...]]:
    """Return the addresses beyond loopback at which this computer listens, by port; "*" = all of them.

    ``tables`` are files like /proc/net/tcp. Raises OSError if none of them can be read.
    """
    ports = set(ports)
    addresses_by_port: dict[int, tuple[str, ...]] = {}
    for address, port in _listening_places(tables):
        if port in ports and not address.is_loopback:
            text = "*" if address.is_unspecified else str(address)
            addresses_by_port[port] = tuple(dict.fromkeys((*addresses_by_port.get(port, ()), text)))
    return addresses_by_port


def _listening_places(tables: Iterable[Path]) -> Iterator[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]]:
    texts, failure = [], None
    for table in tables:
        try:
            texts.append(table.read_text(encoding="ascii"))
        except OSError as error:  # without IPv6 there is no tcp6
            failure = error
    if not texts and failure is not None:
        raise failure
    for text in texts:
        for row in (line.split() for line in text.splitlines()[1:]):
            if len(row) > 3 and row[3] == _LISTENING and (match := re.fullmatch(r"([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})", row[1])):
                yield _parse_address(match[1]), int(match[2], 16)


def _parse_address(digits: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address of a row of /proc/net/tcp: words of four bytes in the order of this computer's processor (little-endian)."""
    data = b"".join(bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8))
    if len(data) == 4:
        return ipaddress.IPv4Address(data)
    address = ipaddress.IPv6Address(data)
    return address.ipv4_mapped or address
