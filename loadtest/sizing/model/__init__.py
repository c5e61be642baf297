"""What a load asks of a fleet, what the fleet can take, and how well that is known."""
