//! settla
fn main(){}
