"""A trained model for others: the formats in which it leaves."""
