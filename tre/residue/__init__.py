"""Looks for what a purged workspace left: one scanner per backend, own process, own credentials, no driver module."""
