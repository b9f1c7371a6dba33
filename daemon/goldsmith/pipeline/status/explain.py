"""Explains why a file waits, from outside the daemon: from the folders, the journal and the daemon's state file.

The explanations change nothing, and they also work if no daemon runs.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from goldsmith.brief.pipeline import REVIEW_FOLDER, Pipeline
from goldsmith.errors import InputError, join_sentences
from goldsmith.files import (
    STATUS_FILE_NAME,
    FileSignature,
    display_name,
    fold_name,
    has_writer,
    is_conflict_copy,
    is_ignored_file,
    is_ignored_folder,
)
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import ActiveJob, HistoryRow, HoldRecord
from goldsmith.mounts import kind_of_device
from goldsmith.picture.formats.table import describe_suffix
from goldsmith.pipeline.intake.bundle import Bundle, group_bundles, join_returned
from goldsmith.pipeline.intake.bundle_index import UNCHECKED, FolderIndex
from goldsmith.pipeline.intake.file_names import CAMPAIGN_BRIEF, candidate_base, classify
from goldsmith.pipeline.intake.file_tracker import SettleTimes, refusal_reason
from goldsmith.pipeline.intake.near_misses import NameQuestion, ask_about_names, is_mask_folder, is_near_miss
from goldsmith.pipeline.intake.review_trays import join_left_behind
from goldsmith.pipeline.intake.scanner import too_deep_sentence
from goldsmith.pipeline.scheduler.problem_notes import note_path
from goldsmith.pipeline.status.daemon_state import DaemonState
from goldsmith.pipeline.status.sentences import (
    expired_lease_sentence,
    format_time,
    gave_way_sentence,
    ordinal,
    progress_note,
    queue_title,
    working_sentence,
)
from goldsmith.pipeline.turns import FolderTurns, TurnQueue
from goldsmith.root_folder import MAX_FOLDER_DEPTH, RootFolder

if TYPE_CHECKING:
    from goldsmith.pipeline.scheduler.readiness import Readiness

_SPECIAL_FOLDERS = {
    "archive": "This is the archive: Goldsmith keeps every original and input here, and does nothing more with them.",
    "library": "This is the library: briefs refer to these files, and Goldsmith does not change them.",
    ".goldsmith": "This is Goldsmith's own folder for work in progress: files that you put here are never processed.",
}

# How many jobs at work are named in a sentence.
_MAX_NAMED_JOBS = 3
BundleStatus = Literal["working", "queued", "held", "waiting"]


class Explanation(NamedTuple):
    """The status of a bundle, and the reason as a sentence."""

    status: BundleStatus
    sentence: str


@dataclass(frozen=True, slots=True)
class LiveRecords:
    """What the daemon itself knows: then the explanations read neither the holds and jobs in the journal nor whole folders."""

    holds: Mapping[str, HoldRecord]
    active_jobs: Sequence[ActiveJob]
    # Returns the names in a folder; None if there is no such folder.
    folder: Callable[[str], FolderIndex | None]


class Explainer:
    """Explains the files of one root, as of its construction. ``journal`` is None if it cannot be read.

    ``open_readiness`` is called for each bundle that neither a job nor a hold explains. What reads briefs is imported then.
    ``live``: what the daemon itself knows; None for other programs, which read it from the journal and the folders.
    """

    def __init__(
        self,
        root: Path,
        pipeline: Pipeline,
        open_readiness: Callable[[], Readiness],
        journal: Journal | None,
        daemon: DaemonState,
        settle_times: SettleTimes,
        wall_clock: Callable[[], float] = time.time,
        live: LiveRecords | None = None,
    ) -> None:
        self._root = RootFolder(root)
        self._pipeline = pipeline
        self._open_readiness = open_readiness
        self._journal = journal
        self._daemon = daemon
        self._settle_times = settle_times
        self._campaign_briefs: dict[str, str | None] = {}
        self._live = live
        self._questions: dict[str, dict[str, NameQuestion]] = {}
        self._folders: dict[str, FolderIndex | None] = {}
        # The bundles of review/ by what the names of a set have in common, once they are needed.
        self._in_review: dict[str, list[Bundle]] | None = None
        held_before = journal.all_holds() if journal is not None and live is None else ()
        self._holds: Mapping[str, HoldRecord] = {held.path: held for held in held_before} if live is None else live.holds
        self._active_jobs: dict[str, ActiveJob] = {}
        self._expired_jobs: dict[str, ActiveJob] = {}
        self._queue_orders: dict[str, dict[str, int]] = {}
        now = wall_clock()
        recorded = journal.active_jobs() if journal is not None and daemon.holder and live is None else ()
        for job in recorded if live is None else live.active_jobs:
            (self._expired_jobs if job.lease_expired(now) else self._active_jobs)[job.path] = job

    @property
    def active_jobs(self) -> list[ActiveJob]:
        """The queued and running jobs in the order in which they were queued, without those whose lease has expired."""
        return list(self._active_jobs.values())

    def _queue_position(self, job: ActiveJob) -> int:
        """Return the job's position in its queue, from 1."""
        if job.queue not in self._queue_orders:
            self._queue_orders[job.queue] = self._queue_order(job.queue)
        return self._queue_orders[job.queue][job.job_id]

    def _queue_order(self, queue: str) -> dict[str, int]:
        """Return the position of each waiting job by its id: first those in the daemon's own order, then the others in fair turns."""
        waiting = {job.job_id: job for job in self._active_jobs.values() if job.queue == queue and job.started_at is None}
        first = dict.fromkeys(self._daemon.queue_order.get(queue, ()))
        turns, others = FolderTurns(self._pipeline.watched_folders), TurnQueue[str, str]()
        for number, (job_id, job) in enumerate(waiting.items()):
            if job_id not in first:
                others.add(job_id, job_id, turns.of_folder(posixpath.dirname(job.path)), number)
        return {job_id: position for position, job_id in enumerate((*first, *others), 1)}

    # ------------------------------------------------------------------ one file

    def explain_file(self, path: str) -> str:
        """Return one plain sentence about the file at ``path`` (relative to the root)."""
        top = path.partition("/")[0]
        if top in _SPECIAL_FOLDERS:
            return _SPECIAL_FOLDERS[top]
        if top not in self._pipeline.shared_folders:
            folders = ", ".join(self._pipeline.shared_folders)
            return f"{display_name(path)} is in none of the pipeline's folders ({folders}), so nothing happens to it."
        try:
            status = self._root.lstat(path)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:  # a path that the kernel does not take leads below the folders that are searched
                return too_deep_sentence("/".join(path.split("/")[:2]))
            return self._explain_blocked_folder(path) or self._explain_missing(path)
        if stat.S_ISDIR(status.st_mode):
            return f"{display_name(path)} is a folder: name a picture in it instead."
        if top == self._pipeline.final_folder:
            return self._explain_delivered(path)
        if path.count("/") > MAX_FOLDER_DEPTH + 1:
            return too_deep_sentence("/".join(path.split("/")[:2]))
        name = posixpath.basename(path)
        if name.casefold() == STATUS_FILE_NAME:
            return f"Goldsmith writes “{display_name(name)}”: it says what is at work in this folder, what waits, and for what."
        refusal = refusal_reason(path, status.st_mode)
        if refusal is not None:
            return f"{refusal}."
        if is_conflict_copy(name):
            reason = "a synchronisation made this copy because two people changed the file. Rename it to use it."
            return f"“{display_name(name)}” is ignored: {reason}"
        if is_ignored_file(name) or any(map(is_ignored_folder, path.split("/")[:-1])):
            return f"“{display_name(name)}” is ignored: files and folders with such names are temporary files of other programs."
        return self._explain_by_role(path, name)

    def _explain_by_role(self, path: str, name: str) -> str:
        role = classify(name).role
        if role == "campaign":
            return "This is the campaign's brief: it applies to every picture in this folder and below that has no brief of its own."
        question = self.questions(posixpath.dirname(path)).get(name)
        if role in ("other", "litter"):
            return (
                question.sentence if question else f"“{display_name(name)}” is neither a picture nor a sidecar, so nothing happens to it."
            )
        blocked = self._explain_blocked_folder(path)
        if blocked:
            return blocked
        bundle = self.bundle_containing(path)
        if role == "foreign" and (bundle is None or bundle.picture != path):
            return question.sentence if question else self._explain_foreign(path, name)
        if bundle is None:
            return self._explain_ambiguous(path) or f"“{display_name(name)}” belongs to no picture in this folder."
        sentence = self.explain_bundle(bundle).sentence
        if path == bundle.picture:
            sentence = self._with_remarks(sentence, self._remarks(path))
        return f"{question.sentence} If not: {sentence}" if question else sentence

    def _remarks(self, path: str) -> list[str]:
        """Return the remarks about a picture that the daemon placed, from all stages before."""
        return self._journal.remarks(path) if self._journal is not None else []

    @staticmethod
    def _with_remarks(sentence: str, remarks: Sequence[str]) -> str:
        return f"{sentence} Remarks: {' '.join(remarks)}" if remarks else sentence

    def _explain_foreign(self, path: str, name: str) -> str:
        """Return the sentence about a file in a format that is not read, beside a picture that it could belong to."""
        unusable = self._explain_ambiguous(path)
        if unusable:
            return unusable
        folder_path = posixpath.dirname(path)
        bundles = self._group_files(folder_path, self._root.list_names(folder_path)[0])
        stem = fold_name(classify(name).stem)
        picture = next((bundle.picture for bundle in bundles if bundle.picture and fold_name(bundle.stem) == stem), "")
        used = f", and “{display_name(posixpath.basename(picture))}” is used instead" if picture else ""
        kind = describe_suffix(os.path.splitext(name)[1].lower())
        return f"“{display_name(name)}” is ignored: Goldsmith does not read {kind}{used}."

    def _explain_ambiguous(self, path: str) -> str:
        """Return the sentence about a sidecar that may belong to several pictures, or cannot be read; "" if it is none."""
        folder_path = posixpath.dirname(path)
        bundles = self._group_files(folder_path, self._root.list_names(folder_path)[0])
        return next((bundle.ambiguity for bundle in bundles if path in bundle.disputed), "")

    def _explain_blocked_folder(self, path: str) -> str:
        """Return why no file of a folder above ``path`` is processed: it is a link, a file, or cannot be read; "" if it can be."""
        folders = path.split("/")[:-1]
        for depth in range(1, len(folders) + 1):
            folder = "/".join(folders[:depth])
            try:
                mode = self._root.lstat(folder).st_mode
                if stat.S_ISLNK(mode):
                    return f"{display_name(folder)} is a link, and links are not followed: move the folder itself here."
                if not stat.S_ISDIR(mode):
                    return f"{display_name(folder)} is a file, not a folder."
                with self._root.opened_folder(folder):
                    pass
            except FileNotFoundError:
                return ""
            except OSError as error:
                reason = f"{display_name(folder)}/ cannot be read ({error.strerror})"
                return f"{reason}, so nothing happens to the files in it: let Goldsmith's user read it (chmod g+rx)."
        campaigns = ("/".join(folders[:depth]) for depth in range(2, len(folders) + 1))
        return next((self._daemon.unavailable_folders[each] for each in campaigns if each in self._daemon.unavailable_folders), "")

    def explain_bundle(self, bundle: Bundle, *, ask_about_mask: bool = True) -> Explanation:
        """Return the status of a picture with its sidecars, and the reason; with the question about a file that may be its mask."""
        active = self._active_jobs.get(bundle.asset)
        if active is not None:
            return self._explain_job(bundle, active)
        problem = self._hold_sentence(bundle)
        if problem:
            return Explanation("held", problem)
        if not bundle.has_instructions:
            return Explanation("waiting", self._explain_readiness(bundle, ask_about_mask=ask_about_mask)[1])
        pause_reason = self._daemon.unavailable_folders.get(bundle.folder) or self._daemon.pause_reason
        if pause_reason:
            return Explanation("waiting", f"Everything waits: {pause_reason}")
        expired = self._expired_jobs.get(bundle.asset)
        if expired is not None:
            return Explanation("waiting", expired_lease_sentence(expired, self._daemon.holder))
        incomplete = self._incomplete_reason(bundle)
        return Explanation("waiting", incomplete) if incomplete else self._explain_readiness(bundle)

    def _explain_job(self, bundle: Bundle, job: ActiveJob) -> Explanation:
        """Return the status of a queued or running job, and the reason. The results of a running job may have to wait for a folder."""
        pause_reason = self._daemon.pause_reason or self._daemon.queue_pauses.get(job.queue, "")
        if job.started_at is None:
            place = f"Waiting for {queue_title(job.queue, self._daemon)}, {ordinal(self._queue_position(job))} in the queue."
            sentence = f"Waiting: {pause_reason}" if pause_reason else place
            return Explanation("queued", " ".join(filter(None, (sentence, self._gave_way_sentence(job)))))
        obstacle = self._commit_obstacle(bundle)
        if obstacle:
            return Explanation("waiting", f"Its results wait: {obstacle}")
        return Explanation("working", working_sentence(job, progress_note(job, self._daemon)))

    def _gave_way_sentence(self, job: ActiveJob) -> str:
        """Return that a queued job has let others go first, and which are at work; "" if it has not."""
        part_count = self._daemon.gave_way.get(job.path, 0)
        if not part_count:
            return ""
        running = [each for each in self._active_jobs.values() if each.queue == job.queue and each.started_at is not None]
        return gave_way_sentence(part_count, [display_name(posixpath.basename(each.path)) for each in running[:_MAX_NAMED_JOBS]])

    def _commit_obstacle(self, bundle: Bundle) -> str:
        """Return why finished results cannot be put into the next folder now; "" if nothing is known to prevent it."""
        stage = self._pipeline.stage_of_folder(bundle.folder)
        for folder in filter(None, (bundle.folder, stage.next_folder)) if stage is not None else ():
            if folder in self._daemon.unavailable_folders:
                return self._daemon.unavailable_folders[folder]
            if not self._root.exists(folder):
                return f"{folder}/ is not there: is the share mounted?"
        return self._daemon.pause_reason

    def _hold_sentence(self, bundle: Bundle) -> str:
        """Return the problem that holds the bundle; "" if the bundle has no problem note."""
        hold = self._holds.get(bundle.asset or bundle.stem)
        if hold is not None and (not hold.note_path or self._root.exists(hold.note_path)):
            return join_sentences(hold.sentence, hold.remedy)
        if bundle.note is None or not bundle.asset or bundle.note != note_path(bundle.asset):
            return ""
        note = display_name(posixpath.basename(bundle.note))
        return f"“{note}” beside it says what is wrong. To try again, change a file or delete that note."

    def is_held_without_note(self, bundle: Bundle) -> bool:
        """Return whether the bundle is held and its folder took no note."""
        hold = self._holds.get(bundle.asset or bundle.stem)
        return hold is not None and not hold.note_path

    def _explain_readiness(self, bundle: Bundle, *, ask_about_mask: bool = True) -> Explanation:
        from goldsmith.pipeline.scheduler.readiness import Waiting
        from goldsmith.pipeline.stage_work import Ready

        try:
            result = self._open_readiness().check(bundle)
        except OSError as error:
            return Explanation("waiting", f"A file beside it cannot be read: {error.strerror}.")
        if isinstance(result, Waiting):
            return Explanation("waiting", f"{result.sentence} {self._mask_question(bundle) if ask_about_mask else ''}".rstrip())
        if isinstance(result, Ready):
            if self._daemon.holder:
                return Explanation("waiting", f"Everything is here: {result.stage.name} is next.")
            return Explanation("waiting", f"Everything is here: {result.stage.name} is next, as soon as Goldsmith runs.")
        return Explanation("held", str(result.problem))

    def _mask_question(self, bundle: Bundle) -> str:
        """Return the question about a file that may be meant as the mask of a waiting picture, or as the picture; "" if there is none."""
        if bundle.picture is None:
            questions = self.questions(posixpath.join(bundle.folder, bundle.campaign).rstrip("/")).values()
            return next((question.sentence for question in questions if _visible_stem(question.name) == fold_name(bundle.stem)), "")
        if "mask" in bundle.masks:
            return ""
        folder_path, name = posixpath.split(bundle.picture)
        questions = self.questions(folder_path).values()
        question = next((question.sentence for question in questions if question.picture == name), "")
        if question or not bundle.masks:
            return question
        label, paths = next(iter(bundle.masks.items()))
        mask = display_name(posixpath.basename(paths[0]))
        plain = display_name(f"{bundle.stem}.mask{os.path.splitext(paths[0])[1]}")
        return f"“{mask}” is the mask called “{display_name(label)}”: if no step asks for that name, call it “{plain}”."

    def questions(self, folder_path: str) -> dict[str, NameQuestion]:
        """Return the questions about names in a folder that may be meant as something else, by name."""
        known = self._questions.get(folder_path)
        if known is None:
            known = self._questions[folder_path] = {}
            folder = self._folder(folder_path) if self._may_have_questions(folder_path) else None
            if folder is not None and folder.near_misses:
                parent = self._folder(posixpath.dirname(folder_path)) if is_mask_folder(folder_path) else None
                known.update((question.name, question) for question in ask_about_names(folder, folder.near_misses, parent))
        return known

    def _may_have_questions(self, folder_path: str) -> bool:
        """Return whether it is worth while to index a folder's names."""
        if self._live is not None or is_mask_folder(folder_path):
            return True
        return any(map(is_near_miss, self._root.list_names(folder_path)[0]))

    def _folder(self, path: str) -> FolderIndex | None:
        if self._live is not None:
            return self._live.folder(path)
        if path not in self._folders:
            folder = self._folders[path] = FolderIndex(path)
            for name in self._root.list_names(path)[0]:
                folder.add(name, UNCHECKED)
        return self._folders[path]

    def _incomplete_reason(self, bundle: Bundle) -> str:
        """Return why a file of the bundle is not complete yet; "" if all are complete."""
        for path in bundle.files:
            name = display_name(posixpath.basename(path))
            try:
                descriptor = self._root.open_file(path)
            except InputError as problem:
                return problem.sentence
            except OSError as error:
                return f"“{name}” cannot be read: {error.strerror}."
            try:
                sentence = self._incomplete_file_reason(path, name, descriptor)
            finally:
                os.close(descriptor)
            if sentence:
                return sentence
        return ""

    def _incomplete_file_reason(self, path: str, name: str, fd: int) -> str:
        status = os.fstat(fd)
        if has_writer(fd):
            return f"“{name}” is still being written by another program."
        if status.st_size == 0:
            return f"“{name}” is still empty."
        weak = kind_of_device(status.st_dev).is_shared or path.partition("/")[0] in self._daemon.weak_quiet_folders
        quiet = self._settle_times.weak_quiet if weak else self._settle_times.quiet
        if 0 <= time.time() - status.st_ctime < quiet and not self._was_placed_by_daemon(path, FileSignature.from_stat(status)):
            return f"“{name}” has just arrived: it is processed after {quiet:g} seconds without a change."
        return ""

    def _was_placed_by_daemon(self, path: str, sig: FileSignature) -> bool:
        """Return whether the daemon itself wrote the file. Such a file is complete at once."""
        placed = self._journal.placed_file(path) if self._journal is not None else None
        return placed is not None and placed.sig.same_content(sig)

    def _explain_missing(self, path: str) -> str:
        row = self._journal.last_row_at(path) if self._journal is not None else None
        if row is None:
            return self._explain_used_sidecar(path) or f"{display_name(path)} does not exist, and Goldsmith never processed it."
        results = ", ".join(map(display_name, row.results)) or "nothing"
        sentence = f"{display_name(path)} was processed by {row.stage} ({format_time(row.taken_at)}). It became {results}."
        return self._with_remarks(sentence, row.remarks())

    def _explain_used_sidecar(self, path: str) -> str:
        """Return which job used a mask, brief or prompt that is gone, and where it is kept; "" if none did."""
        rows = self._journal.related_rows([path], with_problems=False) if self._journal is not None else ()
        uses = [row for row in rows if path in row.input_paths()]
        if not uses:
            return ""
        row = uses[-1]
        kept = row.archived_as(path)
        where = f" It is kept as {display_name(kept)}." if kept else " It went on with the picture." if row.outcome == "passed" else ""
        return f"{display_name(path)} was used by {row.stage} for {display_name(row.path)} ({format_time(row.taken_at)}).{where}"

    def _explain_delivered(self, path: str) -> str:
        first = self._first_history_row(path)
        if first is None:
            return f"{display_name(path)} is in the last folder: nothing more happens to it."
        origin = f"{display_name(first.path)} ({format_time(first.taken_at)})"
        sentence = f"{display_name(path)} is finished: it was made from {origin}, and nothing more happens to it."
        return self._with_remarks(sentence, self._remarks(path))

    def _first_history_row(self, path: str) -> HistoryRow | None:
        """Return the history row of the first input that the file was made from; None if the daemon did not write the file."""
        placed = self._journal.placed_file(path) if self._journal is not None else None
        chain = self._journal.lineage(placed.job_id) if self._journal is not None and placed is not None else []
        return chain[0] if chain else None

    # ------------------------------------------------------------------ reading the folders

    def bundle_containing(self, path: str) -> Bundle | None:
        """Return the bundle that the file or problem note at ``path`` belongs to."""
        folder_path = posixpath.dirname(path)
        bundles = self._group_files(folder_path, self._root.list_names(folder_path)[0])
        return next((bundle for bundle in bundles if path in bundle.files or path == bundle.note), None)

    def bundles(self, folder: str) -> Iterator[Bundle]:
        """Yield every bundle in a stage's folder and its campaign folders."""
        for folder_path, names in self._root.walk(folder):
            yield from self._group_files(folder_path, names)

    def _group_files(self, folder_path: str, names: Sequence[str]) -> list[Bundle]:
        folder, _, campaign = folder_path.partition("/")
        bundles = join_returned(group_bundles(folder, campaign, names, self._campaign_brief(folder_path)), self._is_placed)
        return [self._join_left_behind(bundle) for bundle in bundles] if folder == REVIEW_FOLDER else bundles

    def _is_placed(self, path: str) -> bool:
        """Return whether Goldsmith put the file there."""
        return self._journal is not None and self._journal.is_placed(path)

    def _join_left_behind(self, bundle: Bundle) -> Bundle:
        """Return a bundle of review/ with the files that its picture has left behind when it was dragged into a tray."""
        stem = fold_name(bundle.stem)
        if self._in_review is None:
            self._in_review = {}
            for path, names in self._root.walk(REVIEW_FOLDER):
                for each in group_bundles(*path.partition("/")[::2], names):
                    self._in_review.setdefault(candidate_base(fold_name(each.stem)), []).append(each)
        others = self._in_review.get(candidate_base(stem), [])
        return join_left_behind(bundle, others, self._pictures_beyond(stem, bundle.campaign) if bundle.is_lone_brief else ())

    def _pictures_beyond(self, stem: str, campaign: str) -> list[str]:
        """Return the paths of the pictures with this folded stem in the stages' folders, in this campaign or in none."""
        folders = [path for stage in self._pipeline.stages for path in (posixpath.join(stage.folder, campaign).rstrip("/"), stage.folder)]
        names = [(path, name) for path in dict.fromkeys(folders) for name in self._root.list_names(path)[0]]
        return [
            posixpath.join(path, name)
            for path, name in names
            if classify(name).role == "picture" and fold_name(classify(name).stem) == stem
        ]

    def _campaign_brief(self, folder_path: str) -> str | None:
        """Return the nearest brief.toml from ``folder_path`` up to the stage's folder."""
        while folder_path:
            if folder_path not in self._campaign_briefs:
                own = next((name for name in self._root.list_names(folder_path)[0] if name.casefold() == CAMPAIGN_BRIEF), None)
                self._campaign_briefs[folder_path] = posixpath.join(folder_path, own) if own is not None else None
            brief = self._campaign_briefs[folder_path]
            if brief is not None:
                return brief
            folder_path = posixpath.dirname(folder_path)
        return None


def _visible_stem(name: str) -> str:
    """Return the folded stem of a name without the characters at its end that make it ignored."""
    return fold_name(os.path.splitext(name.rstrip(" ."))[0])


def generalise_sentence(bundle: Bundle, sentence: str) -> str:
    """Return the first line of ``sentence`` with NAME for the picture's name, so that equal reasons of many pictures compare equal."""
    general = sentence.split("\n", 1)[0]
    for name in (posixpath.basename(bundle.asset), bundle.stem):
        if name:
            general = general.replace(f"“{display_name(name)}”", "“NAME”").replace(f"“{display_name(name)}.", "“NAME.")
            general = general.replace(f" {display_name(name)}.toml", " NAME.toml")
    return general
