"""Parts of the format Camtrap DP: deployments, observations and the description of the package."""
