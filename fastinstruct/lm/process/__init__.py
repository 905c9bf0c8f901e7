"""What this process must look after: its event loop, its descriptors, its garbage."""
