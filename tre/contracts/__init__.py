"""What the core asks of the outside world: Protocols and their errors, and nothing that fulfils them.

A driver, a credential authority, a store or a clock lives in its own room above; whoever needs one asks for the
Protocol here.
"""
