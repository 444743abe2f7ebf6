"""Queue, loop, one reconciler per noun, sweeps (expiry, orphans, drift, credentials).

Reads through the dossier, thinks through planning, acts through `Effects` only. Knows drivers by their contract,
never by their name. Does not render, and takes no orders: operations write those.
"""
