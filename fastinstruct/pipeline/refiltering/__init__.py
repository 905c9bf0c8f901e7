"""A stored run judged anew, without a model."""
