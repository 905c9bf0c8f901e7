"""Many requests over few endpoints: jobs, channels, retries, and the scheduler that joins them."""
