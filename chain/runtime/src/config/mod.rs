//! The pallets' configuration, by subject.

pub mod accounts;
pub mod consensus;
pub mod fees;
pub mod governance;
pub mod money;
pub mod network;
pub mod staking;
pub mod system;
pub mod tracks;
