"""What is removed after a time, so that a deployment stays the size of its data."""
