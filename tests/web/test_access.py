"""Who may use the page: signing in, sessions, roles, and requests that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.routing import Route
from starlette.testclient import TestClient

from doubles.web_pages import AS_BROWSER, cheap_hash, client_of, make_page, signed_in_client, token_in
from goldsmith.brief.web_settings import WebSettings
from goldsmith.web.access import check_password, hash_password
from goldsmith.web.app import ROUTES
from goldsmith.web.page import Page
from goldsmith.web.signing_in import show_sign_in, sign_in


@pytest.fixture(scope="module")
def hashed() -> str:
    """Return the hash of “amber and oak”."""
    return cheap_hash("amber and oak")


def people(hashed: str, **roles: str) -> dict[str, Any]:
    return {name: {"password": hashed, "role": role} for name, role in roles.items()}


def test_every_page_asks_to_sign_in() -> None:
    """Every route has its role; only the two that sign in have none."""
    open_endpoints = [route.endpoint for route in ROUTES if isinstance(route, Route) and not hasattr(route.endpoint, "required_role")]
    assert open_endpoints == [show_sign_in, sign_in]
    assert all(isinstance(route, Route) for route in ROUTES)


def test_somebody_without_a_session_is_sent_to_the_sign_in_page(page: Page) -> None:
    """A browser goes there and comes back to where it wanted to go; a script gets a sentence."""
    client = client_of(page)
    answer = client.get("/?state=held", headers=AS_BROWSER)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2F%3Fstate%3Dheld")
    refused = client.get("/")
    assert (refused.status_code, refused.json()["error"]) == (401, "You are not signed in, or your session has ended.")


def test_the_printed_link_signs_in(page: Page) -> None:
    """The cookie is closed to scripts and to other sites, and the next page has the name."""
    client = client_of(page)
    answer = client.get("/sign-in", params={"key": page.access.sign_in_key}, headers=AS_BROWSER)
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("goldsmith=")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert "anna" in client.get("/", headers=AS_BROWSER).text


def test_a_wrong_link_does_not_sign_in(page: Page) -> None:
    """The answer says so and sets no cookie."""
    answer = client_of(page).get("/sign-in?key=guessed", headers=AS_BROWSER)
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    assert "does not sign you in" in answer.text


def test_there_is_no_link_where_people_have_passwords(root: Path, hashed: str) -> None:
    """An empty key does not open the page either."""
    page = make_page(root, people=people(hashed, anna="look"))
    assert page.access.sign_in_key == ""
    assert client_of(page).get("/sign-in?key=", headers=AS_BROWSER).status_code == 200
    assert client_of(page).get("/", headers=AS_BROWSER).status_code == 303


def test_a_password_signs_in_with_the_role_of_its_person(root: Path, hashed: str) -> None:
    """Bertha may look, and goes where she wanted to go."""
    client = client_of(make_page(root, people=people(hashed, bertha="look")))
    answer = client.post("/sign-in?next=/%3Fstate%3Dheld", data={"name": "bertha", "password": "amber and oak"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?state=held")
    html = client.get("/", headers=AS_BROWSER).text
    assert "bertha" in html
    assert "You may look." in html


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/\n/x"])
def test_signing_in_leads_to_no_other_site(root: Path, hashed: str, target: str) -> None:
    """Whatever a prepared link says, the way leads to this page."""
    client = client_of(make_page(root, people=people(hashed, bertha="look")))
    answer = client.post("/sign-in", params={"next": target}, data={"name": "bertha", "password": "amber and oak"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_a_wrong_password_and_a_wrong_name_get_the_same_answer(root: Path, hashed: str) -> None:
    """Nobody learns which names exist."""
    client = client_of(make_page(root, people=people(hashed, bertha="look")))
    answers = [client.post("/sign-in", data={"name": name, "password": "oak"}) for name in ("bertha", "nobody")]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert len({answer.text.replace("bertha", "nobody") for answer in answers}) == 1


def test_failed_sign_ins_are_limited(root: Path, hashed: str) -> None:
    """After five failures within a minute even the right password must wait."""
    client = client_of(make_page(root, people=people(hashed, bertha="look")))
    for _ in range(5):
        assert client.post("/sign-in", data={"name": "bertha", "password": "oak"}).status_code == 403
    answer = client.post("/sign-in", data={"name": "bertha", "password": "amber and oak"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")


def test_signing_out_ends_the_session(page: Page) -> None:
    """A copy of the cookie is worth nothing afterwards."""
    client = signed_in_client(page)
    cookie = client.cookies["goldsmith"]
    assert client.post("/sign-out").status_code == 204
    assert client_of(page, cookies={"goldsmith": cookie}).get("/", headers=AS_BROWSER).status_code == 303


def test_the_sign_in_page_says_why_somebody_is_there(page: Page) -> None:
    """Whoever comes from another page has no session, or none any more."""
    client, sentence = client_of(page), "your session has ended"
    assert sentence in client.get(client.get("/look/inbox/x.png", headers=AS_BROWSER).headers["location"], headers=AS_BROWSER).text
    assert sentence not in client.get("/sign-in", headers=AS_BROWSER).text


def test_signing_out_everywhere_ends_all_sessions_of_the_person(page: Page) -> None:
    """Also that of the browser that was forgotten at home; without the word it goes on."""
    forgotten, third, current = (signed_in_client(page) for _ in range(3))
    assert third.post("/sign-out").status_code == 204
    assert forgotten.get("/", headers=AS_BROWSER).status_code == 200
    assert current.post("/sign-out?everywhere=1").status_code == 204
    assert forgotten.get("/", headers=AS_BROWSER).status_code == 303


def test_a_session_ends_after_hours_without_use(root: Path) -> None:
    """Use lengthens it."""
    page = make_page(root, session_hours=1)
    now = [0.0]
    page.access._clock = lambda: now[0]
    client = signed_in_client(page)
    for now[0] in (3000.0, 6000.0):
        assert client.get("/", headers=AS_BROWSER).status_code == 200
    now[0] = 9601.0
    assert client.get("/", headers=AS_BROWSER).status_code == 303


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8642", "127.0.0.1.evil.example", "", "localhost@evil.example"])
def test_a_foreign_host_name_is_refused(page: Page, host: str) -> None:
    """A name that another site has pointed at this computer (DNS rebinding) opens nothing, whatever cookie it has."""
    client = signed_in_client(page)
    for path in ("/", "/sign-in", "/static/%2e%2e/sign-in"):
        assert client.get(path, headers={"host": host, **AS_BROWSER}).status_code in (403, 404)
    # The page that says so has its styles.
    assert client.get("/static/base.css", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1:8642", "localhost", "[::1]:8642", "LOCALHOST:8642", "Studio.Lan"])
def test_the_page_s_own_names_are_accepted(root: Path, host: str) -> None:
    """Those of loopback, and those in the settings, in upper and lower case."""
    page = make_page(root, host_names=["studio.lan"])
    assert client_of(page).get("/sign-in", headers={"host": host, **AS_BROWSER}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}],
)
def test_a_change_that_another_site_asks_for_is_refused(page: Page, headers: dict[str, str]) -> None:
    """Even with the cookie and the token."""
    client = signed_in_client(page)
    assert client.post("/sign-out", headers=headers).status_code == 403
    own = {"origin": "http://127.0.0.1:8642", "sec-fetch-site": "same-origin"}
    assert client.post("/sign-out", headers=own).status_code == 204


@pytest.mark.parametrize("token", ["", "guessed", "ü"])
def test_a_change_without_the_token_of_the_session_is_refused(page: Page, token: str) -> None:
    """The token of another session is no better."""
    client, other = signed_in_client(page), signed_in_client(page)
    for wrong in (token, other.headers["x-csrf-token"]):
        answer = client.post("/sign-out", headers={"x-csrf-token": wrong.encode()})
        assert (answer.status_code, answer.json()["error"]) == (403, "This page is from an earlier session.")


def test_every_answer_has_the_headers_that_keep_other_sites_out(client: TestClient) -> None:
    """No framing, no guessing of types, no foreign script; also on errors and on what needs no sign-in."""
    for path in ("/", "/no-such-page", "/static/base.css", "/static/none.css", "/sign-in"):
        headers = client.get(path, headers=AS_BROWSER).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")
        assert headers["cross-origin-resource-policy"] == "same-origin"
    assert client.get("/", headers=AS_BROWSER).headers["cache-control"] == "no-store"


def test_the_proxy_signs_people_in(root: Path) -> None:
    """Its header is believed from its address alone, and who is not in the settings may look."""
    settings = {"proxy_header": "X-Remote-User", "proxy_addresses": ["10.0.0.2"], "people": {"bertha": {"role": "decide"}}}
    page = make_page(root, **settings)
    proxy, stranger = client_of(page, client=("10.0.0.2", 5)), client_of(page, client=("10.0.0.9", 5))
    assert "You may look and decide." in proxy.get("/", headers={"x-remote-user": "bertha", **AS_BROWSER}).text
    assert "You may look." in proxy.get("/", headers={"x-remote-user": "carl", **AS_BROWSER}).text
    assert proxy.get("/", headers=AS_BROWSER).status_code == 303
    assert stranger.get("/", headers={"x-remote-user": "bertha", **AS_BROWSER}).status_code == 303


def test_a_person_of_the_proxy_needs_the_token_too(root: Path) -> None:
    """Otherwise another site could act through the proxy's own session."""
    page = make_page(root, proxy_header="X-Remote-User", proxy_addresses=["10.0.0.2"], proxy_role="decide")
    client = client_of(page, client=("10.0.0.2", 5), headers={"x-remote-user": "bertha"})
    token = token_in(client.get("/", headers=AS_BROWSER).text)
    assert client.post("/sign-out").status_code == 403
    assert client.post("/sign-out", headers={"x-csrf-token": token}).status_code == 204
    carl = {"x-remote-user": "carl", "x-csrf-token": token}
    assert client_of(page, client=("10.0.0.2", 5), headers=carl).post("/sign-out").status_code == 403


def test_the_proxy_can_admit_known_people_only(root: Path) -> None:
    """With proxy_role = "none"."""
    page = make_page(root, proxy_header="X-User", proxy_addresses=["10.0.0.2"], proxy_role="none", people={"bertha": {}})
    client = client_of(page, client=("10.0.0.2", 5))
    statuses = [client.get("/", headers={"x-user": name, **AS_BROWSER}).status_code for name in ("bertha", "carl")]
    assert statuses == [200, 303]


def test_the_cookie_is_for_https_only_where_the_proxy_says_https(root: Path, hashed: str) -> None:
    """The word of anybody else is not believed."""
    page = make_page(root, proxy_header="X-User", proxy_addresses=["10.0.0.2"], people=people(hashed, bertha="look"))
    for address, is_secure in (("10.0.0.2", True), ("10.0.0.9", False)):
        answer = client_of(page, client=(address, 5)).post(
            "/sign-in", data={"name": "bertha", "password": "amber and oak"}, headers={"x-forwarded-proto": "https"}
        )
        assert ("Secure" in answer.headers["set-cookie"].split("; ")) is is_secure


def test_beyond_this_computer_the_page_needs_passwords_and_names(hashed: str) -> None:
    """Each setting alone is refused with a sentence that names it."""
    with pytest.raises(ValidationError, match="needs people with passwords, or proxy_header"):
        WebSettings(host="0.0.0.0", host_names=("studio.lan",))  # noqa: S104 - it is refused
    with pytest.raises(ValidationError, match="needs host_names"):
        WebSettings.model_validate({"host": "0.0.0.0", "people": people(hashed, anna="look")})  # noqa: S104
    WebSettings.model_validate({"host": "0.0.0.0", "people": people(hashed, anna="look"), "host_names": ["studio.lan"]})  # noqa: S104


def test_a_password_that_is_no_hash_is_refused() -> None:
    """Nobody writes the password itself into the file by mistake."""
    with pytest.raises(ValidationError, match="--hash-password"):
        WebSettings.model_validate({"people": {"anna": {"password": "amber and oak"}}})


def test_two_hashes_of_one_password_differ() -> None:
    """Each has its own salt, and accepts the password and no other."""
    first, other = hash_password("amber and oak"), hash_password("amber and oak")
    assert first != other
    assert [check_password(word, other) for word in ("amber and oak", "amber and oak ", "")] == [True, False, False]


@pytest.mark.parametrize("stored_hash", ["", "scrypt$99$8$1$" + "00" * 16 + "$" + "00" * 32, "amber and oak"])
def test_a_hash_that_cannot_be_computed_accepts_nothing(stored_hash: str) -> None:
    """Neither an error nor an open door."""
    assert check_password("amber and oak", stored_hash) is False


def test_a_proxy_is_believed_only_from_addresses_that_are_named() -> None:
    """Not from this computer by itself: each of its users could say to be anybody."""
    with pytest.raises(ValidationError, match="proxy_header needs proxy_addresses"):
        WebSettings.model_validate({"proxy_header": "X-Remote-User"})
