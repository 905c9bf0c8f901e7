"""What limits the requests to an endpoint: pure, in passed-in time."""
