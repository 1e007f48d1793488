//! Agents on the chain: their records, and what their owners do.

use super::{sender, storage};
use anyhow::{bail, Context};
use codec::Encode;
use phala_pherry::{
	chain::Chain,
	header::HeaderId,
	submit::{Call, Included},
};
use phala_protocol::{
	agents::{Access, AgentCode, AgentId, AgentKey, AgentRecord, UpgradePolicy},
	mailbox::ClusterId,
	storage_keys, AccountBytes, Balance, BlockNumber,
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
///
/// # Errors
/// When it deployed none.
pub fn registered(included: &Included) -> anyhow::Result<AgentId> {
	let AgentRegistered { agent } = sender::event(included, PALLET, "AgentRegistered")?;
	Ok(agent.into())
}

/// Announces new code.
pub fn upgrade(agent: AgentId, code: AgentCode) -> Call {
	call("agents.upgrade", "upgrade", (agent, code).encode())
}

/// Sets the price of a unit of work.
pub fn set_price(agent: AgentId, unit_price: Balance) -> Call {
	call("agents.set_price", "set_price", (agent, unit_price).encode())
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

/// An agent's record in the state after a block.
///
/// # Errors
/// Those of the node.
pub async fn record(
	chain: &Chain,
	at: HeaderId,
	agent: AgentId,
) -> anyhow::Result<Option<AgentRecord>> {
	storage::read(chain, at, storage_keys::agents_agent(agent)).await
}

/// An agent's record at the newest finalized block.
///
/// # Errors
/// When there is no such agent.
pub async fn known(chain: &Chain, agent: AgentId) -> anyhow::Result<(HeaderId, AgentRecord)> {
	let at = chain.finalized_head().await?;
	let found = record(chain, at, agent).await?;
	let record = found.with_context(|| {
		format!(
			"no agent has the id {agent:?} on this chain, as of finalized block {}: `phala deploy` prints an agent's id, and `GET /v1/agents` of a worker lists those that it keeps",
			at.number
		)
	})?;
	Ok((at, record))
}

/// What is sealed to.
///
/// # Errors
/// When the agent has no key yet.
pub fn key(agent: AgentId, record: &AgentRecord) -> anyhow::Result<AgentKey> {
	record.key.with_context(|| {
		format!("agent {agent:?} has no key yet: no worker of cluster {} has committed its birth; wait until `phala agent status {agent:?}` shows one", record.cluster)
	})
}

/// The accounts on the agent's list.
///
/// # Errors
/// Those of the node.
pub async fn callers(
	chain: &Chain,
	at: HeaderId,
	agent: AgentId,
) -> anyhow::Result<Vec<AccountBytes>> {
	Ok(storage::read(chain, at, storage::agents_callers(agent)).await?.unwrap_or_default())
}

/// # Errors
/// When `account` may not call the agent, and who can change that.
pub async fn check_caller(
	chain: &Chain,
	at: HeaderId,
	agent: AgentId,
	record: &AgentRecord,
	account: AccountBytes,
) -> anyhow::Result<()> {
	if record.access == Access::Public || record.owner == account {
		return Ok(());
	}
	if callers(chain, at, agent).await?.contains(&account) {
		return Ok(());
	}
	let address = crate::address::Address;
	bail!(
		"{} may not call agent {agent:?}: it takes calls only of its owner {} and of accounts on its list, as of block {}; the owner adds one with `phala agent allow {agent:?} {}`",
		address(account),
		address(record.owner),
		at.number,
		address(account),
	)
}
