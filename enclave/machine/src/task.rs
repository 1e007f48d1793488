//! Public-key cryptography, taken out of the turn: a [`Task`] is a value that holds all it needs,
//! runs anywhere, and comes back as an event. Each draws from a generator of its own, so that a
//! recording needs no more than its seed to make the same again.

use crate::{
	action::{Answer, CallId, ReplicatedBody},
	worker::{Opened, RunId},
	Config, MachineError,
};
use codec::{Decode, DecodeAll, Encode};
use phala_keys::{
	agent::AgentKeys,
	boot::BootKeys,
	cluster::ClusterSecret,
	dkg::{Ceremony, Dealer, Outcome as CeremonyOutcome, Player, Transcript},
	hpke::{EncryptionKey, Sealed},
	input::{open_input, InputContext, InputKind, Reception},
	master::MasterShare,
	pages::{PageCipher, SealedQuestion},
	release::{release_partial, PartialRelease, PendingRequest, ReleaseCollector},
	reply::{seal_reply, ReplyContext},
	state::SealedBody,
	Error as KeyError,
};
use phala_protocol::{
	agents::{AgentCode, AgentId, Availability, AvailabilityContent},
	boot::{BootNumber, WorkerId},
	caller::Caller,
	clusters::{Generation, Member},
	domains,
	keys::{Epoch, KeyRequest, Seat},
	limits::ANSWERS_SIGNED_MAX,
	mailbox::{ClusterId, Envelope, EnvelopeContent, EnvelopeNumber},
	requests::{
		answer_tree, salted_hash, AnswerContent, AnswerPath, AnswersStatement, CallInput,
		CallOutput, ProvenAnswer, RequestKind, SignedAnswer,
	},
	BlockNumber, H256,
};
use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};
use rand_core::Rng;
use std::sync::{Arc, Mutex, PoisonError};

/// Unique in one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct TaskId(pub(crate) u64);

/// See the module's text. Cheap to clone: the machine keeps what it gave until it is done.
#[derive(Clone)]
pub struct Task {
	pub(crate) id: TaskId,
	pub(crate) config: Config,
	pub(crate) boot: BootNumber,
	pub(crate) keys: Arc<BootKeys>,
	pub(crate) work: Arc<Work>,
}

/// What came of a [`Task`]: only [`Task::run`] makes one.
pub struct TaskDone {
	pub(crate) id: TaskId,
	pub(crate) outcome: Outcome,
	#[cfg(feature = "recording")]
	pub(crate) seed: [u8; 32],
}

pub(crate) enum Work {
	SignEnvelope {
		number: EnvelopeNumber,
		payload: Vec<u8>,
	},
	MakeMasterKey {
		epoch: Epoch,
		attempt: u32,
		seats: Vec<Seat>,
	},
	Release {
		share: Arc<MasterShare>,
		request: KeyRequest,
	},
	AskForKeys {
		cluster: ClusterId,
		generation: Generation,
		master: Arc<CeremonyOutcome>,
	},
	CombineRelease {
		collector: Mutex<Option<Box<ReleaseCollector>>>,
		release: Vec<u8>,
	},
	MakeAgentKeys {
		agent: AgentId,
	},
	Open(Box<ToOpen>),
	/// Answers that are signed together.
	Answer(Vec<ToAnswer>),
	AskForPages(Box<ToAsk>),
	SignBody {
		agent: AgentId,
		base_hash: H256,
		body: Arc<SealedBody>,
		new_hash: H256,
	},
	Acknowledge {
		reply: CallId,
		agent: AgentId,
		base_hash: H256,
		new_hash: H256,
	},
}

/// An order's sealed input.
pub(crate) struct ToOpen {
	pub agent: AgentId,
	pub run: RunId,
	pub agent_keys: Arc<AgentKeys>,
	pub kind: RequestKind,
	pub caller: Caller,
	pub sealed: Vec<u8>,
	pub height: BlockNumber,
	pub code: H256,
}

/// A run's answer, to be signed and sealed.
#[derive(Clone)]
pub(crate) struct ToAnswer {
	pub agent: AgentId,
	pub run: RunId,
	pub code: AgentCode,
	pub caller: Option<Caller>,
	pub input: Arc<CallInput>,
	pub output: CallOutput,
	pub state_version: u64,
	pub height: BlockNumber,
	pub unproven_inputs: u32,
	/// Where the answer is sealed to, and the input's nonce.
	pub reply: Option<(EncryptionKey, [u8; 32])>,
}

/// Pages that another member is to be asked for.
pub(crate) struct ToAsk {
	/// Of the action that asks.
	pub id: u64,
	pub agent: AgentId,
	pub from: Member,
	pub names: Vec<H256>,
	pub cipher: PageCipher,
	pub height: BlockNumber,
}

pub(crate) enum Outcome {
	EnvelopeSigned(Envelope),
	MasterKeyMade {
		epoch: Epoch,
		attempt: u32,
		made: Result<(Box<CeremonyOutcome>, MasterShare), MachineError>,
	},
	Released {
		request: KeyRequest,
		release: Result<Vec<u8>, MachineError>,
	},
	KeysAsked {
		ephemeral_key: [u8; 32],
		collector: Result<Box<ReleaseCollector>, MachineError>,
	},
	ReleaseCombined(Combined),
	AgentKeysMade {
		agent: AgentId,
		keys: AgentKeys,
		public: (u32, EncryptionKey),
	},
	Opened {
		agent: AgentId,
		run: RunId,
		code: H256,
		opened: Result<Opened, MachineError>,
	},
	Answered(Vec<Answered>),
	PagesAsked {
		id: u64,
		agent: AgentId,
		from: Member,
		names: Vec<H256>,
		/// SCALE of a [`SignedQuestion`]; `None` if it could not be made.
		question: Option<Vec<u8>>,
	},
	BodySigned {
		agent: AgentId,
		new_hash: H256,
		body: ReplicatedBody,
	},
	Acknowledged {
		reply: CallId,
		acknowledgement: Result<Availability, MachineError>,
	},
}

/// A run's answer, signed and sealed.
pub(crate) struct Answered {
	pub agent: AgentId,
	pub run: RunId,
	/// An error if nobody could read it: it does not fit a seal, or its key is of low order.
	pub answer: Result<(Answer, SignedAnswer), MachineError>,
}

/// What a release led to.
pub(crate) enum Combined {
	/// To the cluster's secret.
	Secret(ClusterSecret),
	/// To a collector that waits for more; why this one was refused, if it was.
	Collecting { collector: Box<ReleaseCollector>, refused: Option<KeyError> },
	/// The request came to nothing.
	Nothing(MachineError),
}

/// What a lease holder signs when it gives a body to another member.
#[derive(Encode)]
pub(crate) struct ReplicationContent {
	domain: domains::Domain,
	genesis: H256,
	worker: WorkerId,
	boot: BootNumber,
	agent: AgentId,
	base_hash: H256,
	new_hash: H256,
}

/// A question for pages, with the name of who asks: any member could seal it, and one alone can sign it.
#[derive(Encode, Decode)]
pub(crate) struct SignedQuestion {
	pub question: SealedQuestion,
	/// sr25519 of a [`QuestionContent`], by the asker's identity key.
	pub signature: [u8; 64],
}

/// What a member signs when it asks another for pages.
#[derive(Encode)]
pub(crate) struct QuestionContent<'a> {
	domain: domains::Domain,
	genesis: H256,
	agent: AgentId,
	question: &'a SealedQuestion,
}

impl<'a> QuestionContent<'a> {
	pub fn new(genesis: H256, agent: AgentId, question: &'a SealedQuestion) -> Self {
		Self { domain: domains::PAGES_QUESTION, genesis, agent, question }
	}
}

impl ReplicationContent {
	pub fn of(genesis: H256, body: &ReplicatedBody) -> Self {
		let ReplicatedBody { worker, boot, agent, base_hash, new_hash, .. } = *body;
		Self { domain: domains::REPLICATION, genesis, worker, boot, agent, base_hash, new_hash }
	}
}

impl TaskDone {
	pub(crate) fn kind(&self) -> &'static str {
		match &self.outcome {
			Outcome::EnvelopeSigned(_) => "signed envelope",
			Outcome::MasterKeyMade { .. } => "master key",
			Outcome::Released { .. } => "released secret",
			Outcome::KeysAsked { .. } => "key request",
			Outcome::ReleaseCombined(_) => "combined release",
			Outcome::AgentKeysMade { .. } => "agent's keys",
			Outcome::Opened { .. } => "opened input",
			Outcome::Answered(_) => "signed answers",
			Outcome::PagesAsked { .. } => "sealed question",
			Outcome::BodySigned { .. } => "signed body",
			Outcome::Acknowledged { .. } => "signed acknowledgement",
		}
	}
}

impl Work {
	pub fn kind(&self) -> &'static str {
		match self {
			Self::SignEnvelope { .. } => "signature of an envelope",
			Self::MakeMasterKey { .. } => "making of a master key",
			Self::Release { .. } => "release of a secret",
			Self::AskForKeys { .. } => "key request",
			Self::CombineRelease { .. } => "combining of releases",
			Self::MakeAgentKeys { .. } => "making of an agent's keys",
			Self::Open(_) => "opening of an input",
			Self::Answer(_) => "signature of answers",
			Self::AskForPages(_) => "sealing of a question",
			Self::SignBody { .. } => "signature of a body",
			Self::Acknowledge { .. } => "signature of an acknowledgement",
		}
	}

	/// What comes of it when it cannot be done; `None` for that without which a boot cannot go on.
	pub fn not_done(&self) -> Option<Outcome> {
		let error = MachineError::TaskFailed { what: self.kind() };
		Some(match self {
			Self::SignEnvelope { .. } | Self::MakeAgentKeys { .. } | Self::SignBody { .. } => {
				return None
			}
			Self::MakeMasterKey { epoch, attempt, .. } => {
				Outcome::MasterKeyMade { epoch: *epoch, attempt: *attempt, made: Err(error) }
			}
			Self::Release { request, .. } => {
				Outcome::Released { request: *request, release: Err(error) }
			}
			Self::AskForKeys { .. } => {
				Outcome::KeysAsked { ephemeral_key: [0; 32], collector: Err(error) }
			}
			Self::CombineRelease { .. } => Outcome::ReleaseCombined(Combined::Nothing(error)),
			Self::Open(order) => {
				let ToOpen { agent, run, code, .. } = **order;
				Outcome::Opened { agent, run, code, opened: Err(error) }
			}
			Self::Answer(answers) => {
				let failed = |&ToAnswer { agent, run, .. }: &ToAnswer| Answered {
					agent,
					run,
					answer: Err(error.clone()),
				};
				Outcome::Answered(answers.iter().map(failed).collect())
			}
			Self::Acknowledge { reply, .. } => {
				Outcome::Acknowledged { reply: *reply, acknowledgement: Err(error) }
			}
			Self::AskForPages(asked) => asked.outcome(None),
		})
	}
}

impl Task {
	/// Of this boot, a number for logs.
	pub fn id(&self) -> TaskId {
		self.id
	}

	/// Does it. Takes up to some milliseconds: not where others wait. `seed` is 32 random bytes.
	pub fn run(self, seed: [u8; 32]) -> TaskDone {
		let mut rng = ChaCha20Rng::from_seed(seed);
		let Self { id, config, boot, keys, work } = self;
		let Config { genesis, worker } = config;
		let rng = &mut rng;
		let outcome = match &*work {
			Work::SignEnvelope { number, payload } => {
				let (number, payload) = (*number, payload.clone());
				let content = EnvelopeContent::new(genesis, worker, boot, number, &payload);
				let signature = keys.sign(rng, &content);
				let EnvelopeNumber { lane, seq } = number;
				Outcome::EnvelopeSigned(Envelope {
					genesis,
					worker,
					boot,
					lane,
					seq,
					payload,
					signature,
				})
			}
			Work::MakeMasterKey { epoch, attempt, seats } => {
				let (epoch, attempt) = (*epoch, *attempt);
				let made = make_master_key(rng, genesis, &keys, epoch, attempt, seats);
				Outcome::MasterKeyMade { epoch, attempt, made: made.map_err(MachineError::from) }
			}
			Work::Release { share, request } => {
				let release = release_partial(rng, genesis, &keys, share, request);
				let release = release.map(|release| release.encode()).map_err(MachineError::from);
				Outcome::Released { request: *request, release }
			}
			Work::AskForKeys { cluster, generation, master } => {
				let pending = PendingRequest::new(rng, worker, boot, *cluster, *generation);
				let ephemeral_key = pending.request().ephemeral_key;
				let collector = ReleaseCollector::new(
					genesis,
					master.sharing(),
					master.polynomial().clone(),
					master.players(),
					Arc::new(pending),
				);
				let collector = collector.map(Box::new).map_err(MachineError::from);
				Outcome::KeysAsked { ephemeral_key, collector }
			}
			Work::CombineRelease { collector, release } => {
				Outcome::ReleaseCombined(combine_release(collector, release))
			}
			Work::MakeAgentKeys { agent } => {
				let keys = AgentKeys::generate(rng);
				let public = keys.encryption_key();
				Outcome::AgentKeysMade { agent: *agent, keys, public }
			}
			Work::Open(to_open) => {
				let (agent, run, code) = (to_open.agent, to_open.run, to_open.code);
				Outcome::Opened { agent, run, code, opened: open_order(genesis, to_open) }
			}
			Work::Answer(answers) => {
				Outcome::Answered(sign_answers(rng, config, boot, &keys, answers))
			}
			Work::AskForPages(asked) => {
				let question = asked.question(rng, config, boot, &keys);
				asked.outcome(Some(question.encode()))
			}
			Work::SignBody { agent, base_hash, body, new_hash } => {
				let (agent, base_hash, new_hash) = (*agent, *base_hash, *new_hash);
				let body = (**body).clone();
				let mut body = ReplicatedBody {
					worker,
					boot,
					agent,
					base_hash,
					new_hash,
					body,
					signature: [0; 64],
				};
				body.signature = keys.sign(rng, &ReplicationContent::of(genesis, &body));
				Outcome::BodySigned { agent, new_hash, body }
			}
			Work::Acknowledge { reply, agent, base_hash, new_hash } => {
				let content =
					AvailabilityContent::new(genesis, worker, boot, *agent, *base_hash, *new_hash);
				let signature = keys.sign(rng, &content);
				let acknowledgement = Ok(Availability { worker, signature });
				Outcome::Acknowledged { reply: *reply, acknowledgement }
			}
		};
		TaskDone {
			id,
			outcome,
			#[cfg(feature = "recording")]
			seed,
		}
	}
}

impl ToAsk {
	fn question(
		&self,
		rng: &mut ChaCha20Rng,
		config: Config,
		boot: BootNumber,
		keys: &BootKeys,
	) -> SignedQuestion {
		let (asker, asked) = ((config.worker, boot), self.from.worker);
		let names = self.names.encode();
		let question = self.cipher.seal_question(rng, asker, asked, self.height, &names);
		let content = QuestionContent::new(config.genesis, self.agent, &question);
		let signature = keys.sign(rng, &content);
		SignedQuestion { question, signature }
	}

	fn outcome(&self, question: Option<Vec<u8>>) -> Outcome {
		let Self { id, agent, from, names, .. } = self;
		let (from, names) = (from.clone(), names.clone());
		Outcome::PagesAsked { id: *id, agent: *agent, from, names, question }
	}
}

/// Takes a release in; with the last, combines them and checks what comes of it. The collector stays
/// where it is until then: after a failure there is something to begin again with.
fn combine_release(collector: &Mutex<Option<Box<ReleaseCollector>>>, release: &[u8]) -> Combined {
	let mut place = collector.lock().unwrap_or_else(PoisonError::into_inner);
	let added = match (&mut *place, PartialRelease::decode_all(&mut &release[..])) {
		(Some(collector), Ok(release)) => collector.add(&release),
		(_, Err(_)) => Err(KeyError::Malformed { what: "release" }),
		(None, _) => Ok(false),
	};
	let Some(collector) = place.take() else {
		return Combined::Nothing(MachineError::TaskFailed { what: "combining of releases" });
	};
	match added {
		Ok(true) => match collector.finish() {
			Ok(secret) => Combined::Secret(secret),
			Err(error) => Combined::Nothing(error.into()),
		},
		Ok(false) => Combined::Collecting { collector, refused: None },
		Err(error) => Combined::Collecting { collector, refused: Some(error) },
	}
}

/// Runs the ceremony with itself: the chain seats one gatekeeper for now
/// ([`phala_protocol::limits::GATEKEEPERS_MAX`]). With more, dealings would travel in between.
fn make_master_key(
	rng: &mut ChaCha20Rng,
	genesis: H256,
	keys: &BootKeys,
	epoch: Epoch,
	attempt: u32,
	seats: &[Seat],
) -> Result<(Box<CeremonyOutcome>, MasterShare), KeyError> {
	let members: Vec<_> = seats.iter().map(|seat| seat.keys).collect();
	let ceremony = Ceremony::new_key(genesis, epoch, attempt, &members)?;
	let mut player = Player::new(&ceremony, keys)?;
	let (mut dealer, dealings) = Dealer::start(rng, &ceremony, keys, None)?;
	for dealing in &dealings {
		if dealing.player == keys.public().identity {
			dealer.receive(&player.receive(keys, dealing)?)?;
		}
	}
	let mut transcript = Transcript::new(&ceremony);
	transcript.record(&dealer.finish())?;
	let (outcome, share) = player.finish(rng, &transcript)?;
	Ok((Box::new(outcome), share))
}

/// Opens what an account sealed to an agent.
#[allow(clippy::too_many_arguments)] // Of the box's context, each once.
pub(crate) fn open_sealed(
	genesis: H256,
	agent: AgentId,
	agent_keys: &AgentKeys,
	kind: InputKind,
	caller: Caller,
	sealed: &[u8],
	height: BlockNumber,
	code: H256,
) -> Result<phala_keys::input::SealedInput, MachineError> {
	let sealed = Sealed::decode_all(&mut &sealed[..])
		.map_err(|_| MachineError::Malformed { expected: "the SCALE of a sealed input" })?;
	let (version, _) = agent_keys.encryption_key();
	let context = InputContext::new(genesis, agent, version, kind);
	let reception = Reception { origin: caller, now: height, running: code };
	Ok(open_input(agent_keys.decryption_key(), &context, &sealed, &reception)?)
}

fn open_order(genesis: H256, order: &ToOpen) -> Result<Opened, MachineError> {
	let ToOpen { agent_keys, sealed, .. } = order;
	let ToOpen { agent, kind, caller, height, code, .. } = *order;
	let input_kind = match kind {
		RequestKind::Call => InputKind::Request,
		RequestKind::Secrets => InputKind::OwnerSecrets,
	};
	let opened = open_sealed(genesis, agent, agent_keys, input_kind, caller, sealed, height, code)?;
	let body = opened.body.expose();
	let (nonce, expiry) = (opened.nonce, opened.expiry_block);
	match kind {
		RequestKind::Call => {
			let input = CallInput::decode_all(&mut &body[..])
				.map_err(|_| MachineError::Malformed { expected: "the SCALE of a CallInput" })?;
			let reply = Some((opened.reply_key, nonce));
			Ok(Opened::Call { input: Arc::new(input), reply, used: Some((nonce, expiry)) })
		}
		RequestKind::Secrets => {
			let malformed = || MachineError::Malformed { expected: "secrets by name" };
			let pairs =
				Vec::<(Vec<u8>, Vec<u8>)>::decode_all(&mut &body[..]).map_err(|_| malformed())?;
			let mut secrets = Vec::with_capacity(pairs.len());
			for (name, value) in pairs {
				let name = String::from_utf8(name).map_err(|_| malformed())?;
				secrets.push((name, (!value.is_empty()).then_some(value)));
			}
			Ok(Opened::Secrets { secrets, used: (nonce, expiry) })
		}
	}
}

/// Signs what was asked and answered, all of it once, and seals each to whoever asked under a seal.
fn sign_answers(
	rng: &mut ChaCha20Rng,
	config: Config,
	boot: BootNumber,
	keys: &BootKeys,
	runs: &[ToAnswer],
) -> Vec<Answered> {
	// What is no answer is random, and the first place too: a path says nothing of who else was answered.
	let mut leaves = [H256::zero(); ANSWERS_SIGNED_MAX];
	leaves.iter_mut().for_each(|leaf| rng.fill_bytes(&mut leaf.0));
	let first = rng.next_u32() as usize;
	let places = (0..ANSWERS_SIGNED_MAX).map(|n| first.wrapping_add(n) % ANSWERS_SIGNED_MAX);
	let mut contents = Vec::with_capacity(runs.len());
	for (run, place) in runs.iter().zip(places) {
		let (salt, content) = salted_content(rng, config, boot, run);
		if let Some(leaf) = leaves.get_mut(place) {
			*leaf = AnswerPath::leaf(content.id());
		}
		contents.push((run, place, salt, content));
	}
	let (root, paths) = answer_tree(leaves);
	let signature = keys.sign(rng, &AnswersStatement::new(root));
	let mut answered = Vec::with_capacity(runs.len());
	for (run, place, salt, content) in contents {
		let Some(path) = paths.get(place).cloned() else { continue };
		let proof = SignedAnswer { content, path, signature };
		let answer = sealed_answer(rng, config, run, salt, proof).map_err(MachineError::from);
		answered.push(Answered { agent: run.agent, run: run.run, answer });
	}
	answered
}

/// What is signed of an answer, and the salt of the hashes in it.
fn salted_content(
	rng: &mut ChaCha20Rng,
	config: Config,
	boot: BootNumber,
	run: &ToAnswer,
) -> ([u8; 32], AnswerContent) {
	let mut salt = [0; 32];
	rng.fill_bytes(&mut salt);
	let content = AnswerContent {
		genesis: config.genesis,
		worker: config.worker,
		boot,
		agent: run.agent,
		code: run.code,
		caller: run.caller,
		request_hash: salted_hash(salt, &run.input.encode()),
		response_hash: salted_hash(salt, &run.output.encode()),
		state_version: run.state_version,
		block: run.height,
		unproven_inputs: run.unproven_inputs,
	};
	(salt, content)
}

fn sealed_answer(
	rng: &mut ChaCha20Rng,
	config: Config,
	run: &ToAnswer,
	salt: [u8; 32],
	proof: SignedAnswer,
) -> Result<(Answer, SignedAnswer), KeyError> {
	let answer = ProvenAnswer { output: run.output.clone(), salt, proof: proof.clone() };
	let (Some((reply_key, nonce)), Some(caller)) = (run.reply, run.caller) else {
		return Ok((Answer::Plain(Box::new(answer)), proof));
	};
	let context = ReplyContext::new(config.genesis, run.agent, caller, nonce);
	let sealed = seal_reply(rng, &reply_key, &context, &answer.encode())?;
	Ok((Answer::Sealed(sealed.encode()), proof))
}
