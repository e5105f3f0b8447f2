"""What the owners of magic phones answer, to prompts as ppcd words them and to nothing else."""

import pytest

from ppcd.charge.money import Money
from ppcd.charge.reading import Reader, Verdict
from ppcd.charge.texts import ASKING, LANGUAGES, Kind, Texts
from ppcd.sim.accounts import Mode
from ppcd.sim.magic import NUMBERS, Owners, magic_of, mode_of


def a_text(kind: Kind, language: str) -> str:
    return Texts().render(
        kind,
        language,
        amount=Money(2500, "UAH"),
        merchant="GameX",
        description="YES, 250 gold",
        code="4821",
        reference="SB1",
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", list(Kind))
def test_prompts_are_answered_in_their_language_and_other_texts_are_read(
    kind: Kind, language: str
) -> None:
    owners, text = Owners(), a_text(kind, language)
    said = {end: owners.answer(f"380970000{end}", "717100", text) for end in ("000", "101", "105")}
    if kind not in ASKING:
        assert set(said.values()) == {None}
        return
    readings = {end: Reader().read(answer or "") for end, answer in said.items()}
    assert readings["000"].verdict is Verdict.YES
    assert readings["000"].number == ("4821" if kind.value.endswith("_code") else None)
    assert readings["101"].verdict is Verdict.NO
    assert readings["105"].verdict is Verdict.STOP


def test_one_is_not_understood_and_says_yes_when_asked_again() -> None:
    owners, prompt = Owners(), a_text(Kind.PROMPT, "ru")
    answers = [owners.answer("380970000104", "717100", prompt) for _ in range(4)]
    assert answers == ["?", "ДА", "?", "ДА"]
    assert owners.answer("380970000104", "717101", prompt) == "?"
    assert owners.answer("380970000102", "717100", prompt) is None


def test_ends_of_numbers_say_what_billing_does() -> None:
    assert mode_of("380971234567") is Mode.OK
    assert mode_of("380971234201") is Mode.INSUFFICIENT
    assert not Owners().reached("380970000103")
    assert magic_of("380971234567").does not in {magic.does for magic in NUMBERS.values()}
