"""What is known of one permit and of its workspaces, read in one go from the store.

Reads facts through `tre.contracts.store.Reader`, parses the permit, folds its standing and asks policy; writes
nothing and calls no far side. Operations and the controller both begin here, so that they cannot disagree.
"""
