"""Pure: the record's form, its chain, checkpoints, export and offline verifier; deletion certificates.

Needs nothing but bytes and public keys, so that an auditor can run it without us. Writes nothing.
"""
