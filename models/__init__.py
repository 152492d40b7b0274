"""What is served, and the maths of serving it."""
