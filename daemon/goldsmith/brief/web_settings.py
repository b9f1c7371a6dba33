"""The table ``[web]`` of goldsmith.toml: where the page listens, and who may look and decide."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Role = Literal["look", "decide"]

# What `goldsmith web --hash-password` prints: the costs of scrypt, the salt and the hash, in hexadecimal.
PASSWORD_HASH = re.compile(r"scrypt\$(1\d)\$([1-9]\d?)\$([1-9]\d?)\$([0-9a-f]{32,128})\$([0-9a-f]{64})")
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


def _require_hash(password: str) -> str:
    if password and PASSWORD_HASH.fullmatch(password) is None:
        raise ValueError("it must be a hash that `goldsmith web --hash-password` has printed")
    return password


def _require_person_name(name: str) -> str:
    if not name.isprintable() or name != name.strip() or not 1 <= len(name) <= 60:
        raise ValueError("a person's name has 1 to 60 characters, without spaces at its ends")
    return name


class WebAccount(BaseModel):
    """A person who may use the page."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    password: Annotated[str, AfterValidator(_require_hash)] = ""
    """The hash of the password, as `goldsmith web --hash-password` prints it. Left out: the proxy signs this person in."""
    role: Role = "look"
    """"look" = may see everything; "decide" = may also decide, paint, ask and drop pictures."""


class WebSettings(BaseModel):
    """The table ``[web]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    host: str = "127.0.0.1"
    """The address on which the page listens. Another one than loopback needs passwords or a proxy, and `host_names`."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8642
    """The port on which the page listens; 0 = any that is free."""
    host_names: tuple[str, ...] = ()
    """The names by which browsers reach the page, such as "goldsmith.studio.lan". Those of loopback are always accepted."""
    people: dict[Annotated[str, AfterValidator(_require_person_name)], WebAccount] = {}
    """Who may use the page, by name. Left out: whoever opens the link that `goldsmith web` prints, and may decide."""
    proxy_header: str = ""
    """The header in which a reverse proxy gives the name of the person whom it has signed in, such as "X-Remote-User". Left out: none."""
    proxy_addresses: tuple[str, ...] = ()
    """The addresses of that proxy. The header is believed from these only, and from every program there: "127.0.0.1" trusts whoever can
    start a program on this computer. `proxy_header` needs at least one."""
    proxy_role: Literal["look", "decide", "none"] = "look"
    """What a person may do whom the proxy has signed in and `people` does not name."""
    session_hours: Annotated[float, Field(gt=0, le=24 * 365)] = 12.0
    """Hours without use after which a person must sign in again."""
    cache_mb: Annotated[int, Field(ge=16, le=2**20)] = 1024
    """Megabytes of previews that are kept on the disk, outside the share."""

    @model_validator(mode="after")
    def _check_reach(self) -> Self:
        if self.proxy_header and not self.proxy_addresses:
            raise ValueError("proxy_header needs proxy_addresses, the addresses from which the proxy connects")
        if self.host in LOOPBACK_HOSTS:
            return self
        if not self.proxy_header and not any(account.password for account in self.people.values()):
            raise ValueError(f"beyond this computer (host = {self.host}) the page needs people with passwords, or proxy_header")
        if not self.host_names:
            raise ValueError(f"beyond this computer (host = {self.host}) the page needs host_names, the names by which browsers reach it")
        return self
