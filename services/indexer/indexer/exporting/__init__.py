"""Exports as jobs: what is selected, out of the object store, to a bucket, an archive or a peer."""
