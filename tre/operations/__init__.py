"""The use cases: authorise, decide, record, poke. Each is one transaction; none calls a far side but `open_session`.

Whoever calls (the command line, the API) has authenticated a principal; what that principal may do is decided here.
"""
