"""One frozen settings object, read once."""
