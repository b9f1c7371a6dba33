"""A node works only if it sees the daemon's root and is like the daemon's computer; each difference is one sentence with its remedy."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import pytest

from doubles.node_reports import node_report, other_packages
from goldsmith.cluster.node_canary import CanaryAnswer
from goldsmith.cluster.node_checks import NodeExchange, compare
from goldsmith.cluster.node_report import ModelReport, NodeReport, PathFault

OWN = node_report("atelier", started_at=0.0, ended_at=0.0)
EXCHANGE = NodeExchange("canary", CanaryAnswer("answer", 998), asked_at=999.0, answered_at=1001.5)
WORK = "/srv/hotfolders/.goldsmith/work/nodes-1"


def fault(path: str, number: int) -> PathFault:
    return PathFault(path=path, reason=os.strerror(number), errno=number)


def differences(node: NodeReport, exchange: NodeExchange = EXCHANGE, own: NodeReport = OWN) -> list[str]:
    return list(compare(own, node, exchange, 2.0))


def test_a_node_that_sees_and_is_the_same_may_work() -> None:
    """Corrections of Python and builds of torch for other devices do not matter."""
    assert differences(node_report("gpu2")) == []
    packages = other_packages(torch="1.2+cu128")
    assert differences(node_report("gpu2", python="3.11.2", packages=packages, user_id=0)) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"root_fault": fault("/srv/hotfolders", errno.ENOENT)},
            "The node gpu2 does not see the root /srv/hotfolders: No such file or directory. Mount the share there at this path, or set "
            "root_on_nodes.",
        ),
        (
            {"root_fault": fault("/srv/hotfolders", errno.ESTALE)},
            "The node gpu2 cannot use /srv/hotfolders: Stale file handle. Check the mount there; mount the share again if it is stale.",
        ),
        (
            {"root_fault": fault("/srv/hotfolders", errno.EACCES), "user_id": 1001},
            "On the node gpu2, the user with the id 1001 may not use /srv/hotfolders: Permission denied. Start Ray there as the user with "
            "the id 998, as whom this daemon works.",
        ),
        (
            {"canary_fault": fault(f"{WORK}/canary", errno.ENOENT), "canary_text": ""},
            "The node gpu2 has another folder at /srv/hotfolders than atelier at /srv/hotfolders: it does not see what this daemon writes "
            "there. Mount the same share there, or set root_on_nodes.",
        ),
        (
            {"canary_text": "another"},
            "The node gpu2 has another folder at /srv/hotfolders than atelier at /srv/hotfolders: it does not see what this daemon writes "
            "there. Mount the same share there, or set root_on_nodes.",
        ),
        (
            {"canary_fault": fault(f"{WORK}/canary", errno.EACCES), "canary_text": ""},
            f"On the node gpu2, the user with the id 998 may not use {WORK}/canary: Permission denied. It is the same user as here, so let "
            "the share keep the ids of users (NFS: no root_squash or all_squash for it).",
        ),
        (
            {"canary_fault": fault(f"{WORK}/canary", errno.EIO), "canary_text": ""},
            f"The node gpu2 cannot use {WORK}/canary: Input/output error. Check the mount there; mount the share again if it is stale.",
        ),
        (
            {"answer_fault": fault(f"{WORK}/answer-1", errno.EROFS)},
            "The node gpu2 cannot write to /srv/hotfolders/.goldsmith/work: Read-only file system. Mount the share there so that it can be "
            "written.",
        ),
        (
            {"answer_fault": fault(f"{WORK}/answer-1", errno.EACCES), "user_id": 5},
            f"On the node gpu2, the user with the id 5 may not use {WORK}/answer-1: Permission denied. Start Ray there as the user with "
            "the id 998, as whom this daemon works.",
        ),
        (
            {"unreadable_inputs": [fault("/srv/hotfolders/inbox", errno.ENOENT)]},
            "The node gpu2 does not see the folder /srv/hotfolders/inbox: No such file or directory. Mount it there too, as on atelier.",
        ),
        (
            {"unreadable_inputs": [fault("/srv/hotfolders/inbox", errno.EACCES)], "user_id": 5},
            "On the node gpu2, the user with the id 5 may not use /srv/hotfolders/inbox: Permission denied. Start Ray there as the user "
            "with the id 998, as whom this daemon works.",
        ),
    ],
)
def test_a_node_that_does_not_share_the_root_is_refused(changes: dict[str, object], sentence: str) -> None:
    """The sentence says where, what the system said, and what to do."""
    assert differences(node_report("gpu2", **changes)) == [sentence]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            CanaryAnswer("answer", 65534),
            "Files that the node gpu2 writes to /srv/hotfolders belong to the user with the id 65534, and this daemon works as 998. Start "
            "Ray there as the user with the id 998, and let the share keep the ids of users.",
        ),
        (
            CanaryAnswer(fault="No such file or directory"),
            "The file that the node gpu2 has written to /srv/hotfolders/.goldsmith/work does not arrive here: No such file or directory. "
            "Mount the same share there, without a cache for what is written.",
        ),
        (
            CanaryAnswer("another", 998),
            "The file that the node gpu2 has written to /srv/hotfolders/.goldsmith/work does not arrive here: its content differs. Mount "
            "the same share there, without a cache for what is written.",
        ),
    ],
)
def test_what_a_node_writes_must_arrive_as_the_daemon_s_own(answer: CanaryAnswer, sentence: str) -> None:
    """The daemon commits only files of its own user."""
    assert differences(node_report("gpu2"), replace(EXCHANGE, answer=answer)) == [sentence]


def test_several_differences_are_all_told_at_once() -> None:
    """A root that is not shared hides only what follows from it."""
    node = node_report("gpu2", root_fault=fault("/srv/hotfolders", errno.ENOENT), canary_text="", python="3.12.1", package_hash="ff" * 32)
    assert [sentence.split(".")[0] for sentence in differences(node)] == [
        "The node gpu2 does not see the root /srv/hotfolders: No such file or directory",
        "The node gpu2 has another Goldsmith: 1",
        "The node gpu2 has Python 3",
    ]


@pytest.mark.parametrize(("seconds", "word"), [(5.0, "ahead of"), (-5.0, "behind")])
def test_a_clock_that_differs_is_told_with_its_difference(seconds: float, word: str) -> None:
    """The request took up to 1 s, and the answer 0.5 s: only what is certain counts."""
    node = node_report("gpu2", started_at=1000.0 + seconds, ended_at=1001.0 + seconds)
    certain = seconds - 0.5 if seconds > 0 else -seconds - 1.0
    assert differences(node) == [
        f"The clock of the node gpu2 is at least {certain:.1f} s {word} this computer's, and 2 s are allowed. "
        "Let both follow a time server (timedatectl set-ntp true)."
    ]
    assert list(compare(OWN, node, EXCHANGE, 4.6)) == []


def test_a_slow_report_is_not_taken_for_a_wrong_clock() -> None:
    """Reading weights for ten minutes takes place between the two times of the node."""
    node = node_report("gpu2", started_at=1000.0, ended_at=1600.0)
    assert differences(node, replace(EXCHANGE, answered_at=1600.5)) == []
    assert differences(node, replace(EXCHANGE, answered_at=1590.0)) != []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"package_hash": "34cd" * 16},
            "The node gpu2 has another Goldsmith: 1.0.0 with the hash 34cd34cd34cd, and here it is 1.0.0 with the hash 12ab12ab12ab. "
            "Install the same version there, from the same files.",
        ),
        (
            {"package_version": "1.1.0"},
            "The node gpu2 has another Goldsmith: 1.1.0 with the hash 12ab12ab12ab, and here it is 1.0.0 with the hash 12ab12ab12ab. "
            "Install the same version there, from the same files.",
        ),
        ({"python": "3.12.1"}, "The node gpu2 has Python 3.12.1, and here it is 3.11.7. Use Python 3.11 there."),
        (
            {"packages": other_packages(Pillow="1.3")},
            "The node gpu2 has Pillow 1.3, and here it is 1.2. Install Pillow 1.2 there: the results of jobs could differ.",
        ),
        (
            {"packages": other_packages(torch="")},
            "The node gpu2 has no torch, and here it is 1.2. Install torch 1.2 there: the results of jobs could differ.",
        ),
    ],
)
def test_a_node_with_another_program_is_refused(changes: dict[str, object], sentence: str) -> None:
    """Its jobs could have other results."""
    assert differences(node_report("gpu2", **changes)) == [sentence]


def test_a_package_that_only_the_node_has_is_told() -> None:
    """An engine could work there and fail here."""
    own = node_report("atelier", packages=other_packages(PyPatchMatch=""))
    assert differences(node_report("gpu2"), own=own) == [
        "The node gpu2 has PyPatchMatch 1.2, and here it is not installed. Remove PyPatchMatch there: the results of jobs could differ."
    ]


@pytest.mark.parametrize(
    ("node_model", "sentence"),
    [
        (
            ModelReport(entry="entry", hashes={"flux.safetensors": "34cd" * 16}),
            "The weights of the model flux differ on the node gpu2: flux.safetensors has the sha256 34cd34cd34cd there and 12ab12ab12ab "
            "here. Find out with goldsmith models verify flux which are right, and copy them.",
        ),
        (
            ModelReport(entry="entry", hashes={"other.safetensors": "12ab" * 16}),
            "The node gpu2 has other files of the model flux than this computer, which has flux.safetensors. "
            "Find out with goldsmith models verify flux which are right, and copy them.",
        ),
        (
            ModelReport(entry="another", hashes={"flux.safetensors": "12ab" * 16}),
            "models.toml describes the model flux otherwise on the node gpu2 than here. Copy this computer's models.toml there, and the "
            "pins beside it.",
        ),
    ],
)
def test_a_node_with_another_model_of_that_name_is_refused(node_model: ModelReport, sentence: str) -> None:
    """A picture must not depend on the node that makes it."""
    assert differences(node_report("gpu2", models={"flux": node_model})) == [sentence]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"models": {"flux": ModelReport(missing="/m/flux.safetensors is not there")}}, "/m/flux.safetensors is not there"),
        ({"models": {}}, "it was not asked for this model"),
    ],
)
def test_a_node_that_lacks_a_model_is_refused(changes: dict[str, object], reason: str) -> None:
    """Any job of the queue may need it, and would fail there alone."""
    assert differences(node_report("gpu2", **changes)) == [
        f"The node gpu2 lacks the model flux: {reason}. Run there: goldsmith models fetch flux"
    ]


def test_a_node_without_models_toml_is_refused_in_one_sentence() -> None:
    """Not in one for each model."""
    models = {name: ModelReport(entry=name) for name in ("flux", "sdxl")}
    node = node_report("gpu2", models_fault="/etc/goldsmith/models.toml cannot be read: No such file or directory.", models={})
    assert compare(node_report("atelier", models=models), node, EXCHANGE, 2.0) == (
        "The node gpu2 cannot use models.toml: /etc/goldsmith/models.toml cannot be read: No such file or directory. "
        "Copy this computer's models.toml there, and the pins beside it.",
    )
    assert compare(node_report("atelier", models={}), node, EXCHANGE, 2.0) == ()


def test_a_model_that_is_missing_here_is_not_compared() -> None:
    """Its jobs wait here, and reach no node."""
    own = node_report("atelier", models={"flux": ModelReport(missing="it is not there")})
    assert compare(own, node_report("gpu2", models={}), EXCHANGE, 2.0) == ()
