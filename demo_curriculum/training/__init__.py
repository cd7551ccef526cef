"""Learning: policies, returns, rollouts, PPO, and the trainer that puts them together."""
