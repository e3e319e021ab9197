"""Proof: what the warehouse shows, held against what the exchange says."""
