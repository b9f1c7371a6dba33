"""Who may use the page: signing in, sessions, roles, and the checks that every request passes."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple
from urllib.parse import quote, urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from goldsmith.brief.web_settings import LOOPBACK_HOSTS, PASSWORD_HASH, Role, WebSettings
from goldsmith.errors import GoldsmithError
from goldsmith.web import strings

_log = structlog.get_logger("goldsmith.web")

COOKIE_NAME = "goldsmith"
CSRF_HEADER = "x-csrf-token"
SIGN_IN_PATH = "/sign-in"
STATIC_PATH = "/static/"
# Bytes that the body of a request may have, unless its endpoint takes more.
MAX_BODY_BYTES = 64 * 1024
# A body must arrive within this time, and at this rate.
_BODY_SECONDS, _BODY_BYTES_PER_SECOND = 30.0, 1024
_SAFE_METHODS = frozenset({"GET", "HEAD"})

# The costs of scrypt: its base-2 logarithm of N, r and p. Together 16 MiB and about 0.2 s.
_LOG_N, _BLOCK_SIZE, _PASSES = 14, 8, 5
_MAX_SCRYPT_BYTES = 256 * 2**20
_MAX_SESSIONS = 1000
# Sign-ins that may fail within a minute, from one address and for one name.
_MAX_FAILURES = {"address": 5, "name": 20}
_FAILURE_SECONDS = 60.0
_MAX_NAME_CHARS = 60

_SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; img-src 'self' blob:; script-src 'self'; style-src 'self'; connect-src 'self'; font-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # "no-referrer" would make browsers send `Origin: null` with a form.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}

Endpoint = Callable[[Request], Awaitable[Response]]


class PageError(GoldsmithError):
    """A request that the page refuses, with its HTTP status."""

    def __init__(self, status: int, sentence: str, remedy: str = "") -> None:
        super().__init__(sentence, remedy)
        self.status = status


class Visitor(NamedTuple):
    """The person whose request this is."""

    name: str
    role: Role
    # What a request that changes something must carry.
    csrf_token: str
    # The key of the session; "" for a person whom a proxy has signed in.
    session: str = ""

    @property
    def may_decide(self) -> bool:
        """Whether the person may decide, paint, ask and drop pictures."""
        return self.role == "decide"


@dataclass(slots=True)
class _Session:
    name: str
    csrf_token: str
    used_at: float


class Access:
    """Knows who has signed in. ``link_name``: the person who signs in with the link, if neither people nor a proxy are set."""

    def __init__(self, settings: WebSettings, link_name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._link_name = link_name
        self._clock = clock
        # By the hash of the cookie, the one used last at the end.
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._failures: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()
        self._secret = secrets.token_bytes(32)
        # One hash at a time: each takes 16 MiB and a processor.
        self._hashing = asyncio.Lock()
        is_alone = not settings.people and not settings.proxy_header
        self.sign_in_key = secrets.token_urlsafe(32) if is_alone else ""

    @property
    def has_passwords(self) -> bool:
        """Whether anybody can sign in with a password."""
        return any(account.password for account in self._settings.people.values())

    # ------------------------------------------------------------------ signing in

    def sign_in_by_key(self, key: str, address: str) -> str:
        """Return the cookie of a new session, for the key of the printed link. Raises PageError if the key is wrong."""
        self._check_failures(address, "")
        if not self.sign_in_key or not hmac.compare_digest(key.encode(), self.sign_in_key.encode()):
            self._count_failure(address, "")
            raise PageError(403, strings.WRONG_LINK, strings.WRONG_LINK_REMEDY)
        return self._begin_session(self._link_name)

    async def sign_in_by_password(self, name: str, password: str, address: str) -> str:
        """Return the cookie of a new session. Raises PageError if name or password are wrong, or after too many failures."""
        self._check_failures(address, name)
        account = self._settings.people.get(name)
        # A name that does not exist takes as long as a wrong password.
        stored_hash = account.password if account is not None and account.password else _UNMATCHED_HASH
        async with self._hashing:
            self._check_failures(address, name)
            is_right = await asyncio.to_thread(check_password, password, stored_hash)
            if not is_right:
                self._count_failure(address, name)
                raise PageError(403, strings.WRONG_PASSWORD)
        return self._begin_session(name)

    def sign_out(self, visitor: Visitor, *, everywhere: bool = False) -> None:
        """End this session of the visitor, or all sessions of that name."""
        if everywhere:
            self._sessions = OrderedDict((key, session) for key, session in self._sessions.items() if session.name != visitor.name)
        else:
            self._sessions.pop(visitor.session, None)

    def _begin_session(self, name: str) -> str:
        cookie = secrets.token_urlsafe(32)
        self._sessions[_session_key(cookie)] = _Session(name, secrets.token_urlsafe(32), self._clock())
        while len(self._sessions) > _MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return cookie

    def _check_failures(self, address: str, name: str) -> None:
        now = self._clock()
        for key in (("address", address), ("name", name)):
            times = self._failures.get(key)
            while times and times[0] < now - _FAILURE_SECONDS:
                times.popleft()
            if times and len(times) >= _MAX_FAILURES[key[0]]:
                raise PageError(429, strings.TOO_MANY_ATTEMPTS, strings.TOO_MANY_ATTEMPTS_REMEDY)

    def _count_failure(self, address: str, name: str) -> None:
        for key in (("address", address), *([("name", name)] if name in self._settings.people else [])):
            self._failures.setdefault(key, deque()).append(self._clock())
            self._failures.move_to_end(key)
        while len(self._failures) > _MAX_SESSIONS:
            self._failures.popitem(last=False)

    # ------------------------------------------------------------------ requests

    def visitor(self, scope: Scope) -> Visitor | None:
        """Return who sends a request; None if nobody has signed in."""
        headers = Headers(scope=scope)
        return self._visitor_of_proxy(scope, headers) or self._visitor_of_cookie(headers)

    def _visitor_of_proxy(self, scope: Scope, headers: Headers) -> Visitor | None:
        if not self.is_from_proxy(scope):
            return None
        names = headers.getlist(self._settings.proxy_header)
        name = names[0].strip() if len(names) == 1 else ""
        if not name or not name.isprintable() or len(name) > _MAX_NAME_CHARS:
            return None
        role = self._role_of(name)
        if role is None:
            return None
        return Visitor(name, role, hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest())

    def _visitor_of_cookie(self, headers: Headers) -> Visitor | None:
        cookie = _cookie_of(headers)
        key = _session_key(cookie) if cookie else ""
        session = self._sessions.get(key)
        if session is None:
            return None
        role = self._role_of(session.name)
        if role is None or self._is_expired(session):
            del self._sessions[key]
            return None
        session.used_at = self._clock()
        self._sessions.move_to_end(key)
        return Visitor(session.name, role, session.csrf_token, key)

    def has_ended(self, visitor: Visitor) -> bool:
        """Return whether the session of a visitor has ended since the request came. Asking does not lengthen it."""
        session = self._sessions.get(visitor.session)
        return bool(visitor.session) and (session is None or self._is_expired(session))

    def _is_expired(self, session: _Session) -> bool:
        return session.used_at < self._clock() - self._settings.session_hours * 3600

    def _role_of(self, name: str) -> Role | None:
        account = self._settings.people.get(name)
        if account is not None:
            return account.role
        if self._settings.proxy_header:
            return None if self._settings.proxy_role == "none" else self._settings.proxy_role
        return "decide" if self.sign_in_key and name == self._link_name else None

    def is_from_proxy(self, scope: Scope) -> bool:
        """Return whether a request comes from the proxy whose header is believed."""
        client = scope.get("client")
        return bool(self._settings.proxy_header) and client is not None and client[0] in self._settings.proxy_addresses

    def address_of(self, scope: Scope) -> str:
        """Return the address of the browser: that which the proxy names, or that of the connection."""
        forwarded = Headers(scope=scope).get("x-forwarded-for", "") if self.is_from_proxy(scope) else ""
        client = scope.get("client")
        return forwarded.rpartition(",")[2].strip() or (client[0] if client else "")

    def is_secure(self, scope: Scope) -> bool:
        """Return whether the browser uses HTTPS."""
        proxied = Headers(scope=scope).get("x-forwarded-proto", "") if self.is_from_proxy(scope) else ""
        return (proxied or scope.get("scheme")) == "https"

    def check_names(self, method: str, headers: Headers) -> None:
        """Raise PageError for a host name that is not the page's, and for a change that another site asks for."""
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or _host_name(host) not in {*LOOPBACK_HOSTS, *map(str.casefold, self._settings.host_names)}:
            raise PageError(403, strings.FOREIGN_HOST, strings.FOREIGN_HOST_REMEDY)
        if method in _SAFE_METHODS:
            return
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        is_foreign = origin is not None and urlsplit(origin).netloc.casefold() != host.casefold()
        if is_foreign or site not in (None, "same-origin", "none"):
            raise PageError(403, strings.CROSS_SITE, strings.CROSS_SITE_REMEDY)


class AccessChecks:
    """The middleware in front of every endpoint: host name, origin, who it is; and the headers of every response."""

    def __init__(self, app: ASGIApp, access: Access, on_error: Callable[[Request, GoldsmithError], Response]) -> None:
        self._app = app
        self._access = access
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection; anything but HTTP is closed."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        has_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                headers = MutableHeaders(scope=message)
                headers.update(_SECURITY_HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        scope.setdefault("state", {})["visitor"] = None
        try:
            # The page's own styles have no secrets, and the page that refuses a host name needs them.
            if not scope["path"].startswith(STATIC_PATH):
                self._access.check_names(scope["method"], Headers(scope=scope))
        except PageError as error:
            await self._on_error(Request(scope), error)(scope, receive, send_with_headers)
            return
        scope["state"]["visitor"] = self._access.visitor(scope)
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:  # a bug: the person gets a sentence without details, the log the traceback
            _log.exception("page_fault", path=scope["path"])
            if has_started:
                raise
            fault = PageError(500, strings.PAGE_FAULT, strings.PAGE_FAULT_REMEDY)
            await self._on_error(Request(scope), fault)(scope, receive, send_with_headers)


def allowed(role: Role, *, max_body: int = MAX_BODY_BYTES) -> Callable[[Endpoint], Endpoint]:
    """Return a decorator for an endpoint that only people with this role may use; ``max_body``: bytes that a request may bring."""

    def decorate(endpoint: Endpoint) -> Endpoint:
        @functools.wraps(endpoint)
        async def guarded(request: Request) -> Response:
            visitor = request.state.visitor
            if visitor is None:
                return ask_to_sign_in(request)
            if role == "decide" and not visitor.may_decide:
                raise PageError(403, strings.may_only_look(visitor.name), strings.MAY_ONLY_LOOK_REMEDY)
            if request.method not in _SAFE_METHODS:
                check_csrf_token(request, request.headers.get(CSRF_HEADER, ""))
            return await endpoint(limit_body(request, max_body))

        guarded.required_role = role  # type: ignore[attr-defined]
        return guarded

    return decorate


def visitor_of(request: Request) -> Visitor:
    """Return the person whose request this is, behind ``allowed``."""
    visitor = request.state.visitor
    if not isinstance(visitor, Visitor):
        raise PageError(401, strings.NOT_SIGNED_IN)
    return visitor


def check_csrf_token(request: Request, token: str) -> None:
    """Raise PageError unless the request carries the token of its session."""
    if not hmac.compare_digest(token.encode(), visitor_of(request).csrf_token.encode()):
        raise PageError(403, strings.STALE_PAGE, strings.STALE_PAGE_REMEDY)


def ask_to_sign_in(request: Request) -> Response:
    """Return the way to the sign-in page for a browser; raise PageError for a script."""
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{SIGN_IN_PATH}?next={quote(target, safe='')}", 303)
    raise PageError(401, strings.NOT_SIGNED_IN, strings.NOT_SIGNED_IN_REMEDY)


def limit_body(request: Request, max_body: int, clock: Callable[[], float] = time.monotonic) -> Request:
    """Return the request with a body of at most ``max_body`` bytes, which must arrive in time: reading it raises PageError otherwise."""
    length = request.headers.get("content-length", "")
    if length and (not length.isdecimal() or int(length) > max_body):
        raise _too_large(max_body)
    received, began = 0, clock()
    receive_next = request.receive

    async def receive() -> Message:
        nonlocal received
        patience = began + _BODY_SECONDS + received / _BODY_BYTES_PER_SECOND - clock()
        try:
            message = await asyncio.wait_for(receive_next(), max(0.0, patience))
        except TimeoutError:
            raise PageError(408, strings.SLOW_BODY, strings.SLOW_BODY_REMEDY) from None
        received += len(message.get("body", b""))
        if received > max_body:
            raise _too_large(max_body)
        return message

    return Request(request.scope, receive)


def hash_password(password: str) -> str:
    """Return the hash of a password for goldsmith.toml."""
    salt = secrets.token_bytes(16)
    return f"scrypt${_LOG_N}${_BLOCK_SIZE}${_PASSES}${salt.hex()}${_scrypt(password, salt, _LOG_N, _BLOCK_SIZE, _PASSES).hex()}"


def check_password(password: str, stored_hash: str) -> bool:
    """Return whether a password has this hash. ``stored_hash``: as ``hash_password`` returns it."""
    parts = PASSWORD_HASH.fullmatch(stored_hash)
    if parts is None:
        return False
    log_n, block_size, passes = (int(parts[number]) for number in (1, 2, 3))
    try:
        computed = _scrypt(password, bytes.fromhex(parts[4]), log_n, block_size, passes)
    except ValueError:  # costs that scrypt refuses
        return False
    return hmac.compare_digest(computed, bytes.fromhex(parts[5]))


def _scrypt(password: str, salt: bytes, log_n: int, block_size: int, passes: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=2**log_n, r=block_size, p=passes, maxmem=_MAX_SCRYPT_BYTES, dklen=32
    )


# Of a password that nobody knows.
_UNMATCHED_HASH = f"scrypt${_LOG_N}${_BLOCK_SIZE}${_PASSES}${secrets.token_hex(16)}${secrets.token_hex(32)}"


def _too_large(max_body: int) -> PageError:
    return PageError(413, strings.too_large(max_body), strings.TOO_LARGE_REMEDY)


def _session_key(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()


def _cookie_of(headers: Headers) -> str:
    """Return the page's cookie; "" if there is none, or more than one."""
    pairs = [pair.strip().partition("=") for header in headers.getlist("cookie") for pair in header.split(";")]
    values = [value for name, _, value in pairs if name == COOKIE_NAME]
    return values[0] if len(values) == 1 else ""


def _host_name(host: str) -> str:
    """Return the name in a Host header, without its port and in lower case."""
    try:
        return (urlsplit(f"//{host}").hostname or "").casefold()
    except ValueError:
        return ""


def set_session_cookie(response: Response, cookie: str, *, is_secure: bool) -> None:
    """Let a response set the cookie of a session; with "" it removes the cookie."""
    samesite: Literal["strict"] = "strict"
    if cookie:
        response.set_cookie(COOKIE_NAME, cookie, httponly=True, samesite=samesite, secure=is_secure)
    else:
        response.delete_cookie(COOKIE_NAME, httponly=True, samesite=samesite, secure=is_secure)
