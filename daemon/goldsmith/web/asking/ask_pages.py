"""The page that asks for work: a form that becomes the brief of a picture or of a campaign."""

from __future__ import annotations

import posixpath

import structlog
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goldsmith.brief.parsing import BriefProblem
from goldsmith.brief.pipeline import Pipeline, Stage
from goldsmith.files import display_name
from goldsmith.ops import catalogue
from goldsmith.web import strings
from goldsmith.web.access import PageError, Visitor, allowed, visitor_of
from goldsmith.web.asking.brief_form import CheckedBrief, FilledForm, check_form, open_brief, stages_from, stamp_of
from goldsmith.web.asking.brief_target import BriefTarget, find_target
from goldsmith.web.asking.settings_form import BARE_TABLE, form_of, has_texts, row_numbers
from goldsmith.web.hands import put_file
from goldsmith.web.page import Page, page_of, render
from goldsmith.web.pictures import path_of
from goldsmith.web.replaced_files import copy_to_archive

_ASK, _CHECK, _STEP = "/ask/", "/ask-check/", "/ask-step"
_MAX_FORM_BYTES = 512 * 1024
_log = structlog.get_logger("goldsmith.web")
# What the template of a field uses.
_FIELD_VALUES = {"bare_table": BARE_TABLE, "has_texts": has_texts, "row_numbers": row_numbers}


@allowed("decide")
async def show_form(request: Request) -> Response:
    """Show the form, filled with the brief that is there."""
    page = page_of(request)
    target = await run_in_threadpool(find_target, page, path_of(request, _ASK))
    opened = await run_in_threadpool(open_brief, page, target)
    stages = stages_from(page.pipeline, target)
    return render(
        request,
        "ask.html",
        target=target,
        subject=display_name(posixpath.basename(target.picture or posixpath.dirname(target.path))),
        address=target.picture or posixpath.dirname(target.path),
        opened=opened,
        choices=[(stage.name, operations_of(stage)) for stage in stages],
        steps=[_step_values(step.stage, step.op, step.texts) for step in opened.form.steps],
        recipes=page.setup.library.list_names("recipes", (".toml",)),
        texts_of_form=_FIELD_VALUES,
    )


@allowed("decide")
async def show_step(request: Request) -> Response:
    """Return the fields of one operation, to be put into the form."""
    stage = _stage_called(page_of(request).pipeline, request.query_params.get("stage", ""))
    op = request.query_params.get("op", "")
    if stage is None or op not in operations_of(stage):
        raise PageError(404, strings.NOT_FOUND, strings.NOT_FOUND_REMEDY)
    return render(request, "ask_step.html", step=_step_values(stage.name, op, {}), texts_of_form=_FIELD_VALUES)


@allowed("decide", max_body=_MAX_FORM_BYTES)
async def check(request: Request) -> Response:
    """Return the brief that a filled form makes, and what is wrong with it."""
    page = page_of(request)
    target = await run_in_threadpool(find_target, page, path_of(request, _CHECK))
    checked = await run_in_threadpool(check_form, page, target, await _read_form(request))
    return JSONResponse(_answer(page, target, checked))


@allowed("decide", max_body=_MAX_FORM_BYTES)
async def write(request: Request) -> Response:
    """Write the brief of a filled form, unless it has problems or the file has been changed since it was opened."""
    page = page_of(request)
    form = await _read_form(request)
    target = await run_in_threadpool(find_target, page, path_of(request, _ASK))
    async with page.saving:
        opened = await run_in_threadpool(open_brief, page, target)
        if opened.stamp != request.query_params.get("replaces", ""):
            raise PageError(409, strings.BRIEF_CHANGED, strings.BRIEF_CHANGED_REMEDY)
        checked = await run_in_threadpool(check_form, page, target, form)
        if not checked.is_valid:
            raise PageError(400, strings.BRIEF_HAS_PROBLEMS, strings.BRIEF_HAS_PROBLEMS_REMEDY)
        await run_in_threadpool(_write_brief, page, visitor_of(request), target, checked.toml)
    _log.info("brief_written", file=display_name(target.path), person=visitor_of(request).name)
    return JSONResponse({"sentence": strings.brief_written(target.name), "stamp": stamp_of(checked.toml.encode())})


def _write_brief(page: Page, visitor: Visitor, target: BriefTarget, toml: str) -> None:
    if target.exists:
        copy_to_archive(page, target.path)
    put_file(page, visitor, target.path, toml.encode(), "written", replace=target.exists)


def operations_of(stage: Stage) -> list[str]:
    """Return the operations that a step of a stage may name."""
    return [op for op in catalogue() if stage.allowed_ops is None or op in stage.allowed_ops]


def _stage_called(pipeline: Pipeline, name: str) -> Stage | None:
    return next((stage for stage in pipeline.stages if stage.name == name), None)


def _step_values(stage: str, op: str, texts: object) -> dict[str, object]:
    """Return what the template of a step needs."""
    operation = catalogue()[op]
    summary = (operation.__doc__ or "").split("\n", 1)[0].replace("`", "")
    return {"stage": stage, "op": op, "summary": summary, "fields": form_of(operation), "texts": texts}


async def _read_form(request: Request) -> FilledForm:
    try:
        return FilledForm.model_validate_json(await request.body())
    except ValidationError:
        raise PageError(400, strings.WRONG_FORM, strings.STALE_PAGE_REMEDY) from None


def _answer(page: Page, target: BriefTarget, checked: CheckedBrief) -> dict[str, object]:
    return {
        "toml": checked.toml,
        "problems": [_problem_values(problem) for problem in checked.problems],
        "others": [display_name(sentence) for sentence in checked.others],
        "plan": _plan(page, target, checked),
        "valid": checked.is_valid and bool(checked.toml.strip()),
    }


def _problem_values(problem: BriefProblem) -> dict[str, object]:
    sentence = strings.later_needed(problem.sentence) if problem.is_transient else problem.sentence
    return {"location": problem.location, "sentence": display_name(f"{problem.location} {sentence}".strip()), "later": problem.is_transient}


def _plan(page: Page, target: BriefTarget, checked: CheckedBrief) -> list[str]:
    """Return what would run, as sentences."""
    resolved = checked.resolved
    if checked.problems or checked.others:
        return []
    if resolved is None or not checked.toml.strip() or not resolved.reaches(target.stage):
        return [strings.NOTHING_ASKED]
    last = page.pipeline.index_of(resolved.last_stage)
    stages = page.pipeline.stages[page.pipeline.index_of(target.stage.name) : last + 1]
    lines = []
    for stage in stages:
        operations = ", ".join(step.op for step in resolved.steps_for(stage))
        lines.append(strings.step_runs(stage.name, operations) if operations else strings.passes_unchanged(stage.name))
    return [*lines, strings.then_in(stages[-1].next_folder)]


ROUTES = [
    Route(_STEP, show_step, methods=["GET"]),
    Route(_CHECK + "{path:path}", check, methods=["POST"]),
    Route(_ASK + "{path:path}", show_form, methods=["GET"]),
    Route(_ASK + "{path:path}", write, methods=["PUT"]),
]
