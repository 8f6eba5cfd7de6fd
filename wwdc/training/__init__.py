"""Training one point: Lightning modules, losses, schedules and the loop."""
