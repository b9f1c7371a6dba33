"""``goldsmith doctor``: whether everything around the line is as it should be, and what to do where it is not."""

from __future__ import annotations

from goldsmith.cli.location import ConfigOption, JsonOption, RootOption, find_root
from goldsmith.cli.output import print_json, print_table, print_text
from goldsmith.errors import HostError


def doctor(root: RootOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Look at folders, filesystems, events, free space, GPU, weights, limits and permissions; nothing is changed.

    Every line is ok, a note (it works, but) or a fault with its remedy. Exit code 4 where there is a fault.

    Example: goldsmith doctor --root ~/hotfolders
    """
    from goldsmith.cli.diagnostics import run_checks

    found = list(run_checks(find_root(root, config), config))
    if as_json:
        print_json([finding._asdict() for finding in found])
    else:
        print_table(("", "what", "found", "what to do"), [(each.severity, each.subject, each.sentence, each.remedy) for each in found])
    faults = sum(each.severity == "fault" for each in found)
    if faults:
        raise HostError(f"{faults} fault{'s' if faults > 1 else ''} found.", "" if as_json else "What to do stands beside each.")
    if not as_json:
        print_text("Nothing is in the way.")
