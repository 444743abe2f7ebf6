"""The only code that reads the bytes of datasets: manifests, fingerprints, verification.

Pure of the store: it is given folders and facts and returns facts. It never writes into a dataset.
"""
