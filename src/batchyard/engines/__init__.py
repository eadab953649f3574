"""Who answers: one file per dependency, none knows another."""
