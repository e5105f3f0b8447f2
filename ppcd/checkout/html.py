"""The page's HTML: a screen and its session in, text out.

Owns markup, and that everything from outside is escaped. Refuses to decide which screen it is.
"""

from dataclasses import dataclass
from html import escape
from math import ceil
from typing import Final
from urllib.parse import urlencode

from ppcd.charge.money import format_money
from ppcd.checkout.offers import Offer
from ppcd.checkout.phones import Plan, masked
from ppcd.checkout.result import return_url, status_of
from ppcd.checkout.screens import LIVE, Screen, Wanted, chosen, failure_words
from ppcd.checkout.sessions import Session
from ppcd.checkout.wording import LANGUAGES, WORDS

_NAMES: Final = {"uk": "Українська", "ru": "Русский", "en": "English"}
_ICONS: Final = {
    Screen.PAID: ("good", '<path d="M13 25.5 21 33l15-18"/>'),
    Screen.FAILED: ("bad", '<path d="M15 15l18 18M33 15 15 33"/>'),
    Screen.WAIT: ("wait", '<path d="M9 13h30v21H22l-8 7v-7H9z"/><path d="M16 21h16M16 27h10"/>'),
    Screen.DEBIT: ("wait", '<path d="M24 12v12l8 5"/><circle cx="24" cy="24" r="15"/>'),
    Screen.START: ("wait", '<path d="M24 12v12l8 5"/><circle cx="24" cy="24" r="15"/>'),
    Screen.DOUBT: ("wait", '<path d="M18 19a6 6 0 1 1 8.6 5.4c-1.8.9-2.6 2-2.6 4M24 34v.2"/>'),
}
_NEUTRAL: Final = ("calm", '<path d="M24 13v14M24 34v.2"/>')


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where the page's own files are, with their versions."""

    css: str
    js: str
    icon: str
    brand: str  #: a prefix; the colour's six digits and .css follow


@dataclass(frozen=True, slots=True)
class Trouble:
    """What was wrong with the last press: the words' key, and what was typed."""

    key: str
    typed: str = ""


class Page:
    """One session's page for one browser."""

    def __init__(
        self, session: Session | None, screen: Screen, wanted: Wanted, *, plan: Plan, files: Files
    ) -> None:
        self._session = session
        self.screen = screen
        self._wanted = wanted
        self._plan = plan
        self._files = files

    # -- words and addresses

    def _t(self, key: str, **fields: str) -> str:
        text = escape(WORDS[self._wanted.language][key])
        return text.format(**{name: escape(value) for name, value in fields.items()})

    def _href(self, path: str = "", **more: str) -> str:
        """An address of this session's, as an attribute's value; keeps the chosen language."""
        assert self._session is not None
        query = dict(more)
        if self._wanted.language_chosen:
            query.setdefault("lang", self._wanted.language)
        text = f"/pay/{self._session.id}{path}"
        return escape(f"{text}?{urlencode(query)}" if query else text)

    def _money(self, offer: Offer) -> str:
        # No line may break inside of an amount.
        return escape(format_money(offer.money, self._wanted.language).replace(" ", "\u00a0"))

    # -- the whole

    def whole(self, trouble: Trouble | None = None, *, main: str | None = None) -> str:
        """The document; with `main`, that stands in the place of the screen."""
        session, files = self._session, self._files
        merchant = escape(session.merchant) if session else ""
        title = f"{merchant} · {self._t('title')}" if merchant else self._t("title")
        head = [
            "<!doctype html>",
            f'<html lang="{self._wanted.language}">',
            '<head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="robots" content="noindex">',
            f"<title>{title}</title>",
            f'<link rel="icon" href="{files.icon}" type="image/svg+xml">',
            f'<link rel="stylesheet" href="{files.css}">',
        ]
        if session and session.row.brand_color:
            color = escape(session.row.brand_color[1:])
            head.append(f'<link rel="stylesheet" href="{files.brand}{color}.css">')
        if self.live:
            head.append('<noscript><meta http-equiv="refresh" content="4"></noscript>')
        head.append(f'<script src="{files.js}" defer></script></head>')
        sites = escape(" ".join(session.row.sites)) if session else ""
        return "\n".join(
            [
                *head,
                f'<body data-sites="{sites}" data-lost="{self._t("reconnecting")}">',
                '<div class="card">',
                self._header(),
                f'<main id="main" {self._about()}>{main or self.main(trouble)}</main>',
                self._footer(),
                '</div><p id="say" class="vh" role="status"></p>',
                '<p id="lost" role="alert" hidden></p>',
                "</body></html>\n",
            ]
        )

    @property
    def live(self) -> bool:
        """Whether the page goes on without a press."""
        return self.screen in LIVE or self.screen is Screen.START

    @property
    def status(self) -> str:
        """What this screen is called between page and server: changes with what is shown."""
        session = self._session
        state = session.charge.state.value if session and session.charge else ""
        return f"{self.screen}.{state}.{session.row.tries if session else 0}"

    def _about(self) -> str:
        if self._session is None:
            return ""
        url = return_url(self._session) or ""
        return (
            f'data-status="{self.status}" data-live="{int(self.live)}" '
            f'data-result="{status_of(self._session)}" data-return="{escape(url)}" '
            f'data-events="{self._href("/events")}" data-state="{self._href("/state")}"'
        )

    def _header(self) -> str:
        session = self._session
        if session is None:
            return ""
        name = escape(session.merchant)
        logo = session.row.brand_logo_url
        mark = (
            f'<img src="{escape(logo)}" alt="" width="40" height="40">'
            if logo
            else f'<span class="mark" aria-hidden="true">{name[:1].upper()}</span>'
        )
        return f'<header class="top">{mark}<p class="merchant">{name}</p></header>'

    def _footer(self) -> str:
        links = ""
        if self._session is not None:
            keep = {"offer": str(self._wanted.offer)} if self._wanted.offer is not None else {}
            if self._wanted.again and self.screen in (Screen.CHOOSE, Screen.PAY):
                keep["again"] = "1"
            links = "".join(
                f'<a href="{self._href(lang=code, **keep)}" lang="{code}" hreflang="{code}"'
                f"{' aria-current=true' if code == self._wanted.language else ''}>"
                f"{_NAMES[code]}</a>"
                for code in LANGUAGES
            )
            links = f'<nav aria-label="{self._t("language")}">{links}</nav>'
        return f"<footer><p>{self._t('foot')}</p>{links}</footer>"

    def main(self, trouble: Trouble | None = None) -> str:
        """What is inside of <main>."""
        match self.screen:
            case Screen.CHOOSE:
                return self._steps() + self._choose(trouble)
            case Screen.PAY:
                return self._steps() + self._pay(trouble)
            case Screen.WAIT:
                return self._steps() + self._wait()
            case Screen.PAID:
                return self._paid()
            case Screen.FAILED:
                return self._failed()
            case Screen.START:
                again = self._post("", self._t("go_on"), "primary")
                return self._told("start_title", "start_text", again)
            case Screen.DEBIT | Screen.DOUBT:
                return self._told(f"{self.screen}_title", f"{self.screen}_text", self._refresh())
            case _:
                return self._told(f"{self.screen}_title", f"{self.screen}_text", self._back())

    # -- forms

    def _steps(self) -> str:
        session = self._session
        assert session is not None
        names = ["step_number", "step_confirm"]
        if session.row.variant == 1 and len(session.offers) > 1:
            names.insert(0, "step_offer")
        at = {Screen.CHOOSE: 0, Screen.PAY: len(names) - 2}.get(self.screen, len(names) - 1)
        items = "".join(
            f"<li{' class=done' if number < at else ''}"
            f"{' aria-current=step' if number == at else ''}>{self._t(name)}</li>"
            for number, name in enumerate(names)
        )
        return f'<ol class="steps" aria-label="{self._t("steps")}">{items}</ol>'

    def _choose(self, trouble: Trouble | None) -> str:
        session = self._session
        assert session is not None
        rows = "".join(
            f'<li class="offer"><span class="what">{escape(offer.description)}</span>'
            f'<span class="price">{self._money(offer)}</span>'
            f'<button class="primary" name="offer" value="{number}">{self._t("choose")}'
            f'<span class="vh"> {escape(offer.description)}</span></button></li>'
            for number, offer in enumerate(session.offers)
        )
        return (
            f"<h1>{self._t('choose_title')}</h1>{self._trouble(trouble)}"
            f'<form method="get" action="{self._href()}">{self._carried()}'
            f'<ul class="offers">{rows}</ul></form>{self._leave()}'
        )

    def _carried(self) -> str:
        """What a GET form would drop from its address."""
        fields = {"lang": self._wanted.language} if self._wanted.language_chosen else {}
        if self._wanted.again:
            fields["again"] = "1"
        return "".join(f'<input type="hidden" name="{n}" value="{v}">' for n, v in fields.items())

    def _pay(self, trouble: Trouble | None) -> str:
        session = self._session
        assert session is not None
        offer = chosen(session, self._wanted)
        assert offer is not None
        apart = session.row.variant == 1 or len(session.offers) == 1
        query = {"offer": str(offer)} if apart and len(session.offers) > 1 else {}
        asked = {"again": self._wanted.again, "other": self._wanted.other}
        query |= {name: "1" for name, wanted in asked.items() if wanted}
        unchosen = trouble if trouble and trouble.key == "error_offer" else None
        radios = self._radios(offer, unchosen)
        goods = self._chosen(session.offers[offer], offer) if apart else radios
        wrong, typed = None if unchosen else trouble, trouble.typed if trouble else ""
        number = self._number(wrong, typed=typed, focus=apart or wrong is not None)
        return (
            f'<form method="post" action="{self._href(**query)}" id="pay">'
            f'<input type="hidden" name="after" value="{session.row.tries}">'
            f"{goods}{number}"
            f'<button class="primary wide">{self._t("pay")}</button></form>{self._leave()}'
        )

    def _chosen(self, offer: Offer, number: int) -> str:
        assert self._session is not None
        other = ""
        if len(self._session.offers) > 1:
            more = {"again": "1"} if self._wanted.again else {}
            other = f'<a class="quiet" href="{self._href(**more)}">{self._t("other_offer")}</a>'
        return (
            f'<input type="hidden" name="offer" value="{number}"><div class="chosen">'
            f'<p><span class="what">{escape(offer.description)}</span>'
            f'<span class="price">{self._money(offer)}</span></p>{other}</div>'
        )

    def _radios(self, at: int, trouble: Trouble | None) -> str:
        assert self._session is not None
        rows = "".join(
            f'<label class="offer"><input type="radio" name="offer" value="{number}"'
            f"{' checked' if number == at else ''}>"
            f'<span class="what">{escape(o.description)}</span>'
            f'<span class="price">{self._money(o)}</span></label>'
            for number, o in enumerate(self._session.offers)
        )
        return (
            f'<fieldset class="offers"><legend>{self._t("choose_title")}</legend>'
            f"{self._trouble(trouble)}{rows}</fieldset>"
        )

    def _number(self, trouble: Trouble | None, *, typed: str, focus: bool) -> str:
        session = self._session
        assert session is not None
        known = session.known or (None if self._wanted.other else session.tried)
        hint = f'<p id="hint" class="hint">{self._t("number_hint")}</p>'
        if known is not None:
            other = ""
            if session.known is None:
                link = self._href(
                    again="1", other="1", offer=str(chosen(session, self._wanted) or 0)
                )
                other = f'<a class="quiet" href="{link}">{self._t("other_number")}</a>'
            return (
                f"<h1>{self._t('known_title', number=masked(known))}</h1>"
                f'<input type="hidden" name="same" value="1">'
                f"{self._trouble(trouble)}{hint}{other}"
            )
        bad = trouble is not None
        return (
            f'<h1><label for="phone">{self._t("number_title")}</label></h1>'
            f'<input id="phone" name="phone" type="tel" inputmode="tel" autocomplete="tel" '
            f'required maxlength="40" placeholder="{self._plan.shape}" '
            f'value="{escape(typed)}" '
            f'data-code="{self._plan.code}" data-trunk="{self._plan.trunk}" '
            f'data-groups="{",".join(map(str, self._plan.groups))}" '
            f'aria-describedby="{"problem " if bad else ""}hint"'
            f"{' aria-invalid=true' if bad else ''}{' autofocus' if focus else ''}>"
            f"{self._trouble(trouble)}{hint}"
        )

    def _trouble(self, trouble: Trouble | None) -> str:
        if trouble is None:
            return ""
        text = self._t(trouble.key, example=self._plan.example)
        return f'<p id="problem" class="problem" role="alert">{text}</p>'

    def _post(self, path: str, text: str, kind: str) -> str:
        """A form that is only its button."""
        return (
            f'<form method="post" action="{self._href(path)}">'
            f'<button class="{kind}">{text}</button></form>'
        )

    # -- what is told

    def _told(self, title: str, text: str, below: str = "", more: str = "") -> str:
        kind, icon = _ICONS.get(self.screen, _NEUTRAL)
        said = f"<p>{self._t(text)}</p>" if text else ""
        return (
            f'<div class="told {kind}"><svg class="badge" viewBox="0 0 48 48" aria-hidden="true">'
            f"{icon}</svg><h1>{self._t(title)}</h1>{said}{more}{below}</div>"
        )

    def _wait(self) -> str:
        session = self._session
        assert session is not None
        assert session.tried is not None
        code = "_code" if session.row.with_code else ""
        left_s = max(0.0, session.row.left_s or 0.0)
        offer = session.offer
        assert offer is not None
        if left_s < 60:
            left = self._t("wait_soon")
        else:
            minutes = f'<span id="minutes">{ceil(left_s / 60)}</span>'
            left = self._t("wait_minutes", minutes="\0").replace("\0", minutes)
        more = (
            f"<p>{self._t(f'wait{code}_text', number=masked(session.tried))}</p>"
            f'<p class="goods">{escape(offer.description)} · {self._money(offer)}</p>'
            f'<p class="left" id="left" data-left="{ceil(left_s)}" '
            f'data-soon="{self._t("wait_soon")}">{left}</p>'
        )
        below = self._refresh() + self._post("/cancel", self._t("cancel"), "quiet")
        return self._told(f"wait{code}_title", "", below, more)

    def _paid(self) -> str:
        session = self._session
        assert session is not None
        offer, number = session.offer, session.tried
        assert offer is not None
        assert number is not None
        amount = format_money(offer.money, self._wanted.language).replace(" ", "\u00a0")
        text = self._t(
            "paid_text", description=offer.description, amount=amount, number=masked(number)
        )
        return self._told("paid_title", "", self._back(), f"<p>{text}</p>")

    def _failed(self) -> str:
        session = self._session
        assert session is not None
        assert session.charge is not None
        title, text = failure_words(session.charge.state, session.charge.reason)
        more = f'<p class="free">{self._t("not_taken")}</p>'
        if session.may_try:
            query = {"again": "1"}
            if session.row.try_offer is not None and len(session.offers) > 1:
                query["offer"] = str(session.row.try_offer)
            below = f'<a class="primary" href="{self._href(**query)}">{self._t("again")}</a>'
        else:
            below = f"<p>{self._t('gone_text' if session.row.expired else 'many_text')}</p>"
        return self._told(title, text, below + self._back("quiet"), more)

    def _refresh(self) -> str:
        """For browsers without scripts that don't follow a refresh either."""
        return (
            f'<noscript><a class="quiet" href="{self._href()}">{self._t("refresh")}</a></noscript>'
        )

    def excuse(self, title: str, text: str) -> str:
        """A document that says why there is no page."""
        return self.whole(main=self._told(title, text))

    def _back(self, kind: str = "primary") -> str:
        session = self._session
        url = return_url(session) if session is not None else None
        if session is None or url is None:
            return ""
        text = self._t("back_shop", merchant=session.merchant)
        return f'<a class="{kind}" href="{escape(url)}" target="_top">{text}</a>'

    def _leave(self) -> str:
        """The way back to the shop from a form."""
        back = self._back("quiet")
        return f'<p class="leave">{back}</p>' if back else ""
