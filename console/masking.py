"""Hides names, TRN and e-mail addresses from who may not see them.

One idea: what is hidden keeps enough of its shape to tell two people apart on one screen, and no
more: a viewer works with records, not with persons.
"""

MASK = "•••"


def masked(value: object, *, shown: bool) -> str:
    """Give a personal value as it may be shown: whole, or its first letter and dots.

    *shown* is `visit.who.sees(record key, visit.now)`. Of an e-mail address the host stays, of a
    number the last two digits.
    """
    text = "" if value is None else str(value).strip()
    if shown or not text:
        return text
    if "@" in text:
        return f"{text[0]}{MASK}@{text.rpartition('@')[2]}"
    if text.replace(" ", "").isdecimal():
        return f"{MASK}{text[-2:]}"
    return " ".join(f"{word[0]}{MASK}" for word in text.split())
