//! The pallets' configuration, by subject.

pub mod consensus;
pub mod fees;
pub mod governance;
pub mod money;
pub mod network;
pub mod system;
