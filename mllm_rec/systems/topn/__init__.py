"""Systems that rank all items for a user."""
