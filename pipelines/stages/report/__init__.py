"""Tables and model version -> report.html."""
