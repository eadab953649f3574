"""What models cost: public price lists under the user's own prices, and jobs compared by them."""
