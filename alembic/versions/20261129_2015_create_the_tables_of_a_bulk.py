"""Create the tables of a bulk: many records replayed or discarded on one person's word.

Revision: 0014, after: 0013
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

POSTGRESQL = (
    r"""
CREATE TABLE bulk (
    id BIGSERIAL NOT NULL,
    state TEXT NOT NULL,
    deed TEXT NOT NULL,
    destination TEXT NOT NULL,
    total INTEGER NOT NULL,
    lane TEXT NOT NULL,
    offpeak INTEGER NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    selection JSONB NOT NULL,
    tally JSONB,
    CONSTRAINT bulk_pk PRIMARY KEY (id),
    CONSTRAINT bulk_state_known CHECK (state IN ('trying', 'tried', 'running', 'cancelled', 'done')),
    CONSTRAINT bulk_deed_known CHECK (deed IN ('replay', 'discard')),
    CONSTRAINT bulk_lane_known CHECK (lane IN ('live', 'poll', 'bulk')),
    CONSTRAINT bulk_has_records CHECK (total > 0),
    CONSTRAINT bulk_ended_has_time CHECK ((state IN ('cancelled', 'done')) = (ended_at IS NOT NULL))
)
    """,
    r"""
CREATE INDEX bulk_latest ON bulk (destination, id)
    """,
    r"""
CREATE UNIQUE INDEX bulk_one_active ON bulk (destination) WHERE state IN ('running', 'tried', 'trying')
    """,
    r"""
CREATE TABLE bulk_item (
    bulk_id BIGINT NOT NULL,
    record_id BIGINT NOT NULL,
    state TEXT NOT NULL,
    result TEXT,
    detail TEXT,
    at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT bulk_item_pk PRIMARY KEY (bulk_id, record_id),
    CONSTRAINT bulk_item_state_known CHECK (state IN ('left', 'moving', 'ended', 'spared')),
    CONSTRAINT bulk_item_result_known CHECK (result IS NULL OR result IN ('sent', 'waits', 'aside', 'nothing', 'newer', 'went_on', 'discarded')),
    CONSTRAINT bulk_item_ended_has_result CHECK ((state = 'ended') = (result IS NOT NULL)),
    CONSTRAINT bulk_item_bulk_id_fk FOREIGN KEY(bulk_id) REFERENCES bulk (id),
    CONSTRAINT bulk_item_record_id_fk FOREIGN KEY(record_id) REFERENCES record (id)
)
    """,
    r"""
CREATE INDEX bulk_item_left ON bulk_item (bulk_id, record_id) WHERE state = 'left'
    """,
    r"""
CREATE INDEX bulk_item_moving ON bulk_item (bulk_id, record_id) WHERE state = 'moving'
    """,
    r"""
CREATE UNIQUE INDEX bulk_item_one_bulk ON bulk_item (record_id) WHERE state IN ('left', 'moving')
    """,
)

SQLITE = (
    r"""
CREATE TABLE bulk (
    id INTEGER NOT NULL,
    state TEXT NOT NULL,
    deed TEXT NOT NULL,
    destination TEXT NOT NULL,
    total INTEGER NOT NULL,
    lane TEXT NOT NULL,
    offpeak INTEGER NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT,
    created_at TEXT NOT NULL,
    started_at TEXT,
    ended_at TEXT,
    selection JSON NOT NULL,
    tally JSON,
    CONSTRAINT bulk_pk PRIMARY KEY (id),
    CONSTRAINT bulk_state_known CHECK (state IN ('trying', 'tried', 'running', 'cancelled', 'done')),
    CONSTRAINT bulk_deed_known CHECK (deed IN ('replay', 'discard')),
    CONSTRAINT bulk_lane_known CHECK (lane IN ('live', 'poll', 'bulk')),
    CONSTRAINT bulk_has_records CHECK (total > 0),
    CONSTRAINT bulk_ended_has_time CHECK ((state IN ('cancelled', 'done')) = (ended_at IS NOT NULL))
)
    """,
    r"""
CREATE INDEX bulk_latest ON bulk (destination, id)
    """,
    r"""
CREATE UNIQUE INDEX bulk_one_active ON bulk (destination) WHERE state IN ('running', 'tried', 'trying')
    """,
    r"""
CREATE TABLE bulk_item (
    bulk_id INTEGER NOT NULL,
    record_id INTEGER NOT NULL,
    state TEXT NOT NULL,
    result TEXT,
    detail TEXT,
    at TEXT,
    CONSTRAINT bulk_item_pk PRIMARY KEY (bulk_id, record_id),
    CONSTRAINT bulk_item_state_known CHECK (state IN ('left', 'moving', 'ended', 'spared')),
    CONSTRAINT bulk_item_result_known CHECK (result IS NULL OR result IN ('sent', 'waits', 'aside', 'nothing', 'newer', 'went_on', 'discarded')),
    CONSTRAINT bulk_item_ended_has_result CHECK ((state = 'ended') = (result IS NOT NULL)),
    CONSTRAINT bulk_item_bulk_id_fk FOREIGN KEY(bulk_id) REFERENCES bulk (id),
    CONSTRAINT bulk_item_record_id_fk FOREIGN KEY(record_id) REFERENCES record (id)
)
    """,
    r"""
CREATE INDEX bulk_item_left ON bulk_item (bulk_id, record_id) WHERE state = 'left'
    """,
    r"""
CREATE INDEX bulk_item_moving ON bulk_item (bulk_id, record_id) WHERE state = 'moving'
    """,
    r"""
CREATE UNIQUE INDEX bulk_item_one_bulk ON bulk_item (record_id) WHERE state IN ('left', 'moving')
    """,
)


def upgrade() -> None:
    """Create them."""
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL:
        op.execute(statement)


def downgrade() -> None:
    """Drop them, with what became of each record: the audit trail keeps who did what."""
    op.execute("DROP TABLE bulk_item")
    op.execute("DROP TABLE bulk")
