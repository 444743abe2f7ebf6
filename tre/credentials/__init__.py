"""OpenBao (or Vault) lives here: leases out, revocation proved, checkpoints signed, a local server kept.

The only room that imports hvac, and only in `client.py`. Fulfils `tre.contracts.credentials`; decides nothing.
"""
