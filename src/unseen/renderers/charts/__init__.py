"""Charts: inline SVG with a title and a description, drawn from a report's numbers; each stands beside its table."""
