"""What the veil hides of a sentence, and what it leaves."""

import time
from enum import StrEnum

import pytest
from markupsafe import Markup

from console.veil import Veil


class Word(StrEnum):
    WILL = "will"


@pytest.fixture
def veil() -> Veil:
    """A veil over Will van Dyke-O'Shea, TRN 1234567."""
    one = Veil()
    one.hide(["Will van Dyke-O'Shea", "1234567", "will@home.example"])
    return one


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Will van Dyke-O'Shea left", "W••• v••• D••• left"),
        ("WILL left", "W••• left"),
        ("he will leave", "he w••• leave"),
        ("Dyke-O'Shea", "D•••"),
        ("ask ines@other.example now", "ask i•••@other.example now"),
        ("write to <will@home.example>.", "write to <w•••@home.example>."),
        ("Will van Dyke-O’Shea left", "W••• v••• D••• left"),
        ("Dyke-O’Shea", "D•••"),
        ("TRN7654321 is taken", "TRN•••21 is taken"),
        ("number 7654321 is taken", "number •••21 is taken"),
        ("TRN:7654321 is taken", "TRN:•••21 is taken"),
        ("the name 'Ada Lovelace' is taken", "the name 'A••• L•••' is taken"),
        ('"Ada" is taken', '"A•••" is taken'),
    ],
)
def test_whoever_is_named_in_a_sentence_is_hidden(veil: Veil, text: str, seen: str) -> None:
    assert veil.text(text) == seen


def test_an_accent_may_be_a_character_of_its_own(veil: Veil) -> None:
    veil.hide(["Zo\u00eb Mu\u0308ller"])

    assert veil.text("Zoe\u0308 M\u00fcller left") == "Z••• M••• left"


@pytest.mark.parametrize(
    "text",
    [
        "waits for enrolment:1234568",
        "enrolment:E-7654321",
        "/people/7654321",
        "11111111-1111-4111-8111-111111111111",
        "2025-09-20T09:00:00Z",
        "the property '#/schedule' and 'ECT' of the school's ECTs",
        "12345678 requests",
        "vanish",
        "will",
    ],
)
def test_what_names_a_record_or_nobody_is_left(veil: Veil, text: str) -> None:
    assert veil.text(text) == text


def test_a_document_keeps_its_keys_and_loses_its_people(veil: Veil) -> None:
    told = {
        "id": 7654321,
        "source_id": "7654321",
        "state": Word.WILL,
        "full_name": "Ada",
        "said": ["Will left", {"detail": "7654321"}],
        "typed": Markup("Will"),
    }

    assert veil.over(told) == {
        **told,
        "full_name": "A•••",
        "said": ["W••• left", {"detail": "•••21"}],
    }


def test_what_is_masked_already_stays_as_it_is(veil: Veil) -> None:
    told = {"teacher_reference_number": "•••21", "email": "i•••@other.example", "full_name": "I•••"}

    assert veil.over(told) == told


def test_of_whom_was_revealed_all_is_left(veil: Veil) -> None:
    veil.show(["7654321", "ines@other.example", "Ines Brown"])

    assert veil.text("'Ines Brown' and 'Ada Brown'") == "'Ines Brown' and 'A••• B•••'"

    assert veil.text("TRN 7654321, ines@other.example") == "TRN 7654321, ines@other.example"
    assert veil.text("TRN 7654320") == "TRN •••20"


@pytest.mark.parametrize(
    "text", ["a" * 60_000, "1" * 60_000, "\u201cA" * 30_000, "a@" + "b" * 60_000]
)
def test_a_long_word_is_looked_through_once(veil: Veil, text: str) -> None:
    began = time.process_time()

    assert veil.text(text) == text

    assert time.process_time() - began < 2  # from each of its letters anew: ten times as long
