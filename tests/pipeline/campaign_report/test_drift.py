"""The drift of a series is the colour difference between its deliveries."""

from __future__ import annotations

import pytest

from goldsmith.pipeline.campaign_report.drift import measure_drift


def test_equal_colours_do_not_drift_and_one_outlier_does_not_move_the_middle() -> None:
    """The middle is the median: four alike, one far away."""
    grey, blue = (50.0, 0.0, 0.0), (50.0, 10.0, -60.0)
    drift = measure_drift([grey, grey, blue, grey, grey])
    assert [each.from_middle for each in drift] == [0.0, 0.0, pytest.approx(drift[2].from_middle), 0.0, 0.0]
    assert drift[2].from_middle > 20
    assert [each.from_previous for each in drift] == [None, 0.0, drift[2].from_middle, drift[2].from_middle, 0.0]


def test_the_difference_is_that_of_the_standard() -> None:
    """A pair of the test data of Sharma, Wu and Dalal (2005): 2.0425."""
    drift = measure_drift([(50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485)])
    assert drift[1].from_previous == pytest.approx(2.0425, abs=5e-5)


def test_no_delivery_and_one_delivery_have_no_drift() -> None:
    """There is nothing to compare with."""
    assert measure_drift([]) == []
    assert measure_drift([(50.0, 1.0, 1.0)]) == [(0.0, None)]
