//! JSON-RPC: what every Substrate node serves, BABE's and GRANDPA's, and [`FinalityApi`].

// Anybody calls these: nothing here panics, whatever they ask.
#![cfg_attr(
	not(test),
	deny(
		clippy::arithmetic_side_effects,
		clippy::expect_used,
		clippy::indexing_slicing,
		clippy::panic,
		clippy::unreachable,
		clippy::unwrap_used
	)
)]

use codec::Encode;
use jsonrpsee::{
	core::{async_trait, RpcResult},
	proc_macros::rpc,
	types::ErrorObjectOwned,
	RpcModule,
};
use phala_protocol::{
	relay::{FinalityStep, GenesisBundle},
	storage_keys,
};
use phala_runtime::{opaque::Block, AccountId, Balance, BlockNumber, Hash, Nonce};
use sc_client_api::{backend::AuxStore, Backend, BlockBackend, ProofProvider, StorageProvider};
use sc_consensus_babe_rpc::{Babe, BabeApiServer};
use sc_consensus_grandpa::{
	AuthoritySetChanges, FinalityProofProvider, GrandpaJustificationStream, SharedAuthoritySet,
	SharedVoterState,
};
use sc_consensus_grandpa_rpc::{Grandpa, GrandpaApiServer};
use sc_rpc::SubscriptionTaskExecutor;
use sp_api::ProvideRuntimeApi;
use sp_blockchain::{Error as BlockChainError, HeaderBackend, HeaderMetadata};
use sp_core::Bytes;
use sp_runtime::traits::BlakeTwo256;
use std::sync::{Arc, Mutex, PoisonError};

/// Finality proofs for light clients that skip headers.
///
/// The stock `grandpa_proveFinality` returns every header up to the end of an authority set; a
/// client that only follows authority sets needs none of them.
#[rpc(server, namespace = "finality")]
pub trait FinalityApi {
	/// SCALE of a [`FinalityStep`]: the one that leads furthest from block `from` under the
	/// authority set that finalizes block `from`. That is the last block of that set if the set
	/// has ended, else the newest block with a justification. `null` when nothing at or after
	/// `from` is provably final yet.
	///
	/// Call again with the step's block number + 1 to go on.
	#[method(name = "prove")]
	fn prove(&self, from: BlockNumber) -> RpcResult<Option<Bytes>>;

	/// SCALE of a [`GenesisBundle`]: block 0 and a proof of the first authority set under it.
	/// Made from the chain specification, so that it is there after the state of block 0 is pruned.
	#[method(name = "genesis", blocking)]
	fn genesis(&self) -> RpcResult<Bytes>;
}

/// Serves [`FinalityApi`] from the node's database.
pub struct Finality<C, BE> {
	client: Arc<C>,
	backend: Arc<BE>,
	authority_set: SharedAuthoritySet<Hash, BlockNumber>,
	chain_spec: Arc<dyn sc_service::ChainSpec>,
	genesis: Mutex<Option<Vec<u8>>>,
}

#[derive(Debug, thiserror::Error)]
enum FinalityError {
	#[error("the node's database failed: {0}")]
	Database(#[from] BlockChainError),
	#[error("authority-set changes before block {0} are unknown to this node: it was warp-synced; ask an archive")]
	UnknownSet(BlockNumber),
	#[error("the chain specification gives no genesis state: {0}")]
	GenesisState(String),
	#[error("the chain specification's genesis has state root {found:?}, block 0 has {expected:?}: the node was started with another specification than its database")]
	OtherGenesis { expected: Hash, found: Hash },
	#[error("the justification of block {0} is missing from the database; ask another node")]
	JustificationMissing(BlockNumber),
}

impl From<FinalityError> for ErrorObjectOwned {
	fn from(error: FinalityError) -> Self {
		const SERVER_ERROR: i32 = -32_000;
		Self::owned(SERVER_ERROR, error.to_string(), None::<()>)
	}
}

impl<C, BE> Finality<C, BE>
where
	C: HeaderBackend<Block> + BlockBackend<Block>,
	BE: AuxStore,
{
	fn step(&self, from: BlockNumber) -> Result<Option<FinalityStep>, FinalityError> {
		// Read before it is known that the set is current still: what is read after its end may be by the
		// next set, which nobody follows who has not seen that end.
		let best = sc_consensus_grandpa::best_justification::<_, Block>(&*self.backend)?;
		match last_block_of_set(&self.authority_set.authority_set_changes(), from)? {
			Some(last) => {
				let missing = || FinalityError::JustificationMissing(last);
				let hash = self.client.hash(last)?.ok_or_else(missing)?;
				let header = self.client.header(hash)?.ok_or_else(missing)?;
				let justification = self
					.client
					.justifications(hash)?
					.and_then(|all| all.into_justification(sp_consensus_grandpa::GRANDPA_ENGINE_ID))
					.ok_or_else(missing)?;
				Ok(Some(FinalityStep { header: header.encode(), justification }))
			}
			None => {
				let Some(best) = best else { return Ok(None) };
				let (number, hash) = best.target();
				if number < from {
					return Ok(None);
				}
				let header =
					self.client.header(hash)?.ok_or(FinalityError::JustificationMissing(number))?;
				Ok(Some(FinalityStep { header: header.encode(), justification: best.encode() }))
			}
		}
	}
}

impl<C: HeaderBackend<Block> + ProofProvider<Block>, BE> Finality<C, BE> {
	fn genesis_bundle(&self) -> Result<Vec<u8>, FinalityError> {
		let failed = |error: &dyn std::fmt::Display| FinalityError::GenesisState(error.to_string());
		let keys = [storage_keys::grandpa_authorities(), storage_keys::grandpa_current_set_id()];
		let header = self
			.client
			.hash(0)?
			.and_then(|hash| self.client.header(hash).transpose())
			.ok_or(FinalityError::JustificationMissing(0))??;
		// A young chain, or an archive, has the state itself.
		if let Ok(proof) =
			self.client.read_proof(header.hash(), &mut keys.iter().map(|key| &key[..]))
		{
			let state_proof = proof.into_iter_nodes().collect();
			return Ok(GenesisBundle { header: header.encode(), state_proof }.encode());
		}
		let storage =
			self.chain_spec.as_storage_builder().build_storage().map_err(|error| failed(&error))?;
		let state = sp_state_machine::InMemoryBackend::<BlakeTwo256>::from((
			storage,
			phala_runtime::VERSION.state_version(),
		));
		if *state.root() != header.state_root {
			return Err(FinalityError::OtherGenesis {
				expected: header.state_root,
				found: *state.root(),
			});
		}
		let proof = sp_state_machine::prove_read(state, keys).map_err(|error| failed(&error))?;
		let state_proof = proof.into_iter_nodes().collect();
		Ok(GenesisBundle { header: header.encode(), state_proof }.encode())
	}
}

/// The last block of the authority set that finalizes `block`; `None` while that set is current.
fn last_block_of_set(
	changes: &AuthoritySetChanges<BlockNumber>,
	block: BlockNumber,
) -> Result<Option<BlockNumber>, FinalityError> {
	// It leaves out a set that ends with the block that it is asked from; that set finalizes it.
	let before = block.saturating_sub(1);
	let mut ends = changes.iter_from(before).ok_or(FinalityError::UnknownSet(block))?;
	Ok(ends.next().map(|(_, last)| *last))
}

#[async_trait]
impl<C, BE> FinalityApiServer for Finality<C, BE>
where
	C: HeaderBackend<Block> + BlockBackend<Block> + ProofProvider<Block> + Send + Sync + 'static,
	BE: AuxStore + Send + Sync + 'static,
{
	fn prove(&self, from: BlockNumber) -> RpcResult<Option<Bytes>> {
		Ok(self.step(from)?.map(|step| Bytes(step.encode())))
	}

	fn genesis(&self) -> RpcResult<Bytes> {
		// Whoever asks while it is made waits: making it again beside would only take longer.
		let mut made = self.genesis.lock().unwrap_or_else(PoisonError::into_inner);
		if let Some(bundle) = &*made {
			return Ok(Bytes(bundle.clone()));
		}
		let bundle = self.genesis_bundle()?;
		*made = Some(bundle.clone());
		Ok(Bytes(bundle))
	}
}

/// What the RPC handlers need of the node.
pub struct Deps<C, P, SC, BE> {
	pub client: Arc<C>,
	pub pool: Arc<P>,
	pub select_chain: SC,
	pub backend: Arc<BE>,
	pub keystore: sp_keystore::KeystorePtr,
	pub babe_worker: sc_consensus_babe::BabeWorkerHandle<Block>,
	pub authority_set: SharedAuthoritySet<Hash, BlockNumber>,
	pub voter_state: SharedVoterState,
	pub justifications: GrandpaJustificationStream<Block>,
	pub finality_provider: Arc<FinalityProofProvider<BE, Block>>,
	pub chain_spec: Arc<dyn sc_service::ChainSpec>,
	pub executor: SubscriptionTaskExecutor,
}

/// All methods beyond those that every node gets from `sc-service`.
pub fn create<C, P, SC, BE>(
	deps: Deps<C, P, SC, BE>,
) -> Result<RpcModule<()>, Box<dyn std::error::Error + Send + Sync>>
where
	C: ProvideRuntimeApi<Block>
		+ HeaderBackend<Block>
		+ HeaderMetadata<Block, Error = BlockChainError>
		+ BlockBackend<Block>
		+ StorageProvider<Block, BE>
		+ ProofProvider<Block>
		+ AuxStore
		+ Send
		+ Sync
		+ 'static,
	C::Api: substrate_frame_rpc_system::AccountNonceApi<Block, AccountId, Nonce>
		+ pallet_transaction_payment_rpc::TransactionPaymentRuntimeApi<Block, Balance>
		+ sp_consensus_babe::BabeApi<Block>
		+ sp_block_builder::BlockBuilder<Block>,
	P: sc_transaction_pool_api::TransactionPool<Block = Block> + 'static,
	SC: sp_consensus::SelectChain<Block> + 'static,
	BE: Backend<Block> + AuxStore + Send + Sync + 'static,
{
	use pallet_transaction_payment_rpc::{TransactionPayment, TransactionPaymentApiServer};
	use substrate_frame_rpc_system::{System, SystemApiServer};

	let Deps {
		client,
		pool,
		select_chain,
		backend,
		keystore,
		babe_worker,
		authority_set,
		voter_state,
		justifications,
		finality_provider,
		chain_spec,
		executor,
	} = deps;

	let mut module = RpcModule::new(());
	module.merge(System::new(client.clone(), pool).into_rpc())?;
	module.merge(TransactionPayment::new(client.clone()).into_rpc())?;
	module.merge(Babe::new(client.clone(), babe_worker, keystore, select_chain).into_rpc())?;
	module.merge(
		Grandpa::new(
			executor,
			authority_set.clone(),
			voter_state,
			justifications,
			finality_provider,
		)
		.into_rpc(),
	)?;
	let genesis = Mutex::default();
	module.merge(Finality { client, backend, authority_set, chain_spec, genesis }.into_rpc())?;
	Ok(module)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_block_is_finalized_by_the_set_that_it_ends_or_is_within() {
		let changes = AuthoritySetChanges::from(vec![(0, 31), (1, 61)]);
		let expected = [
			(0, Some(31)),
			(1, Some(31)),
			(30, Some(31)),
			// Who has followed to block 30 asks from here.
			(31, Some(31)),
			(32, Some(61)),
			(61, Some(61)),
			(62, None),
		];
		for (block, last) in expected {
			assert_eq!(last_block_of_set(&changes, block).unwrap(), last, "block {block}");
		}
		let synced_by_warp = AuthoritySetChanges::from(vec![(3, 121)]);
		assert!(last_block_of_set(&synced_by_warp, 100).is_err());
	}
}
