"""The learner's side: following stores while they grow, here or behind a URL."""
