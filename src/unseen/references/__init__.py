"""References: models trained like the target on subsets that never look at its membership."""
