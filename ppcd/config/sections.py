"""The sections that belong to no single package: node, database, routes, charges, texts, words, …

Each key's description says its unit and what goes wrong; the reference in docs/ is made from them.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ppcd.charge.reading import DEFAULT_WORDS
from ppcd.charge.reading import Words as WordTable
from ppcd.config.types import (
    Address,
    AmountByCurrency,
    Digits,
    File,
    HostPort,
    Language,
    Listed,
    Name,
    Number,
    Section,
    Whole,
    Zone,
)

__all__ = [
    "Charges",
    "Database",
    "Log",
    "Node",
    "Operations",
    "Pool",
    "Route",
    "TextOverrides",
    "Words",
]

Templates = dict[str, str]


class Node(Section):
    """This process among others on the same database."""

    name: Name = Field(
        default="ppcd",
        description="How this node calls itself in `ppcd status`, in logs and in the leases of its "
        "work. Two nodes with one name take over each other's running jobs.",
    )


class Database(Section):
    """PostgreSQL, the only store. Without it charges are refused and replies wait."""

    dsn: str | None = Field(
        default=None,
        description="A libpq connection string or URL without password. Several hosts are allowed; "
        "then say `target_session_attrs=read-write`, or writes land on a standby.",
    )
    host: str | None = Field(
        default=None, description="Host name, address or socket directory, where there is no `dsn`."
    )
    port: Whole = Field(
        default=5432, ge=1, le=65535, description="TCP port, or the socket's number."
    )
    dbname: str | None = Field(default=None, description="Name of the database.")
    user: str | None = Field(default=None, description="Role to log in as.")
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] | None = Field(
        default=None,
        description="TLS to the server. Across a network only `verify-full` keeps others from "
        "reading subscribers' numbers.",
    )
    password_file: File | None = Field(
        default=None, description="File with the role's password; must not be readable by others."
    )
    password_credential: str | None = Field(
        default=None, description="The password as a systemd credential's name instead of a file."
    )
    lanes: Whole = Field(
        default=3,
        ge=1,
        le=32,
        description="Connections for transactions, each with a thread. More than twice the "
        "server's cores makes commits slower, not faster.",
    )
    statement_timeout_s: Number = Field(
        default=10,
        gt=0,
        le=300,
        description="Seconds until the server cancels a statement. Too short, and large batches "
        "fail under load; too long, and a stuck lock holds a lane.",
    )
    connect_timeout_s: Number = Field(
        default=5, ge=1, le=60, description="Seconds to wait for a connection before the next host."
    )

    @field_validator("dsn")
    @classmethod
    def _no_password(cls, dsn: str | None) -> str | None:
        if dsn and re.search(r"://[^/@\s]*:[^/@\s]*@|[?&\s]password\s*=|^password\s*=", dsn):
            raise ValueError("must not hold a password: use password_file")
        return dsn

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        apart = [key for key in ("host", "dbname", "user") if getattr(self, key) is not None]
        if self.dsn is None and "dbname" not in apart:
            raise ValueError("must have a dsn, or host, dbname and user")
        if self.dsn is not None and apart:
            raise ValueError(f"has a dsn, so {' and '.join(apart)} must go")
        return self

    def parameters(self) -> dict[str, str]:
        """What is said beside the `dsn`, by libpq's names, password excepted."""
        said = {"host": self.host, "dbname": self.dbname, "user": self.user}
        if self.dsn is None:
            said["port"] = str(self.port)
        said["sslmode"] = self.sslmode
        said["connect_timeout"] = str(max(1, round(self.connect_timeout_s)))
        return {key: value for key, value in said.items() if value is not None}


class Pool(Section):
    """The reply addresses of a route: consecutive numbers, one for each charge that waits."""

    first: Address = Field(
        description="The first address, digits. Quote it: it is no number, and leading zeros count."
    )
    size: Whole = Field(
        default=1,
        ge=1,
        le=1000,
        description="How many addresses, counted up from `first`. It limits how many charges one "
        "phone can have within a quarantine; with 1 every prompt asks for a code.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(str(int(self.first) + self.size - 1)) > len(self.first):
            raise ValueError(f"{self.size} addresses from {self.first} run past its digits")
        return self

    def addresses(self) -> tuple[str, ...]:
        first, width = int(self.first), len(self.first)
        return tuple(str(n).zfill(width) for n in range(first, first + self.size))


class Route(Section):
    """A short code: the links that carry it, its reply addresses, whom it serves and who bills."""

    links: Annotated[tuple[Name, ...], Listed] = Field(
        min_length=1,
        description="Names under `links:` that carry this short code. Prompts go over any that is "
        "bound; answers are taken from each of them and from no other.",
    )
    pool: Pool = Field(description="The reply addresses.")
    msisdn_prefixes: Annotated[tuple[Digits, ...], Listed] = Field(
        default=(),
        description="Beginnings of the subscribers' numbers that this route serves, with country "
        "code and no plus; none means all. The longest match of all routes wins. A number that no "
        "route serves is refused to the partner.",
    )
    billing: Name = Field(description="Name under `billing:` of the system that debits.")
    two_step_consent: Literal["reply", "pin"] = Field(
        default="reply",
        description="How a subscriber agrees to a payment in two steps: by an answer, or by typing "
        "a PIN from a text on the partner's site (`pin`). With `pin` the partner sees the code "
        "pass by: only where partners are trusted not to make people type it elsewhere.",
    )
    code: Literal["never", "always", "above"] | None = Field(
        default=None,
        description="When the prompt asks for a code as well (`ДА 4821`): never, always, or above "
        "an amount. By default never, but always where the pool has one address. When all "
        "addresses are in quarantine a code is asked for anyway.",
    )
    code_above: AmountByCurrency = Field(
        default_factory=dict,
        description="With `code: above`: amount for each currency above which a code is asked for. "
        "A currency left out always asks.",
    )
    quarantine_s: Whole = Field(
        default=86400,
        ge=0,
        le=30 * 86400,
        description="Seconds for which an address stays with its charge after the charge's end. "
        "People answer old prompts; too short, and an old yes pays a new charge.",
    )

    @field_validator("links", "msisdn_prefixes")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("must not say anything twice")
        return value

    @property
    def code_policy(self) -> Literal["never", "always", "above"]:
        """`code`, or what it is by default."""
        if self.code is not None:
            return self.code
        return "always" if self.pool.size == 1 else "never"


class Charges(Section):
    """How long and how often."""

    lifetime_s: Whole = Field(
        default=600,
        ge=30,
        le=86400,
        description="Seconds from the partner's request until the prompt can no longer be "
        "answered. Long, and addresses of the pool are busy for longer.",
    )
    debit_start_s: Whole = Field(
        default=120,
        ge=10,
        le=3600,
        description="Seconds from the yes within which a debit must have been started; else it is "
        "denied and the subscriber told so. Long, and people are debited after they walked away.",
    )
    refund_start_s: Whole = Field(
        default=86_400,
        ge=60,
        le=30 * 86400,
        description="Seconds from the partner's request within which a refund must have been "
        "started at billing; else it is denied. Short, and partners do a machine's work.",
    )
    in_doubt_horizon_s: Whole = Field(
        default=900,
        ge=60,
        le=7 * 86400,
        description="Seconds after which a debit or refund that billing has not settled goes to "
        "`review`. Shorter than billing's own longest processing time, and people do a machine's "
        "work.",
    )
    reservation_s: Whole = Field(
        default=900,
        ge=30,
        le=7 * 86400,
        description="Seconds that a partner has to confirm or cancel what is reserved, in payments "
        "of two steps; then it is let go. Longer than billing itself holds money, and confirmed "
        "payments are refused.",
    )
    reprompts_max: Whole = Field(
        default=2, ge=0, le=5, description="How often an unclear answer is asked about again."
    )
    wrong_codes_max: Whole = Field(
        default=3, ge=1, le=10, description="How many wrong codes decline a charge."
    )
    language: Language = Field(
        default="ru", description="Language of prompts, where neither request nor partner says one."
    )
    time_zone: Zone = Field(
        default="UTC",
        description="Whose days and months limits and statements count, such as Europe/Kyiv; "
        "PostgreSQL must know it too. The same on all nodes, or their days begin apart.",
    )


class TextOverrides(Section):
    """Texts in place of the built-in ones, by language and kind; for all partners, or for one."""

    uk: Templates = Field(default_factory=dict, description="Ukrainian texts by kind.")
    ru: Templates = Field(default_factory=dict, description="Russian texts by kind.")
    en: Templates = Field(default_factory=dict, description="English texts by kind.")
    partners: dict[str, dict[Language, Templates]] = Field(
        default_factory=dict,
        description="By partner's name, then language, then kind. A text without price, merchant "
        "or yes-word is refused, as is one whose price is not in the first segment.",
    )

    def by_language(self) -> dict[str, Templates]:
        return {"uk": self.uk, "ru": self.ru, "en": self.en}


class Words(Section):
    """Words that count as answers beside the built-in ones, in every language at once."""

    yes: Annotated[tuple[str, ...], Listed] = Field(
        default=(),
        description="More words that agree. Each makes paying by mistake easier.",
    )
    no: Annotated[tuple[str, ...], Listed] = Field(
        default=(), description="More words that decline."
    )
    stop: Annotated[tuple[str, ...], Listed] = Field(
        default=(), description="More words that decline wherever they stand."
    )

    def table(self) -> WordTable:
        """The built-in words and these."""
        return DEFAULT_WORDS | WordTable(
            frozenset(self.yes), frozenset(self.no), frozenset(self.stop)
        )


class Operations(Section):
    """Where the NOC looks: metrics, health and the control socket."""

    listen: HostPort = Field(
        default="127.0.0.1:9464",
        description="HOST:PORT of `/metrics` and `/health/…`. There is no password: keep it on "
        "loopback or a management network.",
    )
    socket: str = Field(
        default="/run/ppcd/ppcd.sock",
        min_length=1,
        max_length=100,
        description="Path of the Unix socket of `ppcd status`, `pause` and `resume`. Who can write "
        "to it can stop debits.",
    )

    @field_validator("socket")
    @classmethod
    def _absolute(cls, path: str) -> str:
        if not path.startswith("/"):
            raise ValueError("must be an absolute path, beginning with /")
        return path


LEVELS = Literal["debug", "info", "warn", "error"]


class Log(Section):
    """What is written to standard output."""

    level: LEVELS = Field(
        default="info",
        description="Least severe level written. `debug` is for a quiet system only.",
    )
    namespaces: dict[str, LEVELS] = Field(
        default_factory=dict,
        description="Other levels for parts of the program, such as `ppcd.smpp: debug`.",
    )
    format: Literal["auto", "json", "text"] = Field(
        default="auto",
        description="json: one object a line; text: for people; auto: text on a terminal, else "
        "json. A log pipeline that expects json breaks on text.",
    )
