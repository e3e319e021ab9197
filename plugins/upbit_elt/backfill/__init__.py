"""History: what is asked for, what of it is still missing, and the work that brings it in."""
