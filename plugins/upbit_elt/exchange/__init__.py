"""Upbit's quotation REST API: typed answers, typed errors, and never more requests than allowed."""
