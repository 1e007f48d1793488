//! Makes what an enclave takes out of what a node has.

use codec::DecodeAll;
use phala_protocol::{
	mailbox::{Channel, ChannelHead},
	messages::{Message, Subscription},
	relay::{
		ChannelBodies, ChannelPosition, EnclaveStatus, FinalityStep, GenesisBundle, SyncBundle,
	},
	storage_keys, BlockNumber,
};
use std::collections::{BTreeSet, VecDeque};

use crate::{limits, RelayError};
use phala_chain_client::{chain::Finality, Chain, HeaderId};

/// Block 0 with a proof of the first authority set.
///
/// # Errors
/// [`RelayError::OtherChain`] and those of [`Chain`].
pub async fn genesis(chain: &Chain, status: &EnclaveStatus) -> Result<GenesisBundle, RelayError> {
	let found = chain.genesis_hash();
	if status.genesis != found {
		return Err(RelayError::OtherChain { pinned: status.genesis, found });
	}
	Ok(chain.genesis_bundle().await?)
}

/// What brings an enclave to a newer block.
#[derive(Clone, Debug)]
pub struct NextSync {
	/// For the enclave.
	pub bundle: SyncBundle,
	/// The block it leads to.
	pub height: BlockNumber,
	/// Whether the node can prove newer blocks, which did not fit.
	pub more: bool,
}

/// The next bundle for an enclave; `None` when the chain has nothing newer that is final.
///
/// # Errors
/// [`RelayError::Backlog`] and those of [`Chain`].
pub async fn next_sync(
	chain: &Chain,
	status: &EnclaveStatus,
) -> Result<Option<NextSync>, RelayError> {
	let Finality { mut steps, cut: mut more } = chain.finality_after(status.height).await?;
	while let Some((at, _)) = steps.last() {
		let at = *at;
		match sync_to(chain, status, at, &steps, more).await {
			Ok(bundle) => return Ok(Some(NextSync { bundle, height: at.number, more })),
			// Too much for one bundle: up to an earlier header, then. Its state may be gone.
			Err(RelayError::Backlog { .. }) if steps.len() > 1 => {
				steps.pop();
				more = true;
			}
			Err(error) => return Err(error),
		}
	}
	Ok(None)
}

async fn sync_to(
	chain: &Chain,
	status: &EnclaveStatus,
	at: HeaderId,
	steps: &[(HeaderId, FinalityStep)],
	more: bool,
) -> Result<SyncBundle, RelayError> {
	let steps = steps.iter().map(|(_, step)| step.clone()).collect();
	if more && follows_none(status) {
		// On its way through old finality, whose states may be pruned, an enclave that follows no
		// channel yet needs no state. It adopts the heads that it is shown first: the newest.
		return Ok(SyncBundle { steps, state_proof: Vec::new(), bodies: Vec::new() });
	}
	let bodies = bodies_until(chain, status, at).await?;
	let keys = proven_keys(status, bodies.followed());
	let state_proof = chain.state_proof(at, &keys).await?;
	Ok(SyncBundle { steps, state_proof, bodies: bodies.into_bodies() })
}

/// Whether an enclave has yet to adopt the heads of its channels.
pub fn follows_none(status: &EnclaveStatus) -> bool {
	status.channels.iter().all(|channel| channel.next_seq.is_none())
}

/// The facts that an enclave reads at each header.
pub fn proven_keys(
	status: &EnclaveStatus,
	channels: impl Iterator<Item = Channel>,
) -> Vec<Vec<u8>> {
	let mut keys: Vec<_> = channels.map(storage_keys::mailbox_head).collect();
	keys.push(storage_keys::mailbox_next_envelope(status.worker));
	keys.push(storage_keys::registry_boot(status.worker));
	keys
}

/// Collects the bodies of an enclave's channels up to a block, and of those that they open.
async fn bodies_until(
	chain: &Chain,
	status: &EnclaveStatus,
	at: HeaderId,
) -> Result<BodyPlan, RelayError> {
	let mut plan = BodyPlan::new(status);
	let mut messages = 0u64;
	let mut bytes = 0usize;
	loop {
		let asked = plan.take_unasked();
		if asked.is_empty() {
			return Ok(plan);
		}
		let channels: Vec<_> = asked.iter().map(|position| position.channel).collect();
		let heads = chain.heads(at, &channels).await?;
		for (ChannelPosition { channel, next_seq }, head) in asked.into_iter().zip(heads) {
			let Some(from) = next_seq.filter(|from| *from < head.next_seq) else { continue };
			messages = messages.saturating_add(head.next_seq - from);
			let backlog = RelayError::Backlog { block: at.number, messages };
			if messages > limits::MESSAGES_PER_BUNDLE_MAX {
				return Err(backlog);
			}
			let brought = chain.messages(at, channel, from, head.next_seq).await?;
			bytes += brought.iter().map(|message| message.body.len()).sum::<usize>();
			if bytes > limits::BODY_BYTES_PER_BUNDLE_MAX {
				return Err(backlog);
			}
			plan.bring(ChannelBodies { channel, messages: brought });
		}
	}
}

/// Which channels a bundle needs, and the bodies brought for them so far.
#[derive(Debug)]
pub struct BodyPlan {
	identity: [u8; 32],
	followed: BTreeSet<Channel>,
	unasked: VecDeque<ChannelPosition>,
	brought: Vec<ChannelBodies>,
}

impl BodyPlan {
	/// Of the channels that the enclave follows.
	pub fn new(status: &EnclaveStatus) -> Self {
		let mut plan = Self {
			identity: status.identity,
			followed: BTreeSet::new(),
			unasked: VecDeque::new(),
			brought: Vec::new(),
		};
		for position in &status.channels {
			plan.follow(*position);
		}
		plan
	}

	fn follow(&mut self, position: ChannelPosition) {
		if self.followed.insert(position.channel) {
			self.unasked.push_back(position);
		}
	}

	/// Channels whose heads are to be asked for now.
	pub fn take_unasked(&mut self) -> Vec<ChannelPosition> {
		self.unasked.drain(..).collect()
	}

	/// Adds a channel's bodies, and follows what they open.
	pub fn bring(&mut self, bodies: ChannelBodies) {
		for message in &bodies.messages {
			if let Some((channel, head)) = opened_by(&message.body, &self.identity) {
				self.follow(ChannelPosition { channel, next_seq: Some(head.next_seq) });
			}
		}
		self.brought.push(bodies);
	}

	/// All channels, those that bodies opened too.
	pub fn followed(&self) -> impl Iterator<Item = Channel> + '_ {
		self.followed.iter().copied()
	}

	/// What was brought.
	pub fn into_bodies(self) -> Vec<ChannelBodies> {
		self.brought
	}
}

/// The channel that a message makes the boot with this identity follow.
///
/// A message that cannot be read opens none: whether that matters is for the enclave to say.
fn opened_by(body: &[u8], identity: &[u8; 32]) -> Option<(Channel, ChannelHead)> {
	match Message::decode_all(&mut &body[..]).ok()?.subscription(identity)? {
		Subscription::Follow(channel, head) => Some((channel, head)),
		Subscription::Leave(_) => None,
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use codec::Encode;
	use phala_protocol::{
		clusters::ClusterSnapshot, mailbox::OutboundMessage, messages::ClustersMessage,
		relay::EnclavePhase, H256,
	};

	const ME: [u8; 32] = [7; 32];

	fn status(channels: &[(Channel, Option<u64>)]) -> EnclaveStatus {
		EnclaveStatus {
			genesis: H256::zero(),
			worker: 3,
			identity: ME,
			phase: EnclavePhase::Serving,
			boot: Some(1),
			height: 10,
			channels: channels
				.iter()
				.map(|(channel, next_seq)| ChannelPosition {
					channel: *channel,
					next_seq: *next_seq,
				})
				.collect(),
			queued: 0,
		}
	}

	fn joined(identity: [u8; 32], clusters: &[(u32, u64)]) -> ChannelBodies {
		let message = |(seq, (cluster, next_seq)): (usize, &(u32, u64))| OutboundMessage {
			seq: seq as u64,
			block: 5,
			index: seq as u32,
			body: Message::Clusters(ClustersMessage::JoinedCluster {
				identity,
				snapshot: ClusterSnapshot {
					cluster: *cluster,
					head: ChannelHead { next_seq: *next_seq, hash: H256::zero() },
					generation: 1,
					members: vec![],
					keys: None,
				},
			})
			.encode(),
		};
		let messages = clusters.iter().enumerate().map(message).collect();
		ChannelBodies { channel: Channel::Worker(3), messages }
	}

	#[test]
	fn every_channel_of_the_enclave_is_asked_for_once() {
		let mut plan =
			BodyPlan::new(&status(&[(Channel::System, Some(4)), (Channel::Worker(3), None)]));
		let asked = plan.take_unasked();
		assert_eq!(asked.len(), 2);
		assert_eq!(asked[1], ChannelPosition { channel: Channel::Worker(3), next_seq: None });
		assert!(plan.take_unasked().is_empty());
	}

	#[test]
	fn joining_opens_the_cluster_from_its_head_in_the_same_bundle() {
		let mut plan = BodyPlan::new(&status(&[
			(Channel::Worker(3), Some(0)),
			(Channel::Cluster(1), Some(9)),
		]));
		plan.take_unasked();
		plan.bring(joined(ME, &[(1, 2), (5, 6)]));
		let opened = ChannelPosition { channel: Channel::Cluster(5), next_seq: Some(6) };
		assert_eq!(plan.take_unasked(), [opened], "cluster 1 is followed already");
		assert_eq!(plan.followed().count(), 3);
	}

	#[test]
	fn the_joining_of_another_boot_opens_nothing() {
		let mut plan = BodyPlan::new(&status(&[(Channel::Worker(3), Some(0))]));
		plan.take_unasked();
		plan.bring(joined([8; 32], &[(5, 6)]));
		assert!(plan.take_unasked().is_empty());
	}

	#[test]
	fn a_message_of_a_later_release_opens_nothing_and_is_carried() {
		let mut plan = BodyPlan::new(&status(&[(Channel::Worker(3), Some(0))]));
		plan.take_unasked();
		let mut unknown = joined(ME, &[(1, 0)]);
		unknown.messages[0].body = vec![250, 1, 2];
		plan.bring(unknown.clone());
		assert_eq!(plan.into_bodies(), [unknown]);
	}

	#[test]
	fn the_proof_covers_all_heads_and_what_the_chain_holds_of_the_worker() {
		let status = status(&[(Channel::System, Some(4))]);
		let keys = proven_keys(&status, BodyPlan::new(&status).followed());
		assert_eq!(
			keys,
			[
				storage_keys::mailbox_head(Channel::System),
				storage_keys::mailbox_next_envelope(3),
				storage_keys::registry_boot(3),
			]
		);
	}

	#[test]
	fn only_an_enclave_without_a_position_goes_through_old_finality_without_state() {
		assert!(follows_none(&status(&[(Channel::System, None), (Channel::Worker(3), None)])));
		assert!(!follows_none(&status(&[(Channel::System, Some(0)), (Channel::Worker(3), None)])));
	}
}
