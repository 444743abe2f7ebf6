"""The command line: one module per noun; a command parses, calls, renders. Data on stdout, the rest on stderr.

At the top of a module stands nothing heavier than typer: what a command needs is imported when it runs.
"""
