"""Upbit's quotation REST API: typed results, typed errors, and never more requests than the exchange allows."""
