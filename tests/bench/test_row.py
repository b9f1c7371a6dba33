from __future__ import annotations

import json

from bench.rig import tiny_png
from bench.row import Row, as_json, percentile, shown, spread
from goldsmith.picture.codec import verify


def test_a_percentile_is_a_value_that_was_measured() -> None:
    """The nearest rank, whatever the order; never a number in between."""
    values = [5.0, 1.0, 3.0, 2.0, 4.0]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7.0], 0.99)) == (3.0, 5.0, 7.0)


def test_a_target_is_held_against_the_figure_or_the_ratio() -> None:
    """Six times a peer of 2 s is met by 11 s as a ratio, not as a figure; without a target nothing is said."""
    assert Row("b", "w", 11.0, "s", 6.0, "peer", 2.0, as_ratio=True).met is True
    assert Row("b", "w", 13.0, "s", 6.0, "peer", 2.0, as_ratio=True).met is False
    assert Row("b", "w", 11.0, "s", 6.0, "peer", 2.0).met is False
    assert Row("b", "w", 11.0, "s").met is None


def test_nothing_measured_is_said_so() -> None:
    """A run in which nothing arrived shows no zero that looks like a record."""
    (row,) = spread("drops", "hop", [], 20.0)
    assert row.note == "nothing was measured"
    assert row.met is None


def test_the_table_and_the_json_say_the_same() -> None:
    """Both show the figure, its peer and the verdict."""
    rows = spread("drops", "hop", [0.001, 0.002, 0.003], 20.0, beside="peer", peer=1.0)
    assert "2 ms" in shown(rows)
    assert "met" in shown(rows)
    read = json.loads(as_json(rows, {"cpu": "one"}))["rows"][0]
    assert (read["value"], read["ratio"], read["met"]) == (2.0, 2.0, True)


def test_every_tiny_picture_is_a_whole_one_of_its_own() -> None:
    """The assets of the benches are real PNGs that differ."""
    assert verify(tiny_png(7), "a.png", 1_000_000).width == 16
    assert tiny_png(7) != tiny_png(8)
