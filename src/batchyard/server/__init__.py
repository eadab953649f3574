"""The composition root: the only room that names concrete engines, fleets and stores."""
