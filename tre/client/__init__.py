"""The seam between a user interface and the use cases: one method a use case, plain arguments, views out.

The in-process twin runs the use cases here; an HTTP client will speak to a server. The command line uses one of them
and cannot tell which. Views are JSON values; their fields are documented in docs/reference/views.md.
"""
