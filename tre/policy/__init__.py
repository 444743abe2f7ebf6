"""Decides: bundle (`policies/`) and facts give a `Decision`; a permit's text and its context give a verdict.

V-rules (the permit's form) are Python, SPE-rules (policy) are CEL in the bundle. Pure but for reading the bundle's
files once. Nothing here can stop a lock-out: a rule that fails denies a grant.
"""
