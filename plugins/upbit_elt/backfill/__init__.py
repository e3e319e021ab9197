"""Backfill: which history is requested, which minutes of it are missing, and the worker that fetches them."""
