//! An enclave that is played: it checks what it is brought with the real light client, and has
//! software evidence.

use axum::{
	body::Bytes,
	extract::State,
	http::StatusCode,
	routing::{get, post},
	Json, Router,
};
use codec::{DecodeAll, Encode};
use phala_light_client::{
	decode_genesis_bundle, decode_sync_bundle, ChannelChange, FinalizedHeader, LightClient,
	MailboxReader, ProvenMessage,
};
use phala_primitives::{
	boot::{BootKeys, BootStatement, SlotId},
	evidence::{
		Evidence, Measurement, SoftwareEvidence, SoftwareReport, SoftwareReportContent,
		DEVELOPMENT_ROOT_SEED,
	},
	mailbox::{Channel, Envelope, EnvelopeContent, InboundNext},
	messages::{Message, Payload, SlotMessage},
	relay::{paths, ChannelPosition, EnclavePhase, EnclaveStatus, Registration},
	storage_keys, H256,
};
use std::{
	net::SocketAddr,
	sync::{Arc, Mutex, MutexGuard},
};
use subxt_signer::sr25519::Keypair;
use tokio::{net::TcpListener, sync::oneshot};

/// What the played enclave claims to run.
pub const MEASUREMENT: Measurement = H256([0x77; 32]);

/// A played enclave. It has a runtime of its own, which ends with it, connections and all.
pub struct PlayedEnclave {
	pub address: SocketAddr,
	pub inner: Shared,
	door: tokio::runtime::Runtime,
}

pub struct Inner {
	genesis: H256,
	slot: SlotId,
	keypair: Keypair,
	phase: EnclavePhase,
	reader: Option<MailboxReader>,
	bound_to: Option<FinalizedHeader>,
	boot: Option<u32>,
	next_seq: u64,
	envelopes: Vec<Envelope>,
	/// All that was delivered.
	pub messages: Vec<Message>,
	/// What the door refused.
	pub refused: Vec<String>,
}

type Shared = Arc<Mutex<Inner>>;
type Refusal = (StatusCode, Json<serde_json::Value>);
type Answer = Result<Vec<u8>, Refusal>;

impl PlayedEnclave {
	/// A new boot with keys from `seed`.
	pub async fn start(address: SocketAddr, genesis: H256, slot: SlotId, seed: [u8; 32]) -> Self {
		let inner = Arc::new(Mutex::new(Inner {
			genesis,
			slot,
			keypair: Keypair::from_secret_key(seed).expect("any seed is a key"),
			phase: EnclavePhase::AwaitsGenesis,
			reader: None,
			bound_to: None,
			boot: None,
			next_seq: 0,
			envelopes: Vec::new(),
			messages: Vec::new(),
			refused: Vec::new(),
		}));
		let door = tokio::runtime::Builder::new_multi_thread()
			.worker_threads(1)
			.enable_all()
			.build()
			.expect("a runtime");
		let router = router(inner.clone());
		let (tell, told) = oneshot::channel();
		door.spawn(async move {
			let listener = TcpListener::bind(address).await.expect("a port");
			let _ = tell.send(listener.local_addr().expect("it is bound"));
			let _ = axum::serve(listener, router).await;
		});
		Self { address: told.await.expect("it listens"), inner, door }
	}

	/// Ends at once, as by `kill -9`.
	pub fn kill(self) -> SocketAddr {
		self.door.shutdown_background();
		self.address
	}

	pub fn status(&self) -> EnclaveStatus {
		lock(&self.inner).status()
	}
}

pub fn lock(shared: &Shared) -> MutexGuard<'_, Inner> {
	shared.lock().expect("no handler panicked")
}

fn router(inner: Shared) -> Router {
	async fn status(State(me): State<Shared>) -> Vec<u8> {
		lock(&me).status().encode()
	}
	async fn genesis(State(me): State<Shared>, body: Bytes) -> Answer {
		lock(&me).genesis(&body)
	}
	async fn sync(State(me): State<Shared>, body: Bytes) -> Answer {
		lock(&me).sync(&body)
	}
	async fn registration(State(me): State<Shared>, body: Bytes) -> Answer {
		lock(&me).registration(&body)
	}
	async fn envelopes(State(me): State<Shared>) -> Vec<u8> {
		lock(&me).envelopes.encode()
	}
	Router::new()
		.route(paths::STATUS, get(status))
		.route(paths::GENESIS, post(genesis))
		.route(paths::SYNC, post(sync))
		.route(paths::REGISTRATION, post(registration))
		.route(paths::ENVELOPES, get(envelopes))
		.layer(axum::extract::DefaultBodyLimit::disable())
		.with_state(inner)
}

fn opened(message: &ProvenMessage, identity: &[u8; 32]) -> Vec<ChannelChange> {
	match Message::decode_all(&mut message.body()) {
		Ok(Message::Slot(SlotMessage::Registered { keys, clusters, .. }))
			if keys.identity == *identity =>
		{
			let follow = |(id, head)| ChannelChange::Follow { channel: Channel::Cluster(id), head };
			clusters.into_iter().map(follow).collect()
		}
		_ => Vec::new(),
	}
}

impl Inner {
	fn keys(&self) -> BootKeys {
		BootKeys { identity: self.keypair.public_key().0, encryption: [1; 32] }
	}

	fn own_channels(&self) -> [Channel; 2] {
		[Channel::System, Channel::Slot(self.slot)]
	}

	fn status(&self) -> EnclaveStatus {
		let channels = match &self.reader {
			Some(reader) if !reader.channels().is_empty() => reader
				.channels()
				.iter()
				.map(|(channel, head)| ChannelPosition { channel, next_seq: Some(head.next_seq) })
				.collect(),
			_ => self
				.own_channels()
				.map(|channel| ChannelPosition { channel, next_seq: None })
				.into(),
		};
		EnclaveStatus {
			genesis: self.genesis,
			slot: self.slot,
			identity: self.keys().identity,
			phase: self.phase,
			boot: self.boot,
			height: self.reader.as_ref().map_or(0, |reader| reader.client().height()),
			channels,
			queued: self.envelopes.len() as u32,
		}
	}

	fn refuse(&mut self, error: impl std::fmt::Display) -> Refusal {
		self.refused.push(error.to_string());
		let body = serde_json::json!({ "error": "Refused", "message": error.to_string() });
		(StatusCode::UNPROCESSABLE_ENTITY, Json(body))
	}

	fn genesis(&mut self, body: &[u8]) -> Answer {
		let client = decode_genesis_bundle(body)
			.and_then(|bundle| LightClient::from_genesis(self.genesis, &bundle));
		let client = client.map_err(|error| self.refuse(error))?;
		self.reader = Some(MailboxReader::new(client));
		self.phase = EnclavePhase::AwaitsFirstSync;
		Ok(Vec::new())
	}

	fn sync(&mut self, body: &[u8]) -> Answer {
		let Some(reader) = self.reader.clone() else { return Err(self.refuse("no genesis yet")) };
		let identity = self.keys().identity;
		let synced = decode_sync_bundle(body)
			.and_then(|bundle| reader.sync(bundle, |message| opened(message, &identity)));
		let synced = synced.map_err(|error| self.refuse(error))?;
		self.reader = Some(synced.reader.clone());
		if self.phase == EnclavePhase::AwaitsFirstSync {
			let adopted = synced.reader.adopt(&synced.state, self.own_channels());
			let adopted = adopted.map_err(|error| self.refuse(error))?;
			self.bound_to = Some(*adopted.client().finalized());
			self.reader = Some(adopted);
			self.phase = EnclavePhase::AwaitsRegistration;
		}
		let consumed = synced
			.state
			.read_as::<InboundNext>(&storage_keys::mailbox_next_envelope(self.slot))
			.map_err(|error| self.refuse(error))?;
		for message in synced.messages {
			if let Ok(message) = Message::decode_all(&mut message.body()) {
				self.apply(message);
			}
		}
		if let Some(next) = consumed.filter(|next| Some(next.boot) == self.boot) {
			self.envelopes.retain(|envelope| envelope.seq >= next.seq);
		}
		Ok(self.status().encode())
	}

	fn apply(&mut self, message: Message) {
		self.messages.push(message.clone());
		match message {
			Message::Slot(SlotMessage::Registered { boot, keys, .. }) => {
				if keys == self.keys() {
					self.boot = Some(boot);
					self.phase = EnclavePhase::Serving;
				} else if self.boot.is_some() {
					self.phase = EnclavePhase::Retired;
				}
			}
			Message::Slot(SlotMessage::Renewed { .. }) => self.phase = EnclavePhase::Serving,
			Message::Slot(SlotMessage::Probe { nonce }) => {
				self.say(&Payload::ProbeAnswered { nonce })
			}
			_ => (),
		}
	}

	/// Queues an envelope.
	pub fn say(&mut self, payload: &Payload) {
		let Some(boot) = self.boot else { return };
		let (genesis, slot, seq) = (self.genesis, self.slot, self.next_seq);
		let payload = payload.encode();
		let content = EnvelopeContent::new(genesis, slot, boot, seq, &payload).encode();
		let signature = self.keypair.sign(&content).0;
		self.envelopes.push(Envelope { genesis, slot, boot, seq, payload, signature });
		self.next_seq += 1;
	}

	/// Asks for a renewal, as one does whose evidence is about to expire.
	pub fn await_renewal(&mut self) {
		self.phase = EnclavePhase::AwaitsRenewal;
	}

	fn registration(&mut self, body: &[u8]) -> Answer {
		let operator =
			<[u8; 32]>::decode_all(&mut &body[..]).map_err(|error| self.refuse(error))?;
		let renewal = self.phase == EnclavePhase::AwaitsRenewal;
		let header = match &self.reader {
			Some(reader) if renewal => Some(*reader.client().finalized()),
			_ => self.bound_to,
		};
		let Some(header) = header else { return Err(self.refuse("not synced yet")) };
		let (genesis, slot, keys) = (self.genesis, self.slot, self.keys());
		let statement = BootStatement::new(genesis, slot, operator, keys, header.hash());
		let report = SoftwareReport {
			measurement: MEASUREMENT,
			platform: H256::from_low_u64_be(u64::from(slot) + 1_000),
			report_data: statement.report_data(),
			debug: false,
		};
		let root = Keypair::from_secret_key(DEVELOPMENT_ROOT_SEED).expect("a seed is a key");
		let signature = root.sign(&SoftwareReportContent::new(&report).encode()).0;
		let evidence = Evidence::Software(SoftwareEvidence { report, signature }).encode();
		let recent_block = header.number();
		Ok(Registration { slot, keys, evidence, recent_block, renewal }.encode())
	}
}
