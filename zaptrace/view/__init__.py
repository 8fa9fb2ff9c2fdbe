"""What capture reads and what restore fills."""
