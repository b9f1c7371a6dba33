"""A step whose picture is computed while the next step reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from goldsmith.picture.picture import Picture
from goldsmith.worker.step_results import StepResults
from goldsmith.worker.trace import picture_trace


@dataclass(frozen=True, slots=True)
class PendingStep:
    """A step (1-based) whose picture is computed while the next step reads it, so that it never lies in memory as a whole.

    The time for that counts for the step that reads.
    """

    number: int
    picture: Picture

    def put_on_record(self, results: StepResults, on_progress: Callable[[float], None]) -> None:
        """Complete the step's record by the trace of its pixels. Pixels that nobody has read are computed now, in the step's own time.

        ``on_progress`` receives 0..1 of that and may raise to cancel.
        """
        started = perf_counter()
        trace = picture_trace([_computed(self.picture, on_progress)])
        step = results.steps[self.number - 1]
        update = {"picture_hash": trace, "seconds": step.seconds + perf_counter() - started}
        results.steps[self.number - 1] = step.model_copy(update=update)


def _computed(picture: Picture, on_progress: Callable[[float], None]) -> Picture:
    """Return the picture, with its pixels put together unless all of them have been read row by row."""
    lazy = picture.lazy_pixels
    if lazy is not None and lazy.bit_sums is not None and not lazy.bit_sums.is_complete:
        lazy.array(on_progress)
    return picture
