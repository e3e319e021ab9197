"""Live collection: what a run requests, how it fetches, and which minutes later runs recheck."""
