"""What may be shown: exact filters, and candidates."""
