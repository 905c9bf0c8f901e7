"""What views, exports and refiltering ask a run's database: every query by its name, each returning records."""
