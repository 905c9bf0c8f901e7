"""From a run's configuration to endpoints that answer."""
