"""The conversation: what was said, understood as typed filters and wishes, and what is remembered of it."""
