"""Who is let in, and what a refused action leaves behind."""

from tests.support.desk import Desk


def test_a_foreign_host_gets_no_page(desk: Desk) -> None:
    answer = desk.get("/audit", host="evil.example")

    assert answer.status_code == 421
    assert "Pillarbox" not in answer.text


def test_whoever_comes_through_a_proxy_is_not_at_this_keyboard(desk: Desk) -> None:
    answer = desk.get("/audit", x_forwarded_for="192.0.2.7")

    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")


def test_every_answer_carries_the_policy(desk: Desk) -> None:
    for path in ("/audit", "/nowhere", "/healthz", "/static/pillarbox.css"):
        headers = desk.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"], path
        assert headers["x-frame-options"] == "DENY", path
