"""The checks of ``goldsmith doctor`` for a cluster: whether its head answers, and who else may use it. Ray is not started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from goldsmith.brief.settings import Settings
from goldsmith.cli.findings import Finding, fault, note, ok
from goldsmith.cluster.head_probe import (
    HEAD_PORTS,
    ClusterHead,
    ask_head,
    connection_fault,
    exposed_addresses,
    find_head,
    find_token,
    local_addresses,
    node_address_file,
)
from goldsmith.cluster.ray_extra import INSTALL_COMMAND, NOT_INSTALLED, is_ray_installed

_SUBJECT = "cluster"
_USE_TOKENS = (
    "Use Ray's tokens: run ray get-auth-token --generate, copy ~/.ray/auth_token (mode 0600) to the user of Ray on every node and to this "
    "service's user, and set RAY_AUTH_MODE=token before each ray start."
)
_START_HEAD = "Start it there (ray start --head), or correct [cluster] address."


def check_cluster(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield whether the cluster of the settings can be used, and whether strangers can use it; nothing without a cluster."""
    if not settings.cluster.address:
        return
    queues = [name for name, queue in settings.queues.items() if queue.runner == "ray"]
    if not queues:
        yield note(_SUBJECT, "It has an address, and no queue uses it.", 'Set runner = "ray" in a table [queues.NAME].')
    if not is_ray_installed():
        yield fault(_SUBJECT, NOT_INSTALLED, INSTALL_COMMAND)
        return
    head = find_head(settings.cluster, environ)
    if head is None:
        sentence = f'[cluster] address is "auto", and no node of Ray has left its address in {node_address_file(environ)}.'
        yield fault(_SUBJECT, sentence, "Start a node here (ray start), or name the head's address.")
        return
    waiting = f" The jobs of {_listed('the queue', queues)} wait." if queues else ""
    reason = connection_fault(head.host, head.port)
    if reason:
        yield fault(_SUBJECT, f"The head {head} does not answer: {reason}.{waiting}", _START_HEAD)
        return
    yield from _check_tokens(head, environ)


def _listed(kind: str, names: Sequence[str]) -> str:
    return f"{kind} {names[0]}" if len(names) == 1 else f"{kind}s {', '.join(names)}"


def _check_tokens(head: ClusterHead, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield whether the head takes requests without a token, and if not, whether it takes this user's."""
    try:
        answer = ask_head(head)
        if answer == "taken":
            yield from _check_exposure(head)
        elif answer == "refused":
            yield from _check_own_token(head, environ)
        else:
            sentence = f"What answers at {head} is no head of Ray: it does not know Ray's requests."
            remedy = "Correct [cluster] address: 6379 is the port of HOST:PORT, 10001 that of ray://HOST:PORT."
            yield fault(_SUBJECT, sentence, remedy)
    except ImportError:
        sentence = f"{head} accepts connections. Whether it wants a token is not known, since the package grpcio is not installed."
        yield note(_SUBJECT, sentence, INSTALL_COMMAND)


def _check_own_token(head: ClusterHead, environ: Mapping[str, str]) -> Iterator[Finding]:
    token = find_token(environ)
    if token is None:
        sentence = f"The head {head} takes requests with its token only, and this user has none."
        yield fault(_SUBJECT, sentence, "Copy the file ~/.ray/auth_token of the head's user here, or name it in RAY_AUTH_TOKEN_PATH.")
        return
    if token.is_readable_by_others:
        yield note(_SUBJECT, f"Other users may read {token.place}, the token of the cluster.", f"Run: chmod 600 {token.place}")
    if ask_head(head, token.text) == "taken":
        yield ok(_SUBJECT, f"The head {head} answers. It takes requests with its token only, and takes that of {token.place}.")
    else:
        sentence = f"The head {head} does not take the token of {token.place}."
        yield fault(_SUBJECT, sentence, "Copy the file ~/.ray/auth_token of the head's user here.")


def _check_exposure(head: ClusterHead) -> Iterator[Finding]:
    """Yield that a head without tokens answers, and a note if others can reach it: whoever reaches it runs programs on every node."""
    ports = sorted({head.port, *HEAD_PORTS})
    own = local_addresses(head.host)
    if own:
        try:
            places = [_joined(address, port) for port, addresses in exposed_addresses(ports).items() for address in addresses]
        except OSError as error:
            sentence = f"The head {head} answers, and takes requests without a token. Where it listens is not known: {error.strerror}."
            yield note(_SUBJECT, sentence, _USE_TOKENS)
            return
    else:
        # This computer has just reached it over the network, so others can, too.
        places = [_joined(head.host, port) for port in ports if port == head.port or not connection_fault(head.host, port)]
    if not places:
        yield ok(_SUBJECT, f"The head {head} answers. It takes requests without a token, and listens on this computer's loopback only.")
        return
    sentence = (
        f"The head {head} answers, and takes requests without a token at {', '.join(places)}: whoever reaches it can run programs on every "
        "node and read the root. Whether a firewall keeps others out cannot be seen from here."
    )
    yield note(_SUBJECT, sentence, _USE_TOKENS)


def _joined(address: str, port: int) -> str:
    return str(ClusterHead(address, port))
