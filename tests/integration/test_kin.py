"""Kin are read at once for many records: each once, whoever of the family is in hand already."""

from records import store
from runtime.database import Database
from tests.support.builders import a_claim, a_record


def test_all_of_a_family_are_given_in_order_and_once(database: Database) -> None:
    family = [a_record("E-1"), a_claim("started"), a_claim("completed"), a_claim("retained-1")]
    others = [a_record("E-2"), a_record("E-3")]
    with database.transaction() as connection:
        store.insert_all(connection, [*family, *others])
    with database.reading() as connection:
        ids = sorted(store.ids_of(connection, "default", ["enrolment:E-1"]).values())
        [alone] = store.by_source(connection, "E-2")
        for in_hand in ([ids[0]], [ids[3], ids[1]], ids):
            found = store.kin_of(connection, [*store.by_ids(connection, in_hand), alone])

            assert [one.id for one in found["enrolment:E-1"]] == ids
            assert found["enrolment:E-2"] == [alone]
            assert set(found) == {"enrolment:E-1", "enrolment:E-2"}
        assert store.kin_of(connection, []) == {}
