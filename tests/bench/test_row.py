"""The rows of the benchmarks: percentiles, targets, the table and the JSON."""

from __future__ import annotations

import json

from bench.rig import tiny_png
from bench.row import Row, as_json, percentile, spread, table
from goldsmith.picture.codec import verify


def test_a_percentile_is_a_value_that_was_measured() -> None:
    """It is the value of the nearest rank, in any order of the values, without interpolation."""
    values = [5.0, 1.0, 3.0, 2.0, 4.0]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7.0], 0.99)) == (3.0, 5.0, 7.0)


def test_a_target_applies_to_the_figure_or_to_the_ratio() -> None:
    """With a target of 6 and a peer of 2 s, 11 s meets the target as a ratio but not as a figure. Without a target there is no verdict."""
    assert Row("b", "w", 11.0, "s", 6.0, "peer", 2.0, as_ratio=True).met is True
    assert Row("b", "w", 13.0, "s", 6.0, "peer", 2.0, as_ratio=True).met is False
    assert Row("b", "w", 11.0, "s", 6.0, "peer", 2.0).met is False
    assert Row("b", "w", 11.0, "s").met is None


def test_a_run_without_measurements_says_so() -> None:
    """Its zero would otherwise look like a very good figure."""
    (row,) = spread("drops", "hop", [], 20.0)
    assert row.note == "nothing was measured"
    assert row.met is None


def test_the_table_and_the_json_agree() -> None:
    """Both have the figure and the verdict; the JSON has the ratio too."""
    rows = spread("drops", "hop", [0.001, 0.002, 0.003], 20.0, beside="peer", peer=1.0)
    assert "2 ms" in table(rows)
    assert "met" in table(rows)
    read = json.loads(as_json(rows, {"cpu": "one"}))["rows"][0]
    assert (read["value"], read["ratio"], read["met"]) == (2.0, 2.0, True)


def test_tiny_pictures_are_valid_and_differ() -> None:
    """The assets of the benchmarks are real PNGs."""
    assert verify(tiny_png(7), "a.png", 1_000_000).width == 16
    assert tiny_png(7) != tiny_png(8)
