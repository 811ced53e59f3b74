"""What schools and DfE do: events that change the world from outside the API."""
