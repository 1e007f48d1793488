//! The runtime that a network is upgraded to, and what is seen of an upgrade on the chain.

use crate::{binaries, chain::Chain, money::item};
use anyhow::{ensure, Context};
use codec::{Compact, DecodeAll, Encode};
use phala_chain_client::{transactions, Call, Chain as Source};
use phala_protocol::H256;
use sp_crypto_hashing::blake2_256;
use sp_maybe_compressed_blob::{compress_weakly, CODE_BLOB_BOMB_LIMIT};

/// Where the runtime's build puts the one with the rehearsal's migration, beside the binaries.
const REHEARSAL: &str = "wbuild/phala-runtime/phala_runtime_rehearsal.wasm";

/// Which format of transactions: one that nobody signs, and that the runtime lets in for its call.
const BARE: u8 = 5;

/// A runtime, compressed as it is stored: uncompressed it is longer than a block.
pub struct Code(Vec<u8>);

impl Code {
	/// The runtime of this build with a migration that shows.
	pub fn rehearsal() -> anyhow::Result<Self> {
		let path = binaries()?.join(REHEARSAL);
		let wasm = std::fs::read(&path)
			.with_context(|| format!("{} is not there: run `make build`", path.display()))?;
		let code = compress_weakly(&wasm, CODE_BLOB_BOMB_LIMIT).context("a runtime is no bomb")?;
		Ok(Self(code))
	}

	/// What a vote authorizes.
	pub fn hash(&self) -> H256 {
		H256(blake2_256(&self.0))
	}

	/// Brings it to a chain that has authorized it. Nobody signs that, and nobody pays.
	pub async fn bring(&self, chain: &Source) -> anyhow::Result<()> {
		const NAME: &str = "system.apply_authorized_upgrade";
		let call = Call {
			name: NAME,
			pallet: "System",
			call: "apply_authorized_upgrade",
			arguments: self.0.encode(),
		};
		let transaction = bare(&call.bytes(chain).await?);
		transactions::submit_bytes(chain, NAME, &transaction).await?;
		Ok(())
	}
}

/// A transaction that is its call.
fn bare(call: &[u8]) -> Vec<u8> {
	let length = Compact(call.len() as u64 + 1).encode();
	[&length[..], &[BARE], call].concat()
}

/// What the state after a block shows of upgrades.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
	/// `Parameters.Network`, which the rehearsal's migration makes longer.
	pub parameters: Vec<u8>,
	/// That pallet's storage version; absent means 0.
	pub storage_version: u16,
	/// `Parameters.GenesisEpochSlots`, which no upgrade changes.
	pub epoch_slots: Option<Vec<u8>>,
}

impl Seen {
	/// After a block.
	pub async fn after(chain: &Chain, block: u64) -> anyhow::Result<Self> {
		let parameters = chain.value(&item("Parameters", "Network"), block).await?;
		let version = item("Parameters", ":__STORAGE_VERSION__:");
		let version = chain.value(&version, block).await?;
		Ok(Self {
			parameters: parameters.context("a chain has parameters")?,
			storage_version: version.map_or(Ok(0), |bytes| u16::decode_all(&mut &bytes[..]))?,
			epoch_slots: chain.value(&item("Parameters", "GenesisEpochSlots"), block).await?,
		})
	}

	/// What is to be seen from the first block on that the rehearsal's runtime makes, which is
	/// `upgraded_at`.
	pub fn rehearsed(&self, upgraded_at: u64) -> anyhow::Result<Self> {
		let block_before = u32::try_from(upgraded_at)?.saturating_sub(1);
		ensure!(self.storage_version < u16::MAX, "there is a version after this one");
		Ok(Self {
			parameters: [&self.parameters[..], &block_before.encode()].concat(),
			storage_version: self.storage_version + 1,
			epoch_slots: self.epoch_slots.clone(),
		})
	}
}

/// The first final block from `from` on whose state has another runtime than this version, which made
/// that block too.
pub async fn upgraded_at(chain: &Source, from: u64, old_version: u32) -> anyhow::Result<u64> {
	for block in from..=u64::from(chain.finalized().await?) {
		let hash = chain.block_hash(u32::try_from(block)?).await?.context("it is final")?;
		if chain.spec_version(Some(hash)).await? != old_version {
			return Ok(block);
		}
	}
	anyhow::bail!("no block from {from} on has another runtime than {old_version}")
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_bare_transaction_is_its_length_its_format_and_its_call() {
		assert_eq!(bare(&[0, 11, 4, 7]), [5 << 2, 5, 0, 11, 4, 7]);
	}

	#[test]
	fn what_the_rehearsal_leaves_is_what_was_there_and_the_block_before() {
		let before = Seen { parameters: vec![1, 2], storage_version: 0, epoch_slots: None };
		let after = before.rehearsed(0x0103).unwrap();
		assert_eq!(after.parameters, [1, 2, 2, 1, 0, 0]);
		assert_eq!(after.storage_version, 1);
	}
}
