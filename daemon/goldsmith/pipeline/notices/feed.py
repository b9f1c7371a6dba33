"""Finds out what there is to tell: from the journal, the folders and the daemon's state. Nothing is told twice, also after a restart."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from goldsmith.brief.pipeline import REVIEW_FOLDER, Pipeline
from goldsmith.errors import join_sentences
from goldsmith.files import fold_name
from goldsmith.journal.journal import Journal
from goldsmith.journal.notice_record import CampaignDelivery, Notice, NoticeRecord, Reading
from goldsmith.journal.records import HistoryRow, HoldRecord
from goldsmith.picture.formats.table import is_picture_suffix
from goldsmith.pipeline.intake.bundle import split_tray
from goldsmith.pipeline.intake.file_names import classify
from goldsmith.pipeline.notices.machine_conditions import MachineConditions
from goldsmith.pipeline.status.daemon_state import DaemonState
from goldsmith.pipeline.status.explain import Explainer

# A campaign is done when nothing was delivered in it for this long and nothing of it waits or is at work, in seconds.
CAMPAIGN_QUIET_SECONDS = 120.0
# How many rows of the history one look reads. The next look goes on behind them.
_MAX_ROWS = 2000


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What one look at a root needs beside the record. ``explain`` returns an explainer as of now."""

    journal: Journal
    daemon: DaemonState
    explain: Callable[[], Explainer]


class NoticeFeed:
    """Finds notices for one root."""

    def __init__(self, pipeline: Pipeline, record: NoticeRecord, conditions: MachineConditions) -> None:
        self._pipeline = pipeline
        self._record = record
        self._conditions = conditions

    def look(self, now_in: Surroundings, now: float) -> tuple[Reading, bool]:
        """Return what has happened since the last look, and whether there is more to read. ``now`` is in Unix seconds.

        The first look of all finds nothing: what waits by then, people have seen. Raises HostError if the journal cannot be read.
        """
        journal = now_in.journal
        began_at, position = journal.began_at(), self._record.position
        holds = {_hold_key(hold): hold for hold in journal.all_holds()}
        if position is None:
            self._conditions.look(now_in.daemon, self._record, now)  # its time begins now
            known = [self._hold_notice(key, hold, now) for key, hold in holds.items()]
            return Reading(known, (), (), (), began_at, journal.last_seq()), False
        after = position[1] if position[0] == began_at and position[1] <= journal.last_seq() else 0
        rows = journal.rows_after(after, _MAX_ROWS)
        open_problems = self._record.open_keys("problem")
        notices = [self._hold_notice(key, hold, now) for key, hold in holds.items() if key not in open_problems]
        notices += [notice for _, row in rows for notice in self._row_notices(row, now)]
        machine, over = self._conditions.look(now_in.daemon, self._record, now)
        delivered = _deliveries(row for _, row in rows)
        # Only if nothing has happened since the last look: else the record does not know the last deliveries yet.
        done = list(self._done(self._record.deliveries(), now_in, now)) if not rows else []
        notices += [*machine, *(_done_notice(each, now) for each in done)]
        closed = [*(open_problems - holds.keys()), *over]
        last_seq = rows[-1][0] if rows else after
        is_full = len(rows) == _MAX_ROWS
        return Reading(notices, closed, delivered, [each.campaign for each in done], began_at, last_seq), is_full

    def is_first_look(self) -> bool:
        """Return whether nothing was ever looked for on this root."""
        return self._record.position is None

    def _hold_notice(self, key: str, hold: HoldRecord, now: float) -> Notice:
        sentence = join_sentences(hold.sentence, hold.remedy)
        return Notice(0, key, "problem", campaign_of(hold.path), hold.path, sentence, now)

    def _row_notices(self, row: HistoryRow, now: float) -> Iterator[Notice]:
        """Yield the notice about a job whose results wait for a person."""
        pictures = [path for path in row.results if path.startswith(f"{REVIEW_FOLDER}/") and _is_picture(path)]
        if row.outcome == "passed" and pictures:
            yield Notice(0, f"review:{row.job_id}", "review", campaign_of(pictures[0]), pictures[0], "", now)

    def _done(self, deliveries: Collection[CampaignDelivery], now_in: Surroundings, now: float) -> Iterator[CampaignDelivery]:
        """Yield the campaigns in which something was delivered and nothing more waits or is at work."""
        quiet = [each for each in deliveries if each.campaign and now - each.last_at >= CAMPAIGN_QUIET_SECONDS]
        if not quiet or not now_in.daemon.holder:
            return
        explainer = now_in.explain()
        busy = {campaign_of(job.path) for job in explainer.active_jobs}
        for each in quiet:
            if not any(is_in_campaign(other, (each.campaign,)) for other in busy) and not self._has_work(each.campaign, explainer):
                yield each

    def _has_work(self, campaign: str, explainer: Explainer) -> bool:
        """Return whether a file in a folder of the campaign, or below it, asks for work, or a picture of it waits for a person."""
        own = (campaign,)
        for folder in self._pipeline.watched_folders:
            bundles = explainer.bundles(folder if folder == REVIEW_FOLDER else posixpath.join(folder, campaign))
            if any((bundle.has_instructions or bundle.note) and is_in_campaign(bundle.target_campaign, own) for bundle in bundles):
                return True
        return False


def campaign_of(path: str) -> str:
    """Return the campaign of a file in a stage's folder or in review/; "" if it lies in none."""
    folder, _, campaign = posixpath.dirname(path).partition("/")
    return split_tray(folder, campaign)[1]


def is_in_campaign(campaign: str, campaigns: Collection[str]) -> bool:
    """Return whether a campaign is one of these, or below one. Upper and lower case do not matter."""
    folded = f"{fold_name(campaign)}/"
    return any(folded.startswith(f"{fold_name(each.strip('/'))}/") for each in campaigns)


def _hold_key(hold: HoldRecord) -> str:
    text = "\0".join((hold.path, hold.sentence, hold.remedy)).encode("utf-8", "surrogateescape")
    return f"problem:{hashlib.sha256(text).hexdigest()[:32]}"


def _is_picture(path: str) -> bool:
    name = posixpath.basename(path)
    return is_picture_suffix(posixpath.splitext(name)[1].lower()) and classify(name).role == "picture"


def _deliveries(rows: Iterator[HistoryRow]) -> list[CampaignDelivery]:
    """Return what was delivered in each campaign."""
    delivered: dict[str, CampaignDelivery] = {}
    for row in rows:
        if row.outcome == "delivered":
            campaign = campaign_of(row.path)
            before = delivered.get(campaign, CampaignDelivery(campaign, 0, 0.0))
            path = next(filter(_is_picture, row.results), before.path)
            delivered[campaign] = CampaignDelivery(campaign, before.pictures + 1, max(before.last_at, row.taken_at), path)
    return list(delivered.values())


def _done_notice(delivery: CampaignDelivery, now: float) -> Notice:
    pictures = f"{delivery.pictures} picture{'s' * (delivery.pictures != 1)} delivered"
    sentence = f"{pictures}, and nothing of it waits or is at work."
    key = f"campaign done:{delivery.campaign.encode('utf-8', 'surrogateescape').hex()}:{delivery.last_at}"
    return Notice(0, key, "campaign done", delivery.campaign, delivery.path, sentence, now)
