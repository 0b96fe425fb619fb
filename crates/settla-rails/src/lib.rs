//! settla-rails
