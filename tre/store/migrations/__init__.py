"""Migrations, run by `tre.store.engine`."""
