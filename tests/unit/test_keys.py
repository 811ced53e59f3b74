"""Record keys: one class makes and parses them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.keys import RecordKey

sources = st.text(min_size=1)


@given(
    source_id=sources,
    part=st.sampled_from(["", "started", "retained-1"]),
    number=st.integers(1, 99),
)
def test_the_key_of_a_claim_is_read_back_whatever_its_source_id(
    source_id: str, part: str, number: int
) -> None:
    key = RecordKey("declaration", source_id, part, number) if part else None

    if key is not None:
        assert RecordKey.parse(str(key)) == key


@given(source_id=sources)
def test_the_key_of_an_enrolment_is_read_back_whatever_its_source_id(source_id: str) -> None:
    key = RecordKey("enrolment", source_id)

    assert RecordKey.parse(str(key)) == key


@pytest.mark.parametrize("text", ["", "enrolment", "enrolment:", ":E-1"])
def test_what_is_no_key_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is no record key; one looks like enrolment:E-1042"):
        RecordKey.parse(text)
