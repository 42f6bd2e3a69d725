//! The `turno` program.
fn main() {}
