//! Direct calls: sealed to the agent, signed by the caller, answered by a worker of its cluster.

use super::{
	members::{go_first, Ask, Asked, MAY_HAVE_RUN},
	quorum::{Shortage, Watch},
	silence::Patience,
	size::Sent,
	Answered,
};
use crate::{
	accounts::Account,
	conversation::Conversation,
	deployment, failure, interrupt, limits,
	presence::is_silence,
	proof::{self, Finality},
	worker_client::WorkerClient,
};
use anyhow::Context;
use codec::{DecodeAll, Encode};
use phala_chain_client::{agents, clusters, Chain};
use phala_keys::input::InputKind;
use phala_protocol::{
	agents::AgentId,
	caller::Caller,
	requests::{CallInput, CallerSignature, DirectCall, DirectCallContent, ProvenAnswer},
	BlockNumber,
};
use phala_verifier::{AnswerFile, Expected, ProvenAgent};
use std::{convert::Infallible, future::Future, time::Duration};
use tokio::time::Instant;

/// A direct call's answer.
pub struct Direct {
	pub answered: Answered,
	/// Who answered.
	pub worker: clusters::Member,
}

/// Asks an agent, which errors name as it is `called`. The lease holder comes first; who cannot answer is passed over. What was sealed to code
/// that an upgrade has just replaced, or that a worker does not know of yet, is sealed anew: with the
/// nonce that it had, so that it is done once even if that worker lied.
/// An error says also whether it may have been done all the same.
pub async fn call(
	chain: &Chain,
	account: &Account,
	agent: AgentId,
	called: &str,
	input: &CallInput,
) -> anyhow::Result<Direct> {
	let mut finality = Finality::default();
	let genesis = chain.genesis_hash();
	let conversation = Conversation::new(genesis, agent, account.bytes())?;
	let question = Question { account, input, conversation };
	let mut ask = Ask::new(
		agent,
		called,
		may_write(input),
		Patience::OF_A_CALL,
		|answer: &[u8]| question.conversation.open(answer),
		async || chain.finalized().await.ok(),
	);
	let looked = question.ask(&mut ask, async || look(chain, &mut finality, account, agent).await);
	let mut watch = None;
	let short = async || {
		if watch.is_none() {
			let (_, record) = agents::known(chain, agent).await.ok()?;
			watch = Some(Watch::new(record.cluster));
		}
		watch.as_mut()?.look(chain).await
	};
	let (looked, shortage) = match may_write(input) {
		true => told_meanwhile(looked, short, limits::ANSWER_USUAL).await,
		false => (looked.await, None),
	};
	let (worker, opened, from) = match looked {
		Ok(answered) => answered,
		Err(error) => {
			let error = ask.in_doubt(error);
			let error = match shortage {
				Some(shortage) if may_be_for_lack_of_keepers(&error) => {
					error.context(shortage.to_string())
				}
				_ => error,
			};
			// Only of what nobody took: who was given a call may have run it all the same.
			let lost = match is_silence(&error) {
				true => lost_keys(chain, agent).await,
				false => None,
			};
			return Err(lost.unwrap_or(error));
		}
	};
	let checked = async {
		let answer = ProvenAnswer::decode_all(&mut opened.expose()).context(
			"what the worker sealed is no answer: is this `phala` as new as the worker?",
		)?;
		let file = AnswerFile::new(genesis, input, &answer);
		let client = WorkerClient::new(&worker.endpoint)?;
		let caller = Some(Caller::Account(account.bytes()));
		let expected = Expected { agent: Some(agent), caller, ..Expected::default() };
		super::prove(chain, &mut finality, file, answer, Some(&client), from, &expected).await
	};
	match checked.await {
		Ok(answered) => Ok(Direct { answered, worker }),
		// It has run, and what it wrote is committed.
		Err(error) => {
			ask.doubt(worker.worker);
			Err(ask.in_doubt(error.context(format!(
				"worker {} answered, and nothing shows that the answer is the agent's",
				worker.worker
			))))
		}
	}
}

/// What an agent refused, or a limit, has nothing to do with who keeps a write.
fn may_be_for_lack_of_keepers(error: &anyhow::Error) -> bool {
	is_silence(error) || [MAY_HAVE_RUN, "NotCommitted"].contains(&&*failure::body(error).code)
}

/// Does what waits for a commit, and says meanwhile who is missed to keep it. What came of it, and who was missed
/// last.
async fn told_meanwhile<T>(
	doing: impl Future<Output = T>,
	mut short: impl AsyncFnMut() -> Option<Shortage>,
	every: Duration,
) -> (T, Option<Shortage>) {
	let mut missed: Option<Shortage> = None;
	let mut telling = async || -> Infallible {
		loop {
			tokio::time::sleep(every).await;
			let found = short().await;
			let is_news = |found: &&Shortage| {
				missed.as_ref().is_none_or(|missed| !missed.says_the_same(found))
			};
			if let Some(found) = found.as_ref().filter(is_news) {
				say!("  {found}");
			}
			missed = found;
		}
	};
	let done = tokio::select! {
		biased;
		done = doing => done,
		never = telling() => match never {},
	};
	(done, missed)
}

/// Why nobody answers, if nobody ever will.
async fn lost_keys(chain: &Chain, agent: AgentId) -> Option<anyhow::Error> {
	let (_, record) = agents::known(chain, agent).await.ok()?;
	deployment::lost_keys(chain, record.cluster).await.ok()?
}

/// What the chain says of an agent.
struct Look {
	at: BlockNumber,
	proven: ProvenAgent,
	/// Whom to ask, in this order.
	members: Vec<clusters::Member>,
}

async fn look(
	chain: &Chain,
	finality: &mut Finality,
	account: &Account,
	agent: AgentId,
) -> anyhow::Result<Look> {
	let (at, proven) = proof::agent(chain, finality, agent).await?;
	let record = proven.record();
	agents::check_caller(chain, at, agent, record, account.bytes()).await?;
	let mut members = clusters::members(chain, record.cluster).await?;
	let lease = clusters::lease(chain, at, agent).await?;
	go_first(&mut members, lease.map(|lease| lease.worker));
	Ok(Look { at: at.number, proven, members })
}

/// Whether it matters how often it is done: methods that HTTP calls safe only read.
fn may_write(input: &CallInput) -> bool {
	!reqwest::Method::from_bytes(&input.method).is_ok_and(|method| method.is_safe())
}

/// What an agent is asked. However often it is sealed, nonce, reply key and expiry are the same.
struct Question<'a> {
	account: &'a Account,
	input: &'a CallInput,
	conversation: Conversation,
}

impl Question<'_> {
	/// Asks until those who are asked run the code that the chain proves. Who answered, what, and the
	/// oldest block that can show it.
	async fn ask<T, Open, Height>(
		&self,
		ask: &mut Ask<Open, Height>,
		mut look: impl AsyncFnMut() -> anyhow::Result<Look>,
	) -> anyhow::Result<(clusters::Member, T, BlockNumber)>
	where
		Open: Fn(&[u8]) -> anyhow::Result<T>,
		Height: AsyncFn() -> Option<BlockNumber>,
	{
		let started = Instant::now();
		loop {
			let Look { at, proven, members } = look().await?;
			// A copy with a later one could be taken when the nonce of this one is forgotten.
			let last = at.saturating_add(limits::DIRECT_INPUT_BLOCKS);
			let expiry = *ask.expiry.get_or_insert(last);
			let body = self.seal(&proven, expiry)?;
			if ask.writes {
				interrupt::advise(format!("A worker may have run the call, or may until block {expiry}, and what it wrote may be committed later too, while a majority of the cluster's members is away: read the agent's state before you call again, or it may be done twice"));
			}
			let (worker, error) = match ask.members(members, body).await? {
				Asked::Answered((worker, answer)) => return Ok((worker, answer, at)),
				Asked::OtherCode(worker, error) => (worker, error),
			};
			if started.elapsed() >= ask.patience.code_switch {
				// It is the code that the chain proves: what a worker says against that so long, and signs
				// with nothing, is not to be believed.
				ask.doubt(worker);
				return Err(error.context("it was sealed to the code that the chain proves"));
			}
			say!("  the agent's code is changing; sealing anew");
			tokio::time::sleep(limits::POLL).await;
		}
	}

	/// SCALE of the call, sealed to the code that the chain names now.
	fn seal(&self, to: &ProvenAgent, expiry: BlockNumber) -> anyhow::Result<Vec<u8>> {
		let Conversation { genesis, agent, .. } = self.conversation;
		let plain = self.input.encode();
		Sent::Direct.check(self.input.body.len(), plain.len())?;
		let sealed = self.conversation.seal(to, InputKind::Direct, expiry, plain)?;
		let caller = Caller::Account(self.account.bytes());
		let content = DirectCallContent::new(genesis, agent, caller, &sealed).encode();
		let signature = CallerSignature::Sr25519(self.account.keypair.sign(&content).0);
		Ok(DirectCall { caller, sealed, signature }.encode())
	}
}

#[cfg(test)]
mod tests {
	use super::{super::villains::*, *};
	use crate::{conversation::tests::proven_with, failure::CommandError};
	use phala_keys::{
		hpke::{DecryptionKey, Sealed},
		input::{open_input, InputContext, Reception, SealedInput},
	};
	use phala_protocol::{agents::AgentCode, H256};
	use std::cell::Cell;

	const CODES: [AgentCode; 2] = [
		AgentCode { component: H256([3; 32]), manifest: H256([13; 32]) },
		AgentCode { component: H256([4; 32]), manifest: H256([14; 32]) },
	];

	/// A caller, an agent, and a chain that names another of two codes each time it is looked at, and is
	/// a block further.
	struct Scene {
		account: Account,
		key: DecryptionKey,
		looks: Cell<usize>,
		/// From this look on the node is gone.
		looks_max: usize,
	}

	impl Scene {
		fn new() -> Self {
			let key = DecryptionKey::generate(&mut crate::randomness::generator().unwrap());
			let account = Account::of_secret("//Eve").unwrap();
			Self { account, key, looks: Cell::new(0), looks_max: usize::MAX }
		}

		fn proven(&self) -> ProvenAgent {
			proven_with(Some(&self.key), CODES[self.looks.get() % 2])
		}

		async fn asked(
			&self,
			patience: Patience,
			worker: &[&Worker],
		) -> anyhow::Result<clusters::Member> {
			let members: Vec<_> = worker.iter().map(|worker| worker.member.clone()).collect();
			let input = super::super::input("/count", Some(&serde_json::json!({})));
			let to = self.proven();
			let conversation =
				Conversation::new(to.genesis(), to.id(), self.account.bytes()).unwrap();
			let question = Question { account: &self.account, input: &input, conversation };
			let opened = |answer: &[u8]| {
				anyhow::ensure!(answer == ANSWER, "it does not open");
				Ok(())
			};
			let height = async || Some(HEIGHT);
			let mut ask = Ask::new(to.id(), "mine", may_write(&input), patience, opened, height);
			let look = async || {
				let proven = self.proven();
				let look = self.looks.replace(self.looks.get() + 1);
				anyhow::ensure!(look < self.looks_max, "the node is gone");
				Ok(Look { at: HEIGHT + look as BlockNumber, proven, members: members.clone() })
			};
			let asked = question.ask(&mut ask, look).await;
			asked.map(|(member, ..)| member).map_err(|error| ask.in_doubt(error))
		}

		/// As the agent opens what a worker was given, running one of the codes.
		fn opened(&self, body: &[u8], running: usize) -> Option<SealedInput> {
			let to = self.proven();
			let DirectCall { caller, sealed, .. } = DirectCall::decode_all(&mut &body[..]).unwrap();
			let sealed = Sealed::decode_all(&mut &sealed[..]).unwrap();
			let context = InputContext::new(to.genesis(), to.id(), 1, InputKind::Direct);
			let running = CODES[running].component;
			let reception = Reception { origin: caller, now: HEIGHT, running };
			open_input(&self.key, &context, &sealed, &reception).ok()
		}
	}

	/// Has its enclave run each call, keeps the answer to itself, and says that it was sealed to other
	/// code.
	async fn liar(rounds: usize) -> Worker {
		worker(1, Villain::RefusesFirst(rounds, 400, "CodeNotAccepted")).await
	}

	#[tokio::test]
	async fn a_liar_has_one_call_sealed_anew_as_often_as_it_likes_and_it_is_one_call() {
		const ROUNDS: usize = 5;
		let (scene, liar) = (Scene::new(), liar(ROUNDS).await);
		scene.asked(PATIENCE, &[&liar]).await.unwrap();
		let bodies = liar.bodies();
		assert_eq!(bodies.len(), ROUNDS + 1);
		let mut first: Option<SealedInput> = None;
		for (round, body) in bodies.iter().enumerate() {
			let input =
				scene.opened(body, round % 2).expect("it is sealed to the code of its time");
			assert!(scene.opened(body, (round + 1) % 2).is_none(), "and to no other");
			let first = first.get_or_insert_with(|| scene.opened(body, round % 2).unwrap());
			assert_eq!(input.nonce, first.nonce, "round {round}: it would be done twice");
			// A later one outlives the memory of the nonce.
			assert_eq!(input.expiry_block, first.expiry_block);
			assert_eq!(input.reply_key.0, first.reply_key.0, "any answer opens");
		}
	}

	#[tokio::test]
	async fn what_broke_off_before_it_was_sealed_anew_stays_in_doubt() {
		let heir = worker(2, Villain::Refuses(400, "CodeNotAccepted", None)).await;
		let in_doubt = |error: anyhow::Error| crate::failure::body(&error);
		// Nothing more is heard of the chain.
		let scene = Scene { looks_max: 1, ..Scene::new() };
		let ended = scene.asked(PATIENCE, &[&vanisher(1).await, &heir]).await;
		let told = in_doubt(ended.unwrap_err());
		assert_eq!(told.code, "MayHaveRun", "{}", told.message);
		let until = HEIGHT + limits::DIRECT_INPUT_BLOCKS;
		for part in ["the node is gone", "worker 1", &format!("until block {until}")] {
			assert!(told.message.contains(part), "{}", told.message);
		}
		// Or the codes never agree.
		let patience = Patience { code_switch: std::time::Duration::ZERO, ..PATIENCE };
		let ended = Scene::new().asked(patience, &[&vanisher(1).await, &heir]).await;
		assert_eq!(in_doubt(ended.unwrap_err()).code, "MayHaveRun");
		// A liar that goes on for longer than codes differ is not believed either.
		let ended = Scene::new().asked(patience, &[&heir]).await;
		let told = in_doubt(ended.unwrap_err());
		assert_eq!(told.code, "MayHaveRun");
		assert!(told.message.contains("CodeNotAccepted"), "{}", told.message);
	}

	#[tokio::test]
	async fn who_is_missed_to_keep_a_write_is_told_while_the_writer_is_waited_for() {
		const EVERY: Duration = Duration::from_millis(1);
		let looks = Cell::new(0);
		let asked = tokio::sync::Notify::new();
		let short = async || {
			looks.set(looks.get() + 1);
			if looks.get() == 3 {
				asked.notify_one();
			}
			Some(Shortage::of_one(2, 600))
		};
		let doing = async {
			asked.notified().await;
			7
		};
		let (done, missed) = told_meanwhile(doing, short, EVERY).await;
		assert_eq!((done, missed), (7, Some(Shortage::of_one(2, 600))));
		let (_, missed) = told_meanwhile(async {}, async || None, EVERY).await;
		assert_eq!(missed, None);
	}

	#[test]
	fn what_an_agent_refused_is_not_laid_on_those_that_keep_writes() {
		let of = |code: &'static str| CommandError::new(code, "of a test").into();
		for code in ["Unanswered", "MayHaveRun", "NotCommitted"] {
			assert!(may_be_for_lack_of_keepers(&of(code)), "{code}");
		}
		for code in ["Uncaught", "NotAllowed", "Memory"] {
			assert!(!may_be_for_lack_of_keepers(&of(code)), "{code}");
		}
	}

	#[test]
	fn methods_that_http_calls_safe_only_read() {
		for (method, writes) in
			[("GET", false), ("HEAD", false), ("OPTIONS", false), ("TRACE", false)]
				.into_iter()
				.chain([("POST", true), ("PUT", true), ("DELETE", true), ("get", true), ("", true)])
		{
			let input = CallInput { method: method.into(), ..super::super::input("/", None) };
			assert_eq!(may_write(&input), writes, "{method:?}");
		}
	}
}
