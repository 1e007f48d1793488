//! Direct calls: sealed to the agent, signed by the caller, answered by a worker of its cluster.

use super::Answered;
use crate::{
	accounts::Account,
	conversation::Conversation,
	limits,
	proof::{self, Finality},
	worker_client::{self, WorkerClient, WorkerError},
};
use anyhow::{bail, Context};
use codec::{DecodeAll, Encode};
use phala_chain_client::{agents, clusters, Chain};
use phala_keys::input::InputKind;
use phala_protocol::{
	agents::AgentId,
	boot::WorkerId,
	caller::Caller,
	refusals::Refusal,
	requests::{CallInput, CallerSignature, DirectCall, DirectCallContent, ProvenAnswer},
};
use phala_verifier::{AnswerFile, Expected};

/// A direct call's answer.
pub struct Direct {
	pub answered: Answered,
	/// Who answered.
	pub worker: clusters::Member,
}

/// Asks an agent. The lease holder comes first; who cannot answer is passed over.
///
/// # Errors
/// What was refused, by whom and why.
pub async fn call(
	chain: &Chain,
	account: &Account,
	agent: AgentId,
	input: &CallInput,
) -> anyhow::Result<Direct> {
	let mut finality = Finality::default();
	let (at, proven) = proof::agent(chain, &mut finality, agent).await?;
	let (genesis, record) = (proven.genesis(), proven.record());
	agents::check_caller(chain, at, agent, record, account.bytes()).await?;
	let mut members = clusters::members(chain, record.cluster).await?;
	let lease = clusters::lease(chain, at, agent).await?;
	go_first(&mut members, lease.map(|lease| lease.worker));

	let conversation = Conversation::new(genesis, agent, account.bytes())?;
	let expiry = at.number.saturating_add(limits::DIRECT_INPUT_BLOCKS);
	let sealed = conversation.seal(&proven, InputKind::Direct, expiry, input.encode())?;
	let caller = Caller::Account(account.bytes());
	let content = DirectCallContent::new(genesis, agent, caller, &sealed).encode();
	let signature = CallerSignature::Sr25519(account.keypair.sign(&content).0);
	let body = DirectCall { caller, sealed, signature }.encode();

	let (worker, answer) = ask(members, agent, body).await?;
	let opened = conversation.open(&answer)?;
	let answer = ProvenAnswer::decode_all(&mut opened.expose())
		.context("what the worker sealed is no answer: is this `phala` as new as the worker?")?;
	let file = AnswerFile::new(genesis, input, &answer);
	let client = WorkerClient::new(&worker.endpoint)?;
	let expected = Expected { agent: Some(agent), caller: Some(caller), ..Expected::default() };
	let proving =
		super::prove(chain, &mut finality, file, answer, Some(&client), at.number, &expected);
	let answered = proving.await?;
	Ok(Direct { answered, worker })
}

/// Puts a member before the others, if it is there.
fn go_first(members: &mut Vec<clusters::Member>, worker: Option<WorkerId>) {
	if let Some(index) = members.iter().position(|member| Some(member.worker) == worker) {
		let member = members.remove(index);
		members.insert(0, member);
	}
}

/// Asks one member after the other, each once.
async fn ask(
	mut members: Vec<clusters::Member>,
	agent: AgentId,
	body: Vec<u8>,
) -> anyhow::Result<(clusters::Member, Vec<u8>)> {
	let mut refusals = Vec::new();
	while !members.is_empty() {
		let member = members.remove(0);
		let client = WorkerClient::new(&member.endpoint)?;
		let error = match client.call(agent, body.clone()).await {
			Ok(answer) => return Ok((member, answer)),
			Err(error) => error,
		};
		match worker_client::refusal(&error) {
			// The only one that can answer says who else can.
			Some(refusal) if refusal.is(Refusal::NotLeaseHolder) => {
				go_first(&mut members, refusal.worker)
			}
			// Another member would say the same of the same input.
			Some(refusal) if refusal.status < 500 && !passes(refusal) => {
				return Err(error).with_context(|| {
					format!("the call of agent {agent:?} was refused by worker {}", member.worker)
				})
			}
			_ => {}
		}
		refusals.push(format!("\n  worker {}: {error:#}", member.worker));
	}
	bail!("no worker of the cluster answered for agent {agent:?}:{}", refusals.concat())
}

/// Refusals that are about the worker and not about the call.
fn passes(error: &WorkerError) -> bool {
	use Refusal::*;
	[NoCluster, NoSuchAgent, NotReady, NotFresh, Over].into_iter().any(|passing| error.is(passing))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn the_lease_holder_is_asked_first() {
		let member = |worker| clusters::Member { worker, endpoint: format!("http://{worker}") };
		let mut members = vec![member(1), member(2), member(3)];
		go_first(&mut members, Some(3));
		go_first(&mut members, Some(9));
		go_first(&mut members, None);
		assert_eq!(members.iter().map(|member| member.worker).collect::<Vec<_>>(), [3, 1, 2]);
	}
}
