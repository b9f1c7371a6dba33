"""Every English sentence of the page."""

from __future__ import annotations

import time

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
CROSS_SITE = "Another site has wishes for this change."
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
NAVIGATION = [(OVERVIEW, "/"), ("To decide", "/?state=review")]
ROLES = {"look": "You may look.", "decide": "You may look and decide."}
STATES = {
    "problem": "Problem",
    "review": "To decide",
    "working": "At work",
    "queued": "Queued",
    "waiting": "Waiting",
    "delivered": "Delivered",
}
ALL_STATES = "All"
CAMPAIGN = "Campaign"
ALL_CAMPAIGNS = "All campaigns"
SEARCH = "Search names"
SHOW = "Show"
NOTHING_FOUND = "No picture matches."
NOTHING_HERE = "The folders are empty. Drop a picture into the first one, with a brief beside it."
PREVIOUS = "Previous"
NEXT = "Next"
DAEMON_OFF = "Goldsmith is not running on these folders: nothing moves until it is started."
MACHINE = "Machine"
QUEUE = "Queue"
ACTIVITY = "At work on"
LOADED = "Loaded"
WAITING_JOBS = "Waiting"
IDLE = "nothing"
PICK = "Pick"
TOO_MANY_LISTENERS = "Too many pages listen to the live view."
TOO_MANY_LISTENERS_REMEDY = "Close pages that nobody needs."


def match_count(count: int, number: int, page_count: int) -> str:
    """Return how many pictures match, and which part of the list is shown."""
    pictures = f"{count:,} {'picture' if count == 1 else 'pictures'}"
    return f"{pictures}, page {number} of {page_count}" if page_count > 1 else pictures


def free_space(free: int, total: int) -> str:
    """Return how much of the disk is free, in bytes."""
    return f"{size(free)} of {size(total)} are free on the disk of the folders."


def candidates(count: int) -> str:
    """Return how many candidates a set has."""
    return f"{count} {'candidate' if count == 1 else 'candidates'}"


def age(unix_seconds: float) -> str:
    """Return for how long something has been as it is."""
    seconds = max(0.0, time.time() - unix_seconds)
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h")):
        if seconds < limit:
            return f"{round(seconds / unit)} {name}"
    return f"{round(seconds / 86_400)} days"


def moment(unix_seconds: float) -> str:
    """Return date and time to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(unix_seconds))


def size(count: float) -> str:
    """Return a number of bytes in words."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


# Looking at a picture.
BEFORE = "Before"
AFTER = "After"
COMPARE = "Before and after"
BLINK = "Blink"
MASK = "Mask"
FINDINGS = "Findings"
FIT = "Fit"
ZOOM_100 = "100 %"
ZOOM_200 = "200 %"
THUMBNAIL = "As a thumbnail"
HISTORY = "History"
RECORD = "What was done"
REMARKS = "Remarks"
ORIGINAL = "original"
GONE = "no longer there"
SHORTCUTS = "Keys"
SHORTCUTS_ON = "Single keys act on this page"
VIEWER = "Picture"
FACTS = "About the file"
OPEN_SHEET = "Sheet"
NO_HISTORY = "Goldsmith has not worked on this picture yet."
CONVERTED = "shown in sRGB"
UNTAGGED = "no profile, taken for sRGB"
SHORTCUT_LIST = [
    ("a", "approve"),
    ("g", "make again"),
    ("x", "reject"),
    ("j k", "next, previous picture to decide"),
    ("b", "blink before and after"),
    ("c", "compare with the slider"),
    ("m", "mask on and off"),
    ("f", "findings on and off"),
    ("0 1 2", "fit, 100 %, 200 %"),
    ("arrows", "move the picture, or the slider"),
]


def decided(decision: str, person: str) -> str:
    """Return what was decided, and by whom if that is known."""
    words = {"approve": "approved", "again": "made again", "reject": "rejected", "close": "put away"}
    return f"{words.get(decision, decision)}{f' by {person}' if person else ''}"


def by_hand(program: object) -> str:
    """Return that a person has changed the picture."""
    return f"by hand in {program}" if isinstance(program, str) and program else "by hand"


def remark_words(remark: str) -> str:
    """Return what a person has said about a decision."""
    return f"“{remark}”"


def step_words(number: int, operation: str, wishes: str, maker: str, seed: object, seconds: object) -> str:
    """Return one step: what was wishes, which model made it, its seed and its time."""
    made_by = f"; made with {maker}, seed {seed}" if maker else ""
    took = f"; {seconds:.1f} s" if isinstance(seconds, int | float) else ""
    return f"{number}. {operation}{f': {wishes}' if wishes else ''}{made_by}{took}"


def outside_words(changed: int, outside: int) -> str:
    """Return how many pixels outside the mask have changed."""
    return f"Outside the mask {changed:,} of {outside:,} pixels changed."


# Deciding.
DECIDE = "Decide"
APPROVE = "Approve"
REJECT = "Reject"
AGAIN = "Make again"
REMARK = "What should be different? (may stay empty)"
REASON = "Why? (may stay empty)"
CANCEL = "Cancel"
PICK_TITLE = "Pick among the candidates"
PICK_HELP = "Choose with the mouse, by touch, or with the keys 1 to 9, arrows and space. Enter opens a picture."
APPROVE_CHOSEN = "Approve the chosen"
CLOSE_SET = "Put the others away"
NOTHING_CHOSEN = "Choose a picture first."
NOTHING_TO_PICK = "These candidates have been decided about."
WRONG_REQUEST = "The page cannot read this request."


def done(decision: str, name: str) -> str:
    """Return that a decision was carried out by moving the picture."""
    places = {"approve": "is approved and goes on", "again": "is made again", "reject": "goes to the archive"}
    return f"{name} {places[decision]}."


def remark_too_long(length: int, limit: int) -> str:
    """Return that a remark has too many characters."""
    return f"Your remark has {length} characters; a remark has at most {limit}."


SHORTEN_REMEDY = "Shorten it."
