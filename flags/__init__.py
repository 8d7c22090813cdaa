"""What can be set: the binding of configs to flags, and the committed flagfiles."""
