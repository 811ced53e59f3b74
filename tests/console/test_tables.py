"""Tables that a telephone can show: each cell knows its head; keys and addresses break between parts."""

import re

import pytest
from markupsafe import Markup

from console.templating import TEMPLATES
from tests.support.desk import Desk


def written(source: str, **words: object) -> str:
    return TEMPLATES.environment.from_string(source).render(words)


def _as_it_is(text: object) -> object:
    return text


def test_each_cell_of_a_row_knows_the_head_of_its_column(desk: Desk) -> None:
    desk.post("/reveal", {"subject": "x"}, csrf="wrong")

    page = desk.get("/audit").text
    heads = re.findall(r'role="columnheader"[^>]*>([^<]*)<', page)
    labels = re.findall(r'<td role="cell"[^>]* data-label="([^"]*)"', page)

    assert heads == ["When (London)", "Who", "What", "To what", "Why", "Before and after"]
    assert labels == heads


def test_what_is_empty_or_has_no_head_says_so_for_the_narrow_screen() -> None:
    cell = '<td class="govuk-table__cell">{}</td>'
    row = Markup("<tr>" + cell.format(" ") + cell.format("go") + "</tr>")

    told = written("{{ row | labelled(['A \"b\"', '']) }}", row=row)

    assert 'desk-cell-empty" data-label="A &#34;b&#34;"' in told
    assert 'desk-cell-deeds" data-label=""><div class="desk-cell">go</div>' in told


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("enrolment:E-1", ["enrolment:E-1"]),
        ("declaration:E-1042:started:1", ["declaration:", "E-1042:", "started:", "1"]),
        ("amara.okafor@school.example", ["amara.okafor", "@school.example"]),
    ],
)
def test_a_key_or_an_address_breaks_between_its_parts(text: str, parts: list[str]) -> None:
    told = written("{{ text | parted }}", text=text, over=_as_it_is)

    assert re.split("<wbr>", re.sub(r"</?span[^>]*>", "", told)) == parts


def test_a_part_stays_under_the_veil_unless_it_is_known_to_be_a_key() -> None:
    assert "1234567" not in written("{{ '1234567' | parted }}")
    assert ">1&lt;234567<" in written("{{ '1<234567' | e | parted }}")
    assert "amara" not in written("{{ 'amara.okafor@school.example' | parted }}")


def test_what_is_true_or_false_is_written_as_people_say_it() -> None:
    assert written("{{ yes }}, {{ no }}, {{ one }}", yes=True, no=False, one=1) == "yes, no, 1"
