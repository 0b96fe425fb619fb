//! settla-server
