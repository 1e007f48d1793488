//! Bounds, each with its unit. Those on finality stay below what the light client takes at once. This
//! crate does not link it, but its tests do: there the two are compared.

use phala_protocol::BlockNumber;
use std::time::Duration;

/// How long connecting to a node may take: less than the ten seconds after which the websocket gives up by itself,
/// so that a hang is told here.
pub const CONNECT_MAX: Duration = Duration::from_secs(9);

/// Most steps that [`crate::Chain::finality_after`] returns.
pub const FINALITY_STEPS_MAX: usize = 500;

/// It asks for no further step when it has this many bytes of them: the last one comes on top.
pub const FINALITY_BYTES_MAX: usize = 24 * 1024 * 1024;

/// Storage values asked for at once. A node answers with at most 10 MiB, and a body is at most
/// 32 KiB, twice that in hexadecimal.
pub const STORAGE_KEYS_PER_REQUEST_MAX: usize = 100;

/// For how many blocks a signature counts, from the newest final one on. A power of two.
pub const MORTALITY_BLOCKS: BlockNumber = 64;

/// How long a transaction may take to get into a block.
pub const INCLUSION_MAX: Duration = Duration::from_secs(60);

/// How often a transaction is signed anew because another took its number, or the runtime became another.
pub const NONCE_ATTEMPTS_MAX: u32 = 5;

/// How long a block may take to become final.
pub const FINALITY_MAX: Duration = Duration::from_secs(120);

/// How often what is waited for is looked at.
pub const POLL: Duration = Duration::from_millis(200);

const _: () = assert!(MORTALITY_BLOCKS.is_power_of_two());

// What is over these an enclave refuses whole, each time anew: it would never be brought further.
#[cfg(test)]
const _: () = {
	use phala_light_client::limits as enclave;
	assert!(FINALITY_STEPS_MAX <= enclave::STEPS_PER_BUNDLE_MAX);
	let last = enclave::HEADER_BYTES_MAX + enclave::JUSTIFICATION_BYTES_MAX;
	assert!(FINALITY_BYTES_MAX + last <= enclave::FINALITY_BYTES_PER_BUNDLE_MAX);
};
