"""The default wording: what the subscriber is told, per language and occasion.

Owns sentences, and nothing else: how a template is read and fitted is `texts`' business.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from ppcd.charge.debit import DenialReason


class Kind(StrEnum):
    """On what occasion the text is sent."""

    PROMPT = "prompt"
    PROMPT_CODE = "prompt_code"
    PIN = "pin"
    REPROMPT = "reprompt"
    REPROMPT_CODE = "reprompt_code"
    RECEIPT = "receipt"
    NOT_DEBITED = "not_debited"
    LATE_YES = "late_yes"
    LATE_NO = "late_no"


LANGUAGES: Final = ("uk", "ru", "en")


# A prompt has two forms: what is bought beside its price; or, where that would push the yes-word
# out of the first segment, at the end.
def _prompt(ask: str, end: str) -> str:
    return (
        f"{{merchant}}[: {{description}}], {{amount}} {{currency}}. {ask}{end}\n"
        f"{{merchant}}, {{amount}} {{currency}}. {ask}{end}[. {{description}}]"
    )


_UK: Final = {
    Kind.PROMPT: _prompt("Для підтвердження оплати, надішліть ТАК", " у відповідь"),
    Kind.PROMPT_CODE: _prompt("Для підтвердження оплати, надішліть ТАК {code}", " у відповідь"),
    Kind.PIN: (
        "Код {code} для оплати {amount} {currency}: {merchant}[, {description}]. "
        "Введіть його на сайті продавця, нікому не повідомляйте"
    ),
    Kind.REPROMPT: (
        "{merchant}, {amount} {currency}. Відповідь незрозуміла: надішліть лише ТАК або НІ"
    ),
    Kind.REPROMPT_CODE: (
        "{merchant}, {amount} {currency}. "
        "Відповідь незрозуміла: надішліть ТАК {code} (з пробілом) або НІ"
    ),
    Kind.RECEIPT: "Сплачено {amount} {currency}: {merchant}[, {description}][. Чек {reference}]",
    Kind.NOT_DEBITED: (
        "Оплата не пройшла, нічого не списано: "
        "{merchant}[, {description}], {amount} {currency}[. {reason}]"
    ),
    Kind.LATE_YES: (
        "Оплату закрито, нічого не списано: {merchant}[, {description}], {amount} {currency}"
    ),
    Kind.LATE_NO: (
        "Оплата вже обробляється, скасувати її не можна: {merchant}, {amount} {currency}. "
        "Зверніться до служби підтримки"
    ),
}

_RU: Final = {
    Kind.PROMPT: _prompt("Для подтверждения оплаты, отправьте ДА", " в ответ"),
    Kind.PROMPT_CODE: _prompt("Для подтверждения оплаты, отправьте ДА {code}", " в ответ"),
    Kind.PIN: (
        "Код {code} для оплаты {amount} {currency}: {merchant}[, {description}]. "
        "Введите его на сайте продавца, никому не сообщайте"
    ),
    Kind.REPROMPT: (
        "{merchant}, {amount} {currency}. Ответ непонятен: отправьте только ДА или НЕТ"
    ),
    Kind.REPROMPT_CODE: (
        "{merchant}, {amount} {currency}. Ответ непонятен: отправьте ДА {code} (с пробелом) или НЕТ"
    ),
    Kind.RECEIPT: "Оплачено {amount} {currency}: {merchant}[, {description}][. Чек {reference}]",
    Kind.NOT_DEBITED: (
        "Оплата не прошла, ничего не списано: "
        "{merchant}[, {description}], {amount} {currency}[. {reason}]"
    ),
    Kind.LATE_YES: (
        "Оплата закрыта, ничего не списано: {merchant}[, {description}], {amount} {currency}"
    ),
    Kind.LATE_NO: (
        "Оплата уже обрабатывается, отменить её нельзя: {merchant}, {amount} {currency}. "
        "Обратитесь в поддержку"
    ),
}

_EN: Final = {
    Kind.PROMPT: _prompt("To confirm the payment, reply YES", ""),
    Kind.PROMPT_CODE: _prompt("To confirm the payment, reply YES {code}", ""),
    Kind.PIN: (
        "Code {code} to pay {amount} {currency}: {merchant}[, {description}]. "
        "Enter it on the merchant's site, tell it to nobody"
    ),
    Kind.REPROMPT: ("{merchant}, {amount} {currency}. Answer not understood: reply only YES or NO"),
    Kind.REPROMPT_CODE: (
        "{merchant}, {amount} {currency}. "
        "Answer not understood: reply YES {code} (with the space) or NO"
    ),
    Kind.RECEIPT: "Paid {amount} {currency}: {merchant}[, {description}][. Receipt {reference}]",
    Kind.NOT_DEBITED: (
        "The payment failed, nothing was charged: "
        "{merchant}[, {description}], {amount} {currency}[. {reason}]"
    ),
    Kind.LATE_YES: (
        "Payment closed, nothing was charged: {merchant}[, {description}], {amount} {currency}"
    ),
    Kind.LATE_NO: (
        "The payment is already under way and can't be stopped: {merchant}, "
        "{amount} {currency}. Please ask the support"
    ),
}

TEMPLATES: Final[Mapping[str, Mapping[Kind, str]]] = MappingProxyType(
    {"uk": MappingProxyType(_UK), "ru": MappingProxyType(_RU), "en": MappingProxyType(_EN)}
)


#: Why nothing was debited, in the subscriber's words; nothing is said of the other reasons.
REASONS: Final[Mapping[str, Mapping[DenialReason, str]]] = MappingProxyType(
    {
        "uk": MappingProxyType(
            {
                DenialReason.INSUFFICIENT_FUNDS: "Недостатньо коштів",
                DenialReason.SERVICE_DENIED: "Послуга недоступна для вашого номера",
                DenialReason.LIMIT_EXCEEDED: "Перевищено ліміт платежів",
                DenialReason.BILLING_UNAVAILABLE: "Спробуйте пізніше",
            }
        ),
        "ru": MappingProxyType(
            {
                DenialReason.INSUFFICIENT_FUNDS: "Недостаточно средств",
                DenialReason.SERVICE_DENIED: "Услуга недоступна для вашего номера",
                DenialReason.LIMIT_EXCEEDED: "Превышен лимит платежей",
                DenialReason.BILLING_UNAVAILABLE: "Попробуйте позже",
            }
        ),
        "en": MappingProxyType(
            {
                DenialReason.INSUFFICIENT_FUNDS: "Not enough money on the account",
                DenialReason.SERVICE_DENIED: "The service is barred for your number",
                DenialReason.LIMIT_EXCEEDED: "The payment limit is reached",
                DenialReason.BILLING_UNAVAILABLE: "Please try again later",
            }
        ),
    }
)
