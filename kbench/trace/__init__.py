"""Where a number comes from, step by step, and what makes it again."""
