"""Models that can be asked, one framework a file."""
