"""What the pages show: tables and plots."""
