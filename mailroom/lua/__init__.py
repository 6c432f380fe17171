"""The mailroom's functions inside the store, in Lua."""
