"""Whether a node may work: what it sees and what it is, compared with the daemon's computer. Each difference is one sentence."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

from goldsmith.cluster.node_canary import CanaryAnswer
from goldsmith.cluster.node_report import ModelReport, NodeReport, PathFault
from goldsmith.jobs.names import SCRATCH_FOLDER

_DENIED = frozenset({errno.EACCES, errno.EPERM})
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
# As many digits of a hash as people can compare.
_SHOWN_DIGITS = 12
_COPY_MODELS_FILE = "Copy this computer's models.toml there, and the pins beside it."


@dataclass(frozen=True, slots=True)
class NodeExchange:
    """What the daemon's computer knows of the exchange with a node.

    ``canary_text`` is what the daemon wrote, ``answer`` the node's file as it is seen here, ``asked_at`` and ``answered_at`` the daemon's
    clock (Unix seconds) before the request and after the report.
    """

    canary_text: str
    answer: CanaryAnswer
    asked_at: float
    answered_at: float


def compare(own: NodeReport, node: NodeReport, exchange: NodeExchange, max_clock_difference: float) -> tuple[str, ...]:
    """Return one sentence, with its remedy, for each difference for which the node must not work; () if there is none.

    ``own`` is the report of the daemon's computer, about the same models. ``max_clock_difference`` is in seconds.
    """
    return (
        *_root_differences(own, node, exchange),
        *_clock_differences(node, exchange, max_clock_difference),
        *_program_differences(own, node),
        *_model_differences(own, node),
    )


# ---------------------------------------------------------------------- the root


def _root_differences(own: NodeReport, node: NodeReport, exchange: NodeExchange) -> Iterator[str]:
    """Yield the first reason why the node and the daemon do not share the root; else each folder that the node cannot read."""
    reason = (
        _unseen_root(own, node)
        or _unread_canary(own, node, exchange.canary_text)
        or _unwritten_answer(own, node)
        or _unseen_answer(own, node, exchange.answer)
    )
    if reason:
        yield reason
        return
    for fault in node.unreadable_inputs:
        yield _unread_folder(own, node, fault)


def _unseen_root(own: NodeReport, node: NodeReport) -> str:
    fault = node.root_fault
    if fault is None:
        return ""
    if fault.errno in _DENIED:
        return _denied(own, node, fault)
    if fault.errno not in _ABSENT:
        return _failing(node, fault)
    return (
        f"The node {node.host} does not see the root {node.root}: {fault.reason}. Mount the share there at this path, or set root_on_nodes."
    )


def _unread_canary(own: NodeReport, node: NodeReport, text: str) -> str:
    fault = node.canary_fault
    if fault is not None and fault.errno in _DENIED:
        return _denied(own, node, fault)
    if fault is not None and fault.errno not in _ABSENT:
        return _failing(node, fault)
    if fault is not None or node.canary_text != text:
        return (
            f"The node {node.host} has another folder at {node.root} than {own.host} at {own.root}: it does not see what this daemon "
            "writes there. Mount the same share there, or set root_on_nodes."
        )
    return ""


def _unwritten_answer(own: NodeReport, node: NodeReport) -> str:
    fault = node.answer_fault
    if fault is None:
        return ""
    if fault.errno in _DENIED:
        return _denied(own, node, fault)
    folder = os.path.dirname(os.path.dirname(fault.path))
    return f"The node {node.host} cannot write to {folder}: {fault.reason}. Mount the share there so that it can be written."


def _unseen_answer(own: NodeReport, node: NodeReport, answer: CanaryAnswer) -> str:
    if answer.owner is not None and answer.owner != own.user_id:
        return (
            f"Files that the node {node.host} writes to {node.root} belong to the user with the id {answer.owner}, and this daemon works "
            f"as {own.user_id}. Start Ray there as the user with the id {own.user_id}, and let the share keep the ids of users."
        )
    if answer.fault or answer.text != node.answer_text:
        reason = answer.fault or "its content differs"
        return (
            f"The file that the node {node.host} has written to {node.root}/{SCRATCH_FOLDER} does not arrive here: {reason}. "
            "Mount the same share there, without a cache for what is written."
        )
    return ""


def _unread_folder(own: NodeReport, node: NodeReport, fault: PathFault) -> str:
    if fault.errno in _DENIED:
        return _denied(own, node, fault)
    if fault.errno not in _ABSENT:
        return _failing(node, fault)
    return f"The node {node.host} does not see the folder {fault.path}: {fault.reason}. Mount it there too, as on {own.host}."


def _denied(own: NodeReport, node: NodeReport, fault: PathFault) -> str:
    place = f"On the node {node.host}, the user with the id {node.user_id} may not use {fault.path}: {fault.reason}."
    if node.user_id != own.user_id:
        return f"{place} Start Ray there as the user with the id {own.user_id}, as whom this daemon works."
    return f"{place} It is the same user as here, so let the share keep the ids of users (NFS: no root_squash or all_squash for it)."


def _failing(node: NodeReport, fault: PathFault) -> str:
    return f"The node {node.host} cannot use {fault.path}: {fault.reason}. Check the mount there; mount the share again if it is stale."


# ---------------------------------------------------------------------- the clock


def _clock_differences(node: NodeReport, exchange: NodeExchange, limit: float) -> Iterator[str]:
    """Yield a sentence if the node's clock certainly differs more than ``limit`` seconds.

    The report began after the request and was complete before its answer was here, so the difference lies between the two bounds.
    """
    least, most = node.ended_at - exchange.answered_at, node.started_at - exchange.asked_at
    seconds, word = (least, "ahead of") if least > 0 else (-most, "behind")
    if seconds > limit:
        yield (
            f"The clock of the node {node.host} is at least {seconds:.1f} s {word} this computer's, and {limit:g} s are allowed. "
            "Let both follow a time server (timedatectl set-ntp true)."
        )


# ---------------------------------------------------------------------- the program


def _program_differences(own: NodeReport, node: NodeReport) -> Iterator[str]:
    """Yield a sentence for another Goldsmith, another Python, and each package of another version."""
    if (node.package_version, node.package_hash) != (own.package_version, own.package_hash):
        yield (
            f"The node {node.host} has another Goldsmith: {_package(node)}, and here it is {_package(own)}. "
            "Install the same version there, from the same files."
        )
    if _minor(node.python) != _minor(own.python):
        yield f"The node {node.host} has Python {node.python}, and here it is {own.python}. Use Python {_minor(own.python)} there."
    for name, version in own.packages.items():
        other = node.packages.get(name, "")
        if _without_build(version) != _without_build(other):
            remedy = f"Install {name} {_without_build(version)} there" if version else f"Remove {name} there"
            yield (
                f"The node {node.host} has {_installed(name, other)}, and here it is {version or 'not installed'}. "
                f"{remedy}: the results of jobs could differ."
            )


def _package(report: NodeReport) -> str:
    return f"{report.package_version} with the hash {report.package_hash[:_SHOWN_DIGITS]}"


def _minor(python: str) -> str:
    # Later digits are corrections, which change no pixel.
    return ".".join(python.split(".")[:2])


def _without_build(version: str) -> str:
    """Return a version without the build that follows a plus: torch 2.13.0+cu128 and 2.13.0+cpu are for different devices."""
    return version.partition("+")[0]


def _installed(name: str, version: str) -> str:
    return f"{name} {version}" if version else f"no {name}"


# ---------------------------------------------------------------------- models


def _models_here(own: NodeReport) -> Iterator[tuple[str, ModelReport]]:
    """Yield the models that this computer has: a job that names another one waits here, and reaches no node."""
    yield from ((name, model) for name, model in own.models.items() if not model.missing)


def _report_of(node: NodeReport, name: str) -> ModelReport:
    return node.models.get(name, ModelReport(missing="it was not asked for this model"))


def _model_differences(own: NodeReport, node: NodeReport) -> Iterator[str]:
    """Yield a sentence for each model of this computer that the node lacks or that differs there: any job of the queue may need it."""
    if node.models_fault and any(True for _ in _models_here(own)):
        yield f"The node {node.host} cannot use models.toml: {node.models_fault.rstrip('.')}. {_COPY_MODELS_FILE}"
        return
    for name, own_model in _models_here(own):
        node_model = _report_of(node, name)
        if node_model.missing:
            yield f"The node {node.host} lacks the model {name}: {node_model.missing}. Run there: goldsmith models fetch {name}"
            continue
        if node_model.entry != own_model.entry:
            yield (f"models.toml describes the model {name} otherwise on the node {node.host} than here. {_COPY_MODELS_FILE}")
        yield from _file_differences(node, name, own_model, node_model)


def _file_differences(node: NodeReport, name: str, own_model: ModelReport, node_model: ModelReport) -> Iterator[str]:
    """Yield a sentence about the first file that differs. Files that only one of them hashes are not needed by the other's pin."""
    shared = [file for file in own_model.hashes if file in node_model.hashes]
    if own_model.hashes and not shared:
        first = next(iter(own_model.hashes))
        yield f"The node {node.host} has other files of the model {name} than this computer, which has {first}. {_refetch(name)}"
    for file in shared:
        if own_model.hashes[file] != node_model.hashes[file]:
            yield (
                f"The weights of the model {name} differ on the node {node.host}: {file} has the sha256 "
                f"{node_model.hashes[file][:_SHOWN_DIGITS]} there and {own_model.hashes[file][:_SHOWN_DIGITS]} here. {_refetch(name)}"
            )
            return


def _refetch(name: str) -> str:
    return f"Find out with goldsmith models verify {name} which are right, and copy them."
