"""Facts and orders, footprints, status, blobs and the record, in one database; SQLAlchemy Core and Alembic live here.

Fulfils `tre.contracts.store`. Knows no noun beyond its key and identity, decides nothing, calls no far side.
"""
