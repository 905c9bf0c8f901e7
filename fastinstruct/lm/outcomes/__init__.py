"""What became of a request: the closed union of outcomes, and how a server's words are read as one of them."""
