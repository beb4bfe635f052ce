"""Statistics of scores and membership; they know no attack, no signal and no model."""
