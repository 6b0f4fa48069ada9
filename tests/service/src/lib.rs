//! The tests of the service stand in `tests/`, in a package of their own: they need no warehouse but SQLite, so they build
//! without the clients of the others.
