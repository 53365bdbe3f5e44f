"""Find where the animal is: motion against the background of a static camera, and crops from boxes. No Spark."""
