"""A drain: routes what is in the inbox and delivers what is in the destinations' rooms, until its time is used."""
