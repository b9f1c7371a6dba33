"""The daemon's own pruning: once a day, in small steps between its other work, if ``keep_days`` is set."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from goldsmith.errors import GoldsmithError, HostError
from goldsmith.pipeline.archive.pruning import Pruning
from goldsmith.pipeline.scheduler.host_health import OnEvent, is_mistake, mistake_sentence, traceback_text

# The first run comes some time after the start, when the folders have been read.
_FIRST_RUN_SECONDS = 600.0
_INTERVAL_SECONDS = 86_400.0
# The time that the steps of one turn of the main loop may take together.
_TURN_SECONDS = 0.01


class DailyPruning:
    """Runs a pruning once a day. ``begin`` makes a new one, or is None if nothing is ever pruned. ``clock`` is monotonic."""

    def __init__(self, begin: Callable[[], Pruning] | None, clock: Callable[[], float], on_event: OnEvent) -> None:
        self._begin = begin
        self._clock = clock
        self._on_event = on_event
        self._next_run_at = clock() + _FIRST_RUN_SECONDS
        self._pruning: Pruning | None = None
        self._steps: Iterator[None] = iter(())

    def seconds_until_due(self) -> float | None:
        """Return the seconds until the next step; None if there will be none."""
        if self._begin is None:
            return None
        return 0.0 if self._pruning is not None else max(0.0, self._next_run_at - self._clock())

    def run_once(self) -> None:
        """Do steps for a few milliseconds, if a run is due. What stops a run is told, and the next run begins a day later."""
        if self._begin is None or (self._pruning is None and self._clock() < self._next_run_at):
            return
        end = self._clock() + _TURN_SECONDS
        try:
            if self._pruning is None:
                self._pruning = self._begin()
                self._steps = self._pruning.steps()
            while self._clock() < end:
                if next(self._steps, self) is self:
                    self._report_end(self._pruning)
                    self._finish()
                    return
        except Exception as error:  # noqa: BLE001 - whatever fails, the main loop goes on
            fault = _fault_of(error)
            self._on_event("not pruned", sentence=fault.sentence, remedy=fault.remedy, detail=traceback_text(error))
            self._finish()

    def _report_end(self, pruning: Pruning) -> None:
        report = pruning.report
        self._on_event(
            "pruned",
            before=report.archived_before,
            files=report.files,
            bytes=report.file_bytes,
            rows=report.rows,
            refused=report.refused_files,
            sentence=report.refusal,
        )

    def _finish(self) -> None:
        self._pruning, self._steps = None, iter(())
        self._next_run_at = self._clock() + _INTERVAL_SECONDS


def _fault_of(error: Exception) -> GoldsmithError:
    if isinstance(error, GoldsmithError):
        return error
    if is_mistake(error):
        return HostError(
            mistake_sentence(error), "Please report it with the traceback in the log. The archive is pruned again a day later."
        )
    return HostError(f"The archive cannot be pruned: {error}.", "Check its disk.")
