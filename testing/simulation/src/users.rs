//! Those who use the agent: they pay for requests through the chain, and write and read directly. What
//! each gives holds a marker that nobody but the enclaves may see again, unless it was public.

use crate::{
	account::Account,
	limits,
	network::{Packet, Party},
	oracles::MARKER,
	simulation::{Happening, Simulation},
};
use codec::{DecodeAll, Encode};
use phala_keys::{
	hpke::{DecryptionKey, EncryptionKey, Sealed},
	input::{seal_input, InputContext, InputKind, SealedInput},
	reply::{open_reply, ReplyContext},
	secret::SecretBytes,
};
use phala_protocol::{
	agents::{AgentId, AgentRecord},
	requests::{
		CallInput, CallerSignature, DirectCall, DirectCallContent, ProvenAnswer, RequestInput,
		RequestKind,
	},
};
use phala_runtime::{currency, Balance, Runtime};

/// A direct call and what came of it.
pub struct Call {
	/// Whether it writes.
	pub writes: bool,
	pub body: Vec<u8>,
	key: DecryptionKey,
	context: ReplyContext,
	/// Answered, refused, or given up.
	pub ended: bool,
	/// The answer, opened.
	pub answer: Option<ProvenAnswer>,
}

/// See the module's text.
pub struct Users {
	accounts: Vec<Account>,
	pub agent: Option<AgentId>,
	pub calls: Vec<Call>,
	/// Numbers what is asked.
	asked: u64,
	/// Until when callers seal to a key that nobody has, in milliseconds.
	pub withdraw_until: u64,
}

impl Users {
	pub fn new() -> Self {
		let uris = ["//Alice//stash", "//Bob//stash", "//Charlie//stash"];
		Self {
			accounts: uris.into_iter().map(Account::development).collect(),
			agent: None,
			calls: Vec::new(),
			asked: 0,
			withdraw_until: 0,
		}
	}

	/// What the next one gives: recognisable, and unlike all others.
	fn next_body(&mut self) -> Vec<u8> {
		self.asked += 1;
		[MARKER, format!(" {}", self.asked).as_bytes()].concat()
	}
}

fn call_input(method: &str, body: &[u8]) -> CallInput {
	CallInput {
		method: method.as_bytes().to_vec(),
		path: b"/keep".to_vec(),
		headers: Vec::new(),
		body: body.to_vec(),
	}
}

impl Simulation {
	/// A user does something, and another some time later.
	pub(crate) fn user_acts(&mut self) {
		let now_ms = self.now_ms();
		let sparse = self.sparse.filter(|sparse| now_ms < sparse.until_ms);
		// Or most of what is asked for would be asked between blocks.
		let rarity = sparse.map_or(1, |sparse| sparse.slots / sparse.made);
		let pause = self.random.users.within((300, 2_500)) * rarity;
		self.scheduler.after(pause, Happening::User);
		if !self.is_busy() || self.now_ms() < self.no_block_until {
			return;
		}
		let Some(agent) = self.users.agent else { return };
		let Some(record) = self.chain.read(|| pallet_agents::Agents::<Runtime>::get(agent)) else {
			return;
		};
		if record.key.is_none() {
			return;
		}
		if !self.oracles.is_born {
			self.oracles.is_born = true;
			self.schedule_faults();
		}
		let user = self.random.users.pick(&self.users.accounts).expect("there are users").clone();
		match self.random.users.below(20) {
			0..=9 => self.submit_request(&user, agent, &record),
			10..=15 => self.call(&user, agent, &record, true),
			16..=18 => self.call(&user, agent, &record, false),
			_ => self.give_secret(agent, &record),
		}
	}

	/// Seals an input to the agent; with the key and the context of the answer.
	fn seal(
		&mut self,
		user: &Account,
		agent: AgentId,
		record: &AgentRecord,
		kind: InputKind,
		body: Vec<u8>,
	) -> (Vec<u8>, DecryptionKey, ReplyContext) {
		let genesis = self.chain.genesis();
		let nonce = self.random.users.seed();
		let key = DecryptionKey::generate(self.random.users.rng());
		let agent_key = record.key.expect("it is born");
		let input = SealedInput {
			caller: user.caller(),
			nonce,
			reply_key: key.public(),
			accepted_code_hashes: Vec::new(),
			expiry_block: self.chain.finalized() + 100,
			body: SecretBytes::new(body),
		};
		let context = InputContext::new(genesis, agent, agent_key.version, kind);
		let to = if self.now_ms() < self.users.withdraw_until {
			DecryptionKey::generate(self.random.users.rng()).public()
		} else {
			EncryptionKey(agent_key.key)
		};
		let sealed = seal_input(self.random.users.rng(), &to, &context, &input)
			.expect("the input is within limits");
		let reply = ReplyContext::new(genesis, agent, user.caller(), nonce);
		(sealed.encode(), key, reply)
	}

	/// The developer gives the agent a secret.
	fn give_secret(&mut self, agent: AgentId, record: &AgentRecord) {
		let developer = self.operators.developer.clone();
		let secrets = vec![(b"token".to_vec(), self.users.next_body())].encode();
		let sealed = self.seal(&developer, agent, record, InputKind::OwnerSecrets, secrets).0;
		self.submit(&developer, agent, RequestKind::Secrets, RequestInput::Sealed(sealed));
	}

	fn submit_request(&mut self, user: &Account, agent: AgentId, record: &AgentRecord) {
		let is_public = self.random.users.permille(200);
		let input = if is_public {
			let body = format!("for all to see {}", self.users.asked);
			self.users.asked += 1;
			RequestInput::Public(call_input("POST", body.as_bytes()).encode())
		} else {
			let body = self.users.next_body();
			let input = call_input("POST", &body);
			let input = input.encode();
			RequestInput::Sealed(self.seal(user, agent, record, InputKind::Request, input).0)
		};
		self.submit(user, agent, RequestKind::Call, input);
	}

	fn submit(&mut self, by: &Account, agent: AgentId, kind: RequestKind, input: RequestInput) {
		let blocks = self.random.users.within(limits::DEADLINE_BLOCKS) as u32;
		let max_fee = Balance::from(self.random.users.within((12, 40))) * currency::MILLIS;
		let (deadline, min_block) = (self.chain.height() + blocks, self.chain.finalized());
		let call =
			pallet_requests::Call::submit { agent, kind, input, max_fee, deadline, min_block };
		let _ = self.chain.sign(by, call);
	}

	fn call(&mut self, user: &Account, agent: AgentId, record: &AgentRecord, writes: bool) {
		let lease = self.chain.read(|| pallet_clusters::Leases::<Runtime>::get(agent));
		let Some(lease) = lease else { return };
		let worker = if writes {
			lease.worker
		} else {
			1 + self.random.users.below(u64::from(limits::WORKERS) - 1) as u32
		};
		let body = self.users.next_body();
		let input = call_input(if writes { "POST" } else { "GET" }, &body);
		let (sealed, key, context) =
			self.seal(user, agent, record, InputKind::Direct, input.encode());
		let caller = user.caller();
		let content = DirectCallContent::new(self.chain.genesis(), agent, caller, &sealed);
		let signature = CallerSignature::Sr25519(user.sign(&content.encode()));
		let bytes = DirectCall { caller, sealed, signature }.encode();
		let call = self.users.calls.len();
		self.users.calls.push(Call { writes, body, key, context, ended: false, answer: None });
		self.scheduler.after(limits::CALLER_WAIT_MS, Happening::CallerGivesUp { call });
		let packet = Packet::Call { call, agent, bytes };
		self.send(Party::Users, Party::Worker(worker), packet);
	}

	pub(crate) fn call_answered(&mut self, number: usize, answer: Result<Vec<u8>, String>) {
		let Some(call) = self.users.calls.get_mut(number) else { return };
		// A copy of the call, or of its answer, may come later than the first.
		if call.ended && call.answer.is_some() {
			return;
		}
		call.ended = true;
		let opened = match answer {
			Err(_) => {
				self.counts.calls_refused += 1;
				return;
			}
			Ok(sealed) => Sealed::decode_all(&mut &sealed[..])
				.ok()
				.and_then(|sealed| open_reply(&call.key, &call.context, &sealed).ok())
				.and_then(|plain| ProvenAnswer::decode_all(&mut plain.expose()).ok()),
		};
		match opened {
			Some(answer) => {
				call.answer = Some(answer);
				if call.writes {
					self.counts.writes_answered += 1;
				} else {
					self.counts.reads_answered += 1;
				}
				self.observe_answer(number);
			}
			None => self.violated(format!("the answer to call {number} does not open")),
		}
	}

	pub(crate) fn caller_gives_up(&mut self, number: usize) {
		if let Some(call) = self.users.calls.get_mut(number) {
			call.ended = true;
		}
	}

	/// Heavy extrinsics of a stranger, as many as a block takes.
	pub(crate) fn fill_block(&mut self) {
		let stranger = Account::development("//Dave//stash");
		if self.chain.has_waiting(&stranger.id) {
			return;
		}
		for _ in 0..crate::limits::STRESS_EXTRINSICS {
			let remark = vec![0; crate::limits::STRESS_BYTES];
			let _ = self.chain.sign(&stranger, frame_system::Call::remark { remark });
		}
	}
}
