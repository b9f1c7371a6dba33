"""The foreman carries each asset from what lies in one folder to what lies in the next.

One loop, one thread. A turn hears what the lanes say, looks at what the intake nominates, begins work, and commits what is
finished, in batches. Nothing here waits, decodes or knows a stage or an operation by name.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from goldsmith.brief.pipeline import Line
from goldsmith.errors import MachineFault, Problem
from goldsmith.files import Sig
from goldsmith.jobs.job import Outcome, Read
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import Plan
from goldsmith.pipeline.commit.naming import in_archive
from goldsmith.pipeline.commit.plan_executor import Changed, Committed, Deliver, Halted, Result
from goldsmith.pipeline.commit.planner import Planner
from goldsmith.pipeline.intake.bundle import Bundle, Key
from goldsmith.pipeline.intake.intake import Intake
from goldsmith.pipeline.scheduler.holds import Holds
from goldsmith.pipeline.scheduler.in_flight import Gathering, Heard, Machine, Slate
from goldsmith.pipeline.scheduler.limits import Allowances
from goldsmith.pipeline.scheduler.readiness import Judge, Ready, Wait, Wrong
from goldsmith.pipeline.scheduler.results import Outcomes
from goldsmith.pipeline.scheduler.texts import Texts
from goldsmith.pipeline.scheduler.work import Work, inputs_of, job_of
from goldsmith.pipeline.workers.queues import Lanes

BATCH = 64
"""Plans that are committed together: one record, one fsync a folder, one tick."""


class Foreman:
    """Owns every asset under work between its folder and the next."""

    def __init__(
        self,
        root: Path,
        line: Line,
        *,
        slate: Slate,
        machine: Machine,
        intake: Intake,
        judge: Judge,
        texts: Texts,
        lanes: Lanes,
        outcomes: Outcomes,
        planner: Planner,
        deliver: Deliver,
        holds: Holds,
        journal: Journal,
        allowances: Allowances,
        clock: Callable[[], float],
        wall: Callable[[], float],
        heard: Heard,
    ) -> None:
        self._root = root
        self._line = line
        self._slate = slate
        self._machine = machine
        self._intake = intake
        self._judge = judge
        self._texts = texts
        self._lanes = lanes
        self._outcomes = outcomes
        self._planner = planner
        self._deliver = deliver
        self._holds = holds
        self._longing: dict[Key, None] = {}
        """Bundles that wait for something that the library may have one day, in the order of their waiting."""
        self._journal = journal
        self._allowances = allowances
        self._clock = clock
        self._wall = wall
        self._heard = heard
        self._draining = False
        self._gather = Gathering(BATCH, clock)

    # ------------------------------------------------------------------ the loop's view

    def turn(self) -> None:
        """One round of everything that can be done now."""
        now = self._clock()
        if self._machine.ill and now >= self._machine.until:
            self._try_again()
        try:
            with self._journal.batch():
                self._outcomes.hear(now)
                self._look(now)
            if not self._machine.ill and self._slate.finished and not self._gathering():
                self._commit()
        except MachineFault as fault:  # the disk under the journal
            self._machine.pause(fault)

    def wait(self) -> float | None:
        """Seconds until the next turn has something to do even if nothing is heard; None = until something is heard."""
        now = self._clock()
        if self._machine.ill:
            return max(0.05, self._machine.until - now)
        if self._slate.pressing:
            return 0.0
        due = [self._lanes.wait(now), self._next(now)]
        if self._slate.finished:
            due.append(self._gathering())
        known = [max(0.0, seconds) for seconds in due if seconds is not None]
        return min(known) if known else None

    def _next(self, now: float) -> float | None:
        """Seconds until files or waits come further by themselves."""
        moment = self._slate.next_due()
        intake = self._intake.wait(now)
        return intake if moment is None else min(intake, moment - now)

    def _gathering(self) -> float:
        """Seconds for which the commit of what is finished is better left, so that more goes into it."""
        return self._gather.wait(len(self._slate.finished), self._more_in)

    def _more_in(self) -> float | None:
        """Seconds until more work may be finished; None where none is under way."""
        if len(self._slate) == len(self._slate.finished):
            return None
        queued = any(self._lanes.waiting(stage.lane) for stage in self._line.stages)
        return 0.0 if queued else self._next(self._clock())

    @property
    def idle(self) -> bool:
        """True when nothing more will happen until somebody changes something."""
        return self._slate.clear and not self._intake.busy

    def may_finish(self, moment: float) -> bool:
        """True while something that was begun can be finished by then: a lane is at it, or its commit is due or going to be."""
        under_way = self._lanes.running() or self._slate.finished or self._outcomes.finishes_by(moment)
        return bool(under_way) and not self._machine.ill

    def drain(self) -> None:
        """Begin nothing more; what runs may finish and be committed."""
        self._draining = True
        self._lanes.drain()

    # ------------------------------------------------------------------ what the folders say

    def _look(self, now: float) -> None:
        keys = dict.fromkeys(self._slate.due(now))
        keys.update(dict.fromkeys(self._intake.drain(now)))
        if self._intake.library_changed:
            self._intake.library_changed = False
            keys.update(dict.fromkeys(self._held_keys()))
            keys.update(self._longing)
            self._longing.clear()
        waiting = list(keys)
        try:
            while waiting:
                self._consider(waiting[0], now)
                del waiting[0]
        finally:
            self._slate.again(waiting)  # a journal that failed over one of them

    def _held_keys(self) -> Iterator[Key]:
        """The bundles that are held: what the library lacked may be there now."""
        for picture in self._holds.mended_by_library():
            bundle = self._intake.bundle_of(picture)
            if bundle is not None:
                self._holds.forget(picture)
                yield bundle.key

    def _consider(self, key: Key, now: float) -> None:
        bundle = self._intake.bundle(key)
        work = self._slate.work(key)
        if work is not None:
            self._reconsider(work, bundle, now)
        elif bundle is None or not bundle.asset:
            self._holds.release_key(key)
        elif bundle.instructed:
            self._instructed(bundle, now)
        else:
            self._holds.release_bundle(bundle)

    def _instructed(self, bundle: Bundle, now: float) -> None:
        """Somebody asked for something. Begin as soon as all that is there looks complete."""
        paths = _parts(bundle)
        self._want(paths)
        states = {path: self._intake.state(path) for path in paths}
        if self._holds.standing(bundle, {path: state.sig for path, state in states.items() if state.sig is not None}):
            return  # before all is settled: a daemon that starts anew sees the files afresh, and they are the old ones
        sigs = self._startable(paths)
        if sigs is None:
            self._not_yet(bundle, paths)
            return
        if self._machine.ill or self._draining:
            self._slate.later(max(self._machine.until, now + 1.0), bundle.key)
            return
        gathered = self._outcomes.gathered_at(paths) if bundle.alone else 0.0
        if gathered > now:
            self._slate.later(gathered, bundle.key)  # its picture may be on the way
            return
        self._holds.release_bundle(bundle)
        verdict = self._judge.verdict(bundle)
        if isinstance(verdict, Wrong):
            self._outcomes.hold(bundle, sigs, verdict.problem, None)
        elif isinstance(verdict, Ready):
            self._begin(bundle, verdict, sigs, now)
        elif isinstance(verdict, Wait) and verdict.library:
            self._longing[bundle.key] = None

    def _not_yet(self, bundle: Bundle, paths: Iterable[str]) -> None:
        """Something is still arriving; or it is a link, a pipe or a device, which never will, and that is said once."""
        refusal = next((state.sentence for state in map(self._intake.state, paths) if state.kind == "refused" and state.sentence), "")
        if not refusal:
            self._holds.release_bundle(bundle)
        elif not self._holds.standing(bundle, {}):
            self._outcomes.hold(bundle, {}, Problem(f"{refusal}."), None)

    def _want(self, paths: Iterable[str]) -> None:
        """Follow these files; those that the daemon itself put down before it was restarted are known again."""
        for path in paths:
            if not self._intake.follows(path):
                placed = self._journal.placed(path)
                if placed is not None:
                    self._intake.known(path, placed.sig, placed.sha256)
        self._intake.want(paths)

    def _startable(self, paths: Iterable[str]) -> dict[str, Sig] | None:
        found: dict[str, Sig] = {}
        for path in paths:
            state = self._intake.state(path)
            if not state.startable or state.sig is None:
                return None
            found[path] = state.sig
        return found

    def _reconsider(self, work: Work, bundle: Bundle | None, now: float) -> None:
        """Something was heard of an asset under work: another file, other bytes, or just that it has been quiet long enough."""
        if bundle is None or _parts(bundle) != _parts(work.bundle):
            self._outcomes.withdraw(work)
            return
        for path, sig in work.sigs.items():
            state = self._intake.state(path)
            if state.sig is None or not state.sig.same_content(sig) or state.kind == "writing":
                self._outcomes.withdraw(work)
                return
        if work.outcome is not None:
            self._outcomes.settle(work, now)

    def _begin(self, bundle: Bundle, ready: Ready, sigs: dict[str, Sig], now: float) -> None:
        try:
            hashes = {path: self._texts.read(path).sha256 for path in (bundle.brief, bundle.prompt) if path is not None}
        except (OSError, Problem):  # gone again, or changed into something else: the intake hears of it
            self._slate.later(now + 1.0, bundle.key)
            return
        inputs = inputs_of(bundle, sigs, self._intake.sha)
        last = ready.stage.next == self._line.last
        job = job_of(secrets.token_hex(8), self._root, bundle, ready, inputs, self._allowances.base, last)
        job = self._allowances.granted(job, ready.steps)
        work = Work(bundle, ready, job, sigs, hashes, self._wall())
        self._slate.add(work)
        self._heard("started", picture=work.picture, stage=job.stage, steps=[step.op for step in job.steps])
        if not job.steps and all(each.sha256 for each in inputs):
            # Our own file, nothing to do to it: its hash is known and nobody has touched it since.
            self._outcomes.finish(work, _passed_on(work), now)
            return
        work.in_lane = True
        self._journal.queued(job.id, job.stage, job.lane, work.picture, work.started_at)
        self._lanes.submit(job)

    # ------------------------------------------------------------------ committing

    def _commit(self) -> None:
        began = self._clock()
        plans: list[Plan] = []
        for key in list(self._slate.finished)[:BATCH]:
            del self._slate.finished[key]
            work = self._slate.work(key)
            if work is None:
                continue
            try:
                plan = self._planner.plan(work)
            except (OSError, MachineFault) as error:
                self._slate.finished[key] = None
                self._machine.pause(error)
                break
            work.plan_id = plan.id
            plans.append(plan)
        self._planner.forget_promises()
        for result in self._deliver.commit(plans) if plans else ():
            self._told(result)
        self._gather.committed(began)

    def _try_again(self) -> None:
        """The machine may be well again: first what a failing disk left half done."""
        self._machine.well_again()
        for result in self._deliver.settle() if self._deliver.pending else ():
            self._told(result)

    def _told(self, result: Result) -> None:
        """What became of one plan, be it of this batch or one that a failing disk had left half done."""
        work = self._slate.of_job(result.plan.job_id)
        if work is None:
            return
        if isinstance(result, Committed):
            self._committed(work, result)
            return
        if isinstance(result, Halted):
            if not result.pending:
                # Everything lies as it lay; the finished work is kept, and put down when the machine is well again.
                work.plan_id = ""
                self._slate.finished[work.bundle.key] = None
            self._machine.pause(MachineFault(result.sentence, result.remedy))
            return
        work.plan_id = ""
        if isinstance(result, Changed):
            self._intake.touched(result.path)
            self._outcomes.withdraw(work)
        else:
            self._slate.forget(work)
            self._outcomes.hold(work.bundle, work.sigs, Problem(result.sentence, result.remedy), work)

    def _committed(self, work: Work, result: Committed) -> None:
        self._slate.forget(work)
        for path in work.bundle.files:
            self._intake.forget(path)
        for placed in result.placed:
            if self._line.of_folder(placed.path.partition("/")[0]) is not None:
                self._intake.known(placed.path, placed.sig, placed.sha256)
        seconds = result.plan.row.record["seconds"]
        self._heard("committed", picture=work.picture, stage=work.job.stage, results=_results(result.plan), seconds=seconds)


def _parts(bundle: Bundle) -> tuple[str, ...]:
    """Every file that takes part in the work on a bundle, the campaign's brief included."""
    return bundle.files if bundle.campaign_brief is None else (*bundle.files, bundle.campaign_brief)


def _results(plan: Plan) -> list[str]:
    """Where the results of a plan came to lie, without the archive."""
    goals = [*(take.to for take in plan.takes), *(put.to for put in plan.puts)]
    return [goal for goal in goals if not in_archive(goal)]


def _passed_on(work: Work) -> Outcome:
    """The outcome of a stage that does nothing to a file whose bytes are known."""
    reads = tuple(Read.model_construct(path=each.path, sig=each.sig, sha256=each.sha256) for each in work.job.inputs)
    return Outcome(job_id=work.job.id, reads=reads, unchanged=True)
