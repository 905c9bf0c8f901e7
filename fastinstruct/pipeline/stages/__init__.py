"""What a run asks a model, and how its replies are read."""
