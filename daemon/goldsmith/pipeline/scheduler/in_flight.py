"""What is under work at the moment, and what is to be looked at again and when."""

from __future__ import annotations

import contextlib
import heapq
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from goldsmith.errors import MachineFault
from goldsmith.journal.journal import Journal
from goldsmith.pipeline.intake.bundle import Key
from goldsmith.pipeline.scheduler.work import Work

_LONGEST_GATHERING = 0.1
"""Seconds; where a commit takes longer than half of that, the disk is what everything waits for."""
_FIRST_GATHERING = 0.002
"""Seconds that the first commit is taken to cost at most; every further one at most twice the one before and this."""


class Heard(Protocol):
    """Told what happens, for people who watch: the log, the status line, a progress bar."""

    def __call__(self, event: str, /, **facts: object) -> None: ...


class Slate:
    """Every asset under work, by its bundle's key and by its job's id; and the keys that come up again by themselves."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._work: dict[Key, Work] = {}
        self._jobs: dict[str, Key] = {}
        self._later: list[tuple[float, Key]] = []
        self._again: dict[Key, None] = {}
        self.finished: dict[Key, None] = {}
        """Work that only waits for its commit, in the order in which it may be committed."""

    def __len__(self) -> int:
        return len(self._work)

    @property
    def clear(self) -> bool:
        """True when nothing is under work and nothing comes up by itself."""
        return not (self._work or self._again or self._later or self.finished)

    @property
    def pressing(self) -> bool:
        """True while something is to be looked at at once."""
        return bool(self._again)

    def work(self, key: Key) -> Work | None:
        return self._work.get(key)

    def of_job(self, job_id: str) -> Work | None:
        key = self._jobs.get(job_id)
        return None if key is None else self._work.get(key)

    def done(self) -> Iterator[Work]:
        """The work that has an outcome and waits for its end."""
        return (work for work in self._work.values() if work.outcome is not None)

    def add(self, work: Work) -> None:
        self._work[work.bundle.key] = work
        self._jobs[work.job.id] = work.bundle.key

    def forget(self, work: Work) -> None:
        """The work ended, one way or another: its scratch folder goes, and it no longer stands in any queue."""
        key = work.bundle.key
        self._work.pop(key, None)
        self.finished.pop(key, None)
        self._jobs.pop(work.job.id, None)
        if work.in_lane:
            with contextlib.suppress(MachineFault):  # only what `status` shows; what must be remembered fails at its own place
                self._journal.withdrawn(work.job.id)
        _clear(work.job.scratch)

    def again(self, keys: Iterable[Key]) -> None:
        """Look at these in the next turn."""
        self._again.update(dict.fromkeys(keys))

    def later(self, moment: float, key: Key) -> None:
        """Look at this one then, if nothing brings it up before."""
        heapq.heappush(self._later, (moment, key))

    def due(self, now: float) -> Iterator[Key]:
        """The keys whose moment has come, each once."""
        again, self._again = self._again, {}
        while self._later and self._later[0][0] <= now:
            again[heapq.heappop(self._later)[1]] = None
        return iter(again)

    def next_due(self) -> float | None:
        """When the next key comes up by itself."""
        return self._later[0][0] if self._later else None


def _clear(scratch: str) -> None:
    """What was made there has mostly been put down by now, or nothing was."""
    try:
        os.rmdir(scratch)
    except FileNotFoundError:
        return
    except OSError:
        shutil.rmtree(scratch, ignore_errors=True)


class Gathering:
    """When finished work is committed: alone at once; under load a little later, together with what is about to be finished.

    A commit costs a dozen fsyncs however many plans are in it. Waiting for as long as the last one took, twice over, lets batches
    grow under load and is not felt by an asset that comes alone.
    """

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._cost = 0.0
        self._since: float | None = None

    def wait(self, finished: int, more_in: Callable[[], float | None]) -> float:
        """Seconds for which so much finished work is better left; ``more_in``: seconds until there may be more, None = no more."""
        now = self._clock()
        if self._since is None:
            self._since = now
        left = self._since + min(_LONGEST_GATHERING, 2 * self._cost) - now
        if finished >= self._most or left <= 0:
            return 0.0
        more = more_in()
        return left if more is not None and more < left else 0.0

    def committed(self, began: float) -> None:
        """A commit that began then is over. One that the disk held up once is not yet what commits cost."""
        self._cost = min(self._clock() - began, 2 * self._cost + _FIRST_GATHERING)
        self._since = None


class Machine:
    """Whether the machine is well. While it is not, nothing is begun or committed and everything waits in place (law 5)."""

    def __init__(self, retry: float, clock: Callable[[], float], heard: Heard) -> None:
        self._retry = retry
        self._clock = clock
        self._heard = heard
        self.sentence = ""
        """Why everything waits; empty where all is well."""
        self.until = 0.0
        """When it is tried again."""

    @property
    def ill(self) -> bool:
        return bool(self.sentence)

    def pause(self, fault: Exception) -> None:
        """Something that is the machine's fault went wrong."""
        sentence = str(fault) if isinstance(fault, MachineFault) else f"The disk failed: {fault}."
        if sentence != self.sentence:
            self._heard("paused", sentence=sentence)
        self.sentence = sentence
        self.until = self._clock() + self._retry

    def well_again(self) -> None:
        """It is tried again; whoever fails pauses anew."""
        if self.sentence:
            self._heard("resumed", after=self.sentence)
        self.sentence = ""
