"""The nouns: permit, workspace, dataset, member, condition, step, names, time rules.

Frozen values and pure functions over them. No I/O, no clock, no randomness, and no import of another room.
"""
