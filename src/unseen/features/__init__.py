"""Feature tables of every kind that models take: NumPy, SciPy sparse, pandas, polars; and files of them."""
