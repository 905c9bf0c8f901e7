"""What a run may use, has used and may still use."""
