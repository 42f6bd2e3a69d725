//! Placeholder: the registrar is written elsewhere.
