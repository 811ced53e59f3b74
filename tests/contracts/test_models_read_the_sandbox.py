"""Two readings of one description check each other: the client's models read every answer of the
sandbox that they are for, for both providers of its world."""

from datetime import timedelta

import pytest

from gateway.answers import Answer
from gateway.client import Client
from gateway.contracts.lead_provider.reading import (
    Answered,
    DeclarationAnswer,
    DeclarationsAnswer,
    Participant,
    ParticipantAnswer,
    PartnershipAnswer,
    PartnershipsAnswer,
)
from sandbox.server import Sandbox
from schema.plans import Request


class ParticipantsAnswer(Answered):
    """A page of participants."""

    data: list[Participant]


PAGES = {
    "/participants": (ParticipantsAnswer, ParticipantAnswer),
    "/participant-declarations": (DeclarationsAnswer, DeclarationAnswer),
    "/partnerships": (PartnershipsAnswer, PartnershipAnswer),
}


@pytest.mark.parametrize("token", ["sandbox-harbour", "sandbox-northmoor"])
@pytest.mark.parametrize("path", PAGES)
def test_every_row_of_every_page_and_each_row_alone_is_read(path: str, token: str) -> None:
    many, one = PAGES[path]
    with Sandbox() as served:
        client = Client(served.url, lambda: token, deadline=timedelta(seconds=10))
        page = many.model_validate_json(_body(client, path))
        alone = [
            one.model_validate_json(_body(client, f"{path}/{row.id}")).data for row in page.data
        ]
        client.close()

    assert alone == page.data
    assert page.data


def _body(client: Client, path: str) -> bytes:
    reply = client.send(Request(method="GET", path=path))
    assert isinstance(reply, Answer)
    assert reply.status == 200
    return reply.body
