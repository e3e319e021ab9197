"""What Tableau opens: days read in bulk, and the file made of them."""
