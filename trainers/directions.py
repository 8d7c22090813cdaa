"""Which way a figure of validation gets better."""

LOWER_IS_BETTER = ("loss", "token_error_rate")
