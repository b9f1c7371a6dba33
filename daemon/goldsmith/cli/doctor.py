"""``goldsmith doctor``: whether everything around the line is as it should be, and what to do where it is not."""

from __future__ import annotations

from goldsmith.cli.places import AsJson, Config, Root, root_of
from goldsmith.cli.screen import say, say_json, table
from goldsmith.errors import MachineFault


def doctor(root: Root = None, config: Config = None, as_json: AsJson = False) -> None:
    """Look at folders, filesystems, events, free space, GPU, weights, limits and permissions; nothing is changed.

    Every line is ok, a note (it works, but) or a fault with its remedy. Exit code 4 where there is a fault.

    Example: goldsmith doctor --root ~/hotfolders
    """
    from goldsmith.cli.examination import examine

    found = list(examine(root_of(root, config), config))
    if as_json:
        say_json([finding._asdict() for finding in found])
    else:
        table(("", "what", "found", "what to do"), [(each.grade, each.what, each.sentence, each.remedy) for each in found])
    faults = sum(each.grade == "fault" for each in found)
    if faults:
        raise MachineFault(f"{faults} fault{'s' if faults > 1 else ''} found.", "" if as_json else "What to do stands beside each.")
    if not as_json:
        say("Nothing is in the way.")
