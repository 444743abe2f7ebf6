"""The first tables. Written out, so that a later change of the code's tables does not change what this made."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "facts",
        sa.Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("identity", sa.String(500), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.UniqueConstraint("kind", "identity", name="one_fact_per_identity"),
    )
    op.create_index("facts_by_key", "facts", ["kind", "key", "sequence"])
    op.create_table(
        "statuses",
        sa.Column("workspace", sa.String(16), primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "blobs", sa.Column("digest", sa.String(64), primary_key=True), sa.Column("data", sa.LargeBinary, nullable=False)
    )
    op.create_table(
        "settings", sa.Column("name", sa.String(60), primary_key=True), sa.Column("value", sa.Text, nullable=False)
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "records",
        sa.Column("sequence", _SEQUENCE, primary_key=True, autoincrement=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("line", sa.LargeBinary, nullable=False),
    )
    op.create_index("records_by_subject", "records", ["subject", "sequence"])
    op.create_table(
        "checkpoints",
        sa.Column("sequence", sa.BigInteger, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.String(20), primary_key=True),
        sa.Column("holder", sa.String(100), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("boot_id", sa.String(60), nullable=False),
        sa.Column("expires_wall", sa.Float, nullable=False),
        sa.Column("expires_boot", sa.Float, nullable=False),
    )
    op.create_table("pokes", sa.Column("workspace", sa.String(16), primary_key=True))
    op.create_table(
        "effects",
        sa.Column("effect", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("workspace", sa.String(16), nullable=False),
        sa.Column("what", sa.String(100), nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("record", sa.BigInteger, nullable=False),
    )
