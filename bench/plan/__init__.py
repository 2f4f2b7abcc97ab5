"""What to measure: cards, recipes and matrices become cells, and cells become jobs."""
