//! A small chain for tests. (To come.)
