"""Every English sentence of the page."""

from __future__ import annotations

import time

from goldsmith.errors import join_sentences

# Every page: its head and its menu.
TITLE = "Goldsmith"
DROP = "Drop"
OVERVIEW = "Overview"
PAGES = "Pages"
SKIP = "Skip to the content"
PROBLEM = "Problem"
NO_ANSWER = "The page does not answer."
NO_ANSWER_REMEDY = "Check that “goldsmith web” runs, then try again."
# The browser puts the number of the answer, such as 502, in the place of STATUS.
ANSWERS = "The page answers STATUS."
NAVIGATION = [(OVERVIEW, "/"), ("To decide", "/?state=review"), (DROP, "/drop/")]
ROLES = {"look": "You may look.", "decide": "You may look and decide."}

# Signing in.
SIGN_IN = "Sign in"
SIGN_OUT = "Sign out"
SIGN_OUT_EVERYWHERE = "Sign out everywhere"
NAME = "Name"
PASSWORD = "Password"  # noqa: S105 - a label
SIGNED_IN = "You are signed in."
GO_ON = "Go on"
OPEN_THE_LINK = "Open the link that “goldsmith web” has printed in its terminal, or in the log of its service."
WRONG_LINK = "This link does not sign you in."
WRONG_LINK_REMEDY = "Open the link that the running “goldsmith web” has printed: each start makes a new one."
WRONG_PASSWORD = "The name or the password is wrong."  # noqa: S105 - a sentence
TOO_MANY_ATTEMPTS = "Too many sign-ins have failed."
TOO_MANY_ATTEMPTS_REMEDY = "Wait a minute, then try again."
NOT_SIGNED_IN = "You are not signed in, or your session has ended."
NOT_SIGNED_IN_REMEDY = "Sign in again in another tab, then load this page."
MAY_ONLY_LOOK_REMEDY = 'Ask the administrator for role = "decide" in goldsmith.toml.'


# The overview.
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
NO_PREVIEW = "no preview"
PICK = "Pick"
REPORT = "Report of the campaign"
REPORT_BUSY = "Another report is being made at the moment."
REPORT_BUSY_REMEDY = "Wait a minute, then try again."
TOO_MANY_LISTENERS = "Too many pages listen to the live view."
TOO_MANY_LISTENERS_REMEDY = "Close pages that nobody needs."


def ask_for_folder(folder: str) -> str:
    """Return the words of the link to the form for a folder."""
    return f"Ask for work in {folder}/"


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


# What a file is to its picture, and what a person has done with it. The words at the left are those of the record.
ROLES_OF_FILES = {
    "mask": "mask",
    "keep": "keep file",
    "look": "look",
    "layer": "layer",
    "ref": "reference",
    "control": "control picture",
    "xmp": "metadata",
    "brief": "brief",
    "prompt": "text",
}
ACTS = {"painted": "painted by", "written": "written by", "dropped": "dropped by"}


def handled_by(role: str, name: str, act: str, person: str) -> str:
    """Return who has painted, written or dropped a file: “mask painted by anna”, of the picture itself “dropped by anna”.

    ``name``: that of the mask or layer.
    """
    what = "" if role == "picture" else ROLES_OF_FILES.get(role, role)
    return " ".join(filter(None, [what, name if name != role else "", ACTS.get(act, act), person]))


def with_people(title: str, people: list[str]) -> str:
    """Return what a version is, and who has put down what for it."""
    return ", ".join([title, *people])


def by_hand(program: object) -> str:
    """Return that a person has changed the picture."""
    return f"by hand in {program}" if isinstance(program, str) and program else "by hand"


def remark_words(remark: str) -> str:
    """Return what a person has said about a decision."""
    return f"“{remark}”"


def step_words(number: int, operation: str, settings: str, maker: str, seed: object, seconds: object) -> str:
    """Return one step: its settings in words, which model made it, its seed and its time."""
    made_by = f"; made with {maker}, seed {seed}" if maker else ""
    took = f"; {seconds:.1f} s" if isinstance(seconds, int | float) else ""
    return f"{number}. {operation}{f': {settings}' if settings else ''}{made_by}{took}"


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


# Painting a mask.
WORK = "Work on it"
BACK = "Back to the picture"
PAINT = "Paint a mask"
PAINT_WAITING_MASK = "Paint over the mask"
PAINT_NEXT_MASK = "Paint the mask of the next try"
TOOLS = "Tools"
TOOL = "Tool"
PAINT_TOOLS = [
    ("brush", "Brush", "B"),
    ("eraser", "Eraser", "E"),
    ("lasso", "Lasso", "L"),
    ("flood", "Flood by colour", "F"),
    ("object", "Object", "C"),
    ("hand", "Move", "H"),
]
SIZE = "Size"
SOFTNESS = "Soft edge"
TOLERANCE = "Colour tolerance of the flood"
TAKE_AWAY = "Lasso, flood, object and proposals take away"
STEPS = "Steps"
PAINT_ACTIONS = [
    ("undo", "Undo", "Ctrl+Z"),
    ("redo", "Redo", "Ctrl+Shift+Z"),
    ("invert", "Invert", "I"),
    ("clear", "Clear", "Delete"),
    ("fit", "Fit", "0"),
    ("actual", "100 %", "1"),
    ("zoomIn", "Zoom in", "+"),
    ("zoomOut", "Zoom out", "-"),
    ("overlay", "Mask: red, alone, hidden", "O"),
]
PROPOSE = "Propose"
REGION_NAMES = {"subject": "Subject", "face": "Face", "hands": "Hands", "text": "Text"}
SAVE_OVER = "Save over it"
DISCARD = "Discard the unsaved painting"
CANVAS = "The picture, with the mask over it"
KEYS = "Keys and gestures"
PAINT_KEYS = [
    ("B, E, L, F, C, H", "brush, eraser, lasso, flood, object, move"),
    ("[ and ], or , and .", "smaller and larger brush"),
    ("{ and }, or < and >", "harder and softer edge"),
    ("Ctrl+Z, Ctrl+Shift+Z", "undo, redo"),
    ("I, Delete", "invert, clear"),
    ("X", "lasso, flood, object and proposals take away"),
    ("O", "mask in red, alone or hidden"),
    ("+, -, 0, 1", "zoom in, zoom out, fit, 100 %"),
    ("Ctrl+S", "save"),
    ("Arrows", "on the picture: move the pointer by half a brush, with Shift by one pixel"),
    ("Enter", "on the picture: put the brush down or lift it; flood from there, or find the object there"),
    ("Escape", "give up the stroke"),
    ("Wheel, two fingers", "zoom; two fingers also move"),
    ("Space, middle button", "move the picture while you hold it"),
    ("Pen", "pressure sets the size; fingers then only move the picture"),
]
DRAFT_KEPT = "Not saved yet. This browser keeps your painting until you save it."
DRAFT_NOT_KEPT = "This browser cannot keep unsaved painting. Save before you leave this page."
DRAFT_RESTORED = "Your unsaved painting is back. Save it, or discard it to see the saved mask."
DRAFT_OTHER_SIZE = "This browser keeps an unsaved painting for this picture at another size, until you paint a new one or discard it."
SAVING = "Saving …"
OPENING = "Opening the picture …"
PROPOSING = "Looking for it in the picture …"
WRONG_MASK = "The mask does not fit the picture as it was opened."
EMPTY_MASK = "The mask is all black, so it selects nothing."
EMPTY_MASK_REMEDY = "Paint white where the picture is to change, then save it."
MASK_CHANGED = "The mask has been changed by somebody else since you opened it."
MASK_CHANGED_REMEDY = "Save over it, or discard your painting to see the other mask. What you save over stays in the archive."
MASK_NAME_REMEDY = "Take a name of letters, digits, - and _ that begins with a letter and is no word for a region."
RENAME_PICTURE_REMEDY = "Give the picture a name that does not end like that of a mask, a layer or a reference."
NO_SUCH_PROPOSAL = "The page cannot propose such a mask here."
PAINT_BY_HAND = "Paint the mask by hand."
BUSY = "Too many masks are being opened at the moment."
BUSY_REMEDY = "Wait a few seconds, then try again."
TRY_AGAIN = "Try again. The log of “goldsmith web” has the details."


def paint_title(name: str) -> str:
    """Return the title of the page that paints a mask."""
    return f"Mask of {name}"


def save_as(name: str) -> str:
    """Return the label of the button that saves a mask."""
    return f"Save {name}"


def mask_saved(name: str) -> str:
    """Return that a mask was saved."""
    return f"Saved as {name}."


def mask_replaced(file: str, target: str) -> str:
    """Return that saving takes the place of another mask file."""
    return f"Saving writes {target} and takes {file} away; a copy of it stays in the archive."


def keep_applies(file: str) -> str:
    """Return that a keep file takes something out of the mask."""
    return f"{file} is there too: what is white in it stays unchanged, whatever the mask says."


def no_mask_here(folder: str) -> str:
    """Return that pictures of a folder get no mask."""
    return f"Pictures in {folder}/ are not worked on, so a mask would do nothing there."


def no_mask_waits(name: str) -> str:
    """Return that a picture in review/ has no mask that could be painted over."""
    return f"No mask waits with {name} in review/."


NO_MASK_WAITS_REMEDY = "Make the picture again with a brief that asks for a mask, or reject it."
MASK_WAITS = "Save the mask, then go back and approve: the step uses it as you have painted it."
MASK_FOR_NEXT_TRY = "This is the mask of the next try: save it, then go back and choose “Make again”."


def paint_mask(name: str, *, is_next_try: bool) -> str:
    """Return the words of the link to a mask in review/. ``name``: "mask" for the mask without a name."""
    words = PAINT_NEXT_MASK if is_next_try else PAINT_WAITING_MASK
    return words if name == "mask" else f"{words}: {name}"


def mask_folders(folders: str) -> str:
    """Return where a picture has to be to get a mask."""
    return f"Put the picture into one of these folders: {folders}."


def bad_mask_name(name: str) -> str:
    """Return that a mask cannot have a name."""
    return f"“{name}” cannot be the name of a mask."


def no_mask_name(name: str) -> str:
    """Return that no name for a mask belongs to a picture alone."""
    return f"There is no name for a mask that belongs to {name} alone."


def work_failed(reason: str) -> str:
    """Return that the page has no place for a worker process."""
    return f"The page cannot prepare a worker process: {reason}."


# Asking for work.
ASK = "Ask for work"
ASK_HEAD = "The brief"
HEAD_LABELS = {"title": "Title", "prompt": "Prompt: what the picture shows", "recipe": "Recipe from the library"}
NO_RECIPE = "no recipe"
ADD_STEP = "Add a step"
ADD_ROW = "Add another"
REMOVE = "Remove"
UP = "Earlier"
DOWN = "Later"
STAGE_AND_STEP = "Stage and operation"
LEFT_EMPTY = "default"
SWITCH_ON = "on, with its defaults"
PREVIEW = "The file"
PROBLEMS = "What is wrong"
WHAT_RUNS = "What will run"
NOTHING_ASKED = "The brief asks for nothing yet: add a step or choose a recipe."
NOT_A_FORM = "The brief that is there cannot be shown as a form:"
COMMENTS_ARE_LOST = "Writing replaces the file; comments in it are lost. A copy stays in the archive."
BRIEF_CHANGED = "The brief has been changed by somebody else since you opened it."
BRIEF_CHANGED_REMEDY = "Load the page again to see it."
READING_REMEDY = "Let the user of “goldsmith web” read the file (chmod g+r), then try again."
BRIEF_HAS_PROBLEMS = "The brief has problems, so it was not written."
BRIEF_HAS_PROBLEMS_REMEDY = "Correct the fields that are marked."


def ask_title(name: str) -> str:
    """Return the title of the page that asks for work on a picture or in a campaign."""
    return f"Ask for {name}"


def write_brief(name: str) -> str:
    """Return the label of the button that writes a brief."""
    return f"Write {name}"


def brief_written(name: str) -> str:
    """Return that a brief was written."""
    return f"{name} is written. Goldsmith takes it from here."


def unreadable(name: str, reason: str) -> str:
    """Return that the system has refused to read a file."""
    return f"{name} cannot be read: {reason}."


def no_brief_here(folder: str) -> str:
    """Return that a folder takes no briefs."""
    return f"Pictures in {folder}/ are not worked on, so a brief would do nothing there."


def no_brief_remedy(folders: str) -> str:
    """Return which folders take briefs."""
    return f"Briefs belong into these folders: {folders}."


def no_folder(path: str) -> str:
    """Return that there is no campaign at a path."""
    return f"There is no folder {path}."


def step_runs(stage: str, operations: str) -> str:
    """Return what a stage will do."""
    return f"{stage}: {operations}"


def passes_unchanged(stage: str) -> str:
    """Return that a stage will do nothing."""
    return f"{stage}: passes unchanged"


def then_in(folder: str) -> str:
    """Return where the picture will be in the end."""
    return f"Then the picture is in {folder}/."


def later_needed(sentence: str) -> str:
    """Return something that is missing, and that the work will wait for."""
    return join_sentences(sentence, "Until it is there, Goldsmith holds the picture with a note.")


# Dropping pictures.
DROP_TITLE = "Drop pictures"
DROP_HERE = "Drop pictures here, with their masks and briefs"
CHOOSE_FILES = "Choose files"
INTO_FOLDER = "Folder"
INTO_CAMPAIGN = "Campaign: a folder in it, made if it is missing"
DROP_WAITING = "waiting"
DROP_DONE = "is in its folder."
OFFLINE = "The page does not answer. Check that it runs, then drop the file again."
NO_LENGTH = "The browser does not say how large the file is."
NO_LENGTH_REMEDY = "Send it again with another browser."
TAKEN_REMEDY = "A file that is there is never replaced: give yours another name."
INCOMPLETE_FILE_REMEDY = "Drop it again: nothing of it was kept."
KINDS_REMEDY = "Drop PNG, JPEG, TIFF, WebP, AVIF or HEIC pictures, masks, layers, looks, .toml briefs and .txt prompts."
BAD_CAMPAIGN_REMEDY = "Take a name without slashes at its ends, dots at its beginning, or signs that cannot be seen."


def no_drop_here(folder: str) -> str:
    """Return that nothing can be dropped into a folder."""
    return f"{folder}/ takes no new pictures."


def drop_folders(folders: str) -> str:
    """Return into which folders pictures can be dropped."""
    return f"Drop them into one of these folders: {folders}."


def not_taken(name: str) -> str:
    """Return that a file is of no kind that Goldsmith takes."""
    return f"{name} is no picture, and no file that belongs beside one."


def bad_file_name(name: str) -> str:
    """Return that a file name would never be taken."""
    return f"A file called {name} would be ignored: Goldsmith takes it for a temporary or hidden file."


def unseen_characters(name: str) -> str:
    """Return that a file name has characters that cannot be seen."""
    return f"The name {name} has characters that cannot be seen, or is too long."


def bad_campaign(name: str) -> str:
    """Return that a campaign cannot have a name."""
    return f"“{name}” cannot be a campaign."


def wrong_content(name: str, description: str) -> str:
    """Return what a file is instead of a picture."""
    return f"{name} is {description}, not a picture that Goldsmith reads."


def cut_off(name: str) -> str:
    """Return that a file did not arrive completely."""
    return f"{name} did not arrive completely, so nothing was written."


# Requests that are refused.
FOREIGN_HOST = "The page does not know the name in the address line."
FOREIGN_HOST_REMEDY = "Use the address that “goldsmith web” prints, or add the name to host_names in goldsmith.toml."
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
PAGE_FAULT_REMEDY = "Try again. The log of “goldsmith web” has the details."
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


# What the folders refuse.
LOOK_AGAIN_REMEDY = "Load the page again and look at it as it is now."
DISK_REMEDY = "Check the disk and the mount of the folders, then try again."
RIGHTS_REMEDY = "Let the user of “goldsmith web” write to the folder (chmod g+w), then try again."


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
