"""Real processes under load, killed, stopped and lied to; then a checker compares promise and outcome."""
