"""Shipped test kit: conformance suites for drivers and credential authorities, memory twins, a clock, crash points.

A new driver is held to the same suite as ours: its test file is only fixtures. Nothing here is imported by a room
that runs in production.
"""
