//! Agents on the chain: their records, and what their owners do.

use crate::{clusters, Call, Chain, ChainClientError, HeaderId, Included};
use codec::Encode;
use phala_protocol::{
	agents::{
		Access, AgentCode, AgentId, AgentKey, AgentRecord, CodeEntry, PlannedUpgrade, UpgradePolicy,
	},
	mailbox::ClusterId,
	storage_keys, AccountBytes, Balance, BlockNumber, H256,
};
use subxt::ext::scale_decode::DecodeAsType;

const PALLET: &str = "Agents";

/// What an owner chooses at deployment.
#[derive(Clone, Copy, Debug)]
pub struct Deployment {
	pub cluster: ClusterId,
	pub code: AgentCode,
	pub unit_price: Balance,
	/// In blocks.
	pub timeout: BlockNumber,
	pub access: Access,
	pub upgrades: UpgradePolicy,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct AgentRegistered {
	agent: [u8; 32],
}

/// Deploys an agent.
pub fn register_call(deployment: &Deployment) -> Call {
	let Deployment { cluster, code, unit_price, timeout, access, upgrades } = deployment;
	let arguments = (cluster, code, unit_price, timeout, access, upgrades).encode();
	call("agents.register", "register", arguments)
}

/// The id of the agent that [`register_call`] deployed.
pub fn registered(included: &Included) -> Result<AgentId, ChainClientError> {
	let AgentRegistered { agent } = included.event(PALLET, "AgentRegistered")?;
	Ok(agent.into())
}

/// Names the code of an upgrade without notice before it.
pub fn prepare_upgrade(agent: AgentId, code: AgentCode) -> Call {
	call("agents.prepare_upgrade", "prepare_upgrade", (agent, code).encode())
}

/// Announces new code, or without a notice puts it in place.
pub fn upgrade(agent: AgentId, code: AgentCode) -> Call {
	call("agents.upgrade", "upgrade", (agent, code).encode())
}

/// Sets the price of a unit of work.
pub fn set_price(agent: AgentId, unit_price: Balance) -> Call {
	call("agents.set_price", "set_price", (agent, unit_price).encode())
}

/// Gives an agent up.
pub fn retire(agent: AgentId) -> Call {
	call("agents.retire", "retire", agent.encode())
}

/// Offers an agent to an account; `None` takes the offer back.
pub fn offer_transfer(agent: AgentId, to: Option<AccountBytes>) -> Call {
	call("agents.offer_transfer", "offer_transfer", (agent, to).encode())
}

/// Takes an agent over that is offered, if no more than this is held for it.
pub fn accept_transfer(agent: AgentId, deposit_max: Balance) -> Call {
	call("agents.accept_transfer", "accept_transfer", (agent, deposit_max).encode())
}

/// Throws an agent out of the caller's cluster: the first time, gives notice.
pub fn evict(agent: AgentId) -> Call {
	call("agents.evict", "evict", agent.encode())
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct EvictionAnnounced {
	at: BlockNumber,
}

/// From which block on the agent may be thrown out, if [`evict`] gave notice.
pub fn eviction_announced(included: &Included) -> Option<BlockNumber> {
	let announced: Result<EvictionAnnounced, _> = included.event(PALLET, "EvictionAnnounced");
	announced.ok().map(|announced| announced.at)
}

/// Sets who may call.
pub fn set_access(agent: AgentId, access: Access) -> Call {
	call("agents.set_access", "set_access", (agent, access).encode())
}

/// Puts an account on the agent's list.
pub fn allow_caller(agent: AgentId, account: AccountBytes) -> Call {
	call("agents.allow_caller", "allow_caller", (agent, account).encode())
}

/// Takes an account off the agent's list.
pub fn disallow_caller(agent: AgentId, account: AccountBytes) -> Call {
	call("agents.disallow_caller", "disallow_caller", (agent, account).encode())
}

fn call(name: &'static str, call: &'static str, arguments: Vec<u8>) -> Call {
	Call { name, pallet: PALLET, call, arguments }
}

/// What is held from an agent's owner for it in the state after a block, as the node says.
pub async fn deposit(
	chain: &Chain,
	at: HeaderId,
	agent: AgentId,
) -> Result<Balance, ChainClientError> {
	Ok(chain.read(at, storage_keys::agents_deposit(agent)).await?.unwrap_or_default())
}

/// To whom an agent is offered, at the best block.
pub async fn offered_to(
	chain: &Chain,
	agent: AgentId,
) -> Result<Option<AccountBytes>, ChainClientError> {
	let address = subxt::dynamic::storage::<([u8; 32],), AccountBytes>(PALLET, "Offers");
	clusters::stored(chain, "Agents.Offers", address, (agent.0,)).await
}

/// Code that is to run and does not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingUpgrade {
	pub code: AgentCode,
	/// The block that its notice ends in; `None` where there is no notice: when its owner says.
	pub runs_from: Option<BlockNumber>,
}

/// What an agent is about to be upgraded to in the state after a block, as the node says.
pub async fn pending(
	chain: &Chain,
	at: HeaderId,
	agent: AgentId,
	record: &AgentRecord,
) -> Result<Option<PendingUpgrade>, ChainClientError> {
	if record.upgrades.is_free() {
		let prepared: Option<AgentCode> =
			chain.read(at, storage_keys::agents_prepared(agent)).await?;
		return Ok(prepared.map(|code| PendingUpgrade { code, runs_from: None }));
	}
	let planned: Option<PlannedUpgrade> =
		chain.read(at, storage_keys::agents_planned(agent)).await?;
	Ok(planned.map(|PlannedUpgrade { code, at }| PendingUpgrade { code, runs_from: Some(at) }))
}

/// From which block on an agent's code of now was the one that the chain names; `None` when the chain has not
/// kept it.
pub async fn runs_since(
	chain: &Chain,
	at: HeaderId,
	agent: AgentId,
	record: &AgentRecord,
) -> Result<Option<BlockNumber>, ChainClientError> {
	let key = storage_keys::agents_history(agent, record.code_version);
	let entry: Option<CodeEntry> = chain.read(at, key).await?;
	Ok(entry.filter(|entry| entry.code == record.code).map(|entry| entry.block))
}

/// An agent's record in the state after a block.
pub async fn record(
	chain: &Chain,
	at: HeaderId,
	agent: AgentId,
) -> Result<Option<AgentRecord>, ChainClientError> {
	chain.read(at, storage_keys::agents_agent(agent)).await
}

/// All agents with their records in the state after a block, as the node says.
pub async fn all(
	chain: &Chain,
	at: HeaderId,
) -> Result<Vec<(AgentId, AgentRecord)>, ChainClientError> {
	let mut all = Vec::new();
	for key in chain.keys(at, &storage_keys::agents_agents()).await? {
		let Some((_, id)) = key.split_last_chunk::<32>() else { continue };
		if let Some(record) = chain.read(at, key.clone()).await? {
			all.push((H256(*id), record));
		}
	}
	Ok(all)
}

/// An agent's record at the newest finalized block, as the node says: nothing is sealed to the key
/// in it (see `phala_verifier::ProvenAgent`).
///
/// # Errors
/// [`ChainClientError::UnknownAgent`].
pub async fn known(
	chain: &Chain,
	agent: AgentId,
) -> Result<(HeaderId, AgentRecord), ChainClientError> {
	let at = chain.finalized_head().await?;
	let record = record(chain, at, agent).await?;
	Ok((at, record.ok_or(ChainClientError::UnknownAgent { agent, block: at.number })?))
}

/// What is sealed to.
///
/// # Errors
/// [`ChainClientError::NotBorn`].
pub fn key(agent: AgentId, record: &AgentRecord) -> Result<AgentKey, ChainClientError> {
	record.key.ok_or(ChainClientError::NotBorn { agent, cluster: record.cluster })
}

/// The accounts on the agent's list.
pub async fn callers(
	chain: &Chain,
	at: HeaderId,
	agent: AgentId,
) -> Result<Vec<AccountBytes>, ChainClientError> {
	Ok(chain.read(at, storage_keys::agents_callers(agent)).await?.unwrap_or_default())
}

/// # Errors
/// [`ChainClientError::CallerNotAllowed`], which says who can change that.
pub async fn check_caller(
	chain: &Chain,
	at: HeaderId,
	agent: AgentId,
	record: &AgentRecord,
	caller: AccountBytes,
) -> Result<(), ChainClientError> {
	if record.access == Access::Public || record.owner == caller {
		return Ok(());
	}
	if callers(chain, at, agent).await?.contains(&caller) {
		return Ok(());
	}
	let (owner, block) = (record.owner, at.number);
	Err(ChainClientError::CallerNotAllowed { agent, caller, owner, block })
}
