"""The doors: how people and programs outside ask the lake. Each speaks its protocol and knows the rest of Headwater as a `Service` only."""
