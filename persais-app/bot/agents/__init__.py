"""Who answers: one file per agent."""
