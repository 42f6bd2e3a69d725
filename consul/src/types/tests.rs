//! Reading and writing the wire types.
