"""The Tableau extract: reads days in bulk, and writes the `.hyper` file."""
