//! Randomness of this machine.

use anyhow::Context;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// A generator with a new seed of the system's.
pub fn generator() -> anyhow::Result<ChaCha20Rng> {
	Ok(ChaCha20Rng::from_seed(bytes()?))
}

/// Fresh random bytes.
pub fn bytes<const N: usize>() -> anyhow::Result<[u8; N]> {
	let mut bytes = [0; N];
	getrandom::fill(&mut bytes).context("the system gives no randomness")?;
	Ok(bytes)
}
