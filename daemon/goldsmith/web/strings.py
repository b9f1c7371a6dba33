"""Every English sentence of the page."""

from __future__ import annotations

TITLE = "Goldsmith"

# Signing in.
SIGN_IN = "Sign in"
SIGN_OUT = "Sign out"
SIGN_OUT_EVERYWHERE = "Sign out everywhere"
NAME = "Name"
PASSWORD = "Password"  # noqa: S105 - a label
SIGNED_IN = "You are signed in."
GO_ON = "Go on"
OPEN_THE_LINK = "Open the link that `goldsmith web` has printed in its terminal, or in the log of its service."
WRONG_LINK = "This link does not sign you in."
WRONG_LINK_REMEDY = "Open the link that the running `goldsmith web` has printed: each start makes a new one."
WRONG_PASSWORD = "The name or the password is wrong."  # noqa: S105 - a sentence
TOO_MANY_ATTEMPTS = "Too many sign-ins have failed."
TOO_MANY_ATTEMPTS_REMEDY = "Wait a minute, then try again."
NOT_SIGNED_IN = "Nobody is signed in here."
NOT_SIGNED_IN_REMEDY = "Open the page and sign in."
MAY_ONLY_LOOK_REMEDY = 'Ask the administrator for role = "decide" in goldsmith.toml.'

# Requests that are refused.
FOREIGN_HOST = "The page does not know the name in the address line."
FOREIGN_HOST_REMEDY = "Use the address that `goldsmith web` prints, or add the name to host_names in goldsmith.toml."
CROSS_SITE = "Another site has asked for this change."
CROSS_SITE_REMEDY = "Open the page itself and try again there."
STALE_PAGE = "This page is from an earlier session."
STALE_PAGE_REMEDY = "Load it again."
WRONG_FORM = "This form cannot be read."
SLOW_BODY = "The data arrived too slowly."
SLOW_BODY_REMEDY = "Check the connection, then send it again."
TOO_LARGE_REMEDY = "Send less at once."
NOT_FOUND = "There is no such page."
NOT_FOUND_REMEDY = "Go back to the overview."
WRONG_METHOD = "This address does not take such a request."
PAGE_FAULT = "The page has a fault, and nothing was changed."
PAGE_FAULT_REMEDY = "Try again. The log of `goldsmith web` has the details."
NO_PICTURE_REMEDY = "It may have moved on: look for it in the overview."


def may_only_look(name: str) -> str:
    """Return that a person may not decide."""
    return f"{name} may look, but not decide."


def too_large(max_body: int) -> str:
    """Return that a request is larger than ``max_body`` bytes."""
    size = f"{max_body / 2**20:,.0f} MiB" if max_body >= 2**20 else f"{max_body // 1024} KiB"
    return f"This request has more than {size}, which is the most that this address takes."


def no_picture(path: str) -> str:
    """Return that there is no picture at a path that is shown as it is."""
    return f"There is no picture at {path}."


# Hands in the folders.
LOOK_AGAIN_REMEDY = "Load the page again and look at it as it is now."
DISK_REMEDY = "Check the disk and the mount of the folders, then try again."
RIGHTS_REMEDY = "Let the user of `goldsmith web` write to the folder (chmod g+w), then try again."


def not_in_review(name: str) -> str:
    """Return that a picture does not wait for a decision."""
    return f"{name} does not wait for a decision in review/."


def changed_meanwhile(name: str) -> str:
    """Return that a file was changed after the page had shown it."""
    return f"{name} has changed since you opened it."


def gone_meanwhile(name: str) -> str:
    """Return that a file has gone."""
    return f"{name} is no longer there: somebody may have decided already."


def name_taken(name: str) -> str:
    """Return that a file of this name is there."""
    return f"There is already a file called {name} in that folder."


def refused(name: str, reason: str) -> str:
    """Return that the system has refused to write a file."""
    return f"{name} cannot be written: {reason}."


# The overview.
OVERVIEW = "Overview"
PAGES = "Pages"
SKIP = "Skip to the content"
PROBLEM = "Problem"
NAVIGATION = [(OVERVIEW, "/")]
ROLES = {"look": "You may look.", "decide": "You may look and decide."}
