"""What the platform costs and how well it scores, side by side with simpler ways. Run: `make bench`."""
