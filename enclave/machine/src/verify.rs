//! Checks what came from outside, outside of the turn: signatures, proofs, seals. What holds comes
//! back as a type that can be made in no other way, and goes to the machine as an event.

use crate::limits::{DIRECT_CALL_BLOCKS_MAX, PAGES_ASKED_MAX, QUESTION_BLOCKS_MAX};
use crate::{
	action::ReplicatedBody,
	task::{open_sealed, QuestionContent, ReplicationContent, SignedQuestion},
	worker::{page_cipher, writes, AcceptedCode},
	Instant, MachineError, Snapshot,
};
use codec::{Decode, DecodeAll, Encode};
use phala_keys::{
	boot::verify_statement, hpke::EncryptionKey, input::InputKind, pages::QuestionHeader, sr25519,
	state::SealedBody,
};
use phala_light_client::{ChannelChange, LightClient, MailboxReader, ProvenMessage, Synced};
use phala_protocol::{
	agents::{AgentId, Availability, AvailabilityContent},
	boot::{BootKeys as PublicKeys, BootNumber, WorkerId},
	caller::Caller,
	clusters::Member,
	hash_of,
	limits::LOGS_QUERY_BLOCKS_MAX,
	messages::{Message, Subscription},
	relay::{EnclavePhase, GenesisBundle, SyncBundle},
	requests::{CallInput, CallerSignature, DirectCall, DirectCallContent, LogsContent, LogsQuery},
	AccountBytes, BlockNumber, H256,
};

const QUESTION_EXPECTED: &str = "a question for at most 64 pages, each name above the one before it, that a member of the cluster has sealed for this one and that is minutes old at most";

/// Block 0 and the first authority set, proven.
pub struct ProvenGenesis {
	pub(crate) reader: MailboxReader,
	#[cfg(feature = "recording")]
	pub(crate) source: GenesisBundle,
}

/// A step along the chain, proven from the header that the snapshot stood at.
pub struct ProvenBundle {
	pub(crate) from: H256,
	pub(crate) synced: Synced,
	#[cfg(feature = "recording")]
	pub(crate) source: SyncBundle,
}

impl ProvenBundle {
	/// Of the header that it leads to.
	pub(crate) fn hash(&self) -> H256 {
		self.synced.reader.client().finalized().hash()
	}
}

/// A call of an agent: whoever is named as its caller proved to be it.
#[derive(Clone, Encode, Decode)]
pub struct OpenedCall {
	pub(crate) agent: AgentId,
	pub(crate) origin: Origin,
	pub(crate) input: CallInput,
	/// Of all that: it names the call if the machine fails on it.
	pub(crate) digest: H256,
}

#[derive(Clone, Encode, Decode)]
pub(crate) enum Origin {
	/// Nobody in particular, in the clear.
	Public,
	/// A run of another agent, here.
	Agent(AgentId),
	Sealed(SealedOrigin),
}

#[derive(Clone, Encode, Decode)]
pub(crate) struct SealedOrigin {
	pub caller: Caller,
	pub reply_key: EncryptionKey,
	pub nonce: [u8; 32],
	pub expiry: BlockNumber,
	/// That which ran when it was opened is one of them.
	pub accepted: AcceptedCode,
}

impl OpenedCall {
	/// Of nobody in particular. Hashes `input`: up to some milliseconds.
	pub fn public(agent: AgentId, input: CallInput) -> Self {
		Self::new(agent, Origin::Public, input)
	}

	/// Of a run of `caller`, on this machine. Hashes `input`: up to some milliseconds.
	pub fn by_agent(agent: AgentId, caller: AgentId, input: CallInput) -> Self {
		Self::new(agent, Origin::Agent(caller), input)
	}

	fn new(agent: AgentId, origin: Origin, input: CallInput) -> Self {
		let digest = hash_of(&(agent, origin.caller(), &input));
		Self { agent, origin, input, digest }
	}

	/// What the agent gets.
	pub fn input(&self) -> &CallInput {
		&self.input
	}

	/// Whether it may write.
	pub fn writes(&self) -> bool {
		writes(&self.input.method)
	}
}

impl Origin {
	fn caller(&self) -> Option<Caller> {
		match self {
			Self::Public => None,
			Self::Agent(caller) => Some(Caller::Agent(*caller)),
			Self::Sealed(sealed) => Some(sealed.caller),
		}
	}
}

/// A body that a member signed.
#[derive(Clone, Encode, Decode)]
pub struct VerifiedBody {
	brought: ReplicatedBody,
	/// Whose signature it is.
	identity: [u8; 32],
}

impl VerifiedBody {
	pub(crate) fn sender(&self) -> (WorkerId, BootNumber, AgentId) {
		(self.brought.worker, self.brought.boot, self.brought.agent)
	}

	pub(crate) fn identity(&self) -> [u8; 32] {
		self.identity
	}

	pub(crate) fn new_hash(&self) -> H256 {
		self.brought.new_hash
	}

	pub(crate) fn base_hash(&self) -> H256 {
		self.brought.base_hash
	}

	pub(crate) fn key_number(&self) -> u32 {
		self.brought.body.key_number
	}

	pub(crate) fn body(&self) -> &SealedBody {
		&self.brought.body
	}
}

/// A member's signature that it holds a state.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ProvenAcknowledgement {
	availability: Availability,
	identity: [u8; 32],
	boot: BootNumber,
	new_hash: H256,
}

impl ProvenAcknowledgement {
	/// Checks what a member answered to `body`. A wrong one is not used: the chain would refuse all.
	pub fn verify(
		genesis: H256,
		member: &Member,
		body: &ReplicatedBody,
		availability: Availability,
	) -> Result<Self, MachineError> {
		let ReplicatedBody { agent, base_hash, new_hash, .. } = *body;
		let content = AvailabilityContent::new(
			genesis,
			member.worker,
			member.boot,
			agent,
			base_hash,
			new_hash,
		);
		let is_own = availability.worker == member.worker
			&& verify_statement(&member.identity, &content, &availability.signature);
		if !is_own {
			return Err(MachineError::BadSignature { whose: "member", what: "acknowledgement" });
		}
		Ok(Self { availability, identity: member.identity, boot: member.boot, new_hash })
	}

	pub(crate) fn is_by(&self, member: &Member, new_hash: H256) -> bool {
		(self.availability.worker, self.boot, self.identity, self.new_hash)
			== (member.worker, member.boot, member.identity, new_hash)
	}

	pub(crate) fn into_availability(self) -> Availability {
		self.availability
	}
}

impl Snapshot {
	/// Checks block 0 and the first authority set.
	pub fn prove_genesis(&self, bundle: GenesisBundle) -> Result<ProvenGenesis, MachineError> {
		self.require_working()?;
		if self.status.phase != EnclavePhase::AwaitsGenesis {
			let accepted = "it has its genesis already, and takes sync bundles";
			return Err(MachineError::WrongPhase { phase: self.status.phase, accepted });
		}
		let client = LightClient::from_genesis(self.config.genesis, &bundle)?;
		Ok(ProvenGenesis {
			reader: MailboxReader::new(client),
			#[cfg(feature = "recording")]
			source: bundle,
		})
	}

	/// Checks a step along the chain, from where this snapshot stands: hundreds of signatures.
	pub fn prove(&self, bundle: SyncBundle) -> Result<ProvenBundle, MachineError> {
		self.require_working()?;
		if bundle.steps.is_empty() {
			return Err(MachineError::NothingNew { height: self.status.height });
		}
		let reader = match (&self.reader, self.status.phase) {
			(Some(reader), _) => reader,
			(None, phase @ EnclavePhase::AwaitsGenesis) => {
				let accepted = "it takes a genesis bundle first";
				return Err(MachineError::WrongPhase { phase, accepted });
			}
			(None, _) => return Err(MachineError::Over { boot: self.status.boot }),
		};
		#[cfg(feature = "recording")]
		let source = bundle.clone();
		let synced = reader.sync(bundle, |message| subscriptions(message, &self.keys))?;
		Ok(ProvenBundle {
			from: reader.client().finalized().hash(),
			synced,
			#[cfg(feature = "recording")]
			source,
		})
	}

	/// Opens a sealed direct call, or names the first rule that it breaks.
	pub fn open_call(
		&self,
		agent: AgentId,
		call: &DirectCall,
		now: Instant,
	) -> Result<OpenedCall, MachineError> {
		let view = self.ready(agent, now)?;
		let content =
			DirectCallContent::new(self.config.genesis, agent, call.caller, &call.sealed).encode();
		let CallerSignature::Sr25519(signature) = &call.signature;
		let account = call.caller.account();
		if !account.is_some_and(|account| sr25519::verify(account, &content, signature)) {
			return Err(MachineError::BadSignature { whose: "caller", what: "call" });
		}
		if !view.snapshot.may_call(&call.caller) {
			return Err(MachineError::CallerNotAllowed);
		}
		let agent_keys = view
			.state
			.keys
			.as_ref()
			.ok_or(MachineError::NotReady { why: "it has no keys here yet" })?;
		let code = view.snapshot.record.code.component;
		let height = self.status.height;
		let opened = open_sealed(
			self.config.genesis,
			agent,
			agent_keys,
			InputKind::Direct,
			call.caller,
			&call.sealed,
			height,
			code,
		)?;
		let input = CallInput::decode_all(&mut opened.body.expose())
			.map_err(|_| MachineError::Malformed { expected: "the SCALE of a CallInput" })?;
		if opened.expiry_block.saturating_sub(height) > DIRECT_CALL_BLOCKS_MAX {
			return Err(MachineError::Malformed {
				expected: "sealed for at most 300 blocks: set a nearer expiry",
			});
		}
		let origin = Origin::Sealed(SealedOrigin {
			caller: call.caller,
			reply_key: opened.reply_key,
			nonce: opened.nonce,
			expiry: opened.expiry_block,
			accepted: AcceptedCode::of_input(opened.accepted_code_hashes),
		});
		Ok(OpenedCall::new(agent, origin, input))
	}

	/// Checks that a lease holder of this cluster signed a body.
	pub fn verify_body(&self, brought: ReplicatedBody) -> Result<VerifiedBody, MachineError> {
		let cluster = self.cluster()?;
		let agent = cluster.agents.get(&brought.agent).ok_or(MachineError::NoSuchAgent)?;
		let ReplicatedBody { worker, boot, .. } = brought;
		let sender = cluster
			.members
			.get(&worker)
			.filter(|member| member.boot == boot)
			.filter(|_| {
				let lease = agent.snapshot.lease;
				lease.is_some_and(|lease| (lease.worker, lease.boot) == (worker, boot))
			})
			.ok_or(MachineError::NotFromLeaseHolder)?;
		let content = ReplicationContent::of(self.config.genesis, &brought);
		if !verify_statement(&sender.identity, &content, &brought.signature) {
			return Err(MachineError::BadSignature { whose: "lease holder", what: "body" });
		}
		Ok(VerifiedBody { identity: sender.identity, brought })
	}

	/// Which member asks this one for pages of an agent, and for which: it signed the question, and sealed it
	/// under a key that members alone have.
	pub fn open_question(
		&self,
		agent: AgentId,
		question: &[u8],
	) -> Result<(WorkerId, Vec<H256>), MachineError> {
		let cluster = self.cluster()?;
		if !cluster.agents.contains_key(&agent) {
			return Err(MachineError::NoSuchAgent);
		}
		let refused = || MachineError::Malformed { expected: QUESTION_EXPECTED };
		let signed = SignedQuestion::decode_all(&mut &question[..]).map_err(|_| refused())?;
		let SignedQuestion { question, signature } = signed;
		let QuestionHeader { asker, boot, asked, height, generation, .. } = question.header;
		let member = cluster.members.get(&asker).filter(|member| member.boot == boot);
		let own = self.finalized.map_or(0, |(height, _)| height);
		let is_now = own.abs_diff(height) <= QUESTION_BLOCKS_MAX;
		let member = member.filter(|_| is_now && asked == self.config.worker);
		let member = member.ok_or_else(refused)?;
		let key = cluster.question_keys.get(&generation).ok_or_else(refused)?;
		let cipher = page_cipher(key, agent).ok_or_else(refused)?;
		let names = cipher.open_question(&question).map_err(|_| refused())?;
		let content = QuestionContent::new(self.config.genesis, agent, &question);
		if !verify_statement(&member.identity, &content, &signature) {
			return Err(MachineError::BadSignature { whose: "member", what: "question for pages" });
		}
		let names = Vec::<H256>::decode_all(&mut names.expose()).map_err(|_| refused())?;
		let is_right = names.len() <= PAGES_ASKED_MAX && names.is_sorted_by(|one, next| one < next);
		is_right.then_some((asker, names)).ok_or_else(refused)
	}

	/// Whether this is the agent's owner asking for its log now; who that is.
	pub fn verify_logs_query(
		&self,
		agent: AgentId,
		query: &LogsQuery,
	) -> Result<AccountBytes, MachineError> {
		let owner = self.agent(agent)?.snapshot.record.owner;
		let LogsQuery { nonce, reply_key, block, signature } = *query;
		let content = LogsContent::new(self.config.genesis, agent, nonce, reply_key, block);
		if !sr25519::verify(&owner, &content.encode(), &signature) {
			return Err(MachineError::NotOwner);
		}
		let now = self.status.height;
		if now.abs_diff(block) > LOGS_QUERY_BLOCKS_MAX {
			return Err(MachineError::QueryTooOld { block, now });
		}
		Ok(owner)
	}

	fn require_working(&self) -> Result<(), MachineError> {
		self.suspended.clone().map_or(Ok(()), Err)
	}
}

/// Which channels a message makes its reader follow: a pure reading of its body.
fn subscriptions(message: &ProvenMessage, keys: &PublicKeys) -> Vec<ChannelChange> {
	let Ok(body) = Message::decode_all(&mut message.body()) else { return Vec::new() };
	match body.subscription(&keys.identity) {
		Some(Subscription::Follow(channel, head)) => vec![ChannelChange::Follow { channel, head }],
		Some(Subscription::Leave(channel)) => vec![ChannelChange::Unfollow { channel }],
		None => Vec::new(),
	}
}
