"""The tables. Portable SQL: nothing here is SQLite's own."""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")

facts = Table(
    "facts",
    metadata,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("kind", String(40), nullable=False),
    Column("key", String(200), nullable=False),
    Column("identity", String(500), nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("kind", "identity", name="one_fact_per_identity"),
    Index("facts_by_key", "kind", "key", "sequence"),
)

statuses = Table(
    "statuses",
    metadata,
    Column("workspace", String(16), primary_key=True),
    Column("body", Text, nullable=False),
)

blobs = Table(
    "blobs",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("value", Text, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

records = Table(
    "records",
    metadata,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=False),
    Column("subject", String(200), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("line", LargeBinary, nullable=False),
    Index("records_by_subject", "subject", "sequence"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("sequence", BigInteger, primary_key=True),
    Column("body", Text, nullable=False),
)

lease = Table(
    "lease",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("holder", String(100), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("boot_id", String(60), nullable=False),
    Column("expires_wall", Float, nullable=False),
    Column("expires_boot", Float, nullable=False),
)

pokes = Table("pokes", metadata, Column("workspace", String(16), primary_key=True))

effects = Table(
    "effects",
    metadata,
    Column("effect", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("workspace", String(16), nullable=False),
    Column("what", String(100), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("record", BigInteger, nullable=False),
)
