"""Pure thinking: permit, decision and capabilities give what is desired; desired, observed and now give the rest.

No I/O, no clock, no randomness: everything that is known is an argument.
"""
