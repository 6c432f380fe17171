"""Starts and watches the processes of Relais on one machine."""
