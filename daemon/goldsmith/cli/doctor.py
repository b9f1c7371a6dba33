"""The command ``goldsmith doctor``: checks the folders and the computer, and says what to do about each problem."""

from __future__ import annotations

from goldsmith.cli.location import ConfigOption, JsonOption, RootOption, find_root
from goldsmith.cli.output import print_json, print_records, print_text
from goldsmith.errors import HostError


def doctor(root: RootOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check folders, filesystems, events, free space, GPU, weights, limits and permissions. Change nothing.

    Every row is ok, a note (it works, with a restriction) or a fault, with its remedy. Exit code 4 if there is a fault.

    Example: goldsmith doctor --root ~/hotfolders
    """
    from goldsmith.cli.diagnostics import run_checks

    findings = list(run_checks(find_root(root, config), config))
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        rows = [(each.severity, each.subject, each.sentence, each.remedy) for each in findings]
        print_records(("", "subject", "finding", "remedy"), rows, headline=("", "subject"))
    faults = sum(each.severity == "fault" for each in findings)
    if faults:
        raise HostError(f"{faults} fault{'s' if faults > 1 else ''} found.", "" if as_json else "The remedy is beside each fault.")
    if not as_json:
        print_text("There are no faults.")
