"""What Relais is measured against."""
