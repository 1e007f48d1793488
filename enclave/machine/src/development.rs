//! A machine without a chain: a cluster of one member, whose agents come from folders. **Development
//! builds only**: it believes without proofs what it is started with. Everything else is the same
//! machine under the same limits: what is submitted is committed at once, and nothing is ever stale.

use crate::{
	freshness::Freshness,
	machine::Registered,
	outbox::Outbox,
	worker::{agent::Agent, KeyRing, Membership},
	Config, Instant, Machine,
};
use codec::{Decode, Encode};
use phala_protocol::{
	agents::{Access, AgentCode, AgentId, AgentRecord, AgentSnapshot, Lease, UpgradePolicy},
	clusters::ClusterSnapshot,
	mailbox::ChannelHead,
	AccountBytes, BlockNumber, H256,
};
use rand_core::CryptoRng;

/// Its only boot, in its only worker.
const BOOT: u32 = 0;
const CLUSTER: u32 = 0;
const GENERATION: u32 = 1;
const NOBODY: AccountBytes = [0; 32];

/// An agent from a folder.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DevelopmentAgent {
	pub id: AgentId,
	pub code: AgentCode,
	/// Names and values.
	pub secrets: Vec<(String, Vec<u8>)>,
}

impl Machine {
	/// With `agents` and without a chain. The first event should be a tick: it begins their birth.
	pub fn develop(agents: Vec<DevelopmentAgent>, now: Instant, rng: &mut impl CryptoRng) -> Self {
		let mut machine = Self::boot(Config { genesis: H256::zero(), worker: 0 }, now, rng);
		let mut membership = Membership::join(
			ClusterSnapshot {
				cluster: CLUSTER,
				head: ChannelHead::default(),
				generation: GENERATION,
				members: Vec::new(),
				keys: None,
			},
			false,
		);
		membership.keyring = KeyRing::of_one(CLUSTER, GENERATION, rng);
		for DevelopmentAgent { id, code, secrets } in agents {
			let mut agent = Agent::new(AgentSnapshot {
				agent: id,
				record: AgentRecord {
					owner: NOBODY,
					cluster: CLUSTER,
					code,
					code_version: 1,
					upgrades: UpgradePolicy::Immutable,
					access: Access::Public,
					unit_price: 0,
					timeout: 0,
					key: None,
					version: 0,
					state_hash: H256::zero(),
				},
				callers: Vec::new(),
				lease: Some(Lease { worker: machine.config().worker, boot: BOOT }),
				planned: None,
			});
			agent.birth_secrets =
				secrets.into_iter().map(|(name, value)| (name, Some(value))).collect();
			membership.agents.insert(id, agent);
		}
		let mut registered = Registered::new(
			None,
			BOOT,
			BlockNumber::MAX,
			Outbox::new(BOOT, false),
			Freshness::first_mark(now),
		);
		registered.membership = Some(membership);
		machine.begin_without_chain(registered);
		machine
	}
}
