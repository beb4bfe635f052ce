"""What the references say of each record: counts, means and variances on either side, and how to shrink them."""
