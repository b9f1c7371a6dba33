"""Fair turns: between campaigns, level by level, and between the stages of a campaign."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.pipeline.turns import FolderTurns, Turn, TurnQueue, turn_of


class Line:
    """A queue of names; each name begins with that of its campaign."""

    def __init__(self) -> None:
        self.queue: TurnQueue[str, str] = TurnQueue()
        self.numbers = itertools.count(1)

    def flood(self, campaign: str, count: int, stage: int = 0) -> None:
        for number in range(count):
            self.add(f"{campaign}#{stage}.{number}", campaign, stage)

    def add(self, name: str, campaign: str = "", stage: int = 0, number: int = 0) -> None:
        self.queue.add(name, name, turn_of(campaign, stage), number or next(self.numbers))

    def pop(self, count: int) -> list[str]:
        return [self.queue.pop() for _ in range(count)]

    def campaigns(self, count: int) -> Counter[str]:
        """Pop some names and count them by campaign."""
        return Counter(name.partition("#")[0] for name in self.pop(count))

    def served_before(self, name: str) -> int:
        """Pop up to this name and return how many names came before it."""
        return next(index for index in itertools.count() if self.queue.pop() == name)


def test_one_campaign_is_served_in_order_of_arrival() -> None:
    """Without another campaign there is nothing to share."""
    line = Line()
    line.flood("acme", 5)
    assert line.pop(5) == [f"acme#0.{number}" for number in range(5)]
    assert len(line.queue) == 0


def test_a_single_name_waits_for_at_most_one_of_a_flood() -> None:
    """Wherever the flood is: in another campaign, in the stage folder itself, or in many campaigns."""
    for flooded in (["acme"], [""], [f"c{number}" for number in range(50)]):
        line = Line()
        for campaign in flooded:
            line.flood(campaign, 20_000 // len(flooded))
        line.pop(100)
        line.add("single", "bolt")
        assert line.served_before("single") <= 1


def test_a_newcomer_gets_one_turn_early_and_then_waits_like_the_others() -> None:
    """A campaign into which one name at a time arrives cannot take more than its share."""
    line = Line()
    line.flood("acme", 100)
    line.flood("bolt", 100)
    line.pop(4)
    served = Counter[str]()
    for number in range(60):
        if not line.queue.contains(f"trickle#{number - 1}", turn_of("trickle", 0)):
            line.add(f"trickle#{number}", "trickle")
        served += line.campaigns(1)
    assert max(served.values()) - min(served.values()) <= 2


def test_many_new_campaigns_do_not_shut_out_an_old_one() -> None:
    """A folder for each picture makes every picture a newcomer; every other turn belongs to the others."""
    line = Line()
    line.flood("acme", 1000)
    line.pop(1)
    for number in range(1000):
        line.add(f"new{number}#0", f"new{number}")
    assert line.campaigns(100)["acme"] >= 49


def test_turns_are_shared_level_by_level() -> None:
    """A thousand folders inside of acme/ have the turns of acme, and a folder inside of it has its share of these."""
    line = Line()
    for number in range(100):
        line.flood(f"acme/{number}", 10)
    line.flood("bolt", 100)
    assert 49 <= line.campaigns(100)["bolt"] <= 51
    line = Line()
    line.flood("acme/spring", 1000)
    line.pop(10)
    line.add("single", "acme/summer")
    assert line.served_before("single") <= 1


def test_later_stages_go_first_and_earlier_ones_do_not_starve() -> None:
    """The latest stage has every other turn, and the others share the rest."""
    line = Line()
    for stage in range(4):
        line.flood("acme", 100, stage)
    names = line.pop(60)
    stages = Counter(int(name.partition("#")[2].partition(".")[0]) for name in names)
    assert names[0].startswith("acme#3")
    assert stages[3] >= 30
    assert min(stages.values()) >= 7


def test_a_single_name_of_an_earlier_stage_passes_a_flood_in_a_later_one() -> None:
    """It waits for one name at most, and so does a single name of the last stage."""
    for flooded, other in ((3, 0), (0, 3), (1, 2)):
        line = Line()
        line.flood("", 1000, flooded)
        line.pop(7)
        line.add("single", "", other)
        assert line.served_before("single") <= 1


def test_what_comes_back_with_its_number_has_its_old_place() -> None:
    """It stands before everything that arrived after it, and behind what arrived before it."""
    line = Line()
    for number in (1, 2, 3, 5):
        line.add(f"{number}", number=number)
    assert line.pop(1) == ["1"]
    line.add("4", number=4)
    line.add("1 again", number=1)
    assert list(line.queue) == ["1 again", "2", "3", "4", "5"]
    assert line.queue.remove("4", turn_of("", 0)) == "4"
    assert line.pop(4) == ["1 again", "2", "3", "5"]


def test_a_name_that_is_taken_out_of_order_counts_as_a_turn_and_a_removed_one_does_not() -> None:
    """A worker takes jobs for its models out of order; a withdrawn job costs its campaign nothing."""
    line = Line()
    line.flood("acme", 10)
    line.flood("bolt", 10)
    line.pop(2)
    assert line.queue.take("acme#0.7", turn_of("acme", 0)) == "acme#0.7"
    assert line.campaigns(1) == {"bolt": 1}
    assert line.queue.remove("acme#0.8", turn_of("acme", 0)) == "acme#0.8"
    assert line.campaigns(1) == {"acme": 1}
    assert line.queue.take("acme#0.8", turn_of("acme", 0)) is None


def test_an_empty_queue_says_so() -> None:
    """A caller that asks for more than there is has an error of its own."""
    with pytest.raises(IndexError, match="Nothing waits"):
        TurnQueue[str, str]().pop()


def test_equal_turns_are_one_object_and_unknown_folders_have_the_first_stage() -> None:
    """Twenty thousand entries share their turn."""
    turns = FolderTurns(["inbox", "selected"])
    assert turns.of_folder("selected/acme/spring") is turns.of("selected", "acme/spring")
    assert turns.of_folder("selected/acme/spring") == Turn(("acme", "spring"), 1)
    assert turns.of_folder("inbox") == turns.of_folder("library") == Turn((), 0)


NAMES = st.tuples(st.sampled_from(["", "a", "b", "a/x", "a/y", "c"]), st.integers(0, 3), st.integers(0, 3))


@given(st.lists(NAMES, max_size=80))
@settings(deadline=None)
def test_the_iteration_is_the_order_of_the_turns_and_changes_nothing(arrivals: list[tuple[str, int, int]]) -> None:
    """For any arrivals, pops and removals, nothing is lost or doubled, and the prediction is exact."""
    line = Line()
    present: set[str] = set()
    for index, (campaign, stage, action) in enumerate(arrivals):
        name = f"{campaign}#{index}"
        line.add(name, campaign, stage)
        present.add(name)
        if action == 1:
            present.remove(line.queue.pop())
        elif action == 2:
            assert line.queue.remove(name, turn_of(campaign, stage)) == name
            present.remove(name)
        elif action == 3:
            assert line.queue.take(name, turn_of(campaign, stage)) == name
            present.remove(name)
        assert len(line.queue) == len(present)
    predicted = list(line.queue)
    assert predicted == list(line.queue)
    assert set(predicted) == present
    assert line.pop(len(present)) == predicted
