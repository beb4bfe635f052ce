"""The audit log: chained, signed, verified, and exported."""
