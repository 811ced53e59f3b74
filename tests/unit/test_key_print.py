"""A key is named without being told."""

from pathlib import Path

from runtime.settings import Token
from workers.key_print import UNREADABLE, key_print


def test_a_rewritten_key_file_has_another_print_and_no_print_tells_the_key(tmp_path: Path) -> None:
    file = tmp_path / "key"
    token = Token(file=file)
    assert key_print(token, "database") == UNREADABLE

    file.write_text("first-secret\n")
    first = key_print(token, "database")
    file.write_text("second-secret\n")
    second = key_print(token, "database")
    file.write_text("first-secret\n")

    assert len({first, second, UNREADABLE}) == 3
    assert key_print(token, "database") == first
    assert key_print(token, "another database") != first
    assert "secret" not in first
    file.unlink()
    assert key_print(token, "database") == UNREADABLE


def test_a_key_that_is_no_text_has_a_print_too() -> None:
    assert key_print(Token(value="\udcff"), "database") != UNREADABLE
