"""A wrong variable stops the process at its start, in one sentence."""

from datetime import timedelta
from pathlib import Path

import pytest

from runtime.database import database_url
from runtime.errors import InvalidSettings
from runtime.settings import Settings, Token


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PILLARBOX_SETLE", "3s", "PILLARBOX_SETLE is no variable of Pillarbox; did you mean PILLARBOX_SETTLE?"),
        ("PILLARBOX_SETTLE", "3", "PILLARBOX_SETTLE is '3'; write a duration such as 30s, 5m or 2h"),
        ("PILLARBOX_SETTLE", "-3s", "PILLARBOX_SETTLE is '-3s'; write a duration such as 30s, 5m or 2h"),
        ("PILLARBOX_QUARANTINE", "soon", "PILLARBOX_QUARANTINE is 'soon'; write a duration such as 30s, 5m or 2h"),
        ("PILLARBOX_QUOTA", "many", "PILLARBOX_QUOTA is 'many'; write calls/seconds, such as 1000/300"),
        ("PILLARBOX_QUOTA", "0/300", "PILLARBOX_QUOTA is '0/300'; write calls/seconds, such as 1000/300"),
        ("PILLARBOX_QUOTA", "5/0", "PILLARBOX_QUOTA is '5/0'; its window must be longer than nothing"),
        ("PILLARBOX_ADDRESS_QUOTA", "1500", "PILLARBOX_ADDRESS_QUOTA is '1500'; write calls/seconds, such as 1000/300"),
        ("PILLARBOX_LEASE", "70s", "PILLARBOX_LEASE is 70s; it must be longer than PILLARBOX_SEND_BY + PILLARBOX_DEADLINE + 30s = 70s, or a second worker may take a record in mid-call"),
        ("PILLARBOX_DEADLINE", "0", "PILLARBOX_SEND_BY and PILLARBOX_DEADLINE must be longer than nothing; write 10s and 30s"),
        ("PILLARBOX_KEEP_ENTRIES", "6d", "PILLARBOX_KEEP_ENTRIES is 6d; closed entries are kept for 7d at least, so that an event sent twice is noticed"),
        ("PILLARBOX_KEEP_BODIES", "1h", "PILLARBOX_KEEP_BODIES is 1h; requests and answers are kept for 1d at least, and for twice the window of PILLARBOX_QUOTA"),
        ("PILLARBOX_KEEP_BODIES", "500d", "PILLARBOX_KEEP_BODIES is 500d; it cannot be longer than PILLARBOX_KEEP_ENTRIES, 400d"),
        ("PILLARBOX_OFFPEAK", "22-6", "PILLARBOX_OFFPEAK is '22-6'; write hours in London such as 22:00-06:00"),
        ("PILLARBOX_NAMESPACE", "My App", "PILLARBOX_NAMESPACE is 'My App'; use a to z, digits, - and _, at most 40"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL is 'LOUD'; it must be one of DEBUG, INFO, WARNING, ERROR"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT is 'xml'; it must be one of auto, json, text"),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_one_sentence(variable: str, value: str, sentence: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        Settings.from_environment({variable: value})

    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nonsense", "DATABASE_URL is no database URL"),
        ("mysql://host/db", "DATABASE_URL names mysql; only"),
    ],
)
def test_a_wrong_database_url_is_one_sentence(url: str, sentence: str) -> None:
    with pytest.raises(InvalidSettings, match=sentence):
        database_url(url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_postgresql_means_the_same_driver(scheme: str) -> None:
    assert database_url(f"{scheme}://host/name").drivername == "postgresql+psycopg"


def test_without_variables_everything_has_its_default() -> None:
    settings = Settings.from_environment({})
    (destination,) = settings.destinations

    assert settings.embedded
    assert settings.lease == timedelta(minutes=2)
    assert (destination.name, destination.contract) == ("default", "lead_provider_v3")
    assert (destination.calls, destination.window) == (1_000, timedelta(minutes=5))


def test_a_lease_just_longer_than_a_call_can_take_is_taken() -> None:
    assert Settings.from_environment({"PILLARBOX_LEASE": "70001ms"}).lease > timedelta(seconds=70)


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert Settings.from_environment(
        {"DATABASE_URL": "", "REDIS_URL": ""}
    ) == Settings.from_environment({})


# the key


def test_a_key_is_never_shown() -> None:
    settings = Settings.from_environment({"PILLARBOX_API_TOKEN": "s3cret"})

    assert "s3cret" not in repr(settings)


def test_a_key_from_a_file_is_read_afresh_for_every_call(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    token = Token(file=file)
    assert token.read() == "first"

    file.write_text("second\n")

    assert token.read() == "second"


def test_a_key_that_is_not_there_says_where_to_put_it(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")

    with pytest.raises(InvalidSettings, match="PILLARBOX_API_TOKEN is not set; put the API token"):
        Token().read()
    with pytest.raises(InvalidSettings, match="cannot be read; put the API token there"):
        Token(file=tmp_path / "absent").read()
    with pytest.raises(InvalidSettings, match="is empty; put the token there"):
        Token(file=empty).read()


# several destinations


def of_file(tmp_path: Path, content: str, **more: str) -> Settings:
    file = tmp_path / "destinations.toml"
    file.write_text(content)
    return Settings.from_environment({"PILLARBOX_DESTINATIONS": str(file), **more})


GOOD = """
[destinations.harbour]
contract = "lead_provider_v3"
url = "https://one.example/api/v3"
token_variable = "HARBOUR_TOKEN"

[destinations.fenland]
contract = "guidance"
url = "https://two.example/api"
token_file = "/run/secrets/fenland"
quota = "10/60"
"""


def test_a_file_names_several_destinations_and_where_their_keys_are(tmp_path: Path) -> None:
    settings = of_file(tmp_path, GOOD, HARBOUR_TOKEN="h")

    assert [one.name for one in settings.destinations] == ["harbour", "fenland"]
    assert settings.destination("harbour").token.read() == "h"
    assert settings.destination("fenland").calls == 10
    with pytest.raises(InvalidSettings, match="there is no 'x'; configured are harbour, fenland"):
        settings.destination("x")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("not toml [", "is no TOML"),
        ("", r"has no \[destinations.NAME\] table"),
        ('[destinations.a]\ncontract = "guidance"', "destinations.a.url is missing"),
        ('[destinations.a]\nurl = "https://x"\ncontract = "g"', "says nothing of its key"),
        ('[destinations.a]\nurl = 3\ncontract = "g"', "a.url must be text, in quotation marks"),
        ('[destinations.a]\nkey = "s3cret"', "a.key is not known; allowed are"),
        ('[destinations]\na = "s3cret"', "destinations.a must be a table"),
    ],
)
def test_a_file_that_is_wrong_is_one_sentence(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(InvalidSettings, match=complaint) as refused:
        of_file(tmp_path, content)

    assert "s3cret" not in str(refused.value)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="cannot be read"):
        Settings.from_environment({"PILLARBOX_DESTINATIONS": str(tmp_path / "absent")})
