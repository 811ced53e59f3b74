"""What the last action came to, shown once on the next page.

One idea: it travels in a cookie under the visitor's seal, so that only this console can put words on
its own pages, and no process needs to remember anything.
"""

import base64
import binascii
import json
from dataclasses import dataclass

from starlette.responses import Response

from console.visit import Visit

COOKIE = "pillarbox_said"
LIVES_S = 60
LONGEST = 600
"""Characters of what is said: a sentence or two, and a cookie that every browser keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A sentence; as a problem, with the field it is about."""

    text: str
    problem: bool = False
    field: str | None = None


def leave(
    visit: Visit, response: Response, text: str, *, problem: bool = False, field: str | None = None
) -> None:
    """Leave a sentence for the page that comes next."""
    content = json.dumps([text[:LONGEST], problem, field], ensure_ascii=False)
    packed = base64.urlsafe_b64encode(content.encode()).decode()
    response.set_cookie(
        COOKIE,
        f"{visit.who.seal('said ' + packed)}.{packed}",
        max_age=LIVES_S,
        httponly=True,
        samesite="strict",
        secure=visit.site.listening.is_secure,
    )


def read(visit: Visit) -> Said | None:
    """Give what was left, if it is under this visitor's seal."""
    seal, _, packed = visit.request.cookies.get(COOKIE, "").partition(".")
    if not packed or not visit.who.secret or not visit.who.sealed("said " + packed, seal):
        return None
    try:
        text, problem, field = json.loads(base64.urlsafe_b64decode(packed))
    except (ValueError, binascii.Error):
        return None
    return Said(text=text, problem=problem, field=field)


def forget(response: Response) -> None:
    """Take it away once it was shown."""
    response.delete_cookie(COOKIE)
