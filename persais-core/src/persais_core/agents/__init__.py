"""Who answers: the base class, the ones that are always there, and the finding of a project's own."""
