//! A new migration makes this crate compile again.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
