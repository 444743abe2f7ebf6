"""Workspaces on one host: every session is a bubblewrap box of its own, bounded by a supervisor. See README.md."""
