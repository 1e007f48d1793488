//! # The one supervisor of a network's processes
//!
//! `phala network up` and all end-to-end tests start their chain nodes, enclaves and relayers here:
//! the real binaries, on loopback and on free ports, in one folder that goes with the network.
//!
//! What holds for every child:
//!
//! * It is in a **process group of its own**, so that Ctrl-C in a terminal reaches only its
//!   supervisor, which ends all in order, and so that what it starts ends with it.
//! * It **does not outlive its supervisor**, not even one that is killed with -9: the kernel kills it
//!   then (`PR_SET_PDEATHSIG`).
//! * Its **environment is empty** but for what [`Supervisor`] names: nobody's shell changes a run, and
//!   nothing is written to anybody's HOME.
//! * What it writes is kept **as bytes**: a line that is no UTF-8 neither ends its log nor changes.
//! * It may have a **time limit**, after which it is killed and its log says so.
//!
//! | module | holds |
//! |---|---|
//! | [`folder`] | the folder of one network, removed even after kill -9: at the next start |
//! | [`limits`] | bounds with their units |
//! | [`network`] | a network: restarts, evictions, partitions |
//! | [`parts`] | node, enclave and relayer as processes |
//! | [`process`] | a child process and what it wrote |
//! | [`proxy`] | a loopback TCP proxy that records what passes, and makes faults |
//! | [`specification`] | a chain's specification, kept so that the next start is quicker |

pub mod folder;
pub mod limits;
pub mod network;
pub mod parts;
pub mod process;
pub mod proxy;
pub mod specification;

pub use folder::Folder;
pub use network::{Devnet, Options, Runs, Worker, WorkerOptions};
pub use parts::{Enclave, Node, Relayer};
pub use process::{Log, Process, Supervisor};
pub use proxy::Proxy;
