"""Language models behind one door, each call booked to whom it was made for."""
