"""`tre` carries a permit to use sensitive data from approval to a proved deletion.

Nothing is imported here: each command pays only for the rooms it enters.
"""

__version__ = "0.1.0"
