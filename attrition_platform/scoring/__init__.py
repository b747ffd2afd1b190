"""What a model says about one employee, fast: compiled models, their parity, reasons and tiers."""
