"""The report as one HTML file: no script, and nothing that it loads from elsewhere. Every name in it is escaped."""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from goldsmith.files import display_name, display_text
from goldsmith.pipeline.campaign_report.account import CampaignAccount, Delivery
from goldsmith.pipeline.campaign_report.drift import Drift
from goldsmith.pipeline.previews.preview_maker import PreviewResult
from goldsmith.pipeline.status.sentences import format_time

# The first line: a file that begins with it may be replaced by a newer report.
FIRST_LINE = "<!DOCTYPE html><!-- A campaign's report by Goldsmith -->"
# A mean colour this far from the middle of the series is worth a look.
_NOTICEABLE_DIFFERENCE = 10.0
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf8; --ink: #1d1b18; --muted: #6a645b; --line: #d9d4cb; --bar: #b5893a; --look: #a33b1f; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #191816; --ink: #eeeae3; --muted: #a49d92; --line: #3a3733; --bar: #d0a556; --look: #f0906f; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 68rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; }
p { margin: .25rem 0; max-width: 44rem; }
.muted, figcaption span, dt { color: var(--muted); }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1.25rem 1rem; }
figure { margin: 0; break-inside: avoid; }
figure img, .none { display: block; width: 100%; height: 11rem; object-fit: contain; border: 1px solid var(--line); }
.none { display: flex; align-items: center; justify-content: center; padding: .75rem; font-size: .85rem; color: var(--muted);
  text-align: center; overflow-wrap: anywhere; }
figcaption { margin-top: .4rem; font-size: .9rem; line-height: 1.35; overflow-wrap: anywhere; }
figcaption span { display: block; }
.look { color: var(--look); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1rem; margin: 1.5rem 0 0; }
dt { font-size: .85rem; }
dd { margin: 0; font-size: 1.4rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .75rem .4rem 0; text-align: left; vertical-align: baseline; border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
td.number, th.number { text-align: right; }
td.number { white-space: nowrap; }
td.bar { width: 30%; min-width: 6rem; }
.bar i { display: block; height: .7rem; min-width: 1px; background: var(--bar); }
.bar i.over { background: var(--look); }
@media (max-width: 36rem) { td.bar, th.bar { display: none; } .sheet { grid-template-columns: 1fr 1fr; } }
@media print {
  :root { --paper: #fff; --ink: #000; --muted: #444; --line: #bbb; --bar: #777; --look: #000; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  .sheet { grid-template-columns: repeat(4, 1fr); }
  .bar i { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  h2 { break-after: avoid; }
  tr { break-inside: avoid; }
}
"""


def render_report(
    account: CampaignAccount,
    previews: Mapping[str, PreviewResult],
    drift: Mapping[str, Drift],
    sizes: Mapping[str, int],
    now: float,
    thumbnails_left_out: int = 0,
) -> str:
    """Return the page. ``previews`` and ``drift``: by the path that stands for a delivery; ``now``: Unix seconds.

    ``sizes``: of each delivered file that is still there, in bytes.
    """
    title = f"{display_name(account.campaign)}: report"
    body = [
        *_head(account, now),
        *_summary(account),
        *_sheet(account, previews, drift, sizes, thumbnails_left_out),
        *_time_table(account),
        *_stage_table(account),
        *_people(account),
        *_model_table(account),
        *_drift_table(account, drift),
    ]
    head = (
        FIRST_LINE,
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
    )
    return "\n".join((*head, *body, "</body></html>\n"))


def _head(account: CampaignAccount, now: float) -> Iterator[str]:
    yield f"<h1>{_name(account.campaign)}</h1>"
    period = f"Work from {format_time(account.first_at)} to {format_time(account.last_at)}. " if account.last_at else ""
    yield f'<p class="muted">{period}This report was made {format_time(now)} from the record of Goldsmith.</p>'


def _summary(account: CampaignAccount) -> Iterator[str]:
    figures = [
        ("Deliveries", f"{len(account.deliveries):,}"),
        ("Files", f"{sum(len(delivery.files) for delivery in account.deliveries):,}"),
        ("Work of machines", duration(account.work_seconds)),
        ("Of it on GPUs", duration(account.gpu_seconds) if account.gpu_seconds else ""),
        ("Waiting for eyes", duration(account.eyes.wait_seconds) if account.eyes.wait_seconds else ""),
        ("Work by hand, at most", duration(account.hand_seconds) if account.hands else ""),
    ]
    yield "<dl>" + "".join(f"<div><dt>{term}</dt><dd>{value}</dd></div>" for term, value in figures if value) + "</dl>"


def _sheet(
    account: CampaignAccount,
    previews: Mapping[str, PreviewResult],
    drift: Mapping[str, Drift],
    sizes: Mapping[str, int],
    left_out: int,
) -> Iterator[str]:
    yield "<h2>What was delivered</h2>"
    if not account.deliveries:
        yield "<p>Nothing was delivered yet.</p>"
        return
    yield '<div class="sheet">'
    for delivery in account.deliveries:
        yield from _figure(delivery, previews.get(delivery.shown_path), drift.get(delivery.shown_path), sizes)
    yield "</div>"
    if left_out:
        yield f'<p class="muted">{left_out:,} deliveries are shown without a picture, so that this file stays small.</p>'


def _figure(delivery: Delivery, preview: PreviewResult | None, drift: Drift | None, sizes: Mapping[str, int]) -> Iterator[str]:
    name = posixpath.splitext(posixpath.basename(delivery.path))[0]
    yield "<figure>"
    if preview is not None and preview.jpeg:
        data = base64.b64encode(preview.jpeg).decode("ascii")
        yield f'<img src="data:image/jpeg;base64,{data}" alt="{_name(name)}">'
    else:
        reason = preview.reason if preview is not None else "There is no picture of it here."
        yield f'<div class="none">{_text(reason)}</div>'
    yield f"<figcaption><strong>{_name(name)}</strong><span>{format_time(delivery.delivered_at)}, after {duration(delivery.seconds)}</span>"
    for file in delivery.files:
        read = preview if preview is not None and file.path == delivery.shown_path else None
        facts = [format_size(sizes[file.path]) if file.path in sizes else "no longer in its folder", read.facts if read is not None else ""]
        yield f"<span>{_name(posixpath.basename(file.path))}: {_text(', '.join(filter(None, facts)))}</span>"
        if read is not None and file.sha256 and read.sha256 and read.sha256 != file.sha256:
            yield '<span class="look">It was changed after it was delivered.</span>'
    yield from (f'<span class="look">{_text(remark)}</span>' for remark in delivery.remarks)
    if drift is not None and drift.from_middle >= _NOTICEABLE_DIFFERENCE:
        yield '<span class="look">Its colour is unlike the rest of the series.</span>'
    yield "</figcaption></figure>"


def _time_table(account: CampaignAccount) -> Iterator[str]:
    """Yield what has taken how long: the work of machines by stage, waiting, and people."""
    yield "<h2>Where the time went</h2>"
    if not account.stages:
        yield "<p>No stage has worked on this campaign.</p>"
        return
    times = [(f"{_name(stage)}, work of machines", each.work_seconds) for stage, each in account.stages.items()]
    times += [(f"by hand{f', {_name(program)}' if program else ''}, at most", work.seconds) for program, work in account.hands.items()]
    times += [("waiting for a worker", account.wait_seconds), ("waiting for eyes", account.eyes.wait_seconds)]
    most = max(seconds for _, seconds in times)
    yield "<p>Summed over all pictures: what happens at the same time counts twice.</p>"
    yield from _table(("", "time", ""), [(name, duration(seconds), _bar(seconds, most)) for name, seconds in times])


def _stage_table(account: CampaignAccount) -> Iterator[str]:
    if not account.stages:
        return
    yield "<h2>Stages</h2>"
    rows = [
        (
            _name(stage),
            f"{times.jobs:,}",
            f"{times.problems:,}" if times.problems else "",
            duration(times.work_seconds),
            duration(times.gpu_seconds) if times.gpu_seconds else "",
            duration(times.wait_seconds),
            _bar(times.work_seconds, max(each.work_seconds for each in account.stages.values())),
        )
        for stage, times in account.stages.items()
    ]
    yield from _table(("stage", "jobs", "problems", "work", "on GPUs", "waited for a worker", ""), rows)


def _people(account: CampaignAccount) -> Iterator[str]:
    eyes = account.eyes
    decisions = eyes.approved + eyes.again + eyes.rejected
    if not decisions and not account.hands:
        return
    yield "<h2>People</h2>"
    if decisions:
        yield (
            f"<p>{decisions:,} decisions in review/: {eyes.approved:,} approved, {eyes.again:,} made again, {eyes.rejected:,} rejected. "
            f"The results waited {duration(eyes.wait_seconds)} in all, {duration(eyes.wait_seconds / decisions)} on average and "
            f"{duration(eyes.longest_seconds)} at most.</p>"
        )
    for program, work in account.hands.items():
        tool = f"with {_name(program)}" if program else "with a program that the file does not name"
        pictures = f"{work.pictures:,} picture{'s' * (work.pictures != 1)}"
        yield f"<p>{pictures} saved by hand {tool}, within {duration(work.seconds)} after they lay there.</p>"


def _model_table(account: CampaignAccount) -> Iterator[str]:
    if not account.models:
        return
    yield "<h2>Models</h2>"
    yield f"<p>The campaign has cost {account.gpu_seconds:,.0f} GPU seconds: steps that ran a model on a GPU.</p>"
    most = max(use.seconds for use in account.models.values())
    rows = [
        (_name(name), _name(use.licence), f"{use.steps:,}", duration(use.seconds), f"{use.gpu_seconds:,.0f}", _bar(use.seconds, most))
        for name, use in sorted(account.models.items(), key=lambda item: -item[1].seconds)
    ]
    yield from _table(("model", "licence", "steps", "time", "GPU seconds", ""), rows, text_columns=2)


def _drift_table(account: CampaignAccount, drift: Mapping[str, Drift]) -> Iterator[str]:
    measured = [(delivery, drift[delivery.shown_path]) for delivery in account.deliveries if delivery.shown_path in drift]
    if len(measured) < 2:
        return
    yield "<h2>Drift of the series</h2>"
    yield (
        "<p>How far the mean colour of each delivery lies from the middle of the series, and from the delivery before it (CIEDE2000). "
        f"From {_NOTICEABLE_DIFFERENCE:.0f} on, have a look. Different subjects differ, too.</p>"
    )
    most = max(max(each.from_middle for _, each in measured), _NOTICEABLE_DIFFERENCE)
    rows = [
        (
            _name(posixpath.splitext(posixpath.basename(delivery.path))[0]),
            f"{each.from_middle:.1f}",
            "" if each.from_previous is None else f"{each.from_previous:.1f}",
            _bar(each.from_middle, most, is_over=each.from_middle >= _NOTICEABLE_DIFFERENCE),
        )
        for delivery, each in measured
    ]
    yield from _table(("picture", "from the middle", "from the one before", ""), rows)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> Iterator[str]:
    """Yield a table without the columns that are empty. Its cells are HTML; those behind the text columns are numbers, the last bars."""
    kinds = [""] * text_columns + [' class="number"'] * (len(columns) - text_columns - 1) + [' class="bar"']
    used = [number for number in range(len(columns)) if any(row[number] for row in rows)]
    yield '<div class="wide"><table><thead><tr>'
    yield "".join(f"<th{kinds[number]}>{columns[number]}</th>" for number in used) + "</tr></thead><tbody>"
    for row in rows:
        yield "<tr>" + "".join(f"<td{kinds[number]}>{row[number]}</td>" for number in used) + "</tr>"
    yield "</tbody></table></div>"


def _bar(value: float, most: float, *, is_over: bool = False) -> str:
    share = 100 * value / most if most else 0.0
    return f'<i{" class=" + chr(34) + "over" + chr(34) if is_over else ""} style="width:{share:.1f}%"></i>'


def format_size(count: int) -> str:
    """Return a size in bytes as text in units of 1000: 940 B, 28 kB, 1.4 MB."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.1f} {unit}" if size < 10 and unit != "B" else f"{size:.0f} {unit}"


def duration(seconds: float) -> str:
    """Return a time as people say it: 0.8 s, 12 s, 1 min 15 s, 14 min, 2 h 05 min, 3 d 4 h."""
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 0.05 else "0 s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 600:
        return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


def _name(name: str) -> str:
    return escape(display_name(name))


def _text(text: str) -> str:
    return escape(display_text(text)).replace("\n", "<br>")
