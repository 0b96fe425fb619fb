//! settla-node
