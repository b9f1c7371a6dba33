"""The pages to sign in and out."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from goldsmith.web import strings
from goldsmith.web.access import (
    MAX_BODY_BYTES,
    SIGN_IN_PATH,
    PageError,
    allowed,
    limit_body,
    set_session_cookie,
    visitor_of,
)
from goldsmith.web.page import page_of, render


async def show_sign_in(request: Request) -> Response:
    """Show the form, or sign in with the key of the printed link."""
    access = page_of(request).access
    key = request.query_params.get("key", "")
    if not key:
        return _form(request)
    try:
        cookie = access.sign_in_by_key(key, access.address_of(request.scope))
    except PageError as error:
        return _form(request, error)
    # Not a redirect: after one that began in another program, a browser would hold back a cookie that is SameSite=Strict.
    response = render(request, "signed_in.html", target="/")
    set_session_cookie(response, cookie, is_secure=access.is_secure(request.scope))
    return response


async def sign_in(request: Request) -> Response:
    """Sign in with a name and a password."""
    access = page_of(request).access
    body = await limit_body(request, MAX_BODY_BYTES).body()
    try:
        fields = dict(parse_qsl(body.decode(), max_num_fields=10))
    except ValueError:
        raise PageError(400, strings.WRONG_FORM, strings.STALE_PAGE_REMEDY) from None
    name, password = fields.get("name", ""), fields.get("password", "")
    try:
        cookie = await access.sign_in_by_password(name, password, access.address_of(request.scope))
    except PageError as error:
        return _form(request, error, name)
    response = RedirectResponse(_own_target(request), 303)
    set_session_cookie(response, cookie, is_secure=access.is_secure(request.scope))
    return response


@allowed("look")
async def sign_out(request: Request) -> Response:
    """End this session, or with ``?everywhere=1`` all sessions of this person."""
    access = page_of(request).access
    access.sign_out(visitor_of(request), everywhere=request.query_params.get("everywhere") == "1")
    response = Response(status_code=204)
    set_session_cookie(response, "", is_secure=access.is_secure(request.scope))
    return response


def _form(request: Request, error: PageError | None = None, name: str = "") -> Response:
    access = page_of(request).access
    response = render(
        request,
        "sign_in.html",
        200 if error is None else error.status,
        has_passwords=access.has_passwords,
        error=error,
        name=name,
        target=_own_target(request),
        was_sent_here="next" in request.query_params,
    )
    if error is not None and error.sentence == strings.TOO_MANY_ATTEMPTS:
        response.headers["retry-after"] = "60"
    return response


def _own_target(request: Request) -> str:
    """Return where to go after the sign-in: a path of this page, never another site."""
    target = request.query_params.get("next", "/")
    parts = urlsplit(target)
    is_own = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return target if is_own and target.isprintable() and "\\" not in target else "/"


ROUTES = [
    Route(SIGN_IN_PATH, show_sign_in, methods=["GET"]),
    Route(SIGN_IN_PATH, sign_in, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
]
