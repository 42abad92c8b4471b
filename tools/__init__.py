"""Development: scripts that a person runs. Production never imports this package."""
